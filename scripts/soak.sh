#!/usr/bin/env bash
# Kills what runs at random moments, starts it again, and compares what it leaves with that of a run which was never killed:
# 1,000 kills in about an hour. docs/reliability.md has what is promised, and the figures.
#
#   scripts/soak.sh [--kills N] [--seed S] [--set KEY=VALUE] [--steps N] [--out DIR] [--no-install] [WHAT …]
#     WHAT          training-edm, training-cd, training-pd, search, evaluate, sample, study (scripts/reproduce), ranks-2, ranks-3
#                   (default: all of these), or memory: that a long run's memory does not grow
#     --kills       how many, of all kinds together (default: 1000)
#     --seed        of the moments; a failure prints the command that tries it again (default: 0)
#     --set         a setting of the trainings, over the soak's own; may be given several times
#     --steps       of memory's run (default: 200000)
#     --out         where the runs are, and what failed is kept (default: runs/soak)
#     --no-install  install nothing (see scripts/setup.sh)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

setup=(--dev)
options=()
while [ $# -gt 0 ]; do
  case $1 in
    --kills | --seed | --set | --steps | --out) options+=("$1" "${2:?soak.sh: $1 needs a value}"); shift ;;
    --no-install) setup+=(--no-install) ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    -*) echo "soak.sh: unknown option '$1'; allowed are --kills, --seed, --set, --steps, --out and --no-install" >&2; exit 2 ;;
    *) options+=("$1") ;;
  esac
  shift
done

scripts/setup.sh "${setup[@]}"
scripts/build.sh --dev apps

python=.venv/bin/python
[ -x $python ] || python=${PYTHON:-python3}
exec "$python" -B scripts/soak "${options[@]}"
