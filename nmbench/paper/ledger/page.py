"""The ledger of claims as Markdown and as an HTML page."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tabulate

import nmbench
from nmbench.paper.ledger import summary
from nmbench.paper.ledger.publication import MATCHED, PAPER, LedgerEntry
from nmbench.paper.ledger.verdicts import ClaimFinding
from nmbench.report import page as leaderboard_page
from nmbench.report.captions import Shown
from nmbench.report.text import escape_markdown

# Titles of the two columns of verdicts.
CONDITIONS = {PAPER: "as published (paper)", MATCHED: "equal conditions (matched)"}
_COLUMNS = ("measured", "value", "interval", "notes")
_TEMPLATES = pathlib.Path(__file__).parent / "templates"
TITLE = "Ledger of claims"
ABOUT = (
    "The claims of Costacurta, Bhandarkar, Zoltowski and Linderman (NeurIPS 2024), compared with measured results. Each "
    "verdict is computed from the values listed for it, by the rule of its claim. If training was shorter than the "
    "protocol's, a claim is decided only if more training could not change the verdict. Intervals are 95% intervals over "
    "seeds, without the uncertainty of tuning: order statistics for medians, Student's t for means, Welch's for ratios "
    "of errors, Wilson's for shares of seeds, Newcombe's for their differences. A seed that diverged or was lost counts "
    "with the floor of its metric. With fewer than six seeds, no interval of a median covers 95%, and the smallest and the "
    "largest seed are given as a range. A documented difference is no claim and has no verdict. "
    "An empty cell means that the claim is not tested under this condition."
)


def markdown(entries: Sequence[LedgerEntry], command: str) -> str:
    """The ledger as Markdown: a table of verdicts, the claims in short, each claim with its rule, values and commands."""
    head = ["claim", "", *CONDITIONS.values()]
    lines = [
        [f"[{escape_markdown(e.claim.name)}](#{e.claim.name})", escape_markdown(e.claim.statement), *_verdicts(e)]
        for e in entries
    ]
    parts = [
        f"# {TITLE}",
        f"{ABOUT} Command:",
        f"```\n{command}\n```",
        tabulate.tabulate(lines, head, tablefmt="pipe", disable_numparse=True),
        "## In short",
        summary.bullets(entries),
    ]
    return "\n\n".join([*parts, *map(section, entries)]) + "\n"


def section(entry: LedgerEntry) -> str:
    """One claim with its rule, values and commands, as Markdown."""
    claim = entry.claim
    parts = [
        f"## {claim.name}",
        escape_markdown(claim.statement),
        f"Source: {escape_markdown(claim.source)}.\nVerdict: {escape_markdown(claim.rule)}",
    ]
    for protocol, finding in entry.findings.items():
        parts += _details(CONDITIONS[protocol], finding)
    return "\n\n".join(parts)


def _details(condition: str, finding: ClaimFinding) -> list[str]:
    parts = [f"### {condition}: {_verdict(finding)}", f"{escape_markdown(finding.reason)}."]
    if finding.measured:
        rows = [list(map(escape_markdown, line)) for line in finding.measured]
        parts.append(tabulate.tabulate(rows, _COLUMNS, tablefmt="pipe", disable_numparse=True, colalign=("left",) * 4))
    if finding.commands:
        parts.append("\n".join(["```", *finding.commands, "```"]))
    return parts


def _verdicts(entry: LedgerEntry) -> list[str]:
    return [_verdict(entry.findings[p]) if p in entry.findings else "" for p in CONDITIONS]


def _verdict(finding: ClaimFinding) -> str:
    return finding.verdict.value + (f" ({escape_markdown(finding.qualifier)})" if finding.qualifier else "")


class PageFigure(NamedTuple):
    """A figure on the page: address of the picture, addresses of other formats by their names, caption, ids of its rows."""

    name: str
    source: str
    others: dict[str, str]
    text: str
    rows: list[str]


def html(entries: Sequence[LedgerEntry], command: str, shown: Mapping[str, Shown] | None = None) -> str:
    """The ledger as one HTML page; needs jinja2 (see `check_library`).

    Args:
      entries: the claims with their findings.
      command: the command line that makes the page.
      shown: figures in the folder `figures/` beside the page, by name.
    """
    import jinja2
    from markupsafe import Markup

    from nmbench.paper.ledger import effects

    files = (leaderboard_page.TEMPLATES / "page.css", _TEMPLATES / "ledger.css")
    styles = "".join(path.read_text(encoding="utf-8") for path in files)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("ledger.html.j2")
    return template.render(
        entries=entries,
        conditions=CONDITIONS,
        columns=_COLUMNS,
        figures=_figures(entries, shown or {}),
        pictured=bool(shown),
        plot=effects.svg,
        command=command,
        title=TITLE,
        about=ABOUT,
        style=Markup(styles),
        generator=f"nmbench {nmbench.__version__}",
    )


def _figures(entries: Sequence[LedgerEntry], shown: Mapping[str, Shown]) -> dict[str, dict[str, list[Any]]]:
    """From claim and protocol to its figures: a `PageFigure`, or the name of a figure that an earlier claim shows.

    A figure is shown beside the finding under the protocol of its rows, or else beside the claim's first finding.
    """
    found: dict[str, dict[str, list[Any]]] = {}
    seen = set()
    for entry in entries:
        places = found[entry.claim.name] = {protocol: [] for protocol in entry.findings}
        for name in entry.claim.figures:
            if name not in shown:
                continue
            protocol = next((p for p in places if p in shown[name].protocols), next(iter(places)))
            places[protocol].append(name if name in seen else _figure(name, shown[name]))
            seen.add(name)
    return found


def _figure(name: str, shown: Shown) -> PageFigure:
    first, *others = (f"figures/{path.name}" for path in shown.files)
    formats = {address.rpartition(".")[2].upper(): address for address in others}
    rows = [f"{run_id}: {value:.4g}" for run_id, value in shown.caption.rows.items()]
    return PageFigure(name, first, formats, shown.caption.text, rows)
