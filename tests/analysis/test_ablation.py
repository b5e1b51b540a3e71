"""Gate ablation, compared with networks whose gates are constant by construction."""

import dataclasses

import numpy as np
import pytest

from nmbench.analysis import ablate_gates, hold_gate, record
from nmbench.support.errors import NmbenchError


def test_a_held_gate_has_its_value_and_the_other_gates_do_not_change(make_network, inputs):
    network = make_network("nmrnn", N=8, M=4, K=3)
    before = record(network, inputs)
    for value in (0.0, 0.3, 1.0):
        after = record(hold_gate(network, 1, value), inputs)
        np.testing.assert_allclose(after["s"][..., 1], value, atol=1e-7)
        # Without feedback, the other gates do not depend on the held gate.
        np.testing.assert_array_equal(after["s"][..., [0, 2]], before["s"][..., [0, 2]])
        assert np.abs(after["y"] - before["y"]).max() > 1e-4
    assert np.ptp(before["s"][..., 1]) > 1e-3


def test_a_gate_held_at_zero_removes_its_component(make_network, inputs):
    """Compare with a network without this column of L and R. Feedback is on, because then L is not orthonormalised."""
    network = make_network("nmrnn", N=8, M=4, K=3, feedback=True)
    ((module, p),) = network.params.items()
    without = {**p, **{name: np.delete(np.asarray(p[name]), 1, axis=1) for name in ("L", "R")}}
    without |= {name: np.delete(np.asarray(p[name]), 1, axis=0) for name in ("A_z", "b_z")}
    smaller = dataclasses.replace(network, params={module: without}, hparams={**network.hparams, "K": 2})
    np.testing.assert_allclose(hold_gate(network, 1, 0).apply(inputs), smaller.apply(inputs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("to", ["zero", pytest.param("mean", marks=pytest.mark.slow)])
def test_ablations_have_the_metrics_of_the_task(make_network, toy_task, to):
    network = dataclasses.replace(make_network("nmrnn", toy_task.spec, N=8, M=4, K=2), task=toy_task)
    intact, *held = ablate_gates(network, to)
    arrays = toy_task.frozen("test").arrays
    inputs = toy_task.unpack(arrays).inputs
    s = record(network, inputs)["s"].astype(np.float64)
    assert (intact.gate, intact.value, [a.gate for a in held]) == (None, None, [0, 1])
    np.testing.assert_allclose([a.value for a in held], s.mean(axis=(0, 1)) if to == "mean" else [0, 0], rtol=1e-6)
    for ablation in (intact, *held):
        assert ablation.metrics["mse"] == pytest.approx(np.mean((ablation.outputs - arrays["targets"]) ** 2), rel=1e-5)
    assert len({a.metrics["mse"] for a in (intact, *held)}) == 3


def test_refusals(make_network, toy_task):
    network = make_network("nmrnn", N=8, M=4, K=3)
    for call, message in (
        (lambda: hold_gate(network, 3, 0), "a gate of nmrnn is an integer from 0 to 2; got 3"),
        (lambda: hold_gate(network, 0.5, 0), "from 0 to 2; got 0.5"),
        (lambda: hold_gate(network, 0, 1.5), "at a number in .0, 1.; got 1.5"),
        (lambda: hold_gate(network, 0, "zero"), "got 'zero'"),
        (lambda: hold_gate(make_network("lstm", N=3), 0, 0), "'lstm' has no gates"),
        (lambda: ablate_gates(network, "means"), "'zero' or 'mean', not 'means'; did you mean 'mean'"),
        (lambda: ablate_gates(network), "has no task"),
        (
            lambda: ablate_gates(dataclasses.replace(network, task=toy_task), split="tst"),
            "no set 'tst'; did you mean 'test'",
        ),
        (lambda: ablate_gates(None), "must come from nmbench.load_network, got a value of type NoneType"),
        (lambda: hold_gate(network, True, 0), "from 0 to 2; got True"),
    ):
        with pytest.raises(NmbenchError, match=message):
            call()
