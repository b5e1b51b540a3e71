#!/usr/bin/env bash
# On a machine with a GPU and a JAX that uses it: the trainer's speed and memory on CPU and GPU (table in results/gpu.md), then
# the fast tests on the GPU. `python benchmarks/gpu.py --help` shows the flags, which this script passes on.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
"$python" benchmarks/gpu.py --markdown=results/gpu.md "$@"
# Several processes share the GPU, so none may reserve most of its memory.
XLA_PYTHON_CLIENT_PREALLOCATE=false "$python" -m pytest -q
