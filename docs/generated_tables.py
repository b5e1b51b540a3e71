"""Write the tables and sentences of README.md that are computed from results/ between their markers.

  python docs/generated_tables.py           # update README.md
  python docs/generated_tables.py --check   # exit code 1 if README.md is not current

A marker is `<!-- table: NAME -->` or `<!-- text: NAME -->`; what it encloses ends with `<!-- end -->`. Tables and sentences
about tasks are those of protocol `matched` in results/board/ and submissions/.

  table: TASK            the table of a task with few columns, submissions, what solves it, references, who is ahead of whom
  table: overall         the ranking over all tasks
  table: findings        the answers to all questions about models, from results/board/ only
  text: TASK:learned     how many seeds have learned the trained intervals (Measure-Wait-Go)
  text: TASK:forgetting  what retraining does to the old tasks (multitask)
  text: claims           a bullet for each claim, as in results/claims/CLAIMS.md
  text: claim:NAME       the sentences of one claim

`python -m nmbench.leaderboard results/board submissions --protocol=matched --format=markdown` prints all columns.
"""

import pathlib
import re
import sys
import textwrap

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from maker.results import PROTOCOL, board_files, main_tables  # noqa: E402
from nmbench.paper.ledger import summary  # noqa: E402
from nmbench.questions import catalogue, findings  # noqa: E402
from nmbench.questions import text as questions_text  # noqa: E402
from nmbench.report import leaderboard, sentences, tables  # noqa: E402
from nmbench.report.text import column_number, interval, one_decimal  # noqa: E402
from nmbench.results import experiment_rows, ranking  # noqa: E402
from nmbench.results.overall import overall_rankings  # noqa: E402
from nmbench.results.ranking import Table  # noqa: E402
from nmbench.submissions import about  # noqa: E402

README = ROOT / "README.md"
CLAIMS = ROOT / "results" / "claims" / "CLAIMS.md"
WIDTH = 120
# An error, and a reference: a network that has learned to time has less than half of its error. Then old tasks before and
# after retraining.
LEARNED = dict.fromkeys(("mwg_rank3", "mwg_rank3_code"), ("mse_trained", "fixed ramp of 15 steps"))
FORGETTING = {"multitask": ("old_tasks.before_retraining", "old_tasks")}
_MARKED = re.compile(r"(<!-- (table|text): (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def blocks() -> dict[tuple[str, str], str]:
    """Tables and sentences in Markdown, by kind and name in their markers."""
    sources = experiment_rows.read_all([str(path) for path in board_files()], protocol=PROTOCOL)
    evaluated = {name: found for source in sources for name, found in source.evaluated.items()}
    every = ranking.rank_tables(sources)
    ranked = main_tables(every)
    found = {("table", table.task): compact(table) for table in ranked}
    if overall := overall_rankings(every):
        # A heading comes first, then the table; more tables and notes follow.
        found["table", "overall"] = leaderboard.render([], overall, "markdown").split("\n\n")[1]
    for table in ranked:
        protocol = "" if table.protocol == PROTOCOL else f"Protocol: {table.protocol}."
        said = [say(table) for say in (sentences.scale, sentences.solved, sentences.references, sentences.order)]
        parts = (protocol, submitted(table), *said)
        found["table", table.task] += f"\n\n{_wrapped(' '.join(filter(None, parts)))}"
        if table.task in FORGETTING:
            found["text", f"{table.task}:forgetting"] = sentences.medians(table, *FORGETTING[table.task])
        task = experiment_rows.registered_task(table.task, evaluated[table.task].evaluation)
        if task is not None and table.task in LEARNED:
            experiments = [one for source in sources for one in source.experiments]
            rows = [one for one in experiments if one.table == (table.task, table.protocol, table.budget)]
            text = sentences.below_half_of_reference(rows, task, *LEARNED[table.task])
            found["text", f"{table.task}:learned"] = text
    asked = catalogue.read()
    answered = findings.compute(asked, experiment_rows.read_all(str(ROOT / "results" / "board")))
    found["table", "findings"] = questions_text.in_short(answered, asked)
    claims = summary.read(CLAIMS.read_text(encoding="utf-8")) if CLAIMS.exists() else {}
    found |= {("text", f"claim:{name}"): text for name, text in claims.items()}
    if claims:
        found["text", "claims"] = "\n".join(f"- **{name}**: {text}" for name, text in claims.items())
    return {key: _wrapped(text) if key[0] == "text" else text for key, text in found.items()}


def compact(table: Table) -> str:
    """The models of a table in Markdown, with few columns."""
    entries = table.models
    show = column_number(n for e in entries for n in (e.median.value, e.median.low, e.median.high))
    letters = sentences.letters_show_ties(table)
    headers = ["rank", "model", *["group"] * letters, "params", "seeds", "median", "95%", "score"]
    headers += ["solved"] * (table.threshold is not None)
    rows = [
        [
            "" if e.rank is None else str(e.rank),
            e.label,
            *[e.group] * letters,
            str(e.params),
            str(len(e.run_ids)),
            show(e.median.value),
            interval(e.median, show),
            one_decimal(e.score.value),
            *([] if table.threshold is None else [f"{e.solved}/{len(e.run_ids)}"]),
        ]
        for e in entries
    ]
    return tables.markdown_table(tables.TextTable(headers, rows))


def submitted(table: Table) -> str:
    """A sentence that names the submissions in a table; "" without any."""
    files = (ROOT / "submissions").glob(f"*/{about.FILE}")
    models = {model for file in files for model in about.read(file).models}
    names = [f"`{entry.label}`" for entry in table.models if entry.label in models]
    return f"Submissions: {', '.join(names)}." if names else ""


def _wrapped(text: str) -> str:
    """The lines of a text, wrapped; continuation lines of bullets are indented."""
    return "\n".join(
        textwrap.fill(
            line,
            WIDTH,
            subsequent_indent="  " * line.startswith("- "),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.split("\n")
    )


def update(text: str) -> str:
    """The text with current blocks between its markers. Raises `KeyError` for a marker with an unknown name."""
    found = blocks()
    return _MARKED.sub(lambda match: f"{match[1]}{found[match[2], match[3]]}\n{match[4]}", text)


def main(argv: list[str]) -> int:
    if not {*argv} <= {"--check"}:
        sys.exit(__doc__)
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
