"""Which piece of work is running, and does it come back? A device whose every call is noted and has a time limit.

A thread or a kernel that never ends cannot be ended from within its process, so the limit ends the process: what was
measured is on the disk, and the same command goes on without the work that hung.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from energybench.clock import Clock
from energybench.devices import Device, DeviceFacts, LatencySamples, Loop, Prepared, Stamp
from energybench.workload import WorkPlan

LOOKS_A_LIMIT = 10
"""How often within the limit the thread looks; at most once a second, so that it disturbs nothing."""


class Watchdog:
    """Notes what runs and says when it is overdue. A resource: close it.

    Args:
        entering: called when another piece of work begins to run.
        limit_s: longest time of a single call; None for no limit.
        overdue: called once, in a thread of its own, with the work that took longer; it must end the process.
    """

    def __init__(
        self, entering: Callable[[WorkPlan], None], limit_s: float | None, overdue: Callable[[WorkPlan], None]
    ) -> None:
        self._entering = entering
        self._limit_s = limit_s
        self._overdue = overdue
        self._running: tuple[WorkPlan, float] | None = None
        self._last = ""
        self._lock = threading.Lock()
        self._closed = threading.Event()
        if limit_s is not None:
            threading.Thread(target=self._look, args=(limit_s,), name="energybench-watch", daemon=True).start()

    @contextmanager
    def over(self, plan: WorkPlan) -> Iterator[None]:
        """While a call runs that may not come back."""
        if plan.work != self._last:
            self._last = plan.work
            self._entering(plan)
        self._running = (plan, time.monotonic())
        try:
            yield
        finally:
            with self._lock:
                self._running = None

    def close(self) -> None:
        """Stop looking."""
        self._closed.set()

    def _look(self, limit_s: float) -> None:
        while not self._closed.wait(min(1.0, limit_s / LOOKS_A_LIMIT)):
            with self._lock:  # a call that comes back now waits here, and writes nothing at the same time
                running = self._running
                if running is not None and time.monotonic() - running[1] > limit_s:
                    self._overdue(running[0])
                    return


class WatchedLoop:
    """A loop whose calls are watched."""

    def __init__(self, loop: Loop, plan: WorkPlan, watch: Watchdog) -> None:
        self._loop, self._plan, self._watch = loop, plan, watch
        self.gaps = 0
        self.host_stop_s: float | None = None

    def feed(self, ahead_s: float) -> bool:
        """Keep work queued."""
        with self._watch.over(self._plan):
            more = self._loop.feed(ahead_s)
        self.gaps = self._loop.gaps
        return more

    def stop(self) -> Sequence[Stamp]:
        """End the loop."""
        with self._watch.over(self._plan):
            stamps = self._loop.stop()
        self.host_stop_s = self._loop.host_stop_s
        return stamps


class WatchedDevice:
    """A device whose every call that runs work is watched."""

    def __init__(self, device: Device, watch: Watchdog) -> None:
        self._device, self._watch = device, watch
        self.facts: DeviceFacts = device.facts

    @property
    def clock(self) -> Clock:
        """The device's clock."""
        return self._device.clock

    def disagreement(self, plan: WorkPlan, baseline: WorkPlan) -> str:
        """Why the outputs of two variants differ."""
        with self._watch.over(plan):
            return self._device.disagreement(plan, baseline)

    def prepare(self, plan: WorkPlan) -> Prepared:
        """Build, warm up and capture."""
        with self._watch.over(plan):
            return self._device.prepare(plan)

    def latency_samples(self, prepared: Prepared, budget_s: float) -> LatencySamples:
        """Time single iterations."""
        with self._watch.over(prepared.plan):
            return self._device.latency_samples(prepared, budget_s)

    def loop(self, prepared: Prepared) -> WatchedLoop:
        """Start a loop."""
        with self._watch.over(prepared.plan):
            return WatchedLoop(self._device.loop(prepared), prepared.plan, self._watch)

    def free_memory_bytes(self) -> int | None:
        """Memory that new work may take."""
        return self._device.free_memory_bytes()

    def fault(self) -> str:
        """Why no more work can run on it."""
        return self._device.fault()

    def release(self, prepared: Prepared) -> None:
        """Give back what was taken."""
        self._device.release(prepared)

    def close(self) -> None:
        """End the use of the device."""
        self._device.close()
