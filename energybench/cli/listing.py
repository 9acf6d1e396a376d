"""What is there, and what would be done? Plain lines for `list`, `show`, `machines`, `model` and `run --dry-run`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from energybench.analysis.group_size import group_size_models
from energybench.errors import EnergyBenchError
from energybench.machine import load_machine, machine_table
from energybench.planner import EDGES, MIN_ITERATIONS, NOISE, TOGETHER, percent
from energybench.report.group_size_text import network_group_size_lines, optimum_lines
from energybench.suite import Suite, list_suites, parse_duration_s
from energybench.suite.cases import expand

if TYPE_CHECKING:
    from energybench.planner import Plan
    from energybench.session import Station, Study


def listing(suite: Suite, *, quick: bool = False) -> str:
    """A suite's variants, axes, cases and skips as text."""
    cases, skipped = expand(suite, quick=quick)
    lines = [f"{suite.name}: {suite.about}", f"baseline: {suite.baseline}", "", "variants"]
    for name, variant in suite.variants.items():
        pair = f", matched in MACs with {variant.pair}" if variant.pair else ""
        lines.append(f"  {name}: {variant.layer}{pair}")
    lines += ["", "axes"]
    for axis, entries in suite.entries.items():
        lines.append(f"  {axis}: {len(entries)}")
        lines += [f"    {' '.join(f'{k}={v}' for k, v in entry.items())}" for entry in entries]
    lines += ["", f"cases: {len(cases)}"]
    lines += [f"  {case.id}" for case in cases]
    if skipped:
        lines += ["", f"skipped: {len(skipped)}"]
        lines += [f"  {s.case_id}: {s.because}" for s in skipped]
    return "\n".join(lines)


def suite_lines(width: int | None = None) -> Iterator[str]:
    """One line a shipped suite: its name, cases and question, cut to ``width`` where a terminal has one."""
    suites = list_suites()
    longest = max(len(suite.name) for suite in suites)
    for suite in suites:
        line = f"{suite.name:{longest}} {len(expand(suite)[0]):5} cases  {suite.about}"
        yield line if width is None or len(line) <= width else f"{line[: width - 1].rstrip()}…"


def machine_lines() -> Iterator[str]:
    """One line a machine sheet."""
    yield f"{'machine':16} {'fp32':>7} {'fp16':>7} TFLOP/s {'GB/s':>7} {'W':>5}  title"
    for machine in machine_table():
        fp32, fp16 = (machine.peak_flops_per_s.get(d) for d in ("float32", "float16"))
        yield (
            f"{machine.name:16} {_tera(fp32):>7} {_tera(fp16):>7}         "
            f"{machine.bandwidth_bytes_per_s / 1e9:7.0f} {machine.tdp_w:5.0f}  {machine.title}"
        )


def group_size_lines(
    *,
    channels: int,
    size: int,
    kernel: int,
    batch: int,
    dtype: str,
    machine: str,
    group_overhead: str | None,
    power_cap_w: float | None,
) -> Iterator[str]:
    """Every named model's answer for one layer, with its curve over the feasible group sizes."""
    overhead_s = _overhead_s(group_overhead)
    answer = group_size_models(
        channels=channels,
        size=size,
        kernel=kernel,
        batch=batch,
        dtype=dtype,
        machine=load_machine(machine),
        group_overhead_s=overhead_s,
        power_cap_w=power_cap_w,
    )
    cap = f", capped at {power_cap_w:g} W" if power_cap_w is not None else ""
    yield (
        f"grouped {kernel}x{kernel} convolution, C={channels}, {size}x{size}, batch {batch}, {dtype}, on {machine}{cap}"
    )
    yield ""
    heads = f"{'G':>5} {'g':>5} {'MACs':>14} {'MACs/elem':>10} {'time us':>9} {'uJ/inference':>13}"
    yield f"{heads} {'pJ/MAC':>8} {'thesis':>9}"
    for i, G in enumerate(answer.group_sizes):
        joules = answer.physical.energy[i].total_j
        yield (
            f"{G:5} {channels // G:5} {answer.macs[i]:14,} {answer.reuse[i]:10.3f} "
            f"{answer.physical.latency_s[i] * 1e6:9.3f} {joules * 1e6:13.3f} "
            f"{answer.physical.energy_per_mac_j[i] * 1e12:8.3f} {answer.thesis.cost[i]:9.1f}"
        )
    for optimum in answer.optima:
        yield ""
        yield from optimum_lines(optimum)
    yield f"  least joules per MAC at G = {answer.physical.choice_per_mac}"


def network_lines(
    *,
    network: str,
    batch: int,
    dtype: str,
    machine: str,
    group_overhead: str | None,
    power_cap_w: float | None,
    figures: Path | None = None,
) -> Iterator[str]:
    """Every model's answer for a whole network, layer by layer and in all; drawn into ``figures``, too."""
    from energybench.analysis.grouped_layer_energy import Setting
    from energybench.analysis.network_group_size import network_group_size
    from energybench.analysis.network_shapes import grouped_network

    setting = Setting(load_machine(machine), batch, dtype, _overhead_s(group_overhead), power_cap_w)
    answer = network_group_size(grouped_network(network), setting)
    yield from network_group_size_lines(answer)
    if figures is not None:
        from energybench.report.figures.models import network_figures

        yield from _drawn(network_figures(answer, figures))


def layer_figure_lines(
    *,
    channels: int,
    size: int,
    kernel: int,
    batch: int,
    dtype: str,
    machine: str,
    group_overhead: str | None,
    power_cap_w: float | None,
    figures: Path,
) -> Iterator[str]:
    """Draw the knees of all machines and what moves a layer's optimum; where the figures are."""
    from energybench.analysis.grouped_layer_energy import Setting
    from energybench.analysis.network_shapes import NetworkLayer
    from energybench.report.figures.models import layer_figures

    setting = Setting(load_machine(machine), batch, dtype, _overhead_s(group_overhead), power_cap_w)
    yield from _drawn(layer_figures(NetworkLayer(channels, size, kernel_size=kernel), setting, figures))


def _drawn(paths: Iterable[Path]) -> Iterator[str]:
    yield ""
    yield from (f"figure {path}" for path in paths if path.suffix == ".svg")


def _overhead_s(text: str | None) -> float:
    try:
        return parse_duration_s(text) if text else 0.0
    except ValueError as error:
        raise EnergyBenchError(str(error), where="--group-overhead") from error


def study_lines(study: Study, station: Station) -> Iterator[str]:
    """What `run` would do: cases, shared work, skips, windows, minutes and joules."""
    plan = study.plan
    facts = station.device.facts
    yield f"{study.suite.name} on {facts.title} ({facts.name}), meter {station.meter.name}"
    if station.capabilities.energy_reason:
        yield f"no joules: {station.capabilities.energy_reason}"
    yield f"{len(study.cases)} cases in {len(study.measured_as)} comparisons, {study.works} distinct measurements"
    yield from plan_lines(plan)
    joules = "" if study.estimate.energy_j is None else f", about {study.estimate.energy_j / 1e3:.3g} kJ"
    yield f"about {study.estimate.duration_s / 60:.1f} min{joules}"
    yield ""
    for comparison, members in groupby(study.cases, key=lambda p: p.case.comparison):
        where = study.measured_as[comparison]
        yield comparison if where == comparison else f"{comparison}   (the same work as {where})"
        first: dict[str, str] = {}
        for plan_of_case in members:
            variant = plan_of_case.case.variant
            same = first.setdefault(plan_of_case.work, variant)
            shared = "" if same == variant else f"   (the same work as {same})"
            yield f"  {variant:24} {plan_of_case.macs:16,} MACs {plan_of_case.compulsory_bytes:14,} bytes{shared}"
            if plan_of_case.unknown and same == variant:
                yield f"    not counted: {', '.join(plan_of_case.unknown)}"
    if study.skipped:
        yield ""
        yield f"skipped: {len(study.skipped)}"
        for skipped in study.skipped:
            yield f"  {skipped.case_id}: {skipped.because}"


def plan_lines(plan: Plan) -> Iterator[str]:
    """How many windows, how long, which term ruled their length, and how precise the sensor lets them be."""
    yield f"windows: {plan.windows} x {plan.window_s:.3g} s ({plan.rule}), wanted precision {percent(plan.precision)}"
    if plan.error is None:
        return
    error, together = plan.error, plan.terms[TOGETHER]
    inside = {
        EDGES: f"0.776 T_eff/e; T_eff {error.edge_s:.3g} s, e {percent(error.halfwidth(together))}",
        NOISE: f"tau T (1.96c/e)^2; tau {error.tau:.2f}, T {error.refresh_s:.3g} s, c {percent(error.noise)}",
        TOGETHER: "their variances added",
    }
    yield "a window lasts at least"
    if plan.rule not in plan.terms:
        yield f"  > {plan.window_s:7.3g} s  {plan.rule}"
    for term, length_s in sorted(plan.terms.items(), key=lambda item: -item[1]):
        how = inside.get(term, "")
        yield f"  {'>' if term == plan.rule else ' '} {length_s:7.3g} s  {term}{': ' + how if how else ''}"
    if plan.iterations_s is not None:
        yield f"    {plan.iterations_s:7.3g} s  {MIN_ITERATIONS} iterations of the longest case, in its own windows"
    yield (
        f"the sensor may leave +-{percent(plan.window_halfwidth or 0.0)} of one window open, "
        f"+-{percent(plan.halfwidth or 0.0)} of the mean of {plan.windows}"
    )
    yield from (fill(remark, 80) for remark in plan.told)


def _tera(flops_per_s: float | None) -> str:
    return "-" if flops_per_s is None else f"{flops_per_s / 1e12:.1f}"
