"""Which kernel efficiencies explain these latencies? Maximum a posteriori over whole pieces of work, by class.

A piece of work may be one kernel or a network: latencies of its kernels add up, and the constants of all classes are
found together, from relative errors. Every constant has a broad prior (log-normal around an assumed value), which
matters only where the data say nothing; such constants are named, not reported as found.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from energybench.analysis.kernel_efficiency import Efficiency, Quality, kernel_demand
from energybench.cost import OperatorCost
from energybench.machine import Machine

Array = NDArray[np.float64]

PRIOR: Mapping[str, tuple[float, float]] = {
    "arithmetic": (0.4, np.log(4.0)),
    "bandwidth": (0.7, np.log(2.0)),
    "step_s": (1e-8, np.log(10.0)),
    "group_s": (1e-8, np.log(10.0)),
    "launch_s": (3e-6, np.log(3.0)),
}
"""Centre and log standard deviation of every constant before any data. Assumed, ours; broad on purpose."""

FIELDS = ("arithmetic", "bandwidth", "step_s")
"""Constants of every class; launch and group are common to all."""

KNOWN_FACTOR = 2.0
"""A constant is found where its 95 % interval stays within this factor of it."""

DISTINCT_INTENSITY = 1.5
"""FLOPs per byte must vary by more than this factor to tell an arithmetic bound from a memory bound."""

FIRST_ERROR, LEAST_ERROR = 0.2, 2e-3
OVERLAPS = (1.0, 2.0, 16.0)
"""None, some (root of squares), and practically perfect overlap of arithmetic and memory."""


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
class FittedConstant:
    """One constant of the latency model.

    Attributes:
        name: ``launch_s``, ``group_s``, or ``arithmetic``, ``bandwidth``, ``step_s`` with class and arithmetic.
        value: most probable value; near what was assumed where the data do not decide it.
        low: lower end of its 95 % interval.
        high: upper end.
        reason: why the data do not decide it; empty where they do.
    """

    name: str
    value: float
    low: float
    high: float
    reason: str = ""

    @property
    def known(self) -> bool:
        """Whether the data decide it."""
        return not self.reason


@dataclass(frozen=True)
class LatencyFit:
    """Kernel efficiencies that explain the latencies, each constant with its interval.

    Attributes:
        efficiency: the table.
        constants: each with its interval.
        relative_error: mean absolute relative error that is left.
    """

    efficiency: Efficiency
    constants: tuple[FittedConstant, ...]
    relative_error: float


@dataclass(frozen=True)
class _Table:
    """Demands of all kernels of all points as columns; ``point`` is the row of the point a kernel belongs to."""

    classes: tuple[tuple[str, str], ...]
    point: NDArray[np.intp]
    kernel: NDArray[np.intp]
    arithmetic_s: Array
    memory_s: Array
    steps: Array
    groups: Array
    measured_s: Array

    def latencies_s(self, logs: Array, names: Sequence[str], overlap: float) -> Array:
        value = dict(zip(names, np.exp(logs), strict=True))
        of_class = {
            field: np.array([value[f"{field}.{name}.{kind}"] for name, kind in self.classes])[self.kernel]
            for field in FIELDS
        }
        arithmetic_s, memory_s = self.arithmetic_s / of_class["arithmetic"], self.memory_s / of_class["bandwidth"]
        longest_s = np.maximum(arithmetic_s, memory_s)
        both_s = longest_s * ((arithmetic_s / longest_s) ** overlap + (memory_s / longest_s) ** overlap) ** (
            1 / overlap
        )
        kernels_s = value["launch_s"] + self.groups * value["group_s"] + self.steps * of_class["step_s"] + both_s
        return np.asarray(np.bincount(self.point, kernels_s, minlength=len(self.measured_s)), dtype=np.float64)


def fit_latency(
    points: Sequence[LatencyPoint], *, name: str, source: str, overlaps: Sequence[float] = OVERLAPS
) -> LatencyFit:
    """Constants of every class that occurs in ``points``; the overlap is the one that explains them best.

    Args:
        points: what was timed; at least one kernel each.
        name: of the resulting table.
        source: what was timed, for the table's ``source`` entries.
        overlaps: values of p to choose from.

    Raises:
        ValueError: there is no point.
    """
    if not points:
        raise ValueError("there is no latency to fit")
    table = _table(points)
    names = _names(table)
    fits: list[tuple[float, Array, Array, float]] = []
    for overlap in sorted(overlaps):  # from the smoothest on, each from where the last one ended
        fits.append((overlap, *_solve(table, names, overlap, fits[-1][1] if fits else None)))
    overlap, logs, errors, residual = min(fits, key=lambda fit: fit[3])
    indistinct = _indistinct(table)
    constants = tuple(
        _constant(label, mean, error, indistinct) for label, mean, error in zip(names, logs, errors, strict=True)
    )
    efficiency = _efficiency(constants, table.classes, overlap, name, source)
    return LatencyFit(efficiency, constants, residual)


def _table(points: Sequence[LatencyPoint]) -> _Table:
    demands = [
        (row, kernel_demand(op, point.machine))
        for row, point in enumerate(points)
        for op in point.operators
        if op.bytes
    ]
    classes = tuple(sorted({(d.kernel_class, d.arithmetic_kind) for _, d in demands}))
    index = {key: number for number, key in enumerate(classes)}
    return _Table(
        classes=classes,
        point=np.array([row for row, _ in demands], dtype=np.intp),
        kernel=np.array([index[d.kernel_class, d.arithmetic_kind] for _, d in demands], dtype=np.intp),
        arithmetic_s=np.array([d.arithmetic_s for _, d in demands]),
        memory_s=np.array([d.memory_s for _, d in demands]),
        steps=np.array([d.steps for _, d in demands]),
        groups=np.array([float(d.groups) for _, d in demands]),
        measured_s=np.array([p.latency_s for p in points]),
    )


def _names(table: _Table) -> list[str]:
    return ["launch_s", "group_s", *(f"{f}.{name}.{kind}" for name, kind in table.classes for f in FIELDS)]


def _solve(table: _Table, names: Sequence[str], overlap: float, start: Array | None) -> tuple[Array, Array, float]:
    """Log constants, their standard errors, and the mean relative error they leave.

    Libraries now and then choose a kernel several times slower than the next: such rows must not bend the rest.
    """
    priors = [PRIOR[name.split(".")[0]] for name in names]
    centre = np.log([p[0] for p in priors])
    spread = np.array([p[1] for p in priors])
    logs, error = centre if start is None else start, FIRST_ERROR
    for loss in ("soft_l1", "cauchy"):  # the second time with the error the first one left, and deaf to outliers

        def residuals(x: Array, error: float = error) -> Array:
            relative = np.log(table.latencies_s(x, names, overlap) / table.measured_s)
            return np.concatenate([relative / error, (x - centre) / spread])

        found = least_squares(residuals, logs, loss=loss, max_nfev=200)
        logs = found.x
        relative = np.log(table.latencies_s(logs, names, overlap) / table.measured_s)
        error = max(float(np.median(np.abs(relative))), LEAST_ERROR)
    covariance = np.linalg.inv(found.jac.T @ found.jac)
    return logs, np.sqrt(np.diag(covariance)), float(np.mean(np.abs(relative)))


def _constant(name: str, log: float, error: float, indistinct: Collection[str]) -> FittedConstant:
    value, factor = float(np.exp(log)), float(np.exp(1.96 * error))
    reason = ""
    if factor >= KNOWN_FACTOR:
        reason = f"assumed {value:.3g}, the latencies hardly depend on it"
    elif name.startswith(("arithmetic.", "bandwidth.")) and name.partition(".")[2] in indistinct:
        reason = f"{value:.3g} explains the latencies, but FLOPs per byte never vary: it may be arithmetic or bandwidth"
    return FittedConstant(name, value, value / factor, value * factor, reason)


def _indistinct(table: _Table) -> set[str]:
    """Classes whose kernels all have about the same FLOPs per byte: which of the two bounds them cannot be seen."""
    found = set()
    for number, (name, kind) in enumerate(table.classes):
        mine = (table.kernel == number) & (table.arithmetic_s > 0)
        intensity = table.arithmetic_s[mine] / table.memory_s[mine]
        if intensity.size and intensity.max() < DISTINCT_INTENSITY * intensity.min():
            found.add(f"{name}.{kind}")
    return found


def _efficiency(
    constants: Sequence[FittedConstant], classes: Sequence[tuple[str, str]], overlap: float, name: str, source: str
) -> Efficiency:
    found = {c.name: c for c in constants}
    kernels: dict[str, dict[str, Quality]] = {}
    for kernel, kind in classes:
        mine = {field: found[f"{field}.{kernel}.{kind}"] for field in FIELDS}
        unknown = [field for field, constant in mine.items() if not constant.known]
        kernels.setdefault(kernel, {})[kind] = Quality(
            **{field: constant.value for field, constant in mine.items()},
            source=source + (f"; not decided by the data: {', '.join(unknown)}" if unknown else ""),
        )
    return Efficiency(
        name=name,
        about=f"fitted on {source}",
        overlap=overlap,
        launch_s=found["launch_s"].value,
        group_s=found["group_s"].value,
        kernels=kernels,
    )
