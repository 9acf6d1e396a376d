"""What would this sensor have published by now? A simulated sensor on top of the board's exact energy.

Every value is a function of (profile, true energy, seed, update number) alone: how often or how densely a
sensor is polled never changes what it says. A poll between two updates costs under a microsecond.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from energybench.readings import ENERGY
from energybench.sensor.profile import Counter, Faults, SensorProfile, Stream

_BLOCK = 256  # random numbers are drawn in blocks; each block can be drawn again on its own
_TAIL = 1e-9  # weights of the past below this are left out
_RISE_TAIL = 1e-6  # the same for the rise, whose history costs two look-ups of the true energy a term
_PHASE_DRAW, _NOISE_DRAW, _FAULT_DRAW = range(3)


class Published(NamedTuple):
    """A value as the driver shows it, and when it was published."""

    value: float
    time_s: float


class SimulatedSensor:
    """The sensor of one board.

    Args:
        profile: what the sensor does.
        energy_j: exact cumulative joules of the board up to a time; defined for all times that are read and
            for the spans before them, so also a little before the start (there: at idle power).
        seed: phases, noise and faults follow from it. Streams that differ in nothing but their kind are one.
    """

    def __init__(self, profile: SensorProfile, energy_j: Callable[[float], float], seed: int = 0) -> None:
        self.profile = profile
        alike = [replace(stream, kind="power_w") for stream in profile.streams]
        self._streams = {
            stream.kind: _SimulatedStream(stream, profile.faults, energy_j, _Keys(seed, alike.index(alike[index])))
            for index, stream in enumerate(profile.streams)
        }
        self._counter: _SimulatedCounter | None = None
        if profile.counter is not None:
            samples = self._streams[profile.fastest.kind] if profile.fastest else None
            keys = _Keys(seed, len(profile.streams))
            self._counter = _SimulatedCounter(profile.counter, profile.faults, energy_j, samples, keys)
        self._phases_s = {kind: stream.phase_s for kind, stream in self._streams.items()}
        if self._counter is not None:
            self._phases_s[ENERGY] = self._counter.phase_s

    def reading(self, kind: str, now_s: float) -> Published:
        """The value of a power stream that stands at ``now_s``, in watts (0 W where the update was faulty)."""
        return self._streams[kind].at(now_s)

    def phase_s(self, kind: str) -> float:
        """When the updates of a kind happen, modulo its refresh (``energy_j``: its tick); KeyError without it."""
        return self._phases_s[kind]

    def counter_j(self, now_s: float) -> float:
        """The energy counter that stands at ``now_s``; ValueError where the board has none."""
        if self._counter is None:
            raise ValueError(f"{self.profile.name} has no energy counter")
        return self._counter.at(now_s).value


class _SimulatedStream:
    """One power stream: what was published at update k, for the latest k asked for."""

    def __init__(self, stream: Stream, faults: Faults, energy_j: Callable[[float], float], keys: _Keys) -> None:
        self.stream = stream
        self.phase_s = keys.uniform(_PHASE_DRAW) * stream.refresh_s
        self._faults = _FaultDraws(faults, keys)
        self._noise = _CorrelatedNoise(keys, stream.correlation)
        self._energy_j = energy_j
        self._rise = _rise_weights(stream)
        self._means: deque[float] = deque(maxlen=len(self._rise))
        self._means_end = 0  # the update that the last of the means belongs to
        self._update: int | None = None
        self._published = Published(0.0, 0.0)

    def at(self, now_s: float) -> Published:
        update = math.floor((now_s - self.phase_s) / self.stream.refresh_s)
        if update != self._update:
            self._published = self._publish(update)
            self._update = update
        return self._published

    def mean_w(self, update: int) -> float:
        """Mean true power over the span of one update: no gain, no noise."""
        end_s = self.phase_s + update * self.stream.refresh_s - self.stream.delay_s
        return (self._energy_j(end_s) - self._energy_j(end_s - self.stream.span_s)) / self.stream.span_s

    def _publish(self, update: int) -> Published:
        update = self._faults.last_published(update)
        time_s = self.phase_s + update * self.stream.refresh_s
        if self._faults.zero(update):
            return Published(0.0, time_s)
        stream = self.stream
        value_w = stream.gain * self._risen_w(update) + stream.offset_w
        if stream.noise:
            value_w *= 1.0 + stream.noise * self._noise.at(update)
        return Published(round(value_w / stream.resolution_w) * stream.resolution_w, time_s)

    def _risen_w(self, update: int) -> float:
        """The mean after the first-order response: a weighted sum of the latest means."""
        length = len(self._rise)
        first = self._means_end + 1 if 0 <= update - self._means_end < length and self._means else update - length + 1
        self._means.extend(self.mean_w(past) for past in range(first, update + 1))
        self._means_end = update
        return float(np.dot(self._rise, self._means)) if length > 1 else self._means[0]


class _SimulatedCounter:
    """The energy counter: what was published at tick k, for the latest k asked for."""

    def __init__(
        self,
        counter: Counter,
        faults: Faults,
        energy_j: Callable[[float], float],
        samples: _SimulatedStream | None,
        keys: _Keys,
    ) -> None:
        self.counter = counter
        self.phase_s = keys.uniform(_PHASE_DRAW) * counter.tick_s
        self._faults = _FaultDraws(faults, keys)
        self._last_tick = math.inf
        if faults.frozen_after_s is not None:
            self._last_tick = math.floor((faults.frozen_after_s - self.phase_s) / counter.tick_s)
        self._energy_j = energy_j
        self._samples = samples
        self._summed = 0  # samples in the sum so far
        self._sum_j = 0.0
        self._tick: int | None = None
        self._published = Published(0.0, 0.0)

    def at(self, now_s: float) -> Published:
        tick = math.floor((now_s - self.phase_s) / self.counter.tick_s)
        if tick != self._tick:
            self._published = self._publish(int(min(tick, self._last_tick)))
            self._tick = tick
        return self._published

    def _publish(self, tick: int) -> Published:
        tick = self._faults.last_published(tick)
        time_s = self.phase_s + tick * self.counter.tick_s
        true_s = time_s - self.counter.delay_s
        total_j = self._sampled_j(true_s) if self.counter.part_time else max(0.0, self._energy_j(true_s))
        steps = math.floor(self.counter.gain * total_j / self.counter.resolution_j)
        return Published(steps * self.counter.resolution_j, time_s)

    def _sampled_j(self, time_s: float) -> float:
        """Sum of the fast stream's samples since 0 s, each credited with a whole refresh."""
        samples = self._samples
        if samples is None:
            raise ValueError("a part-time counter needs a stream to sum up")
        refresh_s = samples.stream.refresh_s
        count = max(0, math.floor((time_s - samples.phase_s) / refresh_s) + 1)
        if count < self._summed:
            self._summed, self._sum_j = 0, 0.0
        for update in range(self._summed, count):
            self._sum_j += samples.mean_w(update) * refresh_s
        self._summed = count
        return self._sum_j


class _Keys:
    """Random numbers by (seed, source, use, block): any block again at any time, none stored."""

    def __init__(self, seed: int, source: int) -> None:
        self._key = np.random.SeedSequence([seed, source]).generate_state(2, np.uint64)

    def generator(self, use: int, block: int = 0) -> np.random.Generator:
        counter = np.array([0, 0, use, block % 2**64], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=self._key, counter=counter))

    def uniform(self, use: int) -> float:
        return float(self.generator(use).random())


class _CorrelatedNoise:
    """First-order autoregressive noise of unit variance, as the moving average it is equal to.

    ``x[k] = sqrt(1 - c^2) * sum_j c^j e[k - j]``: needs no start value, so any k can be had without its past.
    """

    def __init__(self, keys: _Keys, correlation: float) -> None:
        terms = math.ceil(math.log(_TAIL) / math.log(correlation)) if correlation > 0 else 1
        self._weights = math.sqrt(1 - correlation**2) * correlation ** np.arange(terms)
        self._keys = keys
        self._block: int | None = None
        self._values: list[float] = []

    def at(self, update: int) -> float:
        block, place = divmod(update, _BLOCK)
        if block != self._block:
            self._values = self._draw(block)
            self._block = block
        return self._values[place]

    def _draw(self, block: int) -> list[float]:
        before = math.ceil((len(self._weights) - 1) / _BLOCK)
        blocks = range(block - before, block + 1)
        innovations = np.concatenate([self._keys.generator(_NOISE_DRAW, b).standard_normal(_BLOCK) for b in blocks])
        values: list[float] = np.convolve(innovations, self._weights, mode="valid")[-_BLOCK:].tolist()
        return values


class _FaultDraws:
    """Which updates are lost or published as zero."""

    def __init__(self, faults: Faults, keys: _Keys) -> None:
        self._zero_below = faults.zero_share
        self._lost_below = faults.zero_share + faults.lost_share
        self._keys = keys
        self._block: int | None = None
        self._values: list[float] = []

    def zero(self, update: int) -> bool:
        return self._zero_below > 0 and self._at(update) < self._zero_below

    def last_published(self, update: int) -> int:
        """This update, or the latest before it that was not lost."""
        while self._lost_below > self._zero_below and self._zero_below <= self._at(update) < self._lost_below:
            update -= 1
        return update

    def _at(self, update: int) -> float:
        block, place = divmod(update, _BLOCK)
        if block != self._block:
            self._values = self._keys.generator(_FAULT_DRAW, block).random(_BLOCK).tolist()
            self._block = block
        return self._values[place]


def _rise_weights(stream: Stream) -> np.ndarray:
    """Weights of the past means, oldest first, of a first-order response sampled at the refresh."""
    if stream.rise_s == 0:
        return np.ones(1)
    constant_s = stream.rise_s / math.log(9)  # a first-order response goes from 10 to 90 % in ln 9 time constants
    kept = math.exp(-stream.refresh_s / constant_s)
    terms = math.ceil(math.log(_RISE_TAIL) / math.log(kept))
    weights = kept ** np.arange(terms)[::-1]
    normalised: np.ndarray = weights / weights.sum()
    return normalised
