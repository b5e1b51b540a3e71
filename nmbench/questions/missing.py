"""The commands that train what the answers lack."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from nmbench.contracts.catalog import BASELINES
from nmbench.questions.findings import TaskFindings
from nmbench.results.experiment_rows import ExperimentRows
from nmbench.submissions import board_seeds
from nmbench.support.errors import printable


def commands(found: TaskFindings, models: Sequence[str], wanted: int, extra: Sequence[str] = ()) -> list[str]:
    """The commands that train all models of the questions that have fewer seeds on a task than wanted.

    Args:
      found: the findings on the task.
      models: all models of the questions.
      wanted: number of seeds.
      extra: flags of every command, such as --plugin=FILE.py.
    """
    have = lambda one: 0 if one is None else len(one.sample)
    few = [name for name in models if have(found.trained.get(name)) < wanted]
    return _sweeps(found, few, [f"--seeds={wanted}", *extra])


def more_seeds(found: TaskFindings, extra: Sequence[str] = ()) -> list[str]:
    """The commands that train the further seeds of open comparisons, as many as their answers say."""
    made: dict[str, None] = {}
    for answer in found.answers:
        if answer.needed is not None and answer.model is not None and answer.rival is not None:
            first = min(_first_free(answer.model), _first_free(answer.rival))
            flags = [f"--first_seed={first}", f"--seeds={answer.needed - first}", *extra]
            made |= dict.fromkeys(_sweeps(found, sorted(answer.asked[:2]), flags))
    return list(made)


def _first_free(rows: ExperimentRows) -> int:
    """The first seed from 0 that has no row."""
    seeds = set(rows.sample.seeds.tolist())
    return next(seed for seed in range(len(seeds) + 1) if seed not in seeds)


def all_commands(found: Sequence[TaskFindings], models: Sequence[str], extra: Sequence[str] = ()) -> list[str]:
    """`commands` for every task on which something is missing, with as many seeds as the board asks for."""
    return [line for one in found for line in commands(one, models, board_seeds.wanted(one.task.name), extra)]


def _sweeps(found: TaskFindings, models: Sequence[str], flags: Sequence[str]) -> list[str]:
    """A command for the models that need the same flags."""
    protocol = found.task.protocol(found.protocol)
    place = [f"--tasks={found.task.name}"]
    place += [] if protocol.name == found.task.protocols[0].name else [f"--protocols={protocol.name}"]
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in models:
        registered = name in BASELINES
        # A learning rate that is shipped need not be tuned again, which could choose another one.
        shipped = registered and BASELINES.get(name).tuned(found.task.name, protocol.name) is not None
        own = ["--tune"] if protocol.learning_rate_grid and not shipped else []
        groups.setdefault((*own, *([] if registered else ["--plugin=FILE.py"])), []).append(name)
    return [
        printable(shlex.join(["python", "-m", "nmbench.sweep", f"--models={','.join(names)}", *place, *own, *flags]))
        for own, names in groups.items()
    ]
