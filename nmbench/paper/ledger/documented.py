"""Differences between the supplement, the authors' code and nmbench that are documented but are no claims.

They have no verdict. What can be computed or measured about them is shown beside them.
"""

from __future__ import annotations

import pathlib
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.experiments import loading
from nmbench.paper.ledger.evidence import Evidence, ExperimentKey, SeedGroup, resolved
from nmbench.paper.ledger.performance import SEEDS, Measure
from nmbench.paper.ledger.verdicts import ClaimFinding, MeasuredValue, Verdict
from nmbench.report.text import number, seeds
from nmbench.results import curves, statistics, store
from nmbench.support.errors import NmbenchError

MINIBATCHES = 1000


def difference(reason: str) -> Measure:
    """A documented difference about which nothing is computed."""
    return lambda evidence, protocol: ClaimFinding(Verdict.DOCUMENTED, reason)


def few_trials(published: int, task: str, solved: Sequence[float]) -> Measure:
    """The noise of a percentage of `published` trials, and of as many trials as the test set has for each condition.

    solved: probabilities that a network is correct in a trial; the last is used in the reason.
    """

    def measure(evidence: Evidence, protocol: str) -> ClaimFinding:
        installed = TASKS.get(task)
        conditions = installed.primary.conditions
        assert conditions is not None
        arrays = installed.frozen("test").arrays
        here = int(np.unique(conditions(arrays), return_counts=True)[1].min())
        lines, ranges = [], []
        for share in solved:
            for trials in (published, here):
                low, high = (100 * correct / trials for correct in binomial_range(trials, share))
                ranges.append(f"between {low:.1f} and {high:.1f}")
                what = f"{trials} trials, correct with probability {share:.0%}: percent correct"
                note = "in at least 95% of test sets, binomial"
                lines.append(MeasuredValue(what, f"{100 * share:.1f}", f"{low:.1f} .. {high:.1f}", note))
        reason = (
            f"The measured percentage of a network that is correct with probability {solved[-1]:.0%} is, for at least 95% "
            f"of test sets of {published} trials, {ranges[-2]}; for {here} trials of each task, as here, {ranges[-1]}"
        )
        return ClaimFinding(Verdict.DOCUMENTED, reason, tuple(lines))

    return measure


def binomial_range(trials: int, share: float) -> tuple[int, int]:
    """The 2.5% and the 97.5% quantile of the number of correct trials."""
    from scipy import special

    low, high = np.searchsorted(special.bdtr(np.arange(trials + 1), trials, share), [0.025, 0.975])
    return int(low), int(high)


def training_loss(task: str, models: Sequence[str]) -> Measure:
    """Selection on the training loss of minibatches, and its effect where the files of runs are given.

    - The error on validation data where the mean training loss of a chunk of steps is lowest, divided by the lowest.
    - The lowest of many minibatches, drawn from the test trials with the selected parameters, divided by the test error. It
      shows how much too low a minimum over minibatches is even if the parameters no longer change.
    """

    def measure(evidence: Evidence, protocol: str) -> ClaimFinding:
        lines = []
        for model in models:
            for group in evidence.longest_trained(ExperimentKey(model, task, protocol))[:1]:
                lines += _of_curves(model, group)
        missing = f"No curves on {task}, protocol {protocol}, are here, so nothing is measured: rows alone have none"
        found = f"Measured on runs of {task}, medians over seeds: {'; '.join(f'{line.what} {line.value}' for line in lines)}"
        commands = tuple(ExperimentKey(model, task, protocol).command(SEEDS) for model in models)
        return ClaimFinding(Verdict.DOCUMENTED, found if lines else missing, tuple(lines), "", commands)

    return measure


def _of_curves(model: str, group: SeedGroup) -> list[MeasuredValue]:
    batch = resolved(ExperimentKey(model, group.rows[0]["task"], group.rows[0]["protocol"])).phases[-1].batch_size
    selected, lowest = [], []
    for row, path in zip(group.rows, group.sources, strict=True):
        try:
            folder = loading.run_folder(row["run_id"], [path])
            if row["status"] != "ok" or folder is None:
                continue
            _, training, validation = curves.read_curve(folder).T
            at_lowest = float(validation[np.nanargmin(training)] / np.nanmin(validation))
            of_minibatches = _lowest(folder, row["metric"], batch)
        except (NmbenchError, OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):  # missing or damaged files
            continue
        selected.append(at_lowest)
        lowest.append(of_minibatches)
    whats = {
        f"{model}, validation error at the lowest training loss / lowest validation error": selected,
        f"{model}, lowest of {MINIBATCHES} minibatches of {batch} / test error": lowest,
    }
    return [
        MeasuredValue(
            what, number(float(np.median(values))), f"{number(min(values))} .. {number(max(values))} (range)", note
        )
        for what, values in whats.items()
        if values
        for note in [f"median of {len(values)} run{'s' * (len(values) > 1)}"]
    ]


def _lowest(folder: pathlib.Path, metric: str, batch: int) -> float:
    """The lowest mean of random minibatches of a run's test trials, divided by the mean of all trials."""
    with np.load(folder / store.PER_TRIAL, allow_pickle=False) as arrays:
        values = np.asarray(arrays[metric], np.float64)
    drawn = np.random.RandomState(0).randint(0, len(values), (MINIBATCHES, batch))
    return float(values[drawn].mean(axis=1).min() / values.mean())


def training_times(minutes: Mapping[tuple[str, str], float]) -> Measure:
    """Published minutes of training beside those of our rows. minutes: from task and model."""

    def measure(evidence: Evidence, protocol: str) -> ClaimFinding:
        lines, ratios = [], []
        for (task, model), published in minutes.items():
            note = "no fully trained rows"
            for group in [g for g in evidence.longest_trained(ExperimentKey(model, task, protocol)) if g.is_full][:1]:
                seconds = [row["train_s"] for row in group.rows if row["status"] == "ok" and row["train_s"]]
                if seconds:
                    ours = statistics.median(np.array(seconds)).value / 60
                    ratios.append(published / ours)
                    machines = ", ".join(
                        sorted({f"{row['processor'] or row['device_kind']}, {row['n_cpu']} cores" for row in group.rows})
                    )
                    note = f"here {number(ours)} minutes (median of {seeds(len(seconds))}; {machines})"
            lines.append(MeasuredValue(f"{task}, {model}: minutes as published", f"{published:g}", "", note))
        reason = (
            f"The published times are {_range(ratios)} times as long as ours"
            if ratios
            else "There are no fully trained rows to compare with"
        )
        commands = tuple(ExperimentKey(model, task, protocol).command(SEEDS) for task, model in minutes)
        return ClaimFinding(Verdict.DOCUMENTED, reason, tuple(lines), "", commands)

    return measure


def _range(values: Sequence[float]) -> str:
    """ "2.72 to 169", or one number."""
    return " to ".join(dict.fromkeys(f"{value:.3g}" for value in (min(values), max(values))))
