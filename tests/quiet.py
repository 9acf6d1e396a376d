"""Small suites, and a progress that says nothing but remembers, for tests that run whole studies."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from energybench.analysis.summary import Summary, summarize
from energybench.journal import load
from energybench.session import RunOptions, Study, open_station, plan_study, run_study
from energybench.suite import parse_suite

SMALL = """
name: small
about: Two groupings of one layer
baseline: FgGC g=8
variants:
  FgGC g=8: {layer: GroupConv2d, args: {channels: $channels, kernel_size: 3, groups: 8}}
  E2GC G=8: {layer: GroupConv2d, args: {channels: $channels, kernel_size: 3, group_size: 8}, pair: FgGC g=8}
  dense: {layer: GroupConv2d, args: {channels: $channels, kernel_size: 3, groups: 1}}
input: [$batch, $channels, $size, $size]
axes:
  stage:
    - {network: tiny, channels: 32, size: 16, repeat: 1}
    - {network: tiny, channels: 64, size: 8, repeat: 3}
  batch: [4]
  dtype: [float32]
quick: {channels: [32]}
analytic: group_size
"""


@dataclass
class Remembering:
    """A progress for tests; ``interrupt_after`` windows it behaves like a user pressing Ctrl-C."""

    interrupt_after: int | None = None
    notes: list[str] = field(default_factory=list)
    windows: int = 0
    expected: list[tuple[int, int]] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def doing(self, what: str) -> None:
        pass

    def expects(self, done: int, to_come: int) -> None:
        self.expected.append((done, to_come))

    def window_done(self, power_w: float | None, temperature_c: float | None, energy_j: float | None) -> None:
        self.windows += 1
        if self.interrupt_after is not None and self.windows >= self.interrupt_after:
            raise KeyboardInterrupt


def measured(
    tmp_path: Path, text: str = SMALL, device: str = "sim:h200", progress: Remembering | None = None, **options: object
) -> tuple[Path, Study]:
    """Run a suite text in a fresh folder of results; returns the run folder and the study."""
    chosen = RunOptions(device=device, results=tmp_path / "results", **options)  # type: ignore[arg-type]
    station = open_station(chosen)
    try:
        study = plan_study(parse_suite(text), station, chosen)
        return run_study(study, station, chosen, progress or Remembering()), study
    finally:
        station.close()


def summary_of(tmp_path: Path, **options: object) -> Summary:
    """The summary of a fresh run."""
    folder, _ = measured(tmp_path, **options)  # type: ignore[arg-type]
    return summarize(load(folder))
