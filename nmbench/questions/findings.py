"""Findings: the answer to every question on every task, computed from rows.

Only rows of the protocol without departures from it count (so with a tuned learning rate, if the protocol is tuned), at the
task's default budget or the protocol's own sizes, on the task's current test set. Of several configurations of a model, one
counts, chosen by: the model's default hyperparameters, then its present file, then most seeds.

A comparison is *ahead* or *behind* if p < 0.05: the unpaired permutation test of the board (`significance.compare`), with
Holm's correction for all comparisons of the question on the task. Comparisons that cannot be computed yet are members of
this family with p = 1, so that rows of another model never take a verdict away. Otherwise *no difference found* if the 95%
interval of the effect lies within `SAME_RATIO` or `SAME_SHARE`, or else *open*.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from nmbench.contracts.catalog import TASKS
from nmbench.contracts.task import Task
from nmbench.questions.catalogue import AskedPair, Catalogue, Question
from nmbench.results import config_json, experiment_rows, power, significance, statistics
from nmbench.results.experiment_rows import ExperimentRows, Source
from nmbench.results.significance import ALPHA, SAME_RATIO, Comparison
from nmbench.results.statistics import Sample

# No difference is found if the interval of a ratio of errors lies within 1 / `SAME_RATIO` .. `SAME_RATIO`, or that of a
# difference of another metric within 5% of the way from the floor to the ceiling.
SAME_SHARE = 0.05
YES, NO, OPEN = "yes", "no", "open"


class AnswerKind(enum.Enum):
    """The verdict of a comparison."""

    AHEAD = "ahead"
    WORSE = "behind"
    SAME = "no difference found"
    OPEN = "open"


@dataclasses.dataclass(frozen=True)
class Answer:
    """A comparison of two models on a task.

    Attributes:
      asked: the two models.
      kind: the verdict.
      missing: those of the two models that have no rows that count.
      model, rival: their rows; None if missing.
      comparison: the rival is A and the model is B; None if a model is missing.
      p: corrected by Holm; None if a model is missing or has one seed.
      needed: seeds of each model with which an open comparison would be decided in 80% of experiments: the models are told
        apart, or no difference is found, whichever needs fewer; None if there are more than `power.MOST_SEEDS`, or nothing
        to compute them from.
      towards_equal: whether these seeds would find no difference.
      solved: seeds that solve the task, of the model and of the rival; None if missing or without a threshold.
    """

    asked: AskedPair
    kind: AnswerKind
    missing: tuple[str, ...]
    model: ExperimentRows | None = None
    rival: ExperimentRows | None = None
    comparison: Comparison | None = None
    p: float | None = None
    needed: int | None = None
    towards_equal: bool = False
    solved: tuple[int, int] | None = None

    @property
    def says(self) -> str:
        """ "yes", "no" or "open"."""
        if self.kind is AnswerKind.OPEN:
            return OPEN
        enough = (AnswerKind.AHEAD, AnswerKind.SAME) if self.asked.equal_is_enough else (AnswerKind.AHEAD,)
        return YES if self.kind in enough else NO

    @property
    def words(self) -> str:
        """The verdict, and why a comparison is open."""
        if self.kind is not AnswerKind.OPEN:
            return self.kind.value
        if self.missing:
            return "open: no rows"
        if self.p is None:
            return "open: one seed"
        if self.needed is None and any(rows.sample.mostly_lost for rows in (self.model, self.rival) if rows):
            return "open: most seeds lost"
        if self.needed is None:
            return f"open: needs over {power.MOST_SEEDS} seeds"
        what = "find no difference" if self.towards_equal else "tell them apart"
        return f"open: about {self.needed} seeds would {what}"

    @property
    def seeds(self) -> tuple[int, int] | None:
        return None if self.model is None or self.rival is None else (len(self.model.sample), len(self.rival.sample))


@dataclasses.dataclass(frozen=True)
class Finding:
    """The answer to a question on a task."""

    question: Question
    answers: tuple[Answer, ...]

    @property
    def says(self) -> str:
        """ "yes", "no" or "open"."""
        found = {answer.says for answer in self.answers}
        decides, otherwise = (NO, YES) if self.question.needs == "all" else (YES, NO)
        return decides if decides in found else OPEN if OPEN in found else otherwise


@dataclasses.dataclass(frozen=True)
class TaskFindings:
    """All findings on a task.

    Attributes:
      task: the task.
      protocol: name of the protocol.
      findings: one for each question, in order.
      trained: the models of the questions that have rows that count.
      notes: sentences on rows that do not count.
    """

    task: Task
    protocol: str
    findings: tuple[Finding, ...]
    trained: dict[str, ExperimentRows]
    notes: tuple[str, ...]

    @property
    def logarithmic(self) -> bool:
        """Whether effects are ratios of errors; otherwise they are differences."""
        return statistics.compares_logarithms(self.task.primary.higher_is_better, self.task.primary.ceiling)

    @property
    def answers(self) -> list[Answer]:
        return [answer for finding in self.findings for answer in finding.answers]


def compute(catalogue: Catalogue, sources: Sequence[Source]) -> list[TaskFindings]:
    """Findings on all registered tasks that have the catalogue's protocol: tasks with answers first, then by name."""
    rows: dict[str, list[ExperimentRows]] = defaultdict(list)
    for one in experiment_rows.merge(sources):
        if one.protocol == catalogue.protocol:
            rows[one.table[0]].append(one)
    current = experiment_rows.registered_tasks(sources)
    tasks = [TASKS.get(entry.name) for entry in TASKS.entries()]
    found = [
        _on_task(catalogue, task, rows[task.name], current.get(task.name) is not None)
        for task in tasks
        if any(protocol.name == catalogue.protocol for protocol in task.protocols)
    ]
    return sorted(found, key=lambda one: (all(answer.missing for answer in one.answers), one.task.name))


def _on_task(catalogue: Catalogue, task: Task, rows: list[ExperimentRows], current: bool) -> TaskFindings:
    published = task.protocol(catalogue.protocol).sizes == "published"
    table = (task.name, catalogue.protocol, 0 if published else task.default_budget)
    groups: dict[str, list[ExperimentRows]] = defaultdict(list)
    others: dict[str, list[str]] = defaultdict(list)
    for one in rows:
        if one.model not in catalogue.models:
            continue
        if current and one.table == table:
            groups[one.model].append(one)
        else:
            others[_reason(one, table, current)].append(one.model)
    trained, notes = {}, []
    for name in (model for model in catalogue.models if model in groups):
        trained[name], why = _chosen(groups[name])
        if why:
            label = _label(trained[name], groups[name])
            notes.append(f"of {len(groups[name])} configurations of {name}, {label} counts, {why}")
    for reason, models in sorted(others.items()):
        if left := sorted(set(models) - trained.keys()):
            notes.append(f"rows of {', '.join(left)} do not count: {reason}")
    findings = tuple(_finding(question, task, trained) for question in catalogue.questions)
    return TaskFindings(task, catalogue.protocol, findings, trained, tuple(notes))


def _label(one: ExperimentRows, members: Sequence[ExperimentRows]) -> str:
    return experiment_rows.labels(members)[one.model, one.config]


def _reason(one: ExperimentRows, table: experiment_rows.TableKey, current: bool) -> str:
    """Why rows of the protocol do not count."""
    if not current:
        return "their test set is not that of the registered task"
    if one.table[1] != table[1]:
        return one.table[1].removeprefix(f"{one.protocol} (").removesuffix(")")
    wanted = f"it must be {table[2]}" if table[2] else "sizes must be the protocol's own"
    return f"{f'the budget is {one.table[2]}' if one.table[2] else 'no budget is given'}; {wanted}"


def _chosen(members: Sequence[ExperimentRows]) -> tuple[ExperimentRows, str]:
    """The configuration of a model that counts, and why; "" if there is only one."""
    if len(members) == 1:
        return members[0], ""
    key = lambda one: (
        config_json.has_default_hparams(one.config, one.table[0], one.protocol),
        config_json.has_current_source(one.config),
        len(one.sample),
    )
    ordered = sorted(((key(one), one) for one in members), key=lambda pair: pair[0], reverse=True)
    (first, best), (second, _) = ordered[:2]
    words = (
        "with the model's default hyperparameters",
        "with the model's present file",
        f"with most seeds ({len(best.sample)})",
        "the first of those with most seeds",
    )
    differs = [a != b for a, b in zip(first, second, strict=True)]
    return best, words[[*differs, True].index(True)]


def _finding(question: Question, task: Task, trained: dict[str, ExperimentRows]) -> Finding:
    pairs = [(trained.get(asked.model), trained.get(asked.rival)) for asked in question.comparisons]
    found = iter(significance.compare_all([(b.sample, a.sample) for a, b in pairs if a and b]))
    comparisons = [next(found) if a and b else None for a, b in pairs]
    known = [None if one is None else one.p for one in comparisons]
    corrected = significance.holm([1.0 if p is None else p for p in known])
    answers = [
        _answer(asked, a, b, comparison, None if p is None else of_family, task, len(pairs))
        for asked, (a, b), comparison, p, of_family in zip(
            question.comparisons, pairs, comparisons, known, corrected, strict=True
        )
    ]
    return Finding(question, tuple(answers))


def _answer(
    asked: AskedPair,
    model: ExperimentRows | None,
    rival: ExperimentRows | None,
    comparison: Comparison | None,
    p: float | None,
    task: Task,
    family: int,
) -> Answer:
    """The answer of one comparison. p: corrected; family: number of comparisons of the question."""
    if model is None or rival is None or comparison is None:
        missing = [name for name, rows in zip(asked[:2], (model, rival)) if rows is None]
        return Answer(asked, AnswerKind.OPEN, tuple(missing), model, rival)
    kind = AnswerKind.OPEN
    if p is not None and p < ALPHA and comparison.favours_b is not None:
        kind = AnswerKind.AHEAD if comparison.favours_b else AnswerKind.WORSE
    elif p is not None and not (rival.sample.mostly_lost or model.sample.mostly_lost):
        bounds = same_bounds(model.sample.logarithmic, task)
        kind = AnswerKind.SAME if comparison.effect.within(*bounds) else AnswerKind.OPEN
    needed, equal = None, False
    if kind is AnswerKind.OPEN and p is not None:
        needed, equal = _needed(rival.sample, model.sample, family, task)
    threshold, solved = task.primary.threshold, None
    if threshold is not None:
        a, b = (int(np.count_nonzero(statistics.reached(rows.sample, threshold))) for rows in (model, rival))
        solved = (a, b)
    return Answer(asked, kind, (), model, rival, comparison, p, needed, equal, solved)


def _needed(rival: Sample, model: Sample, family: int, task: Task) -> tuple[int | None, bool]:
    """Seeds of each model that decide, None if more than `power.MOST_SEEDS`; and whether they would find no difference."""
    rival, model = significance.lost_last(rival, model)
    _, most = same_bounds(model.logarithmic, task)
    margin = math.log10(most) if model.logarithmic else most
    apart = power.seeds_to_tell_apart(rival, model, ALPHA / family)
    equal = None if rival.mostly_lost or model.mostly_lost else power.seeds_to_find_equal(rival, model, margin)
    # What the seeds trained so far have not decided needs at least one more.
    more = 1 + max(len(rival), len(model))
    if equal is not None and (apart is None or equal < apart):
        return max(equal, more), True
    return None if apart is None else max(apart, more), False


def same_bounds(logarithmic: bool, task: Task) -> tuple[float, float]:
    """The effects that are as good as none: ratios if `logarithmic`, otherwise differences."""
    if logarithmic:
        return 1 / SAME_RATIO, SAME_RATIO
    most = SAME_SHARE * abs(task.primary.ceiling - task.primary.floor)
    return -most, most
