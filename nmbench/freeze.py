"""Generate and store a task's frozen sets, or check that the stored sets match their generator."""

from __future__ import annotations

import numpy as np

from nmbench.contracts import frozen_sets, plugins
from nmbench.contracts.catalog import TASKS
from nmbench.support import cli
from nmbench.support.errors import NmbenchError, one_line

FLAGS = cli.new_flags("task", "plugin")
cli.boolean(FLAGS, "check", False, "compare the stored sets with the generator (exit code 1: a set differs); write nothing")


def main() -> int:
    plugins.load_all(FLAGS.plugin)
    task = TASKS.get(cli.required(FLAGS, "task"))
    for split, trials in task.set_sizes.items():
        with one_line(f"draw_set({split!r}) of {task.name}"):
            arrays = {name: np.asarray(array) for name, array in task.draw_set(split).items()}
        other = next((name for name, array in arrays.items() if array.dtype.kind not in "fiub"), None)
        if other is not None:
            raise NmbenchError(f"{task.name} {split}: {other!r} has type {arrays[other].dtype}; a set has arrays of numbers")
        with one_line(f"unpack of {task.name} fails on draw_set({split!r})"):
            drawn = np.shape(task.unpack(arrays).targets)[1]
        if drawn != trials:
            raise NmbenchError(f"draw_set({split!r}) of {task.name} draws {drawn} trials, but set_sizes declares {trials}")
        if FLAGS.check:
            same = task.frozen(split).sha256 == frozen_sets.digest(arrays)
            print(f"{task.name} {split}: {'identical' if same else 'DIFFERENT'}")
            if not same:
                return 1
        else:
            found = frozen_sets.save(task.sets_folder, task.name, task.version, split, arrays, trials)
            print(f"{task.name} {split}: {trials} trials, sha256 {found}")
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.freeze")
