#!/usr/bin/env bash
# Compares this implementation with others' numbers, which lie in tests/fixtures, and prints the measured errors as a
# table. Installs and builds what is missing; fails when something is out of tolerance.
#
#   scripts/parity.sh [--write] [--no-install]
#     --write       puts the table into docs/parity.md, unless something is out of tolerance
#     --no-install  install nothing (see scripts/setup.sh)
#
# CM_FIXTURES=FOLDER takes the cases from another folder, CM_PARITY_DEVICE=cuda computes on a GPU.
set -euo pipefail
if [ -n "${CM_FIXTURES:-}" ]; then
  CM_FIXTURES=$(realpath -e -- "$CM_FIXTURES")
  export CM_FIXTURES
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."

setup=(--dev)
write=()
for argument in "$@"; do
  case $argument in
    --write) write=(--write docs/parity.md) ;;
    --no-install) setup+=(--no-install) ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) echo "parity.sh: unknown option '$argument'; allowed are --write and --no-install" >&2; exit 2 ;;
  esac
done

scripts/setup.sh "${setup[@]}"
scripts/build.sh --dev

CM_PARITY_TABLE=$(mktemp)
export CM_PARITY_TABLE
trap 'rm -f "$CM_PARITY_TABLE"' EXIT
log=.cache/parity.log
passed=true
ctest --test-dir build --tests-regex '^(parity\.|integration\.(interop|dit_pipeline|inception)$)' --output-on-failure --no-tests=error -j2 >$log 2>&1 || passed=false
if ! $passed; then write=(); fi
python3 scripts/parity_table.py "$CM_PARITY_TABLE" "${write[@]}" || passed=false
if ! $passed; then
  sed -n '/tests FAILED:/,$p' $log >&2
  echo "parity.sh: not everything agrees; the tests' output is $PWD/$log" >&2
  exit 1
fi
