#!/usr/bin/env bash
# Makes results/rank/flip_flop.csv and its pack: lrrnn and nmrnn on flip_flop with ranks 4 and 6 instead of 3, 20 seeds each, at
# the learning rates that were tuned with rank 3. About half an hour on two cores; it does not train what is packed.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
folder=results/rank_runs
[ ! -e results/rank/flip_flop.csv ] || "$python" benchmarks/pack.py "$folder" --unpack=results/rank/flip_flop
run() { "$python" -m nmbench.run --task=flip_flop --seeds=20 --results_dir="$folder" "$@"; }
for rank in 4 6; do
  run --model=lrrnn --hparams=K=$rank --learning_rate=0.3
  run --model=nmrnn --hparams=K=$rank --learning_rate=0.03
done
mkdir -p results/rank
"$python" benchmarks/pack.py "$folder" --out=results/rank/flip_flop
