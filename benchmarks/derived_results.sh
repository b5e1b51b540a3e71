#!/usr/bin/env bash
# Makes what follows from the rows of results/board, submissions and results/claims: the records of verification, findings and
# their figures, LEADERBOARD.md, the leaderboard's page, the picture and the tables of README.md. It trains nothing.
# Needs nmbench with the extra [report].
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
sources=(results/board submissions)
[ ! -e results/claims/rows.csv ] || sources+=(results/claims/rows.csv)
"$python" -m nmbench.verify results/board
"$python" -m nmbench.findings results/board --out=results/findings
# Exit code 1 means that some of the models have no runs.
"$python" -m nmbench.figures --results=results/board --only=modulation --out=results/findings --formats=png || [ $? = 1 ]
made=$(mktemp)
{
  echo "# Leaderboard"
  echo
  echo "Made from \`board/\`, \`submissions/\` and \`claims/rows.csv\` by \`bash benchmarks/derived_results.sh\`."
  echo
  "$python" -m nmbench.leaderboard "${sources[@]}" --format=markdown --wide
} > "$made"
cat "$made" > results/LEADERBOARD.md
rm "$made"
"$python" -m nmbench.leaderboard "${sources[@]}" --format=html --out=results/leaderboard
"$python" docs/overview.py
# README.md shows claims.
[ ! -e results/claims/CLAIMS.md ] || "$python" docs/generated_tables.py
