"""Format the outcomes of rules as text."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from nmbench.conformance.rules import FAIL, PASS, SKIP, WARN, RuleOutcome
from nmbench.support import terminal

WIDTH = 110
_TOTALS = {PASS: "passed", WARN: "warned", FAIL: "failed", SKIP: "skipped"}


def line(outcome: RuleOutcome, columns: int | None = None) -> str:
    """The text of an outcome: a line for the rule, followed by the observation and the fix of each finding.

    Args:
      outcome: the outcome.
      columns: width of the terminal; None if there is none.
    """
    rule, width = outcome.rule, min(WIDTH, columns or WIDTH)
    lines = [terminal.fit(f"{outcome.verdict}  {rule.id:<17} {outcome.seconds:5.1f} s  {rule.requirement}", columns)]
    for finding in outcome.findings:
        for label, text in (("seen", finding.seen), ("fix", finding.fix)):
            first, *code = text.split("\n")
            lines += textwrap.wrap(first, width, initial_indent=f"        {label + ':':<6}", subsequent_indent=" " * 14)
            lines += [f"{'':14}{one}".rstrip() for one in code]
    return "\n".join(lines)


def skipped(outcomes: Sequence[RuleOutcome], columns: int | None = None) -> str:
    """One paragraph that names all skipped rules; "" if there are none. columns: as for `line`."""
    names = [outcome.rule.id for outcome in outcomes if outcome.verdict == SKIP]
    if not names:
        return ""
    text = f"SKIP  {', '.join(names)}: a rule that {'they need' if len(names) > 1 else 'it needs'} fails"
    width = min(WIDTH, columns or WIDTH)
    return "\n".join(textwrap.wrap(text, width, subsequent_indent=" " * 6, break_on_hyphens=False))


def totals(outcomes: Sequence[RuleOutcome]) -> str:
    """One line with the number of outcomes of each kind."""
    counts = Counter(outcome.verdict for outcome in outcomes)
    parts = [f"{counts[verdict]} {word}" for verdict, word in _TOTALS.items() if counts[verdict]]
    return (
        f"{terminal.count(len(outcomes), 'rule')}: {', '.join(parts)}; {sum(outcome.seconds for outcome in outcomes):.1f} s"
    )
