"""What does Zeus say? Its energy window, and the integral of power that its power monitor polled."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.metadata import version

from zeus.monitor import ZeusMonitor
from zeus.monitor.power import PowerMonitor

from accuracy.load import Estimate, Load, tried, watch

WINDOW, POWER = "Zeus window", "Zeus power"
STARTS = 3
"""Its power monitor gives up after ten seconds when the machine is too busy to start its process: not its fault."""
LAST_SAMPLES_S = 0.2
"""Until the polling process's last samples of a load have come through its queue."""


class Zeus:
    """Both ways at once, on the same load: one reads at the ends, the other in a process of its own."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._monitor, self._no_window = tried(lambda: ZeusMonitor(gpu_indices=[0], cpu_indices=[]))
        for _ in range(STARTS):
            self._power, self._no_power = tried(lambda: PowerMonitor(gpu_indices=[0]))
            if not self._no_power.startswith("RuntimeError") or "failed to start" not in self._no_power:
                break

    def measure(self, loop_s: float) -> Mapping[str, Estimate]:
        """Joules of one load."""
        refused = self._no_window or tried(self._begin)[1]
        start_wall_s = time.time()
        start_s, stop_s = self._load.run(loop_s)
        stop_wall_s = time.time()
        window = (None, refused) if refused else tried(self._end)
        time.sleep(LAST_SAMPLES_S)
        power = (None, self._no_power)
        if not self._no_power:
            power = tried(lambda: self._power.get_energy(start_wall_s, stop_wall_s)[0])
        truth_j = self._load.truth_j(start_s, stop_s)
        return {WINDOW: Estimate(truth_j, *window), POWER: Estimate(truth_j, *power)}

    def _begin(self) -> None:
        self._monitor.begin_window("load", sync_execution=False, restart=True)

    def _end(self) -> float:
        return self._monitor.end_window("load", sync_execution=False).total_energy


if __name__ == "__main__":
    board = Load()
    watch(board, Zeus(board).measure, version("zeus"))
