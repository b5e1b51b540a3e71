"""The commands that train what the answers lack."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from nmbench.questions.findings import AnswerKind, TaskFindings
from nmbench.results.experiment_rows import ExperimentRows
from nmbench.support.errors import printable


def command(found: TaskFindings, models: Sequence[str], wanted: int, extra: Sequence[str] = ()) -> str | None:
    """One command that trains all models of the questions that have fewer seeds on a task than wanted; None if none has.

    Args:
      found: the findings on the task.
      models: all models of the questions.
      wanted: number of seeds, `submissions.board_seeds.wanted`.
      extra: flags of every command, such as --plugin=FILE.py.
    """
    have = lambda one: 0 if one is None else len(one.sample)
    few = [name for name in models if have(found.trained.get(name)) < wanted]
    return _sweep(found, few, f"--seeds={wanted}", extra) if few else None


def more_seeds(found: TaskFindings, extra: Sequence[str] = ()) -> list[str]:
    """The commands that train the further seeds of open comparisons, as many as their answers say."""
    made = {}
    for answer in found.answers:
        if answer.kind is AnswerKind.OPEN and answer.needed and answer.model and answer.rival:
            first = min(_first_free(answer.model), _first_free(answer.rival))
            if answer.needed > first:
                flags = f"--first_seed={first} --seeds={answer.needed - first}"
                made[_sweep(found, sorted(answer.asked[:2]), flags, extra)] = None
    return list(made)


def _first_free(rows: ExperimentRows) -> int:
    """The first seed from 0 that has no row."""
    seeds = set(rows.sample.seeds.tolist())
    return next(seed for seed in range(len(seeds) + 1) if seed not in seeds)


def all_commands(
    found: Sequence[TaskFindings], models: Sequence[str], wanted: Callable[[str], int], extra: Sequence[str] = ()
) -> list[str]:
    """`command` for every task on which something is missing."""
    commands = (command(one, models, wanted(one.task.name), extra) for one in found)
    return [line for line in commands if line is not None]


def _sweep(found: TaskFindings, models: Sequence[str], seeds: str, extra: Sequence[str]) -> str:
    protocol = found.task.protocol(found.protocol)
    flags = [f"--models={','.join(models)}", f"--tasks={found.task.name}"]
    flags += [] if protocol.name == found.task.protocols[0].name else [f"--protocols={protocol.name}"]
    flags += ["--tune"] if protocol.learning_rate_grid else []
    flags += [*seeds.split(), *extra]
    return printable(shlex.join(["python", "-m", "nmbench.sweep", *flags]))
