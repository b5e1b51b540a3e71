"""Proposition 1: the corrected construction reproduces the network, the printed one does not, and hypotheses are checked."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nmbench.contracts.catalog import BASELINES
from nmbench.contracts.specs import ArraySpec, SequenceSpec
from nmbench.paper.theory import network as networks
from nmbench.paper.theory import semilinear, synthetic
from nmbench.support.errors import NmbenchError

TOLERANCE = 1e-12


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def equations_1_to_3(n, u):
    """z and y of one trial `[T, P]` by the update that the supplement prints, with its factor 1/N."""
    N, tau = len(n.x_start), n.tau_z
    x, z, zs, ys = n.x_start, n.z_start, [], []
    for u_t in u:
        z = ((1 - 1 / tau) * np.eye(len(z)) + n.W_z / tau) @ z + (n.B_zx @ x + n.B_z @ u_t) / tau
        x = n.L @ np.diag(sigmoid(n.A_z @ z + n.b_z)) @ n.R.T @ x / N + n.B_x @ u_t
        zs.append(z)
        ys.append(n.C @ x + n.d)
    return np.array(zs), np.array(ys)


def equations_4_to_6(lstm, u):
    """h of one trial, u `[T, P]`, with u'_t = [u_t; u_{t-1}]."""
    h, c, before, hs = lstm.h_start, lstm.c_start, np.zeros(u.shape[1]), []
    for u_t in u:
        seen = np.concatenate([h, u_t, before])
        f, i = sigmoid(lstm.W_f @ seen + lstm.b_f), sigmoid(lstm.W_i @ seen + lstm.b_i)
        c = f * c + i * (lstm.W_c @ seen + lstm.b_c)
        h = (lstm.W_o @ seen + lstm.b_o) * c
        before = u_t
        hs.append(h)
    return np.array(hs)


def errors(n, lstm, W_zh, u):
    """Largest differences in z, and in y one step later, by the loops above."""
    z, y = equations_1_to_3(n, u)
    h = equations_4_to_6(lstm, u)
    return np.abs(h @ W_zh.T - z).max(), np.abs(h[1:] @ lstm.C.T + lstm.d - y[:-1]).max()


def instance(seed=0, **sizes):
    random = np.random.RandomState(seed)
    n = networks.draw(random, **{**synthetic.LONG_SIZES, **sizes}, tau_z=5.0)
    return n, random.randn(200, n.sizes["P"])


def test_random_instances_and_sizes_are_reproduced():
    rows = synthetic.proposition(300, seed=1)
    assert [row[1] for row in rows] == [20, 200]
    for _, _, z, y in rows:
        assert 0 < z < TOLERANCE and 0 < y < TOLERANCE


def test_loops_written_from_the_equations_agree():
    """Loops that use only the parameters agree in shapes, in z and, one step later, in y."""
    random = np.random.RandomState(2)
    for _ in range(20):
        sizes = synthetic.draw_sizes(random)
        n = networks.draw(random, **sizes, tau_z=random.uniform(1, 20))
        lstm, W_zh = semilinear.convert(n)
        u = random.randn(30, sizes["P"])
        H = sizes["K"] + sizes["M"] + sizes["P"]
        assert lstm.W_o.shape == (H, H + 2 * sizes["P"]) and lstm.b_f.shape == lstm.h_start.shape == (H,)
        assert max(errors(n, lstm, W_zh, u)) < TOLERANCE
        z, y = equations_1_to_3(n, u)
        states = n.run(u[:, None])
        np.testing.assert_allclose(states.z[:, 0], z, rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(states.y[:, 0], y, rtol=0, atol=TOLERANCE)
        h = lstm.run(semilinear.lagged(u[:, None]))
        np.testing.assert_allclose(h[:, 0], equations_4_to_6(lstm, u), rtol=0, atol=TOLERANCE)


def test_the_hidden_state_contains_the_previous_network_state():
    """Eq. 7 and the corrected Eq. 9: h_t = [w_{t-1} / 2; m_t; u_{t-1}], with w = R^T x / N."""
    n, u = instance()
    lstm, _ = semilinear.convert(n)
    h, x = lstm.run(semilinear.lagged(u[:, None]))[:, 0], n.run(u[:, None]).x[:, 0]
    K, M = n.sizes["K"], n.sizes["M"]
    np.testing.assert_allclose(h[1:, :K], x[:-1] @ n.R / len(n.x_start) / 2, rtol=0, atol=TOLERANCE)
    np.testing.assert_array_equal(h[1:, K + M :], u[:-1])


def test_the_construction_as_printed_fails():
    """Either of the two mistakes alone breaks it; with both corrected it is exact. The initial state is always corrected."""
    variants = {
        "printed": {},
        "without the bias": {"half": True},
        "without the half": {"bias": True},
        "both corrected": {"half": True, "bias": True},
    }
    found = {name: [] for name in variants}
    for seed in range(10):
        n, u = instance(seed)
        z, y = n.run(u[:, None]).z, n.run(u[:, None]).y
        for name, fixed in variants.items():
            lstm, W_zh = semilinear.as_printed(n, **fixed)
            h = lstm.run(semilinear.lagged(u[:, None]))
            found[name].append((np.abs(h @ W_zh.T - z).max(), np.abs(h[1:] @ lstm.C.T + lstm.d - y[:-1]).max()))
            if not fixed.get("bias"):  # o = 0 for the first K rows: h does not contain w
                np.testing.assert_array_equal(h[..., : n.sizes["K"]], 0)
    assert np.max(found["both corrected"]) < TOLERANCE
    # Outputs and states are of order one, and so are the largest errors. Without w in h, the factor of w does not matter.
    np.testing.assert_allclose(np.median(found["printed"], axis=0), [1.05, 1.02], atol=0.01)
    np.testing.assert_array_equal(found["printed"], found["without the bias"])
    assert np.min(found["printed"]) > 0.3
    assert np.min(found["without the half"], axis=0)[0] > 0.2


def test_the_printed_start_is_wrong_unless_x_starts_at_zero():
    """w_{-1} = 0 "by convention" is correct only for a network that starts at x = 0."""
    n, u = instance()
    lstm, W_zh = semilinear.convert(n)
    zero = np.where(np.arange(len(lstm.c_start)) < n.sizes["K"], 0.0, lstm.c_start)
    assert errors(n, dataclasses.replace(lstm, c_start=zero), W_zh, u)[0] > 0.1
    still = dataclasses.replace(n, x_start=np.zeros(len(n.x_start)))
    lstm, W_zh = semilinear.convert(still)
    np.testing.assert_array_equal(lstm.c_start, zero)
    assert max(errors(still, lstm, W_zh, u)) < TOLERANCE


def test_q_is_large_enough_if_it_saturates_the_sigmoid():
    """The printed condition, Q much larger than |A_z z|, is unnecessary: sigmoid(Q) = 1 in float64 from 37 on."""
    n, u = instance()
    n = dataclasses.replace(n, b_z=n.b_z + 100, A_z=0 * n.A_z)  # gates all open: |A_z z + b_z| is far above 37
    lstm, W_zh = semilinear.convert(n)
    K = n.sizes["K"]
    held = {q: dataclasses.replace(lstm, b_f=np.where(np.arange(len(lstm.b_f)) < K, lstm.b_f, q), b_c=0 * lstm.b_c)
            for q in (20.0, 37.0)}  # fmt: skip
    assert sigmoid(37.0) == 1
    assert max(errors(n, held[37.0], W_zh, u)) < 1e-11
    assert max(errors(n, held[20.0], W_zh, u)) > 1e-8


REFUSED = {
    "R not orthonormal": (lambda n: {"L": 1.001 * n.L, "R": 1.001 * n.R}, "R^T R times the prefactor"),
    "orthonormal, but with the prefactor 1/N": (
        lambda n: {"L": n.L / len(n.L) ** 0.5, "R": n.R / len(n.L) ** 0.5},
        "the difference is up to 0.975",
    ),
    "columns not orthogonal": (
        lambda n: {k: n.R @ np.array([[1, 0.1, 0], [0, 1, 0], [0, 0, 1]]) for k in "LR"},
        "R^T R times",
    ),
    "L not R": (lambda n: {"L": n.L + 1e-6}, "tied factors, L = R; here they differ by up to 1e-06"),
    "start outside the span": (lambda n: {"x_start": n.x_start + np.eye(len(n.L))[0]}, "an initial x in the span of R"),
    "leak": (lambda n: {"tau_x": 2.0}, "without a leak, tau_x = 1"),
    "tanh in x": (lambda n: {"phi_x": np.tanh}, "applies a nonlinear function to x"),
    "tanh in z": (lambda n: {"phi_z": np.tanh}, "applies a nonlinear function to z"),
    "closed gate": (lambda n: {"b_z": n.b_z - 1000}, "is not a finite number"),
}


@pytest.mark.parametrize("label", REFUSED)
def test_broken_hypotheses_are_refused_with_the_reason(label):
    n, u = instance()
    change, message = REFUSED[label]
    broken = dataclasses.replace(n, **change(n))
    for refuse in (lambda: semilinear.convert(broken), lambda: semilinear.reproduce(broken, u[:, None])):
        with pytest.raises(NmbenchError) as caught:
            refuse()
        assert message in str(caught.value) and "\n" not in str(caught.value)


def test_malformed_networks_and_inputs_are_refused():
    n, _ = instance()
    for change, message in [
        ({"A_z": n.A_z[:, :-1]}, "A_z has shape (3, 6), not [K, M] = (3, 7)"),
        ({"B_z": n.B_z[0]}, "B_z has shape (4,), not [M, P] = (7, 4)"),
        ({"d": n.d * np.nan}, "d contains numbers that are not finite"),
        ({"tau_z": 0.5}, "tau_z is a time constant in steps and must be at least 1, got 0.5"),
        ({"prefactor": np.inf}, "prefactor"),
    ]:
        with pytest.raises(NmbenchError) as caught:
            dataclasses.replace(n, **change)
        assert message in str(caught.value)
    for u in (np.zeros((5, 2, 3)), np.zeros((0, 2, 4)), np.zeros((5, 4)), np.full((5, 2, 4), np.inf)):
        with pytest.raises(NmbenchError, match="inputs"):
            n.run(u)


def test_a_start_outside_the_span_matters_only_through_feedback():
    n, u = instance()
    away = dataclasses.replace(n, x_start=n.x_start + 1)
    back = semilinear.start_in_span(away)
    assert max(semilinear.reproduce(back, u[:, None])[:2]) < TOLERANCE
    assert np.abs(away.run(u[:, None]).z - back.run(u[:, None]).z).max() > 0.01
    without = dataclasses.replace(away, B_zx=None)
    for a, b in zip(without.run(u[:, None]), semilinear.start_in_span(without).run(u[:, None]), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE)


SPEC = SequenceSpec(12, {"sensory": ArraySpec(3), "context": ArraySpec(2)}, ArraySpec(2))


@pytest.mark.parametrize(
    "options",
    [
        {"tau_x": 1.0, "linear_z": True, "feedback": True},
        {"tau_x": 2.0, "tau_z": 4.0, "orthonormal": False, "drawn_start": True},
    ],
)
def test_parameters_of_the_haiku_model_are_read(options):
    """The network with the model's parameters has the model's float64 outputs, and is converted if the hypotheses hold."""
    baseline = BASELINES.get("nmrnn_linear")
    hparams = {**baseline.hparams, "N": 9, "M": 4, "K": 2, **options}
    random = np.random.RandomState(0)
    inputs = {"sensory": random.randn(12, 5, 3), "context": random.randn(12, 5, 2)}
    with jax.enable_x64(True):
        model = baseline.build(SPEC, hparams)
        shapes = jax.eval_shape(model.init, jax.random.key(0))
        params = jax.tree.map(lambda leaf: random.randn(*leaf.shape) / leaf.shape[1] ** 0.5, shapes)
        outputs = np.asarray(jax.jit(model.apply)(params, jax.tree.map(jnp.asarray, inputs)))
    n = networks.from_parameters(params, hparams, SPEC)
    u = np.concatenate([inputs["context"], inputs["sensory"]], axis=2)
    np.testing.assert_allclose(n.run(u).y, outputs, rtol=0, atol=TOLERANCE)
    if options["tau_x"] == 1:
        result = semilinear.reproduce(semilinear.start_in_span(n), u)
        assert result.hidden == 2 + 4 + 5 and max(result[:2]) < TOLERANCE
    (leaves,) = params.values()
    nested = {"params": {"cell": leaves}}  # as in Flax
    for wrong in (
        {"a": leaves, "b": leaves},
        {"a": {**leaves, "R": leaves["L"]}},
        {"a": {"L": leaves["L"]}},
        {},
        nested,
        [1],
    ):
        with pytest.raises(NmbenchError, match="not the parameters of nmrnn_linear"):
            networks.from_parameters(wrong, hparams, SPEC)
    with pytest.raises(NmbenchError, match="'tau_x' is missing"):
        networks.from_parameters(params, {k: v for k, v in hparams.items() if k != "tau_x"}, SPEC)
