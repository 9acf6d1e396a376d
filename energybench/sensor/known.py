"""What is known of real power sensors: twelve published or typical ones, and a first guess for any board.

Refresh and span: Yang, Adámek, Armour, "Part-time Power Measurements" (arXiv 2312.02741, SC24), who checked more than
70 boards against an external meter; called P below. Nobody publishes delays, noise and its correlation: those numbers
are ours, typical of what readings look like, and ``energybench calibrate`` replaces them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType

from energybench.readings import ENERGY, POWER, POWER_AVERAGE, POWER_INSTANT
from energybench.sensor.profile import Counter, Faults, SensorProfile, Stream

ASSUMED = "assumed, not calibrated"
_OURS = "Delay, noise and correlation: ours."
_COUNTER = "Counter tick of about 100 ms: Zeus project's notes."
_AVERAGED = "Plain value is a 1 s mean on Ampere other than GA100 and newer: nvml.h."

_PAPER_20_10 = Stream(POWER, 0.02, 0.01, delay_s=0.01, noise=0.01, correlation=0.2)
_PAPER_100_100 = Stream(POWER_INSTANT, 0.1, 0.1, delay_s=0.02, noise=0.005, correlation=0.3)
_PAPER_100_25 = Stream(POWER_INSTANT, 0.1, 0.025, delay_s=0.05, noise=0.01, correlation=0.3)
_MEAN_OF_1_S = Stream(POWER_AVERAGE, 0.1, 1.0, delay_s=0.02, noise=0.005, correlation=0.8)
_TICK_100 = Counter(tick_s=0.1)


def _as(stream: Stream, *kinds: str) -> tuple[Stream, ...]:
    return tuple(replace(stream, kind=kind) for kind in kinds)


_KEPLER = SensorProfile(
    "kepler",
    "Kepler or Maxwell: slow response, no counter",
    (Stream(POWER, 0.02, 0.02, delay_s=0.01, rise_s=0.2, noise=0.01, correlation=0.2),),
    None,
    f"P: refresh 20 ms, rise of about 200 ms (logarithmic there, first-order here). Span: ours. {_OURS}",
)
_PASCAL = SensorProfile(
    "pascal", "Pascal: sees half of the time, no counter", (_PAPER_20_10,), None, f"P: 20 ms / 10 ms. {_OURS}"
)
_VOLTA = SensorProfile(
    "volta",
    "Volta: sees half of the time, 10 ms counter",
    _as(_PAPER_20_10, POWER, POWER_INSTANT),
    Counter(tick_s=0.01),
    f"P: 20 ms / 10 ms. Tick of about 10 ms: gpuopenanalytics/pynvml issue 18. {_OURS}",
)
_TURING = SensorProfile(
    "turing",
    "Turing: sees all of the time",
    _as(_PAPER_100_100, POWER, POWER_INSTANT),
    _TICK_100,
    f"P: 100 ms / 100 ms. {_COUNTER} {_OURS}",
)
_A100 = SensorProfile(
    "a100",
    "A100: sees a quarter of the time",
    _as(_PAPER_100_25, POWER, POWER_INSTANT),
    _TICK_100,
    f"P: 100 ms / 25 ms. {_COUNTER} {_OURS}",
)
_GA10X_FAST = SensorProfile(
    "ga10x-fast",
    "GA10x with the fast value",
    (_PAPER_100_100, *_as(_MEAN_OF_1_S, POWER, POWER_AVERAGE)),
    _TICK_100,
    f"P: 100 ms / 100 ms fast, 100 ms / 1 s averaged. {_AVERAGED} {_COUNTER} {_OURS}",
)
_GA10X_AVERAGE = SensorProfile(
    "ga10x-average",
    "GA10x, averaged value only, no counter (older driver)",
    _as(_MEAN_OF_1_S, POWER),
    None,
    f"P: 100 ms / 1 s. {_AVERAGED} Absence of the other sources: the case to be tested. {_OURS}",
)
_CONSUMER = SensorProfile(
    "consumer-500ms",
    "Consumer board of which the driver polls the sensor twice a second",
    (
        replace(_PAPER_100_100, refresh_s=0.5),
        *_as(replace(_MEAN_OF_1_S, refresh_s=0.5, correlation=0.5), POWER, POWER_AVERAGE),
    ),
    Counter(tick_s=0.5),
    "Refresh of 500 ms where the brand is not a data centre's: open-gpu-kernel-modules, nvrm_registry.h and "
    f"gpu_user_shared_data.c. Spans as GA10x (P). That the counter ticks alike: ours. {_OURS}",
)
_H100 = SensorProfile(
    "h100",
    "H100: fast value sees a quarter of the time",
    (_PAPER_100_25, *_as(_MEAN_OF_1_S, POWER, POWER_AVERAGE)),
    _TICK_100,
    f"P: 100 ms / 25 ms fast, 1 s averaged. {_AVERAGED} {_COUNTER} {_OURS}",
)
_GH200 = SensorProfile(
    "gh200",
    "GH200: numbers cover the module, not the GPU alone",
    (replace(_PAPER_100_25, span_s=0.02), *_as(_MEAN_OF_1_S, POWER, POWER_AVERAGE)),
    _TICK_100,
    f"P: 100 ms / 20 ms, CPU and memory mixed in. Counter covers the module: zeus PR 172. {_COUNTER} {_OURS}",
    scope="module",
)
_FROZEN = replace(
    _A100,
    name="frozen-counter",
    title="A100 whose counter stops after 2 s",
    faults=Faults(frozen_after_s=2.0),
    source=f"Sensor as a100. Counters that stand still: rocm_smi_lib issue 180 (AMD). The moment: ours. {_OURS}",
)
_LOSSY = replace(
    _H100,
    name="lossy",
    title="H100 that loses a tenth of its updates and shows zeros",
    faults=Faults(zero_share=0.02, lost_share=0.1),
    source=f"Sensor as h100. Zero readings: zeus PR 186. The shares: ours. {_OURS}",
)
_PART_TIME_COUNTER = replace(
    _A100,
    name="a100-part-time-counter",
    title="A100 whose counter adds up part-time samples",
    counter=Counter(tick_s=0.1, part_time=True),
    hypothetical=True,
    provenance="hypothetical",
    source=f"Sensor as a100. Whether any counter does this is an open question; the beat test answers it. {_OURS}",
)
_H200 = replace(
    _H100,
    name="h200",
    title="H200 (hypothetical: nobody has published this sensor)",
    hypothetical=True,
    provenance="hypothetical",
    source=f"None: as h100, until a board has been calibrated. {_OURS}",
)

PROFILES: Mapping[str, SensorProfile] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            _KEPLER,
            _PASCAL,
            _VOLTA,
            _TURING,
            _A100,
            _GA10X_FAST,
            _GA10X_AVERAGE,
            _CONSUMER,
            _H100,
            _GH200,
            _FROZEN,
            _LOSSY,
            _PART_TIME_COUNTER,
            _H200,
        )
    }
)
"""The twelve profiles, and two hypothetical ones: a part-time counter and the H200."""

_GENERATIONS = ("Kepler", "Maxwell", "Pascal", "Volta", "Turing", "Ampere", "Ada", "Hopper")
_DATA_CENTRE_BRANDS = ("Tesla", "NVIDIA")
_GA100_BOARDS = ("A100", "A800", "A30")


def assumed_profile(
    architecture: str, brand: str, *, board_name: str = "", kinds: Collection[str] | None = None
) -> SensorProfile:
    """A first guess for a real board, to plan with until it is calibrated; errs on the slow and part-time side.

    Args:
        architecture: as NVML names it: ``Hopper``. Generations unknown here are treated as part-time.
        brand: as NVML names it: ``Tesla``, ``GeForce``. All but data-centre brands from Ampere on count as refreshed
            every 500 ms, the driver's default there (open-gpu-kernel-modules, nvrm_registry.h).
        board_name: tells GA100 boards from other Ampere ones, and Grace Hopper modules from others.
        kinds: what the meter was found to offer; None for what the generation should have.

    Returns:
        A profile whose provenance is ``assumed, not calibrated``, with exactly these kinds.

    Source: arXiv 2312.02741, SC24, as in :data:`PROFILES`; a counter from Volta on: nvml.h. Noise of 1 %, its
        correlation of 0.5, a delay of one refresh: ours.
    """
    age = _GENERATIONS.index(architecture) if architecture in _GENERATIONS else len(_GENERATIONS)
    ga100 = architecture == "Ampere" and any(name in board_name for name in _GA100_BOARDS)
    averages = age >= _GENERATIONS.index("Ampere") and not ga100
    refresh_s = _assumed_refresh_s(age, brand)
    fast = Stream(
        POWER_INSTANT,
        refresh_s,
        0.025 if ga100 else _assumed_span_s(age),
        delay_s=refresh_s,
        rise_s=0.2 if age <= _GENERATIONS.index("Maxwell") else 0.0,
        noise=0.01,
        correlation=0.5,
    )
    average = replace(fast, kind=POWER_AVERAGE, span_s=1.0)
    by_kind = {POWER_INSTANT: fast, POWER: replace(average if averages else fast, kind=POWER), POWER_AVERAGE: average}
    if kinds is None:
        newer = (ENERGY, POWER_INSTANT) if age >= _GENERATIONS.index("Volta") else ()
        kinds = {*newer, POWER, *((POWER_AVERAGE,) if averages else ())}
    return SensorProfile(
        name=f"assumed-{architecture or 'unknown'}-{brand or 'unknown'}".lower().replace(" ", "-"),
        title=f"{architecture} {brand}: {ASSUMED}",
        streams=tuple(stream for kind, stream in by_kind.items() if kind in kinds),
        counter=Counter(tick_s=max(refresh_s, 0.1)) if ENERGY in kinds else None,
        source=f"Refresh and span of the generation where published (P); {_OURS}",
        hypothetical=age >= len(_GENERATIONS) or "H200" in board_name,
        provenance=ASSUMED,
        scope="module" if "GH200" in board_name else "board",
    )


def rapl_profile() -> SensorProfile:
    """The counter behind Linux' powercap tree.

    Source: a tick of about 1 ms, steps of 2^-14 J: Intel 64 and IA-32 manual, volume 3, RAPL interfaces.
    """
    return SensorProfile("rapl", "RAPL energy counter", (), Counter(0.001, 2.0**-14), "Intel SDM volume 3, RAPL.")


def _assumed_refresh_s(age: int, brand: str) -> float:
    if age <= _GENERATIONS.index("Volta"):
        return 0.02
    if age == _GENERATIONS.index("Turing") or brand in _DATA_CENTRE_BRANDS:
        return 0.1
    return 0.5


def _assumed_span_s(age: int) -> float:
    """Span of the fast value; a quarter of 100 ms from Hopper on, which no newer board is known to better."""
    by_age = {"Kepler": 0.02, "Maxwell": 0.02, "Pascal": 0.01, "Volta": 0.01, "Turing": 0.1, "Ampere": 0.1, "Ada": 0.1}
    return by_age[_GENERATIONS[age]] if age < _GENERATIONS.index("Hopper") else 0.025
