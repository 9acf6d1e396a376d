"""Do other tools see the same latency and joules for the same kernels on this GPU? One CSV row a layer and tool.

    python tests/gpu_peers.py peers.csv [--device cuda:0]

Latency beside ``triton.testing.do_bench`` and ``do_bench_cudagraph``, joules beside Zeus; a tool that is not installed
is a row that says so. All run the same module on the same input, one after another, with the cache as each leaves it.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

import energybench

LOOP_S = 5.0
"""Length of the loop that a window of another tool watches: long against any counter's tick."""


class Row(NamedTuple):
    """What one tool says of one layer; what it cannot say is empty and has a reason."""

    layer: str
    tool: str
    latency_s: float | None
    energy_per_iteration_j: float | None
    reason: str


def layers() -> Iterator[tuple[str, nn.Module, Tensor]]:
    """Layers from a few to hundreds of microseconds: launch-bound, memory-bound and arithmetic-bound."""

    def conv(channels: int, groups: int, batch: int) -> tuple[nn.Module, Tensor]:
        layer = nn.Conv2d(channels, channels, 3, padding=1, groups=groups, bias=False)
        return layer.half().cuda().eval(), torch.randn(batch, channels, 56, 56, device="cuda", dtype=torch.float16)

    for name, channels, groups, batch in (
        ("dense, batch 1", 128, 1, 1),
        ("depthwise, batch 32", 256, 256, 32),
        ("32 groups, batch 32", 256, 32, 32),
        ("dense, batch 32", 256, 1, 32),
    ):
        yield (name, *conv(channels, groups, batch))


def rows(name: str, layer: nn.Module, x: Tensor, device: str) -> Iterator[Row]:
    """Every tool on one layer."""
    for cache in ("hot", "rotated"):
        ours = energybench.measure(layer, x, device=device, cache=cache)
        joules = None if ours.energy_per_inference_j is None else ours.energy_per_inference_j * ours.batch
        yield Row(name, f"energybench, {cache} cache, single", ours.latency_s, None, "")
        yield Row(name, f"energybench, {cache} cache, loop", ours.loop_latency_s, joules, ours.reason)

    def step() -> None:
        with torch.inference_mode():
            layer(x)

    yield from _triton(name, step)
    yield _zeus(name, step)


def _triton(name: str, step: Callable[[], None]) -> Iterator[Row]:
    try:
        from triton import testing
    except ImportError as error:
        yield Row(name, "triton", None, None, str(error))
        return
    yield Row(name, "do_bench", 1e-3 * testing.do_bench(step, return_mode="median"), None, "")
    graph_ms = testing.do_bench_cudagraph(step, return_mode="median")
    yield Row(name, "do_bench_cudagraph", 1e-3 * graph_ms, None, "")


def _zeus(name: str, step: Callable[[], None]) -> Row:
    try:
        from zeus.monitor import ZeusMonitor
    except ImportError as error:
        return Row(name, "Zeus", None, None, str(error))
    monitor = ZeusMonitor(gpu_indices=[torch.cuda.current_device()])
    done, begin, end = 0, torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    monitor.begin_window("loop")
    begin.record()
    while True:
        for _ in range(200):
            step()
        done += 200
        end.record()
        end.synchronize()
        if begin.elapsed_time(end) * 1e-3 > LOOP_S:
            break
    found = monitor.end_window("loop")
    return Row(name, "Zeus", begin.elapsed_time(end) * 1e-3 / done, found.total_energy / done, "")


def main(path: Path, device: str) -> None:
    """Write the table; without a GPU only its heading, and say so."""
    if not torch.cuda.is_available():
        sys.stdout.write("no CUDA GPU: nothing to compare\n")
        return
    torch.cuda.set_device(device)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(Row._fields)
        for name, layer, x in layers():
            for row in rows(name, layer, x, device):
                table.writerow(row)
                file.flush()
                sys.stdout.write(f"{row}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--device", default="cuda:0")
    given = parser.parse_args()
    main(given.path, given.device)
