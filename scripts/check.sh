#!/usr/bin/env bash
# The checks that need no build: formatting, layers, and clang-tidy (.clang-tidy). A second run takes seconds.
#
#   scripts/check.sh [--fix] [--no-install]
#     --fix         formats the files instead of complaining
#     --no-install  install nothing (see scripts/setup.sh)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

setup=(--dev)
format=(--dry-run -Werror)
for argument in "$@"; do
  case $argument in
    --fix) format=(-i) ;;
    --no-install) setup+=(--no-install) ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) echo "check.sh: unknown option '$argument'; allowed are --fix and --no-install" >&2; exit 2 ;;
  esac
done

scripts/setup.sh "${setup[@]}"
python3 tests/layers_test.py

# Debian 12's version where several are installed: they format differently.
clang_format=$(command -v clang-format-14 || command -v clang-format)
git ls-files -z '*.h' '*.cpp' '*.cu' '*.cuh' | xargs -0 -r -n 20 -P "$(nproc)" "$clang_format" "${format[@]}" ||
  { echo "check.sh: the files above are not formatted; run scripts/check.sh --fix" >&2; exit 1; }
echo "format: ok"

scripts/build.sh --dev --configure
scripts/lint.py
