#!/usr/bin/env bash
# Times our executables against the Python peers in turns and prints tables in Markdown.
#
#   scripts/bench.sh [--release PATH] [--case cifar32 …] [--jobs train_cd …] [--threads 1 2] [--rounds N] [--no-compile] …
#   scripts/bench.sh --edm2 PATH --case edm2_32 --jobs train_edm sample_heun18 …
#   scripts/bench.sh --meanflow PATH --case meanflow_32 --jobs train_mean_flow …
#   scripts/bench.sh --case sd_vae --jobs encode decode …
#
# --help says it all. The peers' code is not here: the official release, EDM2's and MeanFlow's come from checkouts that --release,
# --edm2 and --meanflow name, diffusers from PyPI (scripts/requirements-dev.txt). Builds what is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[ -x build/bin/cm-bench ] || scripts/build.sh cm-bench >&2
exec .venv/bin/python bench/compare.py "$@"
