#!/usr/bin/env bash
# Makes the board: results/board/TASK.csv (rows) and TASK.safetensors (parameters and values per trial), and the tuning records
# in baselines/tuned/, for all models on the named tasks (default: all that are registered) under protocol matched, at the
# tasks' default budgets, with tuned learning rates and the numbers of seeds that the board asks for
# (nmbench/submissions/board_seeds.toml). Then results/LEADERBOARD.md, results/leaderboard/index.html and results/findings/
# are made from all rows.
# Needs nmbench with the extra [report]. Start it again after an interruption: what is stored in results/board_runs, or packed
# in results/board_parts by an earlier call that was not finished, is not trained again. The tasks take from hours to days on
# two cores; `nmbench.sweep --dry_run` with the same flags estimates them.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
mkdir -p results/board
if [ $# = 0 ]; then
  # Those that the findings and the ledger need most come first.
  first="element_finder mwg_rank3 multitask"
  all=$("$python" -c 'from nmbench.contracts.catalog import TASKS; print(*(entry.name for entry in TASKS.entries()))')
  for task in $first $all; do
    case " $* " in *" $task "*) ;; *) set -- "$@" "$task" ;; esac
  done
fi
for task in "$@"; do
  seeds=$("$python" -c 'import sys; from nmbench.submissions import board_seeds; print(board_seeds.wanted(sys.argv[1]))' "$task")
  folder=results/board_runs/$task
  for packed in results/board results/board_parts; do
    [ ! -e $packed/$task.safetensors ] || "$python" benchmarks/pack.py "$folder" --unpack=$packed/$task
  done
  mkdir -p "$folder/tuning"
  cp -n results/board_parts/tuning/*.$task.*.json "$folder/tuning/" 2> /dev/null || true
  # Exit code 1 means that some runs diverged; their rows say so.
  "$python" -m nmbench.sweep --models=all --tasks="$task" --tune --seeds=$seeds --results_dir="$folder" || [ $? = 1 ]
  "$python" benchmarks/pack.py "$folder" --out=results/board/$task
  rm -f results/board_parts/$task.* results/board_parts/tuning/*.$task.*
  # tuning/MODEL.TASK.PROTOCOL.KEY.json is shipped as tuned/MODEL.TASK.PROTOCOL.json, the newest last.
  for record in $(ls -tr "$folder"/tuning/*.json); do
    name=$(basename "$record" .json)
    cp "$record" "baselines/tuned/${name%.*}.json"
  done
done
{
  echo "# Leaderboard"
  echo
  echo "Made from \`board/\`, \`submissions/\` and \`claims/rows.csv\` by \`bash benchmarks/reference_results.sh\`."
  echo
  "$python" -m nmbench.leaderboard results/board submissions results/claims/rows.csv --format=markdown --wide
} > results/LEADERBOARD.md
"$python" -m nmbench.leaderboard results/board submissions results/claims/rows.csv --format=html --out=results/leaderboard
"$python" -m nmbench.findings results/board --out=results/findings
# Exit code 1 means that some of the models have no runs.
"$python" -m nmbench.figures --results=results/board --only=modulation --out=results/findings --formats=png || [ $? = 1 ]
