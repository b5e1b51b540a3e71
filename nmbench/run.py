"""Train a model on a task with several seeds, evaluate it on the frozen test set, store the rows and print the leaderboard.

  python -m nmbench.run --model=nmrnn --task=element_finder

Stored runs are not trained again. --force trains them again; --retry_failed trains runs again that a sweep lost to a crash
or a time limit. Ctrl-C, SIGTERM (which Slurm sends) and a closed terminal stop the command: finished runs are stored, and
unfinished runs write a checkpoint, unless --force is given. Run the same command again to resume. On the same kind of
processor, a resumed run ends with exactly the parameters of an uninterrupted one. Checkpoints are also written every
--checkpoint_minutes, so a killed process loses only the steps since the last one. In Python, nmbench.train does the same.

Exit code 0: all runs have status ok; 1: a run diverged or failed; 2: bad input; 130 and 143: stopped by a signal.
"""

from __future__ import annotations

from nmbench.contracts import plugins
from nmbench.experiments import train
from nmbench.experiments.request import Request, parse_hparams
from nmbench.support import cli, devices, interrupts, loggers, terminal

FLAGS = cli.new_flags("model", "task", "results_dir", "plugin")
cli.integer(
    FLAGS,
    "budget",
    None,
    "number of learned parameters; default: the task's, or the published sizes if the protocol uses them",
    lower=1,
)
cli.string(
    FLAGS, "hparams", "", "hyperparameters of the model, as K=V,K=V; giving the free size fixes the size of the model"
)
cli.string(
    FLAGS,
    "protocol",
    None,
    "training protocol, such as matched or paper; default: the first that `nmbench describe TASK` lists",
)
cli.seeds(FLAGS)
cli.integer(FLAGS, "data_seed", 0, "seed of the training data, the same for all models and seeds")
cli.integer(FLAGS, "steps", None, "training steps instead of the protocol's", lower=1)
cli.number(FLAGS, "learning_rate", None, "learning rate, instead of the tuned, published or default one")
cli.boolean(FLAGS, "tune", False, "first choose the learning rate, on validation data")
cli.boolean(FLAGS, "allow_budget_miss", False, "accept a model more than 5% off its budget")
cli.boolean(
    FLAGS, "force", False, "train stored runs (with --tune also tuning runs) again, from the beginning, without checkpoints"
)
cli.boolean(
    FLAGS,
    "retry_failed",
    False,
    "train runs with status failed or timeout again, from checkpoints if there are any",
)
cli.integer(FLAGS, "devices", None, "JAX devices, among which the seeds are divided; default: one per core", lower=1)
cli.boolean(
    FLAGS, "remat", False, "limit memory on long trials: recompute activations for the gradient instead of storing them"
)
cli.string(
    FLAGS, "log", "", "log training with tensorboard, wandb or both (tensorboard,wandb), in logs/ of the results folder"
)
cli.number(FLAGS, "checkpoint_minutes", 5.0, "minutes between checkpoints of runs in training; 0: at every validation")
cli.boolean(FLAGS, "collect", True, "at the end, rewrite results.csv from all run folders and print the leaderboard")
cli.boolean(FLAGS, "resolve_only", False, "print the resolved experiment and stop; nothing is trained or written")


def main() -> int:
    with interrupts.watch_signals():
        return _run()


def _run() -> int:
    asked = request(FLAGS)
    seeds = train.check_options(asked, FLAGS.seeds, FLAGS.first_seed, FLAGS.tune, FLAGS.checkpoint_minutes)
    logged = loggers.parse(FLAGS.log)
    devices.start(FLAGS.devices)
    plugins.load_all(FLAGS.plugin)

    from nmbench.experiments import session
    from nmbench.report import leaderboard
    from nmbench.results.store import Store

    if FLAGS.resolve_only:
        session.say_on_stderr(session.describe(session.resolve(asked, seeds, FLAGS.tune), FLAGS.tune))
        return 0
    store = Store(FLAGS.results_dir)
    if FLAGS.collect:
        store.check_rows()
    rows = session.train_rows(
        asked,
        seeds,
        store,
        tune=FLAGS.tune,
        force=FLAGS.force,
        retry_failed=FLAGS.retry_failed,
        log=logged,
        checkpoint_minutes=FLAGS.checkpoint_minutes,
        say=session.say_on_stderr,
    )
    if FLAGS.collect:
        everything = store.collect()
        mine = rows[0]
        same = ("task", "protocol", "departures", "params_target", "task_version", "testset_sha256")
        shown = [row for row in everything if all(row[name] == mine[name] for name in same)]
        print(leaderboard.of_rows(shown, terminal.width()))
        session.say_on_stderr(f"\n{terminal.count(len(everything), 'row')} in {store.csv}; run folders in {store.runs}")
    return 0 if all(row["status"] == "ok" for row in rows) else 1


def request(flags) -> Request:
    """The request that these parsed flags of the command make."""
    return Request(
        model=cli.required(flags, "model"),
        task=cli.required(flags, "task"),
        budget=flags.budget,
        hparams=parse_hparams(flags.hparams),
        protocol=flags.protocol,
        learning_rate=flags.learning_rate,
        steps=flags.steps,
        data_seed=flags.data_seed,
        allow_budget_miss=flags.allow_budget_miss,
        devices=flags.devices,
        remat=flags.remat,
    )


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.run")
