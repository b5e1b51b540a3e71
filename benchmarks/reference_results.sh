#!/usr/bin/env bash
# Makes results/reference.csv, results/LEADERBOARD.md and results/leaderboard/index.html: the models of the publication, ten
# seeds each, on element_finder (protocols matched and paper, for the NM-RNN also paper_code) and on mwg_rank3 (matched).
# Needs nmbench with the extra [report]. Takes 32 minutes on two cores. The first argument is the results folder, by default
# results/reference_runs, relative to the root of the checkout.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
folder=${1:-results/reference_runs}
run() { "$python" -m nmbench.run --results_dir="$folder" "$@"; }
for model in nmrnn lrrnn rnn lstm; do
  run --model=$model --task=element_finder --tune
  run --model=$model --task=element_finder --protocol=paper
  run --model=$model --task=mwg_rank3 --tune
done
run --model=nmrnn --task=element_finder --protocol=paper_code
cp "$folder/results.csv" results/reference.csv
{
  echo "# Leaderboard"
  echo
  echo "Made from \`reference.csv\` by \`bash benchmarks/reference_results.sh\`."
  echo
  "$python" -m nmbench.leaderboard results/reference.csv --format=markdown --wide
} > results/LEADERBOARD.md
"$python" -m nmbench.leaderboard "$folder" --format=html --out=results/leaderboard
