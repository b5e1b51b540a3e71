"""docs/generated_tables.py: tables and sentences between the markers of a text, from made-up rows."""

import importlib.util
import pathlib

import pytest

from support.claimed import make_rows, write_csv

SCRIPT = pathlib.Path(__file__).parents[2] / "docs" / "generated_tables.py"
CLAIMS = (
    "# Ledger\n\n- **sizes**: *Sizes match.* As published: **holds**. They do.\n- **other**: *So.* It differs.\n\n## sizes\n"
)


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The script, for made-up rows, claims and README.md."""
    spec = importlib.util.spec_from_file_location("generated_tables", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows = [
        row for model, error in (("nmrnn", 0.1), ("rnn", 9.0)) for row in make_rows(model, "element_finder", [error] * 6)
    ]
    rows += make_rows("nmrnn", "element_finder", [5.0], first_seed=9, departures="steps 300, not 20000")
    for seed, trained in enumerate((1e-5, 1e-2)):
        rows += make_rows("nmrnn", "mwg_rank3", [0.001], first_seed=seed, others={"mse_trained": trained})
    board = pathlib.Path(write_csv(tmp_path / "rows.csv", rows))
    monkeypatch.setattr(module, "board_files", lambda: [board])
    (tmp_path / "CLAIMS.md").write_text(CLAIMS)
    monkeypatch.setattr(module, "CLAIMS", tmp_path / "CLAIMS.md")
    monkeypatch.setattr(module, "README", tmp_path / "README.md")
    return module


def test_blocks(script):
    found = script.blocks()
    table, _, text = found["table", "element_finder"].partition("\n\n")
    assert " ".join(text.split()) == (
        "Score: 0 at 36.67, 100 at 0. Solved: `mse` at most 1. References: perfect 0, chance (always 0) 36.63. With 6 seeds "
        "of each model, `nmrnn` is ahead of all others."
    )
    assert " ".join(found["text", "mwg_rank3:learned"].split()).endswith("for `nmrnn` in 1 of 2 seeds.")
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.split("\n")]
    assert lines[0] == ["rank", "model", "params", "seeds", "median", "95%", "score", "solved"]
    assert [line[1] for line in lines[2:]] == ["nmrnn", "rnn"] and [line[7] for line in lines[2:]] == ["6/6", "0/6"]
    assert found["text", "claims"] == (
        "- **sizes**: *Sizes match.* As published: **holds**. They do.\n- **other**: *So.* It differs."
    )
    assert found["text", "claim:other"] == "*So.* It differs."
    assert all(len(line) <= 120 for (kind, _), text in found.items() if kind == "text" for line in text.split("\n"))


def test_text_between_markers_is_replaced(script, capsys):
    script.README.write_text("a\n<!-- text: claim:other -->\n\nold\n\n<!-- end -->\nb\n<!-- text: claims --><!-- end -->\n")
    assert script.main(["--check"]) == 1 and "is not current" in capsys.readouterr().err
    assert script.main([]) == 0 and script.main(["--check"]) == 0
    text = script.README.read_text()
    assert text.startswith("a\n<!-- text: claim:other -->\n*So.* It differs.\n<!-- end -->\nb\n")
    script.README.write_text("<!-- text: claim:none -->\n<!-- end -->")
    with pytest.raises(KeyError, match="claim:none"):
        script.main([])
