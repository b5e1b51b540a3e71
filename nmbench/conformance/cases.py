"""Test cases for pytest and unittest, to be subclassed. Every rule is a test method.

`ModelConformance` and `TaskConformance` list the attributes to set. The modules `model_rules`, `program_rules`, `task_rules`
and `scoring_rules` contain the rules.
"""

from __future__ import annotations

import inspect
import pathlib
import unittest
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

from nmbench.conformance import rules
from nmbench.conformance.model_subject import ModelUnderTest
from nmbench.conformance.program_rules import MODEL_RULES
from nmbench.conformance.scoring_rules import TASK_RULES
from nmbench.conformance.task_subject import TaskUnderTest
from nmbench.contracts import plugins
from nmbench.contracts.catalog import TASKS


class ConformanceWarning(UserWarning):
    """Warning category of findings that are not failures."""


def _method_name(rule: rules.Rule) -> str:
    return f"test_{rule.id.lower().replace('-', '_')}"


def _method(rule: rules.Rule):
    def test(self: Any) -> None:
        self._judge(rule)

    test.__name__, test.__doc__ = _method_name(rule), rule.requirement
    return test


class _Conformance(unittest.TestCase):
    """One test method per rule of `RULES`. The subject is created once per class."""

    __test__ = False  # only subclasses are run
    RULES: ClassVar[Sequence[rules.Rule]] = ()
    plugin: ClassVar[str | pathlib.Path | None] = None
    _subject: ClassVar[Any] = None
    _failed: ClassVar[set[str]]

    @classmethod
    def subject(cls) -> Any:
        """Create the model or task under test."""
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
            raise unittest.SkipTest("inherit from this class and name a model or a task")
        if cls.plugin is not None:
            path = pathlib.Path(cls.plugin)
            plugins.load(str(path if path.is_absolute() else pathlib.Path(inspect.getfile(cls)).parent / path))
        cls._subject, cls._failed = cls.subject(), set()

    def _judge(self, rule: rules.Rule) -> None:
        for needed in rule.needs:
            if needed in self._failed:
                self._failed.add(rule.id)
                self.skipTest(f"skipped because {needed} fails")
        outcome = rules.judge_one(rule, self._subject)
        text = "\n".join(f"{rule.id}: {f.seen}\n  fix: {f.fix}" for f in outcome.findings)
        if outcome.verdict == rules.FAIL:
            self._failed.add(rule.id)
            self.fail(text)
        if outcome.verdict == rules.WARN:
            warnings.warn(text, ConformanceWarning, stacklevel=2)


class ModelConformance(_Conformance):
    """All rules for models, as tests. Subclass it and set these attributes.

    Attributes:
      model: registered name.
      plugin: file that registers the model, relative to the test file; None (default) if it is installed.
      tasks: names of the tasks to check the model on; () (default) for the tasks that `nmbench.check` chooses.
    """

    RULES = MODEL_RULES
    model: ClassVar[str] = ""
    tasks: ClassVar[Sequence[str]] = ()

    @classmethod
    def subject(cls) -> ModelUnderTest:
        return ModelUnderTest.of(cls.model, cls.tasks)


class TaskConformance(_Conformance):
    """All rules for tasks, as tests. Subclass it and set these attributes.

    Attributes:
      task: registered name.
      plugin: file that registers the task, relative to the test file; None (default) if it is installed.
    """

    RULES = TASK_RULES
    task: ClassVar[str] = ""

    @classmethod
    def subject(cls) -> TaskUnderTest:
        return TaskUnderTest(TASKS.get(cls.task))
