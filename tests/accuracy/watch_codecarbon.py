"""What does CodeCarbon say? A task of its offline tracker, with its defaults; only the GPU's part counts here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

from codecarbon import OfflineEmissionsTracker

from accuracy.load import Estimate, Load, watch

TOOL = "CodeCarbon"
J_PER_KWH = 3.6e6


class CodeCarbon:
    """A tracker of which every load is a task."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._tasks = 0
        self._tracker = OfflineEmissionsTracker(
            country_iso_code="NLD", output_methods=[], allow_multiple_runs=True, force_cpu_power=1, log_level="critical"
        )
        self.measure(0.01)  # the first task sets the tracker up, which takes seconds

    def measure(self, loop_s: float) -> Mapping[str, Estimate]:
        """Joules of one load."""
        self._tasks += 1
        self._tracker.start_task(f"load {self._tasks}")
        start_s, stop_s = self._load.run(loop_s)
        task = self._tracker.stop_task()
        truth_j = self._load.truth_j(start_s, stop_s)
        return {TOOL: Estimate(truth_j, task.gpu_energy * J_PER_KWH)}


if __name__ == "__main__":
    board = Load()
    watch(board, CodeCarbon(board).measure, version("codecarbon"))
