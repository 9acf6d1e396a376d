"""Which boards are measured? The twelve sensors, each as a configuration of the fake and as energybench knows it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from fakenvml.boards import board

from energybench.readings import POWER_INSTANT
from energybench.sensor import PROFILES, SensorProfile

ARCHITECTURES = {
    "kepler": 2,  # numbers as in nvml.h, NVML_DEVICE_ARCH_...
    "pascal": 4,
    "volta": 5,
    "turing": 6,
    "a100": 7,
    "ga10x-fast": 7,
    "ga10x-average": 7,
    "consumer-500ms": 7,
    "h100": 9,
    "gh200": 9,
    "frozen-counter": 7,
    "lossy": 9,
}
"""The twelve profiles, and the architecture by which some tools decide what a board can do."""

NAMES = {
    "kepler": "Tesla K40m",
    "pascal": "Tesla P100-PCIE-16GB",
    "volta": "Tesla V100-SXM2-16GB",
    "turing": "Tesla T4",
    "a100": "NVIDIA A100-SXM4-40GB",
    "ga10x-fast": "NVIDIA A10",
    "ga10x-average": "NVIDIA A10",
    "consumer-500ms": "NVIDIA GeForce RTX 3090",
    "h100": "NVIDIA H100 80GB HBM3",
    "gh200": "NVIDIA GH200 480GB",
    "frozen-counter": "NVIDIA A100-SXM4-40GB",
    "lossy": "NVIDIA H100 80GB HBM3",
}
JITTER_S = 1.5e-4
"""Standard deviation by which every tick and update comes early or late. Nobody has published how regular a real
board's are; this much is ours: 0.15 % of the usual period, as of a timer that other work delays."""
GEFORCE, DATA_CENTRE = 5, 14  # NVML_BRAND_GEFORCE, NVML_BRAND_NVIDIA


def hardware(name: str) -> SensorProfile:
    """What the fake is to be.

    A Pascal board answers the fast power field, too, with the same value: P100 and GTX 1080 Ti do so under drivers
    525.116 and 535 (data of arXiv 2312.02741, SC24), and two peers ask for nothing else.
    """
    profile = PROFILES[name]
    if name != "pascal":
        return profile
    (plain,) = profile.streams
    return replace(profile, streams=(plain, replace(plain, kind=POWER_INSTANT)))


def configuration(name: str, *, ledger: str, origin_s: float, seed: int, jitter_s: float = JITTER_S) -> str:
    """The fake's configuration of one board on the host's clock, with sensor phases of this seed.

    Args:
        name: of the profile.
        ledger: file in which the load says what it draws.
        origin_s: CLOCK_MONOTONIC at the fake's time 0, so that all processes of a tool see one board.
        seed: of phases, noise and jitter.
        jitter_s: standard deviation by which ticks and updates come early or late.
    """
    profile = hardware(name)
    draws = np.random.default_rng([seed, len(name), ARCHITECTURES[name]]).random(4)
    refreshes = {stream.kind: stream.refresh_s for stream in profile.streams}
    streams_s = [float(draws[0] * refresh_s) for refresh_s in refreshes.values()]
    counter_s = [float(draws[1] * profile.counter.tick_s)] if profile.counter else []
    settings = (
        f"architecture {ARCHITECTURES[name]}",
        f"brand {GEFORCE if 'GeForce' in NAMES[name] else DATA_CENTRE}",
        f"name {NAMES[name]}",
    )
    phases_s = (*streams_s, *counter_s)
    lines = board(profile, f"ledger {ledger}", phases_s=phases_s, jitter_s=jitter_s, seed=seed, settings=settings)
    if profile.scope == "module":
        lines += _of_the_gpu(lines)
    return f"clock monotonic\norigin {origin_s!r}\n{lines}"


def _of_the_gpu(lines: str) -> str:
    """What the module's fields say, said at the GPU's own scope, too: two peers ask nowhere else.

    Its fast value mixes in CPU and memory (SC24), and its counter is the module's (zeus PR 172).
    """
    sources = [line for line in lines.splitlines() if line.startswith(("stream ", "counter "))]
    return "".join(f"{line.replace('scope=1', 'scope=0')}\n" for line in sources)


def has_counter(name: str) -> bool:
    """Whether the board has an energy counter that works."""
    return hardware(name).counter is not None and hardware(name).faults.frozen_after_s is None
