#!/usr/bin/env bash
# From a bare clone to digits in one step: installs what is missing, builds, trains a diffusion teacher on the digits that
# ship with the project, distills it (CD), trains a stand-alone model (CT), samples all three and compares them.
#
#   scripts/quickstart.sh [--full] [--device auto|cpu|cuda|cuda:N] [--no-install]
#     --full        trains four times longer, into runs/quickstart-full
#     --device      where to train and sample (default: auto, a GPU when there is one)
#     --no-install  install nothing (see scripts/setup.sh)
#
# Everything goes to runs/quickstart: edm, cd, ct (the runs), samples, comparison.png and table.txt. A second call goes on
# where the first one stopped, and only measures again what is trained already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

setup=()
device=auto
out=runs/quickstart
longer=1
while [ $# -gt 0 ]; do
  case $1 in
    --full) longer=4; out=runs/quickstart-full ;;
    --device) device=${2:?quickstart.sh: --device needs a value}; shift ;;
    --no-install) setup+=(--no-install) ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) echo "quickstart.sh: unknown option '$1'; allowed are --full, --device and --no-install" >&2; exit 2 ;;
  esac
  shift
done

say() { echo; echo "[quickstart] $*"; }

started=$SECONDS
scripts/setup.sh "${setup[@]}"
setup_seconds=$(cat .cache/setup-seconds)

say "building the executables"
scripts/build.sh apps
bin=build/bin

python=.venv/bin/python
[ -x $python ] || python=${PYTHON:-python3}
if ! "$python" -c 'import torch, numpy, safetensors, PIL' 2>/dev/null; then
  echo "quickstart.sh: the classifier and the picture need a Python with torch, numpy, safetensors and pillow;" \
    "name yours with PYTHON=/path/to/python" >&2
  exit 2
fi

# train NAME EXECUTABLE STEPS [key=value…]: trains configs/digits/NAME.yaml into $out/NAME, or goes on with it.
train() {
  local name=$1 executable=$2 steps=$3
  shift 3
  "$bin/$executable" --config "configs/digits/$name.yaml" --out "$out/$name" --device "$device" --resume auto \
    train.steps=$((steps * longer)) "$@"
}

steps_of() { awk '$1 == "steps:" {print $2}' "configs/digits/$1.yaml"; }

# Networks this small hardly gain from a second core, so the two trainings that need nothing of one another share them.
half=$(($(nproc) > 1 ? $(nproc) / 2 : 1))
mkdir -p "$out"
trap 'exit 130' INT TERM

say "1/6 the teacher: a diffusion model (EDM); beside it, without a teacher: consistency training (iCT, see $out/ct.log)"
OMP_NUM_THREADS=${OMP_NUM_THREADS:-$half} train ct cm-train-ct "$(steps_of ct)" >"$out/ct.log" 2>&1 &
stand_alone=$!
OMP_NUM_THREADS=${OMP_NUM_THREADS:-$half} train edm cm-train-edm "$(steps_of edm)"
say "2/6 waiting for the consistency training"
wait $stand_alone || { tail -n 5 "$out/ct.log" >&2; exit 1; }
tail -n 1 "$out/ct.log"
say "3/6 consistency distillation (CD) of the teacher"
train cd cm-train-cd "$(steps_of cd)" "teacher.checkpoint=$out/edm"

say "4/6 the digit classifier, whose hidden layer measures the distance to real digits"
classifier=$out/classifier.safetensors
[ -e "$classifier" ] || "$python" scripts/train_digit_classifier.py --data data/digits/digits.csv.gz --out "$classifier"

# measure NAME RUN OPTION…: 1,800 samples and their scores.
measure() {
  local name=$1 run=$2
  shift 2
  "$bin/cm-sample" --checkpoint "$out/$run" --device "$device" --num 1800 --batch 100 --class all --seed 0 --force \
    --out "$out/samples/$name" "$@"
  "$bin/cm-evaluate" --samples "$out/samples/$name/samples.npz" --reference data/digits/digits.csv.gz --json \
    --features "$classifier" --metrics frechet,precision,recall,class_accuracy --calibrate --device "$device" \
    >"$out/samples/$name/scores.json"
}

say "5/6 sampling and measuring"
measure teacher edm --steps 18
measure cd-1 cd --steps 1
measure cd-2 cd --steps 2
measure ct-1 ct --steps 1
measure ct-2 ct --steps 2

say "6/6 the comparison"
"$python" scripts/quickstart_report.py "$out" | tee "$out/table.txt"
seconds=$((SECONDS - started - setup_seconds))
say "done in $((seconds / 60)) min $((seconds % 60)) s, and $setup_seconds s of downloads and installs;" \
  "the picture: $out/comparison.png"
