"""Export a task's training, validation and test sets as plain arrays, for use in any framework.

  python -m nmbench.export --task=element_finder --out=data

This creates the folder data/ with train.npz, validation.npz and test.npz (float32, time-major; some tasks have more sets),
and README.md and task.json, which describe the arrays, the metrics, and how to score predictions with nmbench.score.
"""

from __future__ import annotations

import os
import pathlib

from nmbench.contracts import plugins
from nmbench.support import cli, devices
from nmbench.support.errors import NmbenchError, printable

FLAGS = cli.new_flags("task", "plugin")
cli.string(FLAGS, "out", None, "folder to create; it must be new or empty")
cli.integer(
    FLAGS, "train_trials", None, "training trials to draw, if the task draws new ones at every step; default: 20000", lower=1
)
cli.integer(FLAGS, "data_seed", 0, "seed of the drawn training trials")


def main() -> int:
    task = cli.required(FLAGS, "task")
    if not FLAGS.out:
        raise NmbenchError("--out is missing; give --out=FOLDER, a new folder")
    devices.start(1)
    plugins.load_all(FLAGS.plugin)

    from nmbench.contracts.catalog import TASKS
    from nmbench.exchange import exported_sets

    folder = pathlib.Path(os.path.expanduser(FLAGS.out))
    files = exported_sets.export(TASKS.get(task), folder, FLAGS.train_trials, FLAGS.data_seed)
    for file in files:
        print(f"{printable(str(file))} ({file.stat().st_size / 1e6:.1f} MB)")
    print(f"\ndescription of the arrays and of scoring: {printable(str(folder / exported_sets.README))}")
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.export")
