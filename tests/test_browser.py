"""The page in a browser: what a reader does with mouse, keys, a phone, a printer, and without scripts."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from quiet import measured
from report_example import example_summary

from energybench.report.build import build_report
from energybench.report.figures import FigureFile, svg_text
from energybench.report.page import write_page
from energybench.report.svg import mark

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt install chromium)")
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install '.[test]')")

VISIBLE = "#table tbody tr[data-row]:visible"
LUMINANCE = "e => getComputedStyle(e).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number).reduce((a, b) => a + b)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM)
        yield started
        started.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a real run on a simulated board: 6 cases, 3 totals."""
    folder, _ = measured(tmp_path_factory.mktemp("small"), quick=False)
    build_report(folder)
    return folder / "report.html"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 468 cases and 72 totals, without figures."""
    path = tmp_path_factory.mktemp("large") / "report.html"
    write_page(example_summary(full=True), [], path)
    return path


def opened(browser: Any, path: Path, **context: Any) -> Any:
    """The page in a fresh context, ``page.heard`` collecting what the console and the network say."""
    page = browser.new_context(reduced_motion="reduce", **context).new_page()
    page.set_default_timeout(5_000)
    page.heard = []
    page.on("console", lambda message: page.heard.append(message.text))
    page.on("pageerror", lambda error: page.heard.append(str(error)))
    page.on("request", lambda request: page.heard.append(request.url))
    page.goto(path.as_uri())
    return page


def column(page: Any, words: str) -> int:
    heads = page.locator("#table thead th").all_inner_texts()
    return next(number for number, head in enumerate(heads) if words in head)


def values(page: Any, number: int) -> list[float]:
    cells = page.locator(f"{VISIBLE} > :nth-child({number + 1})")
    return [float(v) for v in cells.evaluate_all("cells => cells.map(cell => parseFloat(cell.textContent))")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_without_a_word_on_the_console_and_asks_for_nothing(browser: Any, small: Path, scheme: str) -> None:
    page = opened(browser, small, color_scheme=scheme)
    assert page.heard == [small.as_uri()]
    assert (page.locator("body").evaluate(LUMINANCE) < 200) == (scheme == "dark")
    assert (page.locator("figure svg path").first.evaluate("e => getComputedStyle(e).fill") != "") is True


def test_a_heading_sorts_up_and_down_and_says_so(browser: Any, large: Path) -> None:
    page = opened(browser, large)
    number = column(page, "energy per inference")
    head = page.locator("#table thead th").nth(number)
    head.get_by_role("button").click()
    up = values(page, number)
    assert head.get_attribute("aria-sort") == "ascending"
    assert len(up) == 40
    assert up == sorted(up)
    head.get_by_role("button").click()
    down = values(page, number)
    assert head.get_attribute("aria-sort") == "descending"
    assert down == sorted(down, reverse=True)
    assert down[0] > up[-1], "all rows are sorted, not those of one page"


def test_words_and_choices_filter_rows_and_fade_the_rest_of_the_figures(browser: Any, small: Path) -> None:
    page = opened(browser, small)
    page.fill("#filter", "dense")
    assert page.inner_text("#shown") == "3 of 9 rows"
    assert all("dense" in text for text in page.locator(VISIBLE).all_inner_texts())
    assert page.locator("svg .faint").count() > 0
    page.uncheck("#totals")
    page.get_by_role("combobox", name="channels").select_option("64")
    assert page.inner_text("#shown") == "1 of 9 rows"
    page.get_by_role("combobox", name="channels").select_option("")
    page.check("#totals")
    page.fill("#filter", "")
    assert page.inner_text("#shown") == "9 of 9 rows"
    assert page.locator("svg .faint").count() == 0


def test_a_large_table_is_paged_and_every_row_is_on_one_page(browser: Any, large: Path) -> None:
    page = opened(browser, large)
    seen: list[str] = []
    while True:
        seen += page.locator(VISIBLE).evaluate_all("rows => rows.map(row => row.dataset.row)")
        if page.locator("#on").is_disabled():
            break
        page.click("#on")
    assert page.inner_text("#page") == "page 14 of 14"  # 540 rows, 40 a page
    assert len(seen) == len(set(seen)) == 540


def test_a_small_table_has_no_pages(browser: Any, small: Path) -> None:
    assert not opened(browser, small).locator("#pager").is_visible()


def test_arrows_walk_through_the_rows_over_the_pages_and_enter_opens_one(browser: Any, large: Path) -> None:
    page = opened(browser, large)
    focused = "document.activeElement.closest('tr').dataset.case"
    rows = page.locator("#table tbody tr[data-row]").evaluate_all("rows => rows.map(row => row.dataset.case)")
    page.locator("#table tbody .open").first.focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == rows[1]
    page.keyboard.press("End")
    assert page.evaluate(focused) == rows[-1]
    assert page.inner_text("#page") == "page 14 of 14"
    page.keyboard.press("Enter")
    assert rows[-1] in page.inner_text("tr.detail")
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    page.keyboard.press("Escape")
    assert page.locator("tr.detail").count() == 0
    page.keyboard.press("Home")
    assert page.evaluate(focused) == rows[0]


def test_the_table_takes_one_stop_of_the_tab_key(browser: Any, large: Path) -> None:
    page = opened(browser, large)
    assert page.locator("#table tbody [tabindex='0']").count() == 1


def test_a_case_is_lit_everywhere_from_its_point_and_from_its_row(browser: Any, small: Path) -> None:
    page = opened(browser, small)
    point = page.locator("#figures svg [data-row^=case]:visible").first
    point.hover(force=True)
    row = point.get_attribute("data-row")
    tip = page.locator("#tip")
    assert page.locator("tr.hot").get_attribute("data-row") == row
    assert re.search(r"^energy per inference: [\d.]+ ± [\d.]+ .?J$", tip.inner_text(), re.MULTILINE)
    page.locator("h1").hover()
    assert not tip.is_visible()
    assert page.locator(".hot").count() == 0
    page.locator(f"tr[data-row={row}] .open").focus()
    lit = page.locator("svg .hot")
    assert lit.count() > 0
    assert set(lit.evaluate_all("points => points.map(point => point.dataset.row)")) == {row}


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with one figure: two points on top of each other, and a bar that is no row of the table."""
    folder = tmp_path_factory.mktemp("marked")
    figure = Figure()
    ax = figure.subplots()
    ax.plot([1], [1], "o", gid=mark("case-0", "intensity 3.1 FLOP/byte"))
    ax.plot([1], [1], "o", gid=mark("case-1", "intensity 3.2 FLOP/byte"))
    ax.bar([3], [2], gid=mark("", "conv2_dw: 1.2 µs\n×7.3 of its ideal"))
    (folder / "some.svg").write_text(svg_text(figure, "some"), encoding="utf-8")
    file = FigureFile("some", "roofline", "Some", "", folder / "some.svg", folder / "some.png")
    write_page(example_summary(), [file], folder / "report.html")
    return folder / "report.html"


def test_all_points_under_the_pointer_say_what_the_figure_shows_there(browser: Any, marked: Path) -> None:
    page = opened(browser, marked)
    page.locator("#some [data-row=case-1]").hover(force=True)
    said = page.inner_text("#tip")
    assert said.index("intensity 3.2 FLOP/byte") < said.index("intensity 3.1 FLOP/byte"), "the upper one first"
    assert "energy per inference: " in said
    assert len(page.locator("#tip p").first.inner_text().splitlines()) == 3, "its own line and two of its row"
    page.locator("#some [data-tip^=conv2]").hover(force=True)
    assert page.inner_text("#tip").splitlines()[:1] == ["conv2_dw: 1.2 µs"]


def test_keys_walk_through_the_points_of_a_figure_and_enter_leads_to_the_row(browser: Any, marked: Path) -> None:
    page = opened(browser, marked)
    page.locator("#some .scroll").focus()
    page.keyboard.press("End")
    assert "intensity 3.2" in page.inner_text("#tip")
    assert page.locator("tr.hot").get_attribute("data-row") == "case-1"
    page.keyboard.press("ArrowLeft")
    assert "intensity 3.1" in page.inner_text("#tip")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.closest('tr').dataset.row") == "case-0"
    assert not page.locator("#tip").is_visible()


def test_what_keys_lead_to_stays_said_while_the_page_scrolls_and_its_words_stay_readable(
    browser: Any, small: Path
) -> None:
    page = opened(browser, small, viewport={"width": 900, "height": 300})
    page.locator("#pairs .scroll").focus()
    page.evaluate("document.querySelector('#pairs .scroll').scrollIntoView({block: 'end'})")
    page.keyboard.press("Home")
    page.mouse.wheel(0, 20)
    page.wait_for_timeout(200)
    assert page.locator("#tip").is_visible()
    words = page.locator("#pairs svg .hot text, #pairs svg text.hot")
    assert words.count() > 0
    assert words.first.evaluate("e => getComputedStyle(e).stroke") == "none"
    page.mouse.wheel(0, 2000)
    page.wait_for_timeout(200)
    assert not page.locator("#tip").is_visible(), "it goes with its point"


def test_a_click_on_a_point_leads_to_its_row(browser: Any, small: Path) -> None:
    page = opened(browser, small)
    point = page.locator("#figures svg [data-row^=case]:visible").last
    point.click(force=True)
    row = point.get_attribute("data-row")
    assert page.evaluate("document.activeElement.closest('tr').dataset.row") == row
    box = page.locator(f"tr[data-row={row}]").bounding_box()
    assert 0 < box["y"] < page.viewport_size["height"]


def test_an_opened_case_shows_its_power_over_time_with_watts(browser: Any, small: Path) -> None:
    page = opened(browser, small)
    row = page.locator("tr[data-row^=case]").first
    row.click()
    strip = page.locator("tr.detail svg.strip")
    assert strip.bounding_box()["height"] > 100
    assert "0 W" in page.inner_text("tr.detail .watts")
    assert "windows" in page.inner_text("tr.detail figcaption")


def test_without_scripts_every_row_and_word_is_there_and_no_dead_control(browser: Any, large: Path) -> None:
    page = opened(browser, large, java_script_enabled=False)
    assert page.locator(VISIBLE).count() == 540
    for dead in (".controls", "#pager", "#keys", "#tip"):
        assert not page.locator(dead).is_visible(), dead
    mark = "e => getComputedStyle(e, '::after').content"
    assert page.locator("#table thead button").first.evaluate(mark) == "none", "nothing says that it could be sorted"
    assert page.locator(".headline").is_visible()
    assert page.get_by_text("Download results.csv").is_visible()


def test_a_phone_scrolls_in_one_direction_only(browser: Any, small: Path) -> None:
    page = opened(browser, small, viewport={"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.locator(".headline").bounding_box()["width"] <= 400


def test_on_paper_the_totals_are_printed_on_white_without_controls(browser: Any, large: Path) -> None:
    page = opened(browser, large, color_scheme="dark")
    page.emulate_media(media="print")
    printed = page.locator(VISIBLE)
    assert printed.count() == 72
    assert set(printed.evaluate_all("rows => rows.map(row => row.className)")) <= {"total", "total off"}
    assert not page.locator(".controls").is_visible()
    assert page.locator("body").evaluate(LUMINANCE) > 700


def test_on_paper_stands_what_was_run_and_no_line_that_only_opens(browser: Any, small: Path) -> None:
    page = opened(browser, small)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.get_by_text("analytic: group_size").is_visible(), "the suite"
    assert page.get_by_text("data sheet; stas00").first.is_visible(), "where the machine sheet's numbers come from"
    closed = page.locator("details:not([open])")
    assert closed.count() > 0
    assert not any(closed.nth(n).is_visible() for n in range(closed.count()))
    assert page.locator("#table thead button").first.evaluate("e => getComputedStyle(e).display") == "contents"


def test_on_a_phone_the_places_of_the_answer_stay_in_sight(browser: Any, large: Path) -> None:
    page = opened(browser, large, viewport={"width": 375, "height": 800})
    place = page.locator(".matrix tbody th").first
    before = place.bounding_box()
    assert before["width"] < 0.4 * 375
    page.locator(".scroll:has(> .matrix)").evaluate("e => { e.scrollLeft = 200; }")
    assert page.locator(".scroll:has(> .matrix)").evaluate("e => e.scrollLeft") > 0
    assert place.bounding_box()["x"] == before["x"]


def test_the_csv_can_be_saved(browser: Any, small: Path) -> None:
    page = opened(browser, small)
    with page.expect_download() as waiting:
        page.get_by_text("Download results.csv").click()
    assert waiting.value.suggested_filename == "results.csv"
    assert Path(waiting.value.path()).read_bytes() == (small.parent / "results.csv").read_bytes()
