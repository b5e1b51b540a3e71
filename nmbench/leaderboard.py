"""Print the leaderboard of results CSVs or results folders: one table per task, protocol and budget, and overall rankings.
Where a task has results at several budgets, a ladder follows: scores by budget, and the budget that first reaches the
threshold. --plot=ladders.png draws it.

Ranks, intervals and groups of models that cannot be told apart are computed over seeds. A run that is in several of the
files counts once, as in the last one that has it.

  python -m nmbench.leaderboard results --format=html --out=page

writes page/index.html, one page that needs no other file and no network: all tables, plots of all seeds, example trials,
provenance, and the command that makes each row again (needs nmbench[report]). Training curves and outputs of the trained
networks are in it where a results folder, with its run folders, is given.
"""

from __future__ import annotations

import os
import pathlib
import sys
from typing import TYPE_CHECKING

from nmbench.contracts import plugins
from nmbench.support import cli
from nmbench.support.errors import NmbenchError

if TYPE_CHECKING:
    from nmbench.results import ladders, ranking

FLAGS = cli.new_flags("plugin")
cli.choice(
    FLAGS, "format", "terminal", ["terminal", "markdown", "csv", "latex", "html"], "form of the tables; csv has all columns"
)
cli.choice(
    FLAGS,
    "tables",
    "all",
    ["all", "tasks", "ladders", "overall"],
    "tables of tasks, with ladders where there are several budgets; ladders alone; overall rankings over the tasks that "
    "models share; or all. csv is of one kind, by default of tasks",
)
cli.boolean(FLAGS, "wide", False, "also interquartile means, extremes, intervals of scores, learning rates (always in csv)")
cli.string(FLAGS, "task", None, "only this task")
cli.string(FLAGS, "protocol", None, "only this protocol")
cli.string(
    FLAGS,
    "plot",
    None,
    "draw the ladders into this .png, .svg or .pdf: score and metric against size (needs nmbench[report])",
)
cli.string(FLAGS, "out", None, "file to write instead of printing; with html the folder of the page")


def main(paths: list[str]) -> int:
    from nmbench.report import files, leaderboard
    from nmbench.results import experiment_rows, ranking

    paths = paths or ["results"]
    if FLAGS.format == "html":
        return write_page(paths)
    out = None if FLAGS.out is None else files.check("out", FLAGS.out, paths)
    plugins.load_all(FLAGS.plugin)
    picture = _check_plot()
    tables = ranking.standings(experiment_rows.read_all(paths, FLAGS.task, FLAGS.protocol))
    climbed = _ladders(tables)
    overall = [] if FLAGS.tables in ("tasks", "ladders") else ranking.overall(tables)
    if FLAGS.tables == "overall" and not overall:
        raise NmbenchError("no overall ranking: no two models share results of two tasks or more under one protocol")
    text = leaderboard.render(
        tables if FLAGS.tables in ("all", "tasks") else [],
        overall,
        FLAGS.format,
        wide=FLAGS.wide,
        ladders=[] if FLAGS.tables == "overall" else climbed,
    )
    _draw(picture, climbed)
    if out is None:
        print(text)
    else:
        files.write(out, f"{text}\n")
    return 0


def _check_plot() -> pathlib.Path | None:
    """The path of --plot, proven to be one that a picture can be written to; None without."""
    if FLAGS.plot is None:
        return None
    from nmbench.report import ladder_figures

    path = pathlib.Path(os.path.expanduser(FLAGS.plot))
    ladder_figures.check_picture(path)
    return path


def _ladders(tables: list[ranking.Table]) -> list[ladders.Ladder]:
    """Ladders of the tables; an error if they are asked for and there are none."""
    from nmbench.results import ladders

    found = ladders.ladders(tables)
    if not found and (FLAGS.plot is not None or FLAGS.tables == "ladders"):
        raise NmbenchError("no ladder: no model has results at two budgets or more of one task under one protocol")
    return found


def _draw(path: pathlib.Path | None, found: list[ladders.Ladder]) -> None:
    if path is not None:
        from nmbench.report import ladder_figures

        ladder_figures.write_picture(path, found)
        print(f"ladders drawn in {path}", file=sys.stderr)


def write_page(paths: list[str]) -> int:
    from nmbench.report import page
    from nmbench.results import experiment_rows, ranking
    from nmbench.support import devices

    if FLAGS.out is None:
        raise NmbenchError("--out is missing; give the folder that the page is written into, e.g. --out=page")
    if FLAGS.tables != "all":
        raise NmbenchError("the page holds all tables; leave out --tables")
    page.check_libraries()
    folder = page.check_out(FLAGS.out)
    picture = _check_plot()
    devices.prepare(1)
    plugins.load_all(FLAGS.plugin)
    tables = ranking.standings(experiment_rows.read_all(paths, FLAGS.task, FLAGS.protocol))
    climbed = _ladders(tables)
    page.check_size(tables)
    _draw(picture, climbed)

    from nmbench.experiments.row_commands import Reruns

    say = lambda what: print(f"drawing {what}", file=sys.stderr)
    reruns = Reruns([os.path.basename(plugin) for plugin in FLAGS.plugin])
    index = page.write(folder, tables, ranking.overall(tables), paths, reruns.of, say)
    print(f"{index}: {index.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.leaderboard", operands="[FILE.csv|FOLDER ...]")
