"""Draw docs/overview.svg, the picture of the README: the models on the board, by task.

  python docs/overview.py                      # the rows of the board: results/board/ and submissions/
  python docs/overview.py --check              # exit code 1 if the picture was drawn from other rows
  python docs/overview.py --rows FILE.csv ...  # other rows, for a look; --out names the picture

There is a panel for each task with rows of two models under protocol `matched` at its default budget (rows that depart from
the protocol are drawn only if there are no others, and the title says how they depart): the median over seeds with its 95%
interval, every seed as a small dot, and the letters of the models that cannot be told apart, joined by a line. Dashed lines
are references. Needs the extra [report].
"""

from __future__ import annotations

import argparse
import hashlib
import pathlib
import re
import sys

DOCS = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from maker import results  # noqa: E402
from nmbench.report import overview  # noqa: E402
from nmbench.results.ranking import Table  # noqa: E402

PICTURE = DOCS / "overview.svg"
# Tasks in the order of the panels; tasks that are not named follow.
ORDER = ("element_finder", "mwg_rank3", "multitask")


def panels(found: results.Results) -> list[Table]:
    """The tables to draw: those with two models or more."""
    chosen = [table for table in results.main_tables(found.tables) if len(table.models) > 1]
    return sorted(chosen, key=lambda t: (ORDER.index(t.task) if t.task in ORDER else len(ORDER), t.task))


def fingerprint(tables: list[Table]) -> str:
    """Hash of the run ids, values and groups that are drawn."""
    drawn = [
        (t.task, e.label, e.group, e.run_ids, () if e.sample is None else tuple(e.sample.values.tolist()))
        for t in tables
        for e in t.entries
    ]
    return hashlib.sha256(repr(drawn).encode()).hexdigest()


def draw(tables: list[Table], path: pathlib.Path) -> None:
    """Write the picture, with the fingerprint in a comment."""
    overview.write_picture(path, tables)
    svg = path.read_text(encoding="utf-8")
    path.write_text(svg.replace("<svg ", f"<!-- rows {fingerprint(tables)} -->\n<svg ", 1), encoding="utf-8")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="draw nothing; check that the picture shows the rows")
    parser.add_argument("--rows", type=pathlib.Path, nargs="*", default=results.board_files(), help="CSVs of rows")
    parser.add_argument("--out", type=pathlib.Path, default=PICTURE, help="the picture, .svg")
    args = parser.parse_args(argv)
    found = results.load(args.rows)
    tables = panels(found)
    if not tables:
        print(f"no rows to draw: {found.problem or ', '.join(found.files)}", file=sys.stderr)
        return 2
    if args.check:
        drawn = re.search(r"<!-- rows (\w+) -->", args.out.read_text(encoding="utf-8"))
        if drawn is None or drawn[1] != fingerprint(tables):
            print("docs/overview.svg shows other rows; run python docs/overview.py", file=sys.stderr)
            return 1
        return 0
    draw(tables, args.out)
    print(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
