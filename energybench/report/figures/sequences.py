"""Which sequence of operators does each variant of a setting run, as waterlines draw it? In seconds and in joules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from energybench.analysis.energy_waterline import EnergyWaterline, energy_waterline
from energybench.analysis.waterline import Waterline, waterline
from energybench.cost import OperatorCost
from energybench.machine import Machine
from energybench.report.operators import Workflow, repeated, workflows


def sequence_waterlines(
    cases: pd.DataFrame, operators: pd.DataFrame, machine: Machine, *, stages: Sequence[str] = ()
) -> dict[str, Waterline]:
    """The waterline of every variant of one setting: its one network, or its layers as the network repeats them.

    Args:
        cases: the cases of one setting (one network, batch and dtype), columns of ``columns.RESULTS``.
        operators: columns of ``columns.OPERATORS``.
        machine: whose peaks and bandwidth are meant.
        stages: columns that name a layer among those of its variant.
    """
    found: dict[str, Waterline] = {}
    for variant, work in workflows(cases, operators, stages).items():
        bars = list(recurring(work.operators, work.measured_s))
        together, measured = [repeated(op, runs) for op, runs, _ in bars], [seconds for *_, seconds in bars]
        found[variant] = waterline(together, machine, measured, wall_s=work.wall_s)
    return found


def recurring(
    operators: Sequence[OperatorCost], measured_s: Sequence[float | None]
) -> Iterator[tuple[OperatorCost, int, float | None]]:
    """Each operator once, with how often it runs and the seconds of all its runs; in the order of their first runs.

    A network that is run on one image after another has the same bars for every image; together they are the same
    areas, and can be seen.
    """
    runs: dict[OperatorCost, list[float | None]] = {}
    for op, seconds in zip(operators, measured_s, strict=True):
        runs.setdefault(op, []).append(seconds)
    for op, times in runs.items():
        known = [time for time in times if time is not None]
        yield op, len(times), sum(known) if len(known) == len(times) else None


def sequence_energies(works: Mapping[str, Workflow], machine: Machine) -> dict[str, EnergyWaterline]:
    """The joules of every variant's sequence; static power over the operators' own times where all were timed.

    Args:
        works: what every variant runs, from ``workflows``.
        machine: whose unit energies are meant.
    """
    found: dict[str, EnergyWaterline] = {}
    for variant, work in works.items():
        bars = list(recurring(work.operators, work.measured_s))
        times = [seconds for *_, seconds in bars if seconds is not None]
        latency_s = times if len(times) == len(bars) else None
        together = [repeated(op, runs) for op, runs, _ in bars]
        found[variant] = energy_waterline(together, machine, latency_s, measured_j=work.energy_j)
    return found
