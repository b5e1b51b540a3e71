#!/usr/bin/env bash
# Makes results/claims/: rows.csv and long_rows.csv, parameters and curves packed beside them, the ledger as CLAIMS.md and
# index.html, and the publication's figures.
# Needs nmbench with the extra [report], and the rows of reference_results.sh. The arguments are the results folders of this
# script, by default results/claims_runs and results/long_runs, relative to the root of the checkout. The script takes about
# ten hours on two cores. Where a line gives --steps, the ledger says so.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
folder=${1:-results/claims_runs}
long=${2:-results/long_runs}
run() { "$python" -m nmbench.run --results_dir="$folder" "$@"; }
for model in nmrnn lrrnn rnn lstm; do
  run --model=$model --task=element_finder --protocol=paper
done
run --model=nmrnn --task=element_finder --protocol=paper_code
run --model=nmrnn_linear --task=mwg_rank1 --protocol=paper
run --model=nmrnn_linear --task=mwg_rank1 --seeds=20
run --model=nmrnn_linear --task=mwg_rank1 --seeds=1 --hparams=tau_x=1,linear_z=true,feedback=true
for model in nmrnn lrrnn rnn lstm; do
  run --model=$model --task=multitask --steps=8000 --seeds=4
  run --model=$model --task=multitask --protocol=paper --steps=8000 --seeds=3
  run --model=$model --task=mwg_rank3 --protocol=paper
done
# The multitask as published, in full; rows of lrrnn and of four seeds of nmrnn are still to be trained.
for model in rnn lstm nmrnn lrrnn; do
  run --model=$model --task=multitask --protocol=paper
done
# Rivals whose recurrence is scaled like that of the NM-RNN.
for model in lrrnn rnn; do
  run --model=$model --task=mwg_rank3 --protocol=paper --hparams=parametrisation=matched
done
# The other sizes and learning rates that Fig. 5B pools.
for sizes in M=5,N=13,K=12 M=10,N=14,K=5 M=10,N=12,K=7 M=15,N=6,K=5; do
  run --model=nmrnn --task=element_finder --protocol=paper --hparams=$sizes
done
for sizes in N=31,K=7 N=50,K=4 N=83,K=2; do
  run --model=lrrnn --task=element_finder --protocol=paper --hparams=$sizes
done
for rate in 1e-3 1e-1; do
  run --model=rnn --task=element_finder --protocol=paper --learning_rate=$rate
done
# The claim about retraining needs full training, but only of the NM-RNN.
"$python" -m nmbench.run --results_dir="$long" --model=nmrnn --task=multitask --seeds=4
rm -rf results/claims/figures
mkdir -p results/claims/figures
"$python" benchmarks/pack.py "$folder" --out=results/claims/rows
"$python" benchmarks/pack.py "$long" --out=results/claims/long_rows
# Exit code 1 means that a figure has fewer runs than it can show. Its caption lists the seeds.
draw() { "$python" -m nmbench.figures --out=results/claims/figures --formats=png "$@" || [ $? = 1 ]; }
draw --results=results/board --only=5B,5C,intervals,S1,S2,S5,S6,ablation
draw --results=results/claims/rows.csv --only=percent
draw --results=results/claims/long_rows.csv --only=S3,S4
draw --results=results/claims/rows.csv --only=3B --protocol=paper
"$python" -m nmbench.validate results/board results/claims --figures=results/claims/figures
"$python" -m nmbench.claims results/board results/claims --format=markdown --out=results/claims/CLAIMS.md
"$python" -m nmbench.claims results/board results/claims --format=html --out=results/claims/index.html
