"""Draw docs/overview.svg, the picture of the README: the models that have rows, by task, from the committed rows.

  python docs/overview.py                      # results/reference.csv, and results/board/*.csv if there are any
  python docs/overview.py --check              # exit code 1 if the picture was drawn from other rows
  python docs/overview.py --rows FILE.csv ...  # other rows, for a look; --out names the picture

There is a panel for each task under protocol `matched` at its default budget (rows that depart from the protocol are drawn
only if there are no others, and the title says how they depart): the median over seeds with its 95% interval,
every seed as a small dot, and the letters of the models that cannot be told apart. Dashed lines are references. Needs the
extra [report].
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
from nmbench.contracts.catalog import BASELINES  # noqa: E402
from nmbench.report import pictures  # noqa: E402
from nmbench.report.axes import use_log_scale  # noqa: E402
from nmbench.results.ranking import Table  # noqa: E402

PICTURE = DOCS / "overview.svg"
# Tasks in the order of the panels; tasks that are not named follow.
ORDER = ("element_finder", "mwg_rank3", "multitask")
COLUMNS = 3


def panels(found: results.Results) -> list[Table]:
    """The tables to draw."""
    return sorted(
        results.main_tables(found.tables), key=lambda t: (ORDER.index(t.task) if t.task in ORDER else len(ORDER), t.task)
    )


def fingerprint(tables: list[Table]) -> str:
    """Hash of the run ids, values and groups that are drawn."""
    drawn = [
        (t.task, e.label, e.group, e.run_ids, () if e.sample is None else tuple(e.sample.values.tolist()))
        for t in tables
        for e in t.entries
    ]
    return hashlib.sha256(repr(drawn).encode()).hexdigest()


def draw(tables: list[Table], path: pathlib.Path) -> None:
    """Draw the panels and write the picture, with the fingerprint in a comment."""
    from matplotlib.figure import Figure

    styles = pictures.styles([entry.name for entry in BASELINES.entries()], "rows")
    columns = min(COLUMNS, len(tables))
    rows = -(-len(tables) // columns)
    most = max(sum(not e.reference for e in table.entries) for table in tables)
    with pictures.look():
        figure = Figure(figsize=(3.6 * columns, (1.1 + 0.27 * most) * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis in axes[len(tables) :]:
            axis.set_axis_off()
        for axis, table in zip(axes, tables, strict=False):
            _panel(axis, table, styles)
        pictures.write(path, figure)
    svg = path.read_text(encoding="utf-8")
    path.write_text(svg.replace("<svg ", f"<!-- rows {fingerprint(tables)} -->\n<svg ", 1), encoding="utf-8")


def _panel(axis, table: Table, styles) -> None:
    entries = [entry for entry in table.entries if not entry.reference]
    values = [value for entry in entries for value in entry.sample.values]
    references = [e for e in table.entries if e.reference and e.median.value not in (table.ceiling,)]
    log_zero = use_log_scale(axis, "x", values) if table.logarithmic else None
    shown = lambda value: max(value, log_zero) if log_zero is not None else value
    low, high = min(map(shown, values)), max(map(shown, values))
    for reference in references:
        if low / 3 <= reference.median.value <= 3 * high:
            axis.axvline(reference.median.value, color="#9aa4b0", linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    for height, entry in enumerate(entries):
        style = styles.get(entry.model) or styles[next(iter(styles))]
        dots = [shown(value) for value in entry.sample.values]
        axis.plot(dots, [height] * len(dots), ".", color=style.colour, alpha=0.45, markersize=5, markeredgewidth=0)
        median = shown(entry.median.value)
        if entry.median.low is not None:
            axis.plot([shown(entry.median.low), shown(entry.median.high)], [height] * 2, color=style.colour, linewidth=2)
        axis.plot([median], [height], style.marker, color=style.colour, markersize=6)
        axis.annotate(
            entry.group, (1.01, height), xycoords=("axes fraction", "data"), va="center", fontsize=8, color="#4f5965"
        )
    axis.set_yticks(range(len(entries)), [entry.label for entry in entries], fontsize=9)
    axis.set_ylim(len(entries) - 0.4, -0.6)
    axis.tick_params(labelsize=8)
    departures = table.protocol.removeprefix(results.PROTOCOL)
    axis.set_title(f"{table.task}{departures}", fontsize=10 if not departures else 8.5, loc="left", fontweight="bold")
    axis.set_xlabel(f"{table.metric} ({'higher' if table.higher_is_better else 'lower'} is better)", fontsize=8)
    axis.grid(axis="x")
    axis.set_axisbelow(True)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="draw nothing; check that the picture shows the rows")
    parser.add_argument("--rows", type=pathlib.Path, nargs="*", default=[], help="CSVs of rows")
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
