"""Fixed points of systems with known fixed points."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nmbench import register_baseline
from nmbench.analysis import Network, Observer, find_fixed_points, fixed_points
from nmbench.contracts.catalog import BASELINES
from nmbench.contracts.specs import ArraySpec, SequenceSpec
from nmbench.support.errors import NmbenchError

STARTS = np.random.RandomState(0).randn(30, 2)


def test_a_diagonal_linear_network_has_one_fixed_point_with_its_own_eigenvalues():
    step = lambda x: jnp.array([0.5, -0.25]) * x + jnp.array([1.0, 5.0])
    found = find_fixed_points(step, STARTS)
    assert len(found) == 1 and found.fixed.all() and found.kinds == ("stable",)
    np.testing.assert_allclose(found.points, [[2, 4]], atol=1e-8)
    np.testing.assert_allclose(found.eigenvalues, [[0.5, -0.25]])


def test_a_double_well_has_two_stable_points_and_a_saddle():
    # The map (x + 0.1 (x - x^3), 0.5 y) is fixed at x = -1, 0, 1; its derivative in x is 1 + 0.1 (1 - 3 x^2).
    step = lambda x: jnp.array([x[0] + 0.1 * (x[0] - x[0] ** 3), 0.5 * x[1]])
    found = find_fixed_points(step, STARTS)
    kinds = {round(point[0]): kind for point, kind in zip(found.points, found.kinds, strict=True)}
    assert kinds == {-1: "stable", 0: "saddle", 1: "stable"} and len(found) == 3
    slopes = {round(point[0]): values[0].real for point, values in zip(found.points, found.eigenvalues, strict=True)}
    assert slopes == pytest.approx({-1: 0.8, 0: 1.1, 1: 0.8})


def test_a_line_attractor_is_many_marginal_points_on_one_line():
    step = lambda x: x + 0.2 * (jnp.array([x.sum() / 2, x.sum() / 2]) - x)  # the diagonal is fixed, deviations from it decay
    found = find_fixed_points(step, STARTS, apart=1e-2)
    assert len(found) > 20 and set(found.kinds) == {"marginal"}
    np.testing.assert_allclose(found.points[:, 0], found.points[:, 1], atol=1e-7)
    np.testing.assert_allclose(found.eigenvalues, np.tile([1, 0.8], (len(found), 1)), atol=1e-12)
    distances = np.linalg.norm(found.points[:, None] - found.points[None], axis=-1)
    assert distances[np.triu_indices(len(found), 1)].min() >= 1e-2
    assert len(find_fixed_points(step, STARTS, apart=0.5)) < 12


def test_a_limit_cycle_has_one_unstable_fixed_point():
    # The radius becomes r + 0.1 r (1 - r^2), the angle grows by 0.3: a cycle at r = 1 about an unstable focus.
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    step = lambda x: (1 + 0.1 * (1 - jnp.sum(x**2))) * (jnp.asarray(turn) @ x)
    found = find_fixed_points(step, STARTS)
    assert found.kinds == ("unstable",)
    np.testing.assert_allclose(found.points, [[0, 0]], atol=1e-7)
    np.testing.assert_allclose(np.abs(found.eigenvalues), [[1.1, 1.1]])
    np.testing.assert_allclose(np.abs(np.angle(found.eigenvalues)), [[0.3, 0.3]])


def test_a_saddle_node_ghost_is_a_slow_point():
    """The map x + 0.01 (x^2 + 1e-2) has no fixed point; it is slowest at 0, with a speed of 1e-4."""
    step = lambda x: x + 0.01 * (x**2 + 1e-2)
    found = find_fixed_points(step, STARTS[:, :1])
    assert len(found) == 1 and not found.fixed.any()
    np.testing.assert_allclose(found.speeds, [1e-4], rtol=1e-6)
    np.testing.assert_allclose(found.points, [[0]], atol=1e-4)
    assert len(find_fixed_points(step, STARTS[:, :1], slow_speed=9e-5)) == 0


def test_speeds_and_distances_use_the_given_units():
    step = lambda x: x + 0.01 * (x**2 + 1e-2)
    found = find_fixed_points(step, STARTS[:, :1], units=np.array([[3.0], [4.0]]))
    np.testing.assert_allclose(found.speeds, [5e-4], rtol=1e-6)


SPEC = SequenceSpec(20, {"sensory": ArraySpec(2)}, ArraySpec(1))


def test_fixed_points_of_a_linear_low_rank_network(make_network):
    """The fixed point solves (I - s L L^T) x = B u. States have N units, as in the equations, not carried coordinates."""
    network = make_network("nmrnn_linear", SPEC, N=12, M=2, K=1, tau_x=2.0, tau_z=3.0, linear_z=True)
    (p,) = jax.tree.map(lambda a: np.asarray(a, np.float64), network.params).values()
    u = np.array([0.3, -1.0])
    trials = {"sensory": np.random.RandomState(1).randn(20, 6, 2).astype(np.float32)}
    found = fixed_points(network, {"sensory": u}, trials, starts=10)
    z = np.linalg.solve(np.eye(2) - p["W_z"], p["B_z"] @ u)
    s = 1 / (1 + np.exp(-(p["A_z"] @ z + p["b_z"][:, 0])))
    L = np.linalg.qr(p["L"])[0]
    x = np.linalg.solve(np.eye(12) - s * L @ L.T, p["B_x"] @ u)
    assert found.kinds == ("stable",) and found.fixed.all()
    np.testing.assert_allclose(found.states["x"], x[None], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.states["z"], z[None], rtol=1e-6, atol=1e-6)
    # Eigenvalues of x: 1/2 in the directions that decay, (1 + s)/2 along L; of z: 2/3 + eigenvalues of W_z / 3.
    expected = np.sort([0.5, 0.5, 0.5, *((1 + s) / 2), *(2 / 3 + np.linalg.eigvals(p["W_z"]).real / 3)])
    np.testing.assert_allclose(np.sort(found.eigenvalues[0].real), expected, atol=1e-6)
    assert jnp.zeros(1).dtype == np.float32  # the search does not change JAX's precision


class LinearCore(hk.RNNCore):
    """x_t = A x_{t-1} + B u_t in rows, with a second part of the state that decays to 1."""

    def __init__(self, spec, N: int):
        super().__init__()
        self.N, self.spec = N, spec

    def initial_state(self, batch_size):
        return {"a": jnp.zeros((batch_size, self.N)), "b": jnp.zeros((batch_size, 1))}

    def __call__(self, u, state):
        A = hk.get_parameter("A", (self.N, self.N), init=hk.initializers.RandomNormal(0.1))
        B = hk.get_parameter("B", (self.spec.input_size, self.N), init=hk.initializers.RandomNormal(1.0))
        state = {"a": state["a"] @ A + u @ B, "b": 0.5 + 0.5 * state["b"]}
        return state["a"][:, :1], state


@pytest.mark.slow
def test_fixed_points_of_an_rnn_core_of_haiku():
    with BASELINES.restored():
        register_baseline("linear_core", free_size="N")(LinearCore)
        baseline = BASELINES.get("linear_core")
    params = baseline.build(SPEC, {"N": 3}).init(jax.random.key(0))
    network = Network(baseline=baseline, spec=SPEC, hparams={"N": 3}, params=params)
    u, trials = np.array([0.3, -1.0]), {"sensory": np.random.RandomState(1).randn(20, 6, 2).astype(np.float32)}
    found = fixed_points(network, {"sensory": u}, trials, starts=10)
    A, B = (np.asarray(params["linear_core"][name], np.float64) for name in "AB")
    assert found.kinds == ("stable",) and found.fixed.all()
    np.testing.assert_allclose(found.states["x/a"], [np.linalg.solve(np.eye(3) - A.T, u @ B)], rtol=1e-6)
    np.testing.assert_allclose(found.states["x/b"], [[1.0]])
    expected = sorted([0.5, *np.abs(np.linalg.eigvals(A))], reverse=True)
    np.testing.assert_allclose(np.abs(found.eigenvalues), [expected], rtol=1e-6)


class Drifting(LinearCore):
    """As its base class, but a part of the state grows for ever, and moves the rest; an observer may hide it."""

    def __call__(self, u, state):
        _, after = super().__call__(u, state)
        after = {"a": after["a"] + 0.1 * state["b"], "b": state["b"] + jnp.asarray(0.01, state["b"].dtype)}
        return after["a"][:, :1], after


class Counting(LinearCore):
    """As its base class, with a counter of the steps."""

    def initial_state(self, batch_size):
        return {**super().initial_state(batch_size), "steps": jnp.zeros((batch_size, 1), jnp.int32)}

    def __call__(self, u, state):
        y, after = super().__call__(u, state)
        return y, {**after, "steps": state["steps"] + 1}


def network_of(core):
    with BASELINES.restored():
        register_baseline("own_core", free_size="N")(core)
        baseline = BASELINES.get("own_core")
    params = baseline.build(SPEC, {"N": 3}).init(jax.random.key(0))
    return Network(baseline=baseline, spec=SPEC, hparams={"N": 3}, params=params)


def test_a_state_that_an_observer_hides_gives_no_false_fixed_points(monkeypatch):
    trials = {"sensory": np.random.RandomState(1).randn(20, 6, 2).astype(np.float32)}
    search = lambda core: fixed_points(network_of(core), {"sensory": np.zeros(2)}, trials, starts=np.int64(5))
    assert len(search(Drifting)) == 0
    with pytest.raises(NmbenchError, match="the state of 'own_core' contains integers"):
        search(Counting)
    monkeypatch.setattr(Observer, "states", lambda self, core, carried: {"a": carried["a"]})
    assert len(search(LinearCore)) == 1  # what is hidden does not move the rest
    with pytest.raises(NmbenchError, match="the observer of 'own_core' hides a part of the state that changes the rest"):
        search(Drifting)
    monkeypatch.setattr(Observer, "states", lambda self, core, carried: {"a": carried["a"] ** 2, "b": carried["b"]})
    with pytest.raises(NmbenchError, match="must be linear in the carried state"):
        search(LinearCore)


def test_refusals(make_network):
    network = make_network("rnn", SPEC, N=3)
    with pytest.raises(NmbenchError, match="the constant input has shapes"):
        fixed_points(network, {"sensory": np.zeros(3)}, {"sensory": np.zeros((2, 1, 2))})
    with BASELINES.restored():
        register_baseline("pair", free_size="N")(lambda spec, N: (None, None))
        pair = Network(baseline=BASELINES.get("pair"), spec=SPEC, hparams={"N": 3}, params={})
    with pytest.raises(NmbenchError, match="'pair' has its own apply.*find_fixed_points"):
        fixed_points(pair, {"sensory": np.zeros(2)})
    with pytest.raises(NmbenchError, match="starts must be finite"):
        find_fixed_points(lambda x: x, np.full((2, 2), np.nan))
    with pytest.raises(NmbenchError, match="seed is an integer"):
        fixed_points(network, {"sensory": np.zeros(2)}, {"sensory": np.zeros((2, 1, 2))}, seed=-1)
    with pytest.raises(NmbenchError, match=r"must return the shape \(2,\) of its argument; it returns \(1,\)"):
        find_fixed_points(lambda x: x[:1], np.ones((2, 2)))
    with pytest.raises(NmbenchError, match="iterations is an integer"):
        find_fixed_points(lambda x: x, STARTS, iterations=1.5)
    with pytest.raises(NmbenchError, match="units must be of shape"):
        find_fixed_points(lambda x: x, STARTS, units=np.eye(9))
    with pytest.raises(NmbenchError, match="must be positive"):
        find_fixed_points(lambda x: x, STARTS, slow_speed=0)
