"""A task of your own: hold two bits. The target of each channel is the last pulse in that channel.

After Sussillo and Barak (2013), Opening the black box, Neural Computation 25(3), as the built-in task `flip_flop`, which has
three bits and tests longer held times. The frozen sets in testsets/ were made by
`python -m nmbench.freeze --plugin=examples/own_task.py --task=two_bit_memory`.
"""

import jax
import jax.numpy as jnp
import numpy as np

from nmbench import ArraySpec, Batch, Metric, Phase, Protocol, Sampler, SequenceSpec, register_task, squared_error

STEPS, CHANNELS, RATE = 40, 2, 0.1
SETS = {"validation": (20261101, 400), "test": (20261102, 1000)}  # seed and number of trials


def sample(key, batch_size: int) -> Batch:
    """New trials on the device. Each step and channel has a pulse of +1 or -1 with probability 0.1, step 0 always."""
    when, sign = jax.random.split(key)
    shape = (STEPS, batch_size, CHANNELS)
    pulses = jax.random.bernoulli(when, RATE, shape).at[0].set(True) * jax.random.rademacher(sign, shape)
    hold = lambda last, pulse: (jnp.where(pulse == 0, last, pulse),) * 2
    return _batch(pulses, jax.lax.scan(hold, jnp.zeros_like(pulses[0]), pulses)[1])


def draw_set(split: str) -> dict[str, np.ndarray]:
    """A frozen set: `pulses` int8 `[T, B, C]`. NumPy guarantees that all versions draw the same numbers."""
    seed, trials = SETS[split]
    random = np.random.RandomState(seed)
    shape = (STEPS, trials, CHANNELS)
    there = random.random_sample(shape) < RATE
    there[0] = True
    return {"pulses": (there * random.choice([-1, 1], shape)).astype(np.int8)}


def unpack(arrays) -> Batch:
    """Model inputs, targets and mask of a frozen set."""
    states = [arrays["pulses"][0]]
    for pulse in arrays["pulses"][1:]:
        states.append(np.where(pulse == 0, states[-1], pulse))
    return _batch(arrays["pulses"], np.stack(states))


def _batch(pulses, states) -> Batch:
    return Batch({"sensory": pulses.astype("float32")}, states.astype("float32"), np.ones((STEPS, 1, 1), np.float32))


def _squared_error(predictions, arrays) -> np.ndarray:
    """Mean squared error over all steps and channels, `[B]`."""
    batch = unpack(arrays)
    return squared_error(predictions, {"targets": batch.targets, "mask": batch.mask})


def _bits_held(predictions, arrays) -> np.ndarray:
    """Fraction of steps and channels in which the prediction has the right sign, `[B]`."""
    return np.mean(predictions * unpack(arrays).targets > 0, axis=(0, 2))


MATCHED = Protocol(
    name="matched",
    phases=(Phase(steps=5_000, batch_size=64, schedule="cosine", clip_norm=1.0),),
    learning_rate_grid=(1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    summary="Adam, cosine decay, gradients clipped to norm 1, learning rate tuned.",
)
SMOKE = Protocol(
    name="smoke",
    phases=(Phase(steps=20, batch_size=16),),
    validate_every=10,
    summary="Twenty steps, to check that everything runs.",
)

register_task(
    "two_bit_memory",
    version=1,
    summary="Hold the sign of the last pulse in each of two channels.",
    citation="Sussillo, Barak (2013). Opening the black box. Neural Computation 25(3).",
    tags=("memory", "example"),
    spec=SequenceSpec(STEPS, {"sensory": ArraySpec(CHANNELS)}, ArraySpec(CHANNELS)),
    training={"train": Sampler(sample)},
    draw_set=draw_set,
    set_sizes={split: trials for split, (_, trials) in SETS.items()},
    unpack=unpack,
    metrics=(
        # The squared error of the answer 0 is 1 at every step.
        Metric("mse", _squared_error, higher_is_better=False, floor=1.0, ceiling=0.0, threshold=0.05),
        Metric("bits_held", _bits_held, higher_is_better=True, floor=0.5, ceiling=1.0),
    ),
    default_budget=450,
    protocols=(MATCHED, SMOKE),
    references={
        "chance (always 0)": lambda arrays: np.zeros((STEPS, arrays["pulses"].shape[1], CHANNELS), np.float32),
        "the pulse alone": lambda arrays: arrays["pulses"].astype(np.float32),
        "perfect": lambda arrays: unpack(arrays).targets,
    },
)
