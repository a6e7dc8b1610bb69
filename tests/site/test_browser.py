"""The site in a browser: no errors, charts, sorting and filtering by keyboard, a phone's width.

Runs where Chromium with its driver and the package selenium (extra "test") are installed.
"""

import shutil
from collections.abc import Iterator

import pytest

from dmlbench.schemas.record import Epoch
from dmlbench.site import build_site

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver on the PATH"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator["object"]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs the package selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run"),
        *("disable-background-networking", "disable-component-update", "disable-sync"),
        *("disable-dev-shm-usage", f"user-data-dir={tmp_path_factory.mktemp('profile')}"),
    ):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, site):
    """Return what opens a page at some width; whatever the console says fails the test."""

    def open_page(path: str, width: int = 1280):
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get((site.folder / path).as_uri())
        return browser

    yield open_page
    assert browser.get_log("browser") == []


def kinds(site):
    """Return the path of a page of each kind."""
    trial = next(r for r in site.records if "loss" in r.trial.parts and r.status == "finished")
    return [
        *("index.html", "tables/glyphs-small.html", "tables/iris-vectors.html"),
        *("methods/loss-triplet.html", f"trials/{trial.trial.id}.html"),
    ]


def scroll_through(browser):
    """Bring every chart into view once: they are drawn then."""
    browser.execute_async_script(
        """
        const done = arguments[0];
        (async () => {
          document.querySelectorAll("details").forEach((details) => (details.open = true));
          for (const figure of document.querySelectorAll("figure[data-chart]")) {
            figure.scrollIntoView();
            await new Promise((next) => requestAnimationFrame(() => setTimeout(next)));
          }
          done();
        })();
        """
    )


def column(browser, sheet: str, heading: str) -> list[str]:
    """Return the texts of a column's visible cells."""
    return browser.execute_script(
        """
        const table = document.querySelector(`#${arguments[0]} table`);
        const place = [...table.tHead.rows[0].cells].findIndex(
          (cell) => cell.textContent.trim() === arguments[1]);
        return [...table.tBodies[0].rows].filter((row) => row.checkVisibility())
          .map((row) => row.cells[place].textContent.trim());
        """,
        sheet,
        heading,
    )


@pytest.mark.parametrize("width", [1280, 390])
def test_every_chart_is_drawn_and_no_page_is_wider_than_its_window(width, opened, site):
    for path in kinds(site):
        browser = opened(path, width)
        scroll_through(browser)
        drawn = browser.execute_script(
            "return [...document.querySelectorAll('figure[data-chart]')]"
            ".map((figure) => figure.querySelectorAll('svg').length)"
        )
        assert drawn == [1] * len(drawn), path
        assert drawn or path == "index.html"
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_a_heading_sorts_by_keyboard_and_says_so(opened):
    from selenium.webdriver.common.keys import Keys

    browser = opened("tables/glyphs-small.html")
    button = browser.find_element("xpath", "//*[@id='trained-0']//th/button[.='Recall@1']")
    before = column(browser, "trained-0", "Recall@1")
    heading = button.find_element("xpath", "..")
    button.send_keys(Keys.ENTER)
    assert heading.get_attribute("aria-sort") == "descending"
    first = [float(text.split()[0]) for text in column(browser, "trained-0", "Recall@1")]
    assert first == sorted(first, reverse=True)
    assert first != [float(text.split()[0]) for text in before]
    button.send_keys(Keys.SPACE)
    assert heading.get_attribute("aria-sort") == "ascending"
    assert [float(t.split()[0]) for t in column(browser, "trained-0", "Recall@1")] == first[::-1]
    assert browser.switch_to.active_element == button


def test_cells_without_a_value_are_sorted_last_both_ways(opened):
    browser = opened("tables/glyphs-small.html")
    button = browser.find_element("xpath", "//*[@id='trained-0']//th/button[.='Miner']")
    for _ in range(2):
        button.send_keys(" ")
        miners = column(browser, "trained-0", "Miner")
        assert miners[-3:] == ["–"] * 3
        assert "–" not in miners[:-3]


def test_the_filter_keeps_the_rows_that_hold_all_words(opened):
    browser = opened("tables/glyphs-small.html")
    field = browser.find_element("id", "filter-trained-0")
    field.send_keys("TRIP rand")
    assert column(browser, "trained-0", "Miner") == ["random"]
    assert browser.find_element("css selector", "#trained-0 output").text == "1 of 8 rows"
    field.clear()
    field.send_keys(" ")
    assert len(column(browser, "trained-0", "Miner")) == 8


def test_another_row_can_be_drawn(opened):
    browser = opened("tables/glyphs-small.html")
    scroll_through(browser)
    lines = "return document.querySelectorAll('[data-chart=recall] g[aria-label=line]').length"
    before = browser.execute_script(lines)
    browser.find_element("css selector", ".chooser input:not(:checked)").click()
    assert browser.execute_script(lines) == before + 1
    assert len(browser.find_elements("css selector", ".chooser .legend li")) == before + 1


def test_the_button_changes_light_to_dark_and_the_next_page_remembers(opened):
    browser = opened("index.html")
    ground = "return getComputedStyle(document.body).backgroundColor"
    button = browser.find_element("id", "theme")
    seen = {}
    for _ in range(3):
        button.click()
        seen[button.get_attribute("title")] = browser.execute_script(ground)
    assert seen["Colours: light"] == "rgb(255, 255, 255)"
    assert seen["Colours: dark"] == "rgb(20, 23, 26)"
    button.click()
    button.click()
    opened("tables/glyphs-small.html")
    assert browser.execute_script(ground) == "rgb(20, 23, 26)"


@pytest.mark.parametrize("width", [1280, 390])
def test_a_figure_of_each_kind_of_table_is_on_the_screen_without_scrolling_sideways(
    width, opened, site
):
    for path in kinds(site)[:4]:
        browser = opened(path, width)
        unseen = browser.execute_script(
            """
            return [...document.querySelectorAll(".sheet")].filter((sheet) => {
              const numbers = [...sheet.querySelectorAll("tbody td.number[data-number]")];
              const edges = numbers.map((one) => one.getBoundingClientRect().right);
              return edges.length && Math.min(...edges) > innerWidth;
            }).map((sheet) => sheet.id);
            """
        )
        assert unseen == [], path


@pytest.mark.parametrize("height", [(1280, 800), (390, 844)])
def test_the_first_card_shows_its_mean_on_the_first_screen(height, opened):
    browser = opened("index.html", height[0])
    bottom = "return document.querySelector('.card .figure b').getBoundingClientRect().bottom"
    assert 0 < browser.execute_script(bottom) < height[1]


def test_headings_show_that_they_sort_and_say_what_they_mean(opened):
    browser = opened("tables/glyphs-small.html")
    shown = browser.execute_script(
        """
        return [...document.querySelectorAll("#trained-0 thead button")].map((button) => [
          getComputedStyle(button, "::after").content, button.getAttribute("aria-description"),
          button.parentElement.title]);
        """
    )
    assert len(shown) > 8
    for mark, described, title in shown:
        assert mark == '"↕"'
        assert described == title != ""


def test_every_row_that_no_other_beats_in_both_is_labelled_and_no_label_covers_another(opened):
    browser = opened("tables/glyphs-small.html")
    scroll_through(browser)
    data = browser.execute_script(
        "return JSON.parse(document.getElementById('rows-data').textContent).series"
    )
    rows = [(one["seconds"], one["score"][0], one["label"]) for one in data if one["seconds"]]
    leading = {
        label
        for seconds, score, label in rows
        if not any(s <= seconds and m >= score and (s, m) != (seconds, score) for s, m, _ in rows)
    }
    boxes = browser.execute_script(
        """
        return [...document.querySelectorAll("[data-chart=time] text")].map((text) => {
          const box = text.getBoundingClientRect();
          return [text.textContent, box.left, box.top, box.right, box.bottom];
        });
        """
    )
    named = [box for box in boxes if any(box[0] == label for *_, label in rows)]
    assert {box[0] for box in named} == leading
    for place, (_, left, top, right, bottom) in enumerate(named):
        for _, l2, t2, r2, b2 in named[:place]:
            assert right <= l2 or r2 <= left or bottom <= t2 + 3 or b2 <= top + 3


def test_a_loss_below_zero_flattens_no_other_curve_and_the_picture_says_how_far_it_falls(
    browser, record, tmp_path
):
    def falling(last):
        return [Epoch(epoch=e, loss=1 + (last - 1) * (e - 1) / 3) for e in range(1, 5)]

    build_site(
        [record("arcface", None, epochs=falling(0.4)), record("margin", epochs=falling(-27))],
        tmp_path,
    )
    browser.get((tmp_path / "tables/glyphs-small.html").as_uri())
    scroll_through(browser)
    figure = browser.find_element("css selector", "[data-chart=relative-loss]")
    heights = browser.execute_script(
        "return [...arguments[0].querySelectorAll('g[aria-label=line] path')]"
        ".map((path) => path.getBBox().height)",
        figure,
    )
    assert min(heights) > 120
    assert "margin + random leaves the axis: it falls to -27." in figure.text
