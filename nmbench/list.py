"""List all tasks and models with their tags and origins."""

from __future__ import annotations

from nmbench.contracts import plugins
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.report.tables import TextTable, markdown_table, terminal_table
from nmbench.support import cli, terminal
from nmbench.support.errors import NmbenchError, did_you_mean

FLAGS = cli.new_flags("plugin")
cli.string(FLAGS, "tag", None, "show only entries with this tag")
cli.choice(FLAGS, "format", "terminal", ["terminal", "markdown"], "format of the tables")


def main() -> int:
    plugins.load_all(FLAGS.plugin)
    tags = {tag for registry in (TASKS, BASELINES) for entry in registry.entries() for tag in entry.tags}
    if FLAGS.tag is not None and FLAGS.tag not in tags:
        raise NmbenchError(f"--tag: no task or model has the tag {FLAGS.tag!r}{did_you_mean(FLAGS.tag, tags)}")
    for kind, registry in (("task", TASKS), ("model", BASELINES)):
        headers = (kind, "tags", "summary", "from")
        rows = [[e.name, ", ".join(e.tags), e.summary, e.origin] for e in registry.entries(FLAGS.tag)]
        if not rows:
            continue
        table = TextTable(headers, rows, left=headers)
        in_terminal = lambda table=table: terminal_table(table, longest=60, columns=terminal.width())
        print(markdown_table(table) if FLAGS.format == "markdown" else in_terminal(), end="\n\n")
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.list")
