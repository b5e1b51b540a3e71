"""Write a task's training, validation and test sets as plain arrays, with a description, for any framework.

  python -m nmbench.export --task=element_finder --out=data

makes data/ with train.npz, validation.npz, test.npz (float32, time-major), README.md and task.json: what the arrays hold,
how answers are judged, and how to score predictions with nmbench.score.
"""

from __future__ import annotations

import os
import pathlib

from nmbench.contracts import plugins
from nmbench.support import cli, devices
from nmbench.support.errors import NmbenchError, printable

FLAGS = cli.new_flags("task", "plugin")
cli.string(FLAGS, "out", None, "folder to make; it must not exist, or be empty")
cli.integer(
    FLAGS, "train_trials", None, "trials to draw, of tasks that draw fresh ones at every step (default: 20000)", lower=1
)
cli.integer(FLAGS, "data_seed", 0, "seed that they are drawn with")


def main() -> int:
    task = cli.required(FLAGS, "task")
    if not FLAGS.out:
        raise NmbenchError("--out is missing; give --out=FOLDER, a new folder")
    devices.prepare(1)
    plugins.load_all(FLAGS.plugin)

    from nmbench.contracts.catalog import TASKS
    from nmbench.exchange import exported_sets

    folder = pathlib.Path(os.path.expanduser(FLAGS.out))
    files = exported_sets.export(TASKS.get(task), folder, FLAGS.train_trials, FLAGS.data_seed)
    for file in files:
        print(f"{printable(str(file))} ({file.stat().st_size / 1e6:.1f} MB)")
    print(f"\nwhat the arrays hold and how to score: {printable(str(folder / exported_sets.README))}")
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.export")
