"""The site builds without warnings and broken links, and its search finds pages in a real browser.

These tests need the extra [docs], and Debian's packages `chromium` and `chromium-driver`.
"""

import functools
import http.server
import importlib
import pathlib
import re
import shutil
import subprocess
import sys
import threading

import pytest

from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.report import board_snapshots
from support.claimed import write_csv
from support.processes import users_environment
from support.rows import make_row

ROOT = pathlib.Path(__file__).parents[2]


def load(name: str):
    """A module of docs/, which is no package."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, ROOT / "docs" / "build.py", f"--out={out}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=out, env=users_environment())
    assert done.returncode == 0 and " 0 broken" in done.stdout, done.stdout + done.stderr
    return out / "html"


@pytest.mark.slow
def test_every_task_and_model_has_a_page(site):
    for folder, registry in (("tasks", TASKS), ("models", BASELINES)):
        for entry in registry.entries():
            if entry.origin.startswith(("tasks/", "baselines/")):
                assert (site / folder / f"{entry.name}.html").is_file(), entry.name
    pages = [path.read_text(encoding="utf-8") for path in site.rglob("*.html")]
    assert len(pages) > 40
    # Models and tasks of the leaderboard page link to their pages. The build has checked these links as well.
    board = (site / "leaderboard" / "index.html").read_text(encoding="utf-8")
    assert "data-site" not in board.partition("</style>")[2] and '<a href="../models/' in board
    # Paths of this machine, and requests to other hosts while a page is read.
    assert not any(str(ROOT) in page for page in pages)
    assert not any(re.search(r'<(script|link|img)[^>]+(src|href)="(https?:)?//', page) for page in pages)


@pytest.mark.slow
def test_search_finds_pages(site):
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    found = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    assert all(found.values()), f"{found}: apt-get install chromium chromium-driver"
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = webdriver.ChromeOptions()
        options.binary_location = found["chromium"]
        for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
            options.add_argument(argument)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(found["chromedriver"]))
        try:
            phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
            driver.get(f"http://127.0.0.1:{server.server_port}/search.html?q=neuromodulated")
            links = WebDriverWait(driver, 20).until(lambda d: d.find_elements(By.CSS_SELECTOR, "#search-results li a"))
            assert any("/tasks/" in link.get_attribute("href") for link in links)
            for page in ("index.html", "tasks/mwg_rank3.html", "models/nmrnn.html", "results.html"):
                driver.get(f"http://127.0.0.1:{server.server_port}/{page}")
                width = driver.execute_script("return document.documentElement.scrollWidth")
                assert width <= driver.execute_script("return window.innerWidth"), (
                    f"{page} is {width} pixels wide on a phone"
                )
        finally:
            driver.quit()
            server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a log."""

    def log_message(self, *args):
        pass


def test_equations_of_docstrings_become_latex():
    equations = load("maker.equations")
    text = equations.markdown("Leaky: x_t = (1 - 1/tau_z) x_{t-1} + W tanh(x_{t-1}), from the new z. It\nhas one bias.")
    assert r"x_{t} &= (1 - 1/\tau_{z} ) x_{t-1} + W \tanh (x_{t-1})" in text and text.startswith("Leaky:")
    assert "from the new z" in text and text.rstrip().endswith("It has one bias.")
    assert (
        equations.markdown("A unit keeps its state if z = 1, as in the paper.")
        == "A unit keeps its state if z = 1, as in the paper."
    )


def test_broken_links_are_found(tmp_path):
    links = load("maker.links")
    (tmp_path / "a.html").write_text('<a href="b.html#here">x</a><a href="#no">x</a><a href="https://example.org">x</a>')
    (tmp_path / "b.html").write_text('<p id="here"><img src="gone.png"></p>')
    report = links.check(tmp_path)
    assert report.broken == ["a.html: #no", "b.html: gone.png"] and (report.checked, report.external) == (3, 1)


def test_the_picture_of_the_readme_shows_the_committed_rows(capsys):
    assert load("overview").main(["--check"]) == 0, capsys.readouterr().err


def test_the_page_of_a_model_shows_its_history(tmp_path):
    results = load("maker.results")
    rows = [make_row("gru", seed, value, run_id=f"g{seed}") for seed, value in enumerate((1.0, 1.25))]
    for date, shown in (("2026-01-31", rows[:1]), ("2026-02-28", rows)):
        board = write_csv(tmp_path / "made_up.csv", shown)
        board_snapshots.write(tmp_path / "snapshots", date, [board])
    heading, _, table = results.history("gru", tmp_path / "snapshots")
    first, second = table.splitlines()[2:]
    assert heading == "## History" and first.startswith("| 2026‑01‑31 | made\\_up v1 | matched, budget 500 | 1 | mse 1 |")
    assert second.startswith("| 2026‑02‑28 |") and "| mse 1.125 | 1 .. 1.25 (range) | not verified |" in second
    assert results.history("lstm", tmp_path / "snapshots") == []


def test_the_page_of_results_shows_the_history_of_models_without_a_page(tmp_path, monkeypatch):
    results = load("maker.results")
    rows = [make_row(name, 0, 1.0, run_id=name) for name in ("gru", "submitted_model")]
    board_snapshots.write(tmp_path / "snapshots", "2026-01-31", [write_csv(tmp_path / "made_up.csv", rows)])
    monkeypatch.setattr(results, "SNAPSHOTS", tmp_path / "snapshots")
    results.make(tmp_path, results.Results([], [], "", []))
    page = (tmp_path / "results.md").read_text()
    assert "## History of submitted\\_model" in page and "of gru" not in page
    assert "(rules.md#snapshots)" in page and "| 2026‑01‑31 | made\\_up v1 | matched, budget 500 | 1 | mse 1 |" in page
