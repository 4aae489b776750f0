#!/usr/bin/env bash
# Trains every objective on the digits from configs/digits, measures them all, and writes docs/results.md with its figures:
# under two hours on two cores.
#
#   scripts/reproduce_digits.sh [--quick] [--out DIR] [--device cpu|cuda|cuda:N] [--jobs N] [--no-install]
#     --quick       a tenth of the training, in ten minutes; the report goes to runs/digits-quick/results.md
#     --out         where runs, samples and scores go (default: runs/digits-study, or runs/digits-quick)
#     --device      where to train and sample (default: cpu)
#     --jobs        runs at a time, each on one core (default: as many as there are cores)
#     --no-install  install nothing (see scripts/setup.sh)
#
# It can be stopped (Ctrl-C) and goes on where it stopped; a training whose config has changed is made again, with all that
# depends on it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

setup=(--dev)
study=()
out=
while [ $# -gt 0 ]; do
  case $1 in
    --quick) study+=(--quick) ;;
    --out) out=${2:?reproduce_digits.sh: --out needs a folder}; shift ;;
    --device | --jobs) study+=("$1" "${2:?reproduce_digits.sh: $1 needs a value}"); shift ;;
    --no-install) setup+=(--no-install) ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) echo "reproduce_digits.sh: unknown option '$1'; allowed are --quick, --out, --device, --jobs and --no-install" >&2
      exit 2 ;;
  esac
  shift
done
case " ${study[*]} " in
  *" --quick "*) out=${out:-runs/digits-quick} ;;
  *) out=${out:-runs/digits-study} ;;
esac

scripts/setup.sh "${setup[@]}"
scripts/build.sh --dev apps cm-truths

python=.venv/bin/python
[ -x $python ] || python=${PYTHON:-python3}
if ! "$python" -c 'import torch, numpy, safetensors, yaml, matplotlib' 2>/dev/null; then
  echo "reproduce_digits.sh: a Python with torch, numpy, safetensors, pyyaml and matplotlib is needed;" \
    "name yours with PYTHON=/path/to/python" >&2
  exit 2
fi
exec "$python" scripts/reproduce --out "$out" "${study[@]}"
