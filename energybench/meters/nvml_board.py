"""Which NVIDIA board is it, is it fit for joules, and in what state? Identity and state through nvidia-ml-py.

Source of calls, fields and codes: nvml.h (its Python names in nvidia-ml-py). Every call is tried; what the driver does
not answer becomes a reason, never a number.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from energybench.errors import MeterError
from energybench.meters import BoardState

GONE_CODES = {15, 16}  # GPU is lost, reset required
UNKNOWN_CODE = 999  # while measuring as bad as a lost board; before, one call that this driver does not manage
_TIME_ONLY = "or measure time only with --meter none"
_INIT_REMEDIES = {
    4: "give this user access to /dev/nvidia* (in a container: start it with the GPUs)",
    8: "connect the board's power cables",
    9: "load the driver (`sudo modprobe nvidia`)",
    12: "install the NVIDIA driver (in a container: start it with the GPUs, `--gpus all`)",
    13: "install a newer NVIDIA driver",
    15: "look for Xid errors in `dmesg`, then reset the GPU or reboot",
    17: "let this cgroup use /dev/nvidia*",
    18: "reboot, or reload the driver: it was upgraded while an older one was loaded",
}
_ARCHITECTURES = {2: "Kepler", 3: "Maxwell", 4: "Pascal", 5: "Volta", 6: "Turing", 7: "Ampere", 8: "Ada", 9: "Hopper"}
_ARCHITECTURES |= {10: "Blackwell", 13: "Rubin"}
_BRANDS = {0: "unknown", 1: "Quadro", 2: "Tesla", 3: "NVS", 4: "GRID", 5: "GeForce", 6: "Titan", 7: "vApps", 8: "vPC"}
_BRANDS |= {9: "vCS", 10: "vWS", 11: "Cloud Gaming", 12: "Quadro RTX", 13: "NVIDIA RTX", 14: "NVIDIA"}
_BRANDS |= {15: "GeForce RTX", 16: "Titan RTX"}
_COMPUTE_MODES = {0: "default", 1: "exclusive thread", 2: "prohibited", 3: "exclusive process"}
VIRTUALIZATION = {0: "none", 1: "passthrough", 2: "vGPU guest", 3: "vGPU host", 4: "vSGA host"}
_SM_CLOCK, _MEMORY_CLOCK, _GPU_TEMPERATURE = 1, 2, 0
_THROTTLE_FIELDS = (74, 75, 269, 270, 271)  # SW power cap, thermal; from driver 570 on SW thermal, HW thermal, HW brake


def start_nvml() -> Any:
    """The binding, with the driver's library loaded and initialised.

    Raises:
        MeterError: with what to do about it, for every way in which NVML can be absent.
    """
    try:
        import pynvml
    except ImportError as error:
        raise MeterError(f"nvidia-ml-py cannot be imported: {error}", remedy="pip install nvidia-ml-py") from error
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        remedy = _INIT_REMEDIES.get(error.value, "see what `nvidia-smi` says")
        raise MeterError(
            f"NVML does not start: {error} (code {error.value})",
            why="watts and joules of an NVIDIA board come from NVML; without it only time can be measured",
            remedy=f"{remedy}, {_TIME_ONLY}",
        ) from error
    return pynvml


def find_board(nvml: Any, uuid: str | None, pci_bus_id: str | None) -> tuple[Any, list[str]]:
    """The handle of a board by UUID, else by PCI bus id, else the only one there is; and warnings.

    NVML counts boards in PCI order and CUDA in its own, so an index says nothing.

    Raises:
        MeterError: it is not there, or there are several and none was named.
    """
    refusals: list[str] = []
    if uuid:
        full = uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
        handle = _attempt(nvml, refusals, lambda: nvml.nvmlDeviceGetHandleByUUID(full))
        if handle is not None:
            return _whole_board(nvml, handle, full), []
    if pci_bus_id:
        handle = _attempt(nvml, refusals, lambda: nvml.nvmlDeviceGetHandleByPciBusId(pci_bus_id))
        if handle is not None:
            unknown = [f"found by PCI bus id, since NVML does not know its UUID: {refusals[0]}"] if uuid else []
            return handle, unknown
    boards = _boards(nvml)
    if not uuid and not pci_bus_id and len(boards) == 1:
        handle = _attempt(nvml, refusals, lambda: nvml.nvmlDeviceGetHandleByIndex(0))
        if handle is not None:
            return handle, []
    wanted = uuid or pci_bus_id or "the only board"
    raise MeterError(
        f"NVML does not find {wanted}: {refusals[-1] if refusals else f'it sees {len(boards)} boards'}",
        why="joules of another board would be attributed to this one",
        remedy=f"--gpu with one of: {', '.join(boards) or 'none visible'}; {_TIME_ONLY}",
    )


def board_identity(nvml: Any, handle: Any, further: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """Driver, board, firmware, limits and modes; ``missing`` holds the reasons for what is not there.

    Args:
        nvml: the binding.
        handle: of the board.
        further: queries to ask like these, by name.
    """
    watts = _from_milli
    queries: dict[str, Callable[[], Any]] = {
        "driver": nvml.nvmlSystemGetDriverVersion,
        "nvml": nvml.nvmlSystemGetNVMLVersion,
        "binding": lambda: f"nvidia-ml-py {version('nvidia-ml-py')}",
        "board": lambda: nvml.nvmlDeviceGetName(handle),
        "uuid": lambda: nvml.nvmlDeviceGetUUID(handle),
        "pci_bus_id": lambda: _text(nvml.nvmlDeviceGetPciInfo(handle).busId),
        "vbios": lambda: nvml.nvmlDeviceGetVbiosVersion(handle),
        "brand": lambda: _named(_BRANDS, nvml.nvmlDeviceGetBrand(handle)),
        "architecture": lambda: _named(_ARCHITECTURES, nvml.nvmlDeviceGetArchitecture(handle)),
        "persistence_mode": lambda: bool(nvml.nvmlDeviceGetPersistenceMode(handle)),
        "power_limit_w": lambda: watts(nvml.nvmlDeviceGetEnforcedPowerLimit(handle)),
        "power_limit_default_w": lambda: watts(nvml.nvmlDeviceGetPowerManagementDefaultLimit(handle)),
        "power_limit_min_w": lambda: watts(nvml.nvmlDeviceGetPowerManagementLimitConstraints(handle)[0]),
        "power_limit_max_w": lambda: watts(nvml.nvmlDeviceGetPowerManagementLimitConstraints(handle)[1]),
        "sm_clock_max_hz": lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, _SM_CLOCK) * 1e6,
        "memory_clock_max_hz": lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, _MEMORY_CLOCK) * 1e6,
        "mig": lambda: bool(nvml.nvmlDeviceGetMigMode(handle)[0]),
        "ecc": lambda: bool(nvml.nvmlDeviceGetEccMode(handle)[0]),
        "compute_mode": lambda: _named(_COMPUTE_MODES, nvml.nvmlDeviceGetComputeMode(handle)),
        "virtualization": lambda: _named(VIRTUALIZATION, nvml.nvmlDeviceGetVirtualizationMode(handle)),
        "nvml_index": lambda: nvml.nvmlDeviceGetIndex(handle),
        **further,
    }
    found: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for name, query in queries.items():
        value, refusal = answer(nvml, query)
        if refusal:
            missing[name] = refusal
        else:
            found[name] = value
    return {**found, "missing": missing}


def binding_warnings() -> list[str]:
    """What to say about other packages that bring the module ``pynvml``."""
    try:
        rival = version("pynvml")
    except PackageNotFoundError:
        return []
    return [
        f"the deprecated package pynvml {rival} is installed beside nvidia-ml-py; both bring the module `pynvml` and "
        "which one is loaded is chance: pip uninstall pynvml, then pip install --force-reinstall nvidia-ml-py"
    ]


def covers_module(nvml: Any, handle: Any) -> bool:
    """Whether the board's counter covers a whole module, GPU with CPU and memory. Source: zeus PR 172."""
    board, _ = answer(nvml, lambda: nvml.nvmlDeviceGetName(handle))
    return "GH200" in (board or "")


def power_limit_w(nvml: Any, handle: Any) -> float | None:
    """The power limit that is enforced, where the driver tells it."""
    limit: float | None
    limit, _ = answer(nvml, lambda: _from_milli(nvml.nvmlDeviceGetEnforcedPowerLimit(handle)))
    return limit


def board_state(nvml: Any, handle: Any, time_s: float, *, processes: bool) -> BoardState:
    """The board now; what the driver does not answer is None."""
    sm_mhz, _ = answer(nvml, lambda: nvml.nvmlDeviceGetClockInfo(handle, _SM_CLOCK))
    memory_mhz, _ = answer(nvml, lambda: nvml.nvmlDeviceGetClockInfo(handle, _MEMORY_CLOCK))
    bits, refusal = answer(nvml, lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
    if refusal:  # its name before driver 535
        bits, _ = answer(nvml, lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
    throttled = _throttle_s(nvml, handle)
    used_bytes, _ = answer(nvml, lambda: float(nvml.nvmlDeviceGetMemoryInfo(handle).used))
    pids = _listed_processes(nvml, handle) if processes else None
    hardware = [throttled[field] for field in (270, 271) if field in throttled]
    return BoardState(
        time_s=time_s,
        temperature_c=_temperature_c(nvml, handle),
        sm_clock_hz=None if sm_mhz is None else sm_mhz * 1e6,
        memory_clock_hz=None if memory_mhz is None else memory_mhz * 1e6,
        power_limit_w=power_limit_w(nvml, handle),
        throttle_thermal_s=throttled.get(269, throttled.get(75)),
        throttle_power_s=throttled.get(74),
        throttle_hw_s=sum(hardware) if hardware else None,
        clock_event_bits=bits,
        memory_used_bytes=used_bytes,
        processes=None if pids is None else tuple(sorted(pids - {os.getpid()})),
        own_listed=None if pids is None else os.getpid() in pids,
    )


def field_number(value: Any) -> float:
    """The number in a field value, read by the type it says it has (nvmlValueType_t)."""
    names = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
    return float(getattr(value.value, names[value.valueType]))


def refusal_text(error: Any) -> str:
    """An NVML error in words, with its code."""
    return f"{error} (code {error.value})"


def _whole_board(nvml: Any, handle: Any, uuid: str) -> Any:
    """The board of a MIG slice, which is what has a sensor; joules are refused there by :func:`why_no_energy`."""
    if not uuid.startswith("MIG-"):
        return handle
    board, _ = answer(nvml, lambda: nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle))
    return handle if board is None else board


def _boards(nvml: Any) -> list[str]:
    """UUIDs of all boards that may be opened, in NVML's order."""
    count, _ = answer(nvml, nvml.nvmlDeviceGetCount)
    return [_uuid_of(nvml, index) for index in range(count or 0)]


def _uuid_of(nvml: Any, index: int) -> str:
    uuid, _ = answer(nvml, lambda: nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetHandleByIndex(index)))
    return uuid or f"number {index}, which may not be opened"


def _temperature_c(nvml: Any, handle: Any) -> float | None:
    temperature, refusal = answer(nvml, lambda: nvml.nvmlDeviceGetTemperatureV(handle, _GPU_TEMPERATURE))
    if refusal:  # drivers and bindings before 570 have only the older call
        temperature, _ = answer(nvml, lambda: nvml.nvmlDeviceGetTemperature(handle, _GPU_TEMPERATURE))
    return None if temperature is None else float(temperature)


def _throttle_s(nvml: Any, handle: Any) -> dict[int, float]:
    """Cumulative violation times by field; only those that the driver answers."""
    values, _ = answer(nvml, lambda: nvml.nvmlDeviceGetFieldValues(handle, list(_THROTTLE_FIELDS)))
    answered = [value for value in values or () if value.nvmlReturn == 0]
    return {value.fieldId: field_number(value) * 1e-9 for value in answered}


def _listed_processes(nvml: Any, handle: Any) -> set[int] | None:
    """Pids that use the board; None where no list can be read."""
    lists = [
        answer(nvml, lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle)),
        answer(nvml, lambda: nvml.nvmlDeviceGetGraphicsRunningProcesses(handle)),
        answer(nvml, lambda: nvml.nvmlDeviceGetMPSComputeRunningProcesses(handle)),
    ]
    known = [processes for processes, refusal in lists if not refusal]
    if not known:
        return None
    return {process.pid for processes in known for process in processes}


def answer(nvml: Any, query: Callable[[], Any]) -> tuple[Any, str]:
    """What a query answers and "", or None and why not."""
    try:
        return query(), ""
    except nvml.NVMLError as error:
        return None, refusal_text(error)
    except AttributeError as error:  # a binding older than the call
        return None, f"this nvidia-ml-py does not know the call: {error}"
    except PackageNotFoundError as error:
        return None, f"not installed as a package: {error}"


def _attempt(nvml: Any, refusals: list[str], query: Callable[[], Any]) -> Any:
    value, refusal = answer(nvml, query)
    if refusal:
        refusals.append(refusal)
    return value


def _from_milli(value: float) -> float:
    return float(value) * 1e-3


def _named(names: dict[int, str], number: int) -> str:
    return names.get(number, f"number {number}")


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
