"""What does a run say in the terminal? Who won, the totals, the optimum group size, where the files are, what next."""

from __future__ import annotations

import io
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from energybench.analysis.summary import Summary
from energybench.flags import FLAGS
from energybench.report.answer import Answer, answer_of, smallest_difference_line
from energybench.report.efficiency_text import beaten_lines, efficiency_lines
from energybench.report.next_step import next_step
from energybench.report.places import split, spread_over
from energybench.report.settings import settings_of
from energybench.report.style import plain
from energybench.report.tables import cut_short, telling, tidy
from energybench.report.terminal_table import setting_tables

ROWS_AT_MOST = 40
SETTINGS_SHOWN = 3
SHAPES_AT_MOST = 6
REASONS_AT_MOST = 3
PROSE_WIDTH = 110
"""Sentences are hard to read on longer lines."""
ASCII = str.maketrans({"±": "+-", "µ": "u", "×": "x", "–": "-", "−": "-", "…": "...", "Σ": "sum", "≤": "<=", "·": "-"})
MODELS = (
    ("predicted", "predicted_optimum"),
    ("thesis", "thesis_optimum"),
    ("physical", "physical_optimum"),
    ("knee", "knee"),
)

MEANING = {
    "thesis": "the paper's rule, as reconstructed here",
    "physical": "least joules on the machine sheet, static power included",
    "knee": "where the roofline turns from memory to arithmetic",
}
FOUND = {"measured": "measured", "simulated": "found", "modelled": "predicted"}
"""What to call the best of a run: nothing was measured where a device was simulated."""


def print_summary(summary: Summary) -> None:
    """Write the summary to stdout: coloured on a terminal that wants it, plain in a pipe or with ``NO_COLOR``."""
    console = Console()
    text = render_summary(summary, width=console.width, color=_wants_color(console))
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(ASCII).encode(encoding, "replace").decode(encoding)
    sys.stdout.write(text)


def _wants_color(console: Console) -> bool:
    return console.is_terminal and not console.no_color and not console.is_dumb_terminal


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
    for heading in _headings(summary):
        console.print(heading)
    console.print()
    _print_answer(console, said)
    _print_tables(console, summary)
    for line in _group_size_lines(summary):
        indent = len(line) - len(line.lstrip())
        console.print(Padding(Text(line.lstrip()), (0, 0, 0, indent)))
    _print_efficiencies(console, summary.cases)
    for trouble in _trouble_lines(summary):
        console.print(trouble)
    console.print()
    for word, what in _files_and_next(summary, console.width):
        console.print(Text.assemble((f"{word:<6}", "dim"), what), soft_wrap=True)
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip("\n").split("\n")) + "\n"


def _headings(summary: Summary) -> Iterator[Text]:
    record = summary.run.record
    device = plain(record.device.get("title") or record.device.get("name") or "unknown device", 44)
    done = int((summary.cases["status"] == "ok").sum())
    count = f"{done} of {len(summary.cases)} cases" if done < len(summary.cases) else f"{done} cases"
    yield Text.assemble((plain(record.name, 40), "bold"), f" on {device}, {count}")
    if summary.run.origin != "measured":
        yield Text(f"{summary.run.origin.upper()}: nothing was measured", style="bold red")
    if record.options.get("quick"):
        yield Text("a quick look: good for a first impression, not for print", style="yellow")
    if not record.complete:
        yield Text(f"{cut_short(summary)}: the same command goes on where it stopped", style="yellow")


def _print_answer(console: Console, said: Answer) -> None:
    width = min(console.width, PROSE_WIDTH)
    console.print(Text(said.headline, style="bold"), width=width)
    for line in filter(None, (*said.lines, said.least)):
        console.print(Padding(Text(line), (0, 0, 0, 2)), width=width)
    if visible := smallest_difference_line(said.outcomes):
        console.print(Text(visible, style="dim"), width=width)
    for caveat in said.caveats:
        console.print(Text(caveat, style="yellow"), width=width)
    console.print()


def _print_tables(console: Console, summary: Summary) -> None:
    record = summary.run.record
    rows = telling(summary)
    rows = rows[rows["variant"].notna()]
    if rows.empty:
        return
    settings = settings_of(record)
    parts = split(rows, (*settings.texts, *settings.panels_of(rows)))
    shown = parts if len(rows) <= ROWS_AT_MOST else spread_over(parts, SETTINGS_SHOWN)
    what = "total of the stages" if (rows["row"] == "total").all() else ""
    baseline = record.cases[0].baseline if record.cases else ""
    tables = setting_tables([part for _, part in shown], baseline=baseline, width=console.width)
    for (name, _), table in zip(shown, tables, strict=True):
        console.print(Text(" · ".join(filter(None, (name, what, "per inference"))), style="bold"))
        console.print(table)
        console.print()
    used = {flag for _, part in shown for flag in " ".join(part["flags"].fillna("")).split()}
    legend = [f"{flag.mark} {flag.meaning}" for name, flag in FLAGS.items() if name in used]
    console.print(Text("; ".join(["* least of its table", *legend]), style="dim"))
    if len(shown) < len(parts):
        count = f"{len(shown)} of {len(parts)} settings are shown, spread evenly; the report's table holds them all."
        console.print(Text(count, style="dim"))


def _print_efficiencies(console: Console, cases: pd.DataFrame) -> None:
    products = list(efficiency_lines(cases))
    if products:
        console.print()
        console.print(Text("efficiency, and the factors that it is made of", style="bold"))
    for line in products:
        console.print(Padding(Text(line), (0, 0, 0, 2)))
    for line in beaten_lines(cases, most=REASONS_AT_MOST):
        console.print(Text(line, style="yellow"))


def _group_size_lines(summary: Summary) -> Iterator[str]:
    """Measured and modelled optimum: shape by shape while they are few, else how often each model is right."""
    rows = summary.group_size
    rows = rows[rows[["measured_optimum", *(column for _, column in MODELS)]].notna().any(axis=1)]
    if rows.empty:
        return
    yield ""
    measured = rows[rows["measured_optimum"].notna()]
    found = FOUND[summary.run.origin]
    if len(rows) <= SHAPES_AT_MOST:
        lines = []
        for row in rows.to_dict("records"):
            shape = f"C={row['channels']:g} {row['size']:g}x{row['size']:g}, batch {row['batch']:g}"
            lines.append(f"  {shape}, {plain(row['dtype'], 12)}: {', '.join(_optima(row, found))}")
        yield "optimum group size" + (" (in brackets: may be as good)" if any("(" in line for line in lines) else "")
        yield from dict.fromkeys(lines)  # networks that share a shape share its optimum
        yield from _models_legend(rows)
        return
    if len(measured):
        counts = sorted(Counter(int(v) for v in measured["measured_optimum"]).items(), key=lambda item: -item[1])
        common = ", ".join(f"G={size} in {count}" for size, count in counts[:4])
        yield f"optimum group size, least joules: {common} of {len(measured)} shapes"
        hits = [f"{name} {_hits(measured, column)}" for name, column in MODELS if measured[column].notna().any()]
        if hits:
            yield f"  a model's choice as good as the one {found}: {', '.join(hits)}"
    else:
        chosen = [f"{name} {_common(rows[column])}" for name, column in MODELS if rows[column].notna().any()]
        yield f"optimum group size, modelled: {', '.join(chosen)}"
    yield from _models_legend(rows)


def _models_legend(rows: pd.DataFrame) -> Iterator[str]:
    """What the names of the models mean, of those that were asked."""
    asked = [f"{name}: {MEANING[name]}" for name, column in MODELS if name in MEANING and rows[column].notna().any()]
    if asked:
        yield f"  {'; '.join(asked)}"


def _optima(row: Mapping[Any, Any], found: str) -> Iterator[str]:
    if not pd.isna(row["measured_optimum"]):
        alike = plain(row["measured_set"] or "")
        yield f"{found} {row['measured_optimum']:g}" + (f" ({alike})" if " " in alike else "")
    for name, column in MODELS:
        if not pd.isna(row[column]):
            yield f"{name} {row[column]:g}"


def _hits(rows: pd.DataFrame, column: str) -> str:
    known = rows[rows[column].notna()]
    inside = [int(v) in map(int, str(s).split()) for v, s in zip(known[column], known["measured_set"], strict=True)]
    return f"in {sum(inside)} of {len(known)}" if any(inside) else f"in none of {len(known)}"


def _common(values: pd.Series) -> str:
    return " ".join(f"G={int(v)}" for v in sorted(set(values.dropna())))


def _trouble_lines(summary: Summary) -> Iterator[Text]:
    """Cases without a measurement, by reason: the commonest first."""
    missing = [("missing", "red")] if summary.run.record.complete else []  # else the heading says how many are to come
    for status, style in (("failed", "red"), *missing, ("skipped", "dim")):
        rows = summary.cases[summary.cases["status"] == status]
        reasons = rows["reason"].fillna("no reason was written down").map(lambda reason: plain(reason, 160))
        counted = reasons.value_counts()
        for reason, count in counted.head(REASONS_AT_MOST).items():
            example = plain(rows.loc[reasons == reason, "case"].iloc[0], 160)
            cases = f"{count} cases {status}, e.g." if count > 1 else f"1 case {status}:"
            yield Text(f"{cases} {example}: {reason}", style=style)
        if len(counted) > REASONS_AT_MOST:
            rest = int(counted.iloc[REASONS_AT_MOST:].sum())
            yield Text(f"{rest} more {status} for other reasons, each named in the report", style=style)


def _files_and_next(summary: Summary, width: int) -> Sequence[tuple[str, str]]:
    folder = plain(summary.run.folder)
    files = [("page", f"{folder}/report.html"), ("data", f"{folder}/results.csv"), ("plots", f"{folder}/figures/")]
    command, why = next_step(summary)
    if len(f"next  {command}   {why}") <= width:
        return [*files, ("next", f"{command}   {why}")]
    return [*files, ("next", command), ("", why)]
