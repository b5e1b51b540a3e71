"""Every block of code in the README and in the hand-written pages of the site runs.

Each page runs from top to bottom in a folder of its own, and commands run inside this process.

- `bash`: every line. `console`: every command after "$ ", and what it prints is compared; "..." stands for any text.
- `python`: in one namespace per page.
- A block after `<!-- file: NAME -->` is saved under this name, also if it is a `literalinclude`.
- Commands that would train for long are resolved and not trained (`--resolve_only`, `--dry_run`). After `<!-- train -->`,
  `run` trains one or two seeds for ten steps and does not tune.
- `check` checks one rule; tests/conformance checks all rules on examples. A sweep over everything is planned for less.
- The folder `results` contains a short run and made-up rows, so that the commands that read results find some. For the
  README, which shows some lines of each output, the rows are the committed ones.
- Commands of other programs are not run: `OTHERS` lists them with the reason.
"""

import contextlib
import importlib
import io
import pathlib
import re
import shlex
import shutil
import sys
from typing import NamedTuple

import jax
import numpy as np
import pytest

from nmbench import __main__
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.results import csv_files
from nmbench.support import cli
from support.rows import make_row

ROOT = pathlib.Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = sorted(path for path in (ROOT / "docs").glob("*.md") if "```" in path.read_text())
# First words of commands that are not run here, and why.
OTHERS = {
    "python3 -m venv": "makes an environment; .ci/run does it",
    ".venv/bin/pip": "installs; .ci/run does it",
    "tensorboard": "a server",
}
# Commands that need all seeds of a model, so that only their flags are checked here; tests/submissions runs them.
FLAGS_ONLY = ("submit", "verify")
# Extra flags of commands that would train for long, unless the block is marked.
SHORT = {"run": ["--resolve_only"], "sweep": ["--dry_run", "--executor=local"]}
# A sweep over all models or tasks is planned for two of them.
FEW = {"--models=all": "--models=lstm,rnn", "--tasks=all": "--tasks=element_finder,mwg_rank1"}
TRAINED = ["--steps=10", "--devices=1"]
KINDS = {"bash", "console", "python", "toml", "{literalinclude", "{toctree", "{include", "{eval-rst"}
# Flax and Equinox themselves cause these warnings with the newest JAX.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Block(NamedTuple):
    """A fenced block: its language, text, first line, and the file name or the mark in the comment before it."""

    language: str
    text: str
    line: int
    file: str
    trains: bool


def blocks(page: pathlib.Path) -> list[Block]:
    """All fenced blocks of a page."""
    found, text = [], page.read_text(encoding="utf-8")
    pattern = r"(?:<!-- (?:file: (?P<file>\S+)|(?P<train>train)) -->\n)?^```(?P<lang>\S*)[^\n]*\n(?P<text>.*?)^```$"
    for match in re.finditer(pattern, text, re.M | re.S):
        language, body = match["lang"], match["text"]
        if language == "{literalinclude}":
            body = included(page, match[0])
        line = text[: match.start()].count("\n") + 1
        found.append(Block(language, body, line, match["file"] or "", match["train"] is not None))
    return found


def included(page: pathlib.Path, directive: str) -> str:
    """The text that a `literalinclude` shows."""
    text = (page.parent / re.search(r"\{literalinclude\} (\S+)", directive)[1]).read_text(encoding="utf-8")
    start, end = (re.search(rf':{name}: "(.*)"', directive) for name in ("start-after", "end-before"))
    text = text.split(start[1], 1)[1] if start else text
    return text.split(end[1], 1)[0].lstrip("\n") if end else text


def matches(expected: str, printed: str) -> bool:
    """Whether the printed text has the expected form; whitespace counts as one blank."""
    words = [r".*?" if word == "..." else re.escape(word).replace(r"\.\.\.", ".*?") for word in expected.split()]
    pattern = re.sub(r"(?:\.\*\?\\s\*)+", r".*?\\s*", r"\s*".join(words))
    return re.fullmatch(rf"\s*{pattern}.*", printed, re.S) is not None


class Reader:
    """Somebody who follows a page: runs its blocks in the current folder."""

    def __init__(self, between: str = "\n"):
        self.names: dict = {"__name__": "page"}
        self.between = between  # what may lie between two lines of the expected output

    def follow(self, block: Block) -> None:
        if block.file:
            pathlib.Path(block.file).write_text(block.text)
            if not block.file.startswith("test_"):
                return
        if block.language == "python":
            exec(compile(block.text, f"line {block.line}", "exec"), self.names)
        elif block.language == "bash":
            for line in block.text.replace("\\\n", " ").splitlines():
                self.command(line, block.trains)
        elif block.language == "console":
            for part in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
                line, _, expected = part.partition("\n")
                printed, expected = self.command(line, block.trains), f"\n{expected}".replace("\n", self.between)
                assert matches(expected, printed), f"line {block.line}: {line}\nexpected:\n{expected}\nprinted:\n{printed}"

    def command(self, line: str, trains: bool) -> str:
        """Run a command and return what it prints."""
        words = shlex.split(line, comments=True)
        if any(line.startswith(other) for other in OTHERS):
            return ""
        if words[0] == "parallel":  # GNU parallel replaces {} by each word after :::
            words = [word.replace("{}", words[words.index(":::") + 1]) for word in words[1 : words.index(":::")]]
        if words[1].endswith(".py"):
            assert (ROOT / words[1]).is_file(), line  # other programs; tests/examples runs what needs no PyTorch
            return ""
        assert words[0] in ("python", ".venv/bin/python") and words[1] == "-m" and words[2].startswith("nmbench."), line
        name, argv = words[2].removeprefix("nmbench."), words[3:]
        if name == "run" and trains:
            seeds = min(2, *(int(word.partition("=")[2]) for word in argv if word.startswith("--seeds=")), 2)
            argv = [word for word in argv if word != "--tune"] + [*TRAINED, f"--seeds={seeds}"]
        else:
            argv += SHORT.get(name, [])
        if name == "leaderboard" and "submissions" in argv:
            argv = [word for word in argv if word != "submissions" and not word.startswith("--tier")]
        if name == "sweep":
            argv += [few for every, few in FEW.items() if every in argv]
        if name == "check":
            argv.append("--rules=M01,T01")
        if name == "score" and not pathlib.Path("predictions.npz").is_file():
            task = TASKS.get("element_finder")
            np.savez("predictions.npz", predictions=np.zeros((task.spec.steps, task.frozen("test").n, 1), np.float32))
            np.savez("learned.npz", everything=np.zeros(task.default_budget, np.float32))
        module = importlib.import_module(f"nmbench.{name}")
        if name in FLAGS_ONLY:
            module.FLAGS.unparse_flags()
            module.FLAGS([name, *argv])  # raises for an unknown flag
            return ""
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            code = cli.call(module.main, module.FLAGS, module.__doc__, words[2], __main__.COMMANDS[name], argv)
        expected = (0, 1) if name == "figures" else (0,)  # 1: runs are missing, and the command says how to train them
        assert code in expected, f"{line}\n{output.getvalue()}"
        return output.getvalue()


def forget() -> None:
    """Forget loaded plugins: a plugin registers only when it is loaded, and the registries have been restored."""
    for name in [name for name in sys.modules if name.startswith("nmbench_plugin_")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A results folder with a short run, and board/ with made-up rows of the Element Finder."""
    folder = tmp_path_factory.mktemp("prepared")
    with contextlib.chdir(folder):
        Reader().command("python -m nmbench.run --model=rnn --task=element_finder --seeds=1", trains=True)
    task = TASKS.get("element_finder")
    same = {"task": task.name, "testset_sha256": task.frozen("test").sha256, "n_test": task.frozen("test").n}
    same |= {"floor": task.primary.floor, "train_steps": 20_000}
    rows = [
        make_row(model, seed, value + seed, params_target=budget, run_id=f"{model}.made_up.{budget}.s{seed}", **same)
        for model, value, budget in (("lstm", 0.1, 500), ("lstm", 0.2, 1000), ("rnn", 9.0, 500))
        for seed in range(6)
    ]
    (folder / "results" / "board").mkdir()
    (folder / "results" / "board" / "element_finder.csv").write_text(csv_files.to_csv(rows))
    return folder / "results"


@pytest.fixture
def follow(tmp_path, monkeypatch, prepared):
    """A function that follows a page from top to bottom, in a new folder with `examples/` and `results/`."""

    def run(page: pathlib.Path) -> None:
        folder = tmp_path / page.stem
        folder.mkdir()
        (folder / "examples").symlink_to(ROOT / "examples")
        shutil.copytree(prepared, folder / "results")
        if page == README:
            shutil.copytree(ROOT / "results" / "board", folder / "results" / "board", dirs_exist_ok=True)
        monkeypatch.chdir(folder)
        forget()
        with TASKS.restored(), BASELINES.restored(), jax.numpy_rank_promotion("allow"):
            reader = Reader("\n...\n" if page == README else "\n")
            for block in blocks(page):
                try:
                    reader.follow(block)
                except Exception as error:
                    raise AssertionError(f"{page.name}, line {block.line}: {error}") from error
        forget()

    return run


def test_every_block_is_of_a_kind_that_these_tests_run():
    # The two blocks without a language are the commands that .ci/run runs word for word.
    assert [block.language for block in blocks(README)].count("") == 2
    for page in PAGES:
        assert {block.language.split("}")[0] for block in blocks(page)} <= KINDS, page


@pytest.mark.slow
@pytest.mark.parametrize("page", (README, *PAGES), ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run(follow, page):
    follow(page)


def test_the_form_of_an_output_is_compared():
    assert matches("rank ... model\n...\n1 lstm ... 490", "rank  model\n----\n   1  lstm  x  490 (-2.0%)\nmore")
    assert matches("floor 36.67, ...", "floor 36.67, ceiling 0") and not matches("floor 36.67", "ceiling")
    assert not matches("rank ... lstm", "rank rnn")
