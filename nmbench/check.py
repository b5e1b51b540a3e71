"""Check that a model or a task meets the contract; print the outcome of every rule, and how to fix violations.

  python -m nmbench.check --plugin=my_model.py                     everything that the file registers
  python -m nmbench.check --plugin=my_model.py --model=my_model --task=element_finder
  python -m nmbench.check --task=my_task --plugin=my_task.py

With --model, --task (which may be repeated) selects the tasks to check the model on. By default, rules about shapes and
sizes use all tasks, and rules that run the model use the task with the shortest trials. The command stores no results.
Exit code 0: no rule failed (there may be warnings); 1: a rule failed; 2: bad input. `nmbench.conformance` has the same rules
as test cases.
"""

from __future__ import annotations

import pathlib

from absl import flags

from nmbench.contracts import plugins
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.support import cli, devices, terminal
from nmbench.support.errors import NmbenchError, did_you_mean

FLAGS = cli.new_flags("model", "plugin")
flags.DEFINE_multi_string("task", [], "task to check; with --model, task to check the model on", flag_values=FLAGS)
cli.string(
    FLAGS, "rules", "", "check only these rules and the rules that they need, such as M07-causal,M09-gradient or M07,M09"
)


def main() -> int:
    if not (FLAGS.model or FLAGS.task or FLAGS.plugin):
        raise NmbenchError(
            "name what to check: --model=NAME, --task=NAME, or --plugin=FILE.py for everything that it registers"
        )
    devices.start(1)
    names = lambda registry: [entry.name for entry in registry.entries()]
    before = {registry.kind: names(registry) for registry in (BASELINES, TASKS)}
    plugins.load_all(FLAGS.plugin)
    new = lambda registry: [name for name in names(registry) if name not in before[registry.kind]]
    # Look names up before the imports below, which take seconds.
    own_task = not set(FLAGS.task).isdisjoint(new(TASKS))
    models = [FLAGS.model] if FLAGS.model else [] if own_task else new(BASELINES)
    tasks = [TASKS.get(name).name for name in dict.fromkeys(FLAGS.task)] or ([] if FLAGS.model else new(TASKS))
    for name in models:
        BASELINES.get(name)

    from nmbench.conformance import MODEL_RULES, TASK_RULES, ModelUnderTest, TaskUnderTest

    chosen = chosen_rules(FLAGS.rules, [*MODEL_RULES, *TASK_RULES])
    model_rules, task_rules = ([rule for rule in rules if rule.id in chosen] for rules in (MODEL_RULES, TASK_RULES))
    tasks = [] if models and FLAGS.task else tasks
    to_check = [rules for names, rules in ((models, model_rules), (tasks, task_rules)) if names]
    if to_check and not any(to_check):
        kind, first = ("models", "M") if models else ("tasks", "T")
        raise NmbenchError(f"--rules={FLAGS.rules} names no rule for {kind}; their rules begin with {first}")
    failed = False
    for name in models if model_rules else []:
        subject = ModelUnderTest.of(name, list(dict.fromkeys(FLAGS.task)))
        run_on = ", ".join(task.name for task in subject.probed)
        sized = "" if FLAGS.task else f"; shapes and sizes on all {len(subject.tasks)} tasks"
        failed |= _check(f"model {name} ({subject.baseline.origin}), run on {run_on}{sized}", model_rules, subject)
    added = {entry.name for entry in BASELINES.entries()} - set(before[BASELINES.kind])
    for path in sorted({BASELINES.get(name).path for name in added.intersection(models)}):
        _note_refusal(path)
    for name in tasks if task_rules else []:
        task = TASKS.get(name)
        title = f"task {name}, version {task.version} ({TASKS.entry(name).origin})"
        failed |= _check(title, task_rules, TaskUnderTest(task))
    return 1 if failed else 0


def _note_refusal(path: str) -> None:
    """Say what keeps a model's file from being submitted, before it is trained."""
    from nmbench.submissions import model_source

    try:
        model_source.check(pathlib.Path(path))
    except NmbenchError as error:
        print(f"note: `nmbench submit` would refuse this file: {error}\n")


def chosen_rules(text: str, rules) -> set[str]:
    """Ids of the rules in a list such as "M07,T01-spec" and of the rules that they need; "" selects all."""
    by_id = {rule.id: rule for rule in rules}
    short = {id_.split("-")[0]: id_ for id_ in by_id}
    chosen: set[str] = set()
    waiting = [name.strip() for name in text.split(",") if name.strip()] or list(by_id)
    while waiting:
        name = waiting.pop()
        if name not in by_id and name not in short:
            raise NmbenchError(f"--rules: there is no rule {name!r}{did_you_mean(name.upper(), [*short, *by_id])}")
        rule = by_id[short.get(name, name)]
        chosen.add(rule.id)
        waiting += set(rule.needs) - chosen
    return chosen


def _check(title: str, rules, subject) -> bool:
    """Print the outcome of every rule; return whether a rule failed."""
    from nmbench.conformance import FAIL, SKIP, judge, report

    print(title)
    outcomes = []
    for outcome in judge(rules, subject):
        outcomes.append(outcome)
        if outcome.verdict != SKIP:
            print(report.line(outcome, terminal.width()), flush=True)
    if skipped := report.skipped(outcomes, terminal.width()):
        print(skipped)
    print(f"{report.totals(outcomes)}\n")
    return any(outcome.verdict == FAIL for outcome in outcomes)


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.check")
