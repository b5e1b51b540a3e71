"""`nmbench.claims`: equal verdicts in both formats, escaped and self-contained pages, and refused input."""

import html.parser
import os
import pathlib
import re
import sys

import pytest

from nmbench.paper.ledger import effects, page
from nmbench.paper.ledger.publication import CLAIMS, Claim, LedgerEntry
from nmbench.paper.ledger.verdicts import ClaimFinding, Effects, MeasuredValue, Verdict
from nmbench.report.captions import Caption, Shown
from nmbench.results.statistics import Estimate
from nmbench.support import terminal
from support.claimed import make_rows, write_csv, write_folder

TASK = "element_finder"
ONLY = "--only=selection_lstm,selection_code,selection"
# Verdicts for the rows of `csv` under `paper` and `matched`; None if the claim is not tested under a protocol.
EXPECTED = {
    "selection_lstm": ("no data", "cannot tell (does not hold after 3000 of 20000 steps)"),
    "selection_code": ("no data", None),
    "selection": ("no data", "cannot tell (holds after 3000 of 20000 steps)"),
}


def some_rows(**more):
    """Rows of one task and protocol with shortened training: nmrnn is better than two models and worse than the third."""
    errors = {"nmrnn": 0.5, "lrrnn": 5.0, "rnn": 6.0, "lstm": 0.05}
    each = [make_rows(m, TASK, [e + 0.001 * i for i in range(8)], steps=3000, **more) for m, e in errors.items()]
    return [row for rows in each for row in rows]


@pytest.fixture
def csv(tmp_path):
    return write_csv(tmp_path / "rows.csv", some_rows())


# Claims that are computed without rows, and documented differences.
WITHOUT_ROWS = (
    *("sizes", "more_parameters", "metric_source", "power_law", "proposition", "proposition_printed"),
    *("signal_printed", "signal_corrected", "fewer_parameters"),
    *("training_loss", "rivals_data", "test_trials", "training_times", "reversed_inputs"),
)


def cells_of(line):
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def of_markdown(text):
    """Map each claim in the first table to its verdicts under `paper` and `matched`."""
    lines = text.split("\n\n| claim", 1)[1].split("\n\n", 1)[0].split("\n")[2:]
    found = {}
    for line in lines:
        name, _, *verdicts = cells_of(line)
        found[re.search(r"\(#(\w+)\)", name)[1]] = tuple(verdict or None for verdict in verdicts)
    return found


class Page(html.parser.HTMLParser):
    """Tags with attributes, rows of all tables, and headings of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.tables, self.headings, self._into = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._into = self.tables[-1][-1]
        elif tag == "h3":
            self.headings.append("")
            self._into = self.headings
        elif tag in ("small", "span") and self._into:
            self._into[-1] += "|"

    def handle_endtag(self, tag):
        if tag in ("td", "th", "h3"):
            self._into = None

    def handle_data(self, data):
        if self._into:
            self._into[-1] += data


def with_qualifier(text):
    """A verdict as written in Markdown."""
    verdict, _, qualifier = (part.strip() for part in text.partition("|"))
    return (f"{verdict} ({qualifier})" if qualifier else verdict) or None


def of_html(text):
    return {name: tuple(map(with_qualifier, verdicts)) for name, _, *verdicts in Page(text).tables[0][1:]}


def test_a_terminal_gets_plain_text_that_fits(nmbench, csv, monkeypatch):
    monkeypatch.setattr(terminal, "width", lambda: 80)
    code, out, err = nmbench("claims", csv, ONLY)
    assert (code, err) == (0, "") and out.startswith("Ledger of claims\n\nThe claims of Costacurta")
    assert not re.search(r"[\\`#|]|&#", out)
    # Commands are not wrapped, so that they can be copied.
    assert max(len(line) for line in out.splitlines() if "nmbench." not in line) <= 80
    filled = " ".join(out.split())
    for name, verdicts in EXPECTED.items():
        assert f"\n{name}\n{'-' * len(name)}\n" in out
        for condition, verdict in zip(page.CONDITIONS.values(), verdicts, strict=True):
            assert verdict is None or f"{condition}: {verdict}. " in filled
    assert nmbench("claims", csv, ONLY, "--format=markdown")[1].startswith("# Ledger of claims")


def test_both_formats_have_the_same_contents(nmbench, csv, tmp_path):
    code, out, err = nmbench("claims", csv, ONLY)
    assert (code, err) == (0, "") and out.startswith("# Ledger of claims\n")
    assert of_markdown(out) == EXPECTED and list(of_markdown(out)) == list(EXPECTED)
    page = tmp_path / "page.html"
    code, printed, err = nmbench("claims", csv, ONLY, "--format=html", f"--out={page}")
    assert (code, printed, err) == (0, "", "")
    text = page.read_text(encoding="utf-8")
    assert of_html(text) == EXPECTED and list(of_html(text)) == list(EXPECTED)
    # Each claim's section has the same headings and the same tables of values.
    read = Page(text)
    assert [re.sub(r"\s*\|(.+)", r" (\1)", heading) for heading in read.headings] == re.findall("^### (.+)$", out, re.M)
    blocks = re.findall(r"^\| measured.+\n\|.+\n((?:\|.+\n?)+)", out, re.M)
    assert len(blocks) == len(read.tables) - 1 == 2
    for block, table in zip(blocks, read.tables[1:], strict=True):
        unescaped = [
            [html.unescape(cell).replace("\\", "") for cell in cells_of(line)] for line in block.strip().split("\n")
        ]
        assert unescaped == table[1:]
    for command in re.findall("^python -m .+$", out, re.M)[1:]:
        assert command in text
    assert len(re.findall("^python -m nmbench.run .+$", out, re.M)) == 2 * 2 + 3 + 2 * 3


def test_markdown_contains_the_command_that_made_it(nmbench, csv, tmp_path):
    _, printed, _ = nmbench("claims", csv, ONLY)
    assert f"```\npython -m nmbench.claims {csv} {ONLY}\n```" in printed
    code, out, _ = nmbench("claims", csv, ONLY, f"--out={tmp_path}/claims.md")
    text = (tmp_path / "claims.md").read_text(encoding="utf-8")
    assert (code, out) == (0, "") and text.replace(f" --out={tmp_path}/claims.md", "") == printed
    # A claim that is named twice is listed once; a folder gives the same verdicts as its CSV.
    folder = write_folder(tmp_path / "results", some_rows())
    code, out, _ = nmbench("claims", folder, "--only=selection,,selection ")
    assert code == 0 and of_markdown(out) == {"selection": EXPECTED["selection"]}


def test_claims_without_any_data(nmbench, tmp_path):
    """If no claim needs the given rows, every claim that needs data has the verdict "no data"."""
    other = write_csv(tmp_path / "other.csv", [{**row, "protocol": "smoke", "tuning_trials": 0} for row in some_rows()])
    names = [claim.name for claim in CLAIMS if claim.name not in WITHOUT_ROWS]
    code, out, _ = nmbench("claims", other, f"--only={','.join(names)}")
    assert code == 0
    both = {claim.name for claim in CLAIMS if "matched" in claim.protocols}
    assert of_markdown(out) == {name: ("no data", "no data" if name in both else None) for name in names}
    assert len(names) == len(CLAIMS) - len(WITHOUT_ROWS) == 13


HOSTILE = "\"'><script>alert(1)</script><img src=https://example.org/x>|`a`*b*\x1b[31m${1}"


def entries_of(text, name="name"):
    """A ledger entry with the same text in every field."""
    effects = Effects(text, {text: Estimate(0.3, 0.1, 0.9)}, (None, 1.0), logarithmic=True)
    finding = ClaimFinding(Verdict.HOLDS, text, (MeasuredValue(text, text, text, text),), text, (text,), effects)
    claim = Claim(name, text, text, text, lambda *_: finding, figures=("F", "missing"))
    return [LedgerEntry(claim, {"paper": finding, "matched": finding})]


def test_a_page_escapes_its_contents():
    files = [pathlib.Path("figures", f"F.{suffix}") for suffix in ("png", "pdf")]
    figure = Shown(Caption("F", HOSTILE, {HOSTILE: 1.0}), files, ["matched"])
    text = page.html(entries_of(HOSTILE) + entries_of(HOSTILE, "other"), HOSTILE, {"F": figure})
    shown = Page(text)
    tags = {tag for tag, _ in shown.tags}
    assert not tags & {"script", "link", "iframe", "object", "base", "form"}
    # The figure is shown once, beside the finding under its rows' protocol; the missing one is not shown.
    (picture,) = [attrs for tag, attrs in shown.tags if tag == "img"]
    assert picture["src"] == "figures/F.png" and text.count('href="figures/F.pdf"') == 1 and "missing" not in text
    assert text.index("equal conditions (matched): ") < text.index('id="figure-F"') < text.index('href="#figure-F"')
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 15 and "<script" not in text
    assert not [name for _, attrs in shown.tags for name in attrs if name.startswith("on")]


def test_effects_are_drawn_with_intervals_and_thresholds():
    """Positions of estimates, bounds and thresholds on a logarithmic axis; an infinite ratio stays on the axis."""
    estimates = {
        "a": Estimate(0.1, 0.01, 1.0),
        "b": Estimate(10.0, 1.0, 1e300, covers=False),
        "c": Estimate(1.0, None, None),
    }
    text = effects.svg(Effects("ratio", estimates, (0.1, 10.0), (1.0,), logarithmic=True), "About")
    at = lambda kind, name: [float(v) for v in re.findall(rf'class="{kind}"[^>]* {name}="([\d.]+)"', text)]
    places = at("estimate", "cx")
    assert places[1] - places[2] == pytest.approx(places[2] - places[0], abs=0.11) and len(places) == 3
    assert at("threshold", "x1") == [places[0], places[1], places[2]] * 3
    assert at("interval", "x2") == [places[2]] and at("range", "x1") == [places[2]]
    assert places[1] < at("range", "x2")[0] < effects.WIDTH
    assert 'aria-label="About. a: 0.1, 0.01 .. 1; b: 10, 1 .. 1.000e+300 (range); c: 1"' in text


def test_markdown_escapes_its_contents():
    text = page.markdown(entries_of(HOSTILE.replace("\x1b", "")), "x")
    outside = re.sub(r"```.*?```", "", text, flags=re.S)
    assert "<script" not in outside and "&#60;script&#62;" in outside
    tables = [line for line in outside.split("\n") if line.startswith("|") and "script" in line]
    assert [len(cells_of(line)) for line in tables] == [4, 4, 4] and "\\`a\\`\\*b\\*" in outside


def test_a_page_loads_nothing(nmbench, csv, tmp_path):
    """The page does not show free text of rows. It shows the name of the folder, escaped."""
    folder = tmp_path / "<script>alert(1)<"
    folder.mkdir()
    odd = dict.fromkeys(("model_origin", "platform", "device_kind", "git_sha", "xla_flags"), "<script>alert(2)</script>")
    table = write_csv(folder / "rows.csv", some_rows(**odd))
    page = tmp_path / "page.html"
    assert nmbench("claims", table, ONLY, "--format=html", f"--out={page}")[0] == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>") and text.endswith("</html>")
    assert of_html(text) == EXPECTED
    assert "<script" not in text and "&lt;script&gt;alert(1)&lt;" in text and "alert(2)" not in text
    tags = Page(text).tags
    assert (
        "meta",
        {"http-equiv": "Content-Security-Policy", "content": "default-src 'none'; style-src 'unsafe-inline'"},
    ) in tags
    assert {tag for tag, _ in tags}.isdisjoint({"script", "link", "img", "iframe", "object", "base", "form"})
    links = [value for _, attrs in tags for name, value in attrs.items() if name in ("href", "src", "srcset", "action")]
    ids = {attrs["id"] for _, attrs in tags if "id" in attrs}
    assert links and all(link.startswith("#") and link[1:] in ids for link in links)
    assert not re.search(r"@import|url\(|https?://", text)


def test_control_characters_in_a_path_are_escaped(nmbench, tmp_path):
    folder = tmp_path / "a\x1b[31m\n```\n# b"
    folder.mkdir()
    table = write_csv(folder / "rows.csv", some_rows())
    code, out, _ = nmbench("claims", table, "--only=selection")
    assert code == 0 and "\x1b" not in out and "a\\x1b[31m\\n```\\n# b/rows.csv" in out and "\n# b" not in out


BAD = {
    "an unknown claim": (["{csv}", "--only=selecton"], "there is no claim 'selecton'; did you mean 'selection'?"),
    "an unknown claim among others": (["{csv}", "--only=sizes,x"], "there is no claim 'x' (known: "),
    "a page for the terminal": (["{csv}", "--format=html"], "--out is missing; give the file of the page"),
    "an unknown form": (["{csv}", "--format=pdf"], "--format"),
    "a folder to write to": (["{csv}", "--out={folder}"], "is a folder; name a file"),
    "no file to write to": (["{csv}", "--out="], "is a folder; name a file"),
    "in no folder": (["{csv}", "--out={folder}/none/x.md"], "there is no folder {folder}/none; make it first"),
    "not writable": (["{csv}", "--out=/proc/x.md"], "--out=/proc/x.md cannot be written"),
    "onto what is read": (
        ["{csv}", "--out={csv}"],
        "is an input, or would be read as one in this folder; name another file",
    ),
    "into a folder that is read": (["{folder}/tables", "--out={folder}/tables/a.csv"], "is an input, or would be"),
    "no such file": (["{csv}", "nothing.csv"], "no such file or folder: nothing.csv"),
    "no results folder": ([], "no such file or folder: results"),
    "an empty folder": (["{folder}/empty"], "no runs and no CSV"),
    "another CSV": (["{folder}/tables"], "a.csv"),
    "no CSV": (["{folder}/text"], "text"),
    "another test set": (["{folder}/other.csv"], "has testset_sha256 bbbb"),
    "an unknown flag": (["{csv}", "--onyl=sizes"], "Unknown command line flag 'onyl'"),
    "a page without its format": (
        ("{csv}", "--out=page.html"),
        "--out=page.html would contain Markdown; give --format=html",
    ),
}


@pytest.mark.parametrize("label", BAD)
def test_bad_input_gives_one_line_and_writes_nothing(nmbench, csv, tmp_path, monkeypatch, label):
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "tables"):
        (tmp_path / name).mkdir()
    (tmp_path / "tables" / "a.csv").write_text("a,b\n1,2\n")
    (tmp_path / "text").write_bytes(b"\x00\xff")
    write_csv(tmp_path / "other.csv", some_rows(testset_sha256="b" * 64))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    argv, message = BAD[label]
    code, out, err = nmbench("claims", *(a.format(csv=csv, folder=tmp_path) for a in argv))
    assert (code, out) == (2, "") and err.startswith("nmbench.claims: ") and err.count("\n") == 1, err
    assert message.format(folder=tmp_path) in err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_existing_file_is_kept_if_the_rows_are_refused(nmbench, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("mine")
    other = write_csv(tmp_path / "other.csv", some_rows(task_version=99))
    assert nmbench("claims", other, "--format=html", f"--out={page}")[0] == 2
    assert page.read_text() == "mine" and sorted(os.listdir(tmp_path)) == ["other.csv", "page.html"]


def test_a_missing_library_is_named_with_the_command_that_installs_it(nmbench, csv, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    code, _, err = nmbench("claims", csv, "--format=html", f"--out={tmp_path}/page.html")
    assert code == 2 and "the page needs jinja2: pip install 'nmbench[report]'" in err
    assert os.listdir(tmp_path) == ["rows.csv"]
    assert nmbench("claims", csv, "--only=selection")[0] == 0
