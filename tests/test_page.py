"""The page: one file that can be mailed, opens with the answer, and in which no name can do anything."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from report_example import cut_short, example_summary, renamed

from energybench.analysis.summary import Summary
from energybench.report.figures import captions, save_figures
from energybench.report.page import BYTES_AT_MOST, write_page
from energybench.report.page_table import ROWS_AT_MOST
from energybench.report.quantities import NONE

HOSTILE = "</script><img src=x onerror=alert(1)>\"'{{ 7*7 }}\n\x1b[31m\u202e&amp;"


class Page(HTMLParser):
    """What a browser would find: tags with their attributes, in order, and the text outside scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._inside = ""
        self.html = html
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {k: v or "" for k, v in attrs}))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words)).replace("\N{NO-BREAK SPACE}", " ").strip()

    def count(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.tags)


def page_of(summary: Summary, folder: Path, *, figures: bool = False) -> Page:
    files = save_figures(summary, folder / "figures") if figures else []
    write_page(summary, files, folder / "report.html")
    return Page((folder / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return page_of(example_summary(), tmp_path_factory.mktemp("page"), figures=True)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Summary, Page]:
    summary = example_summary(full=True)
    return summary, page_of(summary, tmp_path_factory.mktemp("full"))


def test_the_page_asks_nothing_of_the_network(page: Page) -> None:
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "srcset", "poster"):
            value = attributes.get(name, "#")
            assert value.startswith(("#", "data:text/csv")), (tag, name, value[:60])
    assert "@import" not in page.html
    assert not re.search(r"url\((?!#)", page.html)
    policy = next(
        a["content"] for t, a in page.tags if t == "meta" and "content" in a and "default-src" in a["content"]
    )
    assert "default-src 'none'" in policy


def test_the_only_script_is_the_one_the_policy_names(page: Page) -> None:
    script = re.search(r"<script>(.*?)</script>", page.html, re.DOTALL)
    assert script
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert page.count("script") == 1
    assert f"script-src 'sha256-{digest}'" in page.html


def test_the_answer_comes_first_then_the_table_then_the_figures(page: Page) -> None:
    order = [
        page.text.index(words)
        for words in ("At matched MACs,", "Results Filter", "How it was simulated", "Reproduce it")
    ]
    assert order == sorted(order)
    headings = re.findall(r"<h2>(.*?)</h2>", page.html)
    assert headings[:3] == ["The answer", "Results", "Figures"]


def test_a_simulated_run_says_so_in_the_banner_every_row_and_every_figure(page: Page) -> None:
    assert page.text.startswith("gconv: energybench report (simulated)")
    assert page.text.index("SIMULATED.") < page.text.index("The answer")
    rows = [attributes for tag, attributes in page.tags if tag == "tr" and "data-row" in attributes]
    assert rows
    assert all(attributes["data-from"] == "simulated" for attributes in rows)
    figures = re.findall(r"<figure.*?</figure>", page.html, re.DOTALL)
    assert len(figures) >= 5
    assert all("SIMULATED" in figure and "simulated</span>" in figure for figure in figures)


@pytest.mark.parametrize("origin", ["simulated", "modelled"])
def test_nothing_that_was_not_measured_is_called_measured(tmp_path: Path, origin: str) -> None:
    summary = example_summary()
    if origin == "modelled":
        record = summary.run.record.model_copy(update={"modelled": {"work": {"latency_s": 1e-6}}})
        summary = dataclasses.replace(summary, run=dataclasses.replace(summary.run, record=record))
    html = page_of(summary, tmp_path, figures=True).html
    said = re.sub(r"<style>.*?</style>|<script>.*?</script>|<summary>Machine sheet.*?</details>", "", html, flags=re.S)
    said = said.partition('<section id="reproduce">')[0]  # where the dictionary of columns begins
    called = re.findall(r"[^<>\n]{0,40}\bmeasured\b[^<>\n]{0,20}", said)
    denied = [words for words in called if re.search(r"not measured|[Nn]othing was measured|No device was", words)]
    assert called == denied
    assert f"{origin} joules" in said
    assert f"{origin} rate on the same axis" in captions.intensity(summary)
    assert captions.energy_waterline(summary).endswith(f"The last bar is the {origin} energy.")


def test_a_measured_run_is_not_marked(tmp_path: Path) -> None:
    page = page_of(example_summary(simulated=False), tmp_path)
    assert "SIMULATED" not in page.html
    assert 'class="mark"' not in page.html
    assert not [attributes for _, attributes in page.tags if "data-from" in attributes]


def test_ids_are_unique_and_every_reference_has_its_target(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert [name for name, times in Counter(ids).items() if times > 1] == []
    wanted = set(re.findall(r'href="#([^"]+)"', page.html)) | set(re.findall(r"url\(#([^)]+)\)", page.html))
    assert wanted <= set(ids)


def test_points_of_the_figures_belong_to_rows_of_the_table(page: Page) -> None:
    linked = [(tag, a["data-row"]) for tag, a in page.tags if "data-row" in a]
    rows = {row for tag, row in linked if tag == "tr"}
    points = {row for tag, row in linked if tag != "tr"}
    assert points
    assert points <= rows


def test_the_page_can_be_read_without_scripts(page: Page) -> None:
    controls = next(a for t, a in page.tags if a.get("class") == "controls")
    assert "hidden" in controls, "a filter that cannot work is not shown"
    assert not [a for t, a in page.tags if t == "tr" and "hidden" in a]
    assert page.text.count("E2GC G=8") > 2


def test_a_run_of_468_cases_fits_with_all_rows_and_its_data(full: tuple[Summary, Page]) -> None:
    summary, page = full
    assert len(summary.cases) == 468
    assert sum("data-row" in a for t, a in page.tags if t == "tr") == 468 + len(summary.totals)
    # the 19 inlined figures of such a run come to about 1.3 MB
    assert len(page.html.encode()) < BYTES_AT_MOST - 1_500_000


def test_the_csv_inside_the_page_is_results_csv(full: tuple[Summary, Page]) -> None:
    summary, page = full
    uri = next(a["href"] for t, a in page.tags if a.get("download") == "results.csv")
    frame = pd.read_csv(io.BytesIO(unquote(uri.split(",", 1)[1]).encode()))
    assert len(frame) == len(summary.cases) + len(summary.totals)
    expected = summary.results["energy_per_inference_j"].to_numpy()
    assert frame["energy_per_inference_j"].to_numpy() == pytest.approx(expected)


def test_beyond_500_cases_the_table_holds_totals_and_500_cases_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    summary = example_summary(full=True)
    many = dataclasses.replace(summary, cases=pd.concat([summary.cases, summary.cases], ignore_index=True))
    page = page_of(many, tmp_path)
    assert sum("data-row" in a for t, a in page.tags if t == "tr") == len(summary.totals) + ROWS_AT_MOST
    assert f"{936 - ROWS_AT_MOST} cases are in results.csv only" in page.text


def test_an_unfinished_run_shows_what_it_measured_and_says_that_it_is_not_all(tmp_path: Path) -> None:
    page = page_of(cut_short(example_summary(full=True), stopped="budget"), tmp_path)
    rows = [a for t, a in page.tags if t == "tr" and "data-row" in a]
    assert len(rows) == 9, "the variants of the one place that was measured"
    assert "9 of 468 cases so far. Not at matched MACs" in page.text
    assert "Unfinished: stopped by its budget" in re.sub(" +", " ", page.text).replace("Unfinished: :", "Unfinished:")
    assert "results.csv only" not in page.text


def test_a_skipped_case_has_its_variant_and_place_and_is_not_ok(tmp_path: Path) -> None:
    summary = example_summary(machine=False)
    skipped = {"row": "case", "case": "E2GC G=3 | batch=7 dtype=int4", "status": "skipped", "reason": "3 does not"}
    cases = pd.concat([summary.cases, pd.DataFrame([skipped])], ignore_index=True)
    page = page_of(dataclasses.replace(summary, cases=cases), tmp_path)
    row = re.search(r'<tr data-row="case-6".*?</tr>', page.html, re.DOTALL)
    assert row
    cells = [" ".join(re.sub("<.*?>", " ", cell).split()) for cell in re.split("<t[dh]", row[0])[1:]]
    heads = ["variant", "batch", "dtype"]
    assert cells[0].split(">", 1)[1].strip().startswith("E2GC G=3 batch 7, int4 skipped: 3 does not"), heads
    assert [cell.split(">", 1)[1].strip() for cell in cells[1:3]] == ["7", "int4"]
    assert ">skipped" in cells[6]
    assert not any(cell.endswith(">ok") for cell in cells)


def test_a_page_that_would_be_too_large_links_to_the_last_of_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = example_summary(machine=False)
    first, second, *rest = save_figures(summary, tmp_path / "figures")
    files = [first, dataclasses.replace(second, family=first.family), *rest]
    write_page(summary, files, tmp_path / "whole.html")
    monkeypatch.setattr("energybench.report.page.BYTES_AT_MOST", (tmp_path / "whole.html").stat().st_size - 1)
    write_page(summary, files, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text())
    links = [a["href"] for t, a in page.tags if a.get("href", "").startswith("figures/")]
    assert links == [f"figures/{second.name}.svg"], (
        "as many as have room are in the page, the first of a kind before others"
    )
    assert all((tmp_path / link).exists() for link in links)
    monkeypatch.setattr("energybench.report.page.BYTES_AT_MOST", 1)
    write_page(summary, files, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().count("beside this page") == len(files)


def test_hostile_names_are_inert_everywhere(tmp_path: Path) -> None:
    summary = renamed(example_summary(machine=False), "E2GC G=8", HOSTILE)
    record = summary.run.record.model_copy(update={"name": HOSTILE, "about": HOSTILE, "suite_text": HOSTILE})
    hostile = dataclasses.replace(summary, run=dataclasses.replace(summary.run, record=record))
    page = page_of(hostile, tmp_path, figures=True)
    assert page.count("script") == 1
    assert page.count("img") == 0
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert "{{ 7*7 }}" in page.text, "shown, not evaluated"
    assert "<img src=x onerror=alert(1)>" in page.text


def test_without_joules_the_page_speaks_of_latency_and_gives_the_reason(tmp_path: Path) -> None:
    page = page_of(example_summary(energy=False, simulated=False), tmp_path)
    heads = re.findall(r"<thead>.*?</thead>", page.html, re.DOTALL)
    assert any("latency per inference" in head for head in heads)
    assert not any("energy per inference" in head for head in heads)
    assert "this CPU exposes no RAPL counters" in page.text
    assert "same latency within 1 %" in page.text


def test_pairs_whose_macs_differ_lead_with_the_change_per_mac_and_are_not_coloured(tmp_path: Path) -> None:
    summary = example_summary(full=True)
    page = page_of(summary, tmp_path)
    cells = [a["class"] for t, a in page.tags if t == "td" and a.get("class")]
    apart = summary.pairs[(summary.pairs["kind"] == "matched") & (summary.pairs["scope"] == "total")]
    assert cells.count("apart") == (abs(apart["macs_ratio"] - 1) > 0.1).sum() > 0
    assert re.search(r'<td class="apart"[^>]*>\S+ % per MAC<', page.html.replace("\xa0", " "))
    assert "declared pairs; below it the ratio" in page.text
    assert "MACs differ: change per MAC" in page.text


def test_flags_are_explained_with_their_remedy(tmp_path: Path) -> None:
    summary = example_summary()
    flagged = dataclasses.replace(summary, cases=summary.cases.assign(flags="throttled made-up"))
    page = page_of(flagged, tmp_path)
    assert "improve cooling" in page.text
    assert "made-up" in page.text


def test_failed_and_skipped_cases_are_named_with_their_reason(tmp_path: Path) -> None:
    summary = example_summary(machine=False)
    skipped = {"row": "case", "case": "E2GC G=3 | a place", "status": "skipped", "reason": "3 does not divide 256"}
    failed = summary.cases.assign(
        status=["failed", *["ok"] * 5], reason=["out of memory", *[""] * 5], loop_latency_s=[None, *[1e-5] * 5]
    )
    cases = pd.concat([failed, pd.DataFrame([skipped])], ignore_index=True)
    page = page_of(dataclasses.replace(summary, cases=cases), tmp_path, figures=True)
    assert "2 cases without a result" in page.text
    assert "out of memory" in page.text
    assert "3 does not divide 256" in page.text
    assert NONE in page.text


def test_the_sensors_gain_has_a_line_of_its_own(tmp_path: Path) -> None:
    page = page_of(example_summary(simulated=False), tmp_path)
    assert "gain of the sensor (systematic) ±5.0 %" in page.text
