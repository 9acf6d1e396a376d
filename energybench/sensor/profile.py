"""What is a power sensor? Streams of readings, an energy counter, and how they go wrong.

A driver does not show power as it is. It publishes, every refresh, the mean over a span that ended a delay ago.
With a span shorter than the refresh the sensor sees only part of the time (its coverage is below 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from energybench.errors import MeterError
from energybench.readings import ENERGY, POWER_KINDS


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)


@dataclass(frozen=True)
class Stream:
    """One published power value: ``gain x mean(true power) + offset``, with noise, renewed every refresh.

    Args:
        kind: ``power_w`` (the plain call), ``power_instant_w`` (the fast value) or ``power_average_w``.
        refresh_s: time between two published values.
        span_s: time one value averages over.
        delay_s: from the end of that span to its publication.
        rise_s: 10-90 % time of a first-order response on top of the averaging; 0 for none.
        gain: systematic factor, about 0.95 to 1.05 on real boards.
        offset_w: systematic offset.
        noise: standard deviation of one value, relative to it.
        correlation: of the noise of neighbouring values, in [0, 1).
        noise_margin: how many times larger the noise of a long mean may be than these two say: the 95 % upper limit of
            what they were found from; 1 where they are not from a calibration.
        resolution_w: step of the published number.
    """

    kind: str
    refresh_s: float
    span_s: float
    delay_s: float = 0.0
    rise_s: float = 0.0
    gain: float = 1.0
    offset_w: float = 0.0
    noise: float = 0.0
    correlation: float = 0.0
    noise_margin: float = 1.0
    resolution_w: float = 0.001

    def __post_init__(self) -> None:
        _require(self.kind in POWER_KINDS, f"unknown stream kind {self.kind!r}, not one of {', '.join(POWER_KINDS)}")
        _require(self.refresh_s > 0 and self.span_s > 0, f"{self.kind}: refresh and span must be above 0 s")
        _require(self.delay_s >= 0 and self.rise_s >= 0, f"{self.kind}: delay and rise must not be negative")
        _require(self.noise >= 0 and self.resolution_w > 0, f"{self.kind}: noise or resolution out of range")
        _require(0 <= self.correlation < 1, f"{self.kind}: correlation must lie in [0, 1)")
        _require(self.noise_margin >= 1, f"{self.kind}: the margin of the noise must be at least 1")

    @property
    def coverage(self) -> float:
        """Share of the time that the sensor sees, at most 1."""
        return min(1.0, self.span_s / self.refresh_s)

    @property
    def lag_s(self) -> float:
        """Time after a step until a value shows nothing of what was before: delay, span, and three rise times.

        A first-order rise is then within 0.1 % of its end.
        """
        return self.delay_s + self.span_s + 3 * self.rise_s


@dataclass(frozen=True)
class Counter:
    """A cumulative energy counter.

    Args:
        tick_s: time between two published totals.
        resolution_j: step of the published number.
        part_time: the total is a sum of the fast stream's samples times its refresh, not a true integral.
        gain: systematic factor.
        delay_s: from the moment a total holds for to its publication.
    """

    tick_s: float
    resolution_j: float = 0.001
    part_time: bool = False
    gain: float = 1.0
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        _require(self.tick_s > 0 and self.resolution_j > 0, "counter: tick and resolution must be above 0")
        _require(self.delay_s >= 0, "counter: delay must not be negative")


@dataclass(frozen=True)
class Faults:
    """How a sensor misbehaves.

    Args:
        frozen_after_s: the counter stands still from this time on; None for never.
        zero_share: share of power updates published as 0 W.
        lost_share: share of power updates and counter ticks never published: the previous value stays.
    """

    frozen_after_s: float | None = None
    zero_share: float = 0.0
    lost_share: float = 0.0

    def __post_init__(self) -> None:
        shares_fit = min(self.zero_share, self.lost_share) >= 0 and self.zero_share + self.lost_share <= 0.9
        _require(shares_fit, "faults: shares of bad updates must be positive, together at most 0.9")


@dataclass(frozen=True)
class SensorProfile:
    """Everything a board publishes about its power.

    Args:
        name: short and stable, ``a100``.
        title: for people.
        streams: the power values, at most one per kind.
        counter: the energy counter; None where the board has none.
        source: where the numbers come from; says which of them are ours.
        hypothetical: nobody has characterised this sensor; the numbers are a stand-in.
        provenance: ``published``, ``hypothetical``, ``assumed, not calibrated`` or ``calibrated``.
        scope: what the numbers cover: ``board`` or ``module`` (GPU with its CPU and memory).
        faults: how it misbehaves.
        settling_s: how long the board's power took to settle under a steady load when it was calibrated; 0 if unknown.
    """

    name: str
    title: str
    streams: tuple[Stream, ...]
    counter: Counter | None
    source: str
    hypothetical: bool = False
    provenance: str = "published"
    scope: str = "board"
    faults: Faults = Faults()
    settling_s: float = 0.0

    def __post_init__(self) -> None:
        kinds = [stream.kind for stream in self.streams]
        _require(len(set(kinds)) == len(kinds), f"{self.name}: two streams of one kind")
        part_time = self.counter is not None and self.counter.part_time
        _require(bool(self.streams) or not part_time, f"{self.name}: a part-time counter needs a stream to sum up")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of reading on offer, the energy counter first."""
        counter = (ENERGY,) if self.counter is not None else ()
        return counter + tuple(stream.kind for stream in self.streams)

    def stream(self, kind: str) -> Stream | None:
        """The stream of this kind, or None where the board has none."""
        return next((stream for stream in self.streams if stream.kind == kind), None)

    @property
    def fastest(self) -> Stream | None:
        """The stream with the shortest span: the one to integrate where there is no counter."""
        return min(self.streams, key=lambda stream: stream.span_s, default=None)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values, for run.json and the calibration store."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> SensorProfile:
        """A profile from what :meth:`to_dict` stored.

        Raises:
            MeterError: a field is missing, unknown or out of range.
        """
        try:
            streams = tuple(Stream(**stream) for stream in stored["streams"])
            counter = Counter(**stored["counter"]) if stored["counter"] is not None else None
            faults = Faults(**stored["faults"])
            return cls(**{**stored, "streams": streams, "counter": counter, "faults": faults})
        except (KeyError, TypeError, ValueError) as error:
            raise MeterError(
                f"a stored sensor profile cannot be read: {error}",
                why="window lengths and guards are derived from it",
                remedy="energybench calibrate",
            ) from error
