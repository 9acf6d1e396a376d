"""Is an NVIDIA board fit? Driver, which board it is, sharing, limits, clocks, heat, and how it was throttled.

Meaning of the clock event bits: nvml.h, nvmlClocksEventReasons.
"""

from __future__ import annotations

from collections.abc import Iterator

from energybench.doctor.examination import Examination
from energybench.doctor.finding import Finding
from energybench.meters import BoardState

HOT_C = 80.0
"""Most boards begin to slow down between 83 and 90 degrees."""
LIMIT_DIFFERS = 0.01
THROTTLED_S = 1.0
_HARMFUL_BITS = {
    0x8: "hardware slowdown",
    0x20: "software slowdown for heat",
    0x40: "hardware slowdown for heat",
    0x80: "hardware power brake",
}
_TELLING_BITS = {0x2: "application clocks", 0x4: "the power limit", 0x10: "sync boost", 0x100: "display clocks"}


def board_findings(examination: Examination) -> Iterator[Finding]:
    """Findings about the board itself."""
    yield from _driver(examination)
    yield from _mapping(examination)
    yield from _sharing(examination)
    yield from _settings(examination)
    if examination.state is not None:
        yield from _limit(examination, examination.state)
        yield from _clocks(examination, examination.state)
        yield from _throttling(examination.state)
        yield from _heat(examination.state)


def _driver(examination: Examination) -> Iterator[Finding]:
    board = examination.described
    known = [f"{word} {board[name]}" for word, name in (("driver", "driver"), ("NVML", "nvml")) if name in board]
    yield Finding("ok", "driver", ", ".join([*known, str(board.get("binding", "nvidia-ml-py"))]))
    for warning in board.get("warnings", ()):
        what, _, remedy = str(warning).rpartition(": pip ")
        if what:
            yield Finding("warning", "driver", what, "the wrong binding answers differently", f"pip {remedy}")
        else:
            yield Finding(
                "warning", "driver", str(warning), "another board's joules would be billed", "check the board below"
            )


def _mapping(examination: Examination) -> Iterator[Finding]:
    board, around = examination.described, examination.surroundings
    name = f"{board.get('board', 'this board')}, {board.get('uuid', 'UUID unknown')}"
    if examination.uuid is None:
        yield Finding("ok", "board", name)
    elif _bare(examination.uuid) == _bare(str(board.get("uuid", ""))):
        yield Finding("ok", "board", f"{name}: the board that works is the board that is metered (found by UUID)")
    elif examination.pci_bus_id and _slot(examination.pci_bus_id) == _slot(str(board.get("pci_bus_id", ""))):
        yield Finding("ok", "board", f"{name}: the board that works is the board that is metered (found by PCI bus id)")
    else:
        yield Finding(
            "fault",
            "board",
            f"CUDA works on {examination.uuid}, NVML watches {board.get('uuid', 'another board')}",
            "joules of another board would be printed",
            "name the board by its UUID: --gpu GPU-...",
        )
    number, index = examination.number.partition(":")[2], board.get("nvml_index")
    if number.isdigit() and index is not None:
        same = int(number) == index
        yield Finding(
            "ok" if same else "note",
            "board",
            f"CUDA's number {number} is number {index} to NVML and nvidia-smi",
            "a number means another board to nvidia-smi than to CUDA",
            f"name the board by its UUID: --gpu {board.get('uuid', 'GPU-...')}",
        )
    if around.visible_devices is not None and around.device_order != "PCI_BUS_ID":
        yield Finding(
            "note",
            "board",
            f"CUDA_VISIBLE_DEVICES is {around.visible_devices!r} and CUDA counts the fastest board first",
            "a number means another board to nvidia-smi than to CUDA",
            "name boards by UUID, or set CUDA_DEVICE_ORDER=PCI_BUS_ID",
        )


def _sharing(examination: Examination) -> Iterator[Finding]:
    board, state = examination.described, examination.state
    if board.get("mig") is False:
        yield Finding("ok", "sharing", "MIG is off")
    virtual = board.get("virtualization")
    if virtual in ("none", "passthrough"):
        yield Finding("ok", "sharing", "a whole board" + (", passed through" if virtual == "passthrough" else ""))
    processes = state.processes if state else None
    if processes is None:
        yield Finding(
            "note",
            "sharing",
            "whether others use the board cannot be seen",
            "their joules would be counted as yours",
            "look at `nvidia-smi` on the host itself",
        )
    elif processes:
        shown = ", ".join(str(pid) for pid in processes[:5]) + (", ..." if len(processes) > 5 else "")
        yield Finding(
            "warning",
            "sharing",
            f"{len(processes)} other process{'es use' if len(processes) > 1 else ' uses'} the board (pid {shown})",
            "their joules are counted as yours, and their work slows yours",
            "stop them, move the display to another GPU, or use another board",
        )
    else:
        yield Finding("ok", "sharing", "no other process uses the board (as far as this container can see)")


def _settings(examination: Examination) -> Iterator[Finding]:
    board = examination.described
    if board.get("persistence_mode") is False:
        yield Finding(
            "warning",
            "settings",
            "persistence mode is off",
            "the driver unloads when idle: the first use is slow, and counters start anew",
            "`sudo nvidia-smi -pm 1`",
        )
    elif board.get("persistence_mode"):
        yield Finding("ok", "settings", "persistence mode is on")
    if board.get("compute_mode") == "prohibited":
        yield Finding("fault", "settings", "compute mode is prohibited", "nothing can run", "`sudo nvidia-smi -c 0`")
    if board.get("power_smoothing"):
        yield Finding(
            "warning",
            "settings",
            "the driver smooths this board's power: it has a floor, and ramps slowly",
            "idle is not idle, so that dynamic joules are refused; changes of power reach the sensor late",
            "ask the administrator to turn power smoothing off, or quote total joules only",
        )
    elif "power_smoothing" in board:
        yield Finding("ok", "settings", "power smoothing is off")
    elif why_not := board.get("missing", {}).get("power_smoothing"):
        yield Finding("ok", "settings", f"no power smoothing that the driver knows of ({why_not})")
    if "ecc" in board:
        yield Finding("ok", "settings", f"ECC is {'on' if board['ecc'] else 'off'}")


def _limit(examination: Examination, state: BoardState) -> Iterator[Finding]:
    limit_w, default_w = state.power_limit_w, examination.described.get("power_limit_default_w")
    if limit_w is None:
        return
    if default_w and abs(limit_w / default_w - 1) > LIMIT_DIFFERS:
        yield Finding(
            "note",
            "limits",
            f"the power limit is {limit_w:.4g} W, the board's default {default_w:.4g} W",
            "a limit that rules changes clocks, times and joules",
            f"state it with the numbers, or `sudo nvidia-smi -pl {default_w:.0f}`",
        )
    else:
        yield Finding("ok", "limits", f"the power limit is {limit_w:.4g} W" + (", the default" if default_w else ""))


def _clocks(examination: Examination, state: BoardState) -> Iterator[Finding]:
    bits = state.clock_event_bits or 0
    most_hz = examination.described.get("sm_clock_max_hz")
    if state.sm_clock_hz is not None:
        most = f" of at most {most_hz / 1e6:.0f}" if most_hz else ""
        yield Finding("ok", "clocks", f"SM clock now {state.sm_clock_hz / 1e6:.0f} MHz{most}")
    for bit, name in _HARMFUL_BITS.items():
        if bits & bit:
            yield Finding(
                "warning",
                "clocks",
                f"the clocks are held down right now: {name}",
                "times and joules are those of a throttled board",
                "check cooling, power cables and the power supply",
            )
    telling = [name for bit, name in _TELLING_BITS.items() if bits & bit]
    if telling:
        yield Finding("note", "clocks", f"the clocks are ruled by {', '.join(telling)}")


def _throttling(state: BoardState) -> Iterator[Finding]:
    heat_s, hardware_s, cap_s = state.throttle_thermal_s, state.throttle_hw_s, state.throttle_power_s
    if heat_s is None and hardware_s is None:
        yield Finding(
            "note",
            "throttling",
            "the driver keeps no throttle times",
            "slowing for heat can only be seen as a snapshot",
            "a driver of 570 or newer has them",
        )
        return
    bad = {"heat": heat_s or 0.0, "hardware": hardware_s or 0.0}
    slowed = [f"{seconds:.3g} s by {cause}" for cause, seconds in bad.items() if seconds > THROTTLED_S]
    if slowed:
        yield Finding(
            "warning",
            "throttling",
            f"since the driver was loaded the clocks were slowed for {' and '.join(slowed)}",
            "it may happen again under your load; every window records it",
            "check cooling and power supply",
        )
    else:
        yield Finding("ok", "throttling", "never slowed by heat or hardware since the driver was loaded")
    if cap_s is not None and cap_s > THROTTLED_S:
        yield Finding("note", "throttling", f"held at the power limit for {cap_s:.3g} s since the driver was loaded")


def _heat(state: BoardState) -> Iterator[Finding]:
    if state.temperature_c is None:
        return
    if state.temperature_c >= HOT_C:
        yield Finding(
            "warning",
            "heat",
            f"{state.temperature_c:.0f} degrees before any load",
            "a hot board leaks more, and will throttle under load",
            "let it cool down, check fans and airflow",
        )
    else:
        yield Finding("ok", "heat", f"{state.temperature_c:.0f} degrees")


def _bare(uuid: str) -> str:
    return uuid.removeprefix("GPU-").lower()


def _slot(pci_bus_id: str) -> str:
    """Bus id without leading zeros of its domain: ``00000000:3B:00.0`` and ``0000:3b:00.0`` are one."""
    return pci_bus_id.lower().lstrip("0")
