"""Which unit energies explain these joules? Non-negative least squares on relative errors, with honest intervals.

    joules = sum over (data type, family) of j_per_flop x flops + j_per_byte x bytes + static_w x latency

Linear in its constants, none of which can be negative. Every row is divided by its measured joules, so that a small
layer counts as much as a large one. Rows are pieces of work, not windows: what is left over is the model's error as
much as the meter's, and windows of the same work do not make it smaller.

Source: three-term energy of J. Choi et al., "A Roofline Model of Energy", IPDPS 2013; C. Lawson, R. Hanson, "Solving
Least Squares Problems", 1974, for the algorithm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import nnls

from energybench.cost import OperatorCost

Array = NDArray[np.float64]

STATIC, BYTE, FLOP = "static_w", "j_per_byte", "j_per_flop"
CONFIDENCE = 0.95
WIDEST = 0.5
"""A constant whose 95 % half-width is more than this share of it is called not identifiable."""

CONFOUNDED = 0.7
SINGULAR = 1e-7
"""Columns of length one that agree to this are one column: the data cannot tell them apart at all."""


@dataclass(frozen=True)
class EnergyPoint:
    """One piece of work whose joules were measured.

    Attributes:
        operators: its kernels.
        latency_s: measured seconds of one iteration.
        energy_j: measured joules of one iteration.
    """

    operators: tuple[OperatorCost, ...]
    latency_s: float
    energy_j: float


@dataclass(frozen=True)
class UnitEnergy:
    """One constant of the energy model.

    Attributes:
        name: ``static_w``, ``j_per_byte`` or ``j_per_flop.<dtype>.<family>``.
        value: in base units; None where it is not identifiable.
        low: lower end of its 95 % interval.
        high: upper end.
        reason: why there is no value; empty where there is one.
    """

    name: str
    value: float | None
    low: float
    high: float
    reason: str = ""

    @property
    def identifiable(self) -> bool:
        """Whether the data decide it."""
        return self.value is not None


@dataclass(frozen=True)
class EnergyFit:
    """Unit energies that explain the joules.

    Attributes:
        constants: each with its interval, or why it has no value.
        solution: every constant the fit used, identifiable or not: together they predict, alone some mean nothing.
        relative_error: root mean square of what is left.
        works: pieces of work it rests on.
    """

    constants: tuple[UnitEnergy, ...]
    solution: dict[str, float]
    relative_error: float
    works: int

    def energy_j(self, operators: Sequence[OperatorCost], latency_s: float) -> float:
        """Joules of work that takes ``latency_s``; a family the fit has not seen adds no joules of operations."""
        return sum(self.solution.get(name, 0.0) * amount for name, amount in amounts(operators, latency_s).items())


def amounts(operators: Sequence[OperatorCost], latency_s: float) -> dict[str, float]:
    """What the constants are multiplied with, by the constants' names."""
    found = {STATIC: latency_s, BYTE: 0.0}
    for op in operators:
        found[BYTE] += op.bytes
        if op.flops:
            name = f"{FLOP}.{op.dtype}.{op.family}"
            found[name] = found.get(name, 0.0) + op.flops
    return found


def fit_energy(points: Sequence[EnergyPoint]) -> EnergyFit:
    """Unit energies from measured joules.

    Raises:
        ValueError: there is no point.
    """
    if not points:
        raise ValueError("there are no joules to fit")
    rows = [amounts(p.operators, p.latency_s) for p in points]
    names = list(dict.fromkeys(name for row in rows for name in row))
    joules = np.array([p.energy_j for p in points])
    matrix = np.array([[row.get(name, 0.0) for name in names] for row in rows]) / joules[:, None]
    scale = np.linalg.norm(matrix, axis=0)
    scale[scale == 0] = 1.0
    solution, distance = nnls(matrix / scale, np.ones(len(points)))
    constants = _constants(names, matrix / scale, solution, scale, float(distance))
    return EnergyFit(
        constants=constants,
        solution=dict(zip(names, (solution / scale).tolist(), strict=True)),
        relative_error=float(distance) / np.sqrt(len(points)),
        works=len(points),
    )


def _constants(
    names: Sequence[str], matrix: Array, solution: Array, scale: Array, distance: float
) -> tuple[UnitEnergy, ...]:
    """Intervals from the covariance of the active set; columns are of length one, constants times ``scale``."""
    active = np.flatnonzero(solution > 0)
    degrees = len(matrix) - len(active)
    blended = _blended(matrix, names, active)
    inverse: Array = np.asarray(np.linalg.pinv(matrix[:, active].T @ matrix[:, active], hermitian=True), dtype=float)
    half = np.full(len(names), np.inf)
    if degrees > 0:
        error = np.sqrt(np.diag(inverse)) * (distance / np.sqrt(degrees))
        half[active] = float(stats.t.ppf(0.5 + CONFIDENCE / 2, degrees)) * error
    found = []
    for column, name in enumerate(names):
        value, width = solution[column] / scale[column], half[column] / scale[column]
        if column not in active:
            reason = "the best fit leaves no joules for it"
        elif name in blended:
            reason = f"always together with {', '.join(n for n in blended[name] if n != name)}: only their sum is known"
        elif not width <= WIDEST * value:
            reason = _why_wide(active, inverse, column, names, degrees)
        else:
            found.append(UnitEnergy(name, float(value), float(max(0.0, value - width)), float(value + width)))
            continue
        found.append(UnitEnergy(name, None, 0.0, float("inf"), reason))
    return tuple(found)


def _blended(matrix: Array, names: Sequence[str], active: NDArray[np.intp]) -> dict[str, list[str]]:
    """Names that occur in a direction the data say nothing about, each with its companions."""
    _, lengths, directions = np.linalg.svd(matrix[:, active], full_matrices=True)
    found: dict[str, list[str]] = {}
    for number, direction in enumerate(directions):
        if number < len(lengths) and lengths[number] > SINGULAR * lengths[0]:
            continue
        together = [names[active[i]] for i in np.flatnonzero(np.abs(direction) > 0.05)]
        for name in together:
            found.setdefault(name, []).extend(n for n in together if n not in found.get(name, []))
    return found


def _why_wide(active: NDArray[np.intp], inverse: Array, column: int, names: Sequence[str], degrees: int) -> str:
    """What a wide interval comes from: too few pieces of work, or another constant that does the same."""
    if degrees <= 0:
        return f"{len(active)} constants need more than {len(active)} different pieces of work"
    mine = int(np.flatnonzero(active == column)[0])
    spread = np.sqrt(np.diag(inverse))
    correlation = np.abs(inverse[mine] / (spread[mine] * spread))
    correlation[mine] = 0.0
    other = int(np.argmax(correlation))
    if correlation[other] > CONFOUNDED:
        return f"the data cannot tell it from {names[active[other]]}"
    return f"its 95 % interval is wider than +-{WIDEST:.0%}: too few joules depend on it"
