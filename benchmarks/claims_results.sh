#!/usr/bin/env bash
# Makes results/claims/: rows.csv, parameters and curves packed beside it, the ledger as CLAIMS.md and index.html, and the
# publication's figures. Then benchmarks/derived_results.sh makes what follows from the rows.
# Needs nmbench with the extra [report], and the rows of reference_results.sh. The argument is the results folder of this
# script, by default results/claims_runs, relative to the root of the checkout. The script takes about ten hours on two
# cores, but does not train what is packed in results/claims or stored in the folder. Where a line gives --steps, the ledger
# says so.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
folder=${1:-results/claims_runs}
"$python" -c 'import jinja2, matplotlib' 2> /dev/null || { echo "install nmbench with the extra [report]" >&2; exit 2; }
[ ! -e results/claims/rows.csv ] || "$python" benchmarks/pack.py "$folder" --unpack=results/claims/rows
# Exit code 1 means that some runs diverged; their rows say so.
run() { "$python" -m nmbench.run --results_dir="$folder" "$@" || [ $? = 1 ]; }
for model in nmrnn lrrnn rnn lstm; do
  run --model=$model --task=element_finder --protocol=paper
done
run --model=nmrnn --task=element_finder --protocol=paper_code
run --model=nmrnn_linear --task=mwg_rank1 --protocol=paper
run --model=nmrnn_linear --task=mwg_rank1 --seeds=20
run --model=nmrnn_linear --task=mwg_rank1 --seeds=1 --hparams=tau_x=1,linear_z=true,feedback=true
for model in nmrnn lrrnn rnn lstm; do
  run --model=$model --task=multitask --steps=8000 --seeds=4
  run --model=$model --task=multitask --protocol=paper
  run --model=$model --task=mwg_rank3 --protocol=paper
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
mkdir -p results/claims
"$python" benchmarks/pack.py "$folder" --out=results/claims/rows
# Old figures stay until all new ones are drawn. Exit code 1 means that a figure has fewer runs than it can show; its caption
# lists the seeds.
figures=$(mktemp -d)
trap 'rm -rf "$figures"' EXIT
draw() { "$python" -m nmbench.figures --out="$figures" --formats=png "$@" || [ $? = 1 ]; }
draw --results=results/board --only=5B,5C,intervals,S1,S2,S5,S6,ablation
draw --results=results/claims/rows.csv --only=3B,S3,S4,percent --protocol=paper
"$python" -m nmbench.validate results/board results/claims --figures="$figures"
mkdir -p results/claims/figures
rm -f results/claims/figures/*
cp "$figures"/* results/claims/figures/
"$python" -m nmbench.claims results/board results/claims --format=markdown --out=results/claims/CLAIMS.md
"$python" -m nmbench.claims results/board results/claims --format=html --out=results/claims/index.html
bash benchmarks/derived_results.sh
