"""Simulate the test of `nmbench verify --tier=re-trained` on the reference rows: false alarms, and frauds that it catches.

python benchmarks/verification_rates.py --repetitions=2000

Every experiment of the rows with 30 or more seeds gives a pool: the natural logarithms of its errors. A simulated submission
has 30 values and is retrained with k seeds. Values are drawn from the pool, with replacement, plus noise of 0.02 so that no
two are equal. Retrained values are drawn independently of the submitted ones, as if rounding made another run of each seed.
Nothing is taken for granted about seeds of equal number. The tables are in Markdown; docs/verification.md explains them.

  honest         both are drawn from one pool
  halved         the submitted errors are divided by two (or four)
  best of 60     60 seeds were trained, and the best 30 are submitted as seeds 0 to 29
  better model   the submitted values are those of the next better model with rows on this task
"""

from __future__ import annotations

import pathlib
import zlib

import _checkout  # noqa: F401
import numpy as np
import tabulate

from nmbench.results import experiment_rows
from nmbench.submissions import distribution_test
from nmbench.support import cli

FLAGS = cli.new_flags()
cli.integer(FLAGS, "repetitions", 2000, "simulated submissions per number", 1)
cli.integer(FLAGS, "seed", 0, "seed of the simulation", 0)
RESULTS = pathlib.Path(__file__).resolve().parents[1] / "results"
ROWS = (
    RESULTS / "board" / "element_finder.csv",
    RESULTS / "board" / "mwg_rank3.csv",
)
SUBMITTED, RETRAINED = 30, (3, 5, 10, 15, 30)
NOISE = 0.02
# Honest submissions are simulated so many times more often, since their rate is small.
MORE_HONEST = 10
FRAUDS = ("honest", "halved", "quartered", "best of 60", "better model")
HEADERS = ("honest", "error / 2", "error / 4", "best 30 of 60", "a better model's rows")


def pools(paths: list[str]) -> dict[tuple[str, str], np.ndarray]:
    """(Task, model) to the logarithms of its errors, for every experiment under `matched` with 30 or more seeds."""
    found: dict[tuple[str, str], np.ndarray] = {}
    for source in experiment_rows.read_all(paths, protocol="matched"):
        for one in source.experiments:
            if one.sample.logarithmic and len(one.sample) >= SUBMITTED:
                found[one.table[0], one.model] = np.log(one.sample.values)
    return found


def better_pool(found: dict[tuple[str, str], np.ndarray], key: tuple[str, str]) -> np.ndarray | None:
    """The pool of the model with the next smaller median on the same task; None for the best model."""
    middle = np.median(found[key])
    better = [pool for (task, _), pool in found.items() if task == key[0] and np.median(pool) < middle]
    return max(better, key=np.median, default=None)


def draw(random: np.random.Generator, pool: np.ndarray, count: int) -> np.ndarray:
    return random.choice(pool, count) + random.normal(0, NOISE, count)


def submitted(random, fraud: str, pool: np.ndarray, better: np.ndarray) -> np.ndarray:
    """Logarithms `[30]` of the errors of a simulated submission."""
    if fraud == "best of 60":
        return np.sort(draw(random, pool, 2 * SUBMITTED))[:SUBMITTED]
    if fraud == "better model":
        return draw(random, better, SUBMITTED)
    shift = {"honest": 0.0, "halved": np.log(2), "quartered": np.log(4)}[fraud]
    return draw(random, pool, SUBMITTED) - shift


def failed(random, fraud: str, k: int, pool: np.ndarray, better: np.ndarray | None, repetitions: int) -> float | None:
    """Share of simulated submissions that fail the test; None if there is no better model."""
    if fraud == "better model" and better is None:
        return None
    hits, repetitions = 0, repetitions * (MORE_HONEST if fraud == "honest" else 1)
    for _ in range(repetitions):
        claimed, found = submitted(random, fraud, pool, better), draw(random, pool, k)
        hits += distribution_test.p_value(claimed.tolist(), found.tolist(), False) <= distribution_test.FALSE_ALARM
    return hits / repetitions


def main(paths: list[str]) -> int:
    found = pools(paths or [str(path) for path in ROWS if path.is_file()])
    rates: dict[int, dict[tuple[str, str], list[float | None]]] = {}
    for k in RETRAINED:
        rates[k] = {}
        for key, pool in found.items():
            streams = [np.random.default_rng([FLAGS.seed, zlib.crc32(repr((k, *key, fraud)).encode())]) for fraud in FRAUDS]
            better = better_pool(found, key)
            rates[k][key] = [
                failed(stream, fraud, k, pool, better, FLAGS.repetitions)
                for fraud, stream in zip(FRAUDS, streams, strict=True)
            ]
    lines = []
    for k, by_model in rates.items():
        columns = [[rate for rate in column if rate is not None] for column in zip(*by_model.values(), strict=True)]
        shown = [f"{np.mean(c):.2f} ({np.min(c):.2f})" if c else "" for c in columns[1:]]
        honest = f"{np.mean(columns[0]):.4f} ({np.max(columns[0]):.4f})"
        lines.append((k, f"{distribution_test.level(SUBMITTED, k):.4f}", honest, *shown))
    print(tabulate.tabulate(lines, ("k", "exact", *HEADERS), "github", disable_numparse=True))
    print()
    k = distribution_test.SEEDS
    lines = [
        (
            task,
            model,
            f"{np.std(found[task, model]):.2f}",
            f"{values[0]:.4f}",
            *("" if v is None else f"{v:.2f}" for v in values[1:]),
        )
        for (task, model), values in sorted(rates[k].items(), key=lambda one: (one[0][0], np.std(found[one[0]])))
    ]
    print(tabulate.tabulate(lines, ("task", "model", "spread", *HEADERS), "github", disable_numparse=True))
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "verification_rates.py", "[FILE.csv ...]")
