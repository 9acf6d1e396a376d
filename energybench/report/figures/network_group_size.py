"""Which group size should a whole network have? Joules against group size, as modelled and as measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from energybench.analysis.group_models import Optimum
from energybench.analysis.measured_group_size import NetworkOptimum
from energybench.analysis.network_group_size import Allocation, NetworkAnswer
from energybench.report.figures.panels import grid, label, legend_below, log_axis, wrapped
from energybench.report.quantities import Scale, estimate, quantity, ratio, scale_for
from energybench.report.style import (
    APART,
    FOAM,
    HUES,
    INK,
    MUTED,
    WATER,
    Palette,
    family_of,
    plain,
    styled,
    title,
    whiskers,
)
from energybench.report.svg import mark

CONSTANT_SIZE, CONSTANT_GROUPS = HUES[0].light[0], HUES[1].light[0]
"""The hues that a study of the two gets, where no run with a palette of its own is drawn."""
MODELS = {"thesis": ("--", MUTED), "physical": ("-.", WATER), "knee": (":", INK)}
"""Line style and colour of each model's optimum."""

CAUSES = (("operations_j", "operations", WATER), ("bytes_j", "bytes", FOAM), ("static_j", "static x time", APART))
"""Field of ``EnergySplit``, its name and colour, from the bottom of the stack up."""


@styled
def network_group_size_figure(answer: NetworkAnswer) -> Figure:
    """Joules by cause, time and the thesis' cost against group size, constant g at the G of equal MACs, the optima.

    Args:
        answer: of ``network_group_size``.

    Raises:
        ValueError: the network's layers share fewer than two group sizes.
    """
    if len(answer.constant_size) < 2:
        raise ValueError("the network's layers share fewer than two group sizes")
    figure, axes = grid(1, 3, height_in=3.7)
    most = answer.constant_size[-1].value
    others = [a for a in answer.constant_groups if a.fixed.equivalent_group_size <= most * 1.2]
    _joules_panel(axes[0], answer.constant_size, others)
    _curve_panel(axes[1], answer.constant_size, others, "latency_s", "s", "time per iteration")
    _curve_panel(axes[2], answer.constant_size, others, "thesis", "", "cost per output element")
    for ax, optimum in zip(axes, (answer.physical, answer.knee, answer.thesis), strict=True):
        _mark(ax, optimum)
        _size_axis(ax, [a.value for a in answer.constant_size])
        ax.set_xlabel("group size G (log₂)")
    _legend(figure, others)
    setting = answer.setting
    cap = f", capped at {setting.power_cap_w:g} W" if setting.power_cap_w is not None else ""
    per_group = f", {quantity(setting.group_overhead_s, 's')} a group" if setting.group_overhead_s else ""
    below = f"{setting.machine.title}, batch {setting.batch}, {setting.dtype}{cap}{per_group} · modelled, not measured"
    title(figure, f"Group size of {answer.network.title}", subtitle=below)
    return figure


@styled
def measured_network_figure(
    optima: Sequence[NetworkOptimum],
    palette: Palette | None = None,
    *,
    subtitle: str = "",
    origin: str = "measured",
) -> Figure:
    """Measured joules of whole networks against group size, the fitted curve, the confidence set, constant g beside it.

    Args:
        optima: of ``network_optima``; at most three are drawn.
        palette: the run's palette; default: one of the variants drawn.
        subtitle: device and meter.
        origin: ``measured``, or what to mark the figure with: ``simulated``, ``modelled``.

    Raises:
        ValueError: there is none.
    """
    if not optima:
        raise ValueError("no network was measured at two constant group sizes")
    drawn = list(optima)[:3]
    figure, axes = grid(1, len(drawn), height_in=3.7, width_in=3.0 + 3.0 * min(len(drawn), 2) + 0.5 * (len(drawn) > 2))
    sized = [name for optimum in drawn for name in optimum.variants]
    grouped = [other.variant for optimum in drawn for other in optimum.at_equal_macs]
    palette = palette or Palette.of([*sized, *grouped])
    for ax, optimum in zip(axes, drawn, strict=True):
        _measured_panel(ax, optimum, palette)
        ax.set_xlabel("group size G (log₂)")
    handles: list[Line2D | Patch] = [
        _handle(palette, _usual(sized), "constant G (95 %)"),
        Line2D([], [], color=WATER, label="c₀ + a G + b / G, fitted (95 %)"),
        *(_handle(palette, name, "constant g, at the G of equal MACs") for name in grouped[:1]),
        Patch(color=FOAM, label="may be the best (95 %)"),
    ]
    legend_below(figure, handles, most=2 if len(drawn) == 1 else 4)
    title(figure, "Joules of whole networks against group size", subtitle=subtitle, origin=origin)
    return figure


def _usual(variants: Sequence[str]) -> str:
    """The first variant of the largest family: depthwise is a group size of 1, and a family of its own."""
    families = [family_of(variant) for variant in variants]
    return max(variants, key=lambda variant: families.count(family_of(variant)))


def _handle(palette: Palette, variant: str, text: str) -> Line2D:
    color, marker = palette.color(variant), palette.marker(variant)
    return Line2D([], [], color=color, marker=marker, linestyle="", label=text)


def _joules_panel(ax: Axes, sizes: Sequence[Allocation], others: Sequence[Allocation]) -> None:
    """Stacked bars a group size; constant g as marks at the group size of equal MACs."""
    scale = scale_for([a.energy.total_j for a in sizes], "J")
    places = np.array([float(a.value) for a in sizes])
    base = np.zeros(len(sizes))
    for field, _, color in CAUSES:
        heights = np.array([getattr(a.energy, field) for a in sizes]) * scale.factor
        left = places / 2**0.36
        ax.bar(left, heights, width=places * 2**0.36 - left, bottom=base, align="edge", color=color, linewidth=0)
        base += heights
    for a in others:
        height = a.energy.total_j * scale.factor
        ax.plot(a.fixed.equivalent_group_size, height, "s", color=CONSTANT_GROUPS, markersize=5, zorder=5)
        ax.annotate(
            str(a.value), (a.fixed.equivalent_group_size, height), xytext=(0, 4), textcoords="offset points",
            ha="center", va="bottom", size=7.5, color=CONSTANT_GROUPS,
        )  # fmt: skip
    ax.set_ylim(0, 1.18 * max([*base, *(a.energy.total_j * scale.factor for a in others)]))
    ax.set_ylabel(f"energy per inference ({scale.unit})")
    ax.grid(visible=False, axis="x")


def _curve_panel(
    ax: Axes, sizes: Sequence[Allocation], others: Sequence[Allocation], field: str, unit: str, name: str
) -> None:
    ax.plot([a.value for a in sizes], [getattr(a, field) for a in sizes], "o-", color=CONSTANT_SIZE, markersize=4)
    for a in others:
        ax.plot(a.fixed.equivalent_group_size, getattr(a, field), "s", color=CONSTANT_GROUPS, markersize=5, zorder=5)
    ax.margins(y=0.15)
    log_axis(ax, unit, axis="y", ticks=4)
    ax.set_ylabel(f"{name} ({unit}, log)" if unit else f"{name} (MACs, log)")


def _mark(ax: Axes, optimum: Optimum) -> None:
    """The model's continuous optimum as a line, its choice in words above the panel."""
    style, color = MODELS[optimum.name]
    low, high = ax.get_xlim()
    if optimum.continuous is not None and low < optimum.continuous < 2 * high:
        ax.axvline(optimum.continuous, color=color, linestyle=style, linewidth=1.3, zorder=1.5)
    at = "" if optimum.continuous is None else f" (G* = {optimum.continuous:.3g})"
    ax.set_title(f"{optimum.name}: G = {optimum.choice}{at}", size=9)


def _measured_panel(ax: Axes, optimum: NetworkOptimum, palette: Palette) -> None:
    scale = scale_for([j.estimate for j in optimum.joules], "J")
    alike = optimum.optimum.indistinguishable
    ax.axvspan(min(alike) / 1.19, max(alike) * 1.19, color=FOAM, alpha=0.8, linewidth=0, zorder=0)
    _fitted_curve(ax, optimum, scale)
    for size, variant, joules in zip(optimum.group_sizes, optimum.variants, optimum.joules, strict=True):
        low, high, color = joules.low * scale.factor, joules.high * scale.factor, palette.color(variant)
        tip = f"{variant}: G = {size}\nenergy per inference {estimate(joules.estimate, joules.low, joules.high, 'J')}"
        whiskers(ax, size, joules.estimate * scale.factor, low=low, high=high, color=color, horizontal=False)
        ax.plot(size, joules.estimate * scale.factor, palette.marker(variant), color=color, markersize=5, zorder=4,
                gid=mark("", tip))  # fmt: skip
    for other in optimum.at_equal_macs:
        height, color = other.joules * scale.factor, palette.color(other.variant)
        over = ratio(other.ratio.estimate, other.ratio.low, other.ratio.high)
        tip = (
            f"{other.variant}: the MACs of G = {other.equivalent_group_size:.3g}\nenergy per inference "
            f"{quantity(other.joules, 'J', 4)}, {over} of the curve there"
        )
        ax.plot(other.equivalent_group_size, height, palette.marker(other.variant), color=color, markersize=5, zorder=5,
                gid=mark("", tip))  # fmt: skip
        ax.annotate(
            f"g={other.groups} ×{other.ratio.estimate:.2f}", (other.equivalent_group_size, height), xytext=(-4, 4),
            textcoords="offset points", ha="right", va="bottom", size=7.5, color=palette.text(other.variant),
        )  # fmt: skip
    _size_axis(ax, optimum.group_sizes)
    ax.margins(y=0.2)
    ax.set_ylabel(f"energy per inference ({scale.unit})")
    where = f"{plain(optimum.network, 40)}, batch {optimum.batch}, {optimum.dtype}"
    ax.set_title(wrapped(where, 44), size=9)


def _fitted_curve(ax: Axes, optimum: NetworkOptimum, scale: Scale) -> None:
    fit = optimum.fit
    if fit is None:
        return
    sizes = np.geomspace(optimum.group_sizes[0], optimum.group_sizes[-1], 80)
    found = [fit.at(float(G)) for G in sizes]
    low, high = ([getattr(f, end) * scale.factor for f in found] for end in ("low", "high"))
    ax.fill_between(sizes, low, high, color=WATER, alpha=0.15, linewidth=0, zorder=1)
    ax.plot(sizes, [f.estimate * scale.factor for f in found], color=WATER, zorder=2)
    best = fit.optimum
    if best is not None and sizes[0] < best.estimate < sizes[-1]:
        ax.axvline(best.estimate, color=WATER, linestyle="-.", linewidth=1.2, zorder=1.5)
        words = f" G* = {best.estimate:.2g} [{best.low:.2g}, {best.high:.2g}]"
        label(
            ax, best.estimate, 0.97, words, color=WATER, ha="left", va="top", size=7.5,
            transform=ax.get_xaxis_transform(),
        )  # fmt: skip


def _size_axis(ax: Axes, sizes: Sequence[int]) -> None:
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(FixedLocator([float(s) for s in sizes]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xlim(min(sizes) / 1.5, max(sizes) * 1.6)


def _legend(figure: Figure, others: Sequence[Allocation]) -> None:
    handles: list[Line2D | Patch] = [Patch(color=color, label=name) for _, name, color in CAUSES]
    handles.append(Line2D([], [], color=CONSTANT_SIZE, marker="o", markersize=4, label="constant G"))
    if others:
        name = "constant g (its number), at the G of equal MACs"
        handles.append(Line2D([], [], color=CONSTANT_GROUPS, marker="s", linestyle="", label=name))
    handles.append(Line2D([], [], color=MUTED, linestyle="--", label="the model's optimum"))
    legend_below(figure, handles)
