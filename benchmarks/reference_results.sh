#!/usr/bin/env bash
# Makes results/reference.csv and results/LEADERBOARD.md: all built-in baselines on element_finder, ten seeds each.
# Run at the root of a checkout with nmbench installed; about half an hour on two cores. FOLDER defaults to results/reference_runs.
set -euo pipefail
python=${PYTHON:-.venv/bin/python}
folder=${1:-results/reference_runs}
for model in nmrnn lrrnn rnn lstm; do
  "$python" -m nmbench.run --model=$model --task=element_finder --tune --results_dir="$folder"
  "$python" -m nmbench.run --model=$model --task=element_finder --protocol=paper --results_dir="$folder"
done
"$python" -m nmbench.run --model=nmrnn --task=element_finder --protocol=paper_code --results_dir="$folder"
cp "$folder/results.csv" results/reference.csv
{
  echo "# Leaderboard"
  echo
  echo "Made from \`reference.csv\` by \`bash benchmarks/reference_results.sh\`."
  echo
  "$python" -m nmbench.leaderboard results/reference.csv --format=markdown
} > results/LEADERBOARD.md
