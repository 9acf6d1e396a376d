"""Which group size does each analytic model pick? The three models, one function and one answer each.

All are reconstructions or derivations of ours (see ``group_size``): none may be presented as the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from energybench.analysis.allocation import LinearPlusInverse, divisor_choice
from energybench.analysis.group_energy import (
    GroupedKernel,
    GroupedShape,
    energy_optimum,
    group_energy_j,
    group_latency_s,
    knee,
    knee_of_batch,
    roofline_s,
)
from energybench.machine import EnergySplit, Machine, rate_dtype

BETA_OVER_ALPHA = 2592.0
"""Weight of inverse reuse over that of a MAC in the thesis model. Chosen by us so that 3x3 filters get G = 8: it
restates the thesis and confirms nothing."""


EARLIER = 0.95
"""A power limit that leaves more than this of the knee is not worth a word."""


@dataclass(frozen=True)
class Optimum:
    """Where one model says the least lies.

    Attributes:
        name: of the model.
        minimises: what, in one sentence.
        continuous: optimum over real G, None where the model has none inside 1 .. C.
        reason: why there is none; empty where there is one.
        choice: the group size the model picks among the feasible ones.
        warnings: what one must know before using it.
    """

    name: str
    minimises: str
    continuous: float | None
    reason: str
    choice: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class ThesisAnswer:
    """Arithmetic against inverse reuse: a reconstruction, ours, not confirmed by the paper.

    Attributes:
        optimum: G* = sqrt(2 beta / alpha) / K^2, the same for every width and size.
        cost: at each feasible group size, per inference and output element, in units of one MAC.
    """

    optimum: Optimum
    cost: tuple[float, ...]


@dataclass(frozen=True)
class PhysicalAnswer:
    """Joules on a machine: a reconstruction, ours, not the paper's.

    Attributes:
        optimum: least joules per inference.
        choice_per_mac: feasible group size with the least joules per MAC.
        energy: joules per inference at each feasible group size, by cause.
        latency_s: seconds per iteration there.
        energy_per_mac_j: joules per MAC there.
        kernel: how the hardware is assumed to run it.
    """

    optimum: Optimum
    choice_per_mac: int
    energy: tuple[EnergySplit, ...]
    latency_s: tuple[float, ...]
    energy_per_mac_j: tuple[float, ...]
    kernel: GroupedKernel


@dataclass(frozen=True)
class KneeAnswer:
    """Up to where arithmetic is free in time: a reconstruction, ours, not the paper's.

    Attributes:
        optimum: knee for large batches, b rho / K^2; the choice is the largest feasible group size not above it.
        knee_of_batch: knee at this size and batch; None where memory is the bound at every group size.
        latency_s: roofline seconds per iteration at each feasible group size, without launch or cost per group.
    """

    optimum: Optimum
    knee_of_batch: float | None
    latency_s: tuple[float, ...]


def thesis_model(
    shape: GroupedShape, group_sizes: Sequence[int], beta_over_alpha: float = BETA_OVER_ALPHA
) -> ThesisAnswer:
    """Least of K^2 G + (beta / alpha) / reuse per output element: a reconstruction, ours.

    Args:
        shape: the layer.
        group_sizes: feasible ones, ascending.
        beta_over_alpha: weight of inverse reuse over that of a MAC.
    """
    area = shape.kernel_size**2
    curve = LinearPlusInverse(beta_over_alpha / shape.positions, area, 2 * beta_over_alpha / area)
    continuous, reason = _inside(curve.optimum, shape.channels)
    optimum = Optimum(
        name="thesis",
        minimises="MACs plus weighted inverse reuse per output element, so that neither work nor movement dominates",
        continuous=continuous,
        reason=reason,
        choice=divisor_choice(curve, group_sizes),
        warnings=(
            "reconstruction, ours: the paper's equations were not available",
            f"beta / alpha = {beta_over_alpha:g} is a chosen weight, not a measured one; the optimum follows from it",
        ),
    )
    return ThesisAnswer(optimum, tuple(curve.at(G) for G in group_sizes))


def physical_model(
    shape: GroupedShape, group_sizes: Sequence[int], machine: Machine, kernel: GroupedKernel
) -> PhysicalAnswer:
    """Least joules per inference on a machine: a reconstruction, ours.

    Args:
        shape: the layer.
        group_sizes: feasible ones, ascending.
        machine: where it runs.
        kernel: lanes and cost per group.

    Raises:
        MachineError: the machine has no peak for the layer's data type.
    """
    energies = [group_energy_j(shape, G, machine, kernel) for G in group_sizes]
    per_mac = [energy.total_j / shape.macs(G) for G, energy in zip(group_sizes, energies, strict=True)]
    latency_s = tuple(group_latency_s(shape, G, machine, kernel) for G in group_sizes)
    if kernel.group_overhead_s > 0:
        continuous, reason = _inside(energy_optimum(shape, machine, kernel), shape.channels)
    else:
        continuous, reason = (
            None,
            (
                "without a cost per group joules per inference only rise with G, and joules per MAC only fall "
                "(but for steps of whole lanes)"
            ),
        )
    optimum = Optimum(
        name="physical",
        minimises="joules per inference: operations, bytes, and static power for as long as it takes",
        continuous=continuous,
        reason=reason,
        choice=_least(group_sizes, [energy.total_j for energy in energies]),
        warnings=(*_machine_warnings(shape, machine), *_energy_warnings(machine, max(latency_s))),
    )
    return PhysicalAnswer(
        optimum=optimum,
        choice_per_mac=_least(group_sizes, per_mac),
        energy=tuple(energy.scaled(1 / shape.batch) for energy in energies),
        latency_s=latency_s,
        energy_per_mac_j=tuple(per_mac),
        kernel=kernel,
    )


def knee_model(
    shape: GroupedShape, group_sizes: Sequence[int], machine: Machine, power_cap_w: float | None = None
) -> KneeAnswer:
    """Largest group size whose arithmetic still hides behind memory: a reconstruction, ours.

    Args:
        shape: the layer.
        group_sizes: feasible ones, ascending.
        machine: where it runs.
        power_cap_w: power limit; None: none is counted, and a warning says where the board's own would end it.

    Raises:
        MachineError: the machine has no peak for the layer's data type.
    """
    at, at_batch = knee(shape, machine, power_cap_w), knee_of_batch(shape, machine)
    below = [G for G in group_sizes if at >= G]
    warnings = list(_machine_warnings(shape, machine))
    if at == 0:
        warnings.append(f"moving the bytes alone takes all of {power_cap_w:g} W: there is no knee under this cap")
    elif not below:
        warnings.append(f"every feasible group size is above the knee at {at:.3g}: arithmetic is the bound throughout")
    if at_batch is None:
        warnings.append("at this size and batch weights keep the layer bound by memory at every group size")
    elif power_cap_w is None and at_batch > 1.1 * at:
        warnings.append(f"at this size and batch weights move the knee from {at:.3g} to {at_batch:.3g}")
    if power_cap_w is None:
        warnings += limit_warning(at, knee(shape, machine, machine.tdp_w), machine)
    continuous, reason = _inside(at, shape.channels)
    optimum = Optimum(
        name="knee",
        minimises="time per MAC: up to the knee more arithmetic costs no time, because memory is the bound",
        continuous=continuous,
        reason=reason,
        choice=below[-1] if below else group_sizes[0],
        warnings=tuple(warnings),
    )
    return KneeAnswer(optimum, at_batch, tuple(roofline_s(shape, G, machine) for G in group_sizes))


def limit_warning(at: float, at_limit: float, machine: Machine) -> list[str]:
    """Where the board's own power limit would end the knee by the sheet's joules, if it would: it is not counted."""
    if at_limit > EARLIER * at:
        return []
    ends = f"end it at {at_limit:.3g}" if at_limit > 0 else "leave none"
    known = "assumed to +-30 % at best" if machine.provenance == "data sheet" else "those that were measured or fitted"
    return [
        f"by the sheet's joules ({known}) the board's own limit of {machine.tdp_w:g} W would {ends}; "
        f"it is not counted here, --power-cap {machine.tdp_w:g} counts it"
    ]


def _inside(optimum: float | None, channels: int) -> tuple[float | None, str]:
    """The optimum if it lies inside 1 .. C, or None and why not."""
    if optimum is None:
        return None, "one of the two opposing costs is zero"
    if 1 < optimum < channels:
        return optimum, ""
    end = "at or below G = 1" if optimum <= 1 else f"at or above G = C = {channels}"
    return None, f"its optimum ({optimum:.3g}) lies {end}, so the end of the range is picked"


def _least(group_sizes: Sequence[int], values: Sequence[float]) -> int:
    """The group size with the least value; the smaller one of a tie."""
    return min(zip(values, group_sizes, strict=True))[1]


def _machine_warnings(shape: GroupedShape, machine: Machine) -> list[str]:
    warnings = []
    native = rate_dtype(machine, shape.dtype)
    if native != shape.dtype:
        warnings.append(f"{machine.name} has no {shape.dtype} rate: the {native} rate is used")
    if native not in {"float32", "float64"}:
        warnings.append("assumes full use of the tensor cores, which today's grouped kernels do not reach")
    return warnings


def _energy_warnings(machine: Machine, longest_s: float) -> list[str]:
    warnings = []
    if machine.provenance == "data sheet":
        warnings.append(f"unit energies and static power of {machine.name} are assumed, +-30 % at best")
    if machine.launch_s > longest_s / 2:
        warnings.append(
            f"the launch ({machine.launch_s:.2g} s) is most of the latency at every group size: "
            "at this batch the choice hardly matters"
        )
    return warnings
