"""What is this sensor? From the recording of a calibration to the fits of every source.

Pure: the same function serves a board that was driven just now and a recording made by someone else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from energybench.analysis.beat import Beat, beat_of_counter, beat_of_stream
from energybench.analysis.counter_fit import CounterFit, fit_counter
from energybench.analysis.sensor_fit import StreamFit, fit_stream, step_reach_s
from energybench.analysis.steadiness import Noise, noise_of
from energybench.analysis.updates import Updates, published, same_source
from energybench.analysis.wave import Wave
from energybench.readings import ENERGY, POWER_KINDS, Reading

DRIVEN = ("wave", "slow wave", "steps", "beat")
"""Stages in which the load goes on and off, the one whose levels are reported first."""

Span = tuple[float, float]


@dataclass(frozen=True)
class Recording:
    """What was driven and what was read.

    Attributes:
        readings: all of them, in time order.
        wave: when the load was on.
        stages: name of a stage -> (start, stop). ``steady`` is under load throughout and ``idle`` without; in
            ``wave``, ``slow wave``, ``steps`` and ``beat`` it goes on and off. What a recording lacks is not
            identified; one without any stages counts as one wave.
        beat_block_s: length of a block of the beat test.
        faults: impossible values that the meter dropped, by what was wrong.
        polls: how often the meter was read.
        quick: whether this is the short form.
    """

    readings: tuple[Reading, ...]
    wave: Wave
    stages: Mapping[str, Span] = field(default_factory=dict)
    beat_block_s: float = 0.5
    faults: Mapping[str, int] = field(default_factory=dict)
    polls: int = 0
    quick: bool = False

    @property
    def duration_s(self) -> float:
        """From the first reading to the last."""
        return self.readings[-1].time_s - self.readings[0].time_s if self.readings else 0.0


@dataclass(frozen=True)
class Identified:
    """The fits behind a report, for figures: by kind, streams that are the same one under one kind only."""

    updates: Mapping[str, Updates]
    fits: Mapping[str, StreamFit]
    noises: Mapping[str, Noise]
    same_as: Mapping[str, str]
    ticks: Updates | None
    counter: CounterFit | None
    counter_beat: Beat | None
    stream_beats: Mapping[str, Beat]

    @property
    def fastest(self) -> str | None:
        """The kind with the shortest span; None without a fitted stream."""
        return min(self.fits, key=lambda kind: self.fits[kind].span_s, default=None)


def identify(recording: Recording, *, kinds: Sequence[str] | None = None) -> Identified:
    """Fit every source of a recording.

    Args:
        recording: what was driven and read.
        kinds: power kinds to look at; None for all that were read.
    """
    present = {r.kind for r in recording.readings}
    wanted = [k for k in POWER_KINDS if k in present and (kinds is None or k in kinds)]
    same_as = _duplicates(recording, wanted)
    own = [kind for kind in wanted if kind not in same_as]
    updates = {kind: u for kind in own if (u := published(recording.readings, kind)) is not None}
    fits = {kind: f for kind, u in updates.items() if (f := _fitted(recording, u)) is not None}
    steady = recording.stages.get("steady")
    noises: dict[str, Noise] = {}
    if steady is not None:
        found_noises = {k: noise_of(u, steady[0] + lag_s(fits.get(k)), steady[1]) for k, u in updates.items()}
        noises = {kind: noise for kind, noise in found_noises.items() if noise is not None}
    ticks = published(recording.readings, ENERGY)
    counter = None
    if ticks is not None:
        start_s, stop_s = _steps_and_wave(recording)
        last_s = max(r.time_s for r in recording.readings if r.kind == ENERGY)
        counter = fit_counter(ticks, recording.wave, last_s=last_s, start_s=start_s, stop_s=stop_s)
    found = Identified(updates, fits, noises, same_as, ticks, counter, None, {})
    return replace(found, counter_beat=_counter_beat(recording, found), stream_beats=_stream_beats(recording, found))


def _duplicates(recording: Recording, kinds: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for index, kind in enumerate(kinds):
        for earlier in kinds[:index]:
            if earlier not in found and same_source(recording.readings, earlier, kind):
                found[kind] = earlier
                break
    return found


def lag_s(fit: StreamFit | None) -> float:
    """Time after a step until a stream shows nothing of what was before; that of an averaged one where not fitted."""
    return fit.delay_s + fit.span_s + 3 * fit.rise_s if fit else 1.5


def _steps_and_wave(recording: Recording) -> Span:
    """From the first long step to the end of the wave; the whole recording where stages were not told."""
    whole = (recording.readings[0].time_s, recording.readings[-1].time_s)
    spans = [recording.stages[stage] for stage in ("steps", "wave") if stage in recording.stages] or [whole]
    return min(span[0] for span in spans), max(span[1] for span in spans)


def _fitted(recording: Recording, updates: Updates) -> StreamFit | None:
    """The fit on everything that was driven; where stages were told, levels of its own for each of them."""
    reach_s = step_reach_s(updates, recording.wave) or 12 * updates.refresh_s
    groups = np.full(len(updates.values), -1)
    for number, stage in enumerate(s for s in DRIVEN if s in recording.stages):
        groups[updates.between(*recording.stages[stage])] = number
    if not recording.stages:
        groups[:] = 0
    driven = groups >= 0
    return fit_stream(updates.part(driven), recording.wave, reach_s=reach_s, groups=groups[driven])


def _counter_beat(recording: Recording, found: Identified) -> Beat | None:
    fastest = found.fastest
    if found.ticks is None or found.counter is None or found.counter.froze_s is not None or fastest is None:
        return None
    if "beat" not in recording.stages:
        return None
    fit = found.fits[fastest]
    start_s, stop_s = recording.stages["beat"]
    return beat_of_counter(
        found.ticks,
        recording.wave,
        found.updates[fastest],
        fit,
        block_s=recording.beat_block_s,
        start_s=start_s + lag_s(fit),
        stop_s=stop_s,
        delay_s=found.counter.delay_s or 0.0,
    )


def _stream_beats(recording: Recording, found: Identified) -> dict[str, Beat]:
    if "beat" not in recording.stages:
        return {}
    start_s, stop_s = recording.stages["beat"]
    block_s = recording.beat_block_s
    beats = {
        kind: beat_of_stream(
            found.updates[kind], recording.wave, fit, block_s=block_s, start_s=start_s + lag_s(fit), stop_s=stop_s
        )
        for kind, fit in found.fits.items()
    }
    return {kind: beat for kind, beat in beats.items() if beat is not None}
