"""Conformance rules of models and tasks, for the command `check` and for your own tests.

from nmbench import conformance

class TestMyModel(conformance.ModelConformance):
    plugin = "my_model.py"  # relative to the test file; leave it out if the model is installed
    model = "my_model"

This room imports experiments and the rooms below it. Its public names are those below, and the module `report`.
"""

from nmbench.conformance.cases import ConformanceWarning, ModelConformance, TaskConformance
from nmbench.conformance.model_rules import MODEL_RULES
from nmbench.conformance.model_subject import ModelUnderTest
from nmbench.conformance.rules import FAIL, PASS, SKIP, WARN, Rule, RuleFinding, RuleOutcome, judge
from nmbench.conformance.task_rules import TASK_RULES
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
