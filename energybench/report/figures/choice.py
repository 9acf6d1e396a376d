"""Which figures does a run deserve, of which of its settings, and what stands below each?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from energybench.analysis.calibration_curves import curves_from_dict
from energybench.analysis.summary import Summary
from energybench.errors import MachineError
from energybench.machine import Machine
from energybench.report.answer import answer_of
from energybench.report.figures import captions
from energybench.report.figures.budget import budget_figure
from energybench.report.figures.calibration import calibration_figure
from energybench.report.figures.contributions import contribution_figure
from energybench.report.figures.energy_waterline import energy_waterline_figure
from energybench.report.figures.files import FigureFile, save_figure
from energybench.report.figures.gap import energy_gap_figure, latency_gap_figure, with_ideal_energy
from energybench.report.figures.group_size import group_size_figure
from energybench.report.figures.intensity import intensity_figure
from energybench.report.figures.network_group_size import measured_network_figure
from energybench.report.figures.pairs import pair_figure
from energybench.report.figures.power import power_figure
from energybench.report.figures.power_trace import most_telling_case, power_trace
from energybench.report.figures.roofline import energy_roofline_figure, roofline_figure
from energybench.report.figures.sequences import sequence_energies, sequence_waterlines
from energybench.report.figures.variants import variants_figure
from energybench.report.figures.waterline import waterline_figure
from energybench.report.operators import workflows
from energybench.report.places import constant_label, split, spread_over
from energybench.report.settings import Settings, places_of, settings_of
from energybench.report.style import Palette, plain
from energybench.report.tables import telling, tidy, totalled, whole_points

SETTINGS_A_NETWORK = 2
NETWORKS_AT_MOST = 4
SEQUENCE = 2
"""Operators with multiply-accumulates that make a sequence."""


@dataclass(frozen=True)
class _Planned:
    name: str
    family: str
    title: str
    caption: str
    draw: Callable[[], Figure]


def save_figures(summary: Summary, folder: Path) -> list[FigureFile]:
    """Draw every figure of the run into ``folder``; older figures there are removed.

    Figures that the run has no data for are left out (``captions.absences`` says why), never drawn empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in [*folder.glob("*.svg"), *folder.glob("*.png")]:
        old.unlink()
    saved = []
    for planned in _Planner(tidy(summary)).figures():
        try:
            figure = planned.draw()
        except (ValueError, MachineError):
            continue  # nothing to draw, which ``captions.absences`` tells the reader
        saved.append(_save(planned, figure, folder))
    return saved


def _save(planned: _Planned, figure: Figure, folder: Path) -> FigureFile:
    svg, png = save_figure(figure, folder / planned.name)
    return FigureFile(planned.name, planned.family, planned.title, planned.caption, svg, png)


class _Planner:
    """What can be drawn of one run."""

    def __init__(self, summary: Summary) -> None:
        self.summary = summary
        record = summary.run.record
        self.cases = summary.cases[summary.cases["variant"].notna() & summary.cases["loop_latency_s"].notna()]
        rows = telling(summary)
        self.results = rows[rows["variant"].notna()]
        self.complete = record.complete
        self.palette = Palette.of([case.variant for case in record.cases])
        self.machine = summary.machine
        self.settings: Settings = settings_of(record)
        self.device = " · ".join(captions.device_words(record))
        self.accuracy = {c.variant: c.top1 for c in record.cases if c.top1 is not None}

    def figures(self) -> Iterator[_Planned]:
        """The answer first, then why."""
        yield self._pairs()
        yield self._variants()
        for network, cases in self._networks(totalled(self.summary)) if self.settings.summed else ():
            for where, part in self._of_network(cases):
                yield self._contributions(network, where, part)
        if self.machine is not None:
            yield from self._gaps(self.machine)
        for network, cases in self._networks():
            for where, part in self._of_network(cases):
                yield self._group_size(network, where, part)
        yield from self._network_group_size()
        if self.machine is not None:
            yield from self._rooflines(self.machine)
            for network, cases in self._networks():
                for where, part in self._of_network(cases, self.settings.panels):
                    summed = whole_points(part, complete=self.complete)
                    yield self._budget(network, where, summed, self.machine)
                    yield from self._waterlines(network, where, summed, self.machine)
        yield from self._power()
        yield from self._sensor()

    def _networks(self, cases: pd.DataFrame | None = None) -> list[tuple[str, pd.DataFrame]]:
        return spread_over(split(self.cases if cases is None else cases, self.settings.texts), NETWORKS_AT_MOST)

    def _of_network(self, cases: pd.DataFrame, by: Sequence[str] | None = None) -> list[tuple[str, pd.DataFrame]]:
        """The settings that are drawn, the last one first: large batches say more of a layer than launches do.

        Of an unfinished run only those that have got furthest.
        """
        parts = split(cases, self.settings.others if by is None else by)
        if not self.complete:
            stages = [whole_points(part, complete=False)["comparison"].nunique() for _, part in parts]
            parts = [part for part, done in zip(parts, stages, strict=True) if done == max(stages)]
        return spread_over(parts, SETTINGS_A_NETWORK)[::-1]

    def _subtitle(self, part: pd.DataFrame, so_far: str = "") -> str:
        return " · ".join(filter(None, (constant_label(part, self.settings.all), so_far, self.device)))

    def _sum_subtitle(self, part: pd.DataFrame) -> str:
        """The same for a sum over the stages of ``part``; of an unfinished run it says how many they are."""
        planned = self.summary.cases[self.summary.cases["variant"].notna()]
        for name in self.settings.all:
            planned = planned[planned[name] == part[name].iloc[0]] if name in planned else planned
        done, of = part["comparison"].nunique(), planned["comparison"].nunique()
        return self._subtitle(part, f"{done} of {of} stages so far" if not self.complete and done < of else "")

    def _pairs(self) -> _Planned:
        said = answer_of(self.summary)
        return _Planned(
            "pairs", "pairs", captions.pairs_title(said), captions.pairs(self.summary, said),
            lambda: pair_figure(
                self.summary.pairs, self.palette, places=places_of(self.cases, self.settings),
                subtitle=self._subtitle(self.cases), origin=self.summary.run.origin,
            ),
        )  # fmt: skip

    def _variants(self) -> _Planned:
        fields = (*self.settings.texts, *self.settings.panels_of(self.results))
        return _Planned(
            "variants", "variants", "Every variant", captions.variants(self.summary),
            lambda: variants_figure(
                self.results, self.palette, settings=fields,
                subtitle=self._subtitle(self.results), origin=self.summary.run.origin,
            ),
        )  # fmt: skip

    def _contributions(self, network: str, where: str, part: pd.DataFrame) -> _Planned:
        pairs = pairs_at(self.summary, self.settings, part)
        return _Planned(
            _stem("stages", network, where), "pairs", "Which stages make the difference", captions.contributions(),
            lambda: contribution_figure(
                part, pairs, self.palette, stages=self.settings.stages,
                subtitle=self._subtitle(part), origin=self.summary.run.origin,
            ),
        )  # fmt: skip

    def _gaps(self, machine: Machine) -> Iterator[_Planned]:
        for network, rows in spread_over(split(self.results, self.settings.texts), NETWORKS_AT_MOST):
            yield self._latency_gap(network, rows)
            if self.summary.has_energy:
                yield self._energy_gap(network, rows, machine)

    def _latency_gap(self, network: str, rows: pd.DataFrame) -> _Planned:
        return _Planned(
            _stem("gap-latency", network), "gap", "Efficiency gap: latency", captions.latency_gap(self.summary),
            lambda: latency_gap_figure(
                rows, self.palette, settings=self.settings.panels_of(rows), accuracy=self.accuracy,
                subtitle=self._subtitle(rows), origin=self.summary.run.origin,
            ),
        )  # fmt: skip

    def _energy_gap(self, network: str, rows: pd.DataFrame, machine: Machine) -> _Planned:
        def draw() -> Figure:
            ideal = with_ideal_energy(rows, self.cases, self.summary.operators, machine, self.settings.all)
            return energy_gap_figure(
                ideal, self.palette, settings=self.settings.panels_of(rows), accuracy=self.accuracy,
                subtitle=self._subtitle(rows), origin=self.summary.run.origin,
            )  # fmt: skip

        return _Planned(_stem("gap-energy", network), "gap", "Efficiency gap: energy", captions.energy_gap(), draw)

    def _group_size(self, network: str, where: str, part: pd.DataFrame) -> _Planned:
        return _Planned(
            _stem("group-size", network, where), "group size", "Against group size",
            captions.group_size(self.summary),
            lambda: group_size_figure(
                part, self.summary.operators, self.summary.group_size, self.palette, stages=self.settings.stages,
                subtitle=self._subtitle(part), origin=self.summary.run.origin,
            ),
        )  # fmt: skip

    def _network_group_size(self) -> Iterator[_Planned]:
        """Whole networks against group size, where a group-size study with joules sums stages up."""
        optima = self.summary.network_optima
        if optima:
            yield _Planned(
                "group-size-networks", "group size", "Whole networks against group size",
                captions.network_group_size(),
                lambda: measured_network_figure(
                    optima, self.palette, subtitle=self.device, origin=self.summary.run.origin
                ),
            )  # fmt: skip

    def _rooflines(self, machine: Machine) -> Iterator[_Planned]:
        parts = [("roofline", "Roofline", captions.roofline(self.summary), roofline_figure)]
        if self.summary.has_energy and machine.has_energy:
            parts.append(("roofline-energy", "Energy roofline", captions.energy_roofline(), energy_roofline_figure))
        for name, heading, caption, figure in parts:
            yield _Planned(
                name, "roofline", heading, caption,
                lambda figure=figure: figure(  # type: ignore[misc]
                    self.cases, self.summary.operators, machine, self.palette,
                    subtitle=self.device, origin=self.summary.run.origin,
                ),
            )  # fmt: skip

    def _budget(self, network: str, where: str, part: pd.DataFrame, machine: Machine) -> _Planned:
        works = workflows(part, self.summary.operators, self.settings.stages)
        return _Planned(
            _stem("budget", network, where), "budget", "Where the time goes, and the joules",
            captions.budget(self.summary),
            lambda: budget_figure(
                works, machine, self.palette, subtitle=self._sum_subtitle(part), origin=self.summary.run.origin
            ),
        )  # fmt: skip

    def _waterlines(self, network: str, where: str, part: pd.DataFrame, machine: Machine) -> Iterator[_Planned]:
        """In time; of sequences of several operators also their intensities and joules."""
        lines = sequence_waterlines(part, self.summary.operators, machine, stages=self.settings.stages)
        about = {"subtitle": self._sum_subtitle(part), "origin": self.summary.run.origin}
        warnings = {variant: line.warnings for variant, line in lines.items()}
        yield _Planned(
            _stem("waterline", network, where), "waterline", "Waterline",
            captions.waterline(self.summary, warnings),
            lambda: waterline_figure(lines, self.palette, **about),
        )  # fmt: skip
        if all(len(line.bars) < SEQUENCE for line in lines.values()):
            return
        yield _Planned(
            _stem("waterline-intensity", network, where), "waterline", "Waterline: intensities",
            captions.intensity(self.summary),
            lambda: intensity_figure(lines, self.palette, **about),
        )  # fmt: skip
        if self.summary.has_energy and machine.has_energy:
            works = workflows(part, self.summary.operators, self.settings.stages)
            yield _Planned(
                _stem("waterline-energy", network, where), "waterline", "Waterline: joules",
                captions.energy_waterline(self.summary),
                lambda: energy_waterline_figure(sequence_energies(works, machine), self.palette, **about),
            )  # fmt: skip

    def _power(self) -> Iterator[_Planned]:
        case = most_telling_case(self.summary)
        if case is None:
            return
        yield _Planned(
            "power", "power", "Power over time", captions.power(case.id),
            lambda: power_figure(
                power_trace(self.summary.run, case.id), self.palette, variant=case.variant,
                place=places_of(self.summary.cases, self.settings).get(case.comparison, case.comparison),
                subtitle=self.device, origin=self.summary.run.origin,
            ),
        )  # fmt: skip

    def _sensor(self) -> Iterator[_Planned]:
        """What the board's sensor was found to do, where this run's calibration kept its curves."""
        curves = (self.summary.run.record.calibration or {}).get("curves")
        if curves:
            yield _Planned(
                "sensor", "sensor", "What the power sensor does", captions.sensor(self.summary),
                lambda: calibration_figure(
                    curves_from_dict(curves), subtitle=self.device, origin=self.summary.run.origin
                ),
            )  # fmt: skip


def pairs_at(summary: Summary, settings: Settings, part: pd.DataFrame) -> pd.DataFrame:
    """Pairs of the cases in ``part``, which are all at one setting, and of the totals they add up to."""
    pairs, sums, first = summary.pairs, summary.totals, part.iloc[0]
    cases: pd.Series = pairs["comparison"].isin(part["comparison"]) & (pairs["scope"] == "case")
    for name in settings.all:
        sums = sums[sums[name] == first[name]] if len(sums) else sums
    places = {str(place).removeprefix("total ") for place in sums["comparison"]} if len(sums) else set()
    totals = (pairs["scope"] == "total") & pairs["comparison"].isin(places)
    chosen: pd.DataFrame = pairs[cases | totals]
    return chosen


def _stem(*parts: str) -> str:
    """A file name of the parts: letters, digits and hyphens only."""
    words = "-".join(part for part in parts if part)
    safe = "".join(c if (c.isascii() and c.isalnum()) or c in "-_" else "-" for c in plain(words, 80).lower())
    return "-".join(filter(None, safe.split("-")))
