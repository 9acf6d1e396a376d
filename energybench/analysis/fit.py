"""What do the windows of a run say about the machine? Unit energies and kernel efficiencies, with their errors.

Joules and latencies of every piece of work are explained by two models with few constants (``fit_energy``,
``fit_latency``); each constant has an interval or a reason why it has none; errors are of work that was left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from energybench.analysis.book import Book
from energybench.analysis.fit_energy import BYTE, FLOP, STATIC, EnergyFit, EnergyPoint, UnitEnergy, fit_energy
from energybench.analysis.fit_latency import LatencyFit, fit_latency
from energybench.analysis.kernel_efficiency import (
    Efficiency,
    Quality,
    family_of_class,
    kernel_latency_s,
    load_efficiency,
    stand_ins,
)
from energybench.analysis.latency_table import LatencyPoint
from energybench.cost import OperatorCost
from energybench.errors import MachineError, RunFolderError
from energybench.journal import Run
from energybench.machine import Machine, rate_dtype

FOLDS = 8
FEWEST = 4
"""Pieces of work below which nothing is fitted."""

CAPPED = 0.98
"""Above this share of the board's power limit a latency tells of the limit, not of the kernel."""


@dataclass(frozen=True)
class Point:
    """One piece of work of a run: its kernels, and means of its windows per iteration; joules may be missing."""

    work: str
    operators: tuple[OperatorCost, ...]
    latency_s: float
    energy_j: float | None

    @property
    def family(self) -> str:
        """The family with most multiply-accumulates, else most bytes."""
        return max(self.operators, key=lambda op: (op.macs, op.bytes)).family


@dataclass(frozen=True)
class FamilyError:
    """Mean relative errors of work left out of the fit; None where there was none.

    Attributes:
        family: kernel family of the works.
        works: how many.
        unjudged: how many of them have a kernel class that no other work has: without them nothing is known of it.
        latency: of predicted latencies.
        energy_given_latency: of joules predicted at the measured latency.
        energy: of joules predicted at the predicted latency.
    """

    family: str
    works: int
    unjudged: int
    latency: float | None
    energy_given_latency: float | None
    energy: float | None


@dataclass(frozen=True)
class Fit:
    """What a run says about its machine.

    Attributes:
        run_name: name of the run's folder.
        base: the sheet the run was measured with: everything the run does not say stays as it is there.
        machine: the fitted sheet.
        efficiency: what its kernels reach, with factors on the sheet's joules per FLOP. Classes the run has nothing
            like are those of the shipped table, not judged on this machine.
        energy: unit energies; None where the run has no joules.
        latency: constants of the latency model.
        errors: cross-validated, by family.
        capped: works left out of the latencies because the board was at its power limit.
    """

    run_name: str
    base: Machine
    machine: Machine
    efficiency: Efficiency
    energy: EnergyFit | None
    latency: LatencyFit
    errors: tuple[FamilyError, ...]
    capped: int


def fit_run(run: Run, machine: Machine | None = None) -> Fit:
    """Fit the energy and the latency model to the windows of ``run``.

    Args:
        run: a run folder; only distinct work that was measured counts.
        machine: sheet to start from; the run's own where not given.

    Raises:
        RunFolderError: there is no sheet, or too little was measured.
    """
    book = Book(run)
    base = machine or book.machine
    if base is None:
        raise RunFolderError(
            "the run's device has no machine sheet",
            where=str(run.folder),
            why="efficiencies are fractions of a peak and a bandwidth",
            remedy="give a sheet with --machine",
        )
    points = run_points(book)
    if len(points) < FEWEST:
        raise RunFolderError(
            f"{len(points)} different pieces of work were measured, a fit needs {FEWEST} at least",
            where=str(run.folder),
            remedy="fit a run with more variants or sizes, e.g. of suites/gconv.yaml",
        )
    free = [p for p in points if not _capped(p, base)]
    source = f"{run.folder.name} ({'simulated' if run.simulated else 'measured'}, {len(points)} pieces of work)"
    energy = _energy(points)
    latency = _latency(free or points, base, source)
    fitted = _machine(base, energy, latency, book, source)
    errors = _cross_validated(points, base)
    efficiency = _with_errors(_with_operations(latency.efficiency, energy, fitted), errors)
    completed = _completed(efficiency, load_efficiency())
    return Fit(run.folder.name, base, fitted, completed, energy, latency, errors, len(points) - len(free))


def run_points(book: Book) -> list[Point]:
    """One point a piece of work that ran: geometric means over all its windows, in whatever comparison."""
    latencies: dict[str, list[float]] = {}
    joules: dict[str, list[float]] = {}
    for (_, work), measured in book.measured.items():
        latencies.setdefault(work, []).extend(measured.latency_by_block.values())
        joules.setdefault(work, []).extend(measured.energy_by_block.values())
    return [
        Point(work, tuple(book.operators[work]), _mean(values), _mean(joules[work]) if joules[work] else None)
        for work, values in latencies.items()
        if values and book.operators.get(work) and any(op.bytes for op in book.operators[work])
    ]


def _mean(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def _capped(point: Point, machine: Machine) -> bool:
    return point.energy_j is not None and point.energy_j / point.latency_s > CAPPED * machine.tdp_w


def _energy(points: Sequence[Point]) -> EnergyFit | None:
    with_joules = [EnergyPoint(p.operators, p.latency_s, p.energy_j) for p in points if p.energy_j is not None]
    return fit_energy(with_joules) if with_joules else None


def _latency(points: Sequence[Point], machine: Machine, source: str) -> LatencyFit:
    return fit_latency(
        [LatencyPoint(p.operators, machine, p.latency_s) for p in points], name=machine.name, source=source
    )


def _machine(base: Machine, energy: EnergyFit | None, latency: LatencyFit, book: Book, source: str) -> Machine:
    """The sheet with what the run says; numbers it does not say keep value and source."""
    changes: dict[str, float] = {}
    sources = dict(base.sources)
    j_per_flop = dict(base.j_per_flop)

    def take(field: str, value: float, low: float, high: float, note: str = "") -> None:
        sources[field] = f"fitted on {source}, 95 %: {low:.4g} to {high:.4g}{note}"
        changes[field] = value

    for constant in energy.constants if energy else ():
        if constant.value is None:
            continue
        if constant.name in (STATIC, BYTE):
            take(constant.name, constant.value, constant.low, constant.high)
    for dtype, constant in _reference_families(base, energy).items():
        if constant.value is not None:
            take(f"{FLOP}.{dtype}", constant.value, constant.low, constant.high, f"; {constant.name.split('.')[-1]}")
            j_per_flop[dtype] = changes.pop(f"{FLOP}.{dtype}")
    launch = next(c for c in latency.constants if c.name == "launch_s")
    if launch.known:
        take("launch_s", launch.value, launch.low, launch.high)
    if book.idle is not None:
        half = book.idle.halfwidth_w
        take("idle_w", book.idle.power_w, book.idle.power_w - half, book.idle.power_w + half, "; active idle, measured")
    return replace(base, **changes, j_per_flop=j_per_flop, sources=sources, provenance="fitted")  # type: ignore[arg-type]


def _reference_families(base: Machine, energy: EnergyFit | None) -> dict[str, UnitEnergy]:
    """By data type of the sheet the cheapest identifiable family: the others are factors above it."""
    found: dict[str, UnitEnergy] = {}
    for constant in energy.constants if energy else ():
        if constant.value is None or not constant.name.startswith(FLOP):
            continue
        dtype = rate_dtype(base, constant.name.split(".")[1])
        best = found.get(dtype)
        if best is None or (best.value is not None and constant.value < best.value):
            found[dtype] = constant
    return found


def _with_operations(efficiency: Efficiency, energy: EnergyFit | None, machine: Machine) -> Efficiency:
    """Factors on the fitted sheet's joules per FLOP, where both are known."""
    if energy is None:
        return efficiency
    factors: dict[str, list[float]] = {}
    for constant in energy.constants:
        if constant.value is not None and constant.name.startswith(FLOP):
            _, dtype, family = constant.name.split(".")
            factors.setdefault(family, []).append(constant.value / machine.j_per_flop[rate_dtype(machine, dtype)])

    def factored(name: str, quality: Quality) -> Quality:
        found = factors.get(family_of_class(name))
        return quality.model_copy(update={"operations": _mean(found)}) if found else quality

    kernels = {n: {k: factored(n, q) for k, q in kinds.items()} for n, kinds in efficiency.kernels.items()}
    return efficiency.model_copy(update={"kernels": kernels})


def _with_errors(efficiency: Efficiency, errors: Sequence[FamilyError]) -> Efficiency:
    by_family = {e.family: e.latency for e in errors}
    kernels = {
        name: {
            k: q.model_copy(update={"latency_error": by_family.get(family_of_class(name))}) for k, q in kinds.items()
        }
        for name, kinds in efficiency.kernels.items()
    }
    energies = [(e.energy, e.works) for e in errors if e.energy is not None]
    total = sum(n for _, n in energies)
    mean = sum(error * n for error, n in energies) / total if total else None
    return efficiency.model_copy(update={"kernels": kernels, "energy_error": mean})


def _completed(fitted: Efficiency, shipped: Efficiency) -> Efficiency:
    """The fitted table, and of ``shipped`` the classes for which nothing that was fitted can stand in."""
    missing = {
        name: {kind: quality.model_copy(update={"latency_error": None}) for kind, quality in kinds.items()}
        for name, kinds in shipped.kernels.items()
        if not any(stand_in in fitted.kernels for stand_in in stand_ins(name))
    }
    return fitted.model_copy(update={"kernels": fitted.kernels | missing})


def _cross_validated(points: Sequence[Point], machine: Machine) -> tuple[FamilyError, ...]:
    """Every piece of work predicted by a fit to the others, in at most ``FOLDS`` folds of shuffled works."""
    order = np.random.default_rng(0).permutation(len(points))
    found: dict[str, list[tuple[float | None, float | None, float | None]]] = {}
    for fold in np.array_split(order, min(FOLDS, len(points))):
        left_out = {int(i) for i in fold}
        rest = [p for i, p in enumerate(points) if i not in left_out]
        free = [p for p in rest if not _capped(p, machine)]
        predict = _predictor(_latency(free or rest, machine, "the others").efficiency, _energy(rest), machine)
        for i in sorted(left_out):
            found.setdefault(points[i].family, []).append(predict(points[i]))
    return tuple(
        FamilyError(
            family,
            len(errors),
            sum(e[0] is None for e in errors),
            *(_average([e[k] for e in errors]) for k in range(3)),
        )
        for family, errors in sorted(found.items())
    )


def _predictor(
    efficiency: Efficiency, energy: EnergyFit | None, machine: Machine
) -> Callable[[Point], tuple[float | None, float | None, float | None]]:
    def errors(point: Point) -> tuple[float | None, float | None, float | None]:
        try:
            latency_s = sum(kernel_latency_s(op, machine, efficiency) for op in point.operators)
        except MachineError:  # no other work has a kernel of this class
            return None, None, None
        if energy is None or point.energy_j is None:
            return abs(latency_s / point.latency_s - 1), None, None
        moving_j = energy.energy_j(point.operators, 0.0)
        capped_s = moving_j / max(machine.tdp_w - energy.solution[STATIC], 1e-9)
        latency_s = max(latency_s, capped_s)
        given = energy.energy_j(point.operators, point.latency_s)
        whole = energy.energy_j(point.operators, latency_s)
        return abs(latency_s / point.latency_s - 1), abs(given / point.energy_j - 1), abs(whole / point.energy_j - 1)

    return errors


def _average(values: Sequence[float | None]) -> float | None:
    found = [v for v in values if v is not None]
    return sum(found) / len(found) if found else None
