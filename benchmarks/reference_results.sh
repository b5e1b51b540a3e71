#!/usr/bin/env bash
# Makes results/reference.csv, results/LEADERBOARD.md, results/leaderboard/index.html and the tuning records in baselines/tuned:
# the models of the publication and the GRU on element_finder (protocol matched, tuned, 30 seeds; the models of the publication
# also under paper, ten seeds, and the NM-RNN under paper_code) and the models of the publication on mwg_rank3 (matched, tuned,
# ten seeds). Needs nmbench with the extra [report]. Takes some hours on two cores; start it again after an interruption. The
# first argument is the results folder, by default results/reference_runs, relative to the root of the checkout.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
folder=${1:-results/reference_runs}
run() { "$python" -m nmbench.run --results_dir="$folder" "$@"; }
for model in nmrnn lstm gru lrrnn rnn; do
  run --model=$model --task=element_finder --tune --seeds=30
done
for model in nmrnn lrrnn rnn lstm; do
  run --model=$model --task=element_finder --protocol=paper
  run --model=$model --task=mwg_rank3 --tune
done
run --model=nmrnn --task=element_finder --protocol=paper_code
# tuning/MODEL.TASK.PROTOCOL.KEY.json is shipped as tuned/MODEL.TASK.PROTOCOL.json.
mkdir -p baselines/tuned
for record in "$folder"/tuning/*.json; do
  name=$(basename "$record" .json)
  cp "$record" "baselines/tuned/${name%.*}.json"
done
cp "$folder/results.csv" results/reference.csv
{
  echo "# Leaderboard"
  echo
  echo "Made from \`reference.csv\` by \`bash benchmarks/reference_results.sh\`."
  echo
  "$python" -m nmbench.leaderboard results/reference.csv --format=markdown --wide
} > results/LEADERBOARD.md
"$python" -m nmbench.leaderboard "$folder" --format=html --out=results/leaderboard
