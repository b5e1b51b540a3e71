"""Check that a model or a task keeps its contract: every rule, what was seen where one is broken, and the fix.

  python -m nmbench.check --plugin=my_model.py                     all that the file registers
  python -m nmbench.check --plugin=my_model.py --model=my_model --task=element_finder
  python -m nmbench.check --task=my_task --plugin=my_task.py

With --model, --task (which may be repeated) names the tasks to judge the model on. Without, rules on shapes and sizes look
at all tasks, and those that compute at the one with the shortest trials. Nothing is written. Exit code 0: no rule failed
(warnings are advice); 1: some did; 2: bad input. The same rules as tests of your own: `nmbench.conformance`.
"""

from __future__ import annotations

from absl import flags

from nmbench import cli, devices
from nmbench.catalog import BASELINES, TASKS
from nmbench.errors import NmbenchError

FLAGS = cli.new_flags("model", "plugin")
flags.DEFINE_multi_string("task", [], "task to check, or to check --model on; may be repeated", flag_values=FLAGS)


def main() -> int:
    if not (FLAGS.model or FLAGS.task or FLAGS.plugin):
        raise NmbenchError("name what to check: --model=NAME, --task=NAME, or --plugin=FILE.py for all that it registers")
    devices.prepare(1)
    before = {entry.name for registry in (BASELINES, TASKS) for entry in registry.entries()}
    cli.load_plugins(FLAGS)
    new = lambda registry: [entry.name for entry in registry.entries() if entry.name not in before]
    # Names are looked up before anything heavy is imported.
    models = [FLAGS.model] if FLAGS.model else [] if FLAGS.task else new(BASELINES)
    tasks = [TASKS.get(name).name for name in FLAGS.task] or ([] if FLAGS.model else new(TASKS))
    for name in models:
        BASELINES.get(name)

    from nmbench.conformance import MODEL_RULES, TASK_RULES, ModelUnderTest, TaskUnderTest

    failed = False
    for name in models:
        subject = ModelUnderTest.of(name, FLAGS.task)
        run_on = ", ".join(task.name for task in subject.probed)
        sized = "" if FLAGS.task else f"; shapes and sizes on all {len(subject.tasks)} tasks"
        failed |= _judge(f"model {name} ({subject.baseline.origin}), run on {run_on}{sized}", MODEL_RULES, subject)
    for name in [] if models and FLAGS.task else tasks:
        task = TASKS.get(name)
        failed |= _judge(
            f"task {name}, version {task.version} ({TASKS.entry(name).origin})", TASK_RULES, TaskUnderTest(task)
        )
    return 1 if failed else 0


def _judge(title: str, rules, subject) -> bool:
    """Print the outcome of every rule as it is known; whether any failed."""
    from nmbench.conformance import FAIL, judge
    from nmbench.conformance.report import line, totals

    print(title)
    outcomes = []
    for outcome in judge(rules, subject):
        print(line(outcome), flush=True)
        outcomes.append(outcome)
    print(f"{totals(outcomes)}\n")
    return any(outcome.verdict == FAIL for outcome in outcomes)


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.check")
