"""Is anything worse than allowed? A comparison judged for a script: passed, failed, or measured nothing.

A gate fails on a confirmed regression only: the whole 95 % interval lies beyond the limit. What the intervals cannot
decide is counted, and fails on request (``strict``). A gate that had nothing to judge is never green.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from energybench.analysis.comparison import Change, Comparison, Quantity
from energybench.errors import EnergyBenchError
from energybench.spelling import did_you_mean

PASSED = 0
FAILED = 1
NOTHING_JUDGED = 2
NAMED_AT_MOST = 10
"""So many cases are named a gate and kind; the rest is counted."""


@dataclass(frozen=True)
class Gate:
    """How much worse one quantity may get.

    Attributes:
        quantity: ``latency``, ``energy`` or ``power``.
        limit: largest allowed ratio - 1.
    """

    quantity: Quantity
    limit: float

    def __str__(self) -> str:
        return f"{self.quantity}:{100 * self.limit:.6g}%"


@dataclass(frozen=True)
class GateResult:
    """What to exit with (0 passed, 1 failed, 2 nothing was judged), and why, one line each."""

    exit_code: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class _Judged:
    """The rows of one gate: confirmed worse, undecided, and how many were fine."""

    worse: tuple[str, ...]
    undecided: tuple[str, ...]
    fine: int
    without: int

    @property
    def total(self) -> int:
        return len(self.worse) + len(self.undecided) + self.fine


def parse_gate(text: str) -> Gate:
    """``energy:3%`` as a gate; the limit may also be a fraction below 1 (``energy:0.03``), never a bare ``3``.

    Raises:
        EnergyBenchError: it is not written like that.
    """
    name, _, limit_text = text.partition(":")
    name, limit_text = name.strip(), limit_text.strip()
    try:
        limit = float(limit_text.removesuffix("%")) / (100.0 if limit_text.endswith("%") else 1.0)
    except ValueError:
        limit = math.nan
    quantities = get_args(Quantity)
    if name not in quantities:
        raise _error(text, f"{name!r} is no quantity of a gate{did_you_mean(name, quantities)}")
    if not 0 <= limit < (100 if limit_text.endswith("%") else 1):
        raise _error(text, f"{limit_text!r} is no limit: it says by how much the quantity may grow, e.g. 3% or 0.03")
    return next(Gate(quantity, limit) for quantity in quantities if quantity == name)


def judge(comparison: Comparison, gates: Sequence[Gate], *, strict: bool = False) -> GateResult:
    """Hold every case and total of ``comparison`` against ``gates``.

    A row whose interval holds the limit, or that has no interval, is not decided; rows without any interval, or
    without the quantity, cannot fail and so do not count as judged.

    Args:
        comparison: the second run over the first, or variants over their partners.
        gates: at least one.
        strict: undecided rows, and cases that the judged run has lost, fail too.

    Returns:
        Exit code 1 where a gate failed, else 2 where one judged nothing, else 0: what is known to be worse is never
        hidden behind what is not known.
    """
    codes, lines = [], []
    for gate in gates:
        judged = _hold(comparison, gate)
        code, words = _outcome(gate, judged, comparison, strict=strict)
        codes.append(code)
        lines += words
    worst = next((code for code in (FAILED, NOTHING_JUDGED) if code in codes), PASSED)
    return GateResult(worst, tuple(lines))


def _hold(comparison: Comparison, gate: Gate) -> _Judged:
    worse, undecided, fine, without = [], [], 0, 0
    bound = 1 + gate.limit
    for row in comparison.rows:
        change = row.change(gate.quantity)
        if change is None or not change.has_interval:
            without += 1
        elif change.low > bound:
            worse.append(f"{row.name}: {_percent(change)}")
        elif change.high <= bound:
            fine += 1
        else:
            undecided.append(f"{row.name}: {_percent(change)}")
    return _Judged(tuple(worse), tuple(undecided), fine, without)


def _outcome(gate: Gate, judged: _Judged, comparison: Comparison, *, strict: bool) -> tuple[int, list[str]]:
    lost = [u.name for u in comparison.unmatched if u.lost]
    if judged.total == 0:
        return NOTHING_JUDGED, [f"gate {gate}: NOTHING WAS JUDGED, so this is no pass: {_nothing(gate, comparison)}"]
    failed = bool(judged.worse) or (strict and bool(judged.undecided or judged.without or lost))
    counts = [
        f"{len(judged.worse)} of {judged.total} worse by more than {100 * gate.limit:.6g} %",
        f"{judged.fine} within it",
        f"{len(judged.undecided)} undecided",
    ]
    if judged.without:
        counts.append(f"{judged.without} without {gate.quantity} or interval")
    if lost:
        counts.append(f"{len(lost)} not measured")
    word = "FAILED" if failed else "passed" if judged.fine else "NOT DECIDED"
    lines = [f"gate {gate}: {word}: {', '.join(counts)}"]
    lines += _named("worse", judged.worse)
    lines += _named("undecided", judged.undecided)
    lines += _named("not measured", lost)
    if judged.undecided and not strict:
        lines.append("undecided does not fail without --strict; more windows narrow the intervals")
    return FAILED if failed else PASSED, lines


def _nothing(gate: Gate, comparison: Comparison) -> str:
    if gate.quantity == "power" and comparison.kind == "variants":
        return "power is judged between two runs"
    if not comparison.rows:
        return "nothing was compared"
    if all(row.change(gate.quantity) is None for row in comparison.rows):
        return f"{len(comparison.rows)} rows, and none has {gate.quantity} on both sides"
    return f"{len(comparison.rows)} rows, and none has an interval (one window is not enough)"


def _named(word: str, names: Sequence[str]) -> Iterator[str]:
    yield from (f"{word}: {name}" for name in names[:NAMED_AT_MOST])
    if len(names) > NAMED_AT_MOST:
        yield f"{word}: and {len(names) - NAMED_AT_MOST} more"


def _percent(change: Change) -> str:
    low, middle, high = (100 * (ratio - 1) for ratio in (change.low, change.ratio, change.high))
    return f"{middle:+.2f} % (95 %: {low:+.2f} to {high:+.2f} %)"


def _error(text: str, what: str) -> EnergyBenchError:
    return EnergyBenchError(what, where=f"--fail-above {text}", remedy="--fail-above energy:3%, latency:2% or power:5%")
