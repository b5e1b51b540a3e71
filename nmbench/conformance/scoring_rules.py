"""The rules for tasks about what a score can mean: sets that do not overlap, and metrics that tell answers apart.

`task_rules` has the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import tree

from nmbench.conformance.rules import RuleFinding
from nmbench.conformance.task_rules import BATCHES, DATA, SETS, TASK_RULES, TOLERANCE
from nmbench.conformance.task_subject import TaskUnderTest
from nmbench.contracts.task import Batch, FixedData

# A simple answer with at most this score shows that bad answers exist.
LOW_SCORE = 5.0


@TASK_RULES.add("T17-separate", fix="draw each set with a seed of its own", needs=(SETS, BATCHES, DATA))
def separate(t: TaskUnderTest) -> Iterator[RuleFinding]:
    """no validation trial is in the test set, and fixed training data do not contain the whole test set"""
    test = _trials(t.batch("test"))
    for split in [name for name in t.task.set_sizes if name != "test"]:
        shared = [trial in test for trial in _trials(t.batch(split))]
        if all(shared):
            yield RuleFinding(
                f"all trials of the {split} set are in the test set, so what is chosen with it is chosen on test data",
                "draw each set with a seed of its own",
                warning=2 * len(set(test)) <= len(test),  # a task with few distinct trials cannot help it
            )
        elif any(shared):
            yield RuleFinding(
                f"{sum(shared)} of {len(shared)} trials of the {split} set are in the test set",
                "draw more varied trials, or leave those of one set out of the other",
                warning=True,
            )
    chosen = t.task.primary.chosen(t.frozen("test").arrays, t.frozen("test").n)
    judged = {trial for trial, counts in zip(_trials(t.batch("test")), chosen, strict=True) if counts}
    for name, source in t.task.training.items():
        if isinstance(source, FixedData) and judged <= set(_trials(source.arrays())):
            yield RuleFinding(
                f"training data {name!r} contain every test trial of {t.task.primary.name}",
                "draw training data with a seed of their own, so that a model cannot answer from memory",
                warning=True,
            )


@TASK_RULES.add("T18-informative", fix="see nmbench.Metric", needs=("T14-references",))
def informative(t: TaskUnderTest) -> Iterator[RuleFinding]:
    """the primary metric tells answers apart: random outputs do not reach its ceiling, and some simple answer is bad"""
    primary, shape = t.task.primary, t.batch("test").targets.shape
    simple = {"random outputs": np.random.RandomState(0).standard_normal(shape), "the answer 0": np.zeros(shape)}
    simple |= {f"reference {label!r}": answer(t.frozen("test").arrays) for label, answer in t.task.references.items()}
    values = {label: t.values(np.asarray(predictions, np.float32))[primary.name] for label, predictions in simple.items()}
    reached = abs(values["random outputs"] - primary.ceiling) <= TOLERANCE * abs(primary.floor - primary.ceiling)
    if reached:
        yield RuleFinding(
            f"{primary.name} of random outputs is {values['random outputs']:.6g}, its ceiling, so every model is perfect",
            "let per_trial compare the predictions with the targets",
        )
    elif min(map(primary.score, values.values())) > LOW_SCORE:
        label, value = min(values.items(), key=lambda item: primary.score(item[1]))
        yield RuleFinding(
            f"the worst of all simple answers, {label}, scores {primary.score(value):.0f} of 100, so scores tell little",
            f"move the floor of {primary.name} towards {value:.4g}, the value of this answer",
            warning=True,
        )


def _trials(batch: Batch) -> list[bytes]:
    """A hash of the inputs and targets of each trial, `[B]`."""
    leaves = [np.asarray(leaf, np.float64) for leaf in (*tree.flatten(batch.inputs), batch.targets)]
    return [
        hashlib.sha256(b"".join(np.ascontiguousarray(leaf[:, trial]).tobytes() for leaf in leaves)).digest()
        for trial in range(leaves[0].shape[1])
    ]
