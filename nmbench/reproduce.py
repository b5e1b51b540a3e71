"""Train the run of a row again, from the row alone, and say whether the same value comes out.

  python -m nmbench.reproduce results.csv:3                  row 3 of a CSV, the first after the header being 1
  python -m nmbench.reproduce results.csv#RUN_ID
  python -m nmbench.reproduce RUN_ID --results_dir=results   or: RUN_ID FILE.csv|FOLDER ...
  python -m nmbench.reproduce RUN_ID --from=params           score the stored parameters again, without training

Nothing is written, unless --out names a folder. Exit code 0: reproduced within the tolerance; 1: not; 2: bad input.

The tolerance bounds |new - row| / max(|new|, |row|) of the primary metric. It is 0 where commit, versions, platform and XLA
flags are those of the row: the same program on the same kind of processor repeats exactly, however many devices share it.
Elsewhere rounding differs. Stored parameters then score within 0.001. Training amplifies rounding up to the spread between
seeds: of 16 runs trained again with another instruction set (SSE4.2 instead of the processor's own), 12 came within 0.5, the
tolerance for that case; on the Element Finder one went from 0.011 to 11.7, on Measure-Wait-Go none differed by more than
0.4. One run elsewhere is thus a weak check; the medians of ten seeds, from the command that is printed and
`nmbench.compare`, are a strong one.
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
cli.choice(FLAGS, "from", "training", ["training", "params"], "train again, or score the parameters in the run folder")
cli.number(FLAGS, "tolerance", None, "relative difference that is accepted, instead of the default described above")
cli.string(FLAGS, "out", None, "results folder to write the new run to; must not hold it yet")
cli.integer(FLAGS, "devices", None, "JAX devices to use; all cores by default", lower=1)


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
        raise NmbenchError("--out is for --from=training; scoring stored parameters makes no new run")
    devices.prepare(FLAGS.devices)
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
    print(f"{run.run_id}, made {row['started_utc']}: {command_of(configuration, plugins=FLAGS.plugin)}")
    for remark in run.remarks:
        print(f"nmbench.reproduce: {remark}", file=sys.stderr)
    differs = reproduction.surroundings(row)
    if row["status"] not in ("ok", "diverged"):
        raise NmbenchError(f"{row['run_id']} has status {row['status']!r}: there is no value to reproduce")
    if train:
        now = _train(run.experiment, row["seed"], watch)
    elif row["status"] != "ok":
        raise NmbenchError(f"{row['run_id']} diverged: so it has no value to compare with")
    else:
        now = run.score()
    if tolerance is None:
        tolerance = reproduction.tolerance(train, bool(differs))
    result = reproduction.Reproduction(row["value"], now, tolerance)
    for name, (then, here) in differs.items():
        print(f"  {name:<16} {then} in the row, {here} here")
    if not differs:
        print("  versions         all as in the row; of the processor a row says no more than its kind")
    print(f"  {row['metric']:<16} {reproduction.number(result.then)} in the row, {reproduction.number(result.now)} here")
    print(f"  difference       {result.difference:.3g} relative, tolerance {tolerance:g}")
    print(f"{result}")
    return 0 if result.reproduced else 1


def _train(experiment, seed: int, watch: interrupts.SignalWatch) -> float | None:
    """The value of the run made again, None if it diverges."""
    from nmbench.experiments import running
    from nmbench.results.store import Store
    from nmbench.support.progress import Progress
    from nmbench.training.checkpoints import Checkpoints

    steps = experiment.steps
    with contextlib.ExitStack() as stack:
        folder = FLAGS.out or stack.enter_context(tempfile.TemporaryDirectory(prefix="nmbench-"))
        store = Store(pathlib.Path(folder))
        if store.row(experiment.run_id(seed)) is not None:
            raise NmbenchError(f"--out={folder} holds this run already; choose an empty folder")
        try:
            store.prepare()
        except NmbenchError as error:
            raise NmbenchError(str(error).replace("--results_dir", "--out")) from error
        checkpoints = Checkpoints(store.checkpoints, watch=watch)
        plan = running.plan(experiment, [seed], store, checkpoints)
        with Progress("training again", steps, plan.groups[0].step) as progress:
            try:
                (row,) = running.run_seeds(experiment, [seed], store, report=progress, checkpoints=checkpoints, planned=plan)
            except interrupts.Interrupted as stop:
                if not FLAGS.out:
                    stop.args = ("nothing is kept; with --out=FOLDER the same command would resume",)
                raise
        if FLAGS.out:
            store.collect()
    return row["value"]


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.reproduce", operands="RUN_ID|FILE.csv:N|FILE.csv#RUN_ID [FILE.csv|FOLDER ...]")
