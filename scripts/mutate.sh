#!/usr/bin/env bash
# Changes one operator, constant or condition of the sources at a time and tells which changes no unit test notices.
#
#   scripts/mutate.sh [--minutes N] [--seed S] [--no-install] [file or folder …]
#     --minutes     how long to try changes (default: 15; 0: only report what was found so far)
#     --seed        of the lot that orders the changes (default: 0)
#     --no-install  install nothing (see scripts/setup.sh)
#
# By default in src/diffusion, src/training and src/metrics. It builds in build-mutants/ and leaves the sources as they are. It
# can be stopped (Ctrl-C): a change that was tried is tried again only when its file, or for one that was not noticed any test, is
# another.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

setup=(--dev)
options=()
while [ $# -gt 0 ]; do
  case $1 in
    --minutes | --seed) options+=("$1" "${2:?mutate.sh: $1 needs a number}"); shift ;;
    --no-install) setup+=(--no-install) ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    -*) echo "mutate.sh: unknown option '$1'; allowed are --minutes, --seed and --no-install" >&2; exit 2 ;;
    *) options+=("$1") ;;
  esac
  shift
done

scripts/setup.sh "${setup[@]}"
exec python3 -B scripts/mutate "${options[@]}"
