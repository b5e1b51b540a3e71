#!/usr/bin/env bash
# Makes results/claims/: rows.csv, the ledger as CLAIMS.md and index.html, and the figures of the publication. Run at the root of
# a checkout with nmbench installed (extra [report]), after reference_results.sh, whose run folders are the first argument
# (results/reference_runs). What two cores can do in an hour or two: where a protocol asks for days, networks are trained for
# fewer steps, and the ledger says so.
set -euo pipefail
python=${PYTHON:-.venv/bin/python}
reference=${1:-results/reference_runs}
folder=${2:-results/claims_runs}
long=${3:-results/long_runs}
run() { "$python" -m nmbench.run --results_dir="$folder" "$@"; }
run --model=nmrnn_linear --task=mwg_rank1 --protocol=paper --seeds=4
run --model=nmrnn_linear --task=mwg_rank1 --seeds=4
run --model=nmrnn_linear --task=mwg_rank1 --seeds=1 --hparams=tau_x=1,linear_z=true,feedback=true
for model in nmrnn lrrnn rnn lstm; do
  run --model=$model --task=multitask --steps=8000 --seeds=4
  run --model=$model --task=multitask --protocol=paper --steps=8000 --seeds=3
  run --model=$model --task=mwg_rank3 --protocol=paper --steps=14000
done
# The claim on retraining is about the NM-RNN alone: that one in full.
"$python" -m nmbench.run --results_dir="$long" --model=nmrnn --task=multitask --seeds=4
mkdir -p results/claims/figures
cp "$folder/results.csv" results/claims/rows.csv
cp "$long/results.csv" results/claims/long_rows.csv
"$python" -m nmbench.claims results/reference.csv "$folder" "$long" --out=results/claims/CLAIMS.md
"$python" -m nmbench.claims results/reference.csv "$folder" "$long" --format=html --out=results/claims/index.html
# Exit code 1 says that a figure shows fewer seeds than it could; which is in the captions.
draw() { "$python" -m nmbench.figures "$@" || [ $? = 1 ]; }
draw --results="$reference" --out=results/claims/figures/trained --only=S1,S2,S5,S6,intervals,ablation,5B,5C
draw --results="$long" --out=results/claims/figures/multitask --only=S3,S4
draw --results="$folder" --out=results/claims/figures/short --only=percent
draw --results="$folder" --out=results/claims/figures/rank1 --only=3B --protocol=paper
