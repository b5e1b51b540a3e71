"""The trainer: any sequence of phases, several runs in one compiled program, training data drawn on the device.

Runs are distributed over devices. In each step, a device updates its runs one after another. This is faster than vectorising
over runs, because the activations of one run fit into the cache and those of several runs do not. It also makes a run
independent of the other runs, to the last bit. A run that has diverged ends with its phase; only how far its curve goes in
that phase may depend on the others. All runs share the training batches, because data never depend on the model or its seed.
Steps are executed in chunks of `validate_every`; after each chunk the validation loss decides which parameters to keep. The
memory of the device does not grow with the number of steps.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from nmbench.contracts import parameters as flat_params
from nmbench.contracts.input_weights import check_new_inputs, start_new_inputs
from nmbench.contracts.model import Baseline, Model
from nmbench.contracts.protocol import ResolvedPhase
from nmbench.contracts.task import Task
from nmbench.support.errors import NmbenchError
from nmbench.training.optimizer import transform
from nmbench.training.phase_program import PhaseProgram
from nmbench.training.piece_length import PieceLength
from nmbench.training.snapshot import CurvePoint, PhaseOutcome, Snapshot
from nmbench.training.state import State, merge, names


class TrainingRun(NamedTuple):
    """One of the runs that are trained together."""

    seed: int
    learning_rate: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingSetup:
    """Settings shared by all runs that are trained together.

    Attributes:
      model: pure functions of the model.
      task: its training data and validation sets are used.
      baseline: its partitions and input weights are used.
      phases: phases in order; each starts from the parameters that the previous phase selected, with a fresh optimiser.
      validate_every: steps per chunk.
      selection: "best" or "last"; see `nmbench.Protocol`.
      loss_limit: see `nmbench.Protocol`.
      data_seed: seed of the training data.
      max_devices: largest number of devices to use; no limit by default.
    """

    model: Model
    task: Task
    baseline: Baseline
    phases: Sequence[ResolvedPhase]
    validate_every: int
    selection: str = "best"
    loss_limit: float = 1e8
    data_seed: int = 0
    max_devices: int | None = None


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """The result of one run.

    Attributes:
      params: the selected parameters, NumPy leaves in the model's own tree.
      last_params: the parameters after the last step.
      selected_step: number of steps, over all phases, after which `params` were selected; 0 for the initial parameters.
      validation_loss: validation loss of `params`.
      phase_losses: validation loss of the parameters that each phase selected, on the phase's own validation set.
      stages: stage name to the parameters that were selected in this stage.
      curve: one point per validation.
      diverged_at: first step (1-based, over all phases) with a training loss that is above the limit or not a number. If
        there is none, but the validation loss that a phase selects is not finite, the last step of this phase. None if the
        run did not diverge.
    """

    params: Any
    last_params: Any
    selected_step: int
    validation_loss: float
    phase_losses: list[float]
    stages: dict[str, Any]
    curve: list[CurvePoint]
    diverged_at: int | None


class Timing(NamedTuple):
    """Seconds of compilation and of training, for all runs together, without earlier sessions; number of devices used."""

    compile_s: float
    train_s: float
    devices: int


class Piece(NamedTuple):
    """Progress at the start of a phase or after a piece of training; see `Trainer`.

    Attributes:
      step: number of steps done in all phases.
      train_losses: mean training losses of the current chunk so far, `[runs]`; None at the start of a phase.
      validation_losses: `[runs]` at the end of a chunk, otherwise None.
    """

    step: int
    train_losses: np.ndarray | None
    validation_losses: np.ndarray | None


class Trainer:
    """Trains several runs together. Iterate over it to train, then call `results`.

    Iteration yields a `Piece` at the start of each phase, about every two seconds within a chunk, and after each chunk. Call
    `snapshots` at the start of a phase, after a chunk or after the iteration, but not within a chunk.

    Args:
      setup: settings of all runs.
      runs: seeds and learning rates.
      resume: one snapshot per run, all at the same step of the same phase; empty to start from the beginning.

    Raises:
      NmbenchError: see `check`; during iteration, a phase trains no parameter.
    """

    def __init__(self, setup: TrainingSetup, runs: Sequence[TrainingRun], resume: Sequence[Snapshot] = ()):
        check(setup.task, setup.baseline, setup.phases)
        self._setup, self._runs, self._resume = setup, list(runs), list(resume)
        self._devices = jax.devices()[: min(len(runs), setup.max_devices or len(runs))]
        self._like = jax.eval_shape(setup.model.init, jax.random.key(0))
        self._histories = [_RunHistory.of(snapshot) for snapshot in resume] or [_RunHistory() for _ in runs]
        self._compile_s = self._train_s = 0.0
        self._position: tuple[int, int, State] | None = None

    def __iter__(self) -> Iterator[Piece]:
        setup, count = self._setup, len(self._runs)
        padded = [*self._runs, *self._runs[: -count % len(self._devices)]]
        mesh = Mesh(np.asarray(self._devices), ("runs",))
        current = self._initial_parameters(padded)
        rates = jnp.asarray([run.learning_rate for run in padded], jnp.result_type(float))
        start_phase, start_step = (self._resume[0].phase, self._resume[0].step) if self._resume else (0, 0)
        before, length = sum(phase.steps for phase in setup.phases[:start_phase]), PieceLength()
        for index, phase in enumerate(setup.phases[start_phase:], start=start_phase):
            program = PhaseProgram(self._apply, setup.task, setup.baseline, phase, mesh, setup.loss_limit)
            key = jax.random.fold_in(jax.random.key(setup.data_seed), index)
            began = time.perf_counter()
            current = start_new_inputs(current, setup.baseline.input_weights, setup.task.spec, phase.new_inputs)
            state, done = program.start(current), 0
            if self._resume and index == start_phase:
                padding = self._resume[: len(padded) - count]
                state = program.restore(state, [snapshot.state for snapshot in [*self._resume, *padding]])
                done = start_step
            compiled = None
            if done < phase.steps and not self._all_diverged():
                compiled = program.compile(state, rates, key)
                self._compile_s += time.perf_counter() - began
            self._position = (index, done, state)
            yield Piece(before + done, None, None)
            while compiled is not None and done < phase.steps and not self._all_diverged():
                steps = min(setup.validate_every, phase.steps - done)
                sums, ran = program.zeros(state), 0
                while ran < steps:
                    began = time.perf_counter()
                    piece = length.start(steps - ran)
                    state, sums, validation = compiled(state, sums, done + ran, piece, ran + piece == steps)
                    # This waits for the end of the piece, so that the next piece is not submitted before.
                    losses, ran = jax.device_get(sums), ran + piece
                    losses = losses / losses.dtype.type(ran)
                    length.finish(piece)
                    self._train_s += time.perf_counter() - began
                    if ran < steps and length.report_due():
                        yield Piece(before + done + ran, losses[:count], None)
                validation, first_bad = jax.device_get((validation, state.first_bad))
                done += steps
                for i, history in enumerate(self._histories):
                    history.add(before, done, float(losses[i]), float(validation[i]), int(first_bad[i]))
                self._position = (index, done, state)
                yield Piece(before + done, losses[:count], validation[:count])
            self._end_phase(state, before)
            current = merge(state, setup.selection)
            before += phase.steps
            if self._all_diverged():
                break

    @property
    def timing(self) -> Timing:
        """The `Timing` so far."""
        return Timing(self._compile_s, self._train_s, len(self._devices))

    def results(self) -> list[TrainedRun]:
        """One `TrainedRun` per run, in the order of `runs`; call it after the iteration."""
        return [history.result(self._setup.phases, self._tree) for history in self._histories]

    def snapshots(self) -> list[Snapshot]:
        """Snapshots of all runs, in the order of `runs`; empty before the iteration starts."""
        if self._position is None:
            return []
        phase, step, state = self._position
        leaf_names, leaves = names(state), jax.device_get(jax.tree.leaves(state))
        share = lambda seconds: seconds / len(self._histories)
        return [
            Snapshot(
                phase=phase,
                step=step,
                state={name: np.array(leaf[i]) for name, leaf in zip(leaf_names, leaves, strict=True)},
                outcomes=history.outcomes[:phase],
                curve=list(history.curve),
                diverged_at=history.diverged_at,
                compile_s=history.compile_s + share(self._compile_s),
                train_s=history.train_s + share(self._train_s),
            )
            for i, history in enumerate(self._histories)
        ]

    def _apply(self, flat: flat_params.Flat, inputs: Any) -> Any:
        return self._setup.model.apply(self._tree(flat), inputs)

    def _tree(self, flat: flat_params.Flat) -> Any:
        return flat_params.unflatten(self._like, flat)

    def _initial_parameters(self, runs: Sequence[TrainingRun]) -> flat_params.Flat:
        """Initial parameters by name, `[runs, ...]`."""
        init = jax.jit(self._setup.model.init)
        flat = [jax.device_get(flat_params.flatten(init(jax.random.key(run.seed)))) for run in runs]
        return {name: jnp.asarray(np.stack([params[name] for params in flat])) for name in flat_params.flatten(self._like)}

    def _all_diverged(self) -> bool:
        return all(history.diverged_at is not None for history in self._histories)

    def _end_phase(self, state: State, before: int) -> None:
        """Record the outcome of a phase for every run. `before`: number of steps in the earlier phases."""
        selection = self._setup.selection
        chosen, last = jax.device_get((merge(state, selection), merge(state, "last")))
        steps, losses = jax.device_get((state.best_step, state.best_loss))
        of_run = lambda flat, i: {name: leaf[i] for name, leaf in flat.items()}
        for i, history in enumerate(self._histories):
            if history.ended(before):
                continue
            point = history.curve[-1]
            step, loss = (point.step, point.validation_loss)
            if selection == "best":
                step, loss = before + int(steps[i]), float(losses[i])
            history.outcomes.append(PhaseOutcome(of_run(chosen, i), of_run(last, i), step, loss))
            if history.diverged_at is None and not np.isfinite(loss):
                history.diverged_at = point.step


def train(setup: TrainingSetup, runs: Sequence[TrainingRun]) -> tuple[list[TrainedRun], Timing]:
    """Train all runs to the end, without progress reports and checkpoints."""
    trainer = Trainer(setup, runs)
    for _ in trainer:
        pass
    return trainer.results(), trainer.timing


@dataclasses.dataclass
class _RunHistory:
    """The history of one run: training curve, divergence, outcomes of finished phases, seconds of earlier sessions."""

    curve: list[CurvePoint] = dataclasses.field(default_factory=list)
    diverged_at: int | None = None
    outcomes: list[PhaseOutcome] = dataclasses.field(default_factory=list)
    compile_s: float = 0.0
    train_s: float = 0.0

    @classmethod
    def of(cls, snapshot: Snapshot) -> _RunHistory:
        return cls(list(snapshot.curve), snapshot.diverged_at, list(snapshot.outcomes), snapshot.compile_s, snapshot.train_s)

    def add(self, before: int, step: int, train_loss: float, validation_loss: float, first_bad: int) -> None:
        """Record a chunk that ended at `step` of a phase. `before`: number of steps in the earlier phases."""
        if self.ended(before):
            return
        self.curve.append(CurvePoint(before + step, train_loss, validation_loss))
        if first_bad >= 0 and self.diverged_at is None:
            self.diverged_at = before + first_bad + 1

    def ended(self, before: int) -> bool:
        """Whether the run diverged in an earlier phase. `before`: number of steps in the earlier phases."""
        return self.diverged_at is not None and self.diverged_at <= before

    def result(self, phases: Sequence[ResolvedPhase], tree_of: Any) -> TrainedRun:
        last = self.outcomes[-1]
        return TrainedRun(
            params=tree_of(last.chosen),
            last_params=tree_of(last.last),
            selected_step=last.step,
            validation_loss=last.loss,
            phase_losses=[outcome.loss for outcome in self.outcomes],
            stages={
                phase.stage: tree_of(outcome.chosen)
                for phase, outcome in zip(phases, self.outcomes, strict=False)
                if phase.stage
            },
            curve=self.curve,
            diverged_at=self.diverged_at,
        )


def check(task: Task, baseline: Baseline, phases: Sequence[ResolvedPhase]) -> None:
    """Raise `NmbenchError` if a phase does not fit the task and the model; nothing is computed.

    A phase fits if its training data, frozen set, partition and input channels exist and optax accepts its options.
    """
    for phase in phases:
        baseline.partition(phase.partition)
        check_new_inputs(baseline.name, baseline.input_weights, task.spec, phase.new_inputs)
        transform(phase)
        if phase.data not in task.training:
            raise NmbenchError(f"task {task.name!r} has no training data {phase.data!r} (known: {', '.join(task.training)})")
        if phase.validation not in task.set_sizes:
            raise NmbenchError(
                f"task {task.name!r} has no frozen set {phase.validation!r} (known: {', '.join(task.set_sizes)})"
            )
