"""Trials of the Delay and Memory Pro/Anti tasks: random parameters of trials, and the inputs and targets that they give.

A trial has a fixation epoch, a stimulus epoch, a memory epoch without stimulus (only in Memory tasks) and a go epoch. The
stimulus is an angle. In the go epoch, the network must report this angle (Pro) or the opposite angle (Anti). Sensory
channels and outputs are (fixation, sine, cosine). See supplement C.2. The supplement gives neither the durations nor the
rescaling to 100 steps; these follow the authors' code.
"""

from __future__ import annotations

import numpy as np

from nmbench import ArraySpec, Batch, SequenceSpec

STEPS = 100
# In this order, the index of a task is also that of its context channel.
NAMES = ("delay_pro", "delay_anti", "memory_pro", "memory_anti")
DELAY_PRO, DELAY_ANTI, MEMORY_PRO, MEMORY_ANTI = range(4)
FIXATION_TARGET = 0.8
CITATION = (
    "Costacurta, Bhandarkar, Zoltowski, Linderman (2024), Structured flexibility in recurrent neural networks via "
    "neuromodulation, NeurIPS; task family of Duncker, Driscoll, Shenoy, Sahani, Sussillo (2020), Organizing recurrent "
    "network dynamics by task-computation to enable continual learning, NeurIPS."
)


def draw_trials(random: np.random.RandomState, task: np.ndarray) -> dict[str, np.ndarray]:
    """Draw one trial for every entry of `task` (index into `NAMES`, `[B]`).

    Durations are uniform, in seconds: fixation .3-.7; in Delay tasks stimulus .2-1.5 until go; in Memory tasks stimulus
    .2-1.6, then memory .2-1.6 until go; go .3-.7 until the end. Every trial is rescaled to 100 steps: a boundary at s
    seconds of a trial that ends at e seconds becomes step ceil(100 s / e). The shortest epoch therefore has at least
    100 * .2 / 3.2 = 6.25 steps before rounding and 6 after it.

    `random` is a RandomState because NumPy guarantees that its stream never changes. The stream of the newer Generator may
    change between releases.

    Returns:
      A dict of arrays `[B]`. task: int8, index into `NAMES`; theta_in: float64, radians in [0, 2 pi); onset, offset, go:
      int16, the first step with the stimulus, the first step after it (100 in Delay tasks, in which the stimulus stays on)
      and the first step of go.
    """
    trials = len(task)
    theta_in = 2 * np.pi * random.random_sample(trials)
    # Four numbers for every trial, even if unused, so that the stream does not depend on the tasks.
    u = random.random_sample((4, trials))
    memory = task >= MEMORY_PRO
    onset = 0.3 + 0.4 * u[0]
    offset = onset + 0.2 + 1.4 * u[1]
    go = np.where(memory, offset + 0.2 + 1.4 * u[2], onset + 0.2 + 1.3 * u[1])
    end = go + 0.3 + 0.4 * u[3]
    first_step = lambda seconds: np.ceil(STEPS * seconds / end).astype(np.int16)
    return {
        "task": task.astype(np.int8),
        "theta_in": theta_in,
        "onset": first_step(onset),
        "offset": np.where(memory, first_step(offset), STEPS).astype(np.int16),
        "go": first_step(go),
    }


def draw_mixture(random: np.random.RandomState, trials: int, choices: int) -> dict[str, np.ndarray]:
    """Draw trials of the first `choices` tasks with equal probabilities; returns a dict as `draw_trials` does."""
    # An explicit dtype, because the default dtype, and with it the stream, depends on the platform.
    return draw_trials(random, random.randint(0, choices, size=trials, dtype=np.int64))


def theta_out(arrays) -> np.ndarray:
    """The angle to report, radians `[B]`: theta_in for Pro, theta_in + pi for Anti."""
    anti = np.isin(arrays["task"], (DELAY_ANTI, MEMORY_ANTI))
    return arrays["theta_in"] + np.pi * anti


def before_go(arrays) -> np.ndarray:
    """Whether a step comes before go: the fixation input is then on. Booleans `[T, B]`."""
    return np.arange(STEPS)[:, None] < arrays["go"][None]


def response(arrays, angle: np.ndarray) -> np.ndarray:
    """Outputs of a network that holds fixation and then reports `angle` (radians, `[B]`): float32 `[T, B, 3]`.

    Fixation is 0.8 until go, then 0; sine and cosine of the angle are 0 until go, then constant.
    """
    fixating = before_go(arrays)
    zero = np.zeros(1)
    channels = (
        np.where(fixating, FIXATION_TARGET, zero),
        np.where(fixating, zero, np.sin(angle)[None]),
        np.where(fixating, zero, np.cos(angle)[None]),
    )
    return np.stack(channels, axis=-1).astype(np.float32)


def unpack(arrays, *, context: bool, input_noise: float = 0.0, old_context_noise: float = 0.0, noise_seed: int = 0) -> Batch:
    """Inputs, targets and mask of trials, float32.

    Args:
      arrays: trials, as `draw_trials` returns them.
      context: whether inputs have a one-hot `context [T, B, 4]`, constant over the trial, beside `sensory [T, B, 3]`.
      input_noise: standard deviation of normal noise added to every input channel at every step.
      old_context_noise: standard deviation of normal noise added to the first three context channels only.
      noise_seed: seed of both kinds of noise.

    Returns:
      A batch with inputs `{"sensory"}` or `{"sensory", "context"}`, targets `[T, B, 3]` and a mask of ones `[T, 1, 1]`.
    """
    t, zero = np.arange(STEPS)[:, None], np.zeros(1)
    shown = (t >= arrays["onset"][None]) & (t < arrays["offset"][None])
    channels = (
        before_go(arrays),
        np.where(shown, np.sin(arrays["theta_in"])[None], zero),
        np.where(shown, np.cos(arrays["theta_in"])[None], zero),
    )
    inputs = {"sensory": np.stack(channels, axis=-1).astype(np.float32)}
    random = np.random.RandomState(noise_seed)
    if context:
        one_hot = arrays["task"][:, None] == np.arange(len(NAMES))[None]
        inputs["context"] = np.tile(one_hot.astype(np.float32), (STEPS, 1, 1))
        if old_context_noise:
            inputs["context"][..., :MEMORY_ANTI] += _normal(random, old_context_noise, (*shown.shape, MEMORY_ANTI))
    if input_noise:
        inputs = {name: a + _normal(random, input_noise, a.shape) for name, a in inputs.items()}
    return Batch(inputs, response(arrays, theta_out(arrays)), np.ones((STEPS, 1, 1), np.float32))


def _normal(random: np.random.RandomState, stddev: float, shape: tuple[int, ...]) -> np.ndarray:
    return (stddev * random.standard_normal(shape)).astype(np.float32)


def epochs(arrays, trial: int) -> list[tuple[str, int, int]]:
    """The epochs of a trial in order, as (name, first step, step after the last); they cover all 100 steps."""
    onset, offset, go = (int(arrays[name][trial]) for name in ("onset", "offset", "go"))
    if arrays["task"][trial] < MEMORY_PRO:
        return [("fixation", 0, onset), ("stimulus", onset, go), ("go", go, STEPS)]
    return [("fixation", 0, onset), ("stimulus", onset, offset), ("memory", offset, go), ("go", go, STEPS)]


def spec(context: bool) -> SequenceSpec:
    """Spec with inputs (fixation, sine, cosine), optionally four context channels, and outputs (fixation, sine, cosine)."""
    angle = ArraySpec(3, names=("fixation", "sine", "cosine"))
    inputs = {"sensory": angle, "context": ArraySpec(len(NAMES), names=NAMES)} if context else {"sensory": angle}
    return SequenceSpec(steps=STEPS, inputs=inputs, outputs=angle)
