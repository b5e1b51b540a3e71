"""Write the tables of the board to results/snapshots/YYYY-MM-DD/, one CSV per task; every release does it once.

  python benchmarks/snapshot.py                        # results/board and submissions/*; today's date in UTC
  python benchmarks/snapshot.py --out=/tmp/snapshots   # a trial; results/snapshots stays unchanged
  python benchmarks/snapshot.py --check                # compare the committed snapshots with their hashes

A snapshot is never changed: the command refuses a date that has one, and any date before it.
"""

from __future__ import annotations

import pathlib

import _checkout  # noqa: F401

from nmbench.report import board_snapshots
from nmbench.results import provenance
from nmbench.support import cli

ROOT = pathlib.Path(__file__).resolve().parent.parent
SNAPSHOTS = ROOT / "results" / "snapshots"
FLAGS = cli.new_flags()
cli.string(FLAGS, "out", None, "folder of all snapshots; default: results/snapshots of the checkout")
cli.string(FLAGS, "date", None, "date of the snapshot, YYYY-MM-DD; default: today in UTC")
cli.boolean(FLAGS, "check", False, "write nothing; compare the snapshots with their hashes")


def main(paths: list[str]) -> int:
    folder = SNAPSHOTS if FLAGS.out is None else pathlib.Path(FLAGS.out).expanduser()
    if FLAGS.check:
        print(f"{len(board_snapshots.check(folder))} snapshots in {folder}, as in their manifest")
        return 0
    date = provenance.utc_now()[:10] if FLAGS.date is None else FLAGS.date
    made = board_snapshots.write(folder, date, paths or _board())
    print(f"{made}: {', '.join(sorted(path.name for path in made.iterdir()))}")
    return 0


def _board() -> list[str]:
    """The rows of nmbench's own models, and those of all submissions."""
    submitted = sorted(path.parent for path in (ROOT / "submissions").glob("*/submission.toml"))
    return [str(path) for path in (ROOT / "results" / "board", *submitted)]


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "snapshot.py", operands="[FILE.csv|FOLDER ...]")
