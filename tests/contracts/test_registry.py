"""Registries: scanning, entry points, plugins, origins, suggestions, duplicates."""

import importlib.metadata
import sys

import pytest

from nmbench.contracts import plugins
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.contracts.registry import Registry, scan_source
from nmbench.support.errors import NmbenchError

MODEL = '''
import jax.numpy as jnp
from nmbench import register_baseline

@register_baseline("{name}", free_size="N", tags=("mine",))
def make(spec, N: int):
    """A constant."""
    return lambda key: {{"m": {{"w": jnp.zeros((N,))}}}}, lambda p, x: 0
'''


@pytest.fixture(autouse=True)
def restored():
    with TASKS.restored(), BASELINES.restored():
        yield


def test_scanning_finds_names_tags_summaries_and_lines_without_importing():
    source = '"""Doc."""\n\n@register_thing("a", tags=("x", "y"))\nclass A:\n    """First line.\n\n    More."""\n\n\n'
    source += 'm.register_thing("b", summary="s")\nregister_thing(variable)\nother("c")\n'
    found = [(c.name, c.tags, c.summary, c.line) for c in scan_source(source, "register_thing")]
    assert found == [("a", ("x", "y"), "First line.", 3), ("b", (), "s", 10)]


def test_builtin_entries_are_known_with_their_origin_before_import():
    entries = {e.name: e for e in BASELINES.entries()}
    assert {"nmrnn", "lrrnn", "rnn", "lstm"} <= set(entries)
    assert entries["nmrnn"].origin.startswith("baselines/nmrnn.py:")
    assert "neuromodulation" in entries["nmrnn"].tags and entries["nmrnn"].summary
    assert {e.name for e in BASELINES.entries("low-rank")} >= {"nmrnn", "nmrnn_linear", "lrrnn"}
    assert TASKS.entry("element_finder").origin.startswith("tasks/element_finder.py:")


def test_scanned_and_registered_entries_agree():
    for registry in (TASKS, BASELINES):
        for scanned in registry.entries():
            loaded = registry.entry(scanned.name)
            assert (loaded.tags, loaded.summary) == (scanned.tags, scanned.summary)


def test_unknown_names_get_a_suggestion():
    known = ", ".join(sorted(entry.name for entry in BASELINES.entries()))
    assert known.startswith("ctrnn_gated, gain_rnn, gru, ") and known.endswith(", semilinear_lstm, stp_rnn")
    with pytest.raises(NmbenchError, match=rf"unknown model 'nmrn'; did you mean 'nmrnn'\? \(known: {known}\)"):
        BASELINES.get("nmrn")
    with pytest.raises(NmbenchError, match="unknown task 'xyz' .known: "):
        TASKS.get("xyz")


def test_a_forgotten_name_can_be_registered_again():
    registry = Registry("thing", register_name="r", package="nmbench.report", group="none")
    registry.register("a", 1, origin="x.py:1")
    registry.forget("a")
    assert "a" not in registry
    registry.register("a", 2, origin="x.py:1")
    assert registry.get("a") == 2
    registry.forget("b")  # not an error


@pytest.mark.parametrize("name", ["", "1a", "a b", "../x", "a" * 65, "<b>", None, "a.b"])
def test_malformed_names_are_refused(name):
    registry = Registry("thing", register_name="r", package="nmbench.report", group="none")
    with pytest.raises(NmbenchError, match="cannot name a thing"):
        registry.register(name, object(), origin="x.py:1")


def test_tags_as_text_are_refused():
    with pytest.raises(NmbenchError, match=r"model 'one': tags must be a tuple, such as \('timing',\)"):
        BASELINES.register("one", None, origin="x.py:1", tags="timing")


def test_duplicates_are_refused_with_both_origins(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(MODEL.format(name="nmrnn"))
    with pytest.raises(NmbenchError, match=r"'nmrnn' from mine.py:5 is already registered, at baselines/nmrnn.py:\d+"):
        plugins.load(str(file))


def test_a_plugin_registers_its_model(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(MODEL.format(name="constant"))
    assert plugins.load(str(file)) == ["constant"]
    assert BASELINES.entry("constant").origin == "mine.py:5"
    assert BASELINES.get("constant").summary == "A constant."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:\n", "syntax error in line 1"),
        ("x = 1\n", "registers nothing"),
        ("import nonexistent_module_xyz\n", "ModuleNotFoundError in line 1"),
        ("1 / 0\n", "ZeroDivisionError in line 1"),
        ("raise SystemExit(3)\n", "SystemExit in line 1"),
        (
            "from nmbench import register_baseline\n@register_baseline('m', free_size='N')\ndef f(spec): ...\n",
            "free size 'N'",
        ),
        (
            "from nmbench import register_baseline\n@register_baseline('m', free_size='N')\ndef f(spec, N, k): ...\n",
            "give k",
        ),
        (
            "from nmbench import register_baseline\n@register_baseline('m', free_size='N')\ndef f(spec, N, k=(4, 4)): ...\n",
            r"the default of k is \(4, 4\); a hyperparameter is a number",
        ),
        (
            "from nmbench import register_baseline\n"
            "@register_baseline('m', free_size='N', learning_rates={'t/p': -0.01})\ndef f(spec, N): ...\n",
            r"learning_rates\['t/p'\] is -0.01, but must be a finite number above 0",
        ),
        (
            "from nmbench import Phase, Protocol\nProtocol(name='p', phases=(Phase(data='t', steps=1, validation='v'),),"
            " learning_rate_grid=(0.1, 0.1))\n",
            "learning_rate_grid must contain finite numbers above 0, each only once",
        ),
    ],
)
def test_bad_plugins_give_a_one_line_error(tmp_path, text, message):
    file = tmp_path / "bad.py"
    file.write_text(text)
    before = set(sys.modules)
    with pytest.raises(NmbenchError, match=message) as caught:
        plugins.load(str(file))
    assert "\n" not in str(caught.value)
    assert not [m for m in set(sys.modules) - before if m.startswith("nmbench_plugin_")]


@pytest.mark.parametrize("path", ["missing.py", "folder.py", "text.txt"])
def test_paths_without_a_python_file_are_refused(tmp_path, path):
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "text.txt").write_text("x")
    with pytest.raises(NmbenchError, match="no such Python file"):
        plugins.load(str(tmp_path / path))


class Point:
    """A substitute for importlib.metadata.EntryPoint."""

    def __init__(self, name, module, dist="acme"):
        self.name, self.module = name, module
        self.dist = type("D", (), {"name": dist})()


def test_entry_points_are_announced_and_imported_on_lookup(tmp_path, monkeypatch):
    (tmp_path / "acme_models.py").write_text(MODEL.format(name="acme_net"))
    (tmp_path / "acme_broken.py").write_text("1 / 0\n")
    (tmp_path / "acme_empty.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    points = [Point("acme_net", "acme_models"), Point("acme_bad", "acme_broken"), Point("acme_none", "acme_empty")]
    real = importlib.metadata.entry_points
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points if group == "acme" else real(group=group))
    registry = Registry("model", register_name="register_baseline", package="nmbench.report", group="acme")
    monkeypatch.setattr("nmbench.contracts.registration.BASELINES", registry)
    assert [e.origin for e in registry.entries()] == [
        "acme (acme_broken)",
        "acme (acme_models)",
        "acme (acme_empty)",
    ]
    assert "acme_models" not in sys.modules
    assert registry.get("acme_net").name == "acme_net"
    with pytest.raises(NmbenchError, match=r"acme_bad' from acme \(acme_broken\) fails to import: ZeroDivisionError"):
        registry.get("acme_bad")
    with pytest.raises(NmbenchError, match="announces the model 'acme_none' but does not register it"):
        registry.get("acme_none")
