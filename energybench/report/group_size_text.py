"""How is a network's group size told? Plain lines for `model group-size --network` and for what a run measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from energybench.analysis.group_fit import CurveFit
from energybench.analysis.group_models import Optimum
from energybench.analysis.measured_group_size import LayerFit, NetworkOptimum
from energybench.analysis.network_group_size import Allocation, LayerOptima, NetworkAnswer
from energybench.report.quantities import has_interval

POOR = 0.1
"""Constants of a curve that leaves more than this over mean nothing."""


def network_group_size_lines(answer: NetworkAnswer) -> Iterator[str]:
    """Every possible allocation, constant g against constant G at equal MACs, each layer alone, and the models."""
    setting = answer.setting
    cap = f", capped at {setting.power_cap_w:g} W" if setting.power_cap_w is not None else ""
    yield f"{answer.network.title}, batch {setting.batch}, {setting.dtype}, on {setting.machine.name}{cap}"
    yield f"shapes: {answer.network.source}"
    yield ""
    yield "constant group size, then constant number of groups: MACs and params of the network, time and joules of"
    yield "its grouped layers; F: movement over that of a constant group size with the same MACs"
    yield (
        f"{'':>6} {'G_l':>9} {'MMACs':>9} {'Mparams':>8} {'G_eq':>8} {'F':>7} {'lanes':>6} {'time us':>9} "
        f"{'uJ/inference':>13} {'thesis':>8}"
    )
    yield from map(_allocation_line, answer.constant_size)
    yield ""
    yield from map(_allocation_line, answer.constant_groups)
    yield from _match_lines(answer)
    yield from _layer_lines(answer.layers)
    for optimum in answer.optima:
        yield ""
        yield from optimum_lines(optimum)


def measured_network_lines(found: Sequence[NetworkOptimum], *, simulated: bool = False) -> Iterator[str]:
    """What a run measured: the best constant group size, what cannot be told from it, the curve, and constant g."""
    if simulated and found:
        yield "SIMULATED, not measured"
    for number, optimum in enumerate(found):
        if number:
            yield ""
        yield f"{optimum.network}, batch {optimum.batch}, {optimum.dtype}: joules per inference of the grouped layers"
        for size, joules in zip(optimum.group_sizes, optimum.joules, strict=True):
            known = has_interval(joules.low, joules.high)
            ends = f"95 %: {joules.low:.5g} to {joules.high:.5g}" if known else "no interval: too few windows"
            yield f"  G = {size:<4} {joules.estimate:.5g} J   {ends}"
        alike = ", ".join(map(str, optimum.optimum.indistinguishable))
        yield f"  least at G = {optimum.optimum.group_size}; the best is among {{{alike}}} (95 %)"
        yield from _fit_lines(optimum)
        for other in optimum.at_equal_macs:
            yield (
                f"  {other.variant}: the MACs of G = {other.equivalent_group_size:.4g}, {other.ratio.estimate:.3f} x "
                f"the curve's joules there   95 %: {other.ratio.low:.3f} to {other.ratio.high:.3f}"
            )


def layer_fit_lines(fits: Sequence[LayerFit]) -> Iterator[str]:
    """The curve through each layer's group sizes: its constants, and G* where it has one inside."""
    told: set[tuple[float, ...]] = set()
    for found in fits:
        if found.fit.joules in told:
            continue  # networks that share a layer share its measurement
        told.add(found.fit.joules)
        yield f"{found.comparison}, C={found.channels}: joules per inference of the layer"
        yield from _curve_lines(found.fit)


def _allocation_line(a: Allocation) -> str:
    low, high = min(a.group_sizes), max(a.group_sizes)
    sizes = f"{low}" if low == high else f"{low}..{high}"
    return (
        f"{a.name:>6} {sizes:>9} {a.macs / 1e6:9.3f} {a.params / 1e6:8.4f} {a.fixed.equivalent_group_size:8.3f} "
        f"{a.fixed.penalty:7.4f} {a.computed_share:6.2f} {a.latency_s * 1e6:9.2f} {a.energy.total_j * 1e6:13.3f} "
        f"{a.thesis:8.1f}"
    )


def _match_lines(answer: NetworkAnswer) -> Iterator[str]:
    if not answer.matches:
        return
    yield ""
    yield "constant G over constant g where their MACs are nearest (below 1: the constant group size needs less)"
    yield f"{'g':>6} {'G':>5} {'MACs':>8} {'params':>8} {'joules':>8} {'time':>8}"
    for match in answer.matches:
        yield (
            f"{match.groups.value:6} {match.size.value:5} {match.macs_ratio:8.4f} {match.params_ratio:8.4f} "
            f"{match.energy_ratio:8.4f} {match.latency_ratio:8.4f}"
        )


def _layer_lines(layers: Sequence[LayerOptima]) -> Iterator[str]:
    yield ""
    yield "each layer alone; relative: group size of least movement at equal MACs over a constant one"
    yield (
        f"{'C':>6} {'size':>5} {'stride':>6} {'repeat':>6} {'knee':>8} {'thesis':>7} {'physical':>9} {'<= knee':>8} "
        f"{'relative':>9}"
    )
    for x in layers:
        at = "memory" if math.isinf(x.knee) else f"{x.knee:.2f}" if x.knee else "-"
        below = x.knee_choice if x.knee else "-"
        yield (
            f"{x.layer.channels:6} {x.layer.size:5} {x.layer.stride:6} {x.layer.repeat:6} {at:>8} {x.thesis_choice:7} "
            f"{x.physical_choice:9} {below:>8} {x.relative_group_size:9.3f}"
        )


def _fit_lines(optimum: NetworkOptimum) -> Iterator[str]:
    if optimum.fit is None:
        yield f"  no curve: {optimum.reason}"
    else:
        yield from _curve_lines(optimum.fit)


def _curve_lines(fit: CurveFit) -> Iterator[str]:
    if fit.relative_error > POOR:
        yield f"  does not follow E(G) = c0 + a G + b / G: {fit.relative_error:.0%} left over, nothing is read off it"
        return
    yield f"  E(G) = c0 + a G + b / G, left over {fit.relative_error:.1%}"
    for constant in fit.constants:
        if constant.value == 0:
            yield f"    {constant.name:3} the best fit leaves nothing for it"
        else:
            yield f"    {constant.name:3} {constant.value:.4g} J   95 %: {constant.low:.4g} to {constant.high:.4g}"
    if fit.optimum is None:
        yield "    no optimum inside: a or b is zero"
    else:
        best = fit.optimum
        yield f"    G* = sqrt(b / a) = {best.estimate:.3g}   95 %: {best.low:.3g} to {best.high:.3g}"


def optimum_lines(optimum: Optimum) -> Iterator[str]:
    """What one model picks, why, and what one must know before using it."""
    yield f"{optimum.name}: G = {optimum.choice}"
    yield f"  minimises {optimum.minimises}"
    if optimum.continuous is not None:
        yield f"  continuous optimum {optimum.continuous:.4g}, divisor choice {optimum.choice}"
    else:
        yield f"  no optimum inside: {optimum.reason}"
    for warning in optimum.warnings:
        yield f"  note: {warning}"
