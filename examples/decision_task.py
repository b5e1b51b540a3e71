"""A decision with cross-entropy: which of three noisy channels is the largest on average, reported after a go cue.

The outputs are the logits of the three classes. The frozen sets in testsets/ were made by
`python -m nmbench.freeze --plugin=examples/decision_task.py --task=noisy_choice`.
"""

import jax
import numpy as np

from nmbench import (
    ArraySpec,
    Batch,
    Metric,
    Phase,
    Protocol,
    Sampler,
    SequenceSpec,
    accuracy,
    cross_entropy,
    one_hot,
    register_task,
)

STEPS, GO, CLASSES = 20, 15, 3  # the answer counts from step GO on
COHERENCES = np.array([0.25, 0.5, 1.0], np.float32)  # mean of the largest channel; the noise has standard deviation 1
SETS = {"validation": (20261201, 200), "test": (20261202, 500)}  # seed and number of trials


def _batch(evidence, labels) -> Batch:
    """Inputs, targets and mask from evidence `[T, B, classes]` and labels `[B]`, of NumPy or JAX."""
    go = (np.arange(STEPS) >= GO).astype(np.float32).reshape(STEPS, 1, 1)
    right = labels[None, :] + np.zeros((STEPS, 1), np.int32)  # the right class at every step, [T, B]
    return Batch({"go": 0 * evidence[..., :1] + go, "sensory": evidence}, right, go)


def sample(key, batch_size: int) -> Batch:
    """New trials on the device."""
    keys = jax.random.split(key, 3)
    labels = jax.random.randint(keys[0], (batch_size,), 0, CLASSES)
    coherence = jax.random.choice(keys[1], COHERENCES, (batch_size, 1))
    noise = jax.random.normal(keys[2], (STEPS, batch_size, CLASSES))
    return _batch(noise + (coherence * one_hot(labels, CLASSES))[None], labels)


def draw_set(split: str) -> dict[str, np.ndarray]:
    """A frozen set, int8: `evidence` `[T, B, classes]` in units of 1/32, `labels` `[B]`, `coherence` `[B]`, an index."""
    seed, trials = SETS[split]
    random = np.random.RandomState(seed)
    labels, index = random.randint(0, CLASSES, trials), random.randint(0, len(COHERENCES), trials)
    evidence = random.standard_normal((STEPS, trials, CLASSES)) + COHERENCES[index][:, None] * one_hot(labels, CLASSES)
    evidence = np.clip(np.round(32 * evidence), -128, 127)
    return {name: a.astype(np.int8) for name, a in (("evidence", evidence), ("labels", labels), ("coherence", index))}


def unpack(arrays) -> Batch:
    """Model inputs, targets and mask of a frozen set."""
    return _batch(arrays["evidence"].astype(np.float32) / 32, arrays["labels"].astype(np.int32))


def _of_targets(metric):
    """A metric of classes as a function of predictions and the arrays of a frozen set."""

    def per_trial(predictions, arrays) -> np.ndarray:
        batch = unpack(arrays)
        return metric(predictions, {"targets": batch.targets, "mask": batch.mask})

    return per_trial


def _coherence(arrays) -> np.ndarray:
    return COHERENCES[arrays["coherence"]]


register_task(
    "noisy_choice",
    version=1,
    summary="Report which of three noisy channels is the largest on average.",
    citation="none",
    tags=("decision", "example"),
    spec=SequenceSpec(STEPS, {"go": ArraySpec(1), "sensory": ArraySpec(CLASSES)}, ArraySpec(CLASSES)),
    training={"train": Sampler(sample)},
    draw_set=draw_set,
    set_sizes={split: trials for split, (_, trials) in SETS.items()},
    unpack=unpack,
    loss="cross_entropy",
    metrics=(
        Metric(
            "accuracy",
            _of_targets(accuracy),
            higher_is_better=True,
            floor=1 / CLASSES,
            ceiling=1.0,
            conditions=_coherence,
            condition_name="coherence",
        ),
        Metric(
            "cross_entropy", _of_targets(cross_entropy), higher_is_better=False, floor=float(np.log(CLASSES)), ceiling=0.0
        ),
    ),
    default_budget=546,  # suits all models
    protocols=(
        Protocol(
            name="matched",
            phases=(Phase(steps=3_000, batch_size=64, schedule="cosine", clip_norm=1.0),),
            learning_rate_grid=(1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
            summary="Adam, cosine decay, gradients clipped to norm 1, learning rate tuned.",
        ),
        Protocol(name="smoke", phases=(Phase(steps=20, batch_size=16),), validate_every=10, summary="Twenty steps."),
    ),
    references={  # logits
        "chance (equal logits)": lambda arrays: np.zeros(arrays["evidence"].shape),
        "sum of all evidence so far": lambda arrays: np.cumsum(unpack(arrays).inputs["sensory"], axis=0),
        "evidence of the last step": lambda arrays: unpack(arrays).inputs["sensory"],
        "perfect": lambda arrays: 1e3 * one_hot(unpack(arrays).targets, CLASSES),
    },
)
