"""Write the tables of README.md that are computed from results/reference.csv between their markers.

  python docs/generated_tables.py           # update README.md
  python docs/generated_tables.py --check   # exit code 1 if README.md is not current

The markers `<!-- table: TASK -->` and `<!-- end -->` enclose the task's table under protocol `matched`. The markers
`<!-- table: overall -->` and `<!-- end -->` enclose the ranking over all tasks. Both tables are as printed by

  python -m nmbench.leaderboard results/reference.csv --protocol=matched --format=markdown
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from nmbench.report import leaderboard  # noqa: E402
from nmbench.results import experiment_rows, ranking  # noqa: E402
from nmbench.results.overall import overall_rankings  # noqa: E402

README = ROOT / "README.md"
PROTOCOL = "matched"
_MARKED = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def tables() -> dict[str, str]:
    """The tables in Markdown, by the names in their markers."""
    source = experiment_rows.read(str(ROOT / "results" / "reference.csv"), protocol=PROTOCOL)
    found = ranking.rank_tables([source])
    texts = {table.task: leaderboard.render([table], [], "markdown") for table in found}
    texts["overall"] = leaderboard.render([], overall_rankings(found), "markdown")
    # A heading comes first, then the table; more tables and notes follow.
    return {name: text.split("\n\n")[1] for name, text in texts.items()}


def update(text: str) -> str:
    """The text with current tables between its markers. Raises `KeyError` for a marker with an unknown name."""
    found = tables()
    return _MARKED.sub(lambda match: f"{match[1]}\n{found[match[2]]}\n\n{match[3]}", text)


def main(argv: list[str]) -> int:
    text = README.read_text(encoding="utf-8")
    current = update(text)
    if "--check" not in argv:
        README.write_text(current, encoding="utf-8")
    elif text != current:
        print("README.md is not current; run python docs/generated_tables.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
