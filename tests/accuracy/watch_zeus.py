"""What does Zeus say? Its energy window, and the integral of power that its power monitor polled."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from accuracy.load import Estimate, Load, failure, watch
from zeus.monitor import ZeusMonitor
from zeus.monitor.power import PowerMonitor

WINDOW, POWER = "Zeus window", "Zeus power"
LAST_SAMPLES_S = 0.2
"""Until the polling process's last samples of a load have come through its queue."""


class Zeus:
    """Both ways at once, on the same load: one reads at the ends, the other in a process of its own."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._monitor, self._no_window = _made(lambda: ZeusMonitor(gpu_indices=[0], cpu_indices=[]))
        self._power, self._no_power = _made(lambda: PowerMonitor(gpu_indices=[0]))

    def measure(self, loop_s: float) -> Mapping[str, Estimate]:
        """Joules of one load."""
        begun = self._begin()
        start_wall_s = time.time()
        start_s, stop_s = self._load.run(loop_s)
        stop_wall_s = time.time()
        window_j = self._end() if not begun else begun
        time.sleep(LAST_SAMPLES_S)
        power_j = self._integral(start_wall_s, stop_wall_s)
        truth_j = self._load.truth_j(start_s, stop_s)
        return {tool: _estimate(truth_j, said) for tool, said in ((WINDOW, window_j), (POWER, power_j))}

    def _begin(self) -> str:
        if self._monitor is None:
            return self._no_window
        try:
            self._monitor.begin_window("load", sync_execution=False, restart=True)
        except Exception as error:  # whatever its user would see
            return failure(error)
        return ""

    def _end(self) -> float | str:
        try:
            return self._monitor.end_window("load", sync_execution=False).total_energy
        except Exception as error:
            return failure(error)

    def _integral(self, start_s: float, stop_s: float) -> float | str:
        if self._power is None:
            return self._no_power
        try:
            return self._power.get_energy(start_s, stop_s)[0]
        except Exception as error:
            return failure(error)


def _made(make: Callable[[], Any]) -> tuple[Any, str]:
    try:
        return make(), ""
    except Exception as error:
        return None, failure(error)


def _estimate(truth_j: float, said: float | str) -> Estimate:
    return Estimate(truth_j, None, said) if isinstance(said, str) else Estimate(truth_j, said)


if __name__ == "__main__":
    watch(Zeus(Load()).measure, version("zeus"))
