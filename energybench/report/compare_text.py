"""How is a comparison told in the terminal? Who changed, by how much, how sure, and what the gate says; 80 columns."""

from __future__ import annotations

import io
import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from energybench.analysis.comparison import QUANTITIES, Change, ComparedRow, Comparison
from energybench.analysis.gate import GateResult
from energybench.analysis.matching import Unmatched
from energybench.analysis.model_error import ModelComparison, PredictedRow, Prediction, Score
from energybench.report import quantities
from energybench.report.style import plain
from energybench.report.terminal import ASCII

VARIANT_WIDTH = 18
GOOD, BAD = "green", "red"
STYLES = {"faster": GOOD, "less": GOOD, "slower": BAD, "more": BAD, "cannot tell": "yellow"}
ORDER = {"latency": ("faster", "slower"), "energy": ("less", "more"), "power": ("less", "more")}


def print_comparison(comparison: Comparison, gate: GateResult | None = None) -> None:
    """Write a comparison, and what a gate says of it, to stdout: coloured on a terminal that wants it."""
    _print(comparison, gate)


def print_model_comparison(comparison: ModelComparison) -> None:
    """Write predicted against measured to stdout: coloured on a terminal that wants it."""
    _print(comparison, None)


def render_comparison(
    comparison: Comparison | ModelComparison, gate: GateResult | None = None, *, width: int = 80, color: bool = False
) -> str:
    """The comparison as lines of at most ``width`` characters, with ANSI colours if ``color``.

    Names from suites and folders are shown, never obeyed: characters in them that act are replaced.
    """
    out = io.StringIO()
    console = Console(
        file=out, width=max(60, width), force_terminal=color, color_system="standard" if color else None,
        no_color=not color, highlight=False, markup=False, emoji=False, legacy_windows=False,
    )  # fmt: skip
    parts = _model_parts(comparison) if isinstance(comparison, ModelComparison) else _parts(comparison)
    for part in parts:
        console.print(part)
    for line in gate.lines if gate else ():
        style = "bold red" if gate and gate.exit_code and line.startswith("gate") else ""
        console.print(Text(plain(line), style=style))
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip("\n").split("\n")) + "\n"


def _print(comparison: Comparison | ModelComparison, gate: GateResult | None) -> None:
    console = Console()
    color = console.is_terminal and not console.no_color
    text = render_comparison(comparison, gate, width=console.width, color=color)
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(ASCII).encode(encoding, "replace").decode(encoding)
    sys.stdout.write(text)


def _parts(comparison: Comparison) -> Iterator[RenderableType]:
    yield from _heading(comparison)
    for caveat in comparison.caveats:
        yield Text(plain(caveat), style="yellow")
    tables: dict[tuple[str, str, str], list[ComparedRow]] = {}
    for row in comparison.rows:
        tables.setdefault((row.scope, row.place, row.against), []).append(row)
    for (_, place, against), rows in tables.items():
        yield Text()
        yield Text(plain(place) + (f", against {plain(against)}" if against else ""), style="bold")
        yield _table(rows, comparison)
    yield Text()
    yield from _summary(comparison)
    for count, note in _notes(comparison.rows):
        yield Text(f"note ({count}): {plain(note, 200)}", style="yellow")
    yield from _unmatched(comparison.unmatched)


def _heading(comparison: Comparison) -> Iterator[Text]:
    if comparison.kind == "variants":
        yield Text.assemble((plain(comparison.runs[0], 60), "bold"), f" on {plain(comparison.devices[0], 60)}")
        yield Text("Each variant over the one it stands against; below 0 is faster, or less.", style="dim")
        return
    for side, run, device in zip("AB", comparison.runs, comparison.devices, strict=True):
        yield Text.assemble(f"{side}  ", (plain(run, 60), "bold"), f"  {plain(device, 60)}")
    for difference in comparison.differences:
        was, now = (plain(value, 60) for value in (difference.a, difference.b))
        yield Text(f"   {plain(difference.name, 40)}: {was} -> {now}", style="dim")
    yield Text("B over A: below 0 B is faster, or needs less.", style="dim")


def _table(rows: Sequence[ComparedRow], comparison: Comparison) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    energy = any(row.energy for row in comparison.rows)
    table.add_column("variant", width=VARIANT_WIDTH, no_wrap=True, overflow="ellipsis")
    for quantity in ("latency", "energy") if energy else ("latency",):
        table.add_column(quantity, width=14, justify="right", no_wrap=True)
        table.add_column("", width=11, no_wrap=True)
    runs = comparison.kind == "runs"
    if not runs or energy:
        table.add_column("power" if runs else "MACs", width=7, justify="right", no_wrap=True)
    for row in rows:
        cells = [Text(plain(row.variant))]
        for quantity in ("latency", "energy") if energy else ("latency",):
            cells += _cells(row.latency if quantity == "latency" else row.energy)
        if not runs:
            cells.append(Text(f"×{row.macs_ratio:.3g}" if row.macs_ratio == row.macs_ratio else quantities.NONE))
        elif energy:
            cells.append(Text(_signed(row.power.ratio, None) if row.power else quantities.NONE))
        table.add_row(*cells)
    return table


def _cells(change: Change | None) -> list[Text]:
    if change is None:
        return [Text(quantities.NONE), Text()]
    half = (change.interval.high - change.interval.low) / 2
    said = change.verdict
    if said == "cannot tell" and 0 < change.smallest < float("inf"):
        said += f"\nsees {quantities.digits(100 * change.smallest, 2)} %"
    return [
        Text(_signed(change.ratio, half if change.has_interval else None)),
        Text(said, style=STYLES.get(change.verdict, "")),
    ]


def _signed(ratio: float, half: float | None) -> str:
    """A ratio as a signed change in percent, or as a factor from 2 on; with its half-width where there is one."""
    factor = ratio >= 2
    value, scale = (ratio, 1.0) if factor else (100 * (ratio - 1), 100.0)
    spread = None if half is None else half * scale
    places = 2 if factor else 1
    if spread is not None and spread > 0:
        places = min(3 if factor else 2, max(0, 1 - math.floor(math.log10(spread))))
    text = f"{abs(value):.{places}f}"
    sign = "×" if factor else "" if float(text) == 0 else "−" if value < 0 else "+"
    width = "" if spread is None else f" ±{spread:.{places}f}"
    return f"{sign}{text}{width}" + ("" if factor else " %")


def _summary(comparison: Comparison) -> Iterator[Text]:
    """Counts of the verdicts, the least change that would have shown, the gain, and what no interval holds."""
    for label, rows in _kinds(comparison):
        for quantity in QUANTITIES[:2]:
            changes = [change for row in rows if (change := row.change(quantity)) is not None]
            if changes:
                yield Text(f"{label}, {quantity}: {_counted(changes, quantity, comparison.margin)}", style="bold")
    for quantity in QUANTITIES[:2]:
        seen = sorted(
            c.smallest for row in comparison.rows if (c := row.change(quantity)) and 0 < c.smallest < float("inf")
        )
        if seen:
            middle, worst = (quantities.digits(100 * value, 2) for value in (seen[len(seen) // 2], seen[-1]))
            yield Text(
                f"smallest change this could show in {quantity} (80 % power): {middle} % (median), {worst} % (worst)"
            )
    if comparison.gain is not None:
        yield Text(f"sensor gain: {plain(comparison.gain.words)}.")
    if comparison.kind == "runs":
        if any(row.power for row in comparison.rows):
            yield Text(
                "Energy is latency times power: the ratios in a row multiply, their logarithms add.", style="dim"
            )
        yield Text(
            "± is 95 %, from windows as replicates; of twenty unchanged cases one may seem changed. What varies from "
            "one run to the next (temperature, clocks, memory placement) is in no interval; repeat both to see it.",
            style="dim",
        )
    else:
        yield Text(
            "± is 95 %, from mirrored pairs of windows; of twenty like cases one may seem to differ.", style="dim"
        )


def _kinds(comparison: Comparison) -> Iterator[tuple[str, list[ComparedRow]]]:
    """Rows whose verdicts may be counted together: declared pairs apart from what differs in MACs by design."""
    for scope in ("case", "total"):
        rows = [row for row in comparison.rows if row.scope == scope]
        if comparison.kind == "runs":
            yield f"{scope}s", rows
        else:
            yield f"{scope}s, declared pairs", [row for row in rows if row.matched]
            yield f"{scope}s, others", [row for row in rows if not row.matched]


def _counted(changes: Sequence[Change], quantity: str, margin: float) -> str:
    counts = Counter(change.verdict for change in changes)
    parts = [f"{counts[word]} {word}" for word in ORDER[quantity]]
    parts += [f"{counts['same']} the same within {100 * margin:.3g} %", f"{counts['cannot tell']} cannot tell"]
    return ", ".join(parts)


def _notes(rows: Sequence[ComparedRow]) -> Iterator[tuple[str, str]]:
    """Every note once, with the row that has it, or with how many have it."""
    having: dict[str, list[str]] = {}
    for row in rows:
        if row.note:
            having.setdefault(row.note, []).append(row.name)
    for note, names in having.items():
        yield plain(names[0], 80) if len(names) == 1 else f"{len(names)} rows", note


def _unmatched(unmatched: Sequence[Unmatched]) -> Iterator[Text]:
    if not unmatched:
        return
    yield Text(f"not compared: {len(unmatched)}", style="yellow")
    for because, items in groupby(sorted(unmatched, key=lambda item: item.because), key=lambda item: item.because):
        yield Text(f"  {plain(because, 200)}:", style="yellow")
        for item in items:
            yield Text(f"    {plain(item.name, 120)}", style="yellow")


def _model_parts(comparison: ModelComparison) -> Iterator[RenderableType]:
    yield Text.assemble((plain(comparison.run, 60), "bold"), f" on {plain(comparison.device, 60)}")
    truth = "simulated" if comparison.simulated else "measured"
    yield Text(f"against the model: {plain(comparison.model, 80)}; errors are predicted over {truth}, - 1", style="dim")
    if comparison.simulated:
        yield Text("Simulated: the device that was predicted is itself a model; nothing was measured.", style="yellow")
    for place, group in groupby(comparison.rows, key=lambda row: row.place):
        yield Text()
        yield Text(plain(place), style="bold")
        yield _predictions(list(group))
    yield Text()
    yield from _scores(comparison.scores, comparison.bound)
    yield Text(
        "stated: the mean error that the model expects of itself. The roofline is a bound, no prediction: nothing "
        "should run faster.",
        style="dim",
    )
    if comparison.gain:
        gain = quantities.digits(100 * comparison.gain, 2)
        yield Text(
            f"The joules themselves are known to ±{gain} % (sensor gain): smaller errors mean nothing.", style="dim"
        )
    yield from _unmatched(comparison.unmatched)


def _predictions(rows: Sequence[PredictedRow]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("variant", width=VARIANT_WIDTH, no_wrap=True, overflow="ellipsis")
    for name in ("s/iteration", "model", "error", "J/inference", "model", "error"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        cells = [*_prediction(row.latency, "s"), *_prediction(row.energy, "J")]
        table.add_row(*map(Text, (plain(row.variant), *cells)))
    return table


def _prediction(prediction: Prediction | None, unit: str) -> tuple[str, str, str]:
    if prediction is None:
        return quantities.NONE, quantities.NONE, quantities.NONE
    measured, predicted = (quantities.quantity(v, unit) for v in (prediction.measured, prediction.predicted))
    return measured, predicted, _signed(1 + prediction.error, None)


def _scores(scores: Sequence[Score], bound: Score | None) -> Iterator[RenderableType]:
    for quantity, group in groupby(scores, key=lambda score: score.quantity):
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column(quantity, width=VARIANT_WIDTH + 4, no_wrap=True, overflow="ellipsis")
        for name in ("works", "MAPE", "stated", "bias", "rank correlation"):
            table.add_column(name, justify="right", no_wrap=True)
        for score in group:
            name = plain(score.variant) if score.variant else "all"
            table.add_row(*map(Text, (name, *_scored(score))), style="" if score.variant else "bold")
        if bound is not None and quantity == bound.quantity:
            table.add_row(*map(Text, ("the roofline", *_scored(bound))), style="dim")
        yield table


def _scored(score: Score) -> tuple[str, str, str, str, str]:
    rank = quantities.NONE if score.spearman is None else f"{score.spearman:.3f}"
    stated = quantities.NONE if score.expected_mape is None else f"{100 * score.expected_mape:.0f} %"
    return str(score.measurements), f"{100 * score.mape:.1f} %", stated, _signed(1 + score.bias, None), rank
