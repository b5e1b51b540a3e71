"""The command `figures`. Most tests draw networks with random parameters, because training is tested elsewhere."""

import itertools
import json
import re

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg

from nmbench.analysis import record
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.paper import runs
from nmbench.paper.figures import gallery, modulation, selection, style, timing
from nmbench.paper.runs import FinishedRun, Need, Recipe
from nmbench.paper.theory import trained
from nmbench.report import captions
from nmbench.report.captions import Caption
from nmbench.results.experiment_rows import Evaluation
from nmbench.results.store import Store
from nmbench.support.errors import NmbenchError
from nmbench.training.snapshot import CurvePoint
from support.claimed import make_rows, write_csv, write_untrained

MODEL_TASKS = ("mwg_rank3", "multitask", "element_finder")


def test_missing_runs_are_listed_with_the_commands_that_train_them(nmbench, tmp_path):
    (tmp_path / "r").mkdir()
    where = [f"--results={tmp_path / 'r'}", f"--out={tmp_path / 'o'}"]
    code, out, err = nmbench("figures", *where, "--seeds=2", "--only=S5,5C")
    assert code == 1 and "S5: not drawn, there are no runs of its models on element_finder, protocol matched" in out
    command = f"python -m nmbench.run --model=lrrnn --task=element_finder --seeds=2 --results_dir={tmp_path / 'r'}\n"
    assert command in err and err.count("nmbench.run") == 4


@pytest.mark.slow
def test_missing_runs_are_trained(nmbench, monkeypatch, tmp_path):
    monkeypatch.setattr(style, "save", draft)
    where = [f"--results={tmp_path / 'r'}", f"--out={tmp_path / 'o'}", "--only=S5", "--seeds=2"]
    code, out, err = nmbench("figures", *where, "--train=smoke")
    assert (code, err) == (0, "")
    assert "nmrnn (497 parameters) on element_finder, protocol smoke, 20 steps, seed 0\n" in out
    assert len(list((tmp_path / "r" / "runs").iterdir())) == 1


@pytest.mark.slow
def test_a_figure_shows_the_states_of_the_network(nmbench, monkeypatch, tmp_path):
    figures, save = [], style.save

    def save_at_once(figure, *rest):
        figures.append(figure)
        figure.set_layout_engine("none")  # the constrained layout draws several times
        return save(figure, *rest)

    monkeypatch.setattr(style, "save", save_at_once)
    write_untrained(tmp_path / "r", "nmrnn", "element_finder")
    where = [f"--results={tmp_path / 'r'}", f"--out={tmp_path / 'o'}"]
    code, out, err = nmbench("figures", *where, "--only=S5", "--formats=svg")
    assert (code, err) == (0, "")
    assert "nmrnn (497 parameters) on element_finder, protocol matched, 20000 steps, seed 0\n" in out
    made = {path.name: path.read_bytes() for path in (tmp_path / "o").iterdir()}
    assert sorted(made) == ["S5.svg", "captions.md"] and b"standard error" in made["S5.svg"]
    assert b"**S5.** Element Finder: states of an NM-RNN for query 10 and five values" in made["captions.md"]
    recipe = Recipe(str(tmp_path / "r"))
    (paper_figure,) = gallery.choose("S5", recipe)
    ((run,),) = runs.find(paper_figure.needs, recipe).values()
    (network,) = runs.networks([run])
    (figure,) = figures
    # The figure shows the mean and the standard error of the states of the network.
    axes = np.array(figure.axes).reshape(5, 3)
    task = TASKS.get("element_finder")
    batch_inputs = selection.trials(task, 10, -5)
    assert batch_inputs["sensory"].shape == (26, 100, 1)
    assert (batch_inputs["sensory"][0] == 10).all() and (batch_inputs["sensory"][11] == -5).all()
    np.testing.assert_array_equal(
        batch_inputs["sensory"][12:], task.unpack(task.frozen("test").arrays).inputs["sensory"][12:, :100]
    )
    s = record(network, batch_inputs)["s"]
    lines = [line.get_ydata() for line in axes[1, 0].get_lines()[:-1]]
    np.testing.assert_allclose(np.stack(lines, axis=1), s.mean(axis=1), rtol=1e-5)
    band = axes[1, 0].collections[0].get_paths()[0].vertices[:, 1]
    error = s[..., 0].std(axis=1, ddof=1) / 10
    assert band.max() == pytest.approx((s[..., 0].mean(axis=1) + error).max(), rel=1e-5)
    assert axes[1, 0].get_lines()[-1].get_xdata()[0] == 11


@pytest.mark.slow
def test_the_figure_of_modulation_shows_the_signals_of_each_model(nmbench, monkeypatch, tmp_path):
    figures = []
    monkeypatch.setattr(style, "save", lambda figure, *rest: figures.append(figure) or draft(figure, *rest))
    for model in ("nmrnn", "stp_rnn"):
        write_untrained(tmp_path / "r", model, "element_finder")
    where = [f"--results={tmp_path / 'r'}", f"--out={tmp_path / 'o'}"]
    code, out, err = nmbench("figures", *where, "--only=modulation", "--formats=png")
    # One picture for the only task with runs; models without runs are left out.
    assert (
        code == 1 and re.findall(r"^(\w+): ", out, re.M) == ["modulation_element_finder"] and err.count("nmbench.run") == 5
    )
    (figure,) = figures
    (axes, other) = np.array(figure.axes).reshape(2, 3)
    assert "stp_rnn (mse 0.1): a r / U, the efficacy" in other[0].texts[-1].get_text()
    need = Need("nmrnn", "element_finder", 1)
    ((run,),) = runs.find([need], Recipe(str(tmp_path / "r"))).values()
    (network,) = runs.networks([run])
    task, query = TASKS.get("element_finder"), TASKS.get("element_finder").frozen("test").arrays["query"]
    s = record(network)["s"]
    shown = [np.flatnonzero(query == q)[:100] for q in (2, 7, 12, 17, 22)]
    strongest = s[:, np.concatenate(shown)].var(axis=(0, 1)).argmax()
    assert axes[0].texts[0].get_text() == f"component {strongest}"
    lines = [line for line in axes[0].get_lines() if len(line.get_xdata()) == task.spec.steps]
    for line, band, trials in zip(lines, axes[0].collections, shown, strict=True):
        np.testing.assert_allclose(line.get_ydata(), s[:, trials, strongest].mean(axis=1), rtol=1e-5)
        edge = np.percentile(s[:, trials, strongest], 90, axis=1).max()
        assert band.get_paths()[0].vertices[:, 1].max() == pytest.approx(edge, rel=1e-5)
    starts = [line.get_xdata()[0] for line in axes[0].get_lines() if line.get_linestyle() == ":"]
    assert sorted(starts) == [1, 3, 8, 13, 18, 23]  # the elements, and the queried element in each condition


def test_the_figure_of_modulation_shows_the_nm_rnn_and_all_controls(nmbench, tmp_path):
    assert set(modulation.MODELS) == {"nmrnn", *(entry.name for entry in BASELINES.entries("control"))}
    (tmp_path / "r").mkdir()
    code, out, err = nmbench("figures", f"--results={tmp_path / 'r'}", f"--out={tmp_path / 'o'}", "--only=modulation")
    assert code == 1 and out.count("\n") == 1 and err.count("nmbench.run") == 7
    assert "modulation_element_finder: not drawn, there are no runs of its models on element_finder, protocol matched" in out


def test_trials_by_condition_and_their_epochs():
    trials = modulation.ConditionTrials(TASKS.get("context_integration"))
    assert trials.conditions == ["motion -0.15", "motion 0.15", "colour -0.15", "colour 0.15"]
    context = trials.inputs["context"][0].argmax(axis=1)
    assert trials.inputs["sensory"].shape == (85, 400, 2) and (context == np.repeat([0, 1], 200)).all()
    names = list(trials.legend())
    assert names[0] == "relevant coherence: motion -0.15" and names[4:] == ["start: evidence, response", "neutral value"]


def test_a_figure_names_its_rows_and_always_has_the_same_bytes(tmp_path):
    rows = {"nmrnn.element_finder.matched.s0.ab": 0.1 + 0.2, "lstm.element_finder.matched.s12.cd": 1e-9}
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        with rc_context(style.STYLE):
            figure, axes = style.panels(1, 1)
            axes[0, 0].plot([1, 2], color=style.colour(0))
            style.legend(figure, {"line": style.colour(0)})
            written = style.save(figure, folder, Caption("x", "A (caption).", rows))
    assert [path.name for path in written] == ["x.png", "x.svg", "x.pdf"]
    for path in written:
        assert path.read_bytes() == (tmp_path / "a" / path.name).read_bytes()
        assert captions.rows_of(path) == rows


def test_a_figure_of_other_rows_is_refused(nmbench, monkeypatch, tmp_path):
    """5B needs rows only and shows all seeds; it is refused beside rows with other values, or without them."""
    figures, save = [], style.save
    monkeypatch.setattr(style, "DPI", 30)
    monkeypatch.setattr(style, "save", lambda figure, *rest: figures.append(figure) or save(figure, *rest))
    values = [5.0, 0.25, *np.geomspace(0.1, 1.0, 10)]
    rows = make_rows("nmrnn", "element_finder", values)
    table, out = write_csv(tmp_path / "rows.csv", rows), tmp_path / "figures"
    code, printed, err = nmbench("figures", f"--results={table}", f"--out={out}", "--only=5B,5C", "--formats=png")
    assert (
        code == 1
        and "5C: not drawn" in printed
        and "python -m nmbench.run --model=lstm --task=element_finder --seeds=10\n" in err
    )
    (figure,) = figures
    assert figure.axes[0].get_lines()[0].get_ydata().tolist() == values
    assert figure.axes[0].get_xticklabels()[0].get_text() == "nmrnn\nn = 12"
    (box,) = figure.axes[0].collections
    ordered = sorted(values)
    assert (box.get_paths()[0].vertices[:, 1].min(), box.get_paths()[0].vertices[:, 1].max()) == (ordered[2], ordered[9])
    assert captions.rows_of(out / "5B.png") == {row["run_id"]: row["value"] for row in rows}
    assert captions.read(out)[0].rows == captions.rows_of(out / "5B.png")
    shown = f"--figures={out}"
    assert nmbench("validate", table, shown)[1].endswith(": 1 figure of these rows\n")

    def refused(message, *changed):
        other = write_csv(tmp_path / "other.csv", changed)
        code, printed, err = nmbench("validate", other, shown)
        assert (code, printed) == (2, "") and err.count("\n") == 1 and message in err
        page = tmp_path / "page.html"
        assert nmbench("claims", other, "--only=sizes", "--format=html", f"--out={page}")[2] == err.replace(
            "validate", "claims"
        )
        assert not page.exists()

    name = rows[3]["run_id"]
    refused(
        f"shows {name} with value 0.129155, which the rows give another value (1 such of 12)",
        *rows[:3],
        *make_rows("nmrnn", "element_finder", [0.5], first_seed=3),
        *rows[4:],
    )
    refused(f"shows {name} with value 0.129155, which is not among the rows", *rows[:3], *rows[4:])
    text = (out / "captions.md").read_text()
    (out / "captions.md").write_text(text.replace("`, `", "` ").replace(f"`{name}`", "`x`"))
    refused("shows other rows than its caption in captions.md", *rows)
    (out / "captions.md").unlink()
    refused("has no caption in captions.md", *rows)


def test_rows_of_another_test_set_are_refused(nmbench, tmp_path):
    table = write_csv(tmp_path / "rows.csv", make_rows("nmrnn", "element_finder", [1.0], testset_sha256="b" * 64))
    code, out, err = nmbench("figures", f"--results={table}", f"--out={tmp_path / 'o'}", "--only=5B", "--formats=png")
    assert (code, out) == (2, "") and "can be compared only if testset_sha256 is the same" in err


def test_a_run_without_its_files_costs_one_figure(nmbench, monkeypatch, tmp_path):
    """The other figures are drawn and have captions."""
    monkeypatch.setattr(style, "DPI", 30)
    results, out = tmp_path / "r", tmp_path / "o"
    row = write_untrained(results, "nmrnn", "element_finder")
    (results / "runs" / row["run_id"] / "curve.csv").unlink()
    where = [f"--results={results}", f"--out={out}", "--seeds=1", "--formats=png"]
    code, _, err = nmbench("figures", *where, "--only=5C,5B")
    assert code == 1 and err.startswith("5C: not drawn, ") and "has no curve.csv" in err
    assert [caption.name for caption in captions.read(out)] == ["5B"] and [*captions.check(out, [row])] == ["5B"]


def test_the_command_for_missing_runs_replaces_lost_seeds(nmbench, tmp_path):
    """Training the same seed again would lose it again."""
    store = Store(tmp_path / "r")
    store.prepare()
    store.write(make_rows("nmrnn", "element_finder", [None])[0], None, {}, [])
    where = [f"--results={tmp_path / 'r'}", f"--out={tmp_path / 'o'}"]
    code, _, err = nmbench("figures", *where, "--only=S5")
    assert code == 1 and "--model=nmrnn --task=element_finder --seeds=2 " in err


def test_a_picture_of_lost_runs_names_no_rows(tmp_path):
    with rc_context(style.STYLE):
        figure, _ = style.panels(1, 1)
        (picture,) = style.save(figure, tmp_path, Caption("x", "A caption.", {}), ["png"])
    captions.write(tmp_path, [Caption("x", "A caption.", {})])
    assert captions.rows_of(picture) == {} and [*captions.check(tmp_path, [])] == ["x"]


def test_captions_of_other_figures_are_kept(tmp_path):
    first, gone = Caption("a", "First.", {"r.s0": 1.5}), Caption("b", "Second.", {"r.s1": 2.0})
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "c.svg").write_bytes(b"")
    captions.write(tmp_path, [first, gone])
    captions.write(tmp_path, [Caption("c", "Third.", {"r.s0": 1.5, "r.s1": 2.0})])
    assert [caption.name for caption in captions.read(tmp_path)] == ["a", "c"] and captions.read(tmp_path)[0] == first
    assert (
        "![a](a.png)" in (tmp_path / "captions.md").read_text() and "![c](c.svg)" in (tmp_path / "captions.md").read_text()
    )
    with pytest.raises(NmbenchError, match="a.png does not name the rows that it shows"):
        captions.check(tmp_path, [])


def test_captions_name_the_colours_that_are_drawn():
    words = [style.word(c) for c in (style.TRAINED, style.SHORTER, style.LONGER, style.GUIDE, style.BAND, style.INK)]
    assert words == ["purple", "orange", "blue", "red", "cyan", "grey"]
    assert "shorter ones orange, longer ones blue" in gallery.choose("S1", Recipe("none"))[0].caption


def draft(figure, folder, caption, formats):
    """A faster `style.save`: draws once, in low resolution, without the constrained layout, which draws several times."""
    figure.set_layout_engine("none")
    figure.set_dpi(30)
    FigureCanvasAgg(figure).draw()
    assert figure.axes and all(axis.has_data() for axis in figure.axes if axis.get_visible())
    return [folder / caption.name]


@pytest.mark.slow
def test_every_figure_is_drawn(nmbench, monkeypatch, tmp_path):
    monkeypatch.setattr(style, "save", draft)
    monkeypatch.setattr(trained, "VALUE_TOLERANCE", np.inf)  # the values of the rows are made up
    labels = ("delay_anti", "delay_pro", "memory_anti", "memory_pro")
    more = {
        "others": {"mse_trained": 0.1, "mse_extrapolated": 0.2},
        "conditions": {"percent_correct": dict.fromkeys(labels, 50.0)},
    }
    store, rows = Store(tmp_path / "r"), {}
    for model, task in [("nmrnn_linear", "mwg_rank1"), *itertools.product(["nmrnn", "lrrnn", "rnn", "lstm"], MODEL_TASKS)]:
        if task == "mwg_rank3" or task not in rows:
            rows[task] = write_untrained(tmp_path / "r", model, task, **more)
        else:
            # Figures show only rows and curves of these models, not their networks; this saves most of the test's time.
            curve = [CurvePoint(10, 1.0, 1.0)]
            row = {**rows[task], "model": model, "run_id": f"{model}.{task}", "tuning_trials": 0}
            store.write(row, None, {}, curve)
    code, out, err = nmbench("figures", f"--results={tmp_path / 'r'}", f"--out={tmp_path / 'o'}", "--seeds=1")
    assert (code, err) == (0, "")
    names = [figure.name for figure in gallery.FIGURES]
    assert {"3B", "S1", "S2", "S3", "S4", "S5", "S6", "5B", "5C"} <= set(names)
    assert re.findall(r"^(\w+): ", out, re.M) == names
    text = (tmp_path / "o" / "captions.md").read_text()
    assert all(f"**{figure.name}.** {figure.caption} Runs: " in text for figure in gallery.FIGURES)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--only=S1"], "--out is missing"),
        (["--out=o", "--only=S7"], "there is no figure 'S7'; did you mean 'S"),
        (["--out=o", "--only=modulations"], "there is no figure 'modulations'; did you mean 'modulation'"),
        (["--out=o", "--only=modulation", "--results=none"], "there is no results folder none; --train=short creates it"),
        (["--out=o", "--results=none"], "there is no results folder none; --train=short creates it"),
        (["--out=o", "--protocol=macthed"], "has no protocol 'macthed'; did you mean 'matched'"),
        (["--out=o", "--train=long"], "--train"),
        (["--out=o", "--formats=jpg"], "there is no format 'jpg'"),
        (["--out=o", f"--results={__file__}", "--train=short"], "has rows only; with --train, give a results folder"),
        (["--out=o", "--results=tables", "--train=smoke"], "--results=tables has rows only"),
        (["--out=o", "--seeds=0"], "seeds"),
        (["--out=/proc/o"], "--out=/proc/o cannot be written"),
    ],
)
def test_bad_input_gives_one_line_and_writes_nothing(nmbench, tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "rows.csv").write_text("")
    code, out, err = nmbench("figures", *flags)
    assert (code, out) == (2, "") and err.count("\n") == 1 and message in err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["results", "rows.csv", "tables"]


def test_the_longest_training_with_enough_seeds_is_chosen(monkeypatch):
    (made,) = make_rows("rnn", "element_finder", [1.0])
    evaluated = {name: made[name] for name in Evaluation._fields}

    def row(seed, steps, *, budget=500, protocol="matched", status="ok", name="a", departures=None):
        shared = {"model": "rnn", "task": "element_finder", "protocol": protocol, "status": status, "params_target": budget}
        hparams = BASELINES.get("rnn").defaults("element_finder", protocol)
        config = {"model": "rnn", "steps": steps, "budget": budget, "seed": seed, "name": name, "hparams": hparams}
        row = {**evaluated, **shared, "seed": seed, "train_steps": steps, "config_json": json.dumps(config)}
        row["run_id"] = f"{name}{seed}"
        return {**row, "departures": departures, "value": 1.0}

    short = [row(seed, 100, name="short") for seed in (2, 0, 1)]
    long = [row(0, 900, name="long")]
    other = [row(seed, 100, budget=900, name="other") for seed in range(4)]
    failed = [row(3, 100, status="diverged", name="short"), row(0, 5000, protocol="smoke", name="smoke")]
    failed.append(row(0, 4000, name="away", departures="learning rate 0.1, not 0.01"))
    monkeypatch.setattr(runs.store, "iterate", lambda folder: iter(other + short + long + failed))
    monkeypatch.setattr(runs.Store, "folders", lambda self: ["something"])
    monkeypatch.setattr(runs.loading, "has_run_folder", lambda run_id, results: True)

    def chosen(seeds, steps=None):
        need = Need("rnn", "element_finder", seeds)
        return [run.row["run_id"] for run in runs.find([need], Recipe("r", "matched", steps))[need]]

    assert chosen(1) == ["long0"]
    assert chosen(2) == ["short0", "short1"]
    assert chosen(4) == ["other0", "other1", "other2", "other3"]
    assert chosen(9) == ["long0"]
    assert chosen(1, steps=1000) == ["away0"] and chosen(1, steps=5000) == []


def test_interval_trials_have_cues_and_colours():
    trials = timing.IntervalTrials(TASKS.get("mwg_rank3"))
    assert trials.inputs["sensory"].shape == (110, 12, 3) and trials.targets.shape == (110, 12, 1)
    # The measure cue comes at step 15, the wait cue one interval later and the go cue 15 steps after the wait cue.
    cues = [np.flatnonzero(trials.inputs["sensory"][:, i].any(axis=1)).tolist() for i in range(12)]
    assert cues == [[15, 15 + i, 30 + i] for i in (4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26)]
    red, green, blue = np.array(trials.colours).T
    assert (red[:4] > blue[:4]).all() and (blue[8:] > red[8:]).all() and (green[4:8] < red[4:8]).all()
    # Trials 0, 4 and 11 have the strongest red, purple and blue, which also differ in luminance (0 to 1).
    luminance = np.array(trials.colours)[[0, 4, 11]] @ [0.2126, 0.7152, 0.0722]
    assert np.abs(np.subtract.outer(luminance, luminance))[np.triu_indices(3, 1)].min() > 0.1


def test_the_median_of_curves_that_end_early():
    from matplotlib.figure import Figure

    axis = Figure().subplots()
    curves = np.array([[1.0, 2, np.nan], [3, 8, np.nan], [5, np.nan, np.nan]])
    style.seeds_and_median(axis, np.arange(3), curves, "black")
    np.testing.assert_array_equal(axis.get_lines()[-1].get_ydata(), [3, 5, np.nan])
    assert [line.get_linewidth() for line in axis.get_lines()] == [0.7, 0.7, 0.7, 2.2]
    row = {"run_id": "x", "metric": "mse", "value": 2.0, "metrics.other": None, "status": "ok", "task": "element_finder"}
    assert FinishedRun(row, "r").metric("mse") == 2
    with pytest.raises(NmbenchError, match="x has no other; another version of nmbench made the row"):
        FinishedRun(row, "r").metric("other")
    floor = TASKS.get("element_finder").primary.floor
    assert FinishedRun({**row, "status": "diverged", "value": None}, "r").metric("mse") == floor
