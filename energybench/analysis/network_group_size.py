"""Which group size should all layers of a network share, and what does a fixed number of groups cost instead?

For every constant group size (E2GC) and every constant number of groups (FgGC) a network's layers can have: MACs,
parameters, seconds and joules of its grouped layers on a machine, and the fixed-MAC penalty F of ``allocation``. The
three models of ``group_size`` answer for the whole network, and for each layer alone.

Source: ours. Of E2GC (arXiv 2006.15100) only the abstract was available; nothing here may be presented as the paper's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from energybench.analysis.allocation import (
    FixedMacs,
    LinearPlusInverse,
    divisor_choice,
    divisors,
    fixed_macs,
    optimal_allocation,
)
from energybench.analysis.group_energy import GroupedShape, knee
from energybench.analysis.group_models import BETA_OVER_ALPHA, Optimum, limit_warning
from energybench.analysis.grouped_layer_energy import Setting, layer_knee, layer_run, least_joules
from energybench.analysis.network_shapes import GroupedNetwork, NetworkLayer
from energybench.machine import EnergySplit, rate_dtype


@dataclass(frozen=True)
class Allocation:
    """One way to group all layers of a network, and what its grouped layers take.

    Attributes:
        name: ``G=8`` or ``g=32``.
        value: the constant group size or number of groups.
        group_sizes: of each layer of the table.
        macs: of one inference, all layers of the network.
        params: of the network, batch norms left out.
        grouped_macs: of one inference, grouped layers only.
        computed_share: MACs the lanes compute over those needed; 1 without waste.
        fixed: equivalent group size and penalty F.
        thesis: movement and work per output element, in MACs (thesis model).
        latency_s: seconds per iteration of the grouped layers.
        energy: joules per inference of the grouped layers.
    """

    name: str
    value: int
    group_sizes: tuple[int, ...]
    macs: int
    params: int
    grouped_macs: int
    computed_share: float
    fixed: FixedMacs
    thesis: float
    latency_s: float
    energy: EnergySplit


@dataclass(frozen=True)
class Match:
    """A constant number of groups and the constant group size with the MACs nearest to its own."""

    groups: Allocation
    size: Allocation

    @property
    def macs_ratio(self) -> float:
        """MACs of the network with the constant group size over those with the constant number of groups."""
        return self.size.macs / self.groups.macs

    @property
    def params_ratio(self) -> float:
        """The same for parameters."""
        return self.size.params / self.groups.params

    @property
    def energy_ratio(self) -> float:
        """The same for joules of the grouped layers, as modelled."""
        return self.size.energy.total_j / self.groups.energy.total_j

    @property
    def latency_ratio(self) -> float:
        """The same for seconds of the grouped layers, as modelled."""
        return self.size.latency_s / self.groups.latency_s


@dataclass(frozen=True)
class LayerOptima:
    """What the models say of one layer alone, free to choose among the divisors of its own width.

    Attributes:
        layer: the layer.
        knee: at this batch, stride counted; inf where memory is the bound at every group size.
        thesis_choice: thesis model.
        physical_choice: least joules.
        knee_choice: largest divisor not above the knee.
        relative_group_size: the group size with the least movement at equal MACs, over the constant one: above 1 in
            strided layers, which read more than they write.
    """

    layer: NetworkLayer
    knee: float
    thesis_choice: int
    physical_choice: int
    knee_choice: int
    relative_group_size: float


@dataclass(frozen=True)
class NetworkAnswer:
    """A network's group size, by every model.

    Attributes:
        network: the network.
        setting: where it runs.
        constant_size: every possible constant group size, ascending.
        constant_groups: every possible constant number of groups, ascending.
        matches: each number of groups with its group size of nearest MACs.
        layers: each layer alone.
        thesis: arithmetic against inverse reuse.
        physical: joules.
        knee: roofline knee.
    """

    network: GroupedNetwork
    setting: Setting
    constant_size: tuple[Allocation, ...]
    constant_groups: tuple[Allocation, ...]
    matches: tuple[Match, ...]
    layers: tuple[LayerOptima, ...]
    thesis: Optimum
    physical: Optimum
    knee: Optimum

    @property
    def optima(self) -> tuple[Optimum, Optimum, Optimum]:
        """The models' answers, for a table."""
        return self.thesis, self.physical, self.knee


def network_group_size(
    network: GroupedNetwork, setting: Setting, *, beta_over_alpha: float = BETA_OVER_ALPHA
) -> NetworkAnswer:
    """What each model says about a whole network.

    Args:
        network: its grouped layers.
        setting: machine, batch, data type, cost per group, power cap.
        beta_over_alpha: weight of inverse reuse over that of a MAC (thesis model).
    """
    values = network.group_sizes
    sizes = tuple(
        _allocation(f"G={G}", G, [G] * len(network.layers), network, setting, beta_over_alpha) for G in values
    )
    groups = tuple(
        _allocation(f"g={g}", g, [x.channels // g for x in network.layers], network, setting, beta_over_alpha)
        for g in values
    )
    return NetworkAnswer(
        network=network,
        setting=setting,
        constant_size=sizes,
        constant_groups=groups,
        matches=tuple(Match(a, _nearest(a, sizes)) for a in groups if _inside(a, sizes)),
        layers=_layer_optima(network, setting, beta_over_alpha),
        thesis=_thesis(network, beta_over_alpha),
        physical=_physical(network, setting, sizes),
        knee=_knee(network, setting),
    )


def _allocation(
    name: str, value: int, group_sizes: Sequence[int], network: GroupedNetwork, setting: Setting, beta: float
) -> Allocation:
    pairs = list(zip(network.layers, group_sizes, strict=True))
    runs = [(layer.repeat, layer_run(layer, G, setting)) for layer, G in pairs]
    grouped = round(sum(layer.repeat * layer.macs(G, 1) for layer, G in pairs))
    fixed = fixed_macs(network.stages, [float(G) for G in group_sizes])
    area = network.layers[0].kernel_size ** 2
    joules = sum((run.energy.scaled(n / setting.batch) for n, run in runs), start=EnergySplit(0.0, 0.0, 0.0))
    return Allocation(
        name=name,
        value=value,
        group_sizes=tuple(group_sizes),
        macs=grouped + network.other_macs,
        params=round(sum(layer.repeat * layer.params(G) for layer, G in pairs)) + network.other_params,
        grouped_macs=grouped,
        computed_share=sum(n * run.computed_macs for n, run in runs) / (setting.batch * grouped),
        fixed=fixed,
        thesis=area * fixed.equivalent_group_size + 2 * beta / area * fixed.mean_inverse,
        latency_s=sum(n * run.latency_s for n, run in runs),
        energy=joules,
    )


def _nearest(groups: Allocation, sizes: Sequence[Allocation]) -> Allocation:
    wanted = math.log(groups.fixed.equivalent_group_size)
    return min(sizes, key=lambda a: abs(math.log(a.value) - wanted))


def _inside(groups: Allocation, sizes: Sequence[Allocation]) -> bool:
    """Whether a constant group size comes near its MACs: within half a step of the possible ones."""
    return abs(math.log2(groups.fixed.equivalent_group_size / _nearest(groups, sizes).value)) <= 0.5


def _layer_optima(network: GroupedNetwork, setting: Setting, beta: float) -> tuple[LayerOptima, ...]:
    movement = [x.stage.output_elements * (1 + x.stride**2) / 2 for x in network.layers]
    free = optimal_allocation(network.stages, 1.0, movement)
    found = []
    for layer, relative in zip(network.layers, free, strict=True):
        feasible = divisors(layer.channels)
        at = layer_knee(layer, setting)
        joules = [layer_run(layer, G, setting).energy.total_j for G in feasible]
        found.append(
            LayerOptima(
                layer=layer,
                knee=at,
                thesis_choice=divisor_choice(_thesis_curve(layer.kernel_size, beta), feasible),
                physical_choice=feasible[joules.index(min(joules))],
                knee_choice=max((G for G in feasible if at >= G), default=1),
                relative_group_size=relative,
            )
        )
    return tuple(found)


def _thesis_curve(kernel_size: int, beta: float) -> LinearPlusInverse:
    return LinearPlusInverse(0.0, float(kernel_size**2), 2 * beta / kernel_size**2)


def _thesis(network: GroupedNetwork, beta: float) -> Optimum:
    curve = _thesis_curve(network.layers[0].kernel_size, beta)
    return Optimum(
        name="thesis",
        minimises="MACs plus weighted inverse reuse per output element: width and size drop out, one G for all layers",
        continuous=curve.optimum,
        reason="" if curve.optimum else "one of the two opposing costs is zero",
        choice=divisor_choice(curve, network.group_sizes),
        warnings=(
            "reconstruction, ours: the paper's equations were not available",
            f"beta / alpha = {beta:g} is a chosen weight, not a measured one; the optimum follows from it",
            "inputs of strided layers are counted like outputs here",
        ),
    )


def _physical(network: GroupedNetwork, setting: Setting, sizes: Sequence[Allocation]) -> Optimum:
    joules = [a.energy.total_j for a in sizes]
    continuous, reason = None, "without a cost per group joules only rise with G (but for steps of whole lanes)"
    if setting.group_overhead_s > 0:
        continuous, reason = least_joules(network.layers, setting, network.group_sizes[-1]), ""
    warnings = []
    machine = setting.machine
    if machine.provenance == "data sheet":
        warnings.append(f"unit energies and static power of {machine.name} are assumed, +-30 % at best")
    launches_s = machine.launch_s * sum(x.repeat for x in network.layers)
    if launches_s > 0.5 * min(a.latency_s for a in sizes):
        warnings.append(
            f"launches ({launches_s:.2g} s) are most of the latency at small group sizes: the choice matters little"
        )
    return Optimum(
        name="physical",
        minimises="joules per inference of the grouped layers: operations, bytes, static power for as long as it takes",
        continuous=continuous,
        reason=reason,
        choice=sizes[joules.index(min(joules))].value,
        warnings=tuple(warnings),
    )


def _knee(network: GroupedNetwork, setting: Setting) -> Optimum:
    first = network.layers[0]
    shape = GroupedShape(first.channels, first.size, first.kernel_size, setting.batch, setting.dtype)
    at = knee(shape, setting.machine, setting.power_cap_w)
    knees = [layer_knee(layer, setting) for layer in network.layers]
    below = [G for G in network.group_sizes if at >= G]
    ends = dict.fromkeys(map(_words, (min(knees), max(knees))))
    warnings = [f"at this batch the layers' own knees: {' to '.join(ends)}"]
    native = rate_dtype(setting.machine, setting.dtype)
    if native != setting.dtype:
        warnings.append(f"{setting.machine.name} has no peak for {setting.dtype}: that of {native} is used")
    if setting.power_cap_w is None:
        warnings += limit_warning(at, knee(shape, setting.machine, setting.machine.tdp_w), setting.machine)
    return Optimum(
        name="knee",
        minimises="time per MAC: up to the knee more arithmetic costs no time, because memory is the bound",
        continuous=at or None,
        reason="" if at else "moving the bytes alone takes all the power that the cap leaves",
        choice=below[-1] if below else network.group_sizes[0],
        warnings=tuple(warnings),
    )


def _words(knee_at: float) -> str:
    if knee_at == 0:
        return "none (at the power cap already for its bytes)"
    return "none (bound by memory at every group size)" if math.isinf(knee_at) else f"{knee_at:.3g}"
