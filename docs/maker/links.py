"""Checks that every link of a folder of HTML files leads to a file of the folder, and every fragment to an element of it.

Links to other sites are counted and not followed, because the machines that build the site have no network.
"""

from __future__ import annotations

import html.parser
import pathlib
import urllib.parse
from typing import NamedTuple


class _Reader(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.ids: set[str] = set()
        self.targets: set[str] = set()

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (name == "name" and tag == "a"):
                self.ids.add(value)
            elif name in ("href", "src") and tag != "base":
                self.targets.add(value)


class Report(NamedTuple):
    """What was found: broken links as "PAGE: TARGET", numbers of checked links and of links to other sites."""

    broken: list[str]
    checked: int
    external: int


def check(folder: pathlib.Path) -> Report:
    """Check all HTML files below `folder`."""
    pages = {path.resolve(): _Reader() for path in sorted(folder.rglob("*.html"))}
    for path, reader in pages.items():
        reader.feed(path.read_text(encoding="utf-8"))
    broken, checked, external = [], 0, 0
    for path, reader in pages.items():
        for target in sorted(reader.targets):
            parts = urllib.parse.urlsplit(target)
            if parts.scheme in ("data", "mailto", "javascript"):
                continue
            if parts.scheme or parts.netloc:
                external += 1
                continue
            checked += 1
            file = path if not parts.path else (path.parent / urllib.parse.unquote(parts.path)).resolve()
            file = file / "index.html" if file.is_dir() else file
            fragment = urllib.parse.unquote(parts.fragment)
            if not file.is_file() or (fragment and file in pages and fragment not in pages[file].ids):
                broken.append(f"{path.relative_to(folder.resolve())}: {target}")
    return Report(broken, checked, external)
