"""What does one grouped layer of a network take at a real group size: seconds, joules, and where is its knee?

The formulas of ``group_energy``, for layers with a stride. The power limit bounds the mean power of the layer:
T >= (operations + bytes) / (limit - static), at unchanged joules per operation; a real board also lowers its voltage,
which this leaves out.

Source: ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.optimize import minimize_scalar

from energybench.analysis.group_energy import power_limit_w, quantised, refuse_starving, tensor_lanes
from energybench.analysis.network_shapes import NetworkLayer
from energybench.errors import EnergyBenchError
from energybench.machine import EnergySplit, Machine, need_energy, peak_for, rate_dtype


@dataclass(frozen=True)
class Setting:
    """Where and how a network runs.

    Attributes:
        machine: the sheet.
        batch: inferences of one iteration.
        dtype: data type of all tensors.
        group_overhead_s: seconds per group; 0: none is known.
        power_cap_w: power limit; None: the board's own, and none for the knee (``group_energy.knee`` says why).

    Raises:
        EnergyBenchError: the batch is below 1, or nothing is left of the power cap for work.
        MachineError: the machine has no peak for ``dtype``.
    """

    machine: Machine
    batch: int = 1
    dtype: str = "float32"
    group_overhead_s: float = 0.0
    power_cap_w: float | None = None

    def __post_init__(self) -> None:
        rate_dtype(self.machine, self.dtype)
        need_energy(self.machine)
        if self.batch < 1:
            raise EnergyBenchError(f"batch must be at least 1, got {self.batch}", where="model group-size")
        refuse_starving(self.machine, self.power_cap_w)

    @property
    def lanes(self) -> int:
        """Channels of a group the arithmetic takes at a time."""
        return tensor_lanes(self.machine, self.dtype)

    @property
    def j_per_flop(self) -> float:
        """Joules per FLOP of its data type."""
        return self.machine.j_per_flop[rate_dtype(self.machine, self.dtype)]


@dataclass(frozen=True)
class LayerRun:
    """One call of a layer: seconds and joules of an iteration, and the MACs the lanes compute for it."""

    latency_s: float
    energy: EnergySplit
    computed_macs: float


def layer_run(layer: NetworkLayer, group_size: float, setting: Setting, *, relaxed: bool = False) -> LayerRun:
    """One call of the layer at a group size.

    Args:
        layer: the layer.
        group_size: real, in 1 .. C.
        setting: where it runs.
        relaxed: lanes as max(G, lanes) instead of whole multiples, which makes joules convex in G.
    """
    machine = setting.machine
    filled = max(group_size, float(setting.lanes)) if relaxed else quantised(group_size, setting.lanes)
    macs = layer.macs(filled, setting.batch)
    traffic = layer.bytes(group_size, setting.batch, setting.dtype)
    operations_j, bytes_j = 2 * macs * setting.j_per_flop, traffic * machine.j_per_byte
    latency_s = max(2 * macs / peak_for(machine, setting.dtype), traffic / machine.bandwidth_bytes_per_s)
    latency_s += machine.launch_s + layer.channels / group_size * setting.group_overhead_s
    spare_w = power_limit_w(machine, setting.power_cap_w) - machine.static_w
    latency_s = max(latency_s, (operations_j + bytes_j) / spare_w)
    return LayerRun(latency_s, EnergySplit(operations_j, bytes_j, machine.static_w * latency_s), macs)


def least_joules(layers: Sequence[NetworkLayer], setting: Setting, most: float) -> float:
    """The real group size in 1 .. ``most`` at which the layers together take the least joules, lanes relaxed.

    With lanes relaxed joules are a sum of convex functions of G, so there is one least.
    """
    least = minimize_scalar(
        lambda log_size: sum(
            x.repeat * layer_run(x, math.exp(log_size), setting, relaxed=True).energy.total_j for x in layers
        ),
        bounds=(0.0, math.log(most)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return math.exp(float(least.x))


def layer_knee(layer: NetworkLayer, setting: Setting) -> float:
    """The real group size up to which arithmetic costs the layer no time, by the roofline and the power cap.

    Returns:
        inf where weights keep it bound by memory at every group size, 0 where moving the bytes alone needs all power.
    """
    machine = setting.machine
    memory_s = 1 / machine.bandwidth_bytes_per_s
    knee = _crossing(layer, setting, 2 / peak_for(machine, setting.dtype), memory_s)
    if setting.power_cap_w is None:
        return knee
    spare_j_per_byte = (power_limit_w(machine, setting.power_cap_w) - machine.static_w) * memory_s - machine.j_per_byte
    return min(knee, _crossing(layer, setting, 2 * setting.j_per_flop, max(spare_j_per_byte, 0.0)))


def _crossing(layer: NetworkLayer, setting: Setting, per_mac: float, per_byte: float) -> float:
    """The group size at which ``per_mac`` x MACs reaches ``per_byte`` x bytes; inf where it never does."""
    fixed = layer.bytes(0, setting.batch, setting.dtype)
    grown = layer.bytes(1, setting.batch, setting.dtype) - fixed
    slope = per_mac * layer.macs(1, setting.batch) - per_byte * grown
    return per_byte * fixed / slope if slope > 0 else math.inf
