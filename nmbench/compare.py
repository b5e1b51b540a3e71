"""Compare results files with the first one, or the models of a single file with each other.

Two files or folders or more: what changed from the first (A, the baseline) to each other one (B), per task, protocol,
budget and model. One: all pairs of models within each task, protocol and budget.
In Python: nmbench.compare([...]), a pandas frame.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence

from nmbench import cli

FLAGS = cli.new_flags()
cli.choice(FLAGS, "format", "terminal", ["terminal", "markdown", "csv", "latex"], "form of the tables; csv has all columns")
cli.string(FLAGS, "task", None, "only this task")
cli.string(FLAGS, "protocol", None, "only this protocol")


def main(paths: list[str]) -> int:
    from nmbench.report import comparison as report
    from nmbench.results import comparison

    print(report.render(comparison.compare_results(paths, FLAGS.task, FLAGS.protocol), FLAGS.format))
    return 0


class _Callable(types.ModuleType):
    """`nmbench.compare` is this module once it has been imported; called, it is the function of that name."""

    def __call__(self, paths: Sequence[str], task: str | None = None, protocol: str | None = None):
        """See `nmbench.results.comparison.compare_results`."""
        from nmbench.results.comparison import compare_results

        return compare_results(paths, task, protocol)


if __name__ in sys.modules:
    sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.compare", operands="A.csv [B.csv ...]")
