"""Check results CSVs or results folders against the schema; an error names the row and the column."""

from __future__ import annotations

from nmbench.support import cli
from nmbench.support.errors import NmbenchError

FLAGS = cli.new_flags()


def main(paths: list[str]) -> int:
    from nmbench.results import store

    if not paths:
        raise NmbenchError("name at least one results CSV or results folder")
    counts = [(path, len(store.read(path))) for path in paths]
    for path, n in counts:
        print(f"{path}: {n} valid row{'' if n == 1 else 's'}")
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.validate", operands="FILE.csv|FOLDER ...")
