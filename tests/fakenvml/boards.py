"""What does the fake have to be told to be a board with this sensor? Configuration text from sensor profiles."""

from __future__ import annotations

from dataclasses import asdict, replace

from energybench.sensor import PROFILES, Counter, SensorProfile, Stream

SEEDS = 16
"""Between two boards of different seed: more than a board has streams."""

_STREAM_WORDS = {
    "refresh_s": "refresh",
    "span_s": "span",
    "delay_s": "delay",
    "rise_s": "rise",
    "gain": "gain",
    "offset_w": "offset",
    "noise": "noise",
    "correlation": "correlation",
    "resolution_w": "resolution",
}


def board(
    profile: SensorProfile,
    power: str,
    *,
    phases_s: tuple[float, ...] = (),
    jitter_s: float = 0.0,
    wander_s: float = 0.0,
    seed: int = 0,
    settings: tuple[str, ...] = (),
) -> str:
    """The lines of one device.

    Args:
        profile: its sensor, faults included.
        power: its true power: what follows ``power`` in one line, or several such lines.
        phases_s: of the streams in the profile's order, then of the counter; 0 where not given.
        jitter_s: standard deviation by which each update and tick comes early or late.
        wander_s: standard deviation of a random walk of them, an update.
        seed: of noise, jitter and wander; phases are given.
        settings: further lines.
    """
    phases = iter([*phases_s, *[0.0] * (len(profile.streams) + 1)])
    scope = int(profile.scope == "module")
    always = f"scope={scope} jitter={jitter_s} wander={wander_s}"
    lines = ["device", *(f"power {line.removeprefix('power ')}" for line in power.splitlines())]
    alike: dict[Stream, int] = {}
    for stream in profile.streams:
        number = alike.setdefault(replace(stream, kind="power_w"), len(alike) + 1)
        stated = _stream_line(stream, profile, next(phases))
        lines.append(f"{stated} seed={SEEDS * seed + number} {always}")
    if profile.counter is not None:
        stated = _counter_line(profile.counter, profile, next(phases))
        lines.append(f"{stated} seed={SEEDS * seed} {always}")
    if profile.faults.frozen_after_s is not None:
        freeze = f"freeze from_s={profile.faults.frozen_after_s}"
        lines += [f"fault {call} {freeze}" for call in ("nvmlDeviceGetTotalEnergyConsumption", "field:83")]
    if profile.scope == "module":
        lines.append("name NVIDIA GH200 480GB")
    return "\n".join([*lines, *settings, ""])


def virtual(*boards: str) -> str:
    """A configuration on a clock that moves only when told to."""
    return "clock virtual\n" + "".join(boards)


def quiet(name: str) -> SensorProfile:
    """A profile without noise."""
    profile = PROFILES[name]
    return replace(profile, streams=tuple(replace(stream, noise=0.0) for stream in profile.streams))


def _stream_line(stream: Stream, profile: SensorProfile, phase_s: float) -> str:
    values = asdict(stream)
    options = [f"{word}={values[name]}" for name, word in _STREAM_WORDS.items()]
    options += [f"phase={phase_s}", f"zero={profile.faults.zero_share}", f"lost={profile.faults.lost_share}"]
    return " ".join(["stream", stream.kind, *options])


def _counter_line(counter: Counter, profile: SensorProfile, phase_s: float) -> str:
    return (
        f"counter tick={counter.tick_s} phase={phase_s} delay={counter.delay_s} gain={counter.gain} "
        f"resolution={counter.resolution_j} part_time={int(counter.part_time)} lost={profile.faults.lost_share}"
    )


STEADY = "from 0 250"
SQUARE = "square period_s=0.0271 duty=0.5 low_w=100 high_w=300"
H100 = virtual(board(PROFILES["h100"], STEADY))
