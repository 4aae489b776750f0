#!/usr/bin/env bash
# Installs what is missing, builds everything and runs the tests; the last lines are ctest's summary.
#
#   scripts/test.sh [--fast] [--no-install]
#     --fast        the unit tests alone
#     --no-install  install nothing (see scripts/setup.sh)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

setup=(--dev)
targets=()
selection=()
for argument in "$@"; do
  case $argument in
    --fast) targets=(unit_tests) selection=(--label-regex '^unit$') ;;
    --no-install) setup+=(--no-install) ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) echo "test.sh: unknown option '$argument'; allowed are --fast and --no-install" >&2; exit 2 ;;
  esac
done

scripts/setup.sh "${setup[@]}"
scripts/build.sh --dev "${targets[@]}"
ctest --test-dir build --output-on-failure --no-tests=error -j2 "${selection[@]}"
