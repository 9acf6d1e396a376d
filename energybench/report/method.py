"""How were these numbers made, and what do they not know? Method and uncertainty budget in plain words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from energybench.analysis.measured import Idle
from energybench.analysis.summary import Summary
from energybench.report.guards import guard_words
from energybench.report.quantities import digits, quantity, with_interval


@dataclass(frozen=True)
class BudgetLine:
    """One cause of uncertainty: how large, where it shows, and what it does to a ratio."""

    cause: str
    size: str
    shows: str
    in_ratio: str


def method_words(summary: Summary) -> list[str]:
    """The method, a paragraph a string, with the run's own numbers in it."""
    record = summary.run.record
    plan = record.plan
    words = []
    if summary.run.origin == "modelled":
        return [
            "Nothing was measured or simulated: latency and joules follow from the operators' MACs and bytes, the "
            "machine sheet and what kernels of each family reach of its peaks. The expected relative error of each "
            "number is in the CSV (model_error); there are no intervals, because nothing was repeated."
        ]
    if summary.run.simulated:
        words.append(
            "The device and the sensor were simulated; the measuring is the one a real board would get, on a virtual "
            "clock. The simulated device knows its true joules, so this run can be checked against them."
        )
    window_s, windows = plan.get("window_s"), plan.get("windows")
    length = f" of about {quantity(float(window_s), 's')}" if window_s else ""
    count = f", {int(windows)} of each planned" if windows else ""
    words.append(
        f"A window{length} is a gapless loop of iterations{count}. One window of every variant in random order is a "
        "block; the next block runs in the mirrored order, so that a drift linear in time cancels in every ratio."
    )
    words.append(_joules_words(summary))
    words.append(
        "Intervals are 95 %: Student's t on the logarithms of the windows, never on single readings, which are not "
        "independent. Ratios come from mirrored pairs of blocks. Of twenty such intervals one is expected to miss: "
        "read a table of many comparisons with that in mind."
    )
    words.append(
        "Latency is the sustained one of the same windows, because it goes with the joules; single iterations are "
        "timed in a pass of their own (latency_s, latency_p5_s, latency_p95_s in the CSV)."
    )
    return [*words, *guard_words(summary)]


def budget(summary: Summary) -> Iterator[BudgetLine]:
    """Every known cause of uncertainty of this run, the sensor's gain on its own line."""
    cases = summary.cases
    yield BudgetLine(
        "between windows (random)", _spread(cases["relative_halfwidth"]),
        "the interval of every number here", "yes, from mirrored pairs",
    )  # fmt: skip
    if summary.has_energy:
        gain = _median(cases["energy_gain_uncertainty"])
        yield BudgetLine(
            "gain of the sensor (systematic)", f"±{digits(100 * gain, 2)} %" if gain else f"none: {summary.run.origin}",
            "every joule alike, and in no interval", "no, it cancels",
        )  # fmt: skip
        if cases["unaligned_error"].notna().any():
            edge, unaligned = (digits(100 * _median(cases[name]), 2) for name in ("edge_halfwidth", "unaligned_error"))
            yield BudgetLine(
                "timing of the counter's ticks (random)",
                f"±{edge} % a window (±{unaligned} % if read at the loop's ends, instead of at two ticks inside)",
                "the first line already", "yes, averaged out",
            )  # fmt: skip
        disagreement = cases["counter_vs_integral"].abs()
        if disagreement.notna().any():
            yield BudgetLine(
                "counter against integrated power", f"{digits(100 * _median(disagreement), 2)} % (median)",
                "a check; flagged above 3 %", "mostly cancels",
            )  # fmt: skip
    if summary.idle is not None:
        yield BudgetLine(
            "active idle", _idle(summary.idle),
            "dynamic joules only", "no",
        )  # fmt: skip
    if cases["smallest_difference"].notna().any():
        yield BudgetLine(
            "smallest difference from the baseline a case could show", _spread(cases["smallest_difference"], sign=""),
            "80 % power at 5 %; of the declared pairs, see the answer", "yes",
        )  # fmt: skip


def _joules_words(summary: Summary) -> str:
    if not summary.has_energy:
        reason = summary.run.record.energy_reason or "no meter was read"
        return f"There are no joules: {reason}. Latency does not need a meter."
    estimators = set(summary.windows["estimator"].dropna()) if len(summary.windows) else set()
    if estimators <= {"counter"}:
        how = "The board's energy counter is read at two of its own ticks strictly inside the loop"
    elif "counter" in estimators:
        how = "The board's energy counter is read at two of its own ticks inside the loop, else readings are averaged"
    else:
        how = "Distinct power readings inside the loop are averaged, weighted by the refreshes each stood"
    module = summary.run.record.meter.get("scope") == "module"
    covered = "the whole module, GPU with CPU and memory" if module else "the whole board"
    return (
        f"{how}; joules per iteration are that mean power times the loop's time per iteration, over the same windows. "
        f"The energy is that of {covered}, idle power included; the dynamic joules in the CSV leave idle out."
    )


def _idle(idle: Idle) -> str:
    """Idle power; without a spread where before and after agree, or where there was only one of them."""
    if idle.halfwidth_w < 1e-4 * idle.power_w:
        return f"{digits(idle.power_w, 3)} W"
    return f"{with_interval(idle.power_w, idle.power_w - idle.halfwidth_w, idle.power_w + idle.halfwidth_w)} W"


def _spread(values: pd.Series, *, sign: str = "±") -> str:
    known = values.dropna()
    known = known[known < math.inf]
    if known.empty:
        return "unknown: too few windows"
    middle, worst = 100 * float(known.median()), 100 * float(known.max())
    return f"{sign}{digits(middle, 2)} % (median), {sign}{digits(worst, 2)} % (worst)"


def _median(values: pd.Series) -> float:
    known = values.dropna()
    return float(known.median()) if len(known) else 0.0
