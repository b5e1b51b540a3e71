"""Check that a checkout is ready for a release: one line for each condition; exit code 1 if one does not hold.

  python benchmarks/release_check.py
  python benchmarks/release_check.py --nowheel      # without building the wheel, which needs the network

To release version X.Y.Z on a day: set `__version__` in nmbench/__init__.py; set `version` and `date-released` in
CITATION.cff; name the newest part of CHANGELOG.md "## X.Y.Z (YYYY-MM-DD)"; run benchmarks/croissant.py and
benchmarks/snapshot.py; commit; run this check; tag the commit vX.Y.Z. Zenodo reads CITATION.cff; it needs no .zenodo.json.
"""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

import _checkout  # noqa: F401
import yaml

from nmbench.report import board_snapshots
from nmbench.support import cli
from nmbench.support.errors import NmbenchError

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLAGS = cli.new_flags()
cli.boolean(FLAGS, "wheel", True, "build the wheel and look into it")
# Files that nmbench does not work without, besides its modules.
IN_WHEEL = ("tasks/testsets/manifest.json", "tasks/testsets/croissant.json", "report/page/templates/page.html.j2")


def conditions(root: pathlib.Path) -> dict[str, str]:
    """What must hold, and why it does not; "" if it does. Without the wheel and the Croissant file."""
    version = _first(r'^__version__ = "(.+)"', root / "nmbench" / "__init__.py")
    heading = _first(r"^## (.+)", root / "CHANGELOG.md")
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    date = str(citation.get("date-released", ""))
    named = re.fullmatch(r"(\S+) \((\d{4}-\d{2}-\d{2})\)", heading)
    return {
        "CITATION.cff has the version of nmbench": _equal(str(citation["version"]), version),
        "CITATION.cff has the date of the release": "" if date else "it has no date-released",
        "the changelog begins with this version and date": _equal(heading, f"{version} ({date or 'YYYY-MM-DD'})"),
        "the board has a snapshot of this version": _snapshots(root, version, named[2] if named else ""),
        "everything is committed": _uncommitted(root),
        "the version has no tag yet": _output(root, "git", "tag", "--list", f"v{version}") and f"there is a tag v{version}",
    }


def _first(pattern: str, path: pathlib.Path) -> str:
    found = re.search(pattern, path.read_text(encoding="utf-8"), re.M)
    if found is None:
        raise NmbenchError(f"{path} has no line like {pattern}")
    return found[1]


def _equal(found: str, expected: str) -> str:
    return "" if found == expected else f"found {found!r}, expected {expected!r}"


def _snapshots(root: pathlib.Path, version: str, date: str) -> str:
    try:
        snapshots = board_snapshots.check(root / "results" / "snapshots")
    except NmbenchError as error:
        return str(error)
    newest = max(snapshots, default="")
    if not newest:
        return "there are no snapshots"
    if snapshots[newest]["nmbench_version"] != version or newest != date:
        return f"the newest is of {newest}, version {snapshots[newest]['nmbench_version']}"
    return ""


def _uncommitted(root: pathlib.Path) -> str:
    changed = _output(root, "git", "status", "--porcelain").splitlines()
    return f"{len(changed)} files are not, such as {changed[0][3:]}" if changed else ""


def _output(folder: pathlib.Path, *command: str) -> str:
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.rstrip("\n")


def wheel(root: pathlib.Path) -> str:
    """Build the wheel; return what is wrong with it, "" if nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "build", "--wheel", "--outdir", folder, str(root)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return f"it cannot be built: {(done.stderr.strip() or done.stdout.strip()).splitlines()[-1]}"
        (made,) = pathlib.Path(folder).glob("*.whl")
        with zipfile.ZipFile(made) as archive:
            names = set(archive.namelist())
        missing = [name for name in IN_WHEEL if f"nmbench/{name}" not in names]
        return f"{made.name} lacks {missing[0]}" if missing else ""


def main() -> int:
    import croissant  # beside this script; it imports all tasks

    found = conditions(ROOT)
    found["croissant.json is current"] = "" if croissant.is_current() else "run benchmarks/croissant.py"
    if FLAGS.wheel:
        found["the wheel builds and is complete"] = wheel(ROOT)
    for what, problem in found.items():
        print(f"{'NO ' if problem else 'yes'}  {what}" + (f": {problem}" if problem else ""))
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "release_check.py")
