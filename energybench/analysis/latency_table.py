"""How long do kernels take at given constants, and how does that change with them? Kernels of many points as columns.

The formula is that of ``kernel_efficiency``; here it is worked out for all kernels at once, with its derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from energybench.analysis.kernel_demand import kernel_demand
from energybench.cost import OperatorCost
from energybench.machine import Machine

Array = NDArray[np.float64]

FIELDS = ("arithmetic", "bandwidth", "step_s")
"""Constants of every class."""

COMMON = 2
"""Constants common to all classes, which come first: launch and group."""


@dataclass(frozen=True)
class LatencyPoint:
    """One piece of work that was timed on one machine.

    Attributes:
        operators: its kernels.
        machine: where it ran.
        latency_s: seconds of one iteration.
    """

    operators: tuple[OperatorCost, ...]
    machine: Machine
    latency_s: float


@dataclass(frozen=True)
class LatencyTable:
    """Demands of all kernels of all points as columns; ``point`` is the row of the point a kernel belongs to."""

    classes: tuple[tuple[str, str], ...]
    point: NDArray[np.intp]
    kernel: NDArray[np.intp]
    arithmetic_s: Array
    memory_s: Array
    steps: Array
    groups: Array
    measured_s: Array

    def latencies_s(self, logs: Array, overlap: float) -> Array:
        """Seconds of every point at the constants whose logarithms are ``logs``, in the order of ``constant_names``."""
        seconds = np.bincount(self.point, self._parts(logs, overlap)[0], minlength=len(self.measured_s))
        return np.asarray(seconds, dtype=np.float64)

    def slopes(self, logs: Array, overlap: float) -> Array:
        """Derivatives of log latencies after log constants: a row a point, a column a constant."""
        _, parts = self._parts(logs, overlap)
        found = np.zeros((len(self.measured_s), len(logs)))
        first = np.zeros_like(self.kernel)
        for columns, part in zip((first, first + 1, *self._columns()), parts, strict=True):
            np.add.at(found, (self.point, columns), part)
        return np.asarray(found / self.latencies_s(logs, overlap)[:, None])

    def _columns(self) -> tuple[NDArray[np.intp], ...]:
        """Where in the constants those of every kernel's class stand, field by field."""
        return tuple(COMMON + len(FIELDS) * self.kernel + number for number in range(len(FIELDS)))

    def _parts(self, logs: Array, overlap: float) -> tuple[Array, tuple[Array, ...]]:
        """Seconds of every kernel, and its derivatives after the log of each constant, in the names' order."""
        values = np.exp(logs)
        arithmetic, bandwidth, step_s = (values[columns] for columns in self._columns())
        arithmetic_s, memory_s, steps_s = (
            self.arithmetic_s / arithmetic,
            self.memory_s / bandwidth,
            self.steps * step_s,
        )
        longest_s = np.maximum(arithmetic_s, memory_s)
        powers = (arithmetic_s / longest_s) ** overlap, (memory_s / longest_s) ** overlap
        both_s = longest_s * (powers[0] + powers[1]) ** (1 / overlap)
        launch_s, groups_s = np.full_like(both_s, values[0]), self.groups * values[1]
        share = powers[0] / (powers[0] + powers[1])
        parts = (launch_s, groups_s, -both_s * share, -both_s * (1 - share), steps_s)
        return launch_s + groups_s + steps_s + both_s, parts


def latency_table(points: Sequence[LatencyPoint]) -> LatencyTable:
    """The kernels of all points that do anything, as columns."""
    demands = [
        (row, kernel_demand(op, point.machine))
        for row, point in enumerate(points)
        for op in point.operators
        if op.bytes
    ]
    classes = tuple(sorted({(d.kernel_class, d.arithmetic_kind) for _, d in demands}))
    index = {key: number for number, key in enumerate(classes)}
    return LatencyTable(
        classes=classes,
        point=np.array([row for row, _ in demands], dtype=np.intp),
        kernel=np.array([index[d.kernel_class, d.arithmetic_kind] for _, d in demands], dtype=np.intp),
        arithmetic_s=np.array([d.arithmetic_s for _, d in demands]),
        memory_s=np.array([d.memory_s for _, d in demands]),
        steps=np.array([d.steps for _, d in demands]),
        groups=np.array([float(d.groups) for _, d in demands]),
        measured_s=np.array([p.latency_s for p in points]),
    )


def constant_names(table: LatencyTable) -> list[str]:
    """Names of the constants, in the order in which their logarithms stand."""
    return ["launch_s", "group_s", *(f"{f}.{name}.{kind}" for name, kind in table.classes for f in FIELDS)]
