"""A results CSV of 10,080 rows: 8 tasks x 12 models x 5 budgets x 21 seeds."""

import csv
import json
import random
import resource
import subprocess
import sys
import time

import pytest

from nmbench.results import csv_files, schema
from support.rows import make_row

TASKS, MODELS, BUDGETS, SEEDS = 8, 12, 5, 21
CODE = """
import sys
from nmbench import __main__
try:
    __main__.main()
finally:
    with open("/proc/self/status") as file:
        print([line for line in file if line.startswith("VmHWM")][0], file=sys.stderr)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A CSV whose rows are as long as real ones: 1.2 KB of configuration and 0.6 KB of conditions."""
    path = tmp_path_factory.mktemp("large") / "large.csv"
    drawn = random.Random(0)
    columns = csv_files.header([make_row()])
    protocol = {"name": "matched", "phases": [{f"setting_{i}": i * 1.5 for i in range(50)}]}
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for task in range(TASKS):
            for model in range(MODELS):
                for budget in range(500, 500 + BUDGETS):
                    config = {
                        "model": f"m{model}",
                        "task": f"t{task}",
                        "budget": budget,
                        "protocol": protocol,
                        "seed": "SEED",
                    }
                    text = schema.canonical_json(config)
                    for seed in range(SEEDS):
                        value = min(4.0, abs(1 + model / 20 + drawn.gauss(0, 0.2)))
                        row = make_row(f"m{model}", seed, value, task=f"t{task}", params_target=budget)
                        row["run_id"] = f"m{model}.t{task}.b{budget}.s{seed}"
                        row["config_json"] = text.replace('"SEED"', str(seed))
                        row["conditions_json"] = json.dumps({"mse": {str(i): drawn.random() for i in range(25)}})
                        row["train_s"], row["eval_s"] = drawn.random(), drawn.random()
                        writer.writerow([csv_files.cell_text(row[name]) for name in columns])
    return path


@pytest.mark.release
@pytest.mark.parametrize(
    ("command", "lines"), [("leaderboard", TASKS * MODELS * BUDGETS), ("compare", TASKS * BUDGETS * 66)]
)
def test_10000_rows_take_seconds_and_less_than_400_megabytes(large, command, lines, capsys):
    began, busy = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    argv = [sys.executable, "-W", "error", "-c", CODE, command, str(large), "--format=csv"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    seconds, busy = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - busy
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == lines + 1
    megabytes = int(done.stderr.split()[1]) / 1024
    with capsys.disabled():
        rows = TASKS * MODELS * BUDGETS * SEEDS
        print(f"\n{command}, {rows} rows: {seconds:.1f} s, {busy:.1f} s of a core, {megabytes:.0f} MB")
    assert megabytes < 400 and seconds < 60
