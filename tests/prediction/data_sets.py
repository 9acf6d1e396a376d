"""Published latencies of others as operators on machines: what predictions are judged by.

The files lie beside the checkout (``../shared/data``), where ``ENERGYBENCH_DATA`` says, or where the command line does;
nothing of them is shipped. A row is read whatever its card, precision and pass; what cannot be read (a card or a
format that no sheet knows, a column or a file that is not there) is said in a line, and the rest is judged.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import pandas as pd
from boards import board

from energybench.analysis.kernel_efficiency import Launch
from energybench.analysis.latency_table import LatencyPoint
from energybench.cost import (
    DTYPE_BYTES,
    Operand,
    OperatorCost,
    conv2d_cost,
    convolution_backward_cost,
    elementwise_cost,
    matmul_cost,
    normalisation_cost,
)
from energybench.machine import load_machine, missing_rate

CHECKOUT = Path(__file__).resolve().parents[2]
UNARY = {"relu", "tanh", "gelu", "addu", "mulu", "divu", "powu"}
NORMALISATIONS = {"softmax", "ln"}
FOLDS = 4


@dataclass(frozen=True)
class Timed:
    """One published latency.

    Attributes:
        group: its row of the table.
        card: as the file names it.
        shape: what ties repeats together.
        point: its kernel, the machine, the seconds.
        launch: how it was timed: one kernel by itself, or many queued ahead.
    """

    group: str
    card: str
    shape: str
    point: LatencyPoint
    launch: Launch

    @property
    def fold(self) -> int:
        """By shape, so that no shape is on both sides. Fold 0 is never fitted by what ships."""
        return crc32(self.shape.encode()) % FOLDS


@dataclass
class Rows:
    """The latencies of one data set, how they were timed, and how many could not be read, by reason."""

    launch: Launch
    timed: list[Timed] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)

    def add(self, group: str, card: str, shape: str, op: OperatorCost, milliseconds: float) -> None:
        """One latency of one kernel; a row without one (missing, or a failed run's -1) is none."""
        if not milliseconds > 0:
            return
        machine = board(card)
        reason = missing_rate([op], machine) if machine else f"no machine is known for the card {card!r}"
        if machine is None or reason:
            self.unread[reason] += 1
            return
        self.timed.append(Timed(group, card, shape, LatencyPoint((op,), machine, milliseconds / 1e3), self.launch))


def data_folder() -> Path:
    """Where the data sets lie; may not exist."""
    return Path(os.environ.get("ENERGYBENCH_DATA", CHECKOUT.parent / "shared" / "data"))


def deepbench_convolutions(folder: Path) -> Rows:
    """Convolutions of cuDNN 5 to 7, forward and the gradients of input and weight; its loops queue them ahead."""
    rows = Rows("graph")
    for row in _read(folder / "deepbench" / "conv.csv", rows, "gpu precision W H C N K fwd_ms"):
        dtype = deepbench_dtype(row.precision)
        forward, of_input, of_weight = _deepbench_passes(row, dtype)
        shape = f"{row.N} {row.C} {row.H} {row.W} {row.K} {row.R_filter_h} {row.S_filter_w} {row.stride_w}"
        named = "" if dtype == "float32" else f" {dtype}"
        rows.add(f"convolution{named}", row.gpu, shape, forward, row.fwd_ms)
        rows.add(f"input gradient{named}", row.gpu, shape, of_input, row.bwd_input_ms)
        rows.add(f"weight gradient{named}", row.gpu, shape, of_weight, row.bwd_weight_ms)
    return rows


def _deepbench_passes(row: Any, dtype: str) -> tuple[OperatorCost, OperatorCost, OperatorCost]:
    forward = conv2d_cost(
        N=row.N, C=row.C, H=row.H, W=row.W, K=row.K, R=row.R_filter_h, S=row.S_filter_w,
        stride=(row.stride_h, row.stride_w), padding=(row.pad_h, row.pad_w), dtype=dtype,
    )  # fmt: skip
    x, weight = Operand((row.N, row.C, row.H, row.W), dtype), (row.K, row.C, row.R_filter_h, row.S_filter_w)
    y = Operand((forward.write_bytes // DTYPE_BYTES[dtype],), dtype)
    gradients = convolution_backward_cost(
        forward, x=x, weight=Operand(weight, dtype), y=y, gradients=(True, True, False)
    )
    return forward, *gradients  # type: ignore[return-value]


def deepbench_gemms(folder: Path) -> Rows:
    """Matrix products of cuBLAS; its loops queue them ahead."""
    rows = Rows("graph")
    for row in _read(folder / "deepbench" / "gemm.csv", rows, "gpu precision M N K ms"):
        dtype = deepbench_dtype(row.precision)
        op = matmul_cost(M=row.M, N=row.N, K=row.K, dtype=dtype)
        named = "" if dtype == "float32" else f" {dtype}"
        rows.add(f"gemm{named}", row.gpu, f"{row.M} {row.N} {row.K}", op, row.ms)
    return rows


def deepbench_dtype(precision: str) -> str:
    """The number format of a spreadsheet: ``16 bit inputs, 32 bit multiplication`` are halves, and so on."""
    words = precision.casefold()
    if "int8" in words or words.startswith("8 bit"):
        return "int8"
    return "float16" if re.search(r"16|half", words) else "float32"


def tinynas_convolutions(folder: Path) -> Rows:
    """Single TensorRT convolutions on a V100: dense, pointwise and depthwise, three number formats."""
    rows = Rows("standalone")
    for row in _read(folder / "tinynas_v100_conv" / "trt_conv_ms.csv", rows, "type batch in_c in_h out_c k stride"):
        groups = row.in_c if row.type == "depthwise" else 1
        kind = "depthwise" if groups > 1 else "pointwise" if row.k == 1 else "dense"
        shape = f"{row.type} {row.batch} {row.in_c} {row.in_h} {row.out_c} {row.k} {row.stride}"
        for column, dtype in (("fp32_ms", "float32"), ("fp16_ms", "float16"), ("int8_ms", "int8")):
            op = conv2d_cost(
                N=row.batch, C=row.in_c, H=row.in_h, W=row.in_h, K=row.out_c, R=row.k, S=row.k,
                stride=row.stride, padding=(row.k - 1) // 2, groups=groups, dtype=dtype,
            )  # fmt: skip
            rows.add(f"{kind} {dtype}", "V100", shape, _read_what_is_used(op, row), getattr(row, column, 0.0))
    return rows


def _read_what_is_used(op: OperatorCost, row: Any) -> OperatorCost:
    """A 1x1 filter of stride 2 skips three quarters of its input."""
    if row.k > 1 or row.stride == 1:
        return op
    used = -(-row.in_h // row.stride)
    skipped = row.batch * row.in_c * (row.in_h**2 - used**2)
    return replace(op, read_bytes=op.read_bytes - skipped * DTYPE_BYTES[op.dtype])


def neusight_operators(folder: Path) -> Rows:
    """Float32 linear layers, batched products and vector operators of PyTorch."""
    rows = Rows("standalone")
    for row in _read(folder / "neusight" / "gemm_fp32.csv", rows, "gpu B M reduce_N out_K ms"):
        op = matmul_cost(M=row.M, K=row.reduce_N, N=row.out_K, batch=row.B)
        rows.add("gemm", row.gpu, f"{row.B} {row.M} {row.reduce_N} {row.out_K}", op, row.ms)
    for row in _read(folder / "neusight" / "vector_fp32.csv", rows, "op gpu B H ms"):
        tensor = Operand((row.B, row.H))
        inputs = [tensor] if row.op in UNARY | NORMALISATIONS else [tensor, tensor]
        group, make = (
            ("normalisation", normalisation_cost) if row.op in NORMALISATIONS else ("elementwise", elementwise_cost)
        )
        op = make(inputs=inputs, outputs=[tensor], name=row.op)
        rows.add(group, row.gpu, f"{row.op} {row.B} {row.H}", op, row.ms)
    return rows


KERNELS: dict[str, Callable[[Path], Rows]] = {
    "tinynas": tinynas_convolutions,
    "deepbench": deepbench_convolutions,
    "deepbench gemm": deepbench_gemms,
    "neusight": neusight_operators,
}
"""Data sets of single kernels."""


def read_columns(path: Path, columns: Sequence[str]) -> tuple[pd.DataFrame | None, str]:
    """The file as a table that has ``columns``; or None and why not."""
    if not path.is_file():
        return None, f"{path.parent.name}/{path.name} is not there"
    frame = pd.read_csv(path)
    lacking = [name for name in columns if name not in frame]
    return (None, f"{path.parent.name}/{path.name} has no column {', '.join(lacking)}") if lacking else (frame, "")


def _read(path: Path, rows: Rows, columns: str) -> Iterator[Any]:
    frame, problem = read_columns(path, columns.split())
    if frame is None:
        rows.unread[problem] += 0
        return
    yield from frame.itertuples()


SPIO_GB_PER_S = {
    "rtx-3090": (264, 283, 255, 267, 247, 272, 266, 255),
    "rtx-4090": (480, 549, 496, 504, 463, 512, 512, 505),
}
"""Effective bandwidth of cuDNN's grouped convolution, float16, 64 channels in groups of 8, 3x3, 64 x 64 pixels, at
batches of 32 to 256 by 32: read off the forward plots of github.com/andravin/spio to about +-10 (3090), +-30 (4090)."""


def spio_grouped() -> Iterator[Timed]:
    """cuDNN's grouped convolutions beside which spio shows its own: one shape, eight batches, two cards. No file."""
    for card, rates in SPIO_GB_PER_S.items():
        machine = load_machine(card)
        for batch, gigabytes_per_s in zip(range(32, 257, 32), rates, strict=True):
            op = conv2d_cost(N=batch, C=64, H=64, W=64, K=64, R=3, S=3, groups=8, padding=1, dtype="float16")
            point = LatencyPoint((op,), machine, op.bytes / (gigabytes_per_s * 1e9))
            yield Timed("grouped float16", machine.title, str(batch), point, "graph")
