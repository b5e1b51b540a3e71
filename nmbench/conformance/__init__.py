"""Does a model or a task keep the contract? One list of rules, for the command `check` and for tests of one's own.

from nmbench import conformance

class TestMyModel(conformance.ModelConformance):
    plugin = "my_model.py"  # beside the test file; leave it out for what is installed
    model = "my_model"
"""

from nmbench.conformance.cases import ConformanceWarning, ModelConformance, TaskConformance
from nmbench.conformance.models import MODEL_RULES, ModelUnderTest
from nmbench.conformance.rules import FAIL, PASS, SKIP, WARN, Rule, RuleFinding, RuleOutcome, judge
from nmbench.conformance.tasks import TASK_RULES, TaskUnderTest

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
]
