"""Simulate the leaderboard's statistics on the spreads of real rows: family-wise error, power and coverage.

python benchmarks/error_rates.py results/board/*.csv

Every experiment of the rows with ten or more seeds gives a pool: its log10 errors, minus their mean. A simulated model draws
its seeds from one pool, with replacement, plus noise of 0.02 decades so that no two seeds are equal. Tables are printed in
Markdown; docs/statistics.md explains them.
"""

from __future__ import annotations

import itertools
import math
import pathlib
import zlib

import _checkout  # noqa: F401
import numpy as np
import tabulate

from nmbench.results import experiment_rows, power, significance, statistics
from nmbench.results.significance import SAME_RATIO
from nmbench.results.statistics import Estimate, Sample
from nmbench.support import cli

FLAGS = cli.new_flags()
cli.integer(FLAGS, "repetitions", 200, "simulated tables per line", 1)
BOARD = sorted((pathlib.Path(__file__).resolve().parents[1] / "results" / "board").glob("*.csv"))
MODELS, SEEDS = (4, 11, 20), (5, 10, 20, 30)
NOISE = 0.02
# Factors between the errors of neighbouring models in the simulation of power.
FACTORS = (2.0, 5.0)


def pools(paths: list[str]) -> dict[str, np.ndarray]:
    """Name to centred log10 errors of every experiment with logarithmic metric and ten or more seeds."""
    found = {}
    for source in experiment_rows.read_all(paths):
        for one in source.experiments:
            if one.sample.logarithmic and len(one.sample) >= 10:
                logs = one.sample.compared
                found[f"{one.model}, {one.table[0]}, {one.table[1]}"] = logs - logs.mean()
    return found


def draw(random: np.random.Generator, pool: np.ndarray, seeds: int, shift: float = 0.0) -> Sample:
    """A simulated model whose log10 errors are shifted by `shift`."""
    logs = random.choice(pool, seeds) + random.normal(0, NOISE, seeds) + shift
    return _finished(10.0**logs, False)


def _finished(values: np.ndarray, higher_is_better: bool) -> Sample:
    return Sample(np.arange(len(values)), values, np.zeros(len(values), bool), higher_is_better, not higher_is_better)


def family_wise_error(random, found, models: int, seeds: int, repetitions: int) -> float:
    """Share of tables in which equal models are told apart. Half of the models are equal, the others are worse and worse."""
    wrong = 0
    for _ in range(repetitions):
        pool = found[random.integers(len(found))]
        equal = models // 2 + models % 2
        samples = [draw(random, pool, seeds) for _ in range(equal)]
        samples += [draw(random, found[random.integers(len(found))], seeds, float(i + 1)) for i in range(models - equal)]
        wrong += bool(significance.better(samples)[:equal, :equal].any())
    return wrong / repetitions


def power_of(random, found, models: int, seeds: int, factor: float, repetitions: int) -> float:
    """Share of neighbouring models that are told apart, in tables of models whose errors grow by `factor`."""
    told = []
    for _ in range(repetitions):
        step = np.log10(factor)
        samples = [draw(random, found[random.integers(len(found))], seeds, i * step) for i in range(models)]
        better = significance.better(samples)
        told += [better[i, i + 1] for i in range(models - 1)]
    return float(np.mean(told))


def lost_to_a_weak_model(random, found, seeds: int, repetitions: int) -> str:
    """Verdicts among ten models that change when an eleventh, a thousand times worse than all, is added."""
    changed = total = 0
    for _ in range(repetitions):
        samples = [draw(random, found[random.integers(len(found))], seeds, 0.4 * i) for i in range(10)]
        weak = draw(random, found[random.integers(len(found))], seeds, 8.0)
        before, after = significance.better(samples), significance.better([*samples, weak])[:10, :10]
        changed, total = changed + int((before & ~after).sum()), total + int(before.sum())
    return f"{changed} of {total}"


def looks(random, found, seeds: int, repetitions: int) -> list[float]:
    """Shares of pairs of equal models that are told apart: at once, after adding seeds once, after adding up to eight times.

    Seeds are added to an open comparison as the findings advise (`nmbench.results.power`), for one comparison.
    """
    margin, told = math.log10(SAME_RATIO), np.zeros(9)
    for _ in range(repetitions):
        pool = found[random.integers(len(found))]
        samples = [draw(random, pool, seeds) for _ in range(2)]
        for look in range(len(told)):
            result = significance.compare(*samples)
            if result.p < significance.ALPHA:
                told[look:] += 1
                break
            if result.effect.within(1 / SAME_RATIO, SAME_RATIO):
                break
            advice = power.seeds_to_tell_apart(*samples, significance.ALPHA), power.seeds_to_find_equal(*samples, margin)
            needed = min((n for n in advice if n is not None), default=None)
            if needed is None:
                break
            more = max(needed - len(samples[0]), 1)
            samples = [_joined(sample, draw(random, pool, more)) for sample in samples]
    return list(told[[0, 1, 8]] / repetitions)


def _joined(a: Sample, b: Sample) -> Sample:
    return _finished(np.concatenate([a.values, b.values]), False)


def overall_error(random, tables: int, models: list[tuple[int, float]], repetitions: int) -> float:
    """Share of overall rankings that tell two models with equal means apart, each given by its seeds and their spread."""
    wrong = 0
    for _ in range(repetitions):
        samples = [[_finished(random.normal(0, spread, seeds), True) for _ in range(tables)] for seeds, spread in models]
        wrong += bool(significance.better_over_strata(samples, [1 / tables] * tables).any())
    return wrong / repetitions


def coverage(random, pool: np.ndarray, seeds: int, repetitions: int) -> tuple[float, float, float]:
    """Share of intervals that contain the true value: median, geometric mean, sum of two medians."""
    # The true median is that of the pool with its noise; its mean is that of the pool.
    middle, mean = float(np.median(draw(random, pool, 100_000).compared)), float(pool.mean())
    hits = np.zeros(3)
    for _ in range(repetitions):
        one, other = (draw(random, pool, seeds).compared for _ in range(2))
        both = statistics.sum_of_medians([one, other], [0.5, 0.5], -np.inf, np.inf)
        found = (statistics.median(one), middle), (statistics.mean(one), mean), (both, middle)
        hits += [_contains(estimate, true) for estimate, true in found]
    return tuple(hits / repetitions)


def _contains(estimate: Estimate, true: float) -> bool:
    return estimate.low is not None and estimate.high is not None and estimate.low <= true <= estimate.high


def main(paths: list[str]) -> int:
    found, n = pools(paths or [str(path) for path in BOARD]), FLAGS.repetitions
    all_pools = list(found.values())
    new = lambda *names: np.random.default_rng(zlib.crc32(repr(names).encode()))
    lines = []
    for models, seeds in itertools.product(MODELS, SEEDS):
        error = family_wise_error(new("error", models, seeds), all_pools, models, seeds, n)
        powers = [power_of(new("power", models, seeds, f), all_pools, models, seeds, f, n) for f in FACTORS]
        lines.append((models, seeds, error, *powers))
    headers = ("models", "seeds", "family-wise error", *(f"power, factor {f:g}" for f in FACTORS))
    print(tabulate.tabulate(lines, headers, "github", floatfmt=".3f"))
    print()
    lines = [(seeds, lost_to_a_weak_model(new("weak", seeds), all_pools, seeds, n)) for seeds in SEEDS[1:]]
    print(tabulate.tabulate(lines, ("seeds", "verdicts that a weak model takes away"), "github"))
    print()
    lines = [(seeds, *looks(new("looks", seeds), all_pools, seeds, 4 * n)) for seeds in SEEDS[1:]]
    headers = ("seeds at first", "told apart at once", "after adding seeds once", "after adding until there is a verdict")
    print(tabulate.tabulate(lines, headers, "github", floatfmt=".3f"))
    print()
    lines = []
    for tables, seeds, spread in itertools.product((2, 3), (10, 30), (0.1, 1.0)):
        error = overall_error(new("overall", tables, seeds, spread), tables, [(10, 2.0), (seeds, spread)], 4 * n)
        lines.append((tables, 10, seeds, 2.0, spread, error))
    headers = ("tasks", "seeds of A", "seeds of B", "spread of A", "spread of B", "told apart")
    print(tabulate.tabulate(lines, headers, "github", floatfmt=("", "", "", ".1f", ".1f", ".3f")))
    print()
    lines = []
    for seeds in (3, 6, 10, 20, 30):
        rates = np.array([coverage(new("coverage", name, seeds), pool, seeds, n) for name, pool in found.items()])
        shown = [f"{rates[:, i].mean():.2f} ({rates[:, i].min():.2f})" for i in range(3)]
        lines.append((seeds, *shown) if seeds >= 6 else (seeds, f"{shown[0]}, a range", shown[1], "none"))
    headers = ("seeds", "median", "geometric mean", "mean of two medians")
    print(tabulate.tabulate(lines, headers, "github"))
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "error_rates.py", "[FILE.csv ...]")
