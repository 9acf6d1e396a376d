"""Fit the shipped kernel efficiencies on published latencies: writes ``energybench/efficiency/libraries.yaml``.

Run it only to change what ships: ``python tests/prediction/fit_libraries.py``. Every class is fitted on one data set,
but for the shapes of fold 0, which judge it; its stated error is of the finished table on cards it was not fitted on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from check import FITTED, seconds
from data_sets import CHECKOUT, KERNELS, Rows, data_folder, spio_grouped

from energybench.analysis.fit_latency import fit_latency
from energybench.analysis.kernel_demand import kernel_demand
from energybench.analysis.kernel_efficiency import Efficiency, Quality, efficiency_to_yaml, family_of_class
from energybench.analysis.predict import GOOD_PRODUCT
from energybench.machine import peak_for

TARGET = CHECKOUT / "energybench" / "efficiency" / "libraries.yaml"
OVERLAP = 2.0
SOURCES = {
    "tinynas": "TensorRT convolutions on a V100 (tinynas_v100_conv, alibaba lightweight-nas, Apache-2.0)",
    "neusight": "PyTorch float32 operators on V100 and A100 (NeuSight data, MIT)",
}
ONE_LAUNCH = frozenset({"tinynas"})
"""Data sets whose kernels all were timed by one profiler. Operators of a framework each have a path of their own to the
device, and with it a launch."""

FORWARD = ("convolution", "gemm", "elementwise", "normalisation")
"""Beginnings of the groups whose errors are stated: gradients are kernels of their own, which no class stands for."""

ABOUT = (
    "What vendor libraries' kernels reach. Convolutions: TensorRT on a V100; matrix products, elementwise, "
    "normalisation: PyTorch float32 on V100 and A100. Grouped convolutions: float16 from one plot of cuDNN on an "
    "RTX 3090, else assumed."
)


def main() -> None:
    """Fit, judge and write."""
    sets = {name: load(data_folder()) for name, load in KERNELS.items()}
    kernels: dict[str, dict[str, Quality]] = {}
    for data in SOURCES:
        for name, kind, quality in _fitted(sets[data], data):
            kernels.setdefault(name, {})[kind] = quality
    kernels["gemm"]["float16"] = _tensor_products(kernels["gemm"]["float32"])
    kernels["conv_grouped"] = {kind: _grouped(kernels, kind) for kind in ("float32", "float16", "int8")}
    halves = kernels["conv_grouped"]["float16"], kernels["conv_dense_strided"]["float16"]
    kernels["conv_grouped"]["float16"] = _grouped_on_tensor_cores(*halves)
    kernels = {name: {kind: _rounded(q) for kind, q in kinds.items()} for name, kinds in sorted(kernels.items())}
    table = Efficiency(name="libraries", about=ABOUT, overlap=OVERLAP, kernels=kernels)
    Path(TARGET).write_text(HEADER + efficiency_to_yaml(_with_errors(table, sets)), encoding="utf-8")


def _fitted(rows: Rows, data: str) -> Iterator[tuple[str, str, Quality]]:
    """Class, arithmetic and numbers, with the launch of the kernels that were timed alike."""
    mine = [t for t in rows.timed if t.card in FITTED[data] and t.fold != 0]
    alike = {"all": mine} if data in ONE_LAUNCH else {t.group: [o for o in mine if o.group == t.group] for t in mine}
    for timed in alike.values():
        points = [t.point for t in timed]
        found = fit_latency(points, name="x", source=SOURCES[data], overlaps=[OVERLAP]).efficiency
        for name, kinds in found.kernels.items():
            for kind, quality in kinds.items():
                yield name, kind, quality.model_copy(update={"launch_s": found.launch_s})


def _with_errors(table: Efficiency, sets: dict[str, Rows]) -> Efficiency:
    """Mean errors on cards it was not fitted on, by family and arithmetic; of all arithmetics where there is no row."""
    found: dict[tuple[str, str], list[float]] = {}
    for data, rows in sets.items():
        for timed in rows.timed:
            if timed.card not in FITTED.get(data, ()) and timed.group.startswith(FORWARD):
                (op,), measured_s = timed.point.operators, timed.point.latency_s
                kind = kernel_demand(op, timed.point.machine).arithmetic_kind
                error = abs(seconds(timed, table) / measured_s - 1)
                for key in ((op.family, kind), (op.family, "")):
                    found.setdefault(key, []).append(error)

    def judged(name: str, kind: str, quality: Quality) -> Quality:
        family = family_of_class(name)
        errors = found.get((family, kind)) or found.get((family, ""))
        return quality.model_copy(update={"latency_error": round(sum(errors) / len(errors), 2)}) if errors else quality

    kernels = {
        name: {kind: judged(name, kind, q) for kind, q in kinds.items()} for name, kinds in table.kernels.items()
    }
    return table.model_copy(update={"kernels": kernels})


def _tensor_products(float32: Quality) -> Quality:
    return Quality(
        arithmetic=GOOD_PRODUCT,
        bandwidth=float32.bandwidth,
        step_s=float32.step_s / 4,
        launch_s=float32.launch_s,
        source="assumed: 0.84 is the middle of 0.80-0.88 that good libraries reach of dense peaks "
        "(stas00/ml-engineering matmul table); bandwidth as float32; a quarter of its step, as of convolutions",
    )


def _grouped(kernels: dict[str, dict[str, Quality]], kind: str) -> Quality:
    """Between its neighbours, in the geometric middle: a group has one channel (depthwise) or all (dense).

    Strided dense and 5x5 depthwise kernels, because no Winograd and no hand-tuned 3x3 kernel exists for groups.
    """
    dense, depthwise = kernels["conv_dense_strided"][kind], kernels["conv_depthwise_5x5"][kind]
    return Quality(
        arithmetic=(dense.arithmetic * depthwise.arithmetic) ** 0.5,
        bandwidth=(dense.bandwidth * depthwise.bandwidth) ** 0.5,
        step_s=dense.step_s,
        launch_s=dense.launch_s,
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


def _rounded(quality: Quality) -> Quality:
    fields = ("arithmetic", "bandwidth", "step_s", "launch_s")
    return quality.model_copy(update={field: float(f"{getattr(quality, field):.3g}") for field in fields})


HEADER = """\
# Fractions of the peak and bandwidth of a machine sheet, by kernel class and kind of arithmetic
# (float16: tensor cores).
# Written by tests/prediction/fit_libraries.py; judged by `make predict-check`, see docs/prediction.md.
"""

if __name__ == "__main__":
    main()
