"""Fit the shipped kernel efficiencies on published latencies: writes ``energybench/efficiency/libraries.yaml``.

Run it only to change what ships: ``python tests/prediction/fit_libraries.py``. Every class is fitted on one data set;
its stated error is of the finished table on cards or data sets it was not fitted on (``check.py`` prints them).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from data_sets import CHECKOUT, Timed, neusight_operators, spio_grouped, tinynas_convolutions

from energybench.analysis.fit_latency import fit_latency
from energybench.analysis.kernel_efficiency import Efficiency, Quality, efficiency_to_yaml, family_of_class
from energybench.machine import peak_for

TARGET = CHECKOUT / "energybench" / "efficiency" / "libraries.yaml"
OVERLAP = 2.0
ERRORS = {
    "conv_dense": 0.29,
    "conv_pointwise": 0.29,
    "gemm": 0.42,
    "elementwise": 0.18,
    "normalisation": 0.17,
}
"""Mean error of the finished table on cards it was not fitted on (docs/prediction.md, "shipped table")."""

ABOUT = (
    "What vendor libraries' kernels reach. Convolutions: TensorRT on a V100; matrix products, elementwise, "
    "normalisation: PyTorch float32 on V100 and A100. Grouped convolutions: float16 from one plot of cuDNN on an "
    "RTX 3090, else assumed."
)


def main() -> None:
    """Fit and write."""
    convolutions = _fitted(
        tinynas_convolutions(),
        "TensorRT convolutions on a V100 (tinynas_v100_conv, alibaba lightweight-nas, Apache-2.0)",
    )
    others = [t for t in neusight_operators() if "T4" not in t.card]  # at its power limit it shows that, not kernels
    operators = _fitted(others, "PyTorch float32 operators on V100 and A100 (NeuSight data, MIT)")
    kernels = {**convolutions.kernels, **operators.kernels}
    kernels["gemm"]["float16"] = _tensor_products(operators)
    kernels["conv_grouped"] = {kind: _grouped(convolutions, kind) for kind in ("float32", "float16", "int8")}
    halves = kernels["conv_grouped"]["float16"], kernels["conv_dense_strided"]["float16"]
    kernels["conv_grouped"]["float16"] = _grouped_on_tensor_cores(*halves)
    kernels = {name: {kind: _rounded(name, q) for kind, q in kinds.items()} for name, kinds in sorted(kernels.items())}
    table = Efficiency(name="libraries", about=ABOUT, overlap=OVERLAP, kernels=kernels)
    Path(TARGET).write_text(HEADER + efficiency_to_yaml(table), encoding="utf-8")


def _fitted(timed: Iterable[Timed], source: str) -> Efficiency:
    return fit_latency([t.point for t in timed], name="x", source=source, overlaps=[OVERLAP]).efficiency


def _tensor_products(operators: Efficiency) -> Quality:
    float32 = operators.kernels["gemm"]["float32"]
    return Quality(
        arithmetic=0.84,
        bandwidth=float32.bandwidth,
        step_s=float32.step_s / 4,
        source="assumed: 0.84 is the middle of 0.80-0.88 that good libraries reach of dense peaks "
        "(stas00/ml-engineering matmul table); bandwidth as float32; a quarter of its step, as of convolutions",
    )


def _grouped(convolutions: Efficiency, kind: str) -> Quality:
    """Between its neighbours, in the geometric middle: a group has one channel (depthwise) or all (dense).

    Strided dense and 5x5 depthwise kernels, because no Winograd and no hand-tuned 3x3 kernel exists for groups.
    """
    dense = convolutions.kernels["conv_dense_strided"][kind]
    depthwise = convolutions.kernels["conv_depthwise_5x5"][kind]
    return Quality(
        arithmetic=(dense.arithmetic * depthwise.arithmetic) ** 0.5,
        bandwidth=(dense.bandwidth * depthwise.bandwidth) ** 0.5,
        step_s=dense.step_s,
        source="assumed, no public data: geometric middle of dense and depthwise convolutions on a V100",
    )


def _grouped_on_tensor_cores(assumed: Quality, dense: Quality) -> Quality:
    """The fraction of peak that explains the one public plot of cuDNN's grouped kernels, its RTX 3090 half.

    One shape cannot tell arithmetic from bandwidth: memory is taken to be read as by a dense kernel, an implicit
    product like this one, and what time is left, is arithmetic.
    """
    reached = []
    for timed in spio_grouped():
        (op,), machine = timed.point.operators, timed.point.machine
        if machine.name == "rtx-3090":
            memory_s = op.bytes / (dense.bandwidth * machine.bandwidth_bytes_per_s)
            left_s = ((timed.point.latency_s - machine.launch_s) ** OVERLAP - memory_s**OVERLAP) ** (1 / OVERLAP)
            reached.append(op.flops / peak_for(machine, "float16") / left_s)
    return assumed.model_copy(
        update={
            "arithmetic": sum(reached) / len(reached),
            "bandwidth": dense.bandwidth,
            "source": "arithmetic: cuDNN on an RTX 3090, groups of 8, 3x3, read off the plots of andravin/spio; "
            "bandwidth and step assumed to be those of strided dense convolutions",
        }
    )


def _rounded(name: str, quality: Quality) -> Quality:
    digits = {field: float(f"{getattr(quality, field):.3g}") for field in ("arithmetic", "bandwidth", "step_s")}
    return quality.model_copy(update=digits | {"latency_error": ERRORS.get(family_of_class(name))})


HEADER = """\
# Fractions of the peak and bandwidth of a machine sheet, by kernel class and kind of arithmetic
# (float16: tensor cores).
# Written by tests/prediction/fit_libraries.py; judged by `make predict-check`, see docs/prediction.md.
"""

if __name__ == "__main__":
    main()
