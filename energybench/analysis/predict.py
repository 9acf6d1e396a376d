"""What will a piece of work take on a machine, in seconds and joules, and how far off is that likely to be?

Latency: every kernel at its family's efficiency (``kernel_efficiency``), one after another. Joules: operations, bytes
and static power for that long; where that would be more than the board's power limit, the board slows down until it
is not. Expected errors are those of work that was left out when the constants were fitted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from energybench.analysis.kernel_efficiency import Efficiency, KernelTime, Launch, kernel_time
from energybench.cost import OperatorCost
from energybench.machine import EnergySplit, Machine, peak_for, rate_dtype

UNIT_ENERGY_ERROR = 0.30
"""Of unit energies from data sheets and the literature (the sheets say +-30 % of each)."""

UNJUDGED_ERROR = 0.5
"""Of the latency of a kernel class that was never judged on work left out. Ours."""

GOOD_PRODUCT = 0.84
"""Fraction of a dense peak that large products of good libraries reach: the middle of 0.80-0.88 (stas00/ml-engineering,
matmul table)."""


class Planned(Protocol):
    """Work as a plan knows it: its identity and its kernels."""

    @property
    def work(self) -> str:
        """Identity of the work."""

    @property
    def operators(self) -> Sequence[OperatorCost]:
        """Its kernels, in order."""


@dataclass(frozen=True)
class Prediction:
    """One iteration of a piece of work as the models see it.

    Attributes:
        latency_s: seconds.
        energy: joules by cause.
        latency_error: expected mean relative error of ``latency_s``.
        energy_error: expected mean relative error of the joules.
        power_capped: whether the board's power limit decides the latency.
    """

    latency_s: float
    energy: EnergySplit
    latency_error: float
    energy_error: float
    power_capped: bool

    @property
    def energy_per_iteration_j(self) -> float:
        """Joules of one iteration."""
        return self.energy.total_j

    @property
    def power_w(self) -> float:
        """Mean power."""
        return self.energy.total_j / self.latency_s

    def as_record(self) -> dict[str, float]:
        """What ``run.json`` keeps of it: the layout of a simulated run's truth, and the expected errors.

        No joules where the sheet has no energies.
        """
        record = {
            "latency_s": self.latency_s,
            "power_w": self.power_w,
            "energy_per_iteration_j": self.energy_per_iteration_j,
            "operations_j": self.energy.operations_j,
            "bytes_j": self.energy.bytes_j,
            "static_j": self.energy.static_j,
            "latency_error": self.latency_error,
            "energy_error": self.energy_error,
        }
        return {name: value for name, value in record.items() if math.isfinite(value)}


def predictions(plans: Iterable[Planned], machine: Machine, efficiency: Efficiency) -> dict[str, Prediction]:
    """A prediction for every distinct piece of work that has kernels.

    Raises:
        MachineError: the machine has no peak for a data type, or the table no numbers for a kernel class.
    """
    operators = {plan.work: plan.operators for plan in plans}
    return {
        work: predict_work(kernels, machine, efficiency)
        for work, kernels in operators.items()
        if any(op.bytes for op in kernels)
    }


def predict_work(
    operators: Sequence[OperatorCost], machine: Machine, efficiency: Efficiency, launch: Launch = "graph"
) -> Prediction:
    """The prediction for kernels that run one after another.

    Args:
        operators: the kernels, in order.
        machine: where they run.
        efficiency: what kernels reach.
        launch: queued ahead in a graph, or launched and timed one by one.

    Raises:
        MachineError: as ``predictions``.
    """
    latency_s = operations_j = bytes_j = wrong_s = 0.0
    for op in operators:
        if not op.bytes:
            continue
        kernel = kernel_time(op, machine, efficiency, launch)
        latency_s += kernel.latency_s
        wrong_s += kernel.latency_s * _latency_error(kernel, known_here=efficiency.name == machine.name)
        bytes_j += op.bytes * machine.j_per_byte
        if op.flops:
            j_per_flop = machine.j_per_flop[rate_dtype(machine, op.dtype)]
            operations_j += op.flops * j_per_flop * kernel.quality.operations
    latency_error = wrong_s / latency_s
    capped_s = (operations_j + bytes_j) / (machine.tdp_w - machine.static_w)
    power_capped = capped_s > latency_s
    latency_s = max(latency_s, capped_s)
    energy = EnergySplit(operations_j, bytes_j, machine.static_w * latency_s)
    energy_error = _energy_error(energy, latency_error, machine, efficiency)
    return Prediction(latency_s, energy, latency_error, energy_error, power_capped)


def prediction_lines(
    predicted: Mapping[str, Prediction], labels: Mapping[str, str], machine: Machine, efficiency: Efficiency
) -> Iterator[str]:
    """Predictions as plain lines.

    Args:
        predicted: by work.
        labels: what to call each row -> its work; rows may share work.
        machine: what it was predicted for.
        efficiency: with which table.
    """
    yield f"predicted for {machine.title} ({machine.provenance}), kernel efficiencies: {efficiency.name}"
    width = max((len(label) for label in labels), default=4)
    yield f"{'case':{width}} {'latency [s]':>12} {'+-':>5} {'joules':>10} {'+-':>5} {'watts':>6}"
    for label, work in labels.items():
        p = predicted.get(work)
        if p is None:
            yield f"{label:{width}} nothing to predict: it has no kernels"
            continue
        yield (
            f"{label:{width}} {p.latency_s:12.4g} {p.latency_error:5.0%} {p.energy_per_iteration_j:10.4g} "
            f"{p.energy_error:5.0%} {p.power_w:6.0f}{' at the power limit' if p.power_capped else ''}"
        )


def transferred_latency_s(
    latency_s: float, flops: float, dtype: str, source: Machine, target: Machine, ceiling: float
) -> float:
    """Seconds on ``target`` of work that was measured on ``source``, without knowing its kernels.

    The FLOPs are taken to have run at the best rate the source is known to reach; that part of the time scales with
    the peaks. All the rest scales with the bandwidths.

    Args:
        latency_s: measured on ``source``.
        flops: of the same iteration.
        dtype: of the arithmetic.
        source: where it was measured.
        target: where it shall run.
        ceiling: best fraction of its peak the source reaches on whole workloads (``arithmetic_ceiling``).

    Raises:
        MachineError: a machine has no peak for ``dtype``.

    Source: ours. Judged in docs/prediction.md.
    """
    peak, target_peak = peak_for(source, dtype), peak_for(target, dtype)
    busy = min(1.0, flops / (ceiling * peak) / latency_s)
    return latency_s * (
        busy * peak / target_peak + (1 - busy) * source.bandwidth_bytes_per_s / target.bandwidth_bytes_per_s
    )


def arithmetic_ceiling(measured: Iterable[tuple[float, float]], dtype: str, machine: Machine) -> float:
    """The largest fraction of peak that any of some whole workloads reached; ``GOOD_PRODUCT`` if none reached that.

    Few workloads, or only such as memory bounds, do not show what the machine can reach.

    Args:
        measured: (flops, seconds) of each.
        dtype: of the arithmetic.
        machine: where they ran.

    Raises:
        MachineError: the machine has no peak for ``dtype``.
    """
    reached = (flops / seconds / peak_for(machine, dtype) for flops, seconds in measured)
    return max([GOOD_PRODUCT, *reached])


def _latency_error(kernel: KernelTime, *, known_here: bool) -> float:
    """Expected relative error of one kernel's seconds.

    The seconds of a chain are those of the boards it was fitted on, and no sheet scales them: away from there the share
    of the latency that is chain may be all wrong.
    """
    stated = kernel.quality.latency_error
    stated = UNJUDGED_ERROR if stated is None else stated
    return stated if known_here else max(stated, kernel.chain_s / kernel.latency_s)


def _energy_error(energy: EnergySplit, latency_error: float, machine: Machine, efficiency: Efficiency) -> float:
    """Cross-validated where sheet and table were fitted; else the sheet's doubt and the latency's, independent."""
    if machine.provenance == "fitted" and efficiency.energy_error is not None:
        return efficiency.energy_error
    static_share = energy.static_j / energy.total_j if energy.total_j else 0.0
    return float((UNIT_ENERGY_ERROR**2 + (static_share * latency_error) ** 2) ** 0.5)
