"""Format the outcomes of rules as text."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from nmbench.conformance.rules import FAIL, PASS, SKIP, WARN, RuleOutcome

WIDTH = 110
_TOTALS = {PASS: "passed", WARN: "warned", FAIL: "failed", SKIP: "skipped"}


def line(outcome: RuleOutcome) -> str:
    """The text of an outcome: a line for the rule, followed by the observation and the fix of each finding."""
    rule = outcome.rule
    lines = [f"{outcome.verdict}  {rule.id:<17} {outcome.seconds:5.1f} s  {rule.requirement}"]
    if outcome.verdict == SKIP:
        lines.append(f"        skipped because {outcome.because} fails")
    for finding in outcome.findings:
        for label, text in (("seen", finding.seen), ("fix", finding.fix)):
            lines += textwrap.wrap(text, WIDTH, initial_indent=f"        {label + ':':<6}", subsequent_indent=" " * 14)
    return "\n".join(lines)


def totals(outcomes: Sequence[RuleOutcome]) -> str:
    """One line with the number of outcomes of each kind."""
    counts = Counter(outcome.verdict for outcome in outcomes)
    parts = [f"{counts[verdict]} {word}" for verdict, word in _TOTALS.items() if counts[verdict]]
    return f"{len(outcomes)} rules: {', '.join(parts)}; {sum(outcome.seconds for outcome in outcomes):.1f} s"
