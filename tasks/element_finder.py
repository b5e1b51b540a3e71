"""Element Finder: report the number at a queried position of a sequence (supplement C.2, "Element Finder Task").

The input is the query q, then 25 elements e_0, ..., e_24. The target of the last step is the queried element:

u_0 = q,  u_{i+1} = e_i,  y_25 = e_q
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from nmbench import ArraySpec, Batch, Metric, Phase, Protocol, Sampler, SequenceSpec, register_task, squared_error

ELEMENTS = 25
LARGEST = 10
STEPS = ELEMENTS + 1
# The error of the constant answer 0: the variance n (n + 1) / 3 of a uniform integer in -n..n, with n = 10.
CHANCE_MSE = LARGEST * (LARGEST + 1) / 3
# A constant answer is right for one value of 21.
CHANCE_MATCH = 1 / (2 * LARGEST + 1)
# Data seeds depend on neither the model nor its seed.
SET_SEEDS = {"validation": 20241001, "test": 20241002}


def sample(key, batch_size: int) -> Batch:
    """New trials on the device: inputs `{"sensory": [26, B, 1]}`, targets `[26, B, 1]`, mask `[26, 1, 1]`.

    The input is the query q ~ U{0..24} at step 0 and an element ~ U{-10..10}, unscaled, at each of the steps 1..25. The
    target of the last step is element q. Only the last step counts.
    """
    for_query, for_elements = jax.random.split(key)
    query = jax.random.randint(for_query, (batch_size,), 0, ELEMENTS)
    elements = jax.random.randint(for_elements, (ELEMENTS, batch_size), -LARGEST, LARGEST + 1)
    answer = jnp.take_along_axis(elements, query[None], axis=0)[0]
    return _batch(jnp, query, elements, answer)


def draw_set(split: str) -> dict[str, np.ndarray]:
    """Draw a frozen set: `query` int8 `[B]` and `elements` int8 `[25, B]`.

    It uses a RandomState because NumPy guarantees that its stream never changes. The stream of the newer Generator may
    change between releases.
    """
    random = np.random.RandomState(SET_SEEDS[split])
    trials = SET_SIZES[split]
    query = random.randint(0, ELEMENTS, size=trials)
    elements = random.randint(-LARGEST, LARGEST + 1, size=(ELEMENTS, trials))
    return {"query": query.astype(np.int8), "elements": elements.astype(np.int8)}


def unpack(arrays) -> Batch:
    """Inputs, targets and mask of a frozen set, float32, with the shapes of `sample`."""
    return _batch(np, arrays["query"], arrays["elements"], _answers(arrays))


def _batch(xp, query, elements, answer) -> Batch:
    sensory = xp.concatenate([query[None], elements])[..., None].astype(xp.float32)
    last = (xp.arange(STEPS) == STEPS - 1).astype(xp.float32)[:, None, None]
    targets = last * answer.astype(xp.float32)[None, :, None]
    return Batch({"sensory": sensory}, targets, last)


def _answers(arrays) -> np.ndarray:
    return np.take_along_axis(arrays["elements"], arrays["query"][None].astype(np.int64), axis=0)[0]


def _squared_error(predictions, arrays) -> np.ndarray:
    """Squared error of the output at the last step, `[B]`."""
    batch = unpack(arrays)
    return squared_error(predictions, {"targets": batch.targets, "mask": batch.mask})


def _exact_match(predictions, arrays) -> np.ndarray:
    """1 if the output at the last step rounds to the right integer, else 0, `[B]`."""
    return (np.rint(predictions[-1, :, 0]) == _answers(arrays)).astype(np.float64)


def epochs(arrays, trial: int) -> list[tuple[str, int, int]]:
    """The epochs of a trial in order, as (name, first step, step after the last)."""
    queried = 1 + int(arrays["query"][trial])
    found = [("query", 0, 1), ("elements", 1, queried), ("queried", queried, queried + 1), ("elements", queried + 1, STEPS)]
    return [(name, first, end) for name, first, end in found if first < end]


def _constant(value: float):
    return lambda arrays: np.full((STEPS, arrays["query"].shape[0], 1), value, np.float32)


SET_SIZES = {"validation": 2000, "test": 10000}

_MATCHED = Protocol(
    name="matched",
    phases=(Phase(steps=20_000, batch_size=128, schedule="cosine", clip_norm=1.0),),
    learning_rate_grid=(1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    summary="One recipe for all models: Adam, cosine decay, gradients clipped to norm 1, learning rate tuned.",
)
_PAPER = Protocol(
    name="paper",
    phases=(Phase(steps=20_000, batch_size=128, optimizer_options={"eps": 1e-7}),),
    sizes="published",
    summary="Sizes and recipe of supplement C.3: constant learning rate, published parametrisations, tau_x=10, tau_z=2.",
)
_PAPER_CODE = dataclasses.replace(
    _PAPER, name="paper_code", summary="Like paper, with the time constants of the authors' code: tau_x=2, tau_z=10."
)
_SMOKE = Protocol(
    name="smoke",
    phases=(Phase(steps=20, batch_size=16),),
    validate_every=10,
    summary="Twenty steps, to check that everything runs; its scores are meaningless.",
)

register_task(
    "element_finder",
    version=1,
    summary="Report the element at a queried position: 26 steps, one answer at the end.",
    citation="Costacurta et al. (2024), Structured flexibility in recurrent neural networks via neuromodulation, NeurIPS.",
    tags=("memory", "selection", "paper"),
    spec=SequenceSpec(steps=STEPS, inputs={"sensory": ArraySpec(1)}, outputs=ArraySpec(1)),
    training={"train": Sampler(sample)},
    draw_set=draw_set,
    set_sizes=SET_SIZES,
    unpack=unpack,
    metrics=(
        Metric(
            name="mse",
            per_trial=_squared_error,
            higher_is_better=False,
            floor=CHANCE_MSE,
            ceiling=0.0,
            conditions=lambda arrays: arrays["query"],
            condition_name="query",
            threshold=1.0,
        ),
        Metric(name="exact_match", per_trial=_exact_match, higher_is_better=True, floor=CHANCE_MATCH, ceiling=1.0),
    ),
    default_budget=500,
    protocols=(_MATCHED, _PAPER, _PAPER_CODE, _SMOKE),
    epochs=epochs,
    references={
        "chance (always 0)": _constant(0.0),
        "perfect": lambda arrays: unpack(arrays).targets,
    },
)
