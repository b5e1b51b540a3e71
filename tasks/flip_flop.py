"""Flip-flop: hold three bits, each set by the last pulse in its channel (Sussillo and Barak 2013).

Each of the three input channels has pulses of +1 and -1, equally likely. A pulse sets the bit of its channel, and the
output of a channel is its bit at every step. With t' the step of the last pulse in channel c up to step t:

y_{ct} = u_{ct'}

The held time of a bit is the number of steps since its last pulse. Training and validation: all channels have a pulse at
step 0, and the time from a pulse to the next is uniform on 1..25 steps, so no held time is longer than 24 steps. Test: in
each trial, one channel is probed. It has pulses as in training until its last one, then none until the end of the trial,
for 4 to 96 steps. The other two channels have pulses as in training up to the end, which must not disturb the held bit.
Only the last output of the probed channel is judged. Held times of at most 24 steps are trained, all others are
extrapolated; no time is interpolated, because every time from 0 to 24 occurs in training.

Published: three bits, set by pulses of +1 and -1 at random times; outputs that hold the sign of the last pulse; no noise;
FORCE learning, which minimises a squared error. Not published, filled in: pulses of one step and a pulse at step 0 (both as
in the example of the FixedPointFinder, Golub and Sussillo 2018, Journal of Open Source Software 3(31)), the distribution of
the times between pulses, trials of 100 steps, and the test of long held times.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nmbench import ArraySpec, Batch, FixedData, Metric, Phase, Protocol, SequenceSpec, register_task, squared_error

Arrays = Mapping[str, np.ndarray]

STEPS, BITS = 100, 3
LONGEST_GAP = 25  # steps from a pulse to the next in training
LONGEST_TRAINED = LONGEST_GAP - 1
# The sum of so many gaps is 7 standard deviations above 100 steps, so the last pulse is beyond the end of the trial.
GAPS = 30
HELD = (4, 8, 12, 16, 20, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96)  # held times of test trials, steps
# Data seeds depend on neither the model nor its seed.
SEEDS = {"train": 20261210, "validation": 20261211, "test": 20261212}
TRAINING_TRIALS = 3000
SET_SIZES = {"validation": 500, "test": 120 * len(HELD)}
# Time constants of the leaky traces, of which the best gives the floor.
LEAKS = (5, 10, 20, 30, 50, 100)


def draw_set(split: str) -> dict[str, np.ndarray]:
    """Draw a set: `pulses` int8 `[100, B, 3]`; `probed` int8 `[B]`, a channel; `held` int8 `[B]`, its held time at the end.

    The split "train" gives the training trials. In them and in the validation set, any channel is the probed one. It uses a
    RandomState because NumPy guarantees that its stream never changes.
    """
    random = np.random.RandomState(SEEDS[split])
    trials = np.arange({"train": TRAINING_TRIALS, **SET_SIZES}[split])
    pulses = _draw_pulses(random, len(trials))
    probed = trials % BITS
    if split == "test":
        held = np.asarray(HELD)[trials // BITS % len(HELD)]
        set_at = STEPS - 1 - held
        pulses[:, trials, probed] *= np.arange(STEPS)[:, None] < set_at
        pulses[set_at, trials, probed] = random.choice([-1, 1], len(trials))
    else:
        held = STEPS - 1 - _last_pulses(pulses)[-1, trials, probed]
    return {"pulses": pulses.astype(np.int8), "probed": probed.astype(np.int8), "held": held.astype(np.int8)}


def _draw_pulses(random: np.random.RandomState, trials: int) -> np.ndarray:
    """Pulses as in training, integers `[100, B, 3]`."""
    # An explicit dtype, because the default dtype, and with it the stream, depends on the platform.
    gaps = random.randint(1, LONGEST_GAP + 1, (GAPS, trials, BITS), dtype=np.int64)
    gaps[0] = 0
    signs, times = random.choice([-1, 1], gaps.shape), np.cumsum(gaps, axis=0)
    pulse, trial, channel = np.nonzero(times < STEPS)
    pulses = np.zeros((STEPS, trials, BITS), np.int64)
    pulses[times[pulse, trial, channel], trial, channel] = signs[pulse, trial, channel]
    return pulses


def _last_pulses(pulses: np.ndarray) -> np.ndarray:
    """Step of the last pulse up to each step, `[100, B, 3]`."""
    return np.maximum.accumulate(np.arange(STEPS)[:, None, None] * (pulses != 0), axis=0)


def unpack(arrays: Arrays) -> Batch:
    """Inputs `{"sensory": [100, B, 3]}`, targets `[100, B, 3]`, mask `[100, 1, 1]`, all float32. All steps count."""
    pulses = arrays["pulses"].astype(np.float32)
    bits = np.take_along_axis(pulses, _last_pulses(pulses), axis=0)
    return Batch({"sensory": pulses}, bits, np.ones((STEPS, 1, 1), np.float32))


def _held_bit(arrays: Arrays) -> np.ndarray:
    """The bit that the probed channel holds at the last step, +1.0 or -1.0, `[B]`."""
    trials = np.arange(len(arrays["probed"]))
    last = _last_pulses(arrays["pulses"])[-1, trials, arrays["probed"]]
    return arrays["pulses"][last, trials, arrays["probed"]].astype(np.float64)


def _answer(predictions: np.ndarray, arrays: Arrays) -> np.ndarray:
    return np.asarray(predictions[-1, np.arange(len(arrays["probed"])), arrays["probed"]], np.float64)


def _mse(predictions: np.ndarray, arrays: Arrays) -> np.ndarray:
    """Squared error of the probed output at the last step."""
    return (_answer(predictions, arrays) - _held_bit(arrays)) ** 2


def _lost_bits(predictions: np.ndarray, arrays: Arrays) -> np.ndarray:
    """1 if the probed output at the last step does not have the sign of its bit, else 0."""
    return (_answer(predictions, arrays) * _held_bit(arrays) <= 0).astype(np.float64)


def _all_steps(predictions: np.ndarray, arrays: Arrays) -> np.ndarray:
    """Mean squared error over all steps and channels, which training minimises."""
    batch = unpack(arrays)
    return squared_error(predictions, {"targets": batch.targets, "mask": batch.mask})


def _held(arrays: Arrays) -> np.ndarray:
    return arrays["held"]


def _trained(arrays: Arrays) -> np.ndarray:
    """Trials in which the bit was held no longer than in training."""
    return arrays["held"] <= LONGEST_TRAINED


def _extrapolated(arrays: Arrays) -> np.ndarray:
    """Trials in which the bit was held longer than in training."""
    return ~_trained(arrays)


def _best_leak(arrays: Arrays, chosen: np.ndarray) -> tuple[float, int, float]:
    """The leaky trace with the least mean `_mse` over the `chosen` trials: this error, its time constant and its gain.

    A trace is a decaying sum of the pulses of each channel. Here only its last value in the probed channel is needed.
    """
    pulses = arrays["pulses"][:, np.arange(len(chosen)), arrays["probed"]][:, chosen].astype(np.float64)
    bit, found = _held_bit(arrays)[chosen], []
    for leak in LEAKS:
        answer = np.exp(-np.arange(STEPS)[::-1] / leak) @ pulses
        gain = float(answer @ bit / (answer @ answer))
        found.append((float(np.mean((gain * answer - bit) ** 2)), leak, gain))
    return min(found)


def _leaky_trace(arrays: Arrays) -> np.ndarray:
    """The leaky trace that is best for the extrapolated trials, outputs `[100, B, 3]`."""
    _, leak, gain = _best_leak(arrays, _extrapolated(arrays))
    trace = arrays["pulses"].astype(np.float64)
    for t in range(1, STEPS):
        trace[t] += np.exp(-1 / leak) * trace[t - 1]
    return gain * trace


def _forgetting(arrays: Arrays) -> np.ndarray:
    """The perfect answer for held times of up to 24 steps, 0 afterwards."""
    held = np.arange(STEPS)[:, None, None] - _last_pulses(arrays["pulses"])
    return unpack(arrays).targets * (held <= LONGEST_TRAINED)


REFERENCES = {
    "always 0": lambda arrays: np.zeros(arrays["pulses"].shape),
    "forgets after 24 steps": _forgetting,
    "best leaky trace": _leaky_trace,
    "perfect": lambda arrays: unpack(arrays).targets,
}


def epochs(arrays: Arrays, trial: int) -> list[tuple[str, int, int]]:
    """The epochs of a trial in order, as (name, first step, step after the last); "hold" is the judged held time."""
    set_at = STEPS - 1 - int(arrays["held"][trial])
    return [(name, first, end) for name, first, end in (("pulses", 0, set_at), ("hold", set_at, STEPS)) if first < end]


def _metrics(test: Arrays) -> tuple[Metric, ...]:
    """The metrics. Floors of the probed output's error are those of the best leaky trace, which cannot hold a bit.

    The best of six time constants is taken for the trials of each metric; one between them scores at most a few points. A
    leaky trace has the right sign for a long time, but a decaying amplitude. It loses only 16% of the bits; the floor of
    `lost_bits` is nevertheless that of a random sign, and the floor of `mse_all_steps` that of always 0. Floors are rounded,
    because the last bits of an exponential depend on the platform. The threshold of the primary metric is an error of 0.2 in
    the output on average.
    """
    every = np.full(len(test["held"]), True)
    error = lambda name, subset, **more: Metric(
        name=name,
        per_trial=_mse,
        higher_is_better=False,
        floor=round(_best_leak(test, every if subset is None else subset(test))[0], 9),
        ceiling=0.0,
        subset=subset,
        condition_name="steps since the last pulse",
        **more,
    )
    return (
        error("mse_extrapolated", _extrapolated, threshold=0.04),
        error("mse_trained", _trained),
        error("mse", None, conditions=_held),
        Metric(
            name="lost_bits",
            per_trial=_lost_bits,
            higher_is_better=False,
            floor=0.5,
            ceiling=0.0,
            share_of_trials=True,
            conditions=_held,
            condition_name="steps since the last pulse",
        ),
        Metric(name="mse_all_steps", per_trial=_all_steps, higher_is_better=False, floor=1.0, ceiling=0.0),
    )


_MATCHED = Protocol(
    name="matched",
    phases=(Phase(steps=20_000, batch_size=64, weight_decay=1e-4, schedule="cosine", clip_norm=1.0),),
    learning_rate_grid=(1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    tuning_seeds=tuple(range(1000, 1005)),
    summary="One recipe for all models: AdamW, cosine decay, gradients clipped to norm 1, learning rate tuned.",
)
_SMOKE = Protocol(
    name="smoke",
    phases=(Phase(steps=20, batch_size=20),),
    validate_every=10,
    summary="Twenty steps, to check that everything runs; its scores are meaningless.",
)

register_task(
    "flip_flop",
    version=1,
    summary="Hold three bits, each the sign of the last pulse in its channel, for up to four times as long as in training.",
    citation="Sussillo, Barak (2013). Opening the black box: low-dimensional dynamics in high-dimensional recurrent neural "
    "networks. Neural Computation 25(3).",
    tags=("memory", "bits"),
    spec=SequenceSpec(steps=STEPS, inputs={"sensory": ArraySpec(BITS)}, outputs=ArraySpec(BITS)),
    training={"train": FixedData(lambda: unpack(draw_set("train")))},
    draw_set=draw_set,
    set_sizes=SET_SIZES,
    unpack=unpack,
    metrics=_metrics(draw_set("test")),
    default_budget=900,
    protocols=(_MATCHED, _SMOKE),
    references=REFERENCES,
    epochs=epochs,
)
