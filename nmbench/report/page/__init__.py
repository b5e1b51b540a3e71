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
from nmbench.errors import NmbenchError
from nmbench.report.page.content import Commands, gather

if TYPE_CHECKING:
    from nmbench.results.standings import Overall, Table

INDEX = "index.html"
# What an earlier page is known by; any other file of that name is left alone.
_GENERATOR = '<meta name="generator" content="nmbench '
_TEMPLATES = pathlib.Path(__file__).parent / "templates"


def check_out(text: str) -> pathlib.Path:
    """The folder that a page can be written to, made if it is not there; nothing else is written.

    Raises:
      NmbenchError: jinja2 or matplotlib is missing, it is no folder or cannot be written, or holds an index.html that is not
        a page of nmbench.
    """
    for library in ("jinja2", "matplotlib"):
        try:
            __import__(library)
        except ImportError as error:
            raise NmbenchError(
                f"the page needs {library}: pip install 'nmbench[report]', or -e '.[report]' in a clone"
            ) from error
    folder = pathlib.Path(os.path.expanduser(text))
    made = [p for p in (folder, *folder.parents) if not p.exists()]
    index = folder / INDEX
    try:
        if folder.exists() and not folder.is_dir():
            raise NmbenchError(f"--out={text} is a file; name a folder, the page is written into it as {INDEX}")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        if index.is_dir() or (index.exists() and _GENERATOR not in _start(index)):
            raise NmbenchError(
                f"{index} is there and is no page of nmbench; move it away, or name another folder with --out"
            )
    except OSError as error:
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()
        reason = error.strerror or error
        raise NmbenchError(f"--out={text} cannot be written ({reason}); name a folder you may write to") from error
    return folder


def _start(path: pathlib.Path) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(4096)


def write(
    folder: pathlib.Path,
    tables: Sequence[Table],
    rankings: Sequence[Overall],
    rows: Mapping[str, Mapping[str, Any]],
    paths: Sequence[str],
    commands: Commands,
    report: Callable[[str], None] = lambda what: None,
) -> pathlib.Path:
    """Write the page, whole or not at all, and return its path.

    Args:
      folder: from `check_out`.
      tables, rankings: see `nmbench.results.standings`.
      rows: run id to row, of all runs in `tables`.
      paths: results folders and files that the rows come from; folders give training curves and outputs.
      commands: how a row is made again, see `nmbench.rerun.Reruns.of`.
      report: told what is being drawn.

    Raises:
      NmbenchError: too many rows for a page, or the disk refuses.
    """
    text = render(gather(tables, rankings, rows, paths, commands, report))
    index = folder / INDEX
    temporary = None
    try:
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".index-", delete=False, encoding="utf-8") as file:
            temporary = pathlib.Path(file.name)
            file.write(text)
        temporary.chmod(0o644)
        temporary.replace(index)
    except OSError as error:
        raise NmbenchError(f"cannot write {index}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return index


def render(found: Mapping[str, Any]) -> str:
    """HTML of what `gather` returns."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (_TEMPLATES / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = environment.get_template("page.html.j2").render(
        style=Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_sha256=digest,
        generator=f"nmbench {nmbench.__version__}",
        **found,
    )
    size = f"{len(text.encode()) / 1000:.0f} kB"
    return text.replace("@page-size@", size, 1)
