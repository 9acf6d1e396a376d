"""What could a sequence of operators reach, and where is the rest lost? Waterline analysis.

Operators run one after another, so one that is bound by arithmetic cannot lend its idle bandwidth to one that is bound
by memory: the attainable time of a sequence is the sum of the operators' own roofline times, never the roofline of the
sum. With tau = FLOPs / peak, mu = bytes / bandwidth and t* = max(tau, mu) of each operator:

    attainable efficiency     ETA      = sum(tau) / sum(t*)
    roofline on the totals    ETA_roof = sum(tau) / max(sum(tau), sum(mu)) >= ETA
    computational efficiency  C        = ETA x [sum(t*) / sum(t)] x [sum(t) / wall]
                                       = attainable x kernel quality x busy fraction

Source: A. Lavin, "On the Efficiency of Convolutional Neural Networks", arXiv 2404.03617, for extending the roofline to
a sequence. The definitions follow from the arithmetic; both drawings are ours, and neither is claimed to be the paper's
figure. The twin in joules is ``energy_waterline``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from energybench.analysis.roofline import likely_causes
from energybench.cost import OperatorCost
from energybench.machine import (
    Machine,
    arithmetic_latency_s,
    memory_latency_s,
    peak_for,
)


@dataclass(frozen=True)
class Bar:
    """One operator of the sequence.

    Attributes:
        index: place in execution order, from 0.
        label: module path, or the operator's name.
        family: operator family.
        flops: per iteration; 0 for operators that only move bytes.
        bytes: compulsory bytes per iteration.
        balance: machine balance for its data type in FLOP/byte, None without FLOPs.
        tau_s: arithmetic at peak.
        mu_s: memory at full bandwidth.
        measured_s: measured seconds per iteration, None where not measured.
    """

    index: int
    label: str
    family: str
    flops: int
    bytes: int
    balance: float | None
    tau_s: float
    mu_s: float
    measured_s: float | None

    @property
    def intensity(self) -> float:
        """Operational intensity in FLOP/byte; inf where nothing is moved."""
        return self.flops / self.bytes if self.bytes else math.inf

    @property
    def attainable_s(self) -> float:
        """Roofline time of this operator alone."""
        return max(self.tau_s, self.mu_s)

    @property
    def eta(self) -> float:
        """Attainable efficiency: 1 above the waterline, intensity over balance below; 0 without FLOPs."""
        return self.tau_s / self.attainable_s if self.tau_s else 0.0

    @property
    def efficiency(self) -> float | None:
        """Computational efficiency; None without a measurement or without FLOPs."""
        return self.tau_s / self.measured_s if self.measured_s and self.tau_s else None


@dataclass(frozen=True)
class Waterline:
    """A sequence of operators against the machine.

    Attributes:
        bars: operators with multiply-accumulates, in execution order.
        apart: operators without; they only cost time, and are drawn apart.
        wall_s: measured seconds per iteration of the whole sequence, None where not measured.
        warnings: where a measurement contradicts the constants, in words.
    """

    bars: tuple[Bar, ...]
    apart: tuple[Bar, ...]
    wall_s: float | None
    warnings: tuple[str, ...]

    @property
    def tau_s(self) -> float:
        """Ideal latency: all arithmetic at peak."""
        return sum(bar.tau_s for bar in self.bars)

    @property
    def mu_s(self) -> float:
        """All bytes at full bandwidth, operators without FLOPs included."""
        return sum(bar.mu_s for bar in self._all)

    @property
    def apart_s(self) -> float:
        """Attainable seconds of the operators without multiply-accumulates."""
        return sum(bar.attainable_s for bar in self.apart)

    @property
    def attainable_s(self) -> float:
        """Attainable seconds of the sequence, operators without FLOPs included."""
        return sum(bar.attainable_s for bar in self._all)

    @property
    def measured_s(self) -> float | None:
        """Sum of the measured operators; None unless every operator was measured."""
        times = [bar.measured_s for bar in self._all]
        known = [time for time in times if time is not None]
        return sum(known) if known and len(known) == len(times) else None

    @property
    def eta(self) -> float:
        """Attainable efficiency of the sequence; 0 without FLOPs. Never above ``eta_roof``."""
        return self.tau_s / self.attainable_s if self.tau_s else 0.0

    @property
    def eta_roof(self) -> float:
        """What one roofline on the totals would promise."""
        return self.tau_s / max(self.tau_s, self.mu_s) if self.tau_s else 0.0

    @property
    def quality(self) -> float | None:
        """Kernel quality: attainable over measured operator time; above 1 see ``warnings``."""
        return self.attainable_s / self.measured_s if self.measured_s else None

    @property
    def busy(self) -> float | None:
        """Share of the wall time in which an operator ran."""
        return self.measured_s / self.wall_s if self.measured_s and self.wall_s else None

    @property
    def efficiency(self) -> float | None:
        """Computational efficiency C: over the wall time, or over the operators' sum where there is no wall time."""
        actual_s = self.wall_s or self.measured_s
        return self.tau_s / actual_s if actual_s else None

    @property
    def _all(self) -> tuple[Bar, ...]:
        return self.bars + self.apart


@dataclass(frozen=True)
class BarShape:
    """One bar as it is drawn.

    Attributes:
        bar: the operator.
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


def waterline(
    operators: Sequence[OperatorCost],
    machine: Machine,
    measured_s: Sequence[float | None] | None = None,
    *,
    wall_s: float | None = None,
) -> Waterline:
    """The waterline of a sequence.

    Args:
        operators: in execution order; a fused group is one operator with summed MACs and boundary bytes.
        machine: what it runs on.
        measured_s: seconds per iteration of each operator, None where one was not measured.
        wall_s: seconds per iteration of the whole sequence.

    Raises:
        MachineError: the sheet has no peak for an operator's data type.
        ValueError: ``measured_s`` is not as long as ``operators``.
    """
    times = [None] * len(operators) if measured_s is None else measured_s
    every = [_bar(i, op, machine, time) for i, (op, time) in enumerate(zip(operators, times, strict=True))]
    line = Waterline(
        bars=tuple(bar for bar in every if bar.flops),
        apart=tuple(bar for bar in every if not bar.flops),
        wall_s=wall_s,
        warnings=(),
    )
    warnings = [
        f"{bar.label} beats the roofline ({bar.attainable_s / bar.measured_s:.2f} x): {cause}"
        for bar in every
        if bar.measured_s
        for cause in likely_causes([operators[bar.index]], machine, bar.measured_s)[:1]
    ]
    if line.busy is not None and line.busy > 1:
        warnings.append(
            f"busy fraction {line.busy:.2f} above 1: the operators were measured slower (profiled, or overlapping) "
            "than the sequence"
        )
    return Waterline(bars=line.bars, apart=line.apart, wall_s=wall_s, warnings=tuple(warnings))


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

    Width is tau, height mu / tau, level 1: the area of max(height, 1) x width is the attainable time, what is above
    the level is lost to memory, and the measured bar's area is the measured time. Operators without FLOPs follow on
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


def _bar(index: int, op: OperatorCost, machine: Machine, measured_s: float | None) -> Bar:
    return Bar(
        index=index,
        label=op.path or op.name,
        family=op.family,
        flops=op.flops,
        bytes=op.bytes,
        balance=peak_for(machine, op.dtype) / machine.bandwidth_bytes_per_s if op.flops else None,
        tau_s=arithmetic_latency_s(op, machine),
        mu_s=memory_latency_s(op, machine),
        measured_s=measured_s,
    )
