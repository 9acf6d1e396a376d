"""How does a run become one page that can be mailed? Self-contained HTML: the answer, table, figures, method, data."""

from __future__ import annotations

import base64
import hashlib
import shlex
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from energybench import columns
from energybench.analysis.summary import Summary
from energybench.flags import FLAGS, Flag
from energybench.journal import RunRecord, disk_error, replace_file
from energybench.report import quantities, strips, svg
from energybench.report.answer import Answer, answer_of
from energybench.report.efficiency_text import beaten_lines, efficiency_lines
from energybench.report.environment import environment, kinds_in_words
from energybench.report.figures import FigureFile, captions
from energybench.report.method import budget, method_words
from energybench.report.next_step import EXPORTS, without
from energybench.report.outcomes import Outcome
from energybench.report.page_table import results_table
from energybench.report.results_csv import csv_text
from energybench.report.style import Palette, plain
from energybench.report.tables import cut_short, tidy

BYTES_AT_MOST = 3_000_000
CSV_AT_MOST = 1_000_000
CSV_AS_IT_IS = ",=|:;/()*+$!~@[]{}?^"
"""Beside letters and digits: what may stand as it is in a data URI, within quotes in HTML."""
MATRIX_COLUMNS = 8
MATRIX_ROWS = 24
NAMED_AT_MOST = 20


@dataclass(frozen=True)
class InlineFigure:
    """A figure as the template wants it; ``svg`` is empty where the page would grow too large."""

    name: str
    family: str
    title: str
    caption: str
    svg: Markup
    file: str


@dataclass(frozen=True)
class Trouble:
    """Why some cases have no measurement: how many, and the names of the first."""

    status: str
    reason: str
    count: int
    cases: list[str]


def write_page(summary: Summary, figures: Sequence[FigureFile], path: Path) -> None:
    """Write ``report.html``: one file without external requests, under 3 MB.

    Args:
        summary: every table of the run.
        figures: what ``save_figures`` returned; the page links to them relative to its own folder.
        path: where to.
    """
    summary, inside = tidy(summary), _by_importance(figures)
    html = _inert(_render(summary, figures, path.parent, {figure.name for figure in inside}))
    while inside and (excess := len(html.encode()) - BYTES_AT_MOST) > 0:
        while inside and excess > 0:
            excess -= inside.pop().svg.stat().st_size
        html = _inert(_render(summary, figures, path.parent, {figure.name for figure in inside}))
    try:
        replace_file(path, html)
    except OSError as error:
        raise disk_error(path, error) from error


def _inert(html: str) -> str:
    """The page without characters that act instead of showing: a suite's text is quoted as it was written."""
    acting = {c for c in set(html) if unicodedata.category(c)[0] == "C"} - {"\n"}
    return html.translate({ord(c): "\N{REPLACEMENT CHARACTER}" for c in acting})


def _render(summary: Summary, figures: Sequence[FigureFile], folder: Path, inlined: set[str]) -> str:
    record = summary.run.record
    palette = Palette.of([case.variant for case in record.cases])
    names, light_css, dark_css = svg.variables(palette.dark())
    said = answer_of(summary)
    script = _asset("page.js")
    jinja = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    jinja.filters["unbroken"] = _unbroken
    jinja.filters["together"] = _together
    return jinja.from_string(_asset("page.html.j2")).render(
        record=record,
        run_name=plain(summary.run.folder.name, 120),
        origin=summary.run.origin,
        has_energy=summary.has_energy,
        unfinished=cut_short(summary),
        quick=bool(record.options.get("quick")),
        facts=list(_facts(summary)),
        answer=said,
        matrix=_matrix(said),
        any_apart=said.matched and any(outcome.apart for outcome in said.outcomes),
        figures=[_inline(figure, folder, names, whole=figure.name in inlined) for figure in figures],
        families=list(dict.fromkeys(figure.family for figure in figures)),
        absences=list(captions.absences(summary)),
        table=results_table(summary),
        strip_box=(strips.WIDTH, strips.HEIGHT),
        method=method_words(summary),
        budget=list(budget(summary)),
        flags=_flags(summary),
        troubles=_troubles(summary),
        efficiencies=list(efficiency_lines(summary.cases)),
        beaten=list(beaten_lines(summary.cases)),
        environment=list(environment(record)),
        machine=summary.machine,
        command=_command(record),
        csv=_csv_uri(summary),
        columns=columns.RESULTS,
        css=Markup(_asset("page.css")),  # noqa: S704  # our own file
        light_css=Markup(light_css),  # noqa: S704  # colours of our own palette
        dark_css=Markup(dark_css),  # noqa: S704
        script=Markup(script),  # noqa: S704
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _asset(name: str) -> str:
    return (resources.files("energybench.report") / name).read_text(encoding="utf-8")


def _unbroken(text: str) -> str:
    """A number stays on the line of its percent sign."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def _together(text: str) -> str:
    """A value and its interval may stand on two lines, and break nowhere else."""
    return (
        text.replace("± ", "±\N{NO-BREAK SPACE}").replace(", ", ",\N{NO-BREAK SPACE}") if text[:1].isdigit() else text
    )


def _by_importance(figures: Sequence[FigureFile]) -> list[FigureFile]:
    """The first of each family, then the others, as far as the page has room for them."""
    first = {figure.family: figure.name for figure in reversed(figures)}
    return sorted(figures, key=lambda figure: first[figure.family] != figure.name)


def _inline(figure: FigureFile, folder: Path, names: dict[str, str], *, whole: bool) -> InlineFigure:
    drawn = ""
    if whole:
        text = figure.svg.read_text(encoding="utf-8")
        drawn = svg.inline(text, prefix=f"{figure.name}-", title=figure.title, names=names)
    inside = figure.svg.is_relative_to(folder)
    file = figure.svg.relative_to(folder).as_posix() if inside else figure.svg.name
    return InlineFigure(figure.name, figure.family, figure.title, figure.caption, Markup(drawn), file)  # noqa: S704


def _facts(summary: Summary) -> Iterator[tuple[str, str]]:
    """The line below the title: where, when, with what, how much."""
    record = summary.run.record
    yield "device", plain(record.device.get("title") or record.device.get("name") or "unknown", 80)
    meter = plain(record.meter.get("name") or "none", 20)
    kinds = kinds_in_words(record.meter.get("kinds", ()))
    yield "meter", f"{meter} ({kinds})" if kinds else meter
    when = record.created_utc
    yield (
        "begun",
        f"{when[:4]}-{when[4:6]}-{when[6:8]} {when[9:11]}:{when[11:13]} UTC" if len(when) == 16 else plain(when, 40),
    )
    done = int((summary.cases["status"] == "ok").sum())
    yield "cases", f"{done} of {len(summary.cases)}" if done < len(summary.cases) else str(done)


def _matrix(said: Answer) -> dict[str, Any] | None:
    """Places down, pairs across; None where that would be one cell, or too much to take in."""
    places = list(dict.fromkeys(outcome.place for outcome in said.outcomes))
    pairs = list(dict.fromkeys((outcome.variant, outcome.against) for outcome in said.outcomes))
    if len(said.outcomes) < 2 or len(pairs) > MATRIX_COLUMNS or len(places) > MATRIX_ROWS:
        return None
    at = {(o.variant, o.against, o.place): o for o in said.outcomes}
    rows = [(p, [_matrix_cell(at.get((*pair, p)), matched=said.matched) for pair in pairs]) for p in places]
    return {"pairs": pairs, "rows": rows}


def _matrix_cell(outcome: Outcome | None, *, matched: bool) -> dict[str, str]:
    if outcome is None:
        return {"text": "", "interval": "", "kind": "none", "hint": "", "apart": "", "row_id": ""}
    seen = quantities.digits(100 * outcome.smallest_difference, 2)
    per_mac = quantities.signed_percent(outcome.per_mac)
    change, macs = quantities.signed_percent(outcome.ratio), f"MACs × {outcome.macs_ratio:.3g}"
    apart = matched and outcome.apart
    return {
        "text": f"{per_mac} per MAC" if apart else change,
        "interval": quantities.ratio(outcome.ratio, outcome.low, outcome.high),
        "kind": "apart" if apart else outcome.verdict.replace(" ", "-"),
        "hint": f"{outcome.verdict}; {macs}; smallest difference this could show: {seen} %",
        "apart": f"{macs}: {change} in all" if apart else "",
        "row_id": outcome.row_id,
    }


def _flags(summary: Summary) -> list[tuple[Flag, int]]:
    """The flags that occur, with how many cases carry each; unknown words come without a remedy."""
    words = " ".join(summary.cases["flags"].fillna("")).split()
    known = [(flag, words.count(name)) for name, flag in FLAGS.items() if name in words]
    unknown = [
        Flag(plain(word, 40), "?", "not in this version's dictionary", "")
        for word in dict.fromkeys(words)
        if word not in FLAGS
    ]
    return known + [(flag, words.count(flag.name)) for flag in unknown]


def _troubles(summary: Summary) -> list[Trouble]:
    """Cases without a measurement by what happened to them, the commonest first."""
    rows = summary.cases[summary.cases["status"] != "ok"].fillna({"reason": ""})
    found = [
        Trouble(
            plain(status), plain(reason, 300), len(part), [plain(case, 160) for case in part["case"][:NAMED_AT_MOST]]
        )
        for (status, reason), part in rows.groupby(["status", "reason"], sort=False)
    ]
    return sorted(found, key=lambda trouble: -trouble.count)


def _command(record: RunRecord) -> str:
    """What was typed, without where it went: that is a place on another's disk."""
    typed = without(record.command, ("--output", *EXPORTS), ())
    return plain(shlex.join(typed)) if typed else f"energybench run {shlex.quote(plain(record.name))}"


def _csv_uri(summary: Summary) -> str:
    """results.csv as a data URI; empty where it is too large and stays beside the page.

    Percent-encoded: a table of numbers has few characters that need it, and base64 would add a third.
    """
    text = csv_text(summary.results)
    return "data:text/csv;charset=utf-8," + quote(text, safe=CSV_AS_IT_IS) if len(text) <= CSV_AT_MOST else ""
