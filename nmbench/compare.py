"""Compare results files with the first one, or the models of a single file with each other.

With two or more files or folders, every other one (B) is compared with the first (A, the baseline), per task, protocol,
budget and model. With one, all pairs of models within each task, protocol and budget are compared.
In Python, nmbench.compare_results returns the same table as a pandas frame.
"""

from __future__ import annotations

from nmbench.support import cli, terminal

FLAGS = cli.new_flags()
cli.choice(FLAGS, "format", "terminal", ["terminal", "markdown", "csv", "latex"], "format of the table; csv has all columns")
cli.string(FLAGS, "task", None, "only this task")
cli.string(FLAGS, "protocol", None, "only this protocol")


def main(paths: list[str]) -> int:
    from nmbench.report import comparison as report
    from nmbench.results import comparison

    frame = comparison.compare_results(paths, FLAGS.task, FLAGS.protocol)
    print(report.render(frame, FLAGS.format, terminal.width()))
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.compare", operands="A.csv [B.csv ...]")
