"""Score predictions of a model trained in any framework on a task's test set, store the row and print the leaderboard.

  python -m nmbench.export --task=element_finder --out=data
  python -m nmbench.score --task=element_finder --predictions=predictions.npz --model=my_lstm --params_file=learned.npz

The file of predictions contains an array `predictions` [T, B, O] for all trials of data/test.npz, in order. --params_file
contains the learned arrays, by name, so that nmbench can count the parameters. Without it, give --params=N; the row then
says that the size is declared. The row has the protocol "external" and ranks in a separate table, because nmbench did not
train the model; `leaderboard --with_external` shows it beside other models too. If these predictions already have a row in
the results folder, it is kept; --force replaces it.
"""

from __future__ import annotations

import sys

from nmbench.contracts import plugins
from nmbench.support import cli, devices, terminal
from nmbench.support.errors import NmbenchError

FLAGS = cli.new_flags("task", "results_dir", "plugin")
cli.string(FLAGS, "predictions", None, "predictions on the test set: a .npz with the array `predictions`, or a .npy")
cli.string(FLAGS, "validation_predictions", None, "predictions on the validation set, to record the validation loss")
cli.string(FLAGS, "model", None, "name of your model for the tables; it must differ from all registered models")
cli.integer(FLAGS, "params", None, "number of learned parameters of your model; not needed with --params_file", lower=1)
cli.string(FLAGS, "params_file", None, "learned parameters of your model, a .safetensors or .npz file: nmbench counts them")
cli.integer(FLAGS, "budget", None, "budget of learned parameters; default: the task's", lower=1)
cli.integer(FLAGS, "seed", 0, "seed of the run; it distinguishes runs of one model")
cli.string(FLAGS, "origin", None, "source of the model in one line: framework, repository, commit")
cli.boolean(FLAGS, "allow_budget_miss", False, "accept a model more than 5% off its budget")
cli.boolean(FLAGS, "force", False, "replace the row if these predictions already have one")


def main() -> int:
    task = cli.required(FLAGS, "task")
    predictions = _given("predictions", "FILE.npz, your predictions on the test set")
    model = _given("model", "NAME, a name for your model")
    devices.start(1)
    plugins.load_all(FLAGS.plugin)

    from nmbench.exchange import external_rows
    from nmbench.report import leaderboard
    from nmbench.results.store import Store

    run = external_rows.read_run(
        task,
        model,
        FLAGS.params,
        predictions,
        params_file=FLAGS.params_file,
        budget=FLAGS.budget,
        seed=FLAGS.seed,
        origin=FLAGS.origin or "",
        validation_predictions=FLAGS.validation_predictions,
        allow_budget_miss=FLAGS.allow_budget_miss,
    )
    row, per_trial = external_rows.make_row(run)
    store = Store(FLAGS.results_dir)
    store.prepare()
    external_rows.check_conflicts(run, store)
    if FLAGS.force or store.row(row["run_id"]) is None:
        store.write(row, None, per_trial, ())
    else:
        print(f"these predictions are already in {store.runs} (--force replaces the row)", file=sys.stderr)
    everything = store.collect()
    same = ("task", "protocol", "params_target", "task_version", "testset_sha256")
    shown = [r for r in everything if all(r[name] == row[name] for name in same)]
    print(leaderboard.of_rows(shown))
    print(f"\n{terminal.count(len(everything), 'row')} in {store.csv}; run folders in {store.runs}", file=sys.stderr)
    return 0


def _given(name: str, what: str):
    value = getattr(FLAGS, name)
    if value in (None, ""):
        raise NmbenchError(f"--{name} is missing; give --{name}={what}")
    return value


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.score")
