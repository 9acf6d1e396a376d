"""Fit the shipped kernel efficiencies on published latencies: writes ``energybench/efficiency/libraries.yaml``.

Run it only to change what ships: ``python tests/prediction/fit_libraries.py``. Every class is fitted on one data set;
its stated error is of the finished table on cards or data sets it was not fitted on (``check.py`` prints them).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from data_sets import CHECKOUT, Timed, neusight_operators, tinynas_convolutions

from energybench.analysis.fit_latency import fit_latency
from energybench.analysis.kernel_efficiency import Efficiency, Quality, efficiency_to_yaml

TARGET = CHECKOUT / "energybench" / "efficiency" / "libraries.yaml"
OVERLAP = 2.0
ERRORS = {
    "conv_dense": 0.28,
    "conv_dense_large": 0.28,
    "conv_pointwise": 0.28,
    "gemm": 0.42,
    "elementwise": 0.18,
    "normalisation": 0.17,
}
"""Mean error of the finished table on cards it was not fitted on (docs/prediction.md, "shipped table")."""

ABOUT = (
    "What vendor libraries' kernels reach. Convolutions: TensorRT on a V100; matrix products, elementwise, "
    "normalisation: PyTorch float32 on V100 and A100. Grouped convolutions: assumed, no public data."
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
    """Between its neighbours, in the geometric middle: a group has one channel (depthwise) or all (dense)."""
    dense, depthwise = convolutions.kernels["conv_dense"][kind], convolutions.kernels["conv_depthwise_large"][kind]
    return Quality(
        arithmetic=(dense.arithmetic * depthwise.arithmetic) ** 0.5,
        bandwidth=(dense.bandwidth * depthwise.bandwidth) ** 0.5,
        step_s=dense.step_s,
        source="assumed, no public data: geometric middle of dense and depthwise convolutions on a V100",
    )


def _rounded(name: str, quality: Quality) -> Quality:
    digits = {field: float(f"{getattr(quality, field):.3g}") for field in ("arithmetic", "bandwidth", "step_s")}
    return quality.model_copy(update=digits | {"latency_error": ERRORS.get(name)})


HEADER = """\
# Fractions of the peak and bandwidth of a machine sheet, by kernel class and kind of arithmetic
# (float16: tensor cores).
# Written by tests/prediction/fit_libraries.py; judged by `make predict-check`, see docs/prediction.md.
"""

if __name__ == "__main__":
    main()
