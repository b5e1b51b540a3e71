"""The ledger of claims as plain text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from nmbench.paper.ledger.page import ABOUT, CONDITIONS, TITLE
from nmbench.paper.ledger.publication import LedgerEntry
from nmbench.paper.ledger.verdicts import ClaimFinding
from nmbench.report.tables import TextTable, terminal_table

_HEADERS = ("measured", "value", "interval", "notes")


def text(entries: Sequence[LedgerEntry], command: str, columns: int) -> str:
    """The verdicts, then each claim with its rule, values and commands. columns: width of the terminal."""
    headers = ["claim", *CONDITIONS.values()]
    rows = [[e.claim.name, *(_verdict(e.findings[p]) if p in e.findings else "" for p in CONDITIONS)] for e in entries]
    verdicts = terminal_table(TextTable(headers, rows, left=headers), columns=columns)
    parts = [TITLE, _filled(ABOUT, columns), f"Command: {command}", verdicts]
    for entry in entries:
        claim = entry.claim
        parts += [
            f"{claim.name}\n{'-' * len(claim.name)}",
            *(_filled(line, columns) for line in (claim.statement, f"Source: {claim.source}.", f"Verdict: {claim.rule}")),
        ]
        for protocol, finding in entry.findings.items():
            parts += _details(CONDITIONS[protocol], finding, columns)
    return "\n\n".join(parts) + "\n"


def _details(condition: str, finding: ClaimFinding, columns: int) -> list[str]:
    parts = [_filled(f"{condition}: {_verdict(finding)}. {finding.reason}.", columns)]
    if finding.measured:
        table = TextTable(_HEADERS, finding.measured, left=_HEADERS)
        parts.append(textwrap.indent(terminal_table(table, columns=columns - 2), "  "))
    if finding.commands:  # not wrapped, so that they can be copied
        parts.append("\n".join(f"  {command}" for command in finding.commands))
    return parts


def _verdict(finding: ClaimFinding) -> str:
    return finding.verdict.value + (f" ({finding.qualifier})" if finding.qualifier else "")


def _filled(line: str, columns: int) -> str:
    return textwrap.fill(line, columns, break_long_words=False, break_on_hyphens=False)
