"""What could a sequence of operators reach, and where is the rest lost? Waterline analysis.

Operators run one after another, so one that is bound by arithmetic cannot lend its idle bandwidth to one that is bound
by memory: the attainable time of a sequence is the sum of the operators' own roofline times, never the roofline of the
sum. With tau = FLOPs / peak, mu = bytes / bandwidth, pi = joules of both over the power the limit leaves for them, and
t* = max(tau, mu, pi) of each operator:

    attainable efficiency     ETA      = sum(tau) / sum(t*)
    roofline on the totals    ETA_roof = sum(tau) / max(sum(tau), sum(mu), sum(pi)) >= ETA
    computational efficiency  C        = ETA x [sum(t*) / sum(t)] x [sum(t) / wall]
                                       = attainable x kernel quality x busy fraction

Source: A. Lavin, "On the Efficiency of Convolutional Neural Networks", arXiv 2404.03617, for extending the roofline to
a sequence; the power limit is ours. The definitions follow from the arithmetic. Its drawings are ``waterline_shapes``,
its twin in joules is ``energy_waterline``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from energybench.analysis.roofline import likely_causes
from energybench.cost import OperatorCost
from energybench.machine import (
    Machine,
    arithmetic_latency_s,
    attainable_latency_s,
    memory_latency_s,
    peak_for,
    power_latency_s,
)

BUSY_AT_MOST = 1.02
"""Busy fraction up to which the operators, timed apart, agree with the sequence they are of. Ours."""


@dataclass(frozen=True)
class Bar:
    """One operator of the sequence, or several small ones together (``waterline_shapes.condensed``).

    Attributes:
        index: place in execution order, from 0.
        label: module path, or the operator's name.
        family: operator family.
        flops: per iteration; 0 for operators that only move bytes.
        bytes: compulsory bytes per iteration.
        balance: machine balance for its data type in FLOP/byte, None without FLOPs.
        tau_s: arithmetic at peak.
        mu_s: memory at full bandwidth.
        power_s: joules of arithmetic and memory at the power limit; 0 where energies are unknown.
        attainable_s: roofline time of this operator alone; of several together, the sum of theirs.
        measured_s: measured seconds per iteration, None where not measured.
        operators: how many operators the bar stands for.
    """

    index: int
    label: str
    family: str
    flops: int
    bytes: int
    balance: float | None
    tau_s: float
    mu_s: float
    power_s: float
    attainable_s: float
    measured_s: float | None
    operators: int = 1

    @property
    def intensity(self) -> float:
        """Operational intensity in FLOP/byte; inf where nothing is moved."""
        return self.flops / self.bytes if self.bytes else math.inf

    @property
    def eta(self) -> float:
        """Attainable efficiency: 1 above the waterline, intensity over balance below, less at the power limit."""
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
        beaten: operators that were faster than their own roofline, with the likely cause, in words.
    """

    bars: tuple[Bar, ...]
    apart: tuple[Bar, ...]
    wall_s: float | None
    beaten: tuple[str, ...]

    @property
    def tau_s(self) -> float:
        """Ideal latency: all arithmetic at peak."""
        return sum(bar.tau_s for bar in self.bars)

    @property
    def mu_s(self) -> float:
        """All bytes at full bandwidth, operators without FLOPs included."""
        return sum(bar.mu_s for bar in self._all)

    @property
    def power_s(self) -> float:
        """All joules above static power at the power limit."""
        return sum(bar.power_s for bar in self._all)

    @property
    def power_limited(self) -> bool:
        """Whether the power limit decides the attainable time of any operator."""
        return any(bar.operators == 1 and bar.power_s > max(bar.tau_s, bar.mu_s) for bar in self._all)

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
        return self.tau_s / max(self.tau_s, self.mu_s, self.power_s) if self.tau_s else 0.0

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
    def warnings(self) -> tuple[str, ...]:
        """Where measurements contradict the constants or each other, in words."""
        if self.busy is None or self.busy <= BUSY_AT_MOST:
            return self.beaten
        return (
            *self.beaten,
            f"busy fraction {self.busy:.2f} above 1: the operators were measured slower (profiled, or overlapping) "
            "than the sequence",
        )

    @property
    def _all(self) -> tuple[Bar, ...]:
        return self.bars + self.apart


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
    return Waterline(
        bars=tuple(bar for bar in every if bar.flops),
        apart=tuple(bar for bar in every if not bar.flops),
        wall_s=wall_s,
        beaten=tuple(_beaten(every, operators, machine)),
    )


def _beaten(bars: Sequence[Bar], operators: Sequence[OperatorCost], machine: Machine) -> Iterator[str]:
    """Operators that beat their own roofline, those of one likely cause together."""
    alike: dict[str, list[tuple[float, Bar, str]]] = {}
    for bar in bars:
        causes = likely_causes([operators[bar.index]], machine, bar.measured_s) if bar.measured_s else ()
        if causes and bar.measured_s:
            kind = causes[0].partition(":")[0]
            alike.setdefault(kind, []).append((bar.attainable_s / bar.measured_s, bar, causes[0]))
    for found in alike.values():
        factor, bar, cause = max(found, key=lambda one: one[0])
        if len(found) == 1:
            yield f"{bar.label} beats the roofline ({factor:.2f} x): {cause}"
        else:
            yield f"{len(found)} operators beat the roofline, most of all {bar.label} ({factor:.2f} x): {cause}"


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
        power_s=power_latency_s(op, machine),
        attainable_s=attainable_latency_s(op, machine),
        measured_s=measured_s,
    )
