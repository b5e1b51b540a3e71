#!/usr/bin/env bash
# Makes results/board/TASK.csv and the tuning records in baselines/tuned/: all models on the named tasks (default: all nine)
# under protocol matched, at the tasks' default budgets, with tuned learning rates. Start it again after an interruption: what
# is stored is not trained again. A task's files are replaced when all its models are trained. The tasks take from hours to
# days on two cores; `nmbench.sweep --dry_run` with the same flags estimates them.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
mkdir -p results/board
[ $# -gt 0 ] || set -- element_finder mwg_rank3 multitask mwg_rank1 mwg_rank3_code delay_pro delay_anti memory_pro memory_anti
for task in "$@"; do
  case "$task" in
    element_finder | mwg_rank3) seeds=30 ;;
    multitask) seeds=10 ;;
    *) seeds=20 ;;
  esac
  folder=results/board_runs/$task
  # Exit code 1 means that some runs diverged; their rows say so.
  "$python" -m nmbench.sweep --models=all --tasks="$task" --tune --seeds=$seeds --results_dir="$folder" || [ $? = 1 ]
  cp "$folder/results.csv" "results/board/$task.csv"
  # tuning/MODEL.TASK.PROTOCOL.KEY.json is shipped as tuned/MODEL.TASK.PROTOCOL.json, the newest last.
  for record in $(ls -tr "$folder"/tuning/*.json); do
    name=$(basename "$record" .json)
    cp "$record" "baselines/tuned/${name%.*}.json"
  done
done
