"""Train the run of a row again, from the row alone, and report whether it gives the same value.

  python -m nmbench.reproduce results.csv:3                  row 3 of a CSV; the first row after the header is row 1
  python -m nmbench.reproduce results.csv#RUN_ID
  python -m nmbench.reproduce RUN_ID --results_dir=results   or: RUN_ID FILE.csv|FOLDER ...
  python -m nmbench.reproduce RUN_ID --from=params           score the stored parameters again, without training

Nothing is stored, unless --out names a folder. Exit code 0: reproduced within the tolerance; 1: not reproduced; 2: bad
input.

The tolerance bounds |new - row| / max(|new|, |row|) of the primary metric. If commit, versions, platform, processor,
random number generator and XLA flags are those of the row, the default is 0: the same program gives the same value to the
last bit, for any number of devices. Otherwise rounding differs. The default is then 0.001 for stored
parameters and 0.5 for training, because training amplifies rounding up to the spread between seeds. Of 16 runs trained again
with another instruction set (SSE4.2 instead of the processor's own), 12 differed by less than 0.5; on the Element Finder the
error of one run changed from 0.011 to 11.7, and on Measure-Wait-Go no run differed by more than 0.4. A single run on another
machine is therefore a weak check. A strong check compares the medians of ten seeds: use the printed command and
`nmbench.compare`.
"""

from __future__ import annotations

import contextlib
import pathlib
import sys
import tempfile

from nmbench.contracts import plugins
from nmbench.support import cli, devices, interrupts
from nmbench.support.errors import NmbenchError, one_line

FLAGS = cli.new_flags("results_dir", "plugin")
cli.choice(
    FLAGS,
    "from",
    "training",
    ["training", "params"],
    "training: train the run again; params: score the parameters in the run folder",
)
cli.number(FLAGS, "tolerance", None, "largest accepted relative difference; the default is described above")
cli.string(FLAGS, "out", None, "results folder for the new run; it must not contain this run yet")
cli.integer(FLAGS, "devices", None, "number of JAX devices; default: one per core", lower=1)


def main(operands: list[str]) -> int:
    with interrupts.watch_signals() as watch:
        return _reproduce(operands, watch)


def _reproduce(operands: list[str], watch: interrupts.SignalWatch) -> int:
    if not operands:
        raise NmbenchError("name a row: RUN_ID, FILE.csv:N or FILE.csv#RUN_ID")
    train, tolerance = getattr(FLAGS, "from") == "training", FLAGS.tolerance
    if tolerance is not None and not 0 <= tolerance < float("inf"):
        raise NmbenchError(f"--tolerance must be 0 or more, got {tolerance}")
    if FLAGS.out is not None and not train:
        raise NmbenchError("--out is for --from=training; --from=params creates no new run")
    devices.start(FLAGS.devices)
    plugins.load_all(FLAGS.plugin)

    import jax

    from nmbench.experiments import loading, reproduction
    from nmbench.experiments.row_commands import command_of

    row, folder = loading.find_row(operands[0], operands[1:], FLAGS.results_dir)
    configuration = loading.configuration_of(row)
    jax.config.update("jax_enable_x64", configuration.x64)
    with one_line(f"the row's random number generator {row['prng_impl']!r} is not available here"):
        jax.config.update("jax_default_prng_impl", row["prng_impl"])
    run = loading.load_row(row, folder)
    differs = reproduction.surroundings(row)
    if row["status"] not in ("ok", "diverged"):
        raise NmbenchError(f"{row['run_id']} has status {row['status']!r}, so there is no value to reproduce")
    if row["status"] != "ok" and not train:
        raise NmbenchError(f"{row['run_id']} diverged, so it has no value to compare with")
    for remark in run.remarks:
        print(f"nmbench.reproduce: {remark}", file=sys.stderr)
    scored = None if train else run.score()
    print(f"{run.run_id}, made {row['started_utc']}: {command_of(configuration, plugins=FLAGS.plugin)}", flush=True)
    now = _train(run.experiment, row["seed"], watch) if train else scored
    if tolerance is None:
        tolerance = reproduction.tolerance(train, bool(differs))
    result = reproduction.Reproduction(row["value"], now, tolerance)
    for name, (then, here) in differs.items():
        print(f"  {name:<16} {then} in the row, {here} here")
    if not differs:
        print("  versions         all as in the row, and so is the processor")
    print(f"  {row['metric']:<16} {reproduction.number(result.then)} in the row, {reproduction.number(result.now)} here")
    print(f"  difference       {result.difference:.3g} relative, tolerance {tolerance:g}")
    print(f"{result}")
    return 0 if result.reproduced else 1


def _train(experiment, seed: int, watch: interrupts.SignalWatch) -> float | None:
    """Train the run again and return its value, None if it diverges."""
    from nmbench.experiments import running
    from nmbench.results.store import Store
    from nmbench.support.progress import Progress
    from nmbench.training.checkpoints import Checkpoints

    steps = experiment.steps
    with contextlib.ExitStack() as stack:
        folder = FLAGS.out or stack.enter_context(tempfile.TemporaryDirectory(prefix="nmbench-"))
        store = Store(pathlib.Path(folder))
        if store.row(experiment.run_id(seed)) is not None:
            raise NmbenchError(f"--out={folder} already contains this run; choose an empty folder")
        try:
            store.prepare()
        except NmbenchError as error:
            where = "--out" if FLAGS.out else "the temporary folder"
            raise NmbenchError(str(error).replace("--results_dir", where)) from error
        checkpoints = Checkpoints(store.checkpoints, watch=watch, keep=bool(FLAGS.out))
        plan = running.plan(experiment, [seed], store, checkpoints)
        with Progress("training again", steps, plan.groups[0].step) as progress:
            try:
                (row,) = running.run_seeds(experiment, [seed], store, report=progress, checkpoints=checkpoints, planned=plan)
            except interrupts.Interrupted as stop:
                if not FLAGS.out:
                    stop.args = ("nothing was stored; with --out=FOLDER, the command can be resumed",)
                raise
        if FLAGS.out:
            store.collect()
    return row["value"]


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.reproduce", operands="RUN_ID|FILE.csv:N|FILE.csv#RUN_ID [FILE.csv|FOLDER ...]")
