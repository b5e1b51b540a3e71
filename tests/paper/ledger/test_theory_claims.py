"""Claims on the theory: verdicts for given predictions and errors, and which networks are loaded."""

import dataclasses
import functools
import math
import types

import numpy as np
import pytest

from nmbench.paper.ledger import theory
from nmbench.paper.ledger.evidence import Evidence
from nmbench.paper.ledger.verdicts import Verdict
from nmbench.paper.theory import trained
from nmbench.paper.theory.network import draw
from nmbench.paper.theory.semilinear import ConversionErrors
from nmbench.paper.theory.trained import SignalPrediction, TrainedNetwork
from nmbench.support.errors import NmbenchError
from support.claimed import make_rows, read, write_csv, write_folder, write_untrained

LINEAR, RANK1 = "nmrnn_linear", "mwg_rank1"
# A network with the first error has learned the task, one with the second has not.
LEARNED, NOT_LEARNED = 1e-4, 0.1
UNTUNED = {"learning_rate": 0.5, "tuning_trials": 0}


def rows(values, **more):
    return make_rows(LINEAR, RANK1, values, **more)


def predictions(errors):
    """Predictions for one network; `errors` maps a condition to the mean error of s."""
    return [
        SignalPrediction(
            condition=str(label),
            trials=10,
            identifiable=1.0,
            own_s=1e-9,
            own_x=1e-9,
            possible=0.75,
            target_s=error,
            target_s_max=9.0,
            law_s=0.25,
            target_w=0.125,
            target_w_max=9.0,
        )
        for label, error in errors.items()
    ]


@pytest.fixture
def networks(monkeypatch, tmp_path):
    """A function that writes runs whose networks have the given mean errors of s, and returns the evidence.

    values: the errors of the networks on the task, which they have learned by default.
    """

    def make(*errors, values=None, **more):
        by_run = {}
        made = rows(values or [LEARNED] * len(errors), **more)
        for row, each in zip(made, errors, strict=True):
            by_run[row["run_id"]] = types.SimpleNamespace(name=row["run_id"], condition="interval", found=predictions(each))
        monkeypatch.setattr(trained, "load", lambda run_id, folder: by_run[run_id])
        monkeypatch.setattr(trained, "traces", lambda network: None)
        monkeypatch.setattr(trained, "predictions", lambda network, traces: network.found)
        return read(write_folder(tmp_path / "results", made))

    return make


SIGNAL = {
    "follows": ({7: 0.01, 15: 0.02}, Verdict.HOLDS),
    "at the limit": ({7: 0.05, 15: 0.05}, Verdict.HOLDS),
    "at one interval": ({7: 0.01, 15: 0.051}, Verdict.PARTLY),
    "at none": ({7: 0.2, 15: 0.3}, Verdict.FAILS),
    "no sigmoid can": ({7: float("nan"), 15: 0.01}, Verdict.PARTLY),
}


@pytest.mark.parametrize("label", SIGNAL)
def test_signal(networks, label):
    """Six equal networks decide, one does not."""
    errors, verdict = SIGNAL[label]
    found = theory.signal(networks(*[errors] * 6), "matched")
    assert (found.verdict, found.qualifier) == (verdict, "median of 6 networks")
    seven, fifteen = ("none" if math.isnan(error) else f"{error:.3f}" for error in errors.values())
    parts = f"interval 7 {seven} ({seven} .. {seven}), interval 15 {fifteen} ({fifteen} .. {fifteen})"
    assert found.reason == f"Mean error of s predicted from the target's ramp: {parts}; the limit is 0.05"
    line = found.measured[0]
    assert line.what == "interval 7: mean error of s" and line.interval == f"{seven} .. {seven}"
    assert line.note.startswith("by Eq. 16 at the steps 0.250; from the network's own output 1e-09; ")
    assert line.note.endswith("exists at 75% of the ramp's steps; relative error of the state 0.125")


def test_one_network_decides_nothing(networks):
    found = theory.signal(networks({7: 0.01, 15: 0.02}), "matched")
    assert (found.verdict, found.qualifier) == (Verdict.UNDECIDED, "one network")
    assert "interval 7 0.010 (one network), interval 15 0.020 (one network)" in found.reason
    assert found.measured[0].interval == ""


def test_an_error_whose_interval_contains_the_limit_decides_nothing(networks):
    found = theory.signal(networks(*({7: error} for error in (0.01, 0.02, 0.03, 0.04, 0.045, 0.051))), "matched")
    assert (found.verdict, found.measured[0].interval) == (Verdict.UNDECIDED, "0.010 .. 0.051")


def test_signal_is_the_median_over_networks(networks, monkeypatch):
    """At interval 7, the errors 0.01, 0.02, 0.03 and 0.9 have median 0.025; at 15, three networks have none (worst)."""
    monkeypatch.setattr(theory, "NETWORKS", 4)
    none = float("nan")
    evidence = networks({7: 0.9, 15: none}, {7: 0.01, 15: 0.01}, {7: 0.03, 15: none}, {7: 0.02, 15: none}, {7: 9.0, 15: 9.0})
    found = theory.signal(evidence, "matched")
    assert (found.verdict, found.qualifier) == (Verdict.UNDECIDED, "median of 4 networks")
    assert "interval 7 0.025 (0.010 .. 0.900, range), interval 15 none" in found.reason
    assert [line.interval for line in found.measured] == ["0.010 .. 0.900 (range)", "0.010 .. none (range)", ""]
    assert found.measured[2].value == "4" and found.measured[2].note.count(f"{LINEAR}.{RANK1}.matched.s") == 4


def test_a_shortened_training_is_qualified(networks):
    found = theory.signal(networks(*[{7: 0.01}] * 6, steps=300), "matched")
    qualifier = "median of 6 networks; holds after 300 of 20000 steps"
    assert (found.verdict, found.qualifier) == (Verdict.UNDECIDED, qualifier)


def test_networks_of_other_lengths_are_not_mixed(networks, tmp_path):
    """One network was trained in full, one shorter, and one longer, whose parameters are missing."""
    networks({7: 0.01})
    write_folder(tmp_path / "results", rows([LEARNED], steps=300))
    longer = write_csv(tmp_path / "longer.csv", rows([LEARNED], steps=90000))
    found = theory.signal(read(str(tmp_path / "results"), longer), "matched")
    assert (found.verdict, found.qualifier) == (Verdict.UNDECIDED, "one network")


def test_commands_are_valid_nmbench_commands(networks, parse_command):
    found = theory.signal(networks({7: 0.1}, {7: 0.1}), "matched")
    train, look = found.commands
    assert train == f"python -m nmbench.run --model={LINEAR} --task={RANK1} --seeds=2"
    assert look == "python -m nmbench.theory --run=RUN_ID"
    made, train = theory.proposition(Evidence(), "matched").commands
    assert made == "python -m nmbench.theory"
    assert parse_command(train).hparams == {"tau_x": "1", "linear_z": "true", "feedback": "true"}
    assert theory.proposition(Evidence(), "paper").commands == (made,)


def test_networks_that_have_not_learned_the_task_do_not_count(networks):
    """The second of three networks has not learned the task."""
    found = theory.signal(networks({7: 0.01}, {7: 0.9}, {7: 0.03}, values=[LEARNED, NOT_LEARNED, LEARNED]), "matched")
    assert (found.verdict, found.qualifier) == (
        Verdict.UNDECIDED,
        "median of 2 networks; 1 of 3 seeds has not learned the task and does not count",
    )
    assert "interval 7 0.020" in found.reason and found.commands[0].endswith("--seeds=3")
    left_out = found.measured[-1]
    assert left_out[:2] == ("not learned (mse_extrapolated above 0.004858), not counted", "1 of 3 seeds")


def test_without_a_network_that_has_learned_the_task_the_claim_is_open(networks):
    found = theory.signal(networks({7: 0.01}, {7: 0.01}, values=[NOT_LEARNED, NOT_LEARNED]), "matched")
    assert (found.verdict, found.qualifier) == (Verdict.UNDECIDED, "2 of 2 seeds have not learned the task and do not count")
    assert found.reason.startswith("No network has learned the task") and len(found.measured) == 1


def test_an_untuned_learning_rate_is_named_under_matched(networks):
    found = theory.signal(networks({7: 0.01}, config=UNTUNED, **UNTUNED), "matched")
    assert (found.verdict, found.qualifier) == (Verdict.UNDECIDED, f"one network; learning rate not tuned for {LINEAR}")


def test_a_published_learning_rate_needs_no_tuning(networks):
    found = theory.signal(networks({7: 0.01}, protocol="paper"), "paper")
    assert (found.verdict, found.qualifier) == (Verdict.UNDECIDED, "one network")


def test_without_networks_there_is_no_data(tmp_path):
    found = theory.signal(Evidence(), "paper")
    assert (found.verdict, found.reason) == (
        Verdict.NO_DATA,
        f"There are no finished runs of {LINEAR} on {RANK1}, protocol paper",
    )
    assert found.commands[0] == f"python -m nmbench.run --model={LINEAR} --task={RANK1} --protocol=paper --seeds=1"
    # Diverged runs, CSVs and folders that contain only CSVs have no networks.
    assert theory.signal(read(write_csv(tmp_path / "lost.csv", rows([None]))), "matched").reason.startswith(
        "There are no fin"
    )
    (row,) = rows([0.1])
    (tmp_path / "tables").mkdir()
    write_csv(tmp_path / "tables" / "all.csv", [row])
    for path in (write_csv(tmp_path / "rows.csv", [row]), str(tmp_path / "tables")):
        assert theory.signal(read(path), "matched").reason == (
            f"The parameters of {row['run_id']} are not here: rows do not contain them; give its results folder"
        )


def test_a_run_without_parameters_gives_no_data(tmp_path):
    (row,) = rows([LEARNED])
    found = theory.signal(read(write_folder(tmp_path / "results", [row])), "matched")
    assert found.verdict is Verdict.NO_DATA
    assert found.reason.startswith(f"the parameters of {row['run_id']} are not here")


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A results folder with a run of the matched protocol with random parameters, and its row."""
    root = tmp_path_factory.mktemp("untrained")
    return str(root), write_untrained(root, LINEAR, RANK1, LEARNED)


def test_parameters_that_do_not_give_the_value_of_the_row_are_not_used(untrained):
    folder, row = untrained
    found = theory.signal(read(folder), "matched")
    assert found.verdict is Verdict.NO_DATA and found.reason.startswith(f"the parameters of {row['run_id']} give mse_extra")
    assert found.reason.endswith("its row has 0.0001: they are damaged, or they belong to another row")


def test_equation_16_and_its_discrete_form(parse_command):
    """tests/paper/theory/test_rank1.py computes the same errors."""
    printed, corrected = theory.signal_as_printed(Evidence(), "paper"), theory.signal_corrected(Evidence(), "paper")
    assert printed.verdict is Verdict.FAILS and corrected.verdict is Verdict.HOLDS
    assert printed.reason.endswith(": 0.123 for 7 steps, 0.054 for 15 steps, 0.035 for 23 steps")
    assert [line.what.partition(":")[0] for line in corrected.measured] == [
        f"{phi}, {how} inputs" for phi in ("linear", "tanh") for how in ("without", "with")
    ]


def test_a_network_from_a_results_folder(untrained, tmp_path, monkeypatch):
    """Parameters are read from the run folder, although a later folder has the row in a CSV."""
    folder, row = untrained
    monkeypatch.setattr(trained, "load", functools.cache(trained.load))
    monkeypatch.setattr(trained, "VALUE_TOLERANCE", np.inf)  # the row's value is made up
    tables = tmp_path / "tables"
    tables.mkdir()
    write_csv(tables / "all.csv", [row])
    found = theory.signal(read(folder, str(tables)), "matched")
    assert (found.verdict, found.qualifier) == (Verdict.UNDECIDED, "one network")
    # The expected predictions are computed without the ledger.
    network = trained.load(row["run_id"], folder)
    expected = trained.predictions(network, trained.traces(network))
    assert [line.what for line in found.measured] == [
        *(f"interval {p.condition}: mean error of s" for p in expected),
        "networks",
    ]
    for line, prediction in zip(found.measured, expected, strict=False):
        assert line.value == (f"{prediction.target_s:.3f}" if np.isfinite(prediction.target_s) else "none")
    # Its time constant is 2 steps, so it has no effect on the proposition.
    found = theory.proposition(read(folder), "matched")
    assert (found.verdict, found.qualifier, len(found.measured)) == (Verdict.HOLDS, "", 2)


MADE = {
    "rounding": (
        [("a", 20, 1e-12, 1e-15), ("b", 200, 0.0, 0.0)],
        Verdict.HOLDS,
        "The corrected form is exact on random networks (largest error 1e-12)",
    ),
    "beyond": (
        [("a", 20, 1e-15, 1.1e-12), ("b", 200, 2e-12, 0.0)],
        Verdict.FAILS,
        "The corrected form fails on random networks (largest error 2e-12)",
    ),
    "one of two": (
        [("a", 20, 1e-15, 1e-15), ("b", 200, 1e-3, 1e-15)],
        Verdict.PARTLY,
        "The corrected form fails on random networks (largest error 0.001)",
    ),
}


@pytest.mark.parametrize("label", MADE)
def test_proposition_on_given_errors_of_random_networks(monkeypatch, label):
    made, verdict, reason = MADE[label]
    monkeypatch.setattr(theory, "_random_networks", lambda: made)
    found = theory.proposition(Evidence(), "paper")
    assert (found.verdict, found.reason) == (verdict, reason)
    assert [line.value for line in found.measured] == [f"{max(z, y):.2g}" for _, _, z, y in made]


def test_the_printed_proposition_does_not_hold(monkeypatch):
    """The errors are those of the construction that docs/errata.md describes."""
    found = theory.proposition_as_printed(Evidence(), "paper")
    assert (found.verdict, found.commands) == (Verdict.FAILS, ())
    z, y = found.measured
    assert (z.what, y.what) == ("largest error in z", "largest error in y")
    assert float(z.value) == pytest.approx(1.05, abs=0.06) and float(y.value) == pytest.approx(1.02, abs=0.06)
    exact, wrong = ConversionErrors(1e-15, 1e-14, 9), ConversionErrors(0.9, 4.2, 9)
    for made, verdict in (([exact] * 2, Verdict.HOLDS), ([exact, wrong], Verdict.PARTLY), ([wrong] * 2, Verdict.FAILS)):
        monkeypatch.setattr(theory, "_printed", lambda made=made: made)
        assert theory.proposition_as_printed(Evidence(), "paper").verdict is verdict
    reason = theory.proposition_as_printed(Evidence(), "paper").reason
    assert "median of 2 random networks: 0.9 in z (0.9 to 0.9), 4.2 in y" in reason


def test_equation_16_is_a_power_law_up_to_a_constant():
    """s - 1 = tau/(d - 1/2 - t/I) / -I is a power law of the time left, with exponent -1; s itself is none."""
    found = theory.power_law(Evidence(), "paper")
    assert (found.verdict, found.reason) == (
        Verdict.PARTLY,
        "During a ramp of 7, 15, 23 steps, s is no power law and s - 1/(R^T L) is a power law of time",
    )
    assert [line.note.split("; ")[1] for line in found.measured] == ["no power law", "exponent -1.000"] * 3
    assert all(float(line.value) > 0.01 for line in found.measured[::2])


def test_proposition_is_exact_on_random_networks():
    assert [(what, steps) for what, steps, _, _ in theory._random_networks()] == [
        ("300 random instances", 20),
        ("N=40 M=7 K=3 P=4 O=2, H=14", 200),
    ]
    assert all(0 < error < 1e-12 for _, _, *errors in theory._random_networks() for error in errors)


@pytest.fixture
def drawn():
    """A random network that fulfils the hypotheses of the proposition, in the form of a trained one."""
    random = np.random.RandomState(3)
    network = draw(random, N=12, M=4, K=2, P=3, O=1, tau_z=3.0)
    inputs = random.randn(15, 2, 3)
    return TrainedNetwork(
        name="the_network",
        remarks=(),
        network=network,
        inputs=inputs,
        targets=np.zeros((15, 2, 1)),
        conditions=np.zeros(2, int),
        condition="trials",
    )


@pytest.mark.parametrize(
    ("changes", "verdict", "reason"),
    [
        ({}, Verdict.HOLDS, "a trained network with its initial x projected onto the span of R is reproduced "),
        ({"tau_x": 2.0}, Verdict.HOLDS, "The corrected form is exact on random networks"),
        ({"phi_x": np.tanh}, Verdict.HOLDS, "The corrected form is exact on random networks"),
    ],
    ids=["as the proposition has it", "with a leak", "not linear"],
)
def test_proposition_on_a_trained_network(monkeypatch, tmp_path, drawn, changes, verdict, reason):
    network = dataclasses.replace(drawn, network=dataclasses.replace(drawn.network, **changes))
    monkeypatch.setattr(trained, "load", lambda run_id, folder: network)
    folder = write_folder(tmp_path / "results", rows([0.1], settings=theory.EQUATIONS, steps=500))
    found = theory.proposition(read(folder), "matched")
    assert found.verdict is verdict and reason in found.reason
    assert found.qualifier == ""
    if changes:
        assert found.measured[-1][:2] == ("the_network", "not counted") and found.reason.startswith(reason)
    else:
        line = found.measured[-1]
        assert line.what == "the_network: largest error" and 0 < float(line.value) < 1e-12
        assert "H = 9" in line.note  # M + K + P


def test_only_a_network_with_the_settings_of_the_proposition_is_loaded(monkeypatch, tmp_path, drawn):
    asked = []
    monkeypatch.setattr(trained, "load", lambda run_id, folder: asked.append(run_id) or drawn)
    (plain,), (special,) = rows([0.1]), rows([0.2], settings=theory.EQUATIONS)
    folder = write_folder(tmp_path / "results", [plain], [special])
    assert theory.proposition(read(folder), "matched").verdict is Verdict.HOLDS
    assert asked == [special["run_id"]]


def test_only_random_networks_count_if_the_trained_one_cannot_be_loaded(monkeypatch, tmp_path):
    def refuse(run_id, folder):
        raise NmbenchError("Its model has changed")

    monkeypatch.setattr(trained, "load", refuse)
    found = theory.proposition(read(write_folder(tmp_path / "results", rows([0.1], settings=theory.EQUATIONS))), "matched")
    assert (found.verdict, len(found.measured)) == (Verdict.HOLDS, 2)


def test_a_network_that_cannot_be_loaded_is_named(monkeypatch, tmp_path):
    def refuse(run_id, folder):
        raise NmbenchError("Its model\x1b[31m has changed")

    monkeypatch.setattr(trained, "load", refuse)
    found = theory.signal(read(write_folder(tmp_path / "results", rows([LEARNED]))), "matched")
    assert (found.verdict, found.reason) == (Verdict.NO_DATA, "Its model\\x1b[31m has changed")
