"""Runs the scripts of docs/gallery and writes a page for each: its text, its code, what it prints and its pictures.

A script consists of cells. A line `# %%` starts a cell of code, a line `# %% [markdown]` a cell of text in comments.
"""

from __future__ import annotations

import contextlib
import io
import pathlib
import re
from collections.abc import Callable
from typing import NamedTuple

from maker import text

Say = Callable[[str], None]
ORDER = ("train_and_plot", "inside_a_network", "compare_two_files", "error_by_interval", "learning_rates")


class Cell(NamedTuple):
    """A cell of a script: Markdown or code."""

    markdown: bool
    source: str


def cells(source: str) -> list[Cell]:
    """The cells of a script."""
    found = []
    for part in re.split(r"^# %%", source, flags=re.M)[1:]:
        head, _, body = part.partition("\n")
        markdown = "[markdown]" in head
        if markdown:
            body = "\n".join(line.removeprefix("#").removeprefix(" ") for line in body.splitlines())
        found.append(Cell(markdown, body.strip("\n")))
    return found


def make(
    scripts: pathlib.Path, folder: pathlib.Path, pictures: pathlib.Path, work: pathlib.Path, say: Say, *, run: bool = True
) -> None:
    """Run all scripts in the folder `work` and write a page for each; `say` is called with a line after each.

    The scripts share `work`, so a network that one has trained need not be trained again by the next. Without `run`, the
    pages have the text and the code only.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    work.mkdir(parents=True, exist_ok=True)
    pictures.mkdir(parents=True, exist_ok=True)
    names = [*ORDER, *sorted(path.stem for path in scripts.glob("*.py") if path.stem not in ORDER)]
    titles = []
    for name in names:
        source = scripts / f"{name}.py"
        with contextlib.chdir(work):
            parts, first = _page(name, source, pictures, plt, run)
        parts.append(f"This page is made by `docs/gallery/{name}.py`. The build of this site runs the script.")
        text.page(folder / "gallery" / f"{name}.md", parts)
        title = next(line for line in parts[0].splitlines() if line.startswith("# ")).removeprefix("# ")
        titles.append([f"[{title}]({name}.md)", f"![{title}](../{pictures.name}/{first}){{width=320px}}" if first else ""])
        say(f"gallery: {name}")
    parts = [
        "# Gallery",
        "Small scripts that run in seconds. Networks that they train are trained for a few steps only, so these pictures "
        "show how something is done and not which model is better. Every script is a Python file with cells, which editors "
        "and Jupyter can run one by one. The site runs all of them when it is built.",
        text.table(("example", ""), titles),
        "\n".join(["```{toctree}", ":hidden:", "", *names, "```"]),
    ]
    text.page(folder / "gallery" / "index.md", parts)


def _page(name: str, source: pathlib.Path, pictures: pathlib.Path, plt, run: bool) -> tuple[list[str], str]:
    """Parts of the page of a script, and the name of its first picture, "" without one."""
    namespace = {"__name__": "__main__", "__file__": str(source)}
    parts: list[str] = []
    first = ""
    for number, cell in enumerate(cells(source.read_text(encoding="utf-8"))):
        if cell.markdown:
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        if not run:
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(cell.source, f"{source.name}, cell {number}", "exec"), namespace)
        if printed.getvalue().strip():
            parts.append(f"```text\n{printed.getvalue().rstrip()}\n```")
        for figure in map(plt.figure, plt.get_fignums()):
            picture = f"gallery-{name}-{number}-{figure.number}.png"
            figure.savefig(pictures / picture, dpi=100)
            first = first or picture
            title = figure.get_suptitle() or f"picture of cell {number}"
            parts.append(f"![{title}](../{pictures.name}/{picture})")
        plt.close("all")
    return parts, first
