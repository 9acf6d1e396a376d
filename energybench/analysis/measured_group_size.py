"""Which constant group size used the least joules in a whole network, as measured, and what did a constant g cost?

Totals of a run, by network, batch and data type. The confidence set holds every group size that cannot be told from the
best one; it contains the truly best of those measured in at least 95 % of runs, because the level is shared among the
comparisons (Bonferroni). Constant numbers of groups are judged at their own MACs, by the curve through the constant
group sizes.

Source: J. Hsu, "Multiple Comparisons", 1996, ch. 4, for sets that contain the best.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

from energybench.analysis.book import Book
from energybench.analysis.group_fit import CurveFit, fit_curve
from energybench.analysis.group_size import MeasuredOptimum, measured_optimum
from energybench.analysis.optimum import grouped_layer
from energybench.analysis.ratios import Ratio, Stage, ratio_of_totals, total_of
from energybench.analysis.stages import totals
from energybench.analysis.statistics import CONFIDENCE, Interval, interval_from_error
from energybench.errors import EnergyBenchError
from energybench.journal import CaseRecord


@dataclass(frozen=True)
class EqualMacs:
    """A constant number of groups against the constant group size of equal MACs.

    Attributes:
        variant: as the suite calls it.
        groups: g.
        equivalent_group_size: constant group size with its MACs; real.
        joules: measured, per inference.
        ratio: over the fitted curve at the equivalent group size; above 1 where constant g costs more.
    """

    variant: str
    groups: int
    equivalent_group_size: float
    joules: float
    ratio: Interval


@dataclass(frozen=True)
class NetworkOptimum:
    """What a run found for one network, batch and data type: its grouped layers, summed.

    Attributes:
        network: text fields of the summed axis, and whatever else tells totals apart.
        batch: inferences of one iteration.
        dtype: data type.
        group_sizes: constant group sizes that were measured, ascending.
        variants: as the suite calls each of them.
        joules: per inference at each, with their intervals.
        optimum: the least, and what cannot be told from it.
        fit: the curve through them; None where ``reason`` says why.
        reason: why there is no curve; empty where there is one.
        at_equal_macs: constant numbers of groups within the measured range.
    """

    network: str
    batch: int
    dtype: str
    group_sizes: tuple[int, ...]
    variants: tuple[str, ...]
    joules: tuple[Interval, ...]
    optimum: MeasuredOptimum
    fit: CurveFit | None
    reason: str
    at_equal_macs: tuple[EqualMacs, ...]


@dataclass(frozen=True)
class LayerFit:
    """The curve through the joules of one layer's group sizes.

    Attributes:
        comparison: point of the axes.
        channels: C.
        batch: inferences of one iteration.
        dtype: data type.
        fit: joules per inference.
    """

    comparison: str
    channels: int
    batch: int
    dtype: str
    fit: CurveFit


@dataclass(frozen=True)
class _Total:
    """One variant summed over a network's layers: joules are of an iteration."""

    variant: str
    batch: int
    dtype: str
    group_size: int | None
    groups: int | None
    macs: int
    stages: tuple[Stage, ...]


def network_optima(book: Book) -> tuple[NetworkOptimum, ...]:
    """Measured optimum of every network, batch and data type of a group-size study.

    Empty where nothing is summed, or nowhere two constant group sizes have joules in every layer.
    """
    places: dict[tuple[object, ...], list[_Total]] = {}
    for (_, *place), cases in totals(book.record).items():
        total = _total(book, cases)
        if total is not None:
            places.setdefault(tuple(place), []).append(total)
    found = (_network_optimum(place, totals) for place, totals in places.items())
    return tuple(optimum for optimum in found if optimum is not None)


def layer_fits(book: Book) -> tuple[LayerFit, ...]:
    """The curve through every layer that was measured at four group sizes or more."""
    by_place: dict[str, dict[str, CaseRecord]] = {}
    for case in book.record.cases:
        by_place.setdefault(case.comparison, {})[case.work] = case
    fits = []
    for comparison, works in by_place.items():
        points: dict[int, float] = {}
        channels = 0
        for case in works.values():
            layer, joules = grouped_layer(book.operators.get(case.work, [])), book.of(case).energy_by_block
            if layer is not None and joules:
                channels = layer.channels
                points[layer.group_size] = _mean(joules) / case.batch
        try:
            fit = fit_curve(list(points), list(points.values()))
        except EnergyBenchError:
            continue
        first = next(iter(works.values()))
        fits.append(LayerFit(comparison, channels, first.batch, first.dtype, fit))
    return tuple(fits)


def _total(book: Book, cases: Sequence[CaseRecord]) -> _Total | None:
    """A variant's total; None unless every layer has joules and its grouping is constant over the network."""
    layers = [grouped_layer(book.operators.get(c.work, [])) for c in cases]
    joules = [book.of(c).energy_by_block for c in cases]
    known = [layer for layer in layers if layer is not None]
    if len(known) < len(cases) or not all(joules):
        return None
    sizes, groups = {x.group_size for x in known}, {x.channels // x.group_size for x in known}
    if len(sizes) > 1 and len(groups) > 1:
        return None
    return _Total(
        variant=cases[0].variant,
        batch=cases[0].batch,
        dtype=cases[0].dtype,
        group_size=sizes.pop() if len(sizes) == 1 else None,
        groups=groups.pop() if len(groups) == 1 else None,
        macs=sum(c.macs * c.repeat for c in cases),
        stages=tuple(book.stage(c, values) for c, values in zip(cases, joules, strict=True)),
    )


def _network_optimum(place: Sequence[object], totals: Sequence[_Total]) -> NetworkOptimum | None:
    by_size: dict[int, _Total] = {}
    for total in totals:
        if total.group_size is not None:
            by_size.setdefault(total.group_size, total)
    if len(by_size) < 2:
        return None
    sizes = sorted(by_size)
    first = by_size[sizes[0]]
    joules = [_per_inference(total_of(by_size[G].stages), first.batch) for G in sizes]
    fit, reason = None, ""
    try:
        fit = fit_curve(sizes, [j.estimate for j in joules])
    except EnergyBenchError as error:
        reason = error.what
    return NetworkOptimum(
        network=_words(place),
        batch=first.batch,
        dtype=first.dtype,
        group_sizes=tuple(sizes),
        variants=tuple(by_size[G].variant for G in sizes),
        joules=tuple(joules),
        optimum=_optimum(sizes, joules, by_size),
        fit=fit,
        reason=reason,
        at_equal_macs=_at_equal_macs(totals, first, sizes, fit) if fit else (),
    )


def _optimum(sizes: Sequence[int], joules: Sequence[Interval], by_size: Mapping[int, _Total]) -> MeasuredOptimum:
    best = min(zip(joules, sizes, strict=True), key=lambda pair: pair[0].estimate)[1]
    ratios = [ratio_of_totals(by_size[G].stages, by_size[best].stages) if best != G else None for G in sizes]
    found = measured_optimum(
        sizes,
        [j.estimate for j in joules],
        [j.low for j in joules],
        [j.high for j in joules],
        ratio_low=[_shared_low(ratio, len(sizes) - 1) for ratio in ratios],
    )
    if found is None:
        raise AssertionError("totals without joules were left out before")
    return found


def _shared_low(ratio: Ratio | None, comparisons: int) -> float:
    """Lower end of a ratio, one-sided, at a level shared among ``comparisons``; NaN where there is no ratio."""
    if ratio is None:
        return math.nan
    interval = ratio.interval
    if not math.isfinite(interval.degrees) or interval.low <= 0:
        return interval.low
    standard_error = math.log(interval.high / interval.estimate) / float(
        stats.t.ppf(0.5 + CONFIDENCE / 2, interval.degrees)
    )
    t = float(stats.t.ppf(1 - (1 - CONFIDENCE) / comparisons, interval.degrees))
    return interval.estimate * math.exp(-t * standard_error)


def _at_equal_macs(
    totals: Sequence[_Total], unit: _Total, sizes: Sequence[int], fit: CurveFit
) -> tuple[EqualMacs, ...]:
    """Constant numbers of groups whose MACs are those of a group size in the measured range."""
    found = []
    for total in totals:
        if total.groups is None or total.group_size is not None or unit.group_size is None:
            continue
        equivalent = total.macs / (unit.macs / unit.group_size)
        if not sizes[0] <= equivalent <= sizes[-1]:
            continue
        joules = _per_inference(total_of(total.stages), total.batch)
        error = math.hypot(fit.relative_error, fit.relative_se(equivalent))
        ratio = interval_from_error(math.log(joules.estimate / fit.curve.at(equivalent)), error, fit.degrees)
        found.append(EqualMacs(total.variant, total.groups, equivalent, joules.estimate, ratio))
    return tuple(sorted(found, key=lambda x: x.groups))


def _per_inference(total: Interval, batch: int) -> Interval:
    return Interval(total.estimate / batch, total.low / batch, total.high / batch, total.degrees)


def _words(place: Sequence[object]) -> str:
    """What tells a total apart, batch and data type left out: they have fields of their own."""
    pairs = [pair for pair in place if isinstance(pair, tuple) and pair[0] not in ("batch", "dtype")]
    return " ".join(str(value) for _, value in pairs)


def _mean(by_block: Mapping[int, float]) -> float:
    return math.exp(sum(map(math.log, by_block.values())) / len(by_block))
