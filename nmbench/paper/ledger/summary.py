"""The claims in short: one Markdown bullet for each, with its verdicts and the sentences that give their reasons."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nmbench.paper.ledger.publication import MATCHED, PAPER, LedgerEntry
from nmbench.paper.ledger.verdicts import ClaimFinding, Verdict
from nmbench.report.text import escape_markdown

_WHEN = {PAPER: "As published", MATCHED: "Under equal conditions"}
_BULLET = re.compile(r"^- \*\*(\w+)\*\*: (.*)$", re.MULTILINE)


def bullets(entries: Sequence[LedgerEntry]) -> str:
    """One bullet for each claim, which begins with its name."""
    return "\n".join(f"- **{entry.claim.name}**: {sentences(entry)}" for entry in entries)


def sentences(entry: LedgerEntry) -> str:
    """The statement of a claim, then its verdicts with their reasons."""
    several = len(entry.findings) > 1
    findings = [_finding(_WHEN[protocol], finding, several) for protocol, finding in entry.findings.items()]
    return " ".join([f"*{escape_markdown(entry.claim.statement)}*", *findings])


def read(markdown: str) -> dict[str, str]:
    """From the name of a claim to its sentences, from a text that contains `bullets`."""
    return dict(_BULLET.findall(markdown))


def _finding(when: str, finding: ClaimFinding, several: bool) -> str:
    reason = escape_markdown(finding.reason)
    if finding.verdict is Verdict.DOCUMENTED:
        return f"{when}: {reason}." if several else f"{reason}."
    qualifier = f" ({escape_markdown(finding.qualifier)})" if finding.qualifier else ""
    return f"{when}: **{finding.verdict.value}**{qualifier}. {reason}."
