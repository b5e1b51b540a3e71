"""The leaderboard page in headless Chromium, operated by mouse and keyboard.

These tests need Debian's packages `chromium` and `chromium-driver`, and fail without them.
"""

import json
import shutil

import pytest

from nmbench.contracts.catalog import TASKS
from nmbench.experiments.row_commands import RowCommands
from nmbench.report import page
from nmbench.results import csv_files, experiment_rows, ranking
from nmbench.results.overall import overall_rankings
from support.rows import diverged, make_row

pytestmark = pytest.mark.slow

SCRIPT = "<script>alert(1)</script>"
PHONE = 320


@pytest.fixture(scope="module")
def leaderboard(tmp_path_factory):
    """The URL of a page with three made-up tasks; its main table has six lines."""
    folder = tmp_path_factory.mktemp("page")
    rows = []
    for task, models in (
        ("alpha", ["nmrnn", "lstm", SCRIPT]),
        ("beta", ["nmrnn", "rnn"]),
        ("gamma_with_a_long_name", ["rnn"]),
    ):
        for place, model in enumerate(models):
            for seed in range(3):
                value = round(0.5 + place + 0.1 * seed, 3)
                facts = {
                    "run_id": f"r{len(rows)}",
                    "task": task,
                    "params_actual": 400 + 37 * len(rows),
                    "score": 100 - 25 * value,
                }
                rows.append(make_row(model, seed, value, **facts, train_s=float(100 - len(rows))))
    rows.append(diverged(model="rnn", seed=3, run_id="lost", task="beta"))
    csv = folder / "results.csv"
    csv.write_text(csv_files.to_csv(rows))
    tables = ranking.rank_tables(experiment_rows.read_all(str(csv)))
    with TASKS.restored():
        out = page.check_out(str(folder / "out"))
        index = page.write(out, tables, overall_rankings(tables), [str(csv)], RowCommands().of)
    return index.as_uri()


@pytest.fixture(scope="module")
def chromium():
    from selenium import webdriver

    found = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    assert all(found.values()), f"{found}: the page is tested in Chromium; apt-get install chromium chromium-driver"
    options = webdriver.ChromeOptions()
    options.binary_location = found["chromium"]
    # Containers allow no sandbox and have little shared memory. Chromium opens only the page of these tests.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(found["chromedriver"]))
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium, leaderboard):
    """A browser that has just loaded the page."""
    chromium.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    chromium.get("about:blank")
    chromium.get(leaderboard)
    return chromium


def column(browser, number):
    """(first line of text, sort value or None) of each visible cell in a column of the main table."""
    script = """return [...document.querySelectorAll('#all tbody tr')].filter(r => !r.hidden)
        .map(r => [r.cells[arguments[0]].innerText.split('\\n')[0].trim(), r.cells[arguments[0]].dataset.value ?? null])"""
    return [tuple(pair) for pair in browser.execute_script(script, number)]


def keys(cells_):
    """Sort keys of the cells that are not empty."""
    return [float(v) if v else text.lower() for text, v in cells_ if v != "" and text]


def test_every_column_sorts_by_click_and_by_keyboard(browser):
    from selenium.webdriver.common.keys import Keys

    headings = browser.find_elements("css selector", "#all thead th")
    assert len(headings) == 11
    changed = 0
    for number, heading in enumerate(headings):
        before = column(browser, number)
        button = heading.find_element("tag name", "button")
        button.click()
        up = column(browser, number)
        assert heading.get_attribute("aria-sort") == "ascending"
        assert keys(up) == sorted(keys(before)) and sorted(up) == sorted(before)
        # By keyboard: the focus is on the button of the heading; Enter and the space bar each reverse the order.
        browser.switch_to.active_element.send_keys(Keys.ENTER)
        down = column(browser, number)
        assert heading.get_attribute("aria-sort") == "descending" and keys(down) == sorted(keys(before), reverse=True)
        empty = [not text for text, _ in down]
        assert empty == sorted(empty), "empty cells stay last"
        browser.switch_to.active_element.send_keys(Keys.SPACE)
        assert heading.get_attribute("aria-sort") == "ascending" and column(browser, number) == up
        marked = browser.find_elements("css selector", "#all th[aria-sort]")
        assert [m.text for m in marked] == [heading.text]
        said = browser.find_element("id", "sorted").get_attribute("textContent")
        assert said == f"Sorted by {heading.get_attribute('textContent').strip()}, ascending."
        changed += up != down
    assert changed >= 6


def test_filters_update_the_announced_count(browser):
    from selenium.webdriver.support.ui import Select

    count = browser.find_element("id", "count")
    assert count.get_attribute("aria-live") == "polite" and count.text == "6 lines"
    search = browser.find_element("css selector", "#filter-text")
    assert browser.find_element("css selector", "label:has(#filter-text)").text.startswith("Search")
    search.send_keys("NMRNN")
    assert [text for text, _ in column(browser, 0)] == ["nmrnn", "nmrnn"] and count.text == "2 of 6 lines"
    search.send_keys(" beta")
    assert [text for text, _ in column(browser, 1)] == ["beta"] and count.text == "1 of 6 lines"
    search.send_keys(" nothing like it")
    assert column(browser, 0) == [] and count.text == "0 of 6 lines"
    browser.find_element("css selector", "#filter [type=reset]").click()
    browser.execute_async_script("setTimeout(arguments[0], 50)")
    assert count.text == "6 lines"
    Select(browser.find_element("id", "filter-task")).select_by_visible_text("alpha")
    assert {text for text, _ in column(browser, 1)} == {"alpha"} and count.text == "3 of 6 lines"


def test_links_open_sections_and_details(browser):
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.wait import WebDriverWait

    browser.find_element("css selector", "nav a[href='#task-beta']").click()
    top = "return document.querySelector(arguments[0]).getBoundingClientRect().top"
    assert browser.current_url.endswith("#task-beta") and 0 <= browser.execute_script(top, "#task-beta") < 100
    browser.execute_script("scrollTo(0, 0)")
    link = browser.find_element("css selector", "#all tbody th a")
    target = link.get_attribute("href").rpartition("#")[2]
    details = browser.find_element("id", target)
    assert details.get_attribute("open") is None
    link.send_keys(Keys.ENTER)
    # The page opens the details a moment later, when the browser reports the new address.
    WebDriverWait(browser, 10).until(lambda b: b.switch_to.active_element.tag_name == "summary")
    assert details.get_attribute("open") is not None
    assert "Run id" in details.text and "nmbench_version" in details.text


def test_the_csv_of_a_table_is_saved_without_a_server(browser, tmp_path):
    from selenium.webdriver.support.wait import WebDriverWait

    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    browser.find_element("css selector", "#task-beta a.download").click()
    file = tmp_path / "beta.matched.500.csv"
    WebDriverWait(browser, 10).until(lambda _: file.exists() and file.stat().st_size)
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("task,") and len(lines) == 3


def test_the_keyboard_reaches_the_table_with_visible_focus(browser):
    from selenium.webdriver.common.keys import Keys

    body = browser.find_element("tag name", "body")
    body.send_keys(Keys.TAB)
    skip = browser.switch_to.active_element
    assert skip.text == "Skip to the leaderboard" and skip.rect["y"] >= 0
    skip.send_keys(Keys.ENTER)
    assert browser.execute_script("return document.activeElement.id") == "main"
    seen = []
    for _ in range(11):  # the links of the overview's three panels, the filters, the table
        browser.switch_to.active_element.send_keys(Keys.TAB)
        active = browser.switch_to.active_element
        outline = browser.execute_script("return getComputedStyle(arguments[0]).outlineStyle", active)
        seen.append((active.get_attribute("id") or active.text or active.get_attribute("role"), outline))
    fields = [name for name, _ in seen if name.startswith("filter-")]
    assert fields == ["filter-text", "filter-task", "filter-protocol"]
    assert all(outline in ("solid", "auto") for _, outline in seen), seen
    assert any(name.startswith("Model") for name, _ in seen)


def test_a_script_in_a_name_is_shown_as_text(browser):
    from selenium.common.exceptions import NoAlertPresentException

    with pytest.raises(NoAlertPresentException):
        _ = browser.switch_to.alert.text
    names = [text for text, _ in column(browser, 0)]
    assert SCRIPT in names
    assert len(browser.find_elements("tag name", "script")) == 1
    texts = browser.execute_script("return [...document.querySelectorAll('svg text')].map(t => t.textContent)")
    assert SCRIPT in texts


def test_the_page_has_no_errors_and_fetches_no_other_file(browser, leaderboard):
    browser.get_log("performance")
    browser.get_log("browser")
    browser.refresh()
    browser.find_element("css selector", "#all thead button").click()
    browser.find_element("css selector", "#filter-text").send_keys("a")
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert set(asked) <= {leaderboard, "data:,"} and leaderboard in asked
    # The content security policy blocks scripts that are not part of the page.
    browser.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.slipped = 1'; document.body.append(s)"
    )
    assert browser.execute_script("return window.slipped ?? null") is None


@pytest.mark.parametrize("width", [PHONE, 390, 768, 1280])
def test_the_page_does_not_scroll_horizontally(browser, width):
    size = {"width": width, "height": 700, "deviceScaleFactor": 2, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true })")
    root = browser.execute_script("const r = document.documentElement; return [innerWidth, r.clientWidth, r.scrollWidth]")
    assert root[0] == width and root[2] <= root[1] <= width
    # No table scrolls either, except for the rows of the details; on a phone, lines are cards.
    script = """return [...document.querySelectorAll('.scroll:has(.sortable)')].map(s => s.scrollWidth - s.clientWidth)"""
    assert max(browser.execute_script(script)) <= 0
    hidden = "c => c.offsetWidth === 0 || c.getBoundingClientRect().right > innerWidth"
    for label in ("Seeds", "Steps", "Learning rate"):
        cells = f"[...document.querySelectorAll('td[data-label=\"{label}\"]')]"
        assert browser.execute_script(f"return {cells}.length > 6 && !{cells}.some({hidden})")
    # Figures are not shrunk so far that their text becomes unreadable.
    ratio = "s => s.getBoundingClientRect().width / s.viewBox.baseVal.width"
    least = browser.execute_script(f"return Math.min(...[...document.querySelectorAll('svg.plot')].map({ratio}))")
    assert least > 0.65


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_preferred_colour_scheme(browser, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    bright = """const [r, g, b] = getComputedStyle(document.querySelector(arguments[0]))[arguments[1]].match(/[\\d.]+/g);
        return 0.3 * r + 0.6 * g + 0.1 * b"""
    page_, cell = (browser.execute_script(bright, place, "backgroundColor") for place in ("body", "#all thead th"))
    text, typed = (browser.execute_script(bright, place, "color") for place in ("body", "input"))
    label = browser.execute_script(bright, "svg.plot text", "fill")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    dark = scheme == "dark"
    assert (page_ < 60, cell < 60) == (dark, dark) and (text > 200, label > 200, typed > 200) == (dark, dark, dark)
