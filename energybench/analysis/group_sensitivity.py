"""How far does the optimum group size move: from machine to machine, and with channels, batch, data type, power cap?

Source: ours (``group_energy``, ``grouped_layer_energy``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from energybench.analysis.group_energy import GroupedShape, knee, tensor_lanes
from energybench.analysis.group_models import BETA_OVER_ALPHA, thesis_model
from energybench.analysis.grouped_layer_energy import Setting, layer_knee, least_joules
from energybench.analysis.network_shapes import NetworkLayer
from energybench.errors import EnergyBenchError, MachineError
from energybench.machine import Machine, peak_for, rate_dtype

CHANNELS = (32, 64, 128, 256, 512, 1024)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
DTYPES = ("float32", "tf32", "float16", "bfloat16", "int8")
CAPS = (1.0, 0.85, 0.7, 0.55, 0.4)
"""Power caps, as shares of the board's power limit."""


@dataclass(frozen=True)
class KneeCell:
    """The roofline knee of a machine and a data type.

    Attributes:
        machine: name of the machine.
        dtype: data type.
        native: the data type whose peak was used; differs where the machine has none for ``dtype``.
        balance: FLOP/byte at which arithmetic and memory take equally long.
        knee: group size there, for large batches and stride 1.
        lanes: channels of a group the arithmetic takes at a time; below them arithmetic is wasted.
    """

    machine: str
    dtype: str
    native: str
    balance: float
    knee: float
    lanes: int


@dataclass(frozen=True)
class Moved:
    """Where the models put the optimum at one value of one axis, everything else as it was.

    Attributes:
        axis: ``channels``, ``batch``, ``dtype`` or ``power_cap_w``.
        value: there.
        knee: of this layer and batch; inf where memory is the bound throughout, 0 where bytes alone need all power.
        thesis: continuous optimum of the thesis model, in 1 .. C.
        physical: continuous least of the joules; None without a cost per group.
    """

    axis: str
    value: str | float
    knee: float
    thesis: float | None
    physical: float | None


def knee_map(machines: Sequence[Machine], dtypes: Sequence[str] = DTYPES, kernel_size: int = 3) -> tuple[KneeCell, ...]:
    """The knee of every machine and data type; pairs the machine cannot run are left out.

    Args:
        machines: sheets.
        dtypes: data types.
        kernel_size: side of the filter.
    """
    cells = []
    for machine in machines:
        for dtype in dtypes:
            try:
                native = rate_dtype(machine, dtype)
            except MachineError:
                continue
            shape = GroupedShape(1, 1, kernel_size, 1, dtype)
            balance = peak_for(machine, dtype) / machine.bandwidth_bytes_per_s
            cells.append(
                KneeCell(machine.name, dtype, native, balance, knee(shape, machine), tensor_lanes(machine, dtype))
            )
    return tuple(cells)


def sensitivity(
    layer: NetworkLayer, setting: Setting, *, beta_over_alpha: float = BETA_OVER_ALPHA
) -> tuple[Moved, ...]:
    """How the optima move along each axis, one at a time, from ``layer`` in ``setting``.

    Args:
        layer: the layer to start from.
        setting: the setting to start from.
        beta_over_alpha: weight of inverse reuse over that of a MAC (thesis model).
    """
    return tuple(_moved(axis, value, x, s, beta_over_alpha) for axis, value, x, s in _steps(layer, setting))


def _steps(layer: NetworkLayer, setting: Setting) -> Iterator[tuple[str, str | float, NetworkLayer, Setting]]:
    for channels in CHANNELS:
        yield "channels", channels, replace(layer, channels=channels), setting
    for batch in BATCHES:
        yield "batch", batch, layer, replace(setting, batch=batch)
    for dtype in DTYPES:
        if dtype in setting.machine.peak_flops_per_s:
            yield "dtype", dtype, layer, replace(setting, dtype=dtype)
    for share in CAPS:
        cap_w = share * setting.machine.tdp_w
        try:
            yield "power_cap_w", cap_w, layer, replace(setting, power_cap_w=cap_w)
        except EnergyBenchError:
            continue  # nothing is left above static power


def _moved(axis: str, value: str | float, layer: NetworkLayer, setting: Setting, beta: float) -> Moved:
    shape = GroupedShape(layer.channels, layer.size, layer.kernel_size, setting.batch, setting.dtype)
    physical = least_joules([layer], setting, layer.channels) if setting.group_overhead_s > 0 else None
    thesis = thesis_model(shape, [1], beta).optimum.continuous
    return Moved(axis, value, layer_knee(layer, setting), thesis, physical)
