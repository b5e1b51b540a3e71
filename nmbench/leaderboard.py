"""Print the leaderboard of results CSVs or results folders: one table per task, protocol and budget."""

from __future__ import annotations

from nmbench import cli

FLAGS = cli.new_flags("plugin")
cli.choice(FLAGS, "format", "terminal", ["terminal", "markdown"], "form of the tables")
cli.string(FLAGS, "task", None, "only this task")
cli.string(FLAGS, "protocol", None, "only this protocol")


def main(paths: list[str]) -> int:
    from nmbench.errors import NmbenchError, did_you_mean
    from nmbench.report import leaderboard
    from nmbench.results import store

    cli.load_plugins(FLAGS)
    rows = {row["run_id"]: row for path in paths or ["results"] for row in store.read(path)}
    kept = list(rows.values())
    for name in ("task", "protocol"):
        wanted = getattr(FLAGS, name)
        if wanted is not None:
            known = {row[name] for row in kept}
            if wanted not in known:
                raise NmbenchError(f"no rows with {name} {wanted!r}{did_you_mean(wanted, known)}")
            kept = [row for row in kept if row[name] == wanted]
    if not kept:
        raise NmbenchError(f"no rows in {', '.join(paths or ['results'])}")
    print(leaderboard.render(leaderboard.boards(kept), FLAGS.format))
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.leaderboard", operands="[FILE.csv|FOLDER ...]")
