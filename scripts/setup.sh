#!/usr/bin/env bash
# Installs what the project needs and is not there yet: Debian packages with apt, and LibTorch (the torch wheel) with a
# few Python packages into .venv. Nothing else is touched; a second run takes seconds.
#
#   scripts/setup.sh [--dev] [--fuzz] [--track] [--no-install]
#     --dev         also what the tests, the benchmarks and the linters need
#     --fuzz        also clang with its sanitizers (scripts/fuzz.sh)
#     --track       also what scripts/track.py sends to, Weights & Biases and MLflow
#     --no-install  install nothing, say what is missing; for your own LibTorch, named by CMAKE_PREFIX_PATH or Torch_DIR
#
# A LibTorch named by CMAKE_PREFIX_PATH or Torch_DIR is used instead of .venv. PYTHON names the Python to make .venv with.
# The seconds that downloads and installs took are printed and left in .cache/setup-seconds; logs are .cache/setup-*.log.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

dev=false
fuzz=false
track=false
install=true
for argument in "$@"; do
  case $argument in
    --dev) dev=true ;;
    --fuzz) fuzz=true ;;
    --track) track=true ;;
    --no-install) install=false ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) echo "setup.sh: unknown option '$argument'; allowed are --dev, --fuzz, --track and --no-install" >&2; exit 2 ;;
  esac
done

# PACKAGE or PACKAGE/COMMAND: with a command, any program of that name will do.
packages=(build-essential/c++ cmake/cmake ninja-build/ninja ccache/ccache ca-certificates libopencv-core-dev
  libopencv-imgproc-dev libopencv-imgcodecs-dev libyaml-cpp-dev libspdlog-dev nlohmann-json3-dev libcli11-dev libzip-dev
  zlib1g-dev libssl-dev libgoogle-perftools-dev libgloo-dev)
requirements=(scripts/requirements.txt)
configure=(scripts/build.sh --configure)
if $dev; then
  configure+=(--dev)
  packages+=(libgtest-dev libgmock-dev libbenchmark-dev clang-format/clang-format zsh/zsh
    fonts-noto-color-emoji unicode-data libfribidi0)
  requirements+=(scripts/requirements-dev.txt)
fi
if $fuzz; then
  configure+=(--preset fuzz)
  packages+=(clang/clang++ libclang-rt-dev)
fi
if $track; then requirements+=(scripts/requirements-track.txt); fi
seconds=0

say() { echo "[setup] $*"; }
fail() {
  echo "[setup] error: $1" >&2
  shift
  for line in "$@"; do echo "        $line" >&2; done
  exit 1
}

# logged WHAT LOG HINT COMMAND…: runs the command with its output in .cache/setup-LOG.log; adds its time to `seconds`.
logged() {
  local what=$1 log=.cache/setup-$2.log hint=$3 start=$SECONDS
  shift 3
  if ! "$@" >"$log" 2>&1 </dev/null; then
    tail -n 15 "$log" | cut -c 1-160 | sed 's/^/        | /' >&2
    fail "$what failed." "$hint" "The whole log is $PWD/$log."
  fi
  seconds=$((seconds + SECONDS - start))
}

require_space() {  # FOLDER MIB WHAT
  local free
  free=$(df -Pm "$1" | awk 'NR == 2 {print $4}')
  [ "$free" -ge "$2" ] || fail "$3 needs $2 MiB of free disk space at $1, where only $free MiB are left." \
    "Free some space, or move the project to a larger disk, and run scripts/setup.sh again."
}

missing_packages() {
  local entry
  for entry in "${packages[@]}"; do
    if [[ $entry == */* ]] && command -v "${entry#*/}" >/dev/null; then continue; fi
    dpkg-query -W -f '${db:Status-Status}' "${entry%/*}" 2>/dev/null | grep -qx installed || echo "${entry%/*}"
  done
}

install_packages() {
  local missing as_root=()
  command -v apt-get >/dev/null || fail "this system has no apt-get." \
    "Install these libraries and tools (Debian's names) by your system's own means:" "${packages[*]%/*}" \
    "and LibTorch 2.11, then run: CMAKE_PREFIX_PATH=/path/to/libtorch scripts/setup.sh --no-install"
  mapfile -t missing < <(missing_packages)
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    if ! sudo -n true 2>/dev/null; then
      fail "Debian packages are missing, and only an administrator can install them. Ask one to run:" \
        "apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" "then run scripts/setup.sh again."
    fi
    as_root=(sudo -n)
  fi
  require_space / 1500 "installing Debian packages"
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  # Not every source of the system must answer: what is missing shows when the packages are installed.
  # shellcheck disable=SC2016
  logged "installing Debian packages" apt "Is the network reachable, and are the sources in /etc/apt right?" \
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive sh -c \
    'apt-get update; apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=120 "$@"' sh "${missing[@]}"
}

usable_python() {
  "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null
}

find_python() {
  local python
  for python in ${PYTHON:+"$PYTHON"} python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
    if usable_python "$python"; then
      echo "$python"
      return
    fi
  done
}

venv_problem() {
  if [ ! -e .venv ]; then
    echo "not there yet"
  elif ! usable_python .venv/bin/python; then
    echo "its Python does not run or is not one of 3.10 to 3.14"
  else
    .venv/bin/python scripts/venv_problem.py "${requirements[@]}" 2>/dev/null || echo "it has no pip"
  fi
}

# .venv/bin/pip would not survive a move of the folder; python -m pip does. pip unpacks beside .venv rather than in
# /tmp, which may be small.
install_requirements() {
  mkdir -p .cache/tmp
  TMPDIR=$PWD/.cache/tmp logged "installing Python packages" pip \
    "Is the network reachable (or a proxy set)? Is there disk space left?" \
    .venv/bin/python -m pip install --no-cache-dir --no-input --disable-pip-version-check --only-binary=:all: \
    "${requirements[@]/#/--requirement=}"
  rm -rf .cache/tmp
}

make_venv() {
  local python
  python=$(find_python)
  [ -n "$python" ] || fail "no Python from 3.10 to 3.14 with the venv module was found." \
    "Install one (Debian 12: apt-get install python3 python3-venv) and name it: PYTHON=/path/to/python scripts/setup.sh"
  rm -rf .venv
  require_space . 8000 "installing LibTorch with its CUDA libraries"
  say "making .venv with $("$python" -V) and installing torch (3 GB to download, 5 GB unpacked)"
  logged "making .venv" venv "Is $python a whole Python?" "$python" -m venv .venv
  install_requirements
}

install_venv() {
  local problem
  problem=$(venv_problem)
  [ -n "$problem" ] || return 0
  say ".venv: $problem"
  # A package that is only missing or of another version can be added; whatever else is wrong, a new .venv mends it.
  if [[ $problem == *"is not installed" || $problem == *"needed is"* ]] && [[ $problem != torch* ]]; then
    say "installing Python packages into .venv"
    install_requirements
    problem=$(venv_problem)
  fi
  if [ -n "$problem" ]; then
    make_venv
    problem=$(venv_problem)
  fi
  [ -z "$problem" ] || fail ".venv is still not right: $problem" "See $PWD/.cache/setup-pip.log."
}

require_tool() {  # COMMAND VERSION-OPTION MINIMUM
  local version
  command -v "$1" >/dev/null || fail "$1 was not found on PATH; $3 or newer is needed."
  version=$("$1" "$2" | grep -oE '[0-9]+(\.[0-9]+)*' | head -n 1)
  [ "$(printf '%s\n%s\n' "$3" "$version" | sort -V | head -n 1)" = "$3" ] ||
    fail "$1 is $version; $3 or newer is needed." "Debian 12, Ubuntu 24.04 and later have it."
}

# Prints "ROOT VERSION" of the LibTorch that CMAKE_PREFIX_PATH or Torch_DIR names, or nothing.
named_torch() {
  cmake -DCM_TORCH_NAMED_ONLY=ON -P cmake/TorchRoot.cmake 2>.cache/setup-torch.log ||
    fail "the LibTorch that CMAKE_PREFIX_PATH or Torch_DIR names cannot be used:" \
      "$(grep -v '^CMake Error' .cache/setup-torch.log | tr -s ' \n' ' ')"
}

mkdir -p .cache
if $install; then
  [ -n "$(find_python)" ] || packages+=(python3 python3-venv)
  install_packages
fi
require_tool cmake --version 3.25
require_tool c++ -dumpfullversion 11

torch=$(named_torch)
if [ -n "$torch" ]; then
  say "LibTorch: $torch, as CMAKE_PREFIX_PATH or Torch_DIR says"
elif $install; then
  install_venv
else
  problem=$(venv_problem)
  [ -z "$problem" ] || fail "no LibTorch: CMAKE_PREFIX_PATH and Torch_DIR name none, and .venv: $problem." \
    "Name yours, CMAKE_PREFIX_PATH=/path/to/libtorch, or run scripts/setup.sh without --no-install."
fi
if ! $install; then
  say "checking by a configuration of build/ that all libraries are there"
  "${configure[@]}"
fi

echo "$seconds" >.cache/setup-seconds
say "ready; downloads and installs took $seconds s"
