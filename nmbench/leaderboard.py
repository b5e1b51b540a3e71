"""Print the leaderboard of results CSVs or results folders: one table per task, protocol and budget, and overall rankings.

Ranks, intervals and groups of models that cannot be told apart are computed over seeds. A run that is in several of the
files counts once, as in the last one that has it.
"""

from __future__ import annotations

from nmbench import cli

FLAGS = cli.new_flags("plugin")
cli.choice(FLAGS, "format", "terminal", ["terminal", "markdown", "csv", "latex"], "form of the tables; csv has all columns")
cli.choice(
    FLAGS,
    "tables",
    "all",
    ["all", "tasks", "overall"],
    "tables of tasks, overall rankings over the tasks that models share, or both; csv is of one kind, by default of tasks",
)
cli.boolean(FLAGS, "wide", False, "also interquartile means, extremes, intervals of scores, learning rates (always in csv)")
cli.string(FLAGS, "task", None, "only this task")
cli.string(FLAGS, "protocol", None, "only this protocol")
cli.string(FLAGS, "out", None, "file to write instead of printing")


def main(paths: list[str]) -> int:
    from nmbench.errors import NmbenchError
    from nmbench.report import files, leaderboard
    from nmbench.results import cells, standings

    paths = paths or ["results"]
    out = None if FLAGS.out is None else files.check("out", FLAGS.out, paths)
    cli.load_plugins(FLAGS)
    tables = standings.standings(cells.read_all(paths, FLAGS.task, FLAGS.protocol))
    overall = [] if FLAGS.tables == "tasks" else standings.overall(tables)
    if FLAGS.tables == "overall" and not overall:
        raise NmbenchError("no overall ranking: no two models share results of two tasks or more under one protocol")
    text = leaderboard.render([] if FLAGS.tables == "overall" else tables, overall, FLAGS.format, wide=FLAGS.wide)
    if out is None:
        print(text)
    else:
        files.write(out, f"{text}\n")
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.leaderboard", operands="[FILE.csv|FOLDER ...]")
