"""Which bars does a waterline have, how wide and how high? Two equivalent drawings, and one with fewer bars.

Form A answers which operators are bound by memory, form B how much time that costs. Both drawings are ours; neither is
claimed to be the figure of A. Lavin, "On the Efficiency of Convolutional Neural Networks", arXiv 2404.03617.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from energybench.analysis.waterline import Bar, Waterline

Kind = TypeVar("Kind")

SMALL = 0.01
"""Share of a sequence's arithmetic time below which an operator is too thin to be seen alone."""
FEW = 12
"""So many bars have room beside each other, however thin some of them are."""
STAGE = re.compile(r"^.*?\d+(?=\D|$)")
"""The stage of a module path: up to its first number, ``stages.2`` of ``stages.2.5.expand``."""


@dataclass(frozen=True)
class BarShape:
    """One bar as it is drawn.

    Attributes:
        bar: the operator, or several small ones.
        left: left edge.
        width: width, in the unit of ``left``.
        height: of the bar without measurement.
        level: the waterline over this bar.
        measured_height: of the measured bar, None where not measured.
    """

    bar: Bar
    left: float
    width: float
    height: float
    level: float
    measured_height: float | None


def form_a(line: Waterline) -> tuple[BarShape, ...]:
    """Intensity bars: which operators are bound by memory?

    Width is the share of the FLOPs, height the intensity (draw it on a log axis), level the machine balance; the
    measured bar is efficiency x balance, to be compared with min(intensity, balance). Operators without FLOPs have no
    place in it.
    """
    total = sum(bar.flops for bar in line.bars)
    shapes: list[BarShape] = []
    left = 0.0
    for bar in line.bars:
        width, level = bar.flops / total, bar.balance or 0.0
        measured = None if bar.efficiency is None else bar.efficiency * level
        shapes.append(BarShape(bar, left, width, bar.intensity, level, measured))
        left += width
    return tuple(shapes)


def form_b(line: Waterline) -> tuple[BarShape, ...]:
    """Time bars, whose areas are seconds: how much time does memory cost?

    Width is tau, height mu / tau, level 1: the area of max(height, 1) x width is the attainable time (where the
    power limit does not decide it), what is above the level is lost to memory, and the measured bar's area is the
    measured time. Operators without FLOPs follow on
    the right as blocks mu wide and 1 high.
    """
    shapes: list[BarShape] = []
    left = 0.0
    for bar in line.bars + line.apart:
        width = bar.tau_s or bar.mu_s
        measured = bar.measured_s / width if bar.measured_s is not None and width else None
        shapes.append(BarShape(bar, left, width, bar.mu_s / width if width else 0.0, 1.0, measured))
        left += width
    return tuple(shapes)


def condensed(line: Waterline) -> Waterline:
    """The same seconds in fewer bars.

    Operators below ``SMALL`` of the arithmetic are put together by family within their stage, where the first of them
    ran; those that are small even so are put together by family, and stand at the end. Operators without
    multiply-accumulates are one bar. No sum of the waterline changes.
    """
    least_s = SMALL * line.tau_s
    bars = list(line.bars)
    if len(bars) > FEW:
        stages = _alike([bar for bar in bars if bar.tau_s < least_s], lambda bar: (_stage(bar), bar.family))
        seen = {stage: mine for stage, mine in stages.items() if sum(bar.tau_s for bar in mine) >= least_s}
        rest = _alike([b for stage, mine in stages.items() if stage not in seen for b in mine], lambda bar: bar.family)
        bars = [bar for bar in bars if bar.tau_s >= least_s]
        bars += [
            _sum(mine, f"{_small(mine)} in {stage}" if stage else _small(mine)) for (stage, _), mine in seen.items()
        ]
        bars = sorted(bars, key=lambda bar: bar.index) + [_sum(mine, _small(mine)) for mine in rest.values()]
    apart = (_sum(line.apart, f"{len(line.apart)} without MACs"),) if line.apart else ()
    return replace(line, bars=tuple(bars), apart=apart)


def _alike(bars: Iterable[Bar], kind: Callable[[Bar], Kind]) -> dict[Kind, list[Bar]]:
    found: dict[Kind, list[Bar]] = {}
    for bar in bars:
        found.setdefault(kind(bar), []).append(bar)
    return found


def _stage(bar: Bar) -> str:
    stage = STAGE.match(bar.label)
    return stage[0] if stage else ""


def _small(bars: Sequence[Bar]) -> str:
    return f"{len(bars)} small {bars[0].family.removeprefix('conv_')}"


def _sum(bars: Sequence[Bar], label: str) -> Bar:
    """Several bars as one; a lone one keeps its name."""
    if len(bars) == 1:
        return bars[0]
    times = [bar.measured_s for bar in bars]
    known = [time for time in times if time is not None]
    return replace(
        bars[0],
        label=label,
        flops=sum(bar.flops for bar in bars),
        bytes=sum(bar.bytes for bar in bars),
        tau_s=sum(bar.tau_s for bar in bars),
        mu_s=sum(bar.mu_s for bar in bars),
        power_s=sum(bar.power_s for bar in bars),
        attainable_s=sum(bar.attainable_s for bar in bars),
        measured_s=sum(known) if len(known) == len(times) else None,
        operators=sum(bar.operators for bar in bars),
    )
