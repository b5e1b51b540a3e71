"""Build the documentation site.

  pip install -e '.[docs]'
  python docs/build.py                  # the site is docs/_build/html/index.html
  python docs/build.py --nogallery      # without running the scripts of the gallery, for quick looks at the text

The pages of tasks, models, results, findings, claims and commands are computed from the registry and from the committed
rows; the scripts of docs/gallery are run. Then Sphinx builds the site with warnings as errors, and every internal link is
checked.
Links to other sites are not checked, because the machines that build the site have no network. Exit code 1: a warning or a
broken link.
"""

from __future__ import annotations

import argparse
import importlib.util
import pathlib
import shutil
import subprocess
import sys
import time

DOCS = pathlib.Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))

from maker import copies, gallery, links, model_pages, results, task_pages, text  # noqa: E402
from nmbench.support import devices  # noqa: E402

PICTURES = "pictures"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=DOCS / "_build", help="folder of the site and its sources")
    parser.add_argument("--nogallery", action="store_true", help="do not run the scripts of the gallery")
    args = parser.parse_args(argv)
    for needed in ("sphinx", "matplotlib"):
        if importlib.util.find_spec(needed) is None:
            sys.exit(f"docs/build.py: the site needs {needed}; install it with: pip install -e '.[docs]'")
    out = args.out.resolve()
    began = time.perf_counter()
    say = lambda what: print(
        f"{time.perf_counter() - began:5.1f} s  {what} ({time.process_time():.0f} s of processor time)", flush=True
    )
    devices.start()
    sources = make_sources(out, args.nogallery, say)
    say("generated pages")
    if not build_html(sources, out):
        return 1
    copy_pages(out / "html")
    say("Sphinx")
    report = links.check(out / "html")
    for line in report.broken:
        print(f"broken link: {line}", file=sys.stderr)
    say(
        f"{report.checked} internal links checked, {len(report.broken)} broken; {report.external} to other sites not checked"
    )
    print(f"{out / 'html' / 'index.html'}")
    return 1 if report.broken else 0


def make_sources(out: pathlib.Path, nogallery: bool, say) -> pathlib.Path:
    """Write all sources of the site into `out/docs` and return that folder.

    The hand-written pages are copied. They include files of the repository by relative paths, so these are copied as well:
    `out` has the layout of the repository.
    """
    sources = out / "docs"
    sources.mkdir(parents=True, exist_ok=True)
    for page in DOCS.glob("*.md"):
        text.page(sources / page.name, [page.read_text(encoding="utf-8").strip()])
    shutil.copytree(DOCS / "static", sources / "static", dirs_exist_ok=True)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.md", "*.npz")
    shutil.copytree(ROOT / "examples", out / "examples", dirs_exist_ok=True, ignore=ignored)
    shutil.copy(ROOT / "CONTRIBUTING.md", out / "CONTRIBUTING.md")
    (sources / PICTURES).mkdir(exist_ok=True)
    shutil.copy(DOCS / "overview.svg", sources / PICTURES / "overview.svg")
    found = results.load()
    if found.problem and results.board_files():
        sys.exit(f"docs/build.py: the committed rows cannot be read: {found.problem}")
    results.make(sources, found)
    task_pages.make(sources, sources / PICTURES, found)
    say("pages of tasks")
    model_pages.make(sources, found)
    say("pages of models")
    copies.make(sources, sources / PICTURES)
    gallery.make(DOCS / "gallery", sources, sources / PICTURES, out / "gallery_runs", say, run=not nogallery)
    return sources


def build_html(sources: pathlib.Path, out: pathlib.Path) -> bool:
    """Run Sphinx in a process of its own; return whether there was no warning."""
    options = ["-W", "--keep-going", "-n", "-q", "-b", "html", "-c", str(DOCS), "-d", str(out / "doctrees")]
    return subprocess.run([sys.executable, "-m", "sphinx", *options, str(sources), str(out / "html")]).returncode == 0


def copy_pages(html: pathlib.Path) -> None:
    """Copy the leaderboard page and the page of the claims, with its figures, into the site."""
    board = html / "leaderboard" / "index.html"
    board.parent.mkdir(exist_ok=True)
    # The committed page names models and tasks without links, because it is not beside their pages in a checkout.
    text_of = (ROOT / "results" / "leaderboard" / "index.html").read_text(encoding="utf-8")
    board.write_text(text_of.replace('<a data-site="', '<a href="../'), encoding="utf-8")
    (html / "claims").mkdir(exist_ok=True)
    shutil.copy(ROOT / "results" / "claims" / "index.html", html / "claims" / "index.html")
    shutil.copytree(ROOT / "results" / "claims" / "figures", html / "claims" / "figures", dirs_exist_ok=True)
    (html / ".nojekyll").touch()  # GitHub Pages leaves out folders that start with "_" without this file


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
