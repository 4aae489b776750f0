#!/usr/bin/env bash
# Runs unit tests built with sanitizers: a leak, an access out of bounds, undefined behaviour or a data race fails its test.
#
#   scripts/sanitize.sh [--quick] [--no-install] [WHAT …]      WHAT: address, thread; none: both
#     address       all unit tests under the address, leak and undefined-behaviour sanitizers (the preset `debug`)
#     thread        those of the modules that start threads, under the thread sanitizer (the preset `thread`)
#     --quick       of both, the lower modules alone, as CI does
#     --no-install  install nothing (see scripts/setup.sh)
#
# LibTorch is not instrumented; tests/thread_sanitizer.txt says which reports are suppressed for that, and why. Under the other
# sanitizers none is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

quick=false
setup=(--dev)
what=()
for argument in "$@"; do
  case $argument in
    --quick) quick=true ;;
    --no-install) setup+=(--no-install) ;;
    address | thread) what+=("$argument") ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) echo "sanitize.sh: unknown argument '$argument'; allowed are address, thread, --quick and --no-install" >&2; exit 2 ;;
  esac
done
[ ${#what[@]} -gt 0 ] || what=(address thread)

scripts/setup.sh "${setup[@]}"

export UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=suppressions=$PWD/tests/thread_sanitizer.txt

tested() {  # PRESET [MODULE…]: builds and runs the unit tests of these modules; none: all
  local preset=$1 modules
  shift
  if [ $# = 0 ]; then
    scripts/build.sh --dev --preset "$preset" unit_tests
  else
    scripts/build.sh --dev --preset "$preset" "${@/%/_test}"
  fi
  modules=$(IFS='|'; echo "$*")
  ctest --test-dir "build-$preset" --output-on-failure --no-tests=error -j2 --label-regex '^unit$' \
    --tests-regex "^(${modules:-.*})(\.|$)"
}

for one in "${what[@]}"; do
  case $one-$quick in
    address-false) tested debug ;;
    address-true) tested debug base yaml io kernels data ;;
    thread-false) tested thread base io data distributed training ;;
    thread-true) tested thread base data distributed ;;
  esac
done
