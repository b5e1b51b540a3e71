"""The leaderboard as one self-contained HTML page, which needs no network and no other file.

The template, style sheet and script in `templates/` become part of the page. Jinja2 escapes all values from rows. The
content security policy in the page's head allows only the page's own script and forbids loading other resources.
"""

from __future__ import annotations

import base64
import hashlib
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import nmbench
from nmbench.report import files
from nmbench.report.page import svg
from nmbench.report.page.content import gather
from nmbench.report.page.row_details import Commands
from nmbench.results import store
from nmbench.results.verification import Verifications
from nmbench.support import libraries
from nmbench.support.errors import NmbenchError

if TYPE_CHECKING:
    from nmbench.results.overall import OverallRanking
    from nmbench.results.ranking import Table

INDEX = "index.html"
MOST_ROWS = 5000
# Text that identifies a page of nmbench. Only such a page is replaced.
_GENERATOR = '<meta name="generator" content="nmbench '
TEMPLATES = pathlib.Path(__file__).parent / "templates"


def check_libraries() -> None:
    """Raise `NmbenchError` if jinja2 or matplotlib is missing."""
    libraries.check("the page needs", "jinja2", "matplotlib")


def check_size(tables: Sequence[Table]) -> None:
    """Raise `NmbenchError` if the tables have more than 5000 rows."""
    rows = sum(len(entry.run_ids) for table in tables for entry in table.entries)
    if rows > MOST_ROWS:
        raise NmbenchError(
            f"{rows} rows are too many for a page, {MOST_ROWS} at most; choose some with --task and --protocol"
        )


def check_out(text: str) -> pathlib.Path:
    """Check that a page can be written into the folder of --out, without writing it, and return the folder.

    Raises:
      NmbenchError: the path is not a folder or cannot be written, or its index.html is not a page of nmbench.
    """
    folder = files.check_folder("out", text)
    index = folder / INDEX
    try:
        foreign = index.is_dir() or (index.exists() and _GENERATOR not in _start(index))
    except OSError as error:
        raise NmbenchError(f"{index} cannot be read ({error.strerror or error})") from error
    if foreign:
        raise NmbenchError(f"{index} exists and is not a page of nmbench; move it away, or name another folder with --out")
    return folder


def check_site(text: str) -> str:
    """The address of the documentation site without a final slash; "" for none, so that the page has no links to it.

    Raises:
      NmbenchError: it is not an address of a web site or a relative path.
    """
    if any(char.isspace() for char in text) or not re.match(r"https?://[^/]|/[^/]|\.{1,2}(/|$)|$", text):
        raise NmbenchError(
            f"--site={text} is not an address; give the root of the site, e.g. https://example.org/nmbench or .."
        )
    return text.rstrip("/")


def _start(path: pathlib.Path) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(4096)


def write(
    folder: pathlib.Path,
    tables: Sequence[Table],
    rankings: Sequence[OverallRanking],
    paths: Sequence[str],
    commands: Commands,
    report: Callable[[str], None] = lambda task: None,
    site: str = "",
) -> pathlib.Path:
    """Write the page atomically and return its path.

    Args:
      folder: from `check_out`.
      tables, rankings: from `nmbench.results.ranking` and `nmbench.results.overall`.
      paths: results folders and CSVs of the tables. Training curves and outputs are drawn from run folders.
      commands: function from a row to the command that repeats its run, `nmbench.experiments.row_commands.RowCommands.of`.
      report: function that is called with the name of each task before its figures are drawn.
      site: from `check_site`.

    Raises:
      NmbenchError: a path cannot be read, or the page cannot be written.
    """
    wanted = {run_id for table in tables for entry in table.entries for run_id in entry.run_ids}
    rows = {row["run_id"]: row for path in paths for row in store.iterate(path) if row["run_id"] in wanted}
    text = render(gather(tables, rankings, rows, paths, commands, report, Verifications(paths)), site)
    index = folder / INDEX
    files.make_folder(folder)
    files.write(index, text)
    return index


def render(found: Mapping[str, Any], site: str = "") -> str:
    """HTML of the page. found: return value of `gather`. site: from `check_site`."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = environment.get_template("page.html.j2").render(
        style=Markup(_style()),
        site=site,
        script=Markup(script),
        script_sha256=digest,
        generator=f"nmbench {nmbench.__version__}",
        **found,
    )
    size = f"{len(text.encode()) / 1000:.0f} kB"
    return text.replace("@page-size@", size, 1)


def _style() -> str:
    """The style sheet with the colours of models, which the figures share with those of other commands."""
    text = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    for mode, name in enumerate(("light", "dark")):
        text = text.replace(f"/* {name} series */", svg.series_variables(mode))
    return text
