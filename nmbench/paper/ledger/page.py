"""The ledger of claims as Markdown and as a page of HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import tabulate

import nmbench
from nmbench.paper.ledger.publication import MATCHED, PAPER, LedgerEntry
from nmbench.paper.ledger.verdicts import Finding
from nmbench.report.page import TEMPLATES, environment
from nmbench.report.text import escape_markdown
from nmbench.support.errors import NmbenchError

# What the two columns are called.
CONDITIONS = {PAPER: "as published (paper)", MATCHED: "equal conditions (matched)"}
_COLUMNS = ("measured", "value", "interval", "of what")
TITLE = "Ledger of claims"
ABOUT = (
    "What Costacurta, Bhandarkar, Zoltowski and Linderman (NeurIPS 2024) claim, held against rows that were measured. Every "
    "verdict is computed from the values below it, by the rule beside it. A training shorter than the protocol's decides "
    "only what more training could not undo. Intervals are 95% bootstrap intervals over seeds where nothing else is said; "
    "of fewer than six seeds they are hardly more than the range, and cover less."
)


def markdown(entries: Sequence[LedgerEntry], command: str) -> str:
    """The ledger as Markdown: a table of verdicts, then every claim with its rule, its values and its commands."""
    head = ["claim", "", *CONDITIONS.values()]
    lines = [
        [f"[{escape_markdown(e.claim.name)}](#{e.claim.name})", escape_markdown(e.claim.statement), *_verdicts(e)]
        for e in entries
    ]
    parts = [
        f"# {TITLE}",
        f"{ABOUT} Made by",
        f"```\n{command}\n```",
        tabulate.tabulate(lines, head, tablefmt="pipe", disable_numparse=True),
    ]
    return "\n\n".join([*parts, *map(section, entries)]) + "\n"


def section(entry: LedgerEntry) -> str:
    """A claim with its rule, its values and the commands that test it, as Markdown."""
    claim = entry.claim
    parts = [
        f"## {claim.name}",
        escape_markdown(claim.statement),
        f"Source: {escape_markdown(claim.source)}.\nVerdict: {escape_markdown(claim.rule)}",
    ]
    for protocol, finding in entry.findings.items():
        parts += _details(CONDITIONS[protocol], finding)
    return "\n\n".join(parts)


def _details(condition: str, finding: Finding) -> list[str]:
    parts = [f"### {condition}: {_verdict(finding)}", f"{escape_markdown(finding.because)}."]
    if finding.measured:
        rows = [list(map(escape_markdown, line)) for line in finding.measured]
        parts.append(tabulate.tabulate(rows, _COLUMNS, tablefmt="pipe", disable_numparse=True, colalign=("left",) * 4))
    if finding.commands:
        parts.append("\n".join(["```", *finding.commands, "```"]))
    return parts


def _verdicts(entry: LedgerEntry) -> list[str]:
    return [_verdict(entry.findings[p]) if p in entry.findings else "" for p in CONDITIONS]


def _verdict(finding: Finding) -> str:
    return finding.verdict.value + (f" ({escape_markdown(finding.qualifier)})" if finding.qualifier else "")


def check_library() -> None:
    """Raise `NmbenchError` if what the page needs is missing."""
    try:
        import jinja2  # noqa: F401
    except ImportError as error:
        raise NmbenchError("the page needs jinja2: pip install 'nmbench[report]', or -e '.[report]' in a clone") from error


def html(entries: Sequence[LedgerEntry], command: str) -> str:
    """The same as one page of HTML; see `check_library`."""
    from markupsafe import Markup

    styles = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "ledger.css"))
    template = environment().get_template("ledger.html.j2")
    return template.render(
        entries=entries,
        conditions=CONDITIONS,
        columns=_COLUMNS,
        command=command,
        title=TITLE,
        about=ABOUT,
        style=Markup(styles),
        generator=f"nmbench {nmbench.__version__}",
    )
