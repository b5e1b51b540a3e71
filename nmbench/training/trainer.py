"""The training engine: any phases, several runs ("lanes") in one compiled program, data drawn on the device.

A lane is one (seed, learning rate). Lanes are sharded over devices; within a device each step goes through them one after
another. That is measured faster than vectorising over them, since one lane's activations fit into the cache and several do
not, and a lane's parameters then do not depend on its neighbours by a single bit. Lanes share the training batches, since
data never depends on the model or its seed, and nothing else: one that diverges leaves the others as they are. Steps run in
compiled chunks of `validate_every`; after each, the validation loss decides which parameters to keep. Memory does not grow
with the number of steps.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from nmbench.contracts import parameters as flat_params
from nmbench.contracts.input_weights import check_new_inputs, start_new_inputs
from nmbench.contracts.model import Baseline, Model
from nmbench.contracts.protocol import Phase
from nmbench.contracts.task import Task
from nmbench.support.errors import NmbenchError
from nmbench.training.optimizer import transform
from nmbench.training.pacing import Pace
from nmbench.training.phase_program import PhaseProgram
from nmbench.training.snapshot import CurvePoint, PhaseOutcome, Snapshot
from nmbench.training.state import State, merge, names


class TrainingRun(NamedTuple):
    """One run among those trained together."""

    seed: int
    learning_rate: float


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """What one lane ends with.

    Attributes:
      params: the selected parameters, NumPy leaves in the model's own tree.
      last_params: those after the last step.
      selected_step: step (counted over all phases) that `params` come from; 0 is the initial state.
      validation_loss: of `params`.
      phase_losses: selected validation loss of every phase, each on the phase's own validation set.
      stages: parameters selected by the phases that carry a stage's name.
      curve: one point per validation.
      diverged_at: first step whose loss was not finite or above the limit (the last step if only the validation loss
        never was finite), None if all was well.
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
    """Seconds spent compiling and training in this call, over all lanes together, and the number of devices used."""

    compile_s: float
    train_s: float
    devices: int


Report = Callable[[int, np.ndarray], None]
Log = Callable[[int, np.ndarray, np.ndarray], None]
# Called between chunks with a function that says where each lane stands; to be called before the next chunk or never.
Keep = Callable[[Callable[[], list[Snapshot]]], None]


def train(
    model: Model,
    task: Task,
    baseline: Baseline,
    phases: Sequence[Phase],
    lanes: Sequence[TrainingRun],
    *,
    validate_every: int,
    selection: str = "best",
    loss_limit: float = 1e8,
    data_seed: int = 0,
    max_devices: int | None = None,
    report: Report = lambda step, losses: None,
    log: Log = lambda step, losses, validation: None,
    keep: Keep = lambda snapshots: None,
    resume: Sequence[Snapshot] = (),
) -> tuple[list[TrainedRun], Timing]:
    """Train all lanes through all phases.

    Each phase starts from the parameters that the phase before selected, with a fresh optimiser.

    Args:
      model: what to train.
      task: gives training data and validation sets.
      baseline: gives the partitions that phases refer to.
      phases: each with one partition.
      lanes: the runs.
      validate_every: steps per compiled chunk.
      selection: "best" or "last".
      loss_limit: see `Protocol`.
      data_seed: seed of the training data stream.
      max_devices: bound on the number of devices; all by default.
      report: called after every chunk, and every two seconds or so within, with the steps done so far and the mean training
        loss of this chunk so far per lane, `[lanes]`.
      log: called after every chunk, with the validation losses, `[lanes]`, as third argument.
      keep: called with a function that returns the lanes' snapshots, before and after every chunk; it may raise to stop.
      resume: where to go on from, one snapshot per lane, all at the same step of the same phase; from the start without.

    Returns:
      one `TrainedRun` per lane in order, and the timing.
    """
    check(task, baseline, phases)
    devices = jax.devices()[: min(len(lanes), max_devices or len(lanes))]
    padded = [*lanes, *lanes[: -len(lanes) % len(devices)]]
    mesh = Mesh(np.asarray(devices), ("lanes",))
    init = jax.jit(model.init)
    trees = [init(jax.random.key(lane.seed)) for lane in padded]
    like = jax.eval_shape(model.init, jax.random.key(0))
    current = {name: jnp.stack([flat_params.flatten(t)[name] for t in trees]) for name in flat_params.flatten(like)}
    rates = jnp.asarray([lane.learning_rate for lane in padded], jnp.result_type(float))
    apply = lambda flat, inputs: model.apply(flat_params.unflatten(like, flat), inputs)

    behind = _Behind.of(lanes, resume)
    start_phase, start_step = (resume[0].phase, resume[0].step) if resume else (0, 0)
    assert all((r.phase, r.step) == (start_phase, start_step) for r in resume)
    done, timing, pace = sum(phase.steps for phase in phases[:start_phase]), [0.0, 0.0], Pace()
    for number, phase in enumerate(phases[start_phase:], start=start_phase):
        program = PhaseProgram(apply, task, baseline, phase, mesh, loss_limit)
        key = jax.random.fold_in(jax.random.key(data_seed), number)
        began = time.perf_counter()
        current = start_new_inputs(current, baseline.input_weights, task.spec, phase.new_inputs)
        state, first = program.start(current), 0
        if resume and number == start_phase:
            padding = [*resume, *resume[: len(padded) - len(lanes)]]
            state, first = program.restore(state, [snapshot.state for snapshot in padding]), start_step
        # What is resumed may be at its end: then there is nothing to compile.
        if first < phase.steps and not behind.all_diverged():
            compiled = program.compile(state, rates, key)
            timing[0] += time.perf_counter() - began
        keep(functools.partial(behind.snapshots, number, first, state, timing))
        while first < phase.steps and not behind.all_diverged():
            began = time.perf_counter()
            n = min(validate_every, phase.steps - first)
            sums, ran = program.zeros(state), 0
            while ran < n:
                steps = pace.steps(n - ran)
                state, sums, validation = compiled(state, sums, first + ran, steps, ran + steps == n)
                # Waits for the piece: what comes after it must not be asked for before.
                losses, ran = jax.device_get(sums), ran + steps
                losses = losses / losses.dtype.type(ran)
                pace.ran(steps)
                if ran < n and pace.due():
                    report(done + first + ran, losses[: len(lanes)])
            validation, bad = jax.device_get((validation, state.first_bad))
            first += n
            behind.add(done, first, losses, validation, bad)
            timing[1] += time.perf_counter() - began
            report(done + first, losses[: len(lanes)])
            log(done + first, losses[: len(lanes)], validation[: len(lanes)])
            keep(functools.partial(behind.snapshots, number, first, state, timing))
        behind.end_phase(state, selection, done)
        current = merge(state, selection)
        done += phase.steps
        if behind.all_diverged():
            break
    return [behind.trained(i, phases, like) for i in range(len(lanes))], Timing(timing[0], timing[1], len(devices))


@dataclasses.dataclass(frozen=True)
class _Behind:
    """What lies behind the lanes: curves, the step at which each diverged, the outcomes of phases; lists over lanes."""

    curves: list[list[CurvePoint]]
    diverged: list[int | None]
    outcomes: list[list[PhaseOutcome]]
    seconds: list[tuple[float, float]]

    @classmethod
    def of(cls, lanes: Sequence[TrainingRun], resume: Sequence[Snapshot]) -> _Behind:
        if not resume:
            return cls([[] for _ in lanes], [None] * len(lanes), [[] for _ in lanes], [(0.0, 0.0)] * len(lanes))
        assert len(resume) == len(lanes)
        return cls(
            curves=[list(r.curve) for r in resume],
            diverged=[r.diverged_at for r in resume],
            outcomes=[list(r.outcomes) for r in resume],
            seconds=[(r.compile_s, r.train_s) for r in resume],
        )

    def all_diverged(self) -> bool:
        return all(at is not None for at in self.diverged)

    def add(self, done: int, step: int, losses, validation, bad) -> None:
        """After a chunk that ended at `step` of a phase; `done`: steps of the phases before. The others: `[lanes]`."""
        for i, curve in enumerate(self.curves):
            curve.append(CurvePoint(done + step, float(losses[i]), float(validation[i])))
            if bad[i] >= 0 and self.diverged[i] is None:
                self.diverged[i] = done + int(bad[i]) + 1

    def end_phase(self, state: State, selection: str, done: int) -> None:
        chosen, last = jax.device_get((merge(state, selection), merge(state, "last")))
        steps, losses = jax.device_get((state.best_step, state.best_loss))
        lane = lambda flat, i: {name: leaf[i] for name, leaf in flat.items()}
        for i, (curve, outcomes) in enumerate(zip(self.curves, self.outcomes, strict=True)):
            step, loss = (done + int(steps[i]), float(losses[i])) if selection == "best" else (curve[-1][0], curve[-1][2])
            outcomes.append(PhaseOutcome(lane(chosen, i), lane(last, i), step, loss))
            if self.diverged[i] is None and not np.isfinite(loss):
                self.diverged[i] = curve[-1].step

    def snapshots(self, phase: int, step: int, state: State, timing: Sequence[float]) -> list[Snapshot]:
        """Where each lane stands. `timing`: seconds of compiling and of training in this call."""
        names_, leaves = names(state), jax.device_get(jax.tree.leaves(state))
        return [
            Snapshot(
                phase=phase,
                step=step,
                state={name: np.array(leaf[i]) for name, leaf in zip(names_, leaves, strict=True)},
                outcomes=self.outcomes[i][:phase],
                curve=list(self.curves[i]),
                diverged_at=self.diverged[i],
                compile_s=self.seconds[i][0] + timing[0] / len(self.curves),
                train_s=self.seconds[i][1] + timing[1] / len(self.curves),
            )
            for i in range(len(self.curves))
        ]

    def trained(self, i: int, phases: Sequence[Phase], like: Any) -> TrainedRun:
        outcomes = self.outcomes[i]
        tree_of = lambda flat: flat_params.unflatten(like, flat)
        return TrainedRun(
            params=tree_of(outcomes[-1].chosen),
            last_params=tree_of(outcomes[-1].last),
            selected_step=outcomes[-1].step,
            validation_loss=outcomes[-1].loss,
            phase_losses=[outcome.loss for outcome in outcomes],
            stages={p.stage: tree_of(outcome.chosen) for p, outcome in zip(phases, outcomes, strict=False) if p.stage},
            curve=self.curves[i],
            diverged_at=self.diverged[i],
        )


def check(task: Task, baseline: Baseline, phases: Sequence[Phase]) -> None:
    """Raise `NmbenchError` if a phase names data, a set or a partition that does not exist; nothing is computed."""
    for phase in phases:
        assert isinstance(phase.partition, str)
        baseline.partition(phase.partition)
        check_new_inputs(baseline.name, baseline.input_weights, task.spec, phase.new_inputs)
        transform(phase)
        if phase.data not in task.training:
            raise NmbenchError(f"task {task.name!r} has no training data {phase.data!r}: {', '.join(task.training)}")
        if phase.validation not in task.set_sizes:
            raise NmbenchError(f"task {task.name!r} has no frozen set {phase.validation!r}: {', '.join(task.set_sizes)}")
