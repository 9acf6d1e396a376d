"""Is the board's power ours alone, and is it that of the work? Slices, guests, MPS clients, and smoothed power.

Power exists for a whole board only. Where others have a share in it no joule can be told apart, so there are none.

Source: NVIDIA's MPS documentation (pipe directory and its files), nvml.h (modes, power smoothing).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from energybench.meters.nvml_board import VIRTUALIZATION, answer, field_number

MPS_PIPES = "/tmp/nvidia-mps"  # noqa: S108  (where MPS puts its pipes unless told otherwise)
_SHARED = {2, 3, 4}
_SOC_SMOOTHING = "NVML_FI_PWR_SMOOTHING_SOC_POWER_SMOOTHING_ENABLED"
_TIME_ONLY = "or measure time only with --meter none"


def why_no_energy(nvml: Any, handle: Any) -> str:
    """Why joules of this board would not be ours alone; empty where they would be."""
    mig, _ = answer(nvml, lambda: nvml.nvmlDeviceGetMigMode(handle)[0])
    if mig == 1:
        return (
            "MIG is enabled: power and energy exist for the whole board only, not for a slice; "
            f"try `sudo nvidia-smi -mig 0`, {_TIME_ONLY}"
        )
    mode, _ = answer(nvml, lambda: nvml.nvmlDeviceGetVirtualizationMode(handle))
    if mode in _SHARED:
        return (
            f"the board is shared ({VIRTUALIZATION[mode]}): its power is that of all guests; "
            f"try a whole board (passthrough), {_TIME_ONLY}"
        )
    clients, _ = answer(nvml, lambda: nvml.nvmlDeviceGetMPSComputeRunningProcesses(handle))
    sign = f"the driver lists {len(clients)} MPS client{'s' * (len(clients) > 1)}" if clients else mps_sign()
    if sign:
        return (
            f"MPS shares this board ({sign}): its power is that of all clients; "
            f"try `echo quit | nvidia-cuda-mps-control` and unset CUDA_MPS_PIPE_DIRECTORY, {_TIME_ONLY}"
        )
    return ""


def mps_sign() -> str:
    """How it shows that CUDA programs started here would run through an MPS daemon; empty where they would not.

    A daemon that has ended may leave its pipes behind: where it wrote down its number, that process must exist.
    """
    named = os.environ.get("CUDA_MPS_PIPE_DIRECTORY")
    pipes = Path(named or MPS_PIPES)
    try:
        if not (pipes / "control").exists():
            return ""
        number = (pipes / "nvidia-cuda-mps-control.pid").read_text().strip()
    except OSError:
        number = ""
    if number.isdigit() and not Path(f"/proc/{number}").exists():
        return ""
    return "its daemon has its pipes " + ("in CUDA_MPS_PIPE_DIRECTORY" if named else f"in {MPS_PIPES}")


def power_smoothing(nvml: Any, handle: Any) -> bool:
    """Whether the driver smooths the board's power: a floor and slow ramps, so that idle is not idle.

    Raises:
        NVMLError: the driver does not say; boards before Blackwell do not have it.
        AttributeError: the binding does not know the fields.
    """
    fields = [nvml.NVML_FI_PWR_SMOOTHING_ENABLED]
    if hasattr(nvml, _SOC_SMOOTHING):  # newer bindings only
        fields.append(getattr(nvml, _SOC_SMOOTHING))
    values = nvml.nvmlDeviceGetFieldValues(handle, fields)
    answered = [value for value in values if value.nvmlReturn == 0]
    if not answered:
        raise nvml.NVMLError(values[0].nvmlReturn)
    return any(field_number(value) for value in answered)
