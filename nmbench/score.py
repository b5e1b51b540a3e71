"""Score predictions of a model trained elsewhere, in any framework, on a task's test set; print the leaderboard.

  python -m nmbench.export --task=element_finder --out=data
  python -m nmbench.score --task=element_finder --predictions=predictions.npz --model=my_lstm --params=491

The predictions are an array `predictions` [T, B, O] for all trials of data/test.npz, in order. The row is one of protocol
"external": nmbench did not train the model, so it has tables of its own. Predictions that are already in the results folder
are not scored again (--force does).
"""

from __future__ import annotations

import sys

from nmbench.contracts import plugins
from nmbench.support import cli, devices
from nmbench.support.errors import NmbenchError

FLAGS = cli.new_flags("task", "results_dir", "plugin")
cli.string(FLAGS, "predictions", None, "predictions on the test set: a .npz with the array `predictions`, or a .npy")
cli.string(FLAGS, "validation_predictions", None, "the same for the validation set, to record the validation loss")
cli.string(FLAGS, "model", None, "name of your model for the tables; not one of a model that nmbench trains")
cli.integer(FLAGS, "params", None, "number of learned parameters of your model", lower=1)
cli.integer(FLAGS, "budget", None, "number of learned parameters aimed at; the task's own by default", lower=1)
cli.integer(FLAGS, "seed", 0, "seed of the run, to tell apart several runs of one model")
cli.string(FLAGS, "origin", None, "one line on where the model comes from: framework, repository, commit")
cli.boolean(FLAGS, "allow_budget_miss", False, "accept a model more than 5% off its budget")
cli.boolean(FLAGS, "force", False, "score again what is already in the results folder")


def main() -> int:
    task = cli.required(FLAGS, "task")
    predictions = _given("predictions", "FILE.npz, your predictions on the test set")
    model = _given("model", "NAME, a name for your model")
    params = _given("params", "N, its number of learned parameters")
    devices.prepare(1)
    plugins.load_all(FLAGS.plugin)

    from nmbench.exchange import external_rows
    from nmbench.report import leaderboard
    from nmbench.results.store import Store

    submission = external_rows.resolve(
        task,
        model,
        params,
        predictions,
        budget=FLAGS.budget,
        seed=FLAGS.seed,
        origin=FLAGS.origin or "",
        validation_predictions=FLAGS.validation_predictions,
        allow_budget_miss=FLAGS.allow_budget_miss,
    )
    row, per_trial = external_rows.make_row(submission)
    store = Store(FLAGS.results_dir)
    store.prepare()
    other = external_rows.clash(submission, store)
    if other is not None:
        raise NmbenchError(
            f"other predictions of {model} with seed {FLAGS.seed} are in {store.runs / other} already; give this run "
            f"another --seed or its model another name, or delete that folder"
        )
    if FLAGS.force or store.row(row["run_id"]) is None:
        store.write(row, None, per_trial, (), ())
    else:
        print(f"these predictions are in {store.runs} already (--force scores them again)", file=sys.stderr)
    everything = store.collect()
    same = ("task", "protocol", "params_target", "task_version", "testset_sha256")
    shown = [r for r in everything if all(r[name] == row[name] for name in same)]
    print(leaderboard.of_rows(shown))
    print(f"\n{len(everything)} rows in {store.csv}; run folders in {store.runs}", file=sys.stderr)
    return 0


def _given(name: str, what: str):
    value = getattr(FLAGS, name)
    if value in (None, ""):
        raise NmbenchError(f"--{name} is missing; give --{name}={what}")
    return value


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.score")
