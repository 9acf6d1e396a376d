"""What does Kernel Tuner say? Its NVML observer in continuous mode, driven by its own benchmarking loop.

The loop is :meth:`DeviceInterface.benchmark_continuous`; below it sits a queue of kernels that draw power on the fake
in place of a CUDA device. Kernel Tuner never runs it for less than a second; here it gets as long as everyone else.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from types import SimpleNamespace

from kernel_tuner.core import DeviceInterface
from kernel_tuner.observers.nvml import NVMLObserver

from accuracy.load import KERNEL_S, Estimate, Load, tried, watch

TOOL = "Kernel Tuner"


class Queue:
    """A device on which kernels of ``KERNEL_S`` run one after another, without gaps, from the first launch on."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._running = False
        self.start_s = 0.0
        self.kernels = 0

    def start_event(self) -> None:
        self.kernels = 0

    def run_kernel(self, *arguments: object) -> None:
        if not self._running:
            self._running = True
            self.start_s = self._load.begin()
        self.kernels += 1

    def stop_event(self) -> None:
        return None

    def kernel_finished(self) -> bool:
        if self._running and self._load.now_s() >= self.start_s + self.kernels * KERNEL_S:
            self._running = False
            self._load.idle()
        return not self._running

    def synchronize(self) -> None:
        while not self.kernel_finished():
            pass


class KernelTuner:
    """Its observer, registered as its backends do, and its benchmarking loop on the queue."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._queue = Queue(load)
        self._observer = NVMLObserver(["nvml_energy"], device=0)
        self._observer.register_device(SimpleNamespace(env={}))
        self._interface = DeviceInterface.__new__(DeviceInterface)  # its constructor wants a CUDA driver
        self._interface.dev = self._queue
        self._interface.continuous_observers = [self._observer.continuous_observer]

    def measure(self, loop_s: float) -> Mapping[str, Estimate]:
        """Joules of one load: what it says of a kernel, times the kernels."""
        result = {"time": 1e3 * KERNEL_S}  # of one kernel, in ms; exact, so that power is all there is to err in
        self._observer.continuous_observer.results = result
        self._interface.benchmark_continuous(None, None, None, None, result, loop_s)
        start_s = self._queue.start_s  # and no longer than the kernels, though the end may be noticed late
        truth_j = self._load.truth_j(start_s, start_s + self._queue.kernels * KERNEL_S)
        return {TOOL: Estimate(truth_j, float(result["nvml_energy"]) * self._queue.kernels)}


def main() -> None:
    """Watch a board; if it cannot be opened, that is the answer for every load."""
    load = Load()
    tuner, reason = tried(lambda: KernelTuner(load))
    refused = {TOOL: Estimate(0.0, None, reason)}
    watch(load, (lambda _: refused) if reason else tuner.measure, version("kernel-tuner"))


if __name__ == "__main__":
    main()
