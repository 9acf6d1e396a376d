"""How does work run where there is no GPU? On a simulated board whose time is virtual and whose truth is known.

The same runner, estimators and report work on it; only shapes and costs are used, never values. Windows vary a
little in speed and power (seeded), as real ones do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from energybench.clock import VirtualClock
from energybench.devices import DeviceFacts, LatencySamples, Prepared, Stamp, samples_in
from energybench.devices.board import BoardPower, Unsteadiness
from energybench.devices.truth import WorkTruth, constants, work_truth
from energybench.errors import UnsupportedError
from energybench.machine import Machine, load_machine, missing_rate, need_energy
from energybench.workload import WorkPlan

WINDOW_SD = 1e-3
"""Relative spread of speed and of power from window to window."""
SAMPLE_SD = 5e-3
"""Relative spread of single iterations."""
CHUNK_S = 5e-3
COMPILE_S = 0.05


class SimulatedPrepared:
    """Work whose truth is known; nothing is built."""

    launch = "simulated"

    def __init__(self, plan: WorkPlan, truth: WorkTruth) -> None:
        self.plan = plan
        self.truth = truth
        self.compile_s = COMPILE_S
        self.eager_latency_s: float | None = None
        self.graph_latency_s: float | None = None
        self.peak_memory_bytes: int | None = None
        self.iteration_s = truth.latency_s
        self.notes: tuple[str, ...] = ()
        self.flags: tuple[str, ...] = ()


class SimulatedLoop:
    """A loop of constant speed on the virtual clock; its mean power is constant but for the board's unsteadiness."""

    def __init__(self, device: SimulatedDevice, work: SimulatedPrepared, speed: float, power: float) -> None:
        self.gaps = 0
        self.host_stop_s: float | None = None
        self._device = device
        self._begin_s = device.clock.now_s()
        self._iteration_s = work.truth.latency_s * speed
        self._chunk = max(1, math.ceil(CHUNK_S / self._iteration_s))
        device.power.set(self._begin_s, work.truth.power_w * power, iteration_s=self._iteration_s)

    def feed(self, ahead_s: float) -> bool:  # noqa: ARG002  (the protocol's)
        """Nothing to queue."""
        return False

    def stop(self) -> Sequence[Stamp]:
        """Finish the running chunk and let the board fall back to active idle."""
        chunk_s = self._chunk * self._iteration_s
        chunks = max(1, math.ceil((self._device.clock.now_s() - self._begin_s) / chunk_s))
        end_s = self._begin_s + chunks * chunk_s
        self._device.clock.sleep_until(end_s)
        self.host_stop_s = end_s
        self._device.power.set(end_s, self._device.machine.idle_w)
        return tuple(Stamp(self._begin_s + i * chunk_s, i * self._chunk) for i in range(chunks + 1))


class SimulatedDevice:
    """A simulated board.

    Args:
        machine_name: machine sheet it is built from, as in ``sim:h200``.
        seed: of everything random.
        unsteady: how its power departs from constant; by default not at all. Its truth is that of a warm board without
            drift.

    Raises:
        MachineError: there is no such sheet.
    """

    def __init__(self, machine_name: str, *, seed: int = 0, unsteady: Unsteadiness | None = None) -> None:
        self.clock = VirtualClock()
        self.machine: Machine = load_machine(machine_name)
        need_energy(self.machine)
        self.power = BoardPower(self.machine.idle_w, self.machine.tdp_w, unsteady)
        self._random = np.random.default_rng([seed, 0xB0A2D])
        self.facts = DeviceFacts(
            name=",".join(filter(None, (f"sim:{self.machine.name}", self.power.unsteady.named()))),
            title=f"simulated {self.machine.title}",
            l2_bytes=int(self.machine.l2_bytes) if self.machine.l2_bytes else None,
            simulated=True,
        )

    def disagreement(self, plan: WorkPlan, baseline: WorkPlan) -> str:  # noqa: ARG002  (the protocol's)
        """Nothing: there are no values here to compare."""
        return ""

    def prepare(self, plan: WorkPlan) -> SimulatedPrepared:
        """Find the truth of the work's operators; a board whose sheet lacks their number format cannot run them."""
        if lacking := missing_rate(plan.operators, self.machine):
            raise UnsupportedError(lacking)
        self.clock.sleep_until(self.clock.now_s() + COMPILE_S)
        return SimulatedPrepared(plan, work_truth(plan.operators, self.machine))

    def latency_samples(self, prepared: Prepared, budget_s: float) -> LatencySamples:
        """Single iterations, log-normally spread around the truth."""
        work = _own(prepared)
        count = samples_in(budget_s, work.truth.latency_s)
        samples = work.truth.latency_s * np.exp(self._random.normal(0, SAMPLE_SD, count))
        self.power.set(self.clock.now_s(), work.truth.power_w)
        self.clock.sleep_until(self.clock.now_s() + float(samples.sum()))
        self.power.set(self.clock.now_s(), self.machine.idle_w)
        return LatencySamples(tuple(samples.tolist()), 1)

    def loop(self, prepared: Prepared) -> SimulatedLoop:
        """Start a loop whose speed and power differ a little from the truth."""
        speed, power = np.exp(self._random.normal(0, WINDOW_SD, 2))
        return SimulatedLoop(self, _own(prepared), float(speed), float(power))

    def truth(self, prepared: Prepared) -> WorkTruth:
        """What a perfect measurement of this work would find."""
        return _own(prepared).truth

    def hidden_constants(self) -> dict[str, float]:
        """The board's hidden constants."""
        return constants(self.machine)

    def free_memory_bytes(self) -> int | None:
        """No limit: nothing is built."""
        return None

    def fault(self) -> str:
        """Nothing: it computes nothing."""
        return ""

    def release(self, prepared: Prepared) -> None:
        """Nothing was taken."""

    def close(self) -> None:
        """Nothing to give back."""


def _own(prepared: Prepared) -> SimulatedPrepared:
    if not isinstance(prepared, SimulatedPrepared):
        raise TypeError("this work was prepared by another device")
    return prepared
