#!/usr/bin/env bash
# Looks for inputs that a reader of files, configs or command lines falls over, by libFuzzer under the address, leak and
# undefined-behaviour sanitizers (tests/fuzz), and prints a line a target.
#
#   scripts/fuzz.sh [--seconds N] [--no-install] [TARGET…]      TARGET: x of tests/fuzz/x_fuzz.cpp; none: all
#     --seconds     how long to try each target (default: 60)
#     --no-install  install nothing (see scripts/setup.sh)
#
# It builds with clang in build-fuzz/. What reached new code is kept in build-fuzz/corpus/TARGET, where the next run goes on;
# what a reader falls over is kept in build-fuzz/findings/. The exit code is 1 when there was any.
#
# A finding is any exception but Error, a crash, a leak, undefined behaviour, more than 1 s, or more than 1 GB asked for at once.
# LibTorch, OpenCV, libzip and yaml-cpp are not instrumented. What of theirs could be mistaken for a finding:
#   - a std::vector that such a library grew: the address sanitizer knows a vector's end only where the standard library tells it
#     (_GLIBCXX_SANITIZE_VECTOR, which is off), so there are no container-overflows to suppress
#   - memory that a library keeps until the process ends: it is still pointed to, which is no leak
#   - OpenMP's threads: the fuzzers are compiled without it, and LibTorch has one thread (OMP_NUM_THREADS)
# No report is suppressed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=60
setup=(--fuzz)
targets=()
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=${2:?fuzz.sh: --seconds needs a number}; shift ;;
    --no-install) setup+=(--no-install) ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    -*) echo "fuzz.sh: unknown option '$1'; allowed are --seconds and --no-install" >&2; exit 2 ;;
    *) targets+=("$1") ;;
  esac
  shift
done
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "fuzz.sh: --seconds must be a whole number from 1, got '$seconds'" >&2; exit 2; }

mapfile -t known < <(basename -s _fuzz.cpp tests/fuzz/*_fuzz.cpp)
for target in "${targets[@]}"; do
  [[ " ${known[*]} " == *" $target "* ]] ||
    { echo "fuzz.sh: unknown target '$target'; there are ${known[*]}" >&2; exit 2; }
done
[ ${#targets[@]} -gt 0 ] || targets=("${known[@]}")

scripts/setup.sh "${setup[@]}"
scripts/build.sh --preset fuzz "${targets[@]/%/_fuzz}"

export OMP_NUM_THREADS=1 ASAN_OPTIONS=${ASAN_OPTIONS:-} UBSAN_OPTIONS=print_stacktrace=1
TMPDIR=$(mktemp -d -p /dev/shm cm-fuzz-XXXXXX)  # the readers' files
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
mkdir -p build-fuzz/findings

found=0
printf '%-16s %12s %8s %8s %10s  %s\n' target executions per-s corpus peak-MiB findings
for target in "${targets[@]}"; do
  program=build-fuzz/bin/${target}_fuzz
  corpus=build-fuzz/corpus/$target
  log=build-fuzz/findings/$target.log
  mkdir -p "$corpus"
  "$program" --seeds "$corpus"
  finding=none
  "$program" -max_total_time="$seconds" -timeout=1 -malloc_limit_mb=1000 -rss_limit_mb=3000 -use_value_profile=1 \
    -close_fd_mask=3 -print_final_stats=1 -artifact_prefix="build-fuzz/findings/$target-" "$corpus" >"$log" 2>&1 || finding=$log
  stat() { awk -v key="stat::$1:" '$1 == key {value = $2} END {print value + 0}' "$log"; }
  printf '%-16s %12s %8s %8s %10s  %s\n' "$target" "$(stat number_of_executed_units)" "$(stat average_exec_per_sec)" \
    "$(find "$corpus" -type f | wc -l)" "$(stat peak_rss_mb)" "$finding"
  if [ "$finding" != none ]; then
    found=1
    grep -E '^(FINDING|SUMMARY|==[0-9]+== ?ERROR|.*runtime error)' "$log" | head -n 3 | cut -c 1-200
    echo "  again: $program $(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)"
  fi
done
exit $found
