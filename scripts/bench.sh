#!/usr/bin/env bash
# Times our executables against the Python peers in turns and prints tables in Markdown.
#
#   scripts/bench.sh [--release PATH] [--case cifar32 …] [--jobs train_cd …] [--threads 1 2] [--rounds N] [--no-compile] …
#
# --help says it all. The peers' code is not here: the official release comes from a checkout that --release names, diffusers
# from PyPI (scripts/requirements-dev.txt). Builds what is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[ -x build/bin/cm-bench ] || scripts/build.sh cm-bench >&2
exec .venv/bin/python bench/compare.py "$@"
