"""The semilinear LSTM, compared with a plain loop and with the conversion of a linearised NM-RNN by Proposition 1."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nmbench.contracts.catalog import BASELINES
from nmbench.contracts.specs import ArraySpec, SequenceSpec
from nmbench.paper.theory import network, semilinear

SPEC = SequenceSpec(9, {"sensory": ArraySpec(3), "context": ArraySpec(2)}, ArraySpec(2))

# Compiles without LLVM's optimisations, which take longer than the computation.
quick = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def loop(p, u, h, c):
    """Outputs `[T, O]` of one trial `[T, P]`, from Eqs. 4-6 with u'_t = [u_t; u_{t-1}], or u_t if W_u has two axes."""
    before, ys = np.zeros(u.shape[1]), []
    W_u, W_v = p["W_u"] if p["W_u"].ndim == 3 else (p["W_u"], 0 * p["W_u"])
    for u_t in u:
        f, i, g, o = np.split(W_u @ u_t + W_v @ before + p["W_h"] @ h + p["b"][:, 0], 4)
        c = sigmoid(f) * c + sigmoid(i) * g
        h = o * c
        before = u_t
        ys.append(p["C"] @ h + p["d"][:, 0])
    return np.array(ys)


def built(drawn_start, previous_input, remat=False, spec=SPEC, N=6):
    baseline = BASELINES.get("semilinear_lstm")
    model = baseline.build(
        spec, {**baseline.hparams, "N": N, "drawn_start": drawn_start, "previous_input": previous_input}, remat=remat
    )
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    random = np.random.RandomState(1)
    (leaves,) = jax.tree.map(lambda leaf: 0.3 * random.randn(*leaf.shape), shapes).values()
    return model, leaves


def outputs(model, leaves, inputs, dtype):
    params = {"semilinear_lstm": {name: jnp.asarray(leaf, dtype) for name, leaf in leaves.items()}}
    return np.asarray(quick(model.apply)(params, jax.tree.map(lambda a: jnp.asarray(a, dtype), inputs)))


@pytest.mark.parametrize(
    ("dtype", "tolerance", "drawn_start", "previous_input"),
    [(np.float32, 1e-5, False, False), (np.float64, 1e-12, False, True), (np.float64, 1e-12, True, False)],
)
def test_cell_equals_a_numpy_loop(dtype, tolerance, drawn_start, previous_input):
    random = np.random.RandomState(0)
    inputs = {"sensory": random.randn(9, 4, 3), "context": random.randn(9, 4, 2)}
    u = np.concatenate([inputs["context"], inputs["sensory"]], axis=2)
    with jax.enable_x64(dtype == np.float64):
        model, leaves = built(drawn_start, previous_input)
        found = outputs(model, leaves, inputs, dtype)
    assert found.dtype == dtype
    h, c = (leaves[f"fixed_{n}0"][:, 0] if drawn_start else np.full(6, 0.1) for n in "hc")
    expected = np.stack([loop(leaves, u[:, b], h, c) for b in range(4)], axis=1)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def test_recomputing_activations_changes_nothing():
    """Segments have three steps and pass on the previous input; losses and gradients are compared in float64."""
    random = np.random.RandomState(0)
    inputs = {"sensory": jnp.asarray(random.randn(9, 4, 3)), "context": jnp.asarray(random.randn(9, 4, 2))}
    with jax.enable_x64(True):
        results = []
        for remat in (False, True):
            model, leaves = built(False, True, remat)
            loss = lambda p, model=model: jnp.sum(model.apply({"semilinear_lstm": p}, inputs) ** 2)
            results.append(quick(jax.value_and_grad(loss))(jax.tree.map(jnp.asarray, leaves)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), *results)


def test_parameters_from_proposition_1_reproduce_the_network():
    """With the parameters of a converted network, the model has the network's outputs one step later."""
    random = np.random.RandomState(3)
    n = network.draw(random, N=12, M=3, K=2, P=2, O=2, tau_z=4.0)
    lstm, _ = semilinear.convert(n)
    H, P = 7, 2
    u = random.randn(9, 4, P)
    W = np.concatenate([lstm.W_f, lstm.W_i, lstm.W_c, lstm.W_o])
    b = np.concatenate([lstm.b_f, lstm.b_i, lstm.b_c, lstm.b_o])
    leaves = {
        "W_h": W[:, :H],
        "W_u": np.stack([W[:, H : H + P], W[:, H + P :]]),
        "b": b[:, None],
        "C": lstm.C,
        "d": lstm.d[:, None],
    }
    leaves |= {"fixed_h0": lstm.h_start[:, None], "fixed_c0": lstm.c_start[:, None]}
    spec = dataclasses.replace(SPEC, inputs={"sensory": ArraySpec(P)})
    with jax.enable_x64(True):
        model, like = built(True, True, spec=spec, N=H)
        assert {name: leaf.shape for name, leaf in leaves.items()} == {name: leaf.shape for name, leaf in like.items()}
        found = outputs(model, leaves, {"sensory": u}, np.float64)
    np.testing.assert_allclose(found[1:], n.run(u).y[:-1], rtol=0, atol=1e-12)


def test_initial_standard_deviations_keep_outputs_bounded():
    """f and i start with the LSTM's standard deviations, g and o with a tenth (five standard errors); outputs stay bounded.

    h is a product of two linear functions of h. If all four started as in the LSTM, it would overflow on inputs of size 10.
    """
    baseline, N = BASELINES.get("semilinear_lstm"), 50
    model = baseline.build(SPEC, {**baseline.hparams, "N": N})
    (p,) = jax.tree.map(np.asarray, quick(model.init)(jax.random.key(0, impl="rbg"))).values()
    for name, stddev in {"W_u": 5**-0.5, "W_h": N**-0.5, "b": N**-0.5, "C": N**-0.5}.items():
        halves = [(p[name], 1.0)] if name == "C" else [(p[name][: 2 * N], 1.0), (p[name][2 * N :], 0.1)]
        for half, part in halves:
            np.testing.assert_allclose(half.std(), part * stddev, rtol=5 / np.sqrt(2 * half.size), err_msg=name)
    p = {name: leaf.astype(float) for name, leaf in p.items()}
    u = 10 * np.random.RandomState(0).randn(26, 5)
    with np.errstate(over="ignore", invalid="ignore"):
        assert 0.1 < np.abs(loop(p, u, np.full(N, 0.1), np.full(N, 0.1))).max() < 100
        full = {name: np.concatenate([a[: 2 * N], 10 * a[2 * N :]]) if len(a) == 4 * N else a for name, a in p.items()}
        assert not np.abs(loop(full, u, np.full(N, 0.1), np.full(N, 0.1))).max() < 1e8
