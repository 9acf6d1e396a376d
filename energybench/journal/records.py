"""What does a run write down? The records of a run folder, one class a kind of line."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from energybench.columns import SCHEMA_VERSION
from energybench.cost import Family

WindowKind = Literal["window", "idle", "settle", "observer", "latency", "failed", "skipped", "stopped"]

Count = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[int, Field(ge=1, lt=2**63)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class CaseRecord(_Record):
    """One case as it was planned: what it is and what it must do."""

    id: str
    variant: str
    layer: str
    args: dict[str, Any] = Field(default_factory=dict)
    inputs: list[dict[str, Any]] = Field(default_factory=list)
    point: dict[str, str | int | float | bool] = Field(default_factory=dict)
    comparison: str
    batch: Positive
    dtype: str
    layout: str = "contiguous"
    mode: str = "inference"
    cache: str = "hot"
    compile: bool = False
    repeat: Positive = 1
    baseline: str
    pair: str | None = None
    top1: float | None = None
    work: str
    macs: Count
    params: Count
    compulsory_bytes: Count
    eager_bytes: Count
    peak_memory_bytes: Count
    unknown_operators: list[str] = Field(default_factory=list)


class SkippedRecord(_Record):
    """A case that is not measured, and why."""

    case: str
    because: str


class OperatorRecord(_Record):
    """One operator of a piece of work, in execution order."""

    work: str
    index: Count
    path: str = ""
    name: str
    family: Family
    macs: Count
    read_bytes: Count
    write_bytes: Count
    dtype: str
    groups: Count = 1
    group_size: Count = 0
    kernel_size: Count = 0
    out_channels: Count = 0
    stride: Count = 0
    input_side: Count = 0
    weight_bytes: Count = 0
    reread_bytes: Count = 0
    known: bool = True
    measured_s: float | None = None
    kernel: str | None = None


class BoardRecord(_Record):
    """What the board said of itself at one moment. What could not be read is None, never 0.

    Attributes:
        time_s: when, on the run's clock.
        temperature_c: of the GPU.
        sm_clock_hz: of the multiprocessors.
        memory_clock_hz: of the memory.
        power_limit_w: the limit that is enforced.
        throttle_thermal_s: time slowed down by software for heat, since the driver was loaded.
        throttle_power_s: time held at the power limit, since the driver was loaded.
        throttle_hw_s: time slowed down by hardware (heat or power brake), since the driver was loaded.
        clock_event_bits: why clocks are as they are, as NVML's bit mask.
        memory_used_bytes: of the board's memory, by everyone.
    """

    time_s: float
    temperature_c: float | None = None
    sm_clock_hz: float | None = None
    memory_clock_hz: float | None = None
    power_limit_w: float | None = None
    throttle_thermal_s: float | None = None
    throttle_power_s: float | None = None
    throttle_hw_s: float | None = None
    clock_event_bits: int | None = None
    memory_used_bytes: float | None = None


class ReadingsAt(_Record):
    """Where the readings of a window lie in ``readings.csv.gz``."""

    offset: Count
    length: Count
    crc32: Count
    rows: Count


class WindowRecord(_Record):
    """One line of ``windows.jsonl``.

    ``stamps`` are (seconds on the session's clock, iterations done by then). A ``latency`` line carries
    ``samples_s`` (seconds per iteration, each the mean of ``iterations_per_sample``), a ``failed`` line an
    ``error``; so does a ``skipped`` one: why this device cannot run the work. A ``stopped`` line says why a comparison
    ended. ``eager_latency_s`` and ``graph_latency_s`` of a ``latency`` line: the device's time per iteration launched
    kernel by kernel, and as a graph.

    Of several windows of one work in one block the last counts: a ``repeat`` says ``because`` of what the one before
    it does not. ``host_stop_s``: when the host saw the last stamp's work done, on its own clock.
    """

    number: int
    kind: WindowKind
    session: int = 0
    work: str = ""
    comparison: str = ""
    block: int = -1
    start_s: float = 0.0
    stop_s: float = 0.0
    stamps: list[tuple[float, Count]] = Field(default_factory=list)
    samples_s: list[float] = Field(default_factory=list)
    iterations_per_sample: Positive = 1
    repeat: Count = 0
    because: str = ""
    host_stop_s: float | None = None
    recompilations: Count = 0
    launch: str = ""
    compile_s: float | None = None
    eager_latency_s: float | None = None
    graph_latency_s: float | None = None
    peak_memory_bytes: int | None = None
    before: BoardRecord | None = None
    after: BoardRecord | None = None
    faults: dict[str, int] = Field(default_factory=dict)
    flags: list[str] = Field(default_factory=list)
    error: str = ""
    stopped: str = ""
    readings: ReadingsAt | None = None


class RunRecord(_Record):
    """``run.json``: everything that is true of the whole run. No user, host or absolute path.

    It is written when a session begins and when it ends; in between ``stopped`` grows by lines of ``windows.jsonl``.
    ``forced`` names what had changed where a run was gone on with all the same.
    """

    schema_version: int = SCHEMA_VERSION
    energybench_version: str
    created_utc: str
    name: str
    about: str = ""
    suite_text: str
    identity: str
    command: list[str] = Field(default_factory=list)
    options: dict[str, Any] = Field(default_factory=dict)
    analytic: str | None = None
    summed_axis: list[str] = Field(default_factory=list)
    cases: list[CaseRecord]
    skipped: list[SkippedRecord] = Field(default_factory=list)
    measured_as: dict[str, str] = Field(default_factory=dict)
    device: dict[str, Any] = Field(default_factory=dict)
    meter: dict[str, Any] = Field(default_factory=dict)
    sensor: dict[str, Any] | None = None
    calibration: dict[str, Any] | None = None
    machine: dict[str, Any] | None = None
    plan: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    seed: int = 0
    simulated: bool = False
    energy_reason: str = ""
    truth: dict[str, dict[str, float]] = Field(default_factory=dict)
    modelled: dict[str, dict[str, float]] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    sessions: int = 1
    forced: list[str] = Field(default_factory=list)
    complete: bool = False
    stopped: dict[str, str] = Field(default_factory=dict)


def board_change_s(window: WindowRecord, field: str) -> float | None:
    """How much a cumulative time of the board (``throttle_*_s``) grew over a window; None where unknown."""
    if window.before is None or window.after is None:
        return None
    before, after = getattr(window.before, field), getattr(window.after, field)
    return None if before is None or after is None else after - before
