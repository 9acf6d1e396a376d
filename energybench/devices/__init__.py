"""Where does the work run? One interface for a CUDA GPU, the CPU and a simulated board.

A device prepares a piece of work once, then runs it as a gapless loop that the caller keeps fed while it polls the
meter. Nothing here reads a meter, computes a statistic or prints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from energybench.clock import Clock
from energybench.workload import WorkPlan

LEAST_SAMPLES, FEWEST_SAMPLES, MOST_SAMPLES = 20, 5, 500
"""Samples of a latency pass: at the least, where each of them fills a fifth of its time, and at the most."""


def samples_in(budget_s: float, sample_s: float) -> int:
    """How many samples of a latency a pass of about ``budget_s`` seconds takes."""
    least = LEAST_SAMPLES if sample_s <= budget_s / FEWEST_SAMPLES else FEWEST_SAMPLES
    return min(max(int(budget_s / max(sample_s, 1e-6)), least), MOST_SAMPLES)


class Stamp(NamedTuple):
    """A moment of a loop, on the device's clock: ``iterations`` were done by ``time_s``."""

    time_s: float
    iterations: int


@dataclass(frozen=True)
class LatencySamples:
    """The latency pass: seconds per iteration, each sample the mean of ``iterations_per_sample`` iterations."""

    samples_s: tuple[float, ...]
    iterations_per_sample: int


@dataclass(frozen=True)
class DeviceFacts:
    """What a device is, for ``run.json``; ``details`` is JSON-able and free of user and host names."""

    name: str
    title: str
    uuid: str | None = None
    pci_bus_id: str | None = None
    memory_bytes: int | None = None
    l2_bytes: int | None = None
    simulated: bool = False
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def simulation(self) -> str:
        """What everybody is told who asks for a simulated device, by a run and by the doctor; empty for a real one."""
        return f"simulated {self.name.partition(':')[2]}: nothing is measured" if self.simulated else ""


class Prepared(Protocol):
    """A piece of work that is ready to loop: built, warm, captured or compiled.

    ``eager_latency_s`` and ``graph_latency_s`` are the device's seconds per iteration with every kernel launched by the
    host and replayed as a graph; None where the device does not know the difference.
    """

    plan: WorkPlan
    launch: str
    compile_s: float
    eager_latency_s: float | None
    graph_latency_s: float | None
    peak_memory_bytes: int | None
    iteration_s: float
    notes: tuple[str, ...]
    flags: tuple[str, ...]


class Loop(Protocol):
    """A running gapless loop.

    ``gaps`` counts how often it was found to have run dry. ``host_stop_s`` is, after ``stop``, when the host saw the
    last iteration done, on its own clock; None where it came too late to see it.
    """

    gaps: int
    host_stop_s: float | None

    def feed(self, ahead_s: float) -> bool:
        """Keep enough work queued that the device does not run dry for the next ``ahead_s`` seconds.

        Returns:
            Whether it wants to be fed again at once: it came back early, so that the meter can be polled.
        """

    def stop(self) -> Sequence[Stamp]:
        """End the loop after what is queued; returns its stamps, the first with zero iterations.

        Raises:
            CaseError: the work failed while looping.
        """


class Device(Protocol):
    """A device to run work on. A resource: close it."""

    facts: DeviceFacts

    @property
    def clock(self) -> Clock:
        """The clock its loops are stamped by."""

    def disagreement(self, plan: WorkPlan, baseline: WorkPlan) -> str:
        """Why the outputs of two variants differ, given the same weights; empty when they agree or have no values."""

    def prepare(self, plan: WorkPlan) -> Prepared:
        """Build, warm up and capture ``plan``'s work.

        Raises:
            CaseError: it cannot run here (memory, dtype, an operator that is missing, ...).
        """

    def latency_samples(self, prepared: Prepared, budget_s: float) -> LatencySamples:
        """Time single iterations for about ``budget_s`` seconds."""

    def loop(self, prepared: Prepared) -> Loop:
        """Start looping ``prepared`` without gaps."""

    def free_memory_bytes(self) -> int | None:
        """Memory that new work may take; None where there is no useful limit."""

    def fault(self) -> str:
        """Why no more work can run on it in this process; empty where it can."""

    def release(self, prepared: Prepared) -> None:
        """Give back what ``prepare`` took."""

    def close(self) -> None:
        """End the use of the device."""
