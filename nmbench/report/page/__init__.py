"""The leaderboard as one HTML page that needs nothing else: no network, no other file.

Template, style sheet and script lie in `templates/` and are put into the page. Everything that comes from rows is escaped by
jinja2; a policy in the page's head lets no script run but that one, and nothing load.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import nmbench
from nmbench.report import files
from nmbench.report.page.content import Commands, gather
from nmbench.results import store
from nmbench.support.errors import NmbenchError

if TYPE_CHECKING:
    import jinja2

    from nmbench.results.ranking import Overall, Table

INDEX = "index.html"
MOST_ROWS = 5000
# What an earlier page is known by; any other file of that name is left alone.
_GENERATOR = '<meta name="generator" content="nmbench '
TEMPLATES = pathlib.Path(__file__).parent / "templates"


def check_libraries() -> None:
    """Raise `NmbenchError` if jinja2 or matplotlib is missing."""
    for library in ("jinja2", "matplotlib"):
        try:
            __import__(library)
        except ImportError as error:
            raise NmbenchError(
                f"the page needs {library}: pip install 'nmbench[report]', or -e '.[report]' in a clone"
            ) from error


def check_size(tables: Sequence[Table]) -> None:
    """Raise `NmbenchError` if there are more rows than a page can hold."""
    rows = sum(len(entry.run_ids) for table in tables for entry in table.entries)
    if rows > MOST_ROWS:
        raise NmbenchError(f"{rows} rows are too many for a page, {MOST_ROWS} at most; choose with --task and --protocol")


def check_out(text: str) -> pathlib.Path:
    """The folder of --out, proven to be one that a page can be written into; nothing is left there.

    Raises:
      NmbenchError: it is no folder or cannot be written, or holds an index.html that is not a page of nmbench.
    """
    folder = pathlib.Path(os.path.expanduser(text))
    index = folder / INDEX
    if not text or (folder.exists() and not folder.is_dir()):
        raise NmbenchError(f"--out={text} is no folder; name one, the page is written into it as {INDEX}")
    made = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        if index.is_dir() or (index.exists() and _GENERATOR not in _start(index)):
            raise NmbenchError(
                f"{index} is there and is no page of nmbench; move it away, or name another folder with --out"
            )
    except OSError as error:
        reason = error.strerror or error
        raise NmbenchError(f"--out={text} cannot be written ({reason}); name a folder you may write to") from error
    finally:
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()
    return folder


def _start(path: pathlib.Path) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(4096)


def write(
    folder: pathlib.Path,
    tables: Sequence[Table],
    rankings: Sequence[Overall],
    paths: Sequence[str],
    commands: Commands,
    report: Callable[[str], None] = lambda what: None,
) -> pathlib.Path:
    """Write the page, whole or not at all, and return its path.

    Args:
      folder: from `check_out`.
      tables, rankings: see `nmbench.results.ranking`.
      paths: results folders and files that the tables come from; run folders give training curves and outputs.
      commands: how a row is made again, see `nmbench.experiments.row_commands.Reruns.of`.
      report: told what is being drawn.

    Raises:
      NmbenchError: the disk refuses.
    """
    wanted = {run_id for table in tables for entry in table.entries for run_id in entry.run_ids}
    rows = {row["run_id"]: row for path in paths for row in store.iterate(path) if row["run_id"] in wanted}
    text = render(gather(tables, rankings, rows, paths, commands, report))
    index = folder / INDEX
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NmbenchError(f"cannot make {folder}: {error.strerror or error}") from error
    files.write(index, text)
    return index


def environment() -> jinja2.Environment:
    """Of the templates; whatever is put into them is escaped."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(found: Mapping[str, Any]) -> str:
    """HTML of what `gather` returns."""
    from markupsafe import Markup

    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = (
        environment()
        .get_template("page.html.j2")
        .render(
            style=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
            script=Markup(script),
            script_sha256=digest,
            generator=f"nmbench {nmbench.__version__}",
            **found,
        )
    )
    size = f"{len(text.encode()) / 1000:.0f} kB"
    return text.replace("@page-size@", size, 1)
