"""Both parts of the theory on random networks, compared with the networks' own states and signals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nmbench.paper.theory import rank1, semilinear
from nmbench.paper.theory.network import NeuromodulatedNetwork, Phi, draw, identity
from nmbench.paper.theory.rank1 import Rank1Network

# Ranges of the sizes of random instances, both ends included.
SIZES = {"N": (4, 60), "M": (1, 12), "K": (1, 4), "P": (1, 5), "O": (1, 3)}
STEPS, TRIALS = 20, 2
LONG_SIZES, LONG_STEPS = {"N": 40, "M": 7, "K": 3, "P": 4, "O": 2}, 200
# The ramps of Fig. 3B with the time constant of supplement C.3; d is our choice.
RAMPS, RAMP_TAU, RAMP_D = (7, 15, 23), 2.0, 0.8
PHIS: dict[str, Phi] = {"linear": identity, "tanh": np.tanh}


def draw_sizes(random: np.random.RandomState) -> dict[str, int]:
    """N, M, K, P and O, each uniform in its range of `SIZES`."""
    return {name: int(random.randint(low, high + 1)) for name, (low, high) in SIZES.items()}


def proposition(instances: int, seed: int) -> list[tuple[str, int, float, float]]:
    """(networks, steps, largest error in z, in y) for many random networks of random sizes, and for one long sequence."""
    random = np.random.RandomState(seed)
    found = []
    for _ in range(instances):
        network = draw(random, **draw_sizes(random), tau_z=random.uniform(1, 20))
        found.append(semilinear.reproduce(network, random.randn(STEPS, TRIALS, network.sizes["P"])))
    network = draw(random, **LONG_SIZES, tau_z=5.0)
    long = semilinear.reproduce(network, random.randn(LONG_STEPS, TRIALS, LONG_SIZES["P"]))
    sizes = " ".join(f"{name}={size}" for name, size in LONG_SIZES.items())
    return [
        (f"{instances} random instances", STEPS, max(e.z for e in found), max(e.y for e in found)),
        (f"{sizes}, H={long.hidden}", LONG_STEPS, long.z, long.y),
    ]


def proposition_as_printed(instances: int) -> list[semilinear.ConversionErrors]:
    """Errors of the construction as printed, for random networks with the seeds 0, 1, ... and one long sequence each."""
    found = []
    for seed in range(instances):
        random = np.random.RandomState(seed)
        network = draw(random, **LONG_SIZES, tau_z=5.0)
        u = random.randn(LONG_STEPS, 1, LONG_SIZES["P"])
        found.append(semilinear.reproduce(network, u, semilinear.as_printed))
    return found


def draw_rank1(random: np.random.RandomState, phi: Phi) -> NeuromodulatedNetwork:
    """A random rank-1 network with a leak, R different from L, and an initial state that is not parallel to L.

    R^T L is close to 2 and the gates to 1/2, so that the state neither decays nor grows fast.
    """
    N, M, P = 30, 5, 3
    L = random.randn(N, 1) / np.sqrt(N)
    noise = random.randn(N, 1) / np.sqrt(N)
    R = (2 * L + noise) / (L.T @ L)
    return NeuromodulatedNetwork(
        L=L,
        R=R,
        B_x=random.randn(N, P) / np.sqrt(P),
        C=random.randn(1, N) / np.sqrt(N) + L.T,
        d=random.randn(1),
        W_z=0.5 * random.randn(M, M) / np.sqrt(M),
        B_z=random.randn(M, P) / np.sqrt(P),
        A_z=random.randn(1, M) / np.sqrt(M),
        b_z=np.zeros(1),
        x_start=random.randn(N) / np.sqrt(N) + L[:, 0],
        z_start=random.randn(M),
        tau_x=random.uniform(1, 5),
        tau_z=random.uniform(1, 10),
        phi_x=phi,
    )


def signals(instances: int, seed: int) -> list[tuple[str, str, float, float, float]]:
    """(phi, inputs, largest error in s, in x, share of steps) of the discrete theory, given the output of random networks.

    s is compared at the steps at which the absolute sensitivity is at least `rank1.SENSITIVE`; elsewhere it is nearly 0 / 0.
    The last value is the share of these steps. Errors in x are divided by its largest absolute entry, if that is above 1.
    """
    rows = []
    for name, phi in PHIS.items():
        for driven in (False, True):
            random, errors = np.random.RandomState(seed), []
            for _ in range(instances):
                network = draw_rank1(random, phi)
                u = driven * random.randn(STEPS, TRIALS, network.sizes["P"])
                states, one = network.run(u), Rank1Network.of(network)
                f = states.y[..., 0]
                s, x = rank1.signal(one, f, u), rank1.state(one, f, u)[1][1:]
                identifiable = np.abs(rank1.sensitivity(one, f, u)) >= rank1.SENSITIVE
                s_error = np.max(np.abs(s - states.s[..., 0]), where=identifiable, initial=0.0)
                x_error = np.max(np.abs(x - states.x)) / max(1.0, np.max(np.abs(states.x)))
                errors.append((s_error, x_error, identifiable.mean()))
            s_errors, x_errors, shares = zip(*errors, strict=True)
            rows.append((name, "yes" if driven else "no", max(s_errors), max(x_errors), float(np.mean(shares))))
    return rows


class RampSignal(NamedTuple):
    """The signal of a discrete linear rank-1 network without input, R^T L = 1, for a ramp from -1/2 to 1/2.

    f: the ramp, f_0 .. f_I.
    exact, continuous: s_1 .. s_I by the discrete form, and by Eq. 16 evaluated at the steps.
    output_exact, output_continuous: output y_0 .. y_I of the network under the two signals.
    """

    interval: int
    f: np.ndarray
    exact: np.ndarray
    continuous: np.ndarray
    output_exact: np.ndarray
    output_continuous: np.ndarray


def ramp(interval: int, tau: float = RAMP_TAU, d: float = RAMP_D) -> RampSignal:
    """Signal and outputs for a ramp of `interval` steps; tau: time constant, d: offset of the readout."""
    f = np.arange(interval + 1) / interval - 0.5
    exact = rank1.linear_signal(f, tau, d)
    continuous = rank1.power_law(f[1:], np.full(interval, 1 / interval), tau, d)
    # x_t = (1 - 1/tau + s_t/tau) x_{t-1}, and y - d is proportional to x.
    outputs = [np.concatenate([f[:1], d + (f[0] - d) * np.cumprod(1 + (s - 1) / tau)]) for s in (exact, continuous)]
    return RampSignal(interval, f, exact, continuous, *outputs)
