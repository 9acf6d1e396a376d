"""Published latencies of others as operators on machines: what predictions are judged by.

The files lie beside the checkout (``../shared/data``) or where ``ENERGYBENCH_DATA`` says; nothing of them is shipped.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from energybench.analysis.latency_table import LatencyPoint
from energybench.cost import (
    DTYPE_BYTES,
    Operand,
    OperatorCost,
    conv2d_cost,
    elementwise_cost,
    matmul_cost,
    normalisation_cost,
)
from energybench.machine import Machine, load_machine

CHECKOUT = Path(__file__).resolve().parents[2]
UNARY = {"relu", "tanh", "gelu", "addu", "mulu", "divu", "powu"}
NORMALISATIONS = {"softmax", "ln"}


@dataclass(frozen=True)
class Timed:
    """One published latency: its group for the table, the shape that ties repeats together, and the point."""

    group: str
    card: str
    shape: str
    point: LatencyPoint


def data_folder() -> Path:
    """Where the data sets lie; may not exist."""
    return Path(os.environ.get("ENERGYBENCH_DATA", CHECKOUT.parent / "shared" / "data"))


def _board(base: str, name: str, flops: float, bandwidth: float, l2_bytes: float) -> Machine:
    """A board without a shipped sheet: peaks of ``gpu_specs.csv``, everything about energy left as in ``base``."""
    machine = load_machine(base)
    return replace(
        machine,
        name=name,
        title=name,
        peak_flops_per_s={"float32": flops},
        j_per_flop={"float32": machine.j_per_flop["float32"]},
        bandwidth_bytes_per_s=bandwidth,
        l2_bytes=l2_bytes,
    )


def deepbench_machines() -> dict[str, Machine]:
    """The cards of DeepBench's spreadsheets. TitanX is the Maxwell one: its best product runs at 6.8 TFLOP/s."""
    return {
        "P100": load_machine("p100-pcie"),
        "M40": _board("p4000", "m40", 6.8e12, 288e9, 3 * 2**20),
        "TitanX": _board("p4000", "titan-x-maxwell", 6.6e12, 336.5e9, 3 * 2**20),
        "TitanXp": _board("p4000", "titan-xp", 12.1e12, 547.7e9, 3 * 2**20),
        "1080Ti": _board("p4000", "gtx-1080ti", 11.3e12, 484e9, 2.75 * 2**20),
    }


def deepbench_convolutions() -> Iterator[Timed]:
    """Forward float32 convolutions of cuDNN 5 to 7, standalone launches."""
    machines = deepbench_machines()
    frame = pd.read_csv(data_folder() / "deepbench" / "conv.csv")
    frame = frame[(frame.suite == "train") & (frame.precision == "Float") & frame.fwd_ms.notna()]
    for row in frame.itertuples():
        op = conv2d_cost(
            N=row.N, C=row.C, H=row.H, W=row.W, K=row.K, R=row.R_filter_h, S=row.S_filter_w,
            stride=(row.stride_h, row.stride_w), padding=(row.pad_h, row.pad_w),
        )  # fmt: skip
        shape = f"{row.N} {row.C} {row.H} {row.W} {row.K} {row.R_filter_h} {row.S_filter_w} {row.stride_w}"
        yield Timed("convolution", row.gpu, shape, LatencyPoint((op,), machines[row.gpu], row.fwd_ms / 1e3))


def deepbench_gemms() -> Iterator[Timed]:
    """Float32 matrix products of cuBLAS, standalone launches."""
    machines = deepbench_machines()
    frame = pd.read_csv(data_folder() / "deepbench" / "gemm.csv")
    frame = frame[(frame.suite == "train") & (frame.precision == "Float") & frame.ms.notna()]
    for row in frame.itertuples():
        op = matmul_cost(M=row.M, N=row.N, K=row.K)
        yield Timed("gemm", row.gpu, f"{row.M} {row.N} {row.K}", LatencyPoint((op,), machines[row.gpu], row.ms / 1e3))


def tinynas_convolutions() -> Iterator[Timed]:
    """Single TensorRT convolutions on a V100: dense, pointwise and depthwise, three number formats."""
    sheet = load_machine("v100-sxm2")
    dp4a = 62.8e12  # four times the float32 rate: DP4A, V100 has no INT8 tensor cores (gpu_specs.csv)
    machine = replace(
        sheet,
        peak_flops_per_s={**sheet.peak_flops_per_s, "int8": dp4a},
        j_per_flop={**sheet.j_per_flop, "int8": sheet.j_per_flop["float32"]},
    )
    frame = pd.read_csv(data_folder() / "tinynas_v100_conv" / "trt_conv_ms.csv")
    for row in frame.itertuples():
        groups = row.in_c if row.type == "depthwise" else 1
        for column, dtype in (("fp32_ms", "float32"), ("fp16_ms", "float16"), ("int8_ms", "int8")):
            milliseconds = getattr(row, column)
            if not milliseconds > 0:
                continue
            op = conv2d_cost(
                N=row.batch, C=row.in_c, H=row.in_h, W=row.in_h, K=row.out_c, R=row.k, S=row.k,
                stride=row.stride, padding=(row.k - 1) // 2, groups=groups, dtype=dtype,
            )  # fmt: skip
            op = _read_what_is_used(op, row)
            kind = "depthwise" if groups > 1 else "pointwise" if row.k == 1 else "dense"
            shape = f"{row.type} {row.batch} {row.in_c} {row.in_h} {row.out_c} {row.k} {row.stride}"
            yield Timed(f"{kind} {dtype}", "V100", shape, LatencyPoint((op,), machine, milliseconds / 1e3))


def _read_what_is_used(op: OperatorCost, row: Any) -> OperatorCost:
    """A 1x1 filter of stride 2 skips three quarters of its input."""
    if row.k > 1 or row.stride == 1:
        return op
    used = -(-row.in_h // row.stride)
    skipped = row.batch * row.in_c * (row.in_h**2 - used**2)
    return replace(op, read_bytes=op.read_bytes - skipped * DTYPE_BYTES[op.dtype])


SPIO_GB_PER_S = {
    "rtx-3090": (264, 283, 255, 267, 247, 272, 266, 255),
    "rtx-4090": (480, 549, 496, 504, 463, 512, 512, 505),
}
"""Effective bandwidth of cuDNN's grouped convolution, float16, 64 channels in groups of 8, 3x3, 64 x 64 pixels, at
batches of 32 to 256 by 32: read off the forward plots of github.com/andravin/spio to about +-10 (3090), +-30 (4090)."""


def spio_grouped() -> Iterator[Timed]:
    """cuDNN's grouped convolutions beside which spio shows its own: one shape, eight batches, two cards."""
    for card, rates in SPIO_GB_PER_S.items():
        machine = load_machine(card)
        for batch, gigabytes_per_s in zip(range(32, 257, 32), rates, strict=True):
            op = conv2d_cost(N=batch, C=64, H=64, W=64, K=64, R=3, S=3, groups=8, padding=1, dtype="float16")
            point = LatencyPoint((op,), machine, op.bytes / (gigabytes_per_s * 1e9))
            yield Timed("grouped float16", machine.title, str(batch), point)


NEUSIGHT = {
    "NVIDIA A100 80GB PCIe": "a100-pcie-80gb",
    "Tesla T4": "t4",
    "Tesla V100-PCIE-32GB": "v100-pcie",
}


def neusight_operators() -> Iterator[Timed]:
    """Float32 linear layers, batched products and vector operators of PyTorch."""
    folder = data_folder() / "neusight"
    for row in pd.read_csv(folder / "gemm_fp32.csv").itertuples():
        op = matmul_cost(M=row.M, K=row.reduce_N, N=row.out_K, batch=row.B)
        point = LatencyPoint((op,), load_machine(NEUSIGHT[row.gpu]), row.ms / 1e3)
        yield Timed("gemm", row.gpu, f"{row.B} {row.M} {row.reduce_N} {row.out_K}", point)
    for row in pd.read_csv(folder / "vector_fp32.csv").itertuples():
        tensor = Operand((row.B, row.H))
        inputs = [tensor] if row.op in UNARY | NORMALISATIONS else [tensor, tensor]
        family, make = (
            ("normalisation", normalisation_cost) if row.op in NORMALISATIONS else ("elementwise", elementwise_cost)
        )
        op = make(inputs=inputs, outputs=[tensor], name=row.op)
        point = LatencyPoint((op,), load_machine(NEUSIGHT[row.gpu]), row.ms / 1e3)
        yield Timed(family, row.gpu, f"{row.op} {row.B} {row.H}", point)


TRANSFORMERS = re.compile(
    "beit|cait|coat_|crossvit|davit|deit|efficientformer|eva|flexivit|focalnet|gcvit|gmixer|gmlp|hiera|levit|maxxvit|"
    "mixer|mvitv|nest|pit|pvt|resmlp|samvit|sequencer|swin|tnt|twins|visformer|vit|volo|xcit"
)
DEPTHWISE = re.compile(
    "convformer|convnext|eca_efficientnet|edgenext|efficientnet|efficientvit_b|efficientvit_l|fastvit|fbnet|"
    "gc_efficientnet|ghostnet|hardcorenas|inception_next|lcnet|mixnet|mnasnet|mobilenet|mobileone|mobilevit|"
    "repghostnet|repvit|rexnet|semnasnet|spnasnet|starnet|tf_efficientnet|tf_mixnet|tf_mobilenet|tinynet"
)


def network_kind(name: str) -> str:
    """``transformer``, ``depthwise`` (mobile networks and ConvNeXts) or ``convolution``, by the name's beginning."""
    if DEPTHWISE.match(name):
        return "depthwise"
    return "transformer" if TRANSFORMERS.match(name) else "convolution"


def timm_networks() -> pd.DataFrame:
    """Networks timed on both GeForce cards: per image ``macs``, ``activations``, ``s_3090``, ``s_4090``, ``kind``."""
    stem = "benchmark-infer-amp-nchw-pt240-cu124-rtx"
    keys = ["model", "infer_img_size"]
    first, second = (pd.read_csv(data_folder() / "timm" / f"{stem}{card}.csv") for card in ("3090", "4090"))
    both = first.merge(second[[*keys, "infer_samples_per_sec"]], on=keys, suffixes=("", "_4090"))
    return pd.DataFrame(
        {
            "model": both.model,
            "kind": both.model.map(network_kind),
            "macs": both.infer_gmacs * 1e9,
            "activations": both.infer_macts * 1e6,
            "s_3090": 1 / both.infer_samples_per_sec,
            "s_4090": 1 / both.infer_samples_per_sec_4090,
        }
    )
