"""Measure-Wait-Go: measure an interval, wait, then reproduce it as the duration of a ramp (supplement C.2).

A trial of interval I has three cues: measure at step t_measure, wait at t_wait = t_measure + I, go at t_go = t_wait + delay.
The target is -1/2 until go, rises linearly to 1/2 in I steps and then remains there. All times are integer steps.

y_t = clip((t - t_go) / I, 0, 1) - 1/2

Three tasks share this definition and the four training intervals. They differ in the test intervals and in the varying
time: one of t_measure and delay varies over 10..19 while the other is 15.

- `mwg_rank1`: t_measure varies. It tests one interval below, one between and one above the trained ones.
- `mwg_rank3`: the delay varies, as the supplement says. Because t_measure is fixed, t_wait alone determines the interval, so
  a network can solve the task by timing from the start of the trial.
- `mwg_rank3_code`: t_measure varies, as in the authors' released code.

Test set: the varying time takes the values 10..19, as in training, for every test interval. Validation set: the varying
time takes the values 8, 9, 20 and 21, which occur in neither training nor test trials. Its intervals are the trained ones
and, in the rank-3 tasks, those between them. So no validation trial is also a training or test trial, and parameters are
never selected on an extrapolated interval.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from nmbench import (
    ArraySpec,
    Batch,
    FixedData,
    Metric,
    NmbenchError,
    Phase,
    Protocol,
    SequenceSpec,
    register_task,
    squared_error,
)

Arrays = Mapping[str, np.ndarray]

STEPS = 110
PULSE = 10.0
TRAINED = (12, 14, 16, 18)
BETWEEN = (13, 15, 17)
OUTSIDE = (4, 6, 8, 10, 20, 22, 24, 26)
# Values of the varying time: in training and test trials, and in validation trials.
VARIED = tuple(range(10, 20))
HELD_OUT = (8, 9, 20, 21)
FIXED = 15
# The output at 90% of the rise from -1/2 to 1/2.
RISEN = -0.5 + 0.9


def make_trials(interval, t_measure, delay) -> dict[str, np.ndarray]:
    """Trials in the form of a frozen set: `interval`, `t_measure`, `t_wait`, `t_go`, each int16 `[B]`, in steps.

    Args:
      interval, t_measure, delay: whole numbers of steps; one number for all trials, or `[B]`.

    Raises:
      NmbenchError: a time is not a whole number or is out of range, or a ramp does not end within the trial.
    """
    times = []
    for name, value, least in (("interval", interval, 1), ("t_measure", t_measure, 0), ("delay", delay, 1)):
        value = np.atleast_1d(value)
        if value.dtype.kind not in "iu":
            raise NmbenchError(f"{name} must be a whole number of steps, got dtype {value.dtype}")
        wrong = value[(value < least) | (value >= STEPS)]
        if wrong.size:
            raise NmbenchError(f"{name} must lie in {least}..{STEPS - 1} steps, got {wrong[0]}")
        times.append(value.astype(np.int64))
    interval, t_measure, delay = np.broadcast_arrays(*times)
    t_wait = t_measure + interval
    t_go = t_wait + delay
    late = np.flatnonzero(t_go + interval >= STEPS)
    if late.size:
        i = late[0]
        longest = (STEPS - 1 - t_measure[i] - delay[i]) // 2
        remedy = f"the interval can be at most {longest}" if longest >= 1 else "no interval fits, take an earlier time"
        raise NmbenchError(
            f"interval {interval[i]} with t_measure {t_measure[i]} and delay {delay[i]} ends its ramp at step "
            f"{t_go[i] + interval[i]}, after the last step, {STEPS - 1}: {remedy}"
        )
    arrays = {"interval": interval, "t_measure": t_measure, "t_wait": t_wait, "t_go": t_go}
    return {name: array.astype(np.int16) for name, array in arrays.items()}


def make_grid(intervals, values, varying: str) -> dict[str, np.ndarray]:
    """Trials of all intervals with all values of the `varying` time ("t_measure" or "delay"); the other time is 15."""
    interval, value = (a.ravel() for a in np.meshgrid(intervals, values, indexing="ij"))
    return make_trials(interval, **{"t_measure": FIXED, "delay": FIXED, varying: value})


def unpack(arrays: Arrays) -> Batch:
    """Inputs `{"sensory": [110, B, 3]}` (measure, wait, go), targets `[110, B, 1]`, mask `[110, 1, 1]`, all float32.

    A cue is a pulse of one step and height 10. All steps count.
    """
    steps = np.arange(STEPS)[:, None]
    cues = np.stack([steps == arrays[name][None] for name in ("t_measure", "t_wait", "t_go")], axis=-1)
    return Batch(
        {"sensory": (PULSE * cues).astype(np.float32)}, ramp(arrays, arrays["interval"]), np.ones((STEPS, 1, 1), np.float32)
    )


def ramp(arrays: Arrays, duration) -> np.ndarray:
    """clip((t - t_go) / duration, 0, 1) - 1/2, float32 `[110, B, 1]`. duration: steps, one for all trials or `[B]`."""
    since_go = np.arange(STEPS)[:, None] - arrays["t_go"][None]
    return (np.clip(since_go / np.atleast_1d(duration)[None], 0, 1) - 0.5).astype(np.float32)[..., None]


def rise_time(outputs: np.ndarray, t_go: np.ndarray) -> np.ndarray:
    """Number of steps from go until the output first exceeds 90% of its rise.

    The crossing is interpolated linearly between two steps, so a ramp of I steps has a rise time of 0.9 I, even if this is
    not a whole number.

    Args:
      outputs: `[T, B, 1]`.
      t_go: `[B]`, steps.

    Returns:
      `[B]`, float64; T - t_go for an output that never exceeds 90% of the rise.
    """
    y, t_go = np.asarray(outputs[..., 0], np.float64), np.asarray(t_go, np.int64)
    above = (y > RISEN) & (np.arange(len(y))[:, None] >= t_go[None])
    first, trials = above.argmax(axis=0), np.arange(y.shape[1])
    # An output that is above 90% already at the go cue has a rise time of 0.
    between = above.any(axis=0) & (first > t_go)
    before, after = y[first - 1, trials], y[first, trials]
    fraction = (RISEN - before) / np.where(between, after - before, 1.0)
    crossing = np.where(between, first - 1 + fraction, first)
    return np.where(above.any(axis=0), crossing, len(y)) - t_go


def _mse(predictions: np.ndarray, arrays: Arrays) -> np.ndarray:
    """Mean squared error over all steps, `[B]`."""
    batch = unpack(arrays)
    return squared_error(predictions, {"targets": batch.targets, "mask": batch.mask})


def _interval_error(predictions: np.ndarray, arrays: Arrays) -> np.ndarray:
    """Error of the reproduced interval: |rise time of the output - rise time of the target|, steps, `[B]`.

    The rise time of the target is 0.9 I up to rounding. It is computed in the same way as the rise time of the output, so
    that the error of a perfect answer is exactly 0.
    """
    return np.abs(rise_time(predictions, arrays["t_go"]) - rise_time(unpack(arrays).targets, arrays["t_go"]))


def _interval(arrays: Arrays) -> np.ndarray:
    return arrays["interval"]


def _trained(arrays: Arrays) -> np.ndarray:
    """Trials with an interval of training."""
    return np.isin(arrays["interval"], TRAINED)


def _extrapolated(arrays: Arrays) -> np.ndarray:
    """Trials with an interval below or above all intervals of training."""
    return (arrays["interval"] < TRAINED[0]) | (arrays["interval"] > TRAINED[-1])


def _interpolated(arrays: Arrays) -> np.ndarray:
    """Trials with an interval between two intervals of training."""
    return ~_trained(arrays) & ~_extrapolated(arrays)


def _best_constant(arrays: Arrays) -> np.ndarray:
    targets = unpack(arrays).targets
    return np.full_like(targets, targets.mean(dtype=np.float64))


def _fixed_ramp(arrays: Arrays) -> np.ndarray:
    return ramp(arrays, FIXED)


def _clamped(arrays: Arrays) -> np.ndarray:
    return ramp(arrays, np.clip(arrays["interval"], TRAINED[0], TRAINED[-1]))


# The second and the third use the go cue; the third also uses the interval, clamped to the trained range.
REFERENCES = {
    "best constant": _best_constant,
    "fixed ramp of 15 steps": _fixed_ramp,
    "interval clamped to [12, 18]": _clamped,
    "perfect": lambda arrays: unpack(arrays).targets,
}


def make_metrics(test: Arrays) -> tuple[Metric, ...]:
    """Metrics with floors and thresholds from the test trials. A group of intervals without test trials has no metric.

    The floor is the error of a ramp of 15 steps on the same trials, which ignores the interval: timing begins where a model
    does better. (With the error of the best constant as floor, this ramp would score 95.) Where the ramp is perfect, because
    15 is the only interval of a group, the floor is the error of the best constant. The threshold of the primary
    metric is the error of the ramp whose interval is clamped to [12, 18]; a network with a smaller error extrapolates.
    """
    groups = {"mse_extrapolated": _extrapolated, "mse_trained": _trained, "mse_interpolated": _interpolated, "mse": None}
    metrics = []
    for name, subset in groups.items():
        chosen = test if subset is None else {key: array[subset(test)] for key, array in test.items()}
        if chosen["interval"].size == 0:
            continue
        metrics.append(
            Metric(
                name=name,
                per_trial=_mse,
                higher_is_better=False,
                floor=float(_mse(_fixed_ramp(chosen), chosen).mean() or _mse(_best_constant(chosen), chosen).mean()),
                ceiling=0.0,
                conditions=_interval if subset is None else None,
                condition_name="interval",
                subset=subset,
                threshold=float(_mse(_clamped(chosen), chosen).mean()) if subset is _extrapolated else None,
            )
        )
    interval_error = Metric(
        name="interval_error",
        per_trial=_interval_error,
        higher_is_better=False,
        floor=float(_interval_error(_fixed_ramp(test), test).mean()),
        ceiling=0.0,
        conditions=_interval,
        condition_name="interval",
    )
    return (*metrics, interval_error)


def epochs(arrays: Arrays, trial: int) -> list[tuple[str, int, int]]:
    """The epochs of a trial in order, as (name, first step, step after the last)."""
    measure, wait, go, interval = (int(arrays[name][trial]) for name in ("t_measure", "t_wait", "t_go", "interval"))
    return [
        ("fixation", 0, measure),
        ("measure", measure, wait),
        ("wait", wait, go),
        ("go", go, go + interval),
        ("hold", go + interval, STEPS),
    ]


_INPUTS = {"sensory": ArraySpec(3, names=("measure", "wait", "go"))}
_CITATION = "Costacurta et al. (2024), Structured flexibility in recurrent neural networks via neuromodulation, NeurIPS."


def attributes(varying: str, test_intervals: tuple[int, ...], validation_intervals: tuple[int, ...]) -> dict[str, Any]:
    """Arguments of `register_task` for a task of this family; use it to define your own variants.

    Args:
      varying: "t_measure" or "delay". This time takes the values 10..19 (validation: 8, 9, 20, 21); the other time is 15.
      test_intervals, validation_intervals: intervals of the frozen sets, steps.

    Raises:
      NmbenchError: `varying` is neither of these, or a test interval does not fit into the trial.
    """
    if varying not in ("t_measure", "delay"):
        raise NmbenchError(f"varying must be 't_measure' or 'delay', not {varying!r}")
    sets = {"validation": (validation_intervals, HELD_OUT), "test": (test_intervals, VARIED)}
    draw_set = lambda split: make_grid(sets[split][0], sets[split][1], varying)
    return {
        "citation": _CITATION,
        "spec": SequenceSpec(steps=STEPS, inputs=_INPUTS, outputs=ArraySpec(1)),
        "training": {"train": FixedData(lambda: unpack(make_grid(TRAINED, VARIED, varying)))},
        "draw_set": draw_set,
        "set_sizes": {split: len(intervals) * len(values) for split, (intervals, values) in sets.items()},
        "unpack": unpack,
        "metrics": make_metrics(draw_set("test")),
        "references": REFERENCES,
        "epochs": epochs,
    }


_MATCHED = Protocol(
    name="matched",
    phases=(Phase(steps=20_000, schedule="cosine", weight_decay=1e-4, clip_norm=1.0),),
    learning_rate_grid=(1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    summary="One recipe for all models: AdamW, cosine decay, gradients clipped to norm 1, learning rate tuned.",
)
# mwg_rank3 is tuned on ten seeds, its variants on five.
_MATCHED_VARIANT = dataclasses.replace(_MATCHED, tuning_seeds=tuple(range(1000, 1005)))
_SMOKE = Protocol(
    name="smoke",
    phases=(Phase(steps=20, weight_decay=1e-4, clip_norm=1.0),),
    validate_every=10,
    summary="Twenty steps in a few seconds, to check that everything runs; its scores are meaningless.",
)
_PAPER_RANK1 = Protocol(
    name="paper",
    phases=(Phase(steps=50_000),),
    sizes="published",
    learning_rate=1e-3,
    summary="Sizes and recipe of supplement C.3: Adam at a constant 1e-3, full batch.",
)
_ADAMW = Phase(steps=50_000, weight_decay=1e-4, clip_value=1.0)
_restarted = lambda phase: dataclasses.replace(phase, reset_optimizer_every=1000)
_OUTPUT_FIRST = (
    dataclasses.replace(_ADAMW, steps=10_000, partition="output_subnetwork"),
    dataclasses.replace(_ADAMW, steps=10_000, partition="neuromodulatory_subnetwork"),
    _ADAMW,
)
_PAPER_RANK3 = Protocol(
    name="paper",
    phases=(_ADAMW,),
    phases_by_model={"nmrnn": _OUTPUT_FIRST, "lrrnn": (dataclasses.replace(_ADAMW, steps=70_000),)},
    sizes="published",
    learning_rate=1e-2,
    summary="Supplement C.3: AdamW at 1e-2. Phases of the NM-RNN, in the order of the authors' code: output network, "
    "neuromodulatory network, both.",
)
_PAPER_CODE = dataclasses.replace(
    _PAPER_RANK3,
    name="paper_code",
    phases=(_restarted(_ADAMW),),
    phases_by_model={model: tuple(map(_restarted, phases)) for model, phases in _PAPER_RANK3.phases_by_model.items()},
    summary="Like paper, but as in the authors' code: Adam's moments are reset every 1000 steps, and the learning rate of "
    "the vanilla RNN is 1e-3.",
)
_PAPER_NEUROMODULATION_FIRST = dataclasses.replace(
    _PAPER_RANK3,
    name="paper_neuromodulation_first",
    phases_by_model={**_PAPER_RANK3.phases_by_model, "nmrnn": (_OUTPUT_FIRST[1], _OUTPUT_FIRST[0], _OUTPUT_FIRST[2])},
    summary="Like paper, with the NM-RNN's first two phases in the order in which the supplement names them.",
)

register_task(
    "mwg_rank1",
    version=2,
    summary="Reproduce a measured interval as a ramp: one interval below, one between and one above the trained ones.",
    tags=("timing", "paper"),
    default_budget=1000,
    protocols=(_MATCHED_VARIANT, _PAPER_RANK1, _SMOKE),
    **attributes("t_measure", test_intervals=(7, 15, 23), validation_intervals=TRAINED),
)
register_task(
    "mwg_rank3",
    version=2,
    summary="Reproduce a measured interval as a ramp after a varying delay: 4 trained intervals, 8 extrapolated.",
    tags=("timing", "paper"),
    default_budget=1060,
    protocols=(_MATCHED, _PAPER_RANK3, _PAPER_CODE, _PAPER_NEUROMODULATION_FIRST, _SMOKE),
    **attributes("delay", TRAINED + OUTSIDE + BETWEEN, TRAINED + BETWEEN),
)
register_task(
    "mwg_rank3_code",
    version=2,
    summary="Like mwg_rank3, with a varying start and a fixed delay, as in the authors' released code.",
    tags=("timing", "paper"),
    default_budget=1060,
    protocols=(_MATCHED_VARIANT, _PAPER_RANK3, _PAPER_CODE, _PAPER_NEUROMODULATION_FIRST, _SMOKE),
    **attributes("t_measure", TRAINED + OUTSIDE + BETWEEN, TRAINED + BETWEEN),
)
