"""Both parts of the theory on the trained network of a run folder."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import tree

from nmbench.paper.theory import rank1, semilinear
from nmbench.paper.theory.network import NeuromodulatedNetwork, from_parameters
from nmbench.paper.theory.rank1 import Rank1Network
from nmbench.support.errors import NmbenchError

# Largest difference between the float64 outputs computed here and the model's outputs, relative to outputs above 1.
OUTPUT_TOLERANCE = 1e-3
# Largest relative difference between the primary metric of the stored parameters and the value in the row.
VALUE_TOLERANCE = 0.01


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """A trained network and the test set of its task.

    Attributes:
      name: run id.
      remarks: changes of the code since the run, one line each.
      network: the network in float64.
      inputs, targets: `[T, B, P]`, `[T, B, O]`.
      conditions, condition: label of each trial `[B]`, and the name of the labelled quantity, such as "interval".
    """

    name: str
    remarks: tuple[str, ...]
    network: NeuromodulatedNetwork
    inputs: np.ndarray
    targets: np.ndarray
    conditions: np.ndarray
    condition: str


class SignalPrediction(NamedTuple):
    """Errors of the theory for a trained rank-1 network, over all trials of one condition; NaN if there is no such step.

    From the network's own output:
      identifiable: share of steps with an absolute sensitivity of at least `rank1.SENSITIVE`.
      own_s: largest error of s at these steps.
      own_x: largest error of x at all steps.
    From the task's target, over the steps at which it changes:
      possible: share of steps at which the computed s is in (0, 1), so that a sigmoid can produce it.
      target_s, target_s_max: mean and largest error of s at the possible steps.
      law_s: mean error of s by Eq. 16 evaluated at the steps, where that s is in (0, 1).
      target_w, target_w_max: mean and largest error of w, relative to the range of the network's own w.
    """

    condition: str
    trials: int
    identifiable: float
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
      NmbenchError: the row is unknown, today's task and model cannot repeat it, its parameters are missing, or its model
        is not a linearised NM-RNN, or their value is not that of the row.
    """
    from nmbench.experiments import loading
    from nmbench.training.prediction import predictor

    run = loading.load_run(text, (), results_dir)
    experiment, params = run.experiment, run.params()
    task, frozen = experiment.task, experiment.task.frozen("test")
    network = from_parameters(params, experiment.sizing.hparams, task.spec)
    batch = task.unpack(frozen.arrays)
    inputs = np.concatenate([np.asarray(leaf, np.float64) for leaf in tree.flatten(batch.inputs)], axis=2)
    outputs = predictor(experiment.model, task, frozen)(params)
    difference = np.max(np.abs(network.run(inputs).y - outputs) / np.maximum(1, np.abs(outputs)))
    if not difference < OUTPUT_TOLERANCE:
        raise NmbenchError(
            f"the model of {run.run_id} is not a linearised NM-RNN: its outputs differ by {difference:.3g} from those of "
            f"a linearised NM-RNN with the same parameters"
        )
    value = float(task.evaluate(outputs, frozen.arrays)["values"][task.primary.name])
    if abs(value - run.row["value"]) > VALUE_TOLERANCE * abs(run.row["value"]):
        raise NmbenchError(
            f"the parameters of {run.run_id} give {task.primary.name} {value:.4g}, its row has {run.row['value']:.4g}: they "
            "are damaged, or they belong to another row"
        )
    labelled = next((m for m in task.metrics if m.conditions is not None), None)
    labels = np.zeros(inputs.shape[1], int)
    if labelled is not None and labelled.conditions is not None:
        labels = np.asarray(labelled.conditions(frozen.arrays))
    return TrainedNetwork(
        name=run.run_id,
        remarks=run.remarks,
        network=network,
        inputs=inputs,
        targets=np.asarray(batch.targets, np.float64),
        conditions=labels,
        condition="trials" if labelled is None else labelled.condition_name,
    )


def proposition(trained: TrainedNetwork) -> tuple[semilinear.ConversionErrors, float]:
    """Errors of the semilinear LSTM built from the network with its initial x projected onto span(R).

    The second value is the largest change of the outputs that the projection causes.

    Raises:
      NmbenchError: a hypothesis other than the one on the initial x does not hold.
    """
    projected = semilinear.start_in_span(trained.network)
    errors = semilinear.reproduce(projected, trained.inputs)
    change = projected.run(trained.inputs).y - trained.network.run(trained.inputs).y
    return errors, float(np.max(np.abs(change)))


class SignalTraces(NamedTuple):
    """Signal and state of a rank-1 network on all trials, each `[T, B]`.

    s, w: the network's own.
    own_s: s computed from the network's output.
    identifiable: where the sensitivity is large enough to compute s.
    own_x_error: error of x computed from the network's output, the largest over units.
    target_s, target_w: s and w computed from the target of the task.
    law_s: s from the target by Eq. 16, with the difference from the previous step as derivative.
    moves: where the target differs from that of the previous step.
    """

    s: np.ndarray
    w: np.ndarray
    own_s: np.ndarray
    identifiable: np.ndarray
    own_x_error: np.ndarray
    target_s: np.ndarray
    target_w: np.ndarray
    law_s: np.ndarray
    moves: np.ndarray


def traces(trained: TrainedNetwork) -> SignalTraces:
    """Signal and state on all trials; raises `NmbenchError` unless the network has rank 1 and one output."""
    one, u = Rank1Network.of(trained.network), trained.inputs
    states, target = trained.network.run(u), trained.targets[..., 0]
    f = states.y[..., 0]
    _, x = rank1.state(one, f, u)
    # The value before the first step is that of the first step.
    before = np.concatenate([target[:1], target[:-1]])
    start = float(target[0, 0])
    law = rank1.power_law(target, target - before, one.tau, one.d, float(one.R @ one.L))
    return SignalTraces(
        s=states.s[..., 0],
        w=states.x @ one.direction,
        own_s=rank1.signal(one, f, u),
        identifiable=np.abs(rank1.sensitivity(one, f, u)) >= rank1.SENSITIVE,
        own_x_error=np.max(np.abs(x[1:] - states.x), axis=2),
        target_s=rank1.signal(one, target, u, f_start=start),
        target_w=rank1.state(one, target, u, f_start=start)[0][1:],
        law_s=law,
        moves=target != before,
    )


def predictions(trained: TrainedNetwork, found: SignalTraces) -> list[SignalPrediction]:
    """One prediction per condition, in order; raises `NmbenchError` if the targets of a condition never change."""
    rows = []
    for label in np.unique(trained.conditions):
        chosen = trained.conditions == label
        pick = lambda values, chosen=chosen: values[:, chosen]
        identifiable, moves, s, w = pick(found.identifiable), pick(found.moves), pick(found.s), pick(found.w)
        if not moves.any():
            raise NmbenchError(f"the targets of {trained.condition} {label} never change: there is no ramp to predict")
        target_s, law_s = (_possible(pick(values)[moves], s[moves]) for values in (found.target_s, found.law_s))
        target_w = np.abs(pick(found.target_w) - w)[moves] / np.ptp(w)
        rows.append(
            SignalPrediction(
                condition=str(label),
                trials=int(chosen.sum()),
                identifiable=float(identifiable.mean()),
                own_s=float(np.max(np.abs(pick(found.own_s) - s), where=identifiable, initial=0.0)),
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
    """Absolute errors of the predictions of s that a sigmoid can produce."""
    return np.abs(predicted - s)[(predicted > 0) & (predicted < 1)]
