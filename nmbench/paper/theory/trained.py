"""Both pieces of theory on a trained network from a results folder."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import tree

from nmbench.paper.theory import rank1, semilinear
from nmbench.paper.theory.network import Network, from_parameters
from nmbench.paper.theory.rank1 import Rank1
from nmbench.support.errors import NmbenchError

# Between outputs of the network here, in float64, and of its model, in float32, relative to outputs of order one.
AGREES = 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """A trained network and the test set of its task.

    Attributes:
      name, remarks: run id, and what has changed since it was made.
      network: in float64.
      inputs, targets: `[T, B, P]`, `[T, B, O]`.
      conditions, condition: label of each trial `[B]`, and what it labels.
    """

    name: str
    remarks: list[str]
    network: Network
    inputs: np.ndarray
    targets: np.ndarray
    conditions: np.ndarray
    condition: str


class Prediction(NamedTuple):
    """Theory against a trained rank-1 network, all trials of one condition.

    From the network's own output: the share of steps where s can be told (`rank1.SENSITIVE`) and its largest error there,
    and the largest error of x at all steps. From the task's target, over the steps in which it moves: the share of steps
    where the s that it asks for lies in (0, 1), as a sigmoid's does, and its mean and largest error there; the mean error of
    s by Eq. 16, read off at the steps, where that lies in (0, 1); mean and largest error of w, relative to the range of the
    network's own w. NaN where there is no such step.
    """

    condition: str
    trials: int
    told: float
    own_s: float
    own_x: float
    possible: float
    target_s: float
    target_s_max: float
    law_s: float
    target_w: float
    target_w_max: float


def load(text: str, results_dir: str) -> TrainedNetwork:
    """The trained network of a row: a run id, `FILE.csv:N` or `FILE.csv#RUN_ID`.

    Raises:
      NmbenchError: no such row, it was made with other data, its parameters are not here, or it is no linearised NM-RNN.
    """
    import jax

    from nmbench.experiments import rebuild, reproduction
    from nmbench.results.store import PARAMS
    from nmbench.training.parameter_files import load_params
    from nmbench.training.prediction import predictor

    row, folder = reproduction.find(text, (), results_dir)
    config = reproduction.config_of(row)
    cell = rebuild.cell_from(config)
    remarks = reproduction.check(row, config, cell)
    if folder is None or not (folder / PARAMS).is_file():
        raise NmbenchError(
            f"the parameters of {row['run_id']} are not here: a CSV does not hold them; give the --results_dir that has "
            f"runs/{row['run_id']}/{PARAMS}"
        )
    params = load_params(folder / PARAMS, jax.eval_shape(cell.model.init, jax.random.key(0)))
    task, frozen = cell.task, cell.task.frozen("test")
    network = from_parameters(params, cell.sizing.hparams, task.spec)
    batch = task.unpack(frozen.arrays)
    inputs = np.concatenate([np.asarray(leaf, np.float64) for leaf in tree.flatten(batch.inputs)], axis=2)
    outputs = predictor(cell.model, task, frozen)(params)
    off = np.max(np.abs(network.run(inputs).y - outputs) / np.maximum(1, np.abs(outputs)))
    if not off < AGREES:
        raise NmbenchError(
            f"the model of {row['run_id']} is no linearised NM-RNN: its outputs differ from one's by {off:.3g}"
        )
    labelled = next((m for m in task.metrics if m.conditions is not None), None)
    labels = np.zeros(inputs.shape[1], int)
    if labelled is not None and labelled.conditions is not None:
        labels = np.asarray(labelled.conditions(frozen.arrays))
    return TrainedNetwork(
        name=row["run_id"],
        remarks=remarks,
        network=network,
        inputs=inputs,
        targets=np.asarray(batch.targets, np.float64),
        conditions=labels,
        condition="trials" if labelled is None else labelled.condition_name,
    )


def proposition(trained: TrainedNetwork) -> tuple[semilinear.Errors, float]:
    """Errors of the semilinear LSTM made from the network, started in span(R), and what the start changes in its outputs.

    Raises:
      NmbenchError: the network breaks a hypothesis other than that on the start.
    """
    started = semilinear.start_in_span(trained.network)
    errors = semilinear.reproduce(started, trained.inputs)
    moved = started.run(trained.inputs).y - trained.network.run(trained.inputs).y
    return errors, float(np.max(np.abs(moved)))


class Traces(NamedTuple):
    """Signal and state of a rank-1 network on all trials, each `[T, B]`.

    s, w: the network's own.
    own_s: s from its output; told: where it can be told.
    own_x_error: largest error, over units, of x from its output.
    target_s, target_w: from the task's target.
    law_s: from the target by Eq. 16, its derivative being the difference to the step before.
    moves: where the target differs from that of the step before.
    """

    s: np.ndarray
    w: np.ndarray
    own_s: np.ndarray
    told: np.ndarray
    own_x_error: np.ndarray
    target_s: np.ndarray
    target_w: np.ndarray
    law_s: np.ndarray
    moves: np.ndarray


def traces(trained: TrainedNetwork) -> Traces:
    """See `Traces`; raises `NmbenchError` unless the network is of rank 1 with one output."""
    one, u = Rank1.of(trained.network), trained.inputs
    states, target = trained.network.run(u), trained.targets[..., 0]
    f = states.y[..., 0]
    _, x = rank1.state(one, f, u)
    # Before the first step the target is what it is at the first.
    before = np.concatenate([target[:1], target[:-1]])
    start = float(target[0, 0])
    law = rank1.power_law(target, target - before, one.tau, one.d, float(one.R @ one.L))
    return Traces(
        s=states.s[..., 0],
        w=states.x @ one.direction,
        own_s=rank1.signal(one, f, u),
        told=np.abs(rank1.sensitivity(one, f, u)) >= rank1.SENSITIVE,
        own_x_error=np.max(np.abs(x[1:] - states.x), axis=2),
        target_s=rank1.signal(one, target, u, f_start=start),
        target_w=rank1.state(one, target, u, f_start=start)[0][1:],
        law_s=law,
        moves=target != before,
    )


def predictions(trained: TrainedNetwork, found: Traces) -> list[Prediction]:
    """One for each condition, in order."""
    rows = []
    for label in np.unique(trained.conditions):
        chosen = trained.conditions == label
        pick = lambda values, chosen=chosen: values[:, chosen]
        told, moves, s, w = pick(found.told), pick(found.moves), pick(found.s), pick(found.w)
        if not moves.any():
            raise NmbenchError(f"the targets of {trained.condition} {label} never move: there is no ramp to predict")
        target_s, law_s = (_possible(pick(values)[moves], s[moves]) for values in (found.target_s, found.law_s))
        target_w = np.abs(pick(found.target_w) - w)[moves] / np.ptp(w)
        rows.append(
            Prediction(
                condition=str(label),
                trials=int(chosen.sum()),
                told=float(told.mean()),
                own_s=float(np.max(np.abs(pick(found.own_s) - s), where=told, initial=0.0)),
                own_x=float(np.max(pick(found.own_x_error))),
                possible=len(target_s) / int(moves.sum()),
                target_s=float(np.mean(target_s)) if len(target_s) else np.nan,
                target_s_max=float(np.max(target_s)) if len(target_s) else np.nan,
                law_s=float(np.mean(law_s)) if len(law_s) else np.nan,
                target_w=float(target_w.mean()),
                target_w_max=float(target_w.max()),
            )
        )
    return rows


def _possible(predicted: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Absolute errors of predictions of s, those left out that no sigmoid can follow."""
    return np.abs(predicted - s)[(predicted > 0) & (predicted < 1)]
