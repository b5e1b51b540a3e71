"""The leaderboard page: its contents, its notes on missing files, and which files it does not overwrite."""

import dataclasses
import html.parser
import re
import shutil
import sys
import urllib.parse

import numpy as np
import pytest

from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.experiments import resolution, running
from nmbench.experiments.request import Request
from nmbench.experiments.row_commands import RowCommands
from nmbench.report import leaderboard_csv, model_styles, overview, page
from nmbench.report.page import board_tables, sections, svg
from nmbench.report.page.outputs import outputs
from nmbench.results import csv_files, experiment_rows, ranking, schema, store
from nmbench.results.curves import read_curve
from nmbench.results.overall import overall_rankings
from nmbench.support.errors import NmbenchError
from nmbench.training import prediction
from support.rows import diverged, make_row, tables_of

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    return tmp_path_factory.mktemp("trained_once") / "results"


@pytest.fixture
def trained(toy_task, tmp_path, trained_once):
    """A results folder with two real runs of the toy task, trained once."""
    if not trained_once.exists():
        folder = store.Store(trained_once)
        folder.prepare()
        experiment = resolution.resolve(Request(model="rnn", task="toy", hparams={"N": 5}, steps=20))
        running.run_seeds(experiment, [0, 1], folder)
    return store.Store(shutil.copytree(trained_once, tmp_path / "results"))


def toy_rows(task):
    """Rows of models that are not registered, one of them with a name that is a script."""
    frozen = task.frozen("test")
    facts = {
        "task": "toy",
        "testset_sha256": frozen.sha256,
        "n_test": 12,
        "floor": 1.0,
        "params_target": None,
        "params_dev": None,
        "departures": "steps 20, not 40; learning rate not tuned",  # as in the runs of `trained`
    }
    made = []
    for model, seeds in ((SCRIPT, 3), ("a$b_{c}$", 1)):
        for seed in range(seeds):
            made.append(make_row(model, seed, 0.2 + 0.1 * seed, run_id=f"r{len(made)}", **facts))
    made.append(
        diverged(
            **facts, model=SCRIPT, seed=9, run_id="lost", config_json=made[0]["config_json"].replace('"seed":0', '"seed":9')
        )
    )
    return made


def write_csv(path, rows):
    path.write_text(csv_files.to_csv(rows))
    return str(path)


def make_page(folder, *paths):
    """The page's text."""
    tables = ranking.rank_tables(experiment_rows.read_all(paths))
    page.check_size(tables)
    index = page.write(page.check_out(str(folder)), tables, overall_rankings(tables), paths, RowCommands().of)
    assert [p.name for p in folder.iterdir()] == ["index.html"]
    return index.read_text(encoding="utf-8")


class Parsed(html.parser.HTMLParser):
    """The elements of a page as (name, attributes), and its text without scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.inside, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.inside.append(tag)

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self.inside.pop()

    def handle_data(self, data):
        self.text += "" if self.inside else data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.mark.slow
def test_a_page_of_real_runs_is_complete_and_self_contained(trained, toy_task, tmp_path):
    text = make_page(tmp_path / "out", str(trained.root), write_csv(tmp_path / "more.csv", toy_rows(toy_task)))
    found = Parsed(text)
    # Names are text everywhere, and the only script is the page's own.
    assert len(found.all("script")) == 1 and SCRIPT not in text and found.text.count(SCRIPT) >= 4
    assert "a$b_{c}$" in found.text
    # The page loads nothing.
    assert not re.search(r"https?://|//[a-z]|url\((?!#)|@import", re.sub(r"<script>.*</script>", "", text, flags=re.S))
    assert not any({"src", "srcset", "poster", "data"} & set(a) for _, a in found.elements)
    assert all(a["href"] == "data:," for a in found.all("link"))
    policy = next(a["content"] for a in found.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'") and "sha256-" in policy and "unsafe-eval" not in policy
    # Ids are unique, and every reference to an id has a target.
    ids = [a["id"] for _, a in found.elements if "id" in a]
    assert len(ids) == len(set(ids)) and all(re.fullmatch(r"\S+", i) for i in ids)
    for tag, attributes in found.elements:
        for name in ("aria-labelledby", "aria-controls"):
            assert set((attributes.get(name) or "").split()) <= set(ids), (tag, attributes)
        if (attributes.get("href") or "").startswith("#"):
            assert attributes["href"][1:] in ids
    for reference in re.findall(r"url\(#([^)]+)\)", text):
        assert reference in ids
    # Tables and figures are accessible to screen readers.
    tables = len(found.all("table"))
    assert tables == len(found.all("caption")) >= 4
    assert all(a.get("scope") in ("col", "row") for a in found.all("th"))
    plots = [a for a in found.all("svg") if a.get("class") == "plot"]
    # The overview; seeds, curves, conditions and sizes; three examples; the outputs of the one model that has parameters.
    assert len(plots) == 1 + 4 + 3 + 1 and all(a["role"] == "img" for a in plots)
    assert len(found.all("desc")) == len(plots) == len([t for t in found.all("title") if "id" in t])
    assert "rnn: 2 seeds, lowest validation loss" in found.text
    assert f"Training curves are missing, because there are no run folders: a$b_{{c}}$, {SCRIPT}." in found.text
    # A table's CSV is part of the page. Only what comes with nmbench has a page on the site.
    (table,) = ranking.rank_tables(experiment_rows.read_all([str(trained.root), str(tmp_path / "more.csv")]))
    (link,) = [a for a in found.all("a") if "download" in a]
    assert link["download"] == "toy.matched_steps_20_not_40_learning_rate_not_tuned_.sizes.csv"
    kind, _, content = link["href"].partition(",")
    assert kind == "data:text/csv;charset=utf-8" and urllib.parse.unquote(content) == leaderboard_csv.tables([table])
    assert [a["data-site"] for a in found.all("a") if "data-site" in a] == ["models/rnn.html"]
    # What decides how to read a line is in its table.
    labels = {a["data-label"] for a in found.all("td") if "data-label" in a}
    assert {"Seeds", "Steps", "Learning rate", "Protocol"} <= labels and "not tuned" in found.text
    # References have a table of their own.
    assert [a["id"] for a in found.all("caption") if "references" in a["id"]] == ["task-toy-references"]
    # Provenance and commands.
    assert "python -m nmbench.run --model=rnn --task=toy --hparams=N=5 --steps=20 --seeds=2" in found.text
    for row in trained.rows():
        assert row["run_id"] in found.text and row["testset_sha256"] in found.text
        assert row["started_utc"] in found.text and row["jax_version"] in found.text
    assert "No command trains this run: config_json is not the configuration of a run" in found.text
    assert "loss was not a number at step 3" in found.text
    size = int(re.search(r"This page is (\d+) kB", found.text)[1])
    assert abs(size - len(text.encode()) / 1000) < 1


def test_outputs_match_the_stored_parameters(trained, toy_task):
    experiment = resolution.resolve(Request(model="rnn", task="toy", hparams={"N": 5}, steps=20))
    (row, _), chosen = trained.rows(), np.array([0, 6, 11])
    answered, remark = outputs(toy_task, row, trained.runs / row["run_id"], chosen)
    import jax

    from nmbench.training.parameter_files import load_params

    like = jax.eval_shape(experiment.model.init, jax.random.key(0))
    params = load_params(trained.runs / row["run_id"] / store.PARAMS, like)
    everything = prediction.predictor(experiment.model, toy_task, toy_task.frozen("test"))(params)
    np.testing.assert_allclose(answered, everything[:, chosen], rtol=1e-5, atol=1e-6)
    assert toy_task.evaluate(everything, toy_task.frozen("test").arrays)["values"]["mse"] == pytest.approx(
        row["value"], rel=1e-5
    )
    assert remark == ""
    older = {**row, "config_json": row["config_json"].replace('"model_sha256":"', '"model_sha256":"0')}
    assert "has changed since this run" in outputs(toy_task, older, trained.runs / row["run_id"], [0])[1]
    curve = read_curve(trained.runs / row["run_id"])
    assert curve[:, 0].tolist() == [10, 20] and curve[:, 2].min() == pytest.approx(row["validation_loss"])


def test_the_page_names_missing_files_of_run_folders(trained, toy_task, tmp_path):
    first, second = trained.folders()
    (first / store.CURVE).write_text("step,loss\n1,2\n")
    (second / store.CURVE).unlink()
    (first / store.PARAMS).write_bytes(b"\xff" * 30)
    (second / store.PARAMS).write_bytes(b"")
    text = Parsed(make_page(tmp_path / "out", str(trained.root))).text
    assert f"curve.csv of {first.name} cannot be read" in text
    assert f"the folder of {second.name} has no curve.csv" in text
    assert "No outputs of rnn: cannot read parameters from params.safetensors" in text and str(tmp_path) not in text


def test_the_page_names_models_that_are_missing_or_have_other_sizes(trained, toy_task, tmp_path, monkeypatch):
    row = trained.rows()[0]
    with pytest.raises(NmbenchError, match="does not hold this model's parameters"):
        outputs(
            toy_task,
            {**row, "config_json": row["config_json"].replace('"N":5', '"N":6')},
            trained.runs / row["run_id"],
            np.array([0]),
        )
    monkeypatch.delitem(BASELINES._entries, "rnn")
    text = Parsed(make_page(tmp_path / "out", str(trained.root))).text
    assert (
        "No outputs of rnn: " in text
        and "its model 'rnn'" in text
        and "name its file with --plugin=FILE.py" in text
        and "This version of nmbench refuses the command: unknown model 'rnn'" in text
    )
    assert "Example trials" in text


def test_curves_of_models_trained_elsewhere_are_not_missing():
    (table,) = tables_of([make_row(model, s, run_id=f"{model}-{s}") for model in ("a", "b") for s in range(2)])
    first, second = table.entries
    table = dataclasses.replace(table, entries=(first, dataclasses.replace(second, external=True)))
    note = "Training curves are missing, because there are no run folders: a."
    assert sections._curves(table, {}) == ({}, [note])


def test_the_page_of_a_csv_mentions_run_folders(toy_task, tmp_path):
    found = Parsed(make_page(tmp_path / "out", write_csv(tmp_path / "a.csv", toy_rows(toy_task))))
    assert "Training curves and outputs need the run folders" in found.text
    assert "--format=html --out=DIR" in found.text and "Outputs of trained networks" not in found.text


def test_the_page_names_a_task_that_fails(trained, toy_task, tmp_path, monkeypatch):
    broken = dataclasses.replace(toy_task, epochs=lambda arrays, trial: arrays["no such array"])
    monkeypatch.setitem(TASKS._entries, "toy", dataclasses.replace(TASKS.entry("toy"), value=broken))
    text = Parsed(make_page(tmp_path / "out", str(trained.root))).text
    assert "Its trials cannot be drawn: KeyError: 'no such array'." in text and "half the running sum" in text


def test_rows_of_an_unknown_task_and_of_models_trained_elsewhere(tmp_path):
    elsewhere = {c.name: None for c in schema.COLUMNS if c.training} | {
        "protocol": "external",
        "model_origin": "external: torch",
    }
    rows = [make_row("a", task="gone task"), make_row("b", run_id="b", task="gone task", **elsewhere)]
    rows += [make_row("c", run_id="c", task="gone-task")]
    found = Parsed(make_page(tmp_path / "out", write_csv(tmp_path / "a.csv", rows)))
    assert "Its trials cannot be drawn: unknown task 'gone task'" in found.text
    assert "Trained outside nmbench, which only scored the predictions" in found.text
    # A name with a space cannot be part of a link.
    assert {"#task-gone-task", "#task-1"} <= {a.get("href") for a in found.all("a")}


def test_too_many_rows_are_refused_before_anything_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "MOST_ROWS", 1)
    path = write_csv(
        tmp_path / "a.csv", [make_row(), make_row(seed=1, run_id="b", config_json=make_row(seed=1)["config_json"])]
    )
    with pytest.raises(NmbenchError, match="2 rows are too many for a page, 1 at most"):
        make_page(tmp_path / "out", path)
    assert not (tmp_path / "out").exists()


def test_the_folder_is_checked_and_other_files_are_not_replaced(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(NmbenchError, match="is not a folder; name a folder"):
        page.check_out(str(tmp_path / "file"))
    with pytest.raises(NmbenchError, match="cannot be written"):
        page.check_out(str(tmp_path / "file" / "below"))
    other = tmp_path / "other"
    other.mkdir()
    (other / "index.html").write_text("<!doctype html><title>my own page</title>")
    with pytest.raises(NmbenchError, match="is not a page of nmbench; move it away"):
        page.check_out(str(other))
    assert (other / "index.html").read_text().endswith("my own page</title>")
    # A page of nmbench is replaced.
    csv = write_csv(tmp_path / "a.csv", [make_row()])
    first = make_page(tmp_path / "new" / "deep", csv)
    assert "made_up" in first
    csv = write_csv(tmp_path / "a.csv", [make_row(task="another", run_id="b")])
    assert "made_up" not in make_page(tmp_path / "new" / "deep", csv)
    for library in ("jinja2", "matplotlib"):
        with monkeypatch.context() as context:
            context.setitem(sys.modules, library, None)
            with pytest.raises(NmbenchError, match=rf"the page needs {library}: pip install 'nmbench\[report\]'"):
                page.check_libraries()


def colours():
    """Variables of the style sheet, light and dark."""
    light, dark = page._style().split("@media screen and (prefers-color-scheme: dark)")
    found = lambda part: dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", part))
    return [found(light), found(dark[: dark.index("}")])]


def contrast(a, b):
    """Contrast ratio of two colours by WCAG 2, 1 .. 21."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_contrast_is_enough_in_light_and_dark(mode):
    c = colours()[mode]
    assert len(c) == 22 and contrast("#ffffff", "#000000") == pytest.approx(21)
    for background in ("page", "panel"):
        for text in ("ink", "muted", "accent"):
            assert contrast(c[text], c[background]) >= 4.5, (text, background)
    for i in range(len(model_styles.COLOURS)):
        assert contrast(c[f"c{i}"], c["page"]) >= 4.5, i
        for shade in range(6):
            assert contrast(c[f"c{i}"], c[f"s{shade}"]) >= 3.0, (i, shade)


def test_figures_take_their_colours_from_the_page():
    assert [svg.variable(c) for c in (svg.INK, svg.series(7), svg.shade(5), "#123456")] == [
        "var(--ink)",
        "var(--c7)",
        "var(--s5)",
        "#123456",
    ]


def test_a_model_has_one_colour_and_marker_whatever_else_is_drawn():
    shipped = [entry.name for entry in BASELINES.entries()]
    names = [*shipped, *(f"plugin{i}" for i in range(model_styles.PAIRS - len(shipped)))]
    every = model_styles.styles({name: name for name in names})
    # All pairs differ, and the models of one figure that share a colour differ in the dashes of their lines.
    assert len({(look.colour, look.marker) for look in every.values()}) == model_styles.PAIRS
    assert len({(every[name].colour, str(every[name].dashes)) for name in shipped}) == len(shipped)
    assert list(model_styles.styles({n: n for n in reversed(names)}).items()) == list(reversed(every.items()))
    for name in (*shipped, "plugin0"):
        alone = model_styles.styles({name: name})[name]
        assert alone == every[name] or name == "plugin0"
        assert alone == model_styles.styles({name: name, "rnn": "rnn"})[name]
    # Configurations of a model share its colour; with more models than pairs, pairs repeat.
    found = model_styles.styles({"rnn": "rnn", "rnn [N=5]": "rnn", "rnn [N=6]": "rnn"})
    assert found["rnn"] == every["rnn"] and len({look.marker for look in found.values()}) == 3
    assert {look.colour for look in found.values()} == {every["rnn"].colour}
    assert len(model_styles.styles({str(i): str(i) for i in range(80)})) == 80


def test_the_table_that_stands_for_a_task_is_the_one_without_departures():
    given = [(None, None, "paper"), (None, 250, "matched"), ("steps 20, not 40", 500, "matched"), (None, 500, "matched")]
    rows = []
    for i, (departures, budget, protocol) in enumerate(given):
        facts = {"departures": departures, "params_target": budget, "protocol": protocol, "task": "element_finder"}
        rows += [make_row("rnn", seed, run_id=f"r{i}-{seed}", **facts) for seed in range(2)]
    for left, expected in ((4, ("matched", 500)), (3, ("matched (steps 20, not 40)", 500))):
        (chosen,) = overview.main_tables(tables_of(rows[: 2 * left]))
        assert (chosen.protocol, chosen.budget) == expected
    # A table with one model compares nothing.
    facts = {"departures": "learning rate not tuned", "params_target": 500, "protocol": "matched", "task": "element_finder"}
    rows += [make_row(model, s, run_id=f"{model}-{s}", **facts) for model in ("rnn", "lstm") for s in range(2)]
    (chosen,) = overview.main_tables(tables_of(rows))
    assert chosen.protocol == "matched (learning rate not tuned)"
    facts = {"params_target": 1000, "protocol": "matched", "task": "element_finder"}
    larger = [make_row(model, s, run_id=f"{model}+{s}", **facts) for model in ("rnn", "lstm") for s in range(2)]
    (chosen,) = overview.main_tables(tables_of([*rows[6:8], *larger]))
    assert (chosen.protocol, chosen.budget) == ("matched", 1000)


@pytest.mark.parametrize("site", ["https://example.org/x/", "..", "/docs", ""])
def test_links_to_the_site_need_its_address(tmp_path, site):
    given = page.check_site(site)
    tables = tables_of([make_row("rnn", s, run_id=f"r{s}") for s in range(2)])
    assert board_tables.about(tables[0]) == [("task", "made_up", ""), ("model", "rnn", "models/rnn.html")]
    assert given == site.rstrip("/")
    for wrong in ("javascript:alert(1)", "//example.org", "a b", "models", "/"):
        with pytest.raises(NmbenchError, match="is not an address; give the root of the site"):
            page.check_site(wrong)
