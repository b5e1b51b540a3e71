"""What a rule is, what it finds, and how a list of rules is judged."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nmbench.support.errors import NmbenchError, printable

PASS, WARN, FAIL, SKIP = "PASS", "WARN", "FAIL", "SKIP"
LONGEST = 300


@dataclasses.dataclass(frozen=True)
class RuleFinding:
    """One violation.

    Attributes:
      seen: what was observed, one line.
      fix: what to do about it, one line.
      warning: whether it is no more than a warning.
    """

    seen: str
    fix: str
    warning: bool = False


@dataclasses.dataclass(frozen=True)
class Rule:
    """One demand of a contract.

    Attributes:
      id: short and stable, e.g. "M07-causal".
      demand: one line, what has to hold.
      find: `subject -> iterator of RuleFinding`.
      fix: what to do where `find` itself meets an exception of the code that it judges.
      needs: ids of rules without which this one cannot be judged.
    """

    id: str
    demand: str
    find: Callable[[Any], Iterator[RuleFinding]]
    fix: str
    needs: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class RuleOutcome:
    """Verdict on one rule.

    Attributes:
      rule: the rule.
      verdict: PASS, WARN, FAIL, or SKIP where a rule that it needs has failed.
      findings: what was found; empty unless WARN or FAIL.
      seconds: time that judging took.
      because: for SKIP, the rule that has failed.
    """

    rule: Rule
    verdict: str
    findings: tuple[RuleFinding, ...] = ()
    seconds: float = 0.0
    because: str = ""


class Rules(list[Rule]):
    """A list of rules with a decorator that adds to it."""

    def add(self, id_: str, *, fix: str, needs: tuple[str, ...] = ()):
        """Decorator of a generator `find(subject)`; the first line of its docstring is the demand."""
        known = {rule.id for rule in self}
        assert id_ not in known and known.issuperset(needs), id_

        def decorate(find: Callable[[Any], Iterator[RuleFinding]]):
            self.append(Rule(id_, (find.__doc__ or "").split("\n")[0], find, fix, needs))
            return find

        return decorate


def judge(rules: Sequence[Rule], subject: Any) -> Iterator[RuleOutcome]:
    """The outcome of every rule on `subject`, in order, each as soon as it is known."""
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
    """The outcome of one rule, whatever became of those that it needs."""
    began = time.perf_counter()
    findings: list[RuleFinding] = []
    try:
        with warnings.catch_warnings():  # those that a rule is about are caught by that rule
            warnings.simplefilter("ignore")
            findings += rule.find(subject)
    except Exception as error:  # code of a third party may raise anything; that is a finding like any other
        findings.append(RuleFinding(said(error), rule.fix))
    failed = any(not finding.warning for finding in findings)
    verdict = FAIL if failed else WARN if findings else PASS
    return RuleOutcome(rule, verdict, tuple(findings), time.perf_counter() - began)


def said(error: BaseException) -> str:
    """One line on an exception."""
    try:
        text = str(error) if isinstance(error, NmbenchError) else f"{type(error).__name__}: {error}"
    except Exception:  # not even that can be relied on
        text = f"{type(error).__name__} (no message)"
    text = printable(text.strip().split("\n")[0])
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
