#!/usr/bin/env bash
# Configures and builds in build/, with Ninja where it is installed.
#
#   scripts/build.sh [--dev] [--preset NAME] [--configure] [target…]      no target: everything; `apps`: the executables alone
#     --dev        with the tests and benchmarks; a build folder made with them keeps them
#     --preset     one of CMakePresets.json, in build-NAME/ (default: release, in build/)
#     --configure  configure only
#
# A LibTorch named by CMAKE_PREFIX_PATH or Torch_DIR is used instead of .venv's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

configure_only=false
preset=release
folder=build
options=()
targets=()
while [ $# -gt 0 ]; do
  case $1 in
    --dev) options+=(-DCM_BUILD_TESTS=ON -DCM_BUILD_BENCH=ON) ;;
    --preset) preset=${2:?build.sh: --preset needs a name}; shift ;;
    --configure) configure_only=true ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    -*) echo "build.sh: unknown option '$1'; allowed are --dev, --preset and --configure" >&2; exit 2 ;;
    *) targets+=("$1") ;;
  esac
  shift
done
[ $preset = release ] || folder=build-$preset

cache=$folder/CMakeCache.txt
# The folder of a project that was moved or copied holds the old place's paths.
if [ -e $cache ] && ! grep -qx "CMAKE_HOME_DIRECTORY:INTERNAL=$(pwd -P)" $cache; then
  rm $cache
fi
if [ ! -e $cache ] && [ ${#options[@]} = 0 ]; then
  options+=(-DCM_BUILD_TESTS=OFF -DCM_BUILD_BENCH=OFF)
fi
if command -v ninja >/dev/null; then
  export CMAKE_GENERATOR=${CMAKE_GENERATOR:-Ninja}
fi
mkdir -p .cache
if ! cmake --preset $preset "${options[@]}" >.cache/configure.log 2>&1; then
  grep -v '^--' .cache/configure.log >&2
  echo "build.sh: the configuration failed; the whole log is $PWD/.cache/configure.log" >&2
  exit 1
fi
grep -E '^-- LibTorch' .cache/configure.log | sed 's/^-- /[build] /'
if $configure_only; then exit 0; fi

# A compiler over LibTorch's headers takes up to 2 GB.
memory_jobs=$(awk '/MemAvailable/ {print int($2 / 2000000) + 1}' /proc/meminfo)
jobs=$(($(nproc) < memory_jobs ? $(nproc) : memory_jobs))
cmake --build $folder --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-$jobs}" ${targets[@]:+--target "${targets[@]}"}
