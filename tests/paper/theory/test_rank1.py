"""The signal of rank-1 networks: the discrete form is exact; Eqs. 12-16, corrected, hold in continuous time."""

import dataclasses

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from nmbench.paper.theory import rank1, synthetic
from nmbench.paper.theory.rank1 import Rank1Network
from nmbench.support.errors import NmbenchError

PHIS = {**synthetic.PHIS, "relu": lambda x: np.maximum(x, 0)}


def one(seed=0, phi=synthetic.PHIS["linear"], **changes):
    n = synthetic.draw_rank1(np.random.RandomState(seed), phi)
    return dataclasses.replace(Rank1Network.of(n), **changes)


@pytest.mark.parametrize("phi", PHIS)
def test_discrete_form_is_exact_with_inputs(phi):
    """A loop over the update gives outputs for any s; s and the state are then computed from the outputs."""
    for seed in range(20):
        random = np.random.RandomState(100 + seed)
        r = one(seed, PHIS[phi])
        u, s = random.randn(25, 1, 3), random.uniform(0.2, 0.8, 25)
        x, xs = r.x_start, []
        for u_t, s_t in zip(u[:, 0], s, strict=True):
            x = (1 - 1 / r.tau) * x + (s_t * r.L * (r.R @ r.phi(x)) + r.B_x @ u_t) / r.tau
            xs.append(x)
        f = (np.array(xs) @ r.c + r.d)[:, None]
        identifiable = np.abs(rank1.sensitivity(r, f, u)[:, 0]) > rank1.SENSITIVE
        assert identifiable.mean() > 0.5
        np.testing.assert_allclose(rank1.signal(r, f, u)[identifiable, 0], s[identifiable], rtol=0, atol=1e-10)
        w, states = rank1.state(r, f, u)
        np.testing.assert_allclose(states[1:, 0], xs, rtol=0, atol=1e-10)
        np.testing.assert_allclose(w[1:, 0], np.array(xs) @ r.L / np.linalg.norm(r.L), rtol=0, atol=1e-10)
        np.testing.assert_array_equal(w[0, 0] * r.direction + r.off_direction(r.x_start), states[0, 0])


def test_discrete_form_is_exact_for_random_networks_with_their_own_gates():
    for _, _, s, x, share in synthetic.signals(50, seed=3):
        assert 0 < s < 1e-10 and 0 < x < 1e-10 and share > 0.9


def test_linear_form_by_hand():
    """For tau = 2, d = 1 and f = 0, 1/4, 1/2: 1 - 2/4 = 1/2 and 1 - 2 (1/4)/(3/4) = 1/3; R^T L = 2 halves both."""
    f = np.array([0.0, 0.25, 0.5])
    np.testing.assert_allclose(rank1.linear_signal(f, 2, 1), [1 / 2, 1 / 3], rtol=1e-15)
    np.testing.assert_allclose(rank1.linear_signal(f, 2, 1, overlap=2), [1 / 4, 1 / 6], rtol=1e-15)
    assert np.isnan(rank1.linear_signal(np.array([1.0, 2.0]), 2, 1)[0])
    # The general form agrees for a linear network without input whose initial state is along L.
    r = one(d=1.0, tau=2.0)
    along = dataclasses.replace(r, x_start=-r.direction / (r.c @ r.direction))
    assert along.f_start == pytest.approx(0)
    s = rank1.signal(along, f[1:, None], np.zeros((2, 1, 3)))[:, 0]
    np.testing.assert_allclose(s, rank1.linear_signal(f, 2, 1, overlap=r.R @ r.L), rtol=1e-12)


def test_ramps_by_the_discrete_form_and_by_equation_16():
    """Eq. 16 at the steps gives outputs 0.124, 0.054 and 0.035 too high at the end of ramps of 7, 15 and 23 steps."""
    for interval, off in zip((7, 15, 23), (0.124, 0.054, 0.035), strict=True):
        ramp = synthetic.ramp(interval, tau=2.0, d=0.8)
        np.testing.assert_allclose(ramp.output_exact, ramp.f, rtol=0, atol=1e-14)
        assert ramp.output_continuous[-1] - 0.5 == pytest.approx(off, abs=6e-4)


@pytest.mark.parametrize("tau", [1.0, 2.0, 10.0])
@pytest.mark.parametrize("interval", [7, 23])
def test_a_sigmoid_can_make_a_ramp_only_with_a_large_offset(tau, interval):
    """With R = L of unit length, s stays in (0, 1) along the ramp if d is just above the bound, but not just below it."""
    least = rank1.least_offset(tau, interval)
    f = np.arange(interval + 1) / interval - 0.5
    above, below = (rank1.linear_signal(f, tau, least + e) for e in (1e-6, -1e-6))
    assert ((above > 0) & (above < 1)).all() and not ((below > 0) & (below < 1)).all()
    # The plateau needs s = 1 exactly.
    np.testing.assert_array_equal(rank1.linear_signal(np.array([0.5, 0.5]), tau, least + 1), 1)


def integrated(r, s, t, u):
    """The solution x `[n, N]` of tau x' = -x + L s(t) R^T phi(x) + B_x u; u is constant between the times."""
    xs = [r.x_start]
    for k in range(len(t) - 1):
        slope = lambda now, x, drive=r.B_x @ u[k, 0]: (-x + r.L * s(now) * (r.R @ r.phi(x)) + drive) / r.tau
        xs.append(solve_ivp(slope, t[k : k + 2], xs[-1], method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1])
    return np.array(xs)


@pytest.mark.parametrize("phi", ["linear", "tanh"])
def test_equations_12_to_15_corrected_hold_for_the_integrated_network(phi):
    """s and x follow from f and f'. The expansion of Eq. 14 as printed gives s only without inputs."""
    r = one(4, PHIS[phi], tau=3.0)
    t = np.linspace(0, 6, 13)
    s = lambda now: 0.5 + 0.3 * np.sin(now)
    for driven in (0, 1):
        u = driven * np.random.RandomState(5).randn(len(t), 1, 3)
        x = integrated(r, s, t, u)
        slope = (-x + (s(t) * (r.phi(x) @ r.R))[:, None] * r.L + u[:, 0] @ r.B_x.T) / r.tau
        f, df = (x @ r.c + r.d)[:, None], (slope @ r.c)[:, None]
        w, states = rank1.continuous_state(r, t, f, u)
        np.testing.assert_allclose(states[:, 0], x, rtol=0, atol=1e-9)
        np.testing.assert_allclose(w[:, 0], x @ r.direction, rtol=0, atol=1e-9)
        found = rank1.continuous_signal(r, t, f, df, u)[:, 0]
        np.testing.assert_allclose(found, s(t), rtol=0, atol=1e-8)
        # As printed: numerator f + tau f' - tau c^T J' - d - Lhat^T B_x u.
        J = rank1.driven_mode(r, t, u)[:, 0]
        dJ = (-J + r.off_direction(u[:, 0] @ r.B_x.T)) / r.tau
        below = (r.c @ r.L) * (r.phi(x) @ r.R)
        printed = (f[:, 0] + r.tau * df[:, 0] - r.tau * dJ @ r.c - r.d - u[:, 0] @ r.B_x.T @ r.direction) / below
        off = np.abs(printed - s(t)).max()
        assert off < 1e-8 if not driven else off > 0.1
        # With -c^T J and the factor c^T Lhat it is correct.
        corrected = r.tau * dJ @ r.c + J @ r.c + (r.c @ r.direction) * (u[:, 0] @ r.B_x.T @ r.direction)
        np.testing.assert_allclose((f[:, 0] + r.tau * df[:, 0] - corrected - r.d) / below, s(t), rtol=0, atol=1e-8)


def test_equation_16_holds_without_input_from_a_start_along_l():
    r = one(6, tau=2.0)
    r = dataclasses.replace(r, x_start=r.direction)
    t, s = np.linspace(0, 6, 7), lambda now: 0.5 + 0.3 * np.cos(now)
    x = integrated(r, s, t, np.zeros((7, 1, 3)))
    f = x @ r.c + r.d
    df = (-x + (s(t) * (x @ r.R))[:, None] * r.L) @ r.c / r.tau
    np.testing.assert_allclose(rank1.power_law(f, df, r.tau, r.d, r.R @ r.L), s(t), rtol=0, atol=1e-9)


def test_the_signal_includes_the_prefactor():
    """The network in section B of the supplement has the factor 1/N, but s-tilde = |L| |R| s has not: Eq. 14 gives s / N."""
    r = one(7)
    n = synthetic.draw_rank1(np.random.RandomState(7), PHIS["linear"])
    N = len(r.L)
    divided = dataclasses.replace(n, L=n.L * N, prefactor=1 / N)
    u = np.random.RandomState(8).randn(20, 2, 3)
    states = divided.run(u)
    f = states.y[..., 0]
    np.testing.assert_allclose(Rank1Network.of(divided).L, r.L, rtol=1e-15)
    s = rank1.signal(Rank1Network.of(divided), f, u)
    np.testing.assert_allclose(s, states.s[..., 0], rtol=0, atol=1e-9)
    printed = dataclasses.replace(Rank1Network.of(divided), L=divided.L[:, 0])
    np.testing.assert_allclose(rank1.signal(printed, f, u) * N, s, rtol=1e-9)


def test_driven_mode_by_hand():
    """A unit outside L with constant input 1 has J = 1 - e^{-t/tau}; J decays when the input ends."""
    r = Rank1Network(
        L=np.array([1.0, 0]), R=np.ones(2), B_x=np.array([[5.0], [1.0]]), c=np.ones(2), d=0.0, tau=2.0, x_start=np.ones(2)
    )
    J = rank1.driven_mode(r, np.array([0.0, 1.0, 3.0]), np.array([1.0, 0.0, 7.0])[:, None, None])[:, 0]
    grown = 1 - np.exp(-0.5)
    np.testing.assert_allclose(J, [[0, 0], [0, grown], [0, grown * np.exp(-1)]], rtol=1e-15)
    p = rank1.residual_mode(r, np.array([1.0, 0.0])[:, None, None])[:, 0]
    np.testing.assert_array_equal(p, [[0, 1], [0, 1], [0, 0.5]])


def test_bad_input_is_refused_with_one_line():
    r, u = one(), np.zeros((4, 2, 3))
    n = synthetic.draw_rank1(np.random.RandomState(0), np.tanh)
    wide = dataclasses.replace(
        n, L=np.ones((30, 2)), R=np.ones((30, 2)), A_z=np.ones((2, 5)), b_z=np.ones(2), C=np.ones((3, 30)), d=np.ones(3)
    )
    cases = [
        (lambda: Rank1Network.of(wide), "rank 2 and 3 output"),
        (lambda: dataclasses.replace(r, c=r.off_direction(r.c)), "the readout is orthogonal to L"),
        (
            lambda: rank1.signal(r, np.zeros((3, 2)), u),
            "outputs have shape (3, 2), but the inputs have [steps, trials] = (4, 2)",
        ),
        (lambda: rank1.signal(r, np.zeros((4, 2)), u[..., :2]), "inputs have shape (4, 2, 2); they must be [T, B, 3]"),
        (lambda: rank1.driven_mode(r, np.array([0, 2, 1, 3]), u), "times must be 4 increasing numbers from 0"),
        (lambda: rank1.driven_mode(r, np.array([1, 2, 3, 4]), u), "times must be 4 increasing numbers from 0"),
    ]
    for refuse, message in cases:
        with pytest.raises(NmbenchError) as caught:
            refuse()
        assert message in str(caught.value) and "\n" not in str(caught.value)
    # s is undefined for a state orthogonal to R: NaN without a warning.
    still = dataclasses.replace(r, x_start=0 * r.x_start)
    assert np.isnan(rank1.signal(still, np.full((4, 2), still.d), u)).all()
