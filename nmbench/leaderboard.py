"""Print the leaderboard of results CSVs or results folders: one table per task, protocol and budget, and overall rankings.

--plot=models.png plots the models of each task, with medians, intervals and seeds. If a model has results at several budgets
of a task, a ladder follows: scores by budget, and the smallest budget that reaches the threshold; --plot_ladders plots it.
Ranks, intervals and groups of models that cannot be told apart are computed over seeds. If a run is in several files, the
last file counts. In Python, nmbench.rank_results returns the tables as a frame.

  python -m nmbench.leaderboard results --format=html --out=page

This writes page/index.html, a page that needs no other file and no network (needs nmbench[report]). It opens with a picture
of models by task, and shows all tables, which can be saved as CSV, plots of all seeds, errors by condition, example trials,
provenance, and the commands that reproduce each table and row. For results folders with run folders it also shows training
curves and outputs of the trained networks.

Models trained outside nmbench (see nmbench.score) have a table of their own. --with_external also shows them, without a
rank, in the tables of the same task and budget.
"""

from __future__ import annotations

import os
import pathlib
import sys
from typing import TYPE_CHECKING

from nmbench.contracts import plugins
from nmbench.support import cli, terminal
from nmbench.support.errors import NmbenchError

if TYPE_CHECKING:
    from nmbench.results import ladders, ranking

FLAGS = cli.new_flags("plugin")
cli.choice(
    FLAGS,
    "format",
    "terminal",
    ["terminal", "markdown", "csv", "latex", "html"],
    "format of the tables; csv has all columns",
)
cli.choice(
    FLAGS,
    "tables",
    "all",
    ["all", "tasks", "ladders", "overall"],
    "tasks: one table per task, protocol and budget, and the ladders; ladders: only the ladders; overall: rankings over the "
    "tasks that models share. csv contains one kind, by default tasks",
)
cli.boolean(FLAGS, "wide", False, "also show means, extremes, intervals of scores and learning rates; csv always does")
cli.boolean(FLAGS, "with_external", False, "show models trained outside nmbench beside the others too, without a rank")
cli.string(FLAGS, "task", None, "only this task")
cli.string(FLAGS, "protocol", None, "only this protocol")
cli.choice(
    FLAGS,
    "tier",
    None,
    ["self-reported", "re-scored", "re-trained"],
    "only results that nmbench.verify has found to be of this tier, or a higher one",
)
cli.string(
    FLAGS,
    "plot",
    None,
    "plot the models of each task, medians, intervals and seeds, into this .png, .svg or .pdf file (needs nmbench[report])",
)
cli.string(
    FLAGS,
    "plot_ladders",
    None,
    "plot the ladders, score and metric by budget, into this .png, .svg or .pdf file (needs nmbench[report])",
)
cli.string(
    FLAGS,
    "plot_tuning",
    None,
    "plot validation losses by learning rate of all tuned models into this .png, .svg or .pdf file (needs nmbench[report])",
)
cli.string(
    FLAGS,
    "site",
    "",
    "for html: address of the documentation site, such as https://example.org/nmbench or .., to which the names of models "
    "and tasks then link; by default, the page has no such links",
)
cli.string(FLAGS, "out", None, "file to write instead of printing; for html, the folder of the page (required)")


def main(paths: list[str]) -> int:
    from nmbench.report import files, leaderboard
    from nmbench.results.overall import overall_rankings

    paths = paths or ["results"]
    if FLAGS.tier and FLAGS.with_external:
        raise NmbenchError("models trained outside nmbench have no tier; leave out --tier or --with_external")
    if FLAGS.format == "html":
        return write_page(paths)
    out = None if FLAGS.out is None else files.check("out", FLAGS.out, paths)
    plugins.load_all(FLAGS.plugin)
    pictures = _check_pictures()
    tables = _tables(paths)
    ladders = _ladders(tables)
    rankings = [] if FLAGS.tables in ("tasks", "ladders") else overall_rankings(tables)
    if FLAGS.tables == "overall" and not rankings:
        raise NmbenchError("no overall ranking: no two models share results of two tasks or more under one protocol")
    tables = _with_external(tables, paths)
    text = leaderboard.render(
        tables if FLAGS.tables in ("all", "tasks") else [],
        rankings,
        FLAGS.format,
        wide=FLAGS.wide,
        ladders=[] if FLAGS.tables == "overall" else ladders,
        columns=terminal.width() if out is None else None,
    )
    _draw(pictures, tables, ladders)
    if out is None:
        print(text)
    else:
        files.write(out, f"{text}\n")
    return 0


def _tables(paths: list[str]) -> list[ranking.Table]:
    from nmbench.results import experiment_rows, ranking

    sources = experiment_rows.read_all(paths, FLAGS.task, FLAGS.protocol)
    return ranking.rank_tables(experiment_rows.of_tier(sources, FLAGS.tier) if FLAGS.tier else sources)


def _check_pictures() -> dict[str, pathlib.Path]:
    """Check the values of the flags for pictures; flag to path, for flags that were given."""
    flags = ("plot", "plot_ladders", "plot_tuning")
    given = {flag: getattr(FLAGS, flag) for flag in flags if getattr(FLAGS, flag) is not None}
    if not given:
        return {}
    from nmbench.report import pictures

    return {flag: pictures.check(flag, text) for flag, text in given.items()}


def _with_external(tables: list[ranking.Table], paths: list[str]) -> list[ranking.Table]:
    """The tables, with models trained outside nmbench beside others if the flags request it."""
    if not FLAGS.with_external:
        return tables
    from nmbench.results import experiment_rows, ranking, schema

    external = ranking.rank_tables(experiment_rows.read_all(paths, FLAGS.task, schema.EXTERNAL))
    return ranking.with_external(tables, external)


def _ladders(tables: list[ranking.Table]) -> list[ladders.Ladder]:
    """Ladders of the tables; raises `NmbenchError` if the flags request ladders and there are none."""
    from nmbench.results import ladders

    found = ladders.ladders(tables)
    if not found and (FLAGS.plot_ladders is not None or FLAGS.tables == "ladders"):
        raise NmbenchError("no ladder: no model has results at two budgets or more of one task under one protocol")
    return found


def _draw(paths: dict[str, pathlib.Path], tables: list[ranking.Table], found: list[ladders.Ladder]) -> None:
    if "plot" in paths:
        from nmbench.report import overview

        chosen = overview.main_tables(tables)
        overview.write_picture(paths["plot"], chosen)
        left = f", {len(chosen)} of {len(tables)} tables: one for each task" if len(chosen) < len(tables) else ""
        print(f"models drawn in {paths['plot']}{left}", file=sys.stderr)
    if "plot_ladders" in paths:
        from nmbench.report import ladder_figures

        ladder_figures.write_picture(paths["plot_ladders"], found)
        print(f"ladders drawn in {paths['plot_ladders']}", file=sys.stderr)
    if "plot_tuning" in paths:
        from nmbench.report import tuning_figures

        tuning_figures.write_picture(paths["plot_tuning"], tables)
        print(f"tuning drawn in {paths['plot_tuning']}", file=sys.stderr)


def write_page(paths: list[str]) -> int:
    from nmbench.report import page
    from nmbench.results.overall import overall_rankings
    from nmbench.support import devices

    if FLAGS.out is None:
        raise NmbenchError("--out is missing; give the folder that the page is written into, e.g. --out=page")
    if FLAGS.tables != "all":
        raise NmbenchError("the page contains all tables; leave out --tables")
    page.check_libraries()
    site = page.check_site(FLAGS.site)
    folder = page.check_out(FLAGS.out)
    pictures = _check_pictures()
    devices.start(1)
    plugins.load_all(FLAGS.plugin)
    tables = _tables(paths)
    ladders, rankings = _ladders(tables), overall_rankings(tables)
    tables = _with_external(tables, paths)
    page.check_size(tables)
    _draw(pictures, tables, ladders)

    from nmbench.experiments.row_commands import RowCommands

    say = lambda task: print(f"drawing {task}", file=sys.stderr)
    commands = RowCommands([os.path.basename(plugin) for plugin in FLAGS.plugin])
    index = page.write(folder, tables, rankings, paths, commands.of, say, site)
    print(f"{index}: {index.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.leaderboard", operands="[FILE.csv|FOLDER ...]")
