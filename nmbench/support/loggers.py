"""Loggers for `--log=tensorboard,wandb`: they pass training curves and results to other tools. By default there is none.

Every run has its own logger of each kind. The packages are imported only if the flag names them. If a logger fails during
training, a line on stderr reports it, all loggers of that kind are switched off, and training continues.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from nmbench.support.errors import NmbenchError, did_you_mean


class Logger(Protocol):
    """Logger of one run. Calls come in this order: `start` once, `scalars` after each validation, `finish` once."""

    def start(self, run_id: str, config: Mapping[str, Any]) -> None:
        """The run starts; `config` is its configuration as plain data."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Values after `step` training steps in total: name to number, which may be infinite or NaN."""

    def finish(self, row: Mapping[str, Any] | None) -> None:
        """The run ended with this row; `row` is None if it was interrupted."""


class TensorBoard:
    """Writes an event file in `FOLDER/RUN_ID` with TensorBoard's own record writer, without TensorFlow or torch."""

    def __init__(self, folder: pathlib.Path):
        self._folder, self._last, self._begun = folder, 0, False

    def start(self, run_id: str, config: Mapping[str, Any]) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        # Any: the classes of these generated modules are created at import, where pyright cannot see them.
        load: Callable[[str], Any] = lambda name: importlib.import_module(f"tensorboard.compat.proto.{name}_pb2")
        self._event, self._summary, self._tensor, self._types = map(load, ("event", "summary", "tensor", "types"))
        folder = self._folder / run_id
        folder.mkdir(parents=True, exist_ok=True)
        self._file = open(folder / f"events.out.tfevents.{time.time_ns()}.nmbench", "xb")  # noqa: SIM115, closed in finish
        self._records = RecordWriter(self._file)
        self._write(0, file_version="brain.Event:2")
        self._text("config", {"run_id": run_id, **config}, 0)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        if not self._begun:
            # Tells TensorBoard to drop older events of this folder from this step on: the run is repeated or resumed.
            self._write(step, session_log=self._event.SessionLog(status=self._event.SessionLog.START))
            self._begun = True
        points = [self._summary.Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(step, summary=self._summary.Summary(value=points))
        self._last = step

    def finish(self, row: Mapping[str, Any] | None) -> None:
        try:
            if row is not None:
                self.scalars(self._last, final_values(row))
                self._text("outcome", _outcome(row), self._last)
        finally:
            self._file.close()

    def _text(self, tag: str, value: Mapping[str, Any], step: int) -> None:
        from tensorboard.plugins.text import metadata

        text = "".join(f"    {line}\n" for line in json.dumps(value, indent=1).splitlines())  # a code block in Markdown
        tensor = self._tensor.TensorProto(dtype=self._types.DT_STRING, string_val=[text.encode()], tensor_shape={})
        point = self._summary.Summary.Value(tag=tag, tensor=tensor, metadata=metadata.create_summary_metadata(tag, ""))
        self._write(step, summary=self._summary.Summary(value=[point]))

    def _write(self, step: int, **content: Any) -> None:
        self._records.write(self._event.Event(wall_time=time.time(), step=step, **content).SerializeToString())
        self._file.flush()


class WandB:
    """Writes a run of Weights & Biases, offline by default. The environment variables of wandb have priority."""

    def __init__(self, folder: pathlib.Path):
        self._folder = folder

    def start(self, run_id: str, config: Mapping[str, Any]) -> None:
        import wandb  # pyright: ignore[reportMissingImports]  # the extra "wandb"

        default = lambda variable, value: None if os.environ.get(variable) else value
        if not os.environ.get("WANDB_DIR"):
            self._folder.mkdir(parents=True, exist_ok=True)
            # Otherwise wandb writes its service log to the home folder.
            os.environ.setdefault("WANDB_CACHE_DIR", str(self._folder.resolve() / "wandb" / "cache"))
        # Seeds train together, so several runs are open at the same time, and none of them may capture the console. The
        # names of machine and user, the code and the system load are not recorded.
        settings = wandb.Settings(
            console="off",
            disable_code=True,
            disable_git=True,
            host="unnamed",
            silent=os.environ.get("WANDB_SILENT", "true").lower() in ("1", "true"),
            x_disable_meta=True,
            x_disable_stats=True,
        )
        self._run = wandb.init(
            name=run_id,
            config={"run_id": run_id, **config},
            project=default("WANDB_PROJECT", "nmbench"),
            mode=default("WANDB_MODE", "offline"),
            dir=default("WANDB_DIR", self._folder),
            reinit="create_new",
            settings=settings,
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def finish(self, row: Mapping[str, Any] | None) -> None:
        if row is not None:
            self._run.summary.update({**final_values(row), **_outcome(row)})
        self._run.finish(exit_code=0 if row is not None and row["status"] == "ok" else 1)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of logger: a factory that takes the folder for its files, and the module that it needs."""

    make: Callable[[pathlib.Path], Logger]
    module: str


# The keys are also the names of the extras of the package.
KINDS: dict[str, Kind] = {
    "tensorboard": Kind(TensorBoard, "tensorboard.summary.writer.record_writer"),
    "wandb": Kind(WandB, "wandb"),
}


def parse(text: str) -> tuple[str, ...]:
    """Parse the value of `--log`, a comma-separated list of names, and check that their packages can be imported.

    Raises:
      NmbenchError: unknown or repeated name, or a package that is missing or broken.
    """
    names = tuple(filter(None, (part.strip() for part in text.split(","))))
    for name in names:
        if name not in KINDS:
            raise NmbenchError(f"--log: unknown logger {name!r}{did_you_mean(name, KINDS)}")
        if names.count(name) > 1:
            raise NmbenchError(f"--log: {name!r} is given twice")
    for name in names:
        if name == "wandb":
            # wandb reads this variable at import: it sends no error reports to Weights & Biases.
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        try:
            module = importlib.import_module(KINDS[name].module)
            if getattr(module, "__file__", None) is None:  # the current folder has a folder of that name
                raise ImportError
        except ImportError:
            raise NmbenchError(f"--log={name} needs a package that is missing: pip install 'nmbench[{name}]'") from None
        except Exception as error:  # a broken installation can raise anything
            raise NmbenchError(f"--log={name}: its package fails to import: {type(error).__name__}: {error}") from error
    return names


class Loggers:
    """Creates the loggers of runs.

    Args:
      names: keys of `KINDS`.
      folder: folder for the files of loggers.
    """

    def __init__(self, names: Sequence[str] = (), folder: str | os.PathLike = "."):
        self._kinds = [(name, KINDS[name]) for name in names]
        self._folder = pathlib.Path(folder)

    @contextlib.contextmanager
    def started(self, runs: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[Log]:
        """Open a `Log` of runs that train together, given as (run id, configuration).

        Runs that have not finished when the block ends are logged as interrupted.

        Raises:
          NmbenchError: a logger cannot start.
        """
        log = Log({name: [kind.make(self._folder) for _ in runs] for name, kind in self._kinds})
        try:
            log.start(runs)
            yield log
        finally:
            log.close()


class Log:
    """Loggers of runs that train together: name of the kind to one logger per run."""

    def __init__(self, loggers: dict[str, list[Logger]]):
        self._loggers = loggers
        self._open: dict[str, set[int]] = {name: set() for name in loggers}

    def start(self, runs: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        for name, loggers in self._loggers.items():
            for i, (logger, (run_id, config)) in enumerate(zip(loggers, runs, strict=True)):
                try:
                    logger.start(run_id, config)
                except Exception as error:  # third-party code can raise anything; nothing has been trained yet
                    raise NmbenchError(f"--log={name} cannot start: {_line(error)}") from error
                self._open[name].add(i)

    def step(self, runs: Sequence[int], step: int, losses: np.ndarray, validation: np.ndarray) -> None:
        """Log the losses of some runs.

        Args:
          runs: indices of the runs.
          step: number of training steps in total.
          losses: `[runs]`, mean training loss since the last validation.
          validation: `[runs]`, validation loss.
        """
        for i, loss, validated in zip(runs, losses, validation, strict=True):
            values = {"train_loss": float(loss), "validation_loss": float(validated)}
            self._each(i, lambda logger, values=values: logger.scalars(step, values))

    def finish(self, i: int, row: Mapping[str, Any] | None) -> None:
        """Log that run `i` ended with this row; `row` is None if it was interrupted."""
        self._each(i, lambda logger: logger.finish(row))
        for still_open in self._open.values():
            still_open.discard(i)

    def close(self) -> None:
        """Log all unfinished runs as interrupted."""
        for i in sorted(set().union(*self._open.values())):
            self.finish(i, None)

    def _each(self, i: int, call: Callable[[Logger], None]) -> None:
        for name, still_open in self._open.items():
            if i not in still_open:
                continue
            try:
                call(self._loggers[name][i])
            except Exception as error:  # a failing logger must not end the run
                print(f"nmbench: --log={name} failed and is switched off: {_line(error)}", file=sys.stderr)
                for j in still_open:
                    with contextlib.suppress(Exception):
                        self._loggers[name][j].finish(None)
                still_open.clear()


def final_values(row: Mapping[str, Any]) -> dict[str, float]:
    """Metrics on the test set by the name `test/METRIC`, and `test/score`; empty for a run that diverged."""
    named = {row["metric"]: row["value"], "score": row["score"]}
    named |= {name.removeprefix("metrics."): value for name, value in row.items() if name.startswith("metrics.")}
    return {f"test/{name}": float(value) for name, value in named.items() if value is not None}


def _outcome(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("status", "error", "selected_step", "params_actual")}


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
