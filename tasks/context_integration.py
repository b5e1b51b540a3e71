"""Context-dependent integration: choose by one of two noisy streams of evidence (Mante, Sussillo, Shenoy, Newsome 2013).

Motion and colour are two streams of 75 steps: a constant coherence, positive for right and negative for left, plus normal
noise at every step. The context input says for the whole trial which stream is relevant. The network must choose left or
right at the end. With u_c the relevant stream, the right choice is that of an ideal observer, who can do no better than to
sum: right if the sum of u_c over all steps is positive, left otherwise.

A trial has 5 steps of context only, 75 steps of evidence, and 5 steps of response, in which the answer counts; the choice
is the larger output at the last step. In training and validation, context and both coherences are random; coherences are
uniform on -0.1875..0.1875. In test, the relevant coherence takes the published values +-0.009, +-0.036 and +-0.15, and
the irrelevant coherence these and +-0.3 and +-0.6, all combinations in both contexts. Trials whose irrelevant coherence
is stronger than any in training are extrapolated, all others trained; no coherence is interpolated, because training has
all of its range. The sum of an irrelevant stream is at most about 14 + 3 x 2.7 = 22 in training (the strongest coherence
plus three standard deviations of the noise); in extrapolated trials it is about 22 or 45.

Published (supplement of the paper, model): two streams and two context inputs; 750 ms of evidence; coherences of training
and test, except 0.3 and 0.6; noise with a standard deviation of 1 in a step of 1 ms. Here a step is the mean of 10 ms, so
that the noise has a standard deviation of 1/sqrt(10). Not published, filled in: the stronger irrelevant coherences, the
steps before and after the evidence, evidence in units of 1/64, the loss (published: a squared error of one output) and
the ideal observer's choice as target (with low coherences, the noise often points to the other side). The noise inside
the published network is part of a model, not of the task.

The loss is the cross-entropy of two outputs, left and right. A squared error would also demand a fixed size of the
output, and would punish a network whose output grows with the evidence, as that of a perfect integrator does.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from nmbench import ArraySpec, Batch, Metric, Phase, Protocol, Sampler, SequenceSpec, one_hot, register_task

Arrays = Mapping[str, np.ndarray]

BEFORE, EVIDENCE, RESPONSE = 5, 75, 5
STEPS = BEFORE + EVIDENCE + RESPONSE
STREAMS = ("motion", "colour")
NOISE = 0.1**0.5
STRONGEST = 0.1875  # coherence in training
RELEVANT = (0.009, 0.036, 0.15)
IRRELEVANT = (*RELEVANT, 0.3, 0.6)
# Evidence is (k + 1/2) / 64 with an integer k from -128 to 127: one byte, and an odd number of such values never sums to 0.
UNIT = 64
# Data seeds depend on neither the model nor its seed.
SET_SEEDS = {"validation": 20261221, "test": 20261222}
REPEATS = 30
SET_SIZES = {"validation": 1000, "test": REPEATS * 2 * (2 * len(RELEVANT)) * (2 * len(IRRELEVANT))}


def sample(key, batch_size: int) -> Batch:
    """New trials on the device.

    Inputs are `{"sensory": [85, B, 2], "context": [85, B, 2]}`, targets `[85, B]`, 0 for left and 1 for right; mask
    `[85, 1, 1]`.
    """
    for_context, for_coherence, for_noise = jax.random.split(key, 3)
    context = jax.random.randint(for_context, (batch_size,), 0, 2)
    coherence = jax.random.uniform(for_coherence, (batch_size, 2), minval=-STRONGEST, maxval=STRONGEST)
    noise = jax.random.normal(for_noise, (EVIDENCE, batch_size, 2))
    return _batch(jnp, _counts(jnp, coherence[None] + NOISE * noise), context)


def draw_set(split: str) -> dict[str, np.ndarray]:
    """Draw a frozen set.

    It uses a RandomState because NumPy guarantees that its stream never changes.

    Returns:
      A dict. evidence: int8 `[75, B, 2]`, k of (k + 1/2) / 64, motion and colour; context: int8 `[B]`, index of the relevant
      stream; motion, colour: float64 `[B]`, coherences.
    """
    random = np.random.RandomState(SET_SEEDS[split])
    trials = SET_SIZES[split]
    if split == "test":
        signed = [np.concatenate([np.negative(levels), levels]) for levels in (RELEVANT, IRRELEVANT)]
        grid = np.meshgrid((0, 1), *signed, np.arange(REPEATS), indexing="ij")
        context, relevant, irrelevant = (a.ravel() for a in grid[:3])
        coherence = np.where(context[:, None] == (0, 1), relevant[:, None], irrelevant[:, None])
    else:
        # An explicit dtype, because the default dtype, and with it the stream, depends on the platform.
        context = random.randint(0, 2, trials, dtype=np.int64)
        coherence = STRONGEST * (2 * random.random_sample((trials, 2)) - 1)
    evidence = _counts(np, coherence[None] + NOISE * random.standard_normal((EVIDENCE, trials, 2)))
    return {
        "evidence": evidence.astype(np.int8),
        "context": context.astype(np.int8),
        **dict(zip(STREAMS, coherence.T, strict=True)),
    }


def unpack(arrays: Arrays) -> Batch:
    """Inputs, targets and mask of a frozen set, with the shapes of `sample`; targets are integers, all else float32."""
    return _batch(np, arrays["evidence"], arrays["context"])


def _counts(xp, evidence):
    """The integers k for which (k + 1/2) / 64 is closest to the evidence."""
    return xp.clip(xp.floor(UNIT * evidence), -128, 127)


def _batch(xp, counts, context) -> Batch:
    stream = (counts.astype(xp.float32) + 0.5) / UNIT
    sensory = xp.pad(stream, ((BEFORE, RESPONSE), (0, 0), (0, 0)))
    shown = xp.broadcast_to(one_hot(context, 2)[None], sensory.shape)
    total = stream.sum(axis=0)  # exact: multiples of 1/128
    right = xp.where(context == 0, total[:, 0], total[:, 1]) > 0
    targets = xp.broadcast_to(right[None].astype(xp.int32), sensory.shape[:2])
    mask = (np.arange(STEPS) >= STEPS - RESPONSE).astype(np.float32)[:, None, None]
    return Batch({"sensory": sensory, "context": shown}, targets, mask)


def _totals(arrays: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the evidence of the relevant stream and of the irrelevant one, in units of 1/128, never 0, `[B]` each."""
    totals = (2 * arrays["evidence"].astype(np.int64) + 1).sum(axis=0)
    return _by_relevance(arrays, totals)


def _coherences(arrays: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Coherence of the relevant stream and of the irrelevant one, `[B]` each."""
    return _by_relevance(arrays, np.stack([arrays[name] for name in STREAMS], axis=1))


def _by_relevance(arrays: Arrays, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    trials, context = np.arange(len(values)), arrays["context"].astype(np.int64)
    return values[trials, context], values[trials, 1 - context]


def _chooses_right(predictions: np.ndarray) -> np.ndarray:
    return predictions[-1, :, 1] > predictions[-1, :, 0]


def _error(predictions: np.ndarray, arrays: Arrays) -> np.ndarray:
    """1 if the choice differs from that of the ideal observer, the sign of the sum of the relevant evidence; else 0."""
    return (_chooses_right(predictions) != (_totals(arrays)[0] > 0)).astype(np.float64)


def _accuracy(predictions: np.ndarray, arrays: Arrays) -> np.ndarray:
    """1 if the choice has the sign of the relevant coherence, else 0. Because of the noise, the ideal observer errs, too."""
    return (_chooses_right(predictions) == (_coherences(arrays)[0] > 0)).astype(np.float64)


def _extrapolated(arrays: Arrays) -> np.ndarray:
    """Trials with an irrelevant stream stronger than in training."""
    return np.abs(_coherences(arrays)[1]) > STRONGEST


def _trained(arrays: Arrays) -> np.ndarray:
    """Trials with an irrelevant stream no stronger than in training."""
    return ~_extrapolated(arrays)


def _incongruent(arrays: Arrays) -> np.ndarray:
    """Trials in which the sums of the two streams have opposite signs. An error then chooses the irrelevant one."""
    relevant, irrelevant = _totals(arrays)
    return (relevant > 0) != (irrelevant > 0)


def _labels(arrays: Arrays, coherence: np.ndarray) -> np.ndarray:
    """Context and coherence of each trial, such as "motion -0.15"."""
    pairs = zip(arrays["context"], coherence, strict=True)
    return np.array([f"{STREAMS[context]} {value:.3g}" for context, value in pairs])


def _logits(right: np.ndarray) -> np.ndarray:
    """Outputs `[85, B, 2]` from evidence for right, `[B]` or `[85, B]`."""
    right = np.broadcast_to(right, (STEPS, np.shape(right)[-1])).astype(np.float64)
    return np.stack([-right, right], axis=2)


def _sum_of_both(arrays: Arrays) -> np.ndarray:
    relevant, irrelevant = _totals(arrays)
    return _logits(relevant + irrelevant)


def _last_steps(arrays: Arrays, steps: int) -> np.ndarray:
    return _logits(_totals({**arrays, "evidence": arrays["evidence"][-steps:]})[0])


REFERENCES = {
    "chance (equal outputs)": lambda arrays: np.zeros((STEPS, len(arrays["context"]), 2)),
    "the other stream": lambda arrays: _logits(_totals(arrays)[1]),
    "sum of both streams": _sum_of_both,
    "last 10 steps of the relevant stream": lambda arrays: _last_steps(arrays, 10),
    "last 50 steps of the relevant stream": lambda arrays: _last_steps(arrays, 50),
    "ideal observer": lambda arrays: _logits(_totals(arrays)[0]),
}


def epochs(arrays: Arrays, trial: int) -> list[tuple[str, int, int]]:
    """The epochs of a trial in order, as (name, first step, step after the last); the same in all trials."""
    del arrays, trial
    return [("context", 0, BEFORE), ("evidence", BEFORE, BEFORE + EVIDENCE), ("response", BEFORE + EVIDENCE, STEPS)]


def _metrics(test: Arrays) -> tuple[Metric, ...]:
    """The metrics. The floor is the value of the sum of both streams, which ignores the context, on the same trials.

    A sum of both streams errs on about a quarter of the trials with equally strong streams, so with chance as floor it would
    score 50; on extrapolated trials it follows the irrelevant stream, and its error is that of chance. The threshold of the
    primary metric, an error of 0.05, needs near-perfect integration and selection: on these trials, a sum that forgets with
    a time constant of 50 steps errs on 0.06, one that adds 2% of the irrelevant stream on 0.046. Errors are counted against
    the ideal observer's choices, so that a perfect answer has no error in spite of the noise. The ceiling of `accuracy` is
    the ideal observer's accuracy on the test trials.
    """
    both, ideal = _sum_of_both(test), REFERENCES["ideal observer"](test)
    error = lambda name, subset, **more: Metric(
        name=name,
        per_trial=_error,
        higher_is_better=False,
        floor=float(_error(both, test)[slice(None) if subset is None else subset(test)].mean()),
        ceiling=0.0,
        subset=subset,
        share_of_trials=True,
        **more,
    )
    return (
        error("error_extrapolated", _extrapolated, threshold=0.05),
        error("error_trained", _trained),
        error("error", None),
        Metric(
            name="accuracy",
            per_trial=_accuracy,
            higher_is_better=True,
            floor=float(_accuracy(both, test).mean()),
            ceiling=float(_accuracy(ideal, test).mean()),
            conditions=lambda arrays: _labels(arrays, _coherences(arrays)[0]),
            condition_name="relevant coherence",
        ),
        error(
            "error_incongruent",
            _incongruent,
            conditions=lambda arrays: _labels(arrays, _coherences(arrays)[1]),
            condition_name="irrelevant coherence",
        ),
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
    "context_integration",
    version=1,
    summary="Choose by the sum of one of two noisy streams, which a context input names; the other one may be strong.",
    citation="Mante, Sussillo, Shenoy, Newsome (2013). Context-dependent computation by recurrent dynamics in prefrontal "
    "cortex. Nature 503.",
    tags=("decision", "context", "integration"),
    spec=SequenceSpec(
        steps=STEPS,
        inputs={"sensory": ArraySpec(2, names=STREAMS), "context": ArraySpec(2, names=STREAMS)},
        outputs=ArraySpec(2, names=("left", "right")),
    ),
    training={"train": Sampler(sample)},
    draw_set=draw_set,
    set_sizes=SET_SIZES,
    unpack=unpack,
    loss="cross_entropy",
    metrics=_metrics(draw_set("test")),
    default_budget=1000,
    protocols=(_MATCHED, _SMOKE),
    references=REFERENCES,
    epochs=epochs,
)
