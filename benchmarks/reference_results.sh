#!/usr/bin/env bash
# Makes the board: results/board/TASK.csv (rows) and TASK.safetensors (parameters and values per trial), and the tuning records
# in baselines/tuned/, for all models on the named tasks (default: all that are registered) under protocol matched, at the
# tasks' default budgets, with tuned learning rates and the numbers of seeds that the board asks for
# (nmbench/submissions/board_seeds.toml). Then benchmarks/derived_results.sh makes what follows from the rows.
# Needs nmbench with the extra [report]. Start it again after an interruption. It does not train what is packed in
# results/board or stored in results/board_runs, nor tune where a record is in baselines/tuned. The tasks take from hours to
# days on two cores; `nmbench.sweep --dry_run` with the same flags estimates them.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
"$python" -c 'import jinja2, matplotlib' 2> /dev/null || { echo "install nmbench with the extra [report]" >&2; exit 2; }
mkdir -p results/board
if [ $# = 0 ]; then
  # Those that the findings and the ledger need most come first.
  first="element_finder mwg_rank3 multitask"
  all=$("$python" -c 'from nmbench.contracts.catalog import TASKS; print(*(entry.name for entry in TASKS.entries()))')
  for task in $first $all; do
    case " $* " in *" $task "*) ;; *) set -- "$@" "$task" ;; esac
  done
fi
# The models that have, or have not, a tuning record for a task: models TASK True|False.
models() {
  "$python" -c 'import sys
from nmbench.contracts.catalog import BASELINES
tuned = {e.name: str(BASELINES.get(e.name).tuned(sys.argv[1], "matched") is not None) for e in BASELINES.entries()}
print(",".join(name for name, found in tuned.items() if found == sys.argv[2]))' "$@"
}
for task in "$@"; do
  seeds=$("$python" -c 'import sys; from nmbench.submissions import board_seeds; print(board_seeds.wanted(sys.argv[1]))' "$task")
  folder=results/board_runs/$task
  [ ! -e results/board/$task.csv ] || "$python" benchmarks/pack.py "$folder" --unpack=results/board/$task
  have=$(models "$task" True) lack=$(models "$task" False)
  # Exit code 1 means that some runs diverged; their rows say so.
  sweep() { "$python" -m nmbench.sweep --tasks="$task" --seeds=$seeds --results_dir="$folder" "$@" || [ $? = 1 ]; }
  [ -z "$have" ] || sweep --models="$have"
  [ -z "$lack" ] || sweep --models="$lack" --tune
done
# Only now, because rows of training beside changed files would be marked as such.
for task in "$@"; do
  folder=results/board_runs/$task
  "$python" benchmarks/pack.py "$folder" --out=results/board/$task
  # tuning/MODEL.TASK.PROTOCOL.KEY.json is shipped as tuned/MODEL.TASK.PROTOCOL.json, the newest last.
  compgen -G "$folder/tuning/*.json" > /dev/null || continue
  for record in $(ls -tr "$folder"/tuning/*.json); do
    name=$(basename "$record" .json)
    cp "$record" "baselines/tuned/${name%.*}.json"
  done
done
bash benchmarks/derived_results.sh
