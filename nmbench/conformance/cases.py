"""The rules as test cases to inherit: every rule is a test method, for pytest and for unittest alike.

What a test class sets is in `ModelConformance` and `TaskConformance`; the rules are in `models.py` and `tasks.py`.
"""

from __future__ import annotations

import inspect
import pathlib
import unittest
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

from nmbench.conformance import models, rules, tasks
from nmbench.contracts import plugins
from nmbench.contracts.catalog import TASKS


class ConformanceWarning(UserWarning):
    """A finding that is no more than a warning."""


def _method_name(rule: rules.Rule) -> str:
    return f"test_{rule.id.lower().replace('-', '_')}"


def _method(rule: rules.Rule):
    def test(self: Any) -> None:
        self._judge(rule)

    test.__name__, test.__doc__ = _method_name(rule), rule.demand
    return test


class _Conformance(unittest.TestCase):
    """One test method per rule of `RULES`; the subject is made once per class."""

    __test__ = False  # of subclasses alone
    RULES: ClassVar[Sequence[rules.Rule]] = ()
    plugin: ClassVar[str | pathlib.Path | None] = None
    _subject: ClassVar[Any] = None
    _failed: ClassVar[set[str]]

    @classmethod
    def subject(cls) -> Any:
        """What is judged, None for a class that names nothing."""
        raise NotImplementedError

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        cls.__test__ = "RULES" not in vars(cls)
        for rule in vars(cls).get("RULES", ()):
            setattr(cls, _method_name(rule), _method(rule))

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        if not cls.__test__:
            raise unittest.SkipTest("inherit from it and name what is to be judged")
        if cls.plugin is not None:
            path = pathlib.Path(cls.plugin)
            plugins.load(str(path if path.is_absolute() else pathlib.Path(inspect.getfile(cls)).parent / path))
        cls._subject, cls._failed = cls.subject(), set()

    def _judge(self, rule: rules.Rule) -> None:
        for needed in rule.needs:
            if needed in self._failed:
                self._failed.add(rule.id)
                self.skipTest(f"cannot be judged while {needed} fails")
        outcome = rules.judge_one(rule, self._subject)
        text = "\n".join(f"{rule.id}: {f.seen}\n  fix: {f.fix}" for f in outcome.findings)
        if outcome.verdict == rules.FAIL:
            self._failed.add(rule.id)
            self.fail(text)
        if outcome.verdict == rules.WARN:
            warnings.warn(text, ConformanceWarning, stacklevel=2)


class ModelConformance(_Conformance):
    """Every rule for a model as a test. Subclass it and set

    model: registered name.
    plugin: file that registers it, relative to the test file; None (default) for what is installed.
    tasks: names of the tasks to judge it on; () (default) for the choice that `nmbench.check` makes.
    """

    RULES = models.MODEL_RULES
    model: ClassVar[str] = ""
    tasks: ClassVar[Sequence[str]] = ()

    @classmethod
    def subject(cls) -> models.ModelUnderTest:
        return models.ModelUnderTest.of(cls.model, cls.tasks)


class TaskConformance(_Conformance):
    """Every rule for a task as a test. Subclass it and set

    task: registered name.
    plugin: file that registers it, relative to the test file; None (default) for what is installed.
    """

    RULES = tasks.TASK_RULES
    task: ClassVar[str] = ""

    @classmethod
    def subject(cls) -> tasks.TaskUnderTest:
        return tasks.TaskUnderTest(TASKS.get(cls.task))
