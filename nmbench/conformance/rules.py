"""Rules of a contract, their findings and outcomes, and the loop that checks a list of rules."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nmbench.support.errors import NmbenchError, first_line, printable

PASS, WARN, FAIL, SKIP = "PASS", "WARN", "FAIL", "SKIP"
LONGEST = 300


@dataclasses.dataclass(frozen=True)
class RuleFinding:
    """One violation of a rule.

    Attributes:
      seen: the observation, one line.
      fix: how to fix it, one line.
      warning: whether it is only a warning.
    """

    seen: str
    fix: str
    warning: bool = False


@dataclasses.dataclass(frozen=True)
class Rule:
    """One requirement of a contract.

    Attributes:
      id: short and stable name, such as "M07-causal".
      requirement: the condition that must hold, one line.
      find: `subject -> iterator of RuleFinding`.
      fix: how to fix the code under test if it raises an exception inside `find`.
      needs: ids of rules that must pass before this one is checked.
    """

    id: str
    requirement: str
    find: Callable[[Any], Iterator[RuleFinding]]
    fix: str
    needs: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class RuleOutcome:
    """Outcome of one rule.

    Attributes:
      rule: the rule.
      verdict: PASS, WARN, FAIL, or SKIP if a rule that it needs has failed or was skipped.
      findings: all findings; empty unless the verdict is WARN or FAIL.
      seconds: duration of the check.
      because: id of the needed rule that has failed or was skipped; "" unless the verdict is SKIP.
    """

    rule: Rule
    verdict: str
    findings: tuple[RuleFinding, ...] = ()
    seconds: float = 0.0
    because: str = ""


class Rules(list[Rule]):
    """A list of rules, with a decorator that adds one."""

    def add(self, id_: str, *, fix: str, needs: tuple[str, ...] = ()):
        """Decorator for a generator `find(subject)`; the first line of its docstring becomes the requirement."""
        ids = {rule.id for rule in self}
        assert id_ not in ids and ids.issuperset(needs), id_

        def decorate(find: Callable[[Any], Iterator[RuleFinding]]):
            self.append(Rule(id_, (find.__doc__ or "").split("\n")[0], find, fix, needs))
            return find

        return decorate


def judge(rules: Sequence[Rule], subject: Any) -> Iterator[RuleOutcome]:
    """Check every rule on `subject`, in order; yields each outcome as soon as it is known."""
    broken: set[str] = set()
    for rule in rules:
        missing = sorted(broken.intersection(rule.needs))
        if missing:
            broken.add(rule.id)
            yield RuleOutcome(rule, SKIP, because=missing[0])
            continue
        outcome = judge_one(rule, subject)
        if outcome.verdict == FAIL:
            broken.add(rule.id)
        yield outcome


def judge_one(rule: Rule, subject: Any) -> RuleOutcome:
    """Check one rule, whether or not the rules that it needs pass."""
    began = time.perf_counter()
    findings: list[RuleFinding] = []
    try:
        with warnings.catch_warnings():  # rules about warnings catch them themselves
            warnings.simplefilter("ignore")
            findings += rule.find(subject)
    except Exception as error:  # third-party code can raise anything; an exception is a finding as well
        findings.append(RuleFinding(describe_error(error), rule.fix))
    failed = any(not finding.warning for finding in findings)
    verdict = FAIL if failed else WARN if findings else PASS
    return RuleOutcome(rule, verdict, tuple(findings), time.perf_counter() - began)


def describe_error(error: BaseException) -> str:
    """One line that describes an exception."""
    try:
        text = str(error) if isinstance(error, NmbenchError) else f"{type(error).__name__}: {first_line(error)}"
    except Exception:  # its __str__ can fail as well
        text = f"{type(error).__name__} (no message)"
    text = printable(text.strip().split("\n")[0])
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
