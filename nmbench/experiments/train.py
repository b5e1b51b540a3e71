"""Train a model on a task from Python. This module does not import JAX, so that `train` can prepare its devices."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nmbench.experiments import plugin_loading
from nmbench.experiments.request import LARGEST, Request, check_truth, is_number, whole_number
from nmbench.support import devices as jax_devices
from nmbench.support import loggers
from nmbench.support.cli import MOST_SEEDS, SEEDS_HINT
from nmbench.support.errors import NmbenchError

if TYPE_CHECKING:
    import pandas


def train(
    model: str,
    task: str,
    *,
    seeds: int = 10,
    first_seed: int = 0,
    budget: int | None = None,
    hparams: Mapping[str, Any] | None = None,
    protocol: str | None = None,
    steps: int | None = None,
    learning_rate: float | None = None,
    tune: bool = False,
    data_seed: int = 0,
    allow_budget_miss: bool = False,
    force: bool = False,
    retry_failed: bool = False,
    results_dir: str | os.PathLike = "results",
    plugin: str | os.PathLike | Sequence[str | os.PathLike] = (),
    devices: int | None = None,
    remat: bool = False,
    log: str = "",
    checkpoint_minutes: float = 5.0,
    quiet: bool = False,
) -> pandas.DataFrame:
    """Train a model on a task with several seeds, evaluate it on the frozen test set and store the rows.

    The arguments are the flags of `python -m nmbench.run`, which also prints the leaderboard. Everything is checked before
    the training. Runs that are stored already are read and not trained again. An interrupted call continues where it
    stopped when it is repeated.

    Args:
      model, task: registered names.
      seeds, first_seed: number of seeds, and the first.
      budget: number of learned parameters; by default the task's, or the published sizes if the protocol uses them.
      hparams: hyperparameters of the model by name.
      protocol: name of the training protocol; by default the task's first.
      steps: training steps instead of the protocol's.
      learning_rate: instead of the tuned, published or default one.
      tune: first choose the learning rate, on validation data.
      data_seed: seed of the training data.
      allow_budget_miss: accept a model more than 5% off its budget.
      force: train stored runs again, from the beginning; with `tune` also the tuning runs.
      retry_failed: train runs with status failed or timeout again.
      results_dir: results folder, with run folders in `runs/` and their rows in `results.csv`.
      plugin: Python file, or several, that register your own models or tasks; see `load_plugin`.
      devices: JAX devices, among which the seeds are divided; by default one per core. If JAX has computed before, those
        that it has.
      remat: recompute activations for the gradient instead of storing them.
      log: "tensorboard", "wandb" or both, separated by a comma.
      checkpoint_minutes: minutes between checkpoints of runs in training.
      quiet: show neither messages nor a progress bar.

    Returns:
      The rows of the seeds, in the form of `read_results`. A run that diverged or failed has a row with this status.

    Raises:
      NmbenchError: an unknown name, an invalid value, or a results folder that cannot be written.
      KeyboardInterrupt: the user stopped the training; finished runs are stored, and the others have checkpoints.
    """
    given = {} if hparams is None else hparams
    request = Request(
        model=model,
        task=task,
        budget=budget,
        hparams=given,
        protocol=protocol,
        learning_rate=learning_rate,
        steps=steps,
        data_seed=data_seed,
        allow_budget_miss=allow_budget_miss,
        devices=devices,
        remat=remat,
    )
    if not isinstance(results_dir, str | os.PathLike):
        raise NmbenchError(f"--results_dir must be the path of a folder, got {results_dir!r}")
    if not isinstance(log, str):
        raise NmbenchError(f"--log must be text, such as 'tensorboard,wandb', got {log!r}")
    for name, value in (("tune", tune), ("force", force), ("retry_failed", retry_failed), ("quiet", quiet)):
        check_truth(name, value)
    chosen = check_options(request, seeds, first_seed, tune, checkpoint_minutes)
    logged = loggers.parse(log)
    late = jax_devices.started()
    jax_devices.start(request.devices)
    files: list[Any] = list(plugin) if isinstance(plugin, list | tuple) else [plugin]
    for path in files:
        plugin_loading.load_plugin(path)

    from nmbench.experiments import session
    from nmbench.results import frames
    from nmbench.results.store import Store

    if late and devices is None and not quiet:
        session.say_if_few_devices()
    store = Store(results_dir)
    store.check_rows()
    rows = session.train_rows(
        request,
        chosen,
        store,
        tune=tune,
        force=force,
        retry_failed=retry_failed,
        log=logged,
        checkpoint_minutes=checkpoint_minutes,
        say=None if quiet else session.say_on_stderr,
    )
    store.collect()
    return frames.of_rows(rows)


def check_options(request: Request, seeds: int, first_seed: int, tune: bool, checkpoint_minutes: float) -> range:
    """The seeds of a request. Called before JAX starts; `train` describes the arguments.

    Raises:
      NmbenchError: a value is invalid, or two contradict each other.
    """
    number = whole_number("seeds", seeds, 1, MOST_SEEDS, f"; {SEEDS_HINT}")
    first = whole_number("first_seed", first_seed, 0, LARGEST)
    if tune and request.learning_rate is not None:
        raise NmbenchError("--tune chooses the learning rate; give only one of --tune and --learning_rate")
    if first + number > LARGEST + 1:
        raise NmbenchError("seeds must be below 2147483648; choose a smaller --first_seed")
    if not is_number(checkpoint_minutes) or not 0 <= checkpoint_minutes < float("inf"):
        raise NmbenchError(f"--checkpoint_minutes must be 0 or more, got {checkpoint_minutes!r}")
    return range(first, first + number)
