"""Pages that are copies of files of the repository, and small generated parts of hand-written pages."""

from __future__ import annotations

import importlib
import pathlib
import re
import shutil
from collections.abc import Iterable

from maker import text
from nmbench import __main__ as commands
from nmbench import conformance
from nmbench.contracts.catalog import BASELINES
from nmbench.experiments import sizing
from nmbench.experiments.request import Request
from nmbench.experiments.resolution import resolve
from nmbench.report import captions
from nmbench.results import schema
from nmbench.support import cli

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Links in files of the repository, and the pages of the site that have the same contents.
LINKS = {
    "CONTRIBUTING.md": "contributing.md",
    "README.md": "index.md",
    "examples/README.md": "examples.md",
    "benchmarks/README.md": "benchmarks.md",
}
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def make(folder: pathlib.Path, pictures: pathlib.Path) -> None:
    """Write all copies and parts into `folder`, and the pictures that they show into `pictures`."""
    copy("CHANGELOG.md", folder / "changelog.md")
    copy("CONTRIBUTING.md", folder / "contributing.md")
    copy("examples/README.md", folder / "examples.md")
    copy("benchmarks/README.md", folder / "benchmarks.md", pictures)
    text.page(folder / "claims.md", _claims(pictures))
    copy("results/findings/findings.md", folder / "findings.md", pictures)
    if over_time := _figures(ROOT / "results" / "findings", pictures, "modulation_"):
        answers = (folder / "findings.md").read_text(encoding="utf-8").strip()
        text.page(folder / "findings.md", [answers, "## What the models change over time", *over_time])
    text.page(folder / "parts" / "row_columns.md", [_row_columns()])
    for kind, rules in {"model": conformance.MODEL_RULES, "task": conformance.TASK_RULES}.items():
        text.page(folder / "parts" / f"{kind}_rules.md", [_rules(rules)])
    text.page(folder / "parts" / "retrained.md", [_retrained()])
    text.page(folder / "flags.md", _flags())


def copy(name: str, to: pathlib.Path, pictures: pathlib.Path | None = None) -> None:
    """Copy a Markdown file. Links to files that have a page become links to it; other links become text."""
    source = ROOT / name
    body = _relinked(source.read_text(encoding="utf-8"), pathlib.PurePosixPath(name).parent)
    if pictures is not None:
        for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", body):
            pictures.mkdir(parents=True, exist_ok=True)
            shutil.copy(source.parent / picture, pictures / picture)
            body = body.replace(f"({picture})", f"({pictures.name}/{picture})")
    text.page(to, [body.strip()])


def _relinked(body: str, beside: pathlib.PurePosixPath) -> str:
    def link(match: re.Match) -> str:
        label, target = match[1], match[2]
        if target.startswith(("#", "http:", "https:")):
            return match[0]
        found = LINKS.get((beside / target).as_posix()) or LINKS.get(target)
        page = re.fullmatch(r"docs/(\w+\.md(#[\w-]+)?)", target)
        if found or page:
            return f"[{label}]({found or page[1]})"
        return label if label.startswith("`") else f"`{label}`"

    return _LINK.sub(link, body)


def _claims(pictures: pathlib.Path) -> list[str]:
    """The ledger of claims, followed by the figures."""
    folder = ROOT / "results" / "claims"
    ledger = folder / "CLAIMS.md"
    if not ledger.is_file():
        return ["# Claims", "There is no ledger in this version."]
    body = re.sub(r"^# .*\n", "", ledger.read_text(encoding="utf-8"), count=1)
    parts = [
        "# The publication's claims",
        "`python -m nmbench.claims FILE.csv|FOLDER ...` compares the claims of the publication with measured rows, "
        "as published (protocol `paper`) and under equal conditions (`matched`). For each claim it prints the source, the "
        "rule, the values with intervals, the commands that test it, and a verdict computed from the values.",
        "This page is the committed ledger. `bash benchmarks/claims_results.sh` trains the networks, computes the ledger "
        'and draws the figures. The ledger is also <a href="claims/index.html">a page of its own</a>. Networks whose '
        "protocol needs days were trained for fewer steps than it prescribes; the ledger says so beside each verdict. If "
        "this leaves a claim undecided, the verdict is *cannot tell*. The command computes the same from the committed "
        "rows, except for claims that need parameters. [Statistics](statistics.md) explains the tests.",
        "```text\npython -m nmbench.claims results/board results/claims/rows.csv\n```",
        body.strip(),
        "## Figures",
        "`python -m nmbench.figures` draws these figures. The captions name the runs; the files contain the run ids and "
        "values of their rows.",
    ]
    return parts + _figures(folder / "figures", pictures)


def _figures(folder: pathlib.Path, pictures: pathlib.Path, start: str = "") -> list[str]:
    """Title, picture and caption of each committed figure of a folder whose name starts with `start`."""
    parts = []
    for caption in captions.read(folder):
        source = folder / f"{caption.name}.png"
        if source.is_file() and caption.name.startswith(start):
            pictures.mkdir(parents=True, exist_ok=True)
            target = f"{folder.name}-{source.name}"
            shutil.copy(source, pictures / target)
            title, picture = f"### Figure {text.escape(caption.name)}", f"![figure {caption.name}]({pictures.name}/{target})"
            parts += [title, picture, caption.text]
    return parts


def _row_columns() -> str:
    empty = {True: "yes", "unless_ok": "unless status is ok", False: ""}
    rows = [
        [text.code(c.name), c.kind, text.escape(c.meaning), empty[c.nullable], "yes" if c.training else ""]
        for c in schema.COLUMNS
    ]
    return text.table(("column", "type", "meaning", "may be empty", "empty if trained elsewhere"), rows)


def _rules(rules: Iterable[conformance.Rule]) -> str:
    return text.table(("rule", "what must hold"), [[rule.id, text.escape(rule.requirement)] for rule in rules])


def _retrained() -> str:
    """The part of each model that the last phase of the multitask trains, at the default budget."""
    rows = []
    for entry in BASELINES.entries():
        experiment = resolve(Request(model=entry.name, task="multitask"))
        partition = experiment.phases[-1].partition
        names = sizing.shapes(experiment.baseline, experiment.task.spec, experiment.sizing.hparams)
        chosen = experiment.baseline.partition(partition)
        number = sizing.count({name: shape for name, shape in names.items() if chosen(*name.rsplit("|", 1))})
        rows.append([text.code(entry.name), text.code(partition), f"{number:,}", f"{experiment.sizing.actual:,}"])
    order = lambda row: (row[1], int(row[2].replace(",", "")))
    return text.table(("model", "partition", "retrained", "of"), sorted(rows, key=order))


def _flags() -> list[str]:
    """The help text of every command."""
    parts = [
        "# All commands and flags",
        "The help text of every command, as `python -m nmbench.COMMAND --help` prints it.",
    ]
    for name, operands in commands.COMMANDS.items():
        module = importlib.import_module(f"nmbench.{name}")
        shown = cli.help_text(module.FLAGS, module.__doc__, f"nmbench.{name}", operands)
        parts += [f"## {name}", f"````text\n{shown}\n````"]
    return parts
