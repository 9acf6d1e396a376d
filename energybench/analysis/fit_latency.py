"""Which kernel efficiencies explain these latencies? Maximum a posteriori over whole pieces of work, by class.

A piece of work may be one kernel or a network: latencies of its kernels add up, and the constants of all classes are
found together, from relative errors. Every constant has a broad prior (log-normal), which matters only where the data
say little: around the same constant of the class that would stand in for it, where the data have that class, else
around an assumed value. Constants that the data do not decide are named, not reported as found.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from energybench.analysis.kernel_efficiency import Efficiency, Quality, stand_ins
from energybench.analysis.latency_table import (
    FIELDS,
    Array,
    LatencyPoint,
    LatencyTable,
    constant_names,
    latency_table,
)

PRIOR: Mapping[str, tuple[float, float]] = {
    "arithmetic": (0.4, np.log(4.0)),
    "bandwidth": (0.7, np.log(2.0)),
    "step_s": (1e-8, np.log(10.0)),
    "group_s": (1e-8, np.log(10.0)),
    "launch_s": (3e-6, np.log(3.0)),
}
"""Centre and log standard deviation of every constant before any data. Assumed, ours; broad on purpose."""

ALIKE = np.log(2.0)
"""Log standard deviation of a constant around that of the class that would stand in for it. Assumed, ours."""

KNOWN_FACTOR = 2.0
"""A constant is found where its 95 % interval stays within this factor of it."""

DISTINCT_INTENSITY = 1.5
"""FLOPs per byte must vary by more than this factor to tell an arithmetic bound from a memory bound."""

FIRST_ERROR, LEAST_ERROR = 0.2, 2e-3
TOLERANCE = 1e-6
OVERLAPS = (1.0, 2.0, 16.0)
"""None, some (root of squares), and practically perfect overlap of arithmetic and memory."""


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
    table = latency_table(points)
    names = constant_names(table)
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


def _solve(
    table: LatencyTable, names: Sequence[str], overlap: float, start: Array | None
) -> tuple[Array, Array, float]:
    """Log constants, their standard errors, and the mean relative error they leave.

    Libraries now and then choose a kernel several times slower than the next: such rows must not bend the rest, so
    latencies have a robust loss. The prior does not: far from it, it would say nothing, and constants would wander.
    """
    priors = [PRIOR[name.split(".")[0]] for name in names]
    centre = np.log([p[0] for p in priors])
    prior, offset = _prior(table, names)
    logs, error = centre if start is None else start, FIRST_ERROR
    for robust in (_soft_l1, _cauchy):  # the second time with the error the first one left, and deaf to outliers

        def residuals(x: Array, error: float = error) -> Array:
            relative = np.log(table.latencies_s(x, overlap) / table.measured_s)
            return np.concatenate([relative / error, prior @ x - offset])

        def slopes(x: Array, error: float = error) -> Array:
            return np.concatenate([table.slopes(x, overlap) / error, prior])

        def loss(squares: Array, robust: Callable[[Array], Sequence[Array]] = robust) -> Array:
            data, rest = squares[: len(table.measured_s)], squares[len(table.measured_s) :]
            plain = rest, np.ones_like(rest), np.zeros_like(rest)
            return np.array([np.concatenate(both) for both in zip(robust(data), plain, strict=True)])

        found = least_squares(
            residuals, logs, jac=slopes, loss=loss, x_scale="jac", ftol=TOLERANCE, xtol=TOLERANCE, max_nfev=200
        )
        logs = found.x
        relative = np.log(table.latencies_s(logs, overlap) / table.measured_s)
        error = max(float(np.median(np.abs(relative))), LEAST_ERROR)
    covariance = np.linalg.inv(found.jac.T @ found.jac)
    return logs, np.sqrt(np.diag(covariance)), float(np.mean(np.abs(relative)))


def _soft_l1(squares: Array) -> tuple[Array, Array, Array]:
    """Loss of squared residuals with its first two derivatives: grows as the residual itself."""
    root = np.sqrt(1 + squares)
    return 2 * (root - 1), 1 / root, -0.5 / root**3


def _cauchy(squares: Array) -> tuple[Array, Array, Array]:
    """The same, deaf to what is far off: grows as the logarithm."""
    return np.log1p(squares), 1 / (1 + squares), -1 / (1 + squares) ** 2


def _prior(table: LatencyTable, names: Sequence[str]) -> tuple[Array, Array]:
    """Matrix and offset that make prior residuals of log constants: a row a constant, in standard deviations."""
    place = {name: number for number, name in enumerate(names)}
    matrix, offset = np.zeros((len(names), len(names))), np.zeros(len(names))
    known = set(table.classes)
    for row, name in enumerate(names):
        field, *of_class = name.split(".")
        nearest = None
        if of_class:
            kernel, kind = of_class
            nearest = next((other for other in stand_ins(kernel) if other != kernel and (other, kind) in known), None)
        centre, spread = PRIOR[field]
        if nearest is None:
            matrix[row, row], offset[row] = 1 / spread, np.log(centre) / spread
        else:
            matrix[row, row], matrix[row, place[f"{field}.{nearest}.{of_class[1]}"]] = 1 / ALIKE, -1 / ALIKE
    return matrix, offset


def _constant(name: str, log: float, error: float, indistinct: Collection[str]) -> FittedConstant:
    value, factor = float(np.exp(log)), float(np.exp(1.96 * error))
    reason = ""
    if factor >= KNOWN_FACTOR:
        reason = f"assumed {value:.3g}, the latencies hardly depend on it"
    elif name.startswith(("arithmetic.", "bandwidth.")) and name.partition(".")[2] in indistinct:
        reason = f"{value:.3g} explains the latencies, but FLOPs per byte never vary: it may be arithmetic or bandwidth"
    return FittedConstant(name, value, value / factor, value * factor, reason)


def _indistinct(table: LatencyTable) -> set[str]:
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
