"""List the tasks and models that can be named, with their tags and where each comes from."""

from __future__ import annotations

from nmbench.contracts import plugins
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.support import cli

FLAGS = cli.new_flags("plugin")
cli.string(FLAGS, "tag", None, "show only entries that carry this tag")
cli.choice(FLAGS, "format", "terminal", ["terminal", "markdown"], "form of the tables")


def main() -> int:
    import tabulate

    plugins.load_all(FLAGS.plugin)
    for kind, registry in (("task", TASKS), ("model", BASELINES)):
        entries = registry.entries(FLAGS.tag)
        lines = [[e.name, ", ".join(e.tags), e.summary, e.origin] for e in entries]
        style = "github" if FLAGS.format == "markdown" else "simple"
        print(tabulate.tabulate(lines, [kind, "tags", "summary", "from"], tablefmt=style, disable_numparse=True), end="\n\n")
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.list")
