"""Conformance rules for models and tasks. The command `check` applies them, and so can your own tests:

  from nmbench import conformance

  class TestMyModel(conformance.ModelConformance):
      plugin = "my_model.py"  # relative to the test file; omit it if the model is installed
      model = "my_model"

May import: experiments and the rooms below it. Public: the names below.
"""

from nmbench.conformance.cases import ConformanceWarning, ModelConformance, TaskConformance
from nmbench.conformance.model_subject import ModelUnderTest
from nmbench.conformance.program_rules import MODEL_RULES
from nmbench.conformance.rules import FAIL, PASS, SKIP, WARN, Rule, RuleFinding, RuleOutcome, judge
from nmbench.conformance.scoring_rules import TASK_RULES
from nmbench.conformance.task_subject import TaskUnderTest

__all__ = [
    "FAIL",
    "MODEL_RULES",
    "PASS",
    "SKIP",
    "TASK_RULES",
    "WARN",
    "ConformanceWarning",
    "ModelConformance",
    "ModelUnderTest",
    "Rule",
    "RuleFinding",
    "RuleOutcome",
    "TaskConformance",
    "TaskUnderTest",
    "judge",
    "report",
]
