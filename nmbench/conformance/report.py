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
    for finding in outcome.findings:
        for label, text in (("seen", finding.seen), ("fix", finding.fix)):
            first, *code = text.split("\n")
            lines += textwrap.wrap(first, WIDTH, initial_indent=f"        {label + ':':<6}", subsequent_indent=" " * 14)
            lines += [f"{'':14}{one}".rstrip() for one in code]
    return "\n".join(lines)


def skipped(outcomes: Sequence[RuleOutcome]) -> str:
    """One paragraph that names all skipped rules; "" if there are none."""
    names = [outcome.rule.id for outcome in outcomes if outcome.verdict == SKIP]
    if not names:
        return ""
    text = f"SKIP  {', '.join(names)}: a rule that {'they need' if len(names) > 1 else 'it needs'} fails"
    return "\n".join(textwrap.wrap(text, WIDTH, subsequent_indent=" " * 6, break_on_hyphens=False))


def totals(outcomes: Sequence[RuleOutcome]) -> str:
    """One line with the number of outcomes of each kind."""
    counts = Counter(outcome.verdict for outcome in outcomes)
    parts = [f"{counts[verdict]} {word}" for verdict, word in _TOTALS.items() if counts[verdict]]
    return f"{len(outcomes)} rules: {', '.join(parts)}; {sum(outcome.seconds for outcome in outcomes):.1f} s"
