"""What does a run say in the terminal? Who won, the totals, the optimum group size, where the files are, what next."""

from __future__ import annotations

import io
import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from energybench.analysis.summary import Summary
from energybench.flags import FLAGS, marks
from energybench.report import quantities
from energybench.report.answer import Answer, answer_of
from energybench.report.panels import split, spread_over
from energybench.report.quantities import Scale, scale_for
from energybench.report.settings import settings_of
from energybench.report.style import plain
from energybench.report.tables import tidy

ROWS_AT_MOST = 40
SETTINGS_SHOWN = 3
SHAPES_AT_MOST = 6
NAME_WIDTH = 20
NARROW = 72
WIDE = 100
ASCII = str.maketrans({"±": "+-", "µ": "u", "×": "x", "–": "-", "−": "-", "…": "...", "Σ": "sum", "≤": "<="})
MODELS = (("thesis", "thesis_optimum"), ("physical", "physical_optimum"), ("knee", "knee"))


def print_summary(summary: Summary) -> None:
    """Write the summary to stdout: coloured on a terminal that wants it, plain in a pipe or with ``NO_COLOR``."""
    console = Console()
    text = render_summary(summary, width=console.width, color=console.is_terminal and not console.no_color)
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(ASCII).encode(encoding, "replace").decode(encoding)
    sys.stdout.write(text)


def render_summary(summary: Summary, *, width: int = 80, color: bool = False) -> str:
    """The summary as lines of at most ``width`` characters, with ANSI colours if ``color``.

    Names from the suite are shown, never obeyed: control characters in them are replaced.
    """
    summary = tidy(summary)
    out = io.StringIO()
    console = Console(
        file=out, width=max(40, width), force_terminal=color, color_system="standard" if color else None,
        no_color=not color, highlight=False, markup=False, emoji=False, legacy_windows=False,
    )  # fmt: skip
    said = answer_of(summary)
    console.print(_heading(summary))
    console.print()
    _print_answer(console, said)
    _print_tables(console, summary)
    for line in _group_size_lines(summary):
        console.print(Text(line))
    for line in _trouble_lines(summary):
        console.print(Text(line, style="red"))
    console.print()
    for word, what in _files_and_next(summary):
        console.print(Text.assemble((f"{word:<6}", "dim"), what), soft_wrap=True)
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip("\n").split("\n")) + "\n"


def _heading(summary: Summary) -> Text:
    record = summary.run.record
    device = plain(record.device.get("title") or record.device.get("name") or "unknown device", 44)
    done = int((summary.cases["status"] == "ok").sum())
    count = f"{done} of {len(summary.cases)} cases" if done < len(summary.cases) else f"{done} cases"
    parts: list[str | tuple[str, str]] = [(plain(record.name, 40), "bold"), f" on {device}, {count}"]
    if summary.run.origin != "measured":
        parts.append((f"  {summary.run.origin.upper()}, nothing was measured", "bold red"))
    elif record.options.get("quick"):
        parts.append(("  a quick look, not for print", "yellow"))
    return Text.assemble(*parts)


def _print_answer(console: Console, said: Answer) -> None:
    console.print(Text(said.headline, style="bold"))
    for line in said.lines:
        console.print(Padding(Text(line), (0, 0, 0, 2)))
    for caveat in said.caveats:
        console.print(Text(caveat, style="yellow"))
    console.print()


def _print_tables(console: Console, summary: Summary) -> None:
    settings = settings_of(summary.run.record)
    cases = summary.cases[summary.cases["variant"].notna()]
    rows = summary.totals if len(summary.totals) else cases
    parts = split(rows, settings.all)
    shown = parts if len(rows) <= ROWS_AT_MOST else spread_over(parts, SETTINGS_SHOWN)
    used: set[str] = set()
    for place, (name, part) in enumerate(shown):
        if place:
            console.print()
        console.print(_table(name, part, summary, console.width))
        used |= set(" ".join(part["flags"].fillna("")).split())
    if len(shown) < len(parts):
        console.print(Text(f"{len(parts) - len(shown)} more such tables are in the report.", style="dim"))
    legend = [f"{flag.mark} {flag.meaning}" for name, flag in FLAGS.items() if name in used]
    console.print(Text(f"* least of its table{'; q: ' if legend else ''}{'; '.join(legend)}", style="dim"))


def _table(name: str, part: pd.DataFrame, summary: Summary, width: int) -> Table:
    what = "total of the stages" if len(summary.totals) else ""
    caption = ", ".join(filter(None, (name, what)))
    heading = Text(caption, style="bold") if caption else None
    table = Table(
        title=heading, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim"
    )
    energy = bool(part["energy_per_inference_j"].notna().any())
    joules = scale_for(part["energy_per_inference_j"], "J")
    seconds = scale_for(part["loop_latency_s"] / part["batch"], "s")
    table.add_column("variant", max_width=NAME_WIDTH + 2, no_wrap=True, overflow="ellipsis")
    per = "/inference" if width >= NARROW else ""
    if energy:
        table.add_column(f"{joules.unit}{per}", justify="right", no_wrap=True)
    table.add_column("ratio [95 %]" if energy and width >= NARROW else "ratio", justify="right", no_wrap=True)
    table.add_column(f"{seconds.unit}{per}", justify="right", no_wrap=True)
    if energy and width >= NARROW:
        table.add_column("W", justify="right", no_wrap=True)
    if energy and width >= WIDE:
        table.add_column("pJ/MAC", justify="right", no_wrap=True)
    table.add_column("q", no_wrap=True)
    best = part["energy_per_inference_j" if energy else "loop_latency_s"].min()
    for row in part.to_dict("records"):
        is_best = row["energy_per_inference_j" if energy else "loop_latency_s"] == best
        name, *cells = _cells(row, joules, seconds, energy=energy, width=width, baseline=_baseline(summary))
        table.add_row(*map(Text, (f"{name} *" if is_best else name, *cells)), style="green" if is_best else "")
    return table


def _baseline(summary: Summary) -> str:
    return summary.run.record.cases[0].baseline if summary.run.record.cases else ""


def _cells(
    row: Mapping[Any, Any], joules: Scale, seconds: Scale, *, energy: bool, width: int, baseline: str
) -> Iterator[str]:
    yield plain(row["variant"], NAME_WIDTH)
    if energy:
        yield quantities.with_interval(*(
            _number(row, f"energy_per_inference{end}_j") * joules.factor for end in ("", "_low", "_high")
        ))  # fmt: skip
    if row["variant"] == baseline:
        yield "baseline"
    elif energy and width >= NARROW:
        yield quantities.ratio(*(_number(row, f"energy_ratio{end}") for end in ("", "_low", "_high")))
    else:
        yield quantities.ratio(_number(row, "energy_ratio" if energy else "latency_ratio"))
    scale = seconds.factor / _number(row, "batch")
    ends = [_number(row, f"loop_latency{end}_s") * scale for end in ("", "_low", "_high")]
    yield quantities.with_interval(*ends) if not energy or width >= WIDE else quantities.digits(ends[0], 3)
    if energy and width >= NARROW:
        yield quantities.digits(_number(row, "power_w"), 3)
    if energy and width >= WIDE:
        yield quantities.digits(_number(row, "energy_per_mac_j") * 1e12, 3)
    yield marks(str(row["flags"] or "")) if row["status"] == "ok" else str(row["status"])


def _group_size_lines(summary: Summary) -> Iterator[str]:
    """Measured and modelled optimum: shape by shape while they are few, else how often each model is right."""
    rows = summary.group_size
    rows = rows[rows[["measured_optimum", *(column for _, column in MODELS)]].notna().any(axis=1)]
    if rows.empty:
        return
    yield ""
    measured = rows[rows["measured_optimum"].notna()]
    if len(rows) <= SHAPES_AT_MOST:
        yield "optimum group size (in brackets: may be as good)"
        lines = []
        for row in rows.to_dict("records"):
            shape = f"C={row['channels']:g} {row['size']:g}x{row['size']:g}, batch {row['batch']:g}"
            lines.append(f"  {shape}, {plain(row['dtype'], 12)}: {', '.join(_optima(row))}")
        yield from dict.fromkeys(lines)  # networks that share a shape share its optimum
        return
    if len(measured):
        counts = sorted(Counter(int(v) for v in measured["measured_optimum"]).items(), key=lambda item: -item[1])
        common = ", ".join(f"G={size} in {count}" for size, count in counts[:4])
        yield f"optimum group size, least joules: {common} of {len(measured)} shapes"
        hits = [f"{name} {_hits(measured, column)}" for name, column in MODELS if measured[column].notna().any()]
        if hits:
            yield f"  model's choice as good as the measured one: {', '.join(hits)}"
    else:
        chosen = [f"{name} {_common(rows[column])}" for name, column in MODELS if rows[column].notna().any()]
        yield f"optimum group size, modelled: {', '.join(chosen)}"


def _optima(row: Mapping[Any, Any]) -> Iterator[str]:
    if not pd.isna(row["measured_optimum"]):
        alike = plain(row["measured_set"] or "")
        yield f"measured {row['measured_optimum']:g}" + (f" ({alike})" if " " in alike else "")
    for name, column in MODELS:
        if not pd.isna(row[column]):
            yield f"{name} {row[column]:g}"


def _hits(rows: pd.DataFrame, column: str) -> str:
    known = rows[rows[column].notna()]
    inside = [int(v) in map(int, str(s).split()) for v, s in zip(known[column], known["measured_set"], strict=True)]
    return f"{sum(inside)}/{len(known)}"


def _common(values: pd.Series) -> str:
    return " ".join(f"G={int(v)}" for v in sorted(set(values.dropna())))


def _trouble_lines(summary: Summary) -> Iterator[str]:
    for status in ("failed", "missing", "skipped"):
        rows = summary.cases[summary.cases["status"] == status]
        if len(rows):
            reason = plain(rows["reason"].iloc[0] or "", 160)
            count = f"{len(rows)} case{'s' if len(rows) > 1 else ''}"
            yield f"{count} {status}, e.g. {plain(rows['case'].iloc[0], 70)}: {reason}"


def _files_and_next(summary: Summary) -> Sequence[tuple[str, str]]:
    record, folder = summary.run.record, plain(summary.run.folder)
    lines = [("page", f"{folder}/report.html"), ("data", f"{folder}/results.csv"), ("plots", f"{folder}/figures/")]
    if summary.run.simulated:
        lines.append(("next", f"energybench run {plain(record.name, 40)} --gpu 0   on a real GPU"))
    elif record.options.get("quick"):
        lines.append(("next", f"energybench run {plain(record.name, 40)}   without --quick, for numbers to print"))
    elif not summary.has_energy:
        lines.append(("next", "energybench doctor   why there are no joules, and what would help"))
    else:
        lines.append(("next", f"energybench report {folder}   rebuilds all this from the folder alone"))
    return lines


def _number(row: Mapping[Any, Any], column: str) -> float:
    value = row.get(column)
    return math.nan if value is None or pd.isna(value) else float(value)
