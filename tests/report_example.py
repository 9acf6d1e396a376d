"""A summary whose every number follows from a formula, for the tests of the report: no device, no run folder.

The work is that of the shipped study of grouped convolutions (13 stages of two networks); the device is a roofline
with a launch cost and a quality per kernel family. Nothing here is measured and nothing claims to be.
"""

from __future__ import annotations

import dataclasses
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from energybench import columns
from energybench.analysis.measured import Idle
from energybench.analysis.summary import Summary
from energybench.journal import CaseRecord, OperatorRecord, Run, RunRecord
from energybench.machine import load_machine, machine_to_dict

STAGES = [  # network, channels, side of the input, stride, repeat: those of suites/gconv.yaml
    ("MobileNet-V1", 32, 112, 1, 1),
    ("MobileNet-V1", 64, 112, 2, 1),
    ("MobileNet-V1", 128, 56, 1, 1),
    ("MobileNet-V1", 128, 56, 2, 1),
    ("MobileNet-V1", 256, 28, 1, 1),
    ("MobileNet-V1", 256, 28, 2, 1),
    ("MobileNet-V1", 512, 14, 1, 5),
    ("MobileNet-V1", 512, 14, 2, 1),
    ("MobileNet-V1", 1024, 7, 1, 1),
    ("ResNeXt-50", 128, 56, 1, 3),
    ("ResNeXt-50", 256, 28, 1, 4),
    ("ResNeXt-50", 512, 14, 1, 6),
    ("ResNeXt-50", 1024, 7, 1, 3),
]
PAIRS = {"E2GC G=8": "FgGC g=32", "E2GC G=16": "FgGC g=16", "E2GC G=32": "FgGC g=8"}
VARIANTS = [*[f"FgGC g={g}" for g in (8, 16, 32)], "E2GC G=4", *PAIRS, "depthwise", "dense"]
BASELINE = "FgGC g=32"
HALFWIDTH = 0.004
MACHINE = load_machine("h200")
FOLDED = {
    "kind": "power_w", "period_s": 0.2, "on_s": 0.1, "phase_s": [0.01, 0.06, 0.11, 0.16],
    "reading_w": [100.0, 250.0, 300.0, 150.0], "model_w": [98.0, 252.0, 301.0, 148.0],
}  # fmt: skip
CALIBRATION = {
    "verdict": ["The plain power value sees all of the time."],
    "curves": {"folded": [FOLDED], "beats": []},
}


def group_size_of(variant: str, channels: int) -> int:
    kind, _, value = variant.partition("=")
    if kind == "FgGC g":
        return max(1, channels // int(value))
    if kind == "E2GC G":
        return min(channels, int(value))
    return 1 if variant == "depthwise" else channels


def counts(variant: str, channels: int, size: int, stride: int, batch: int, dtype: str) -> dict[str, int]:
    group_size = group_size_of(variant, channels)
    width = {"float16": 2, "float32": 4}[dtype]
    pixels, read = batch * (size // stride) ** 2, batch * size**2
    params = channels * group_size * 9
    return {
        "macs": pixels * channels * group_size * 9,
        "params": params,
        "compulsory_bytes": width * ((read + pixels) * channels + params),
        "group_size": group_size,
        "groups": channels // group_size,
    }


def numbers(work: dict[str, int], variant: str, dtype: str, batch: int) -> dict[str, float]:
    """What the formula device needs for one iteration."""
    peak = MACHINE.peak_flops_per_s[dtype]
    ideal_s = 2 * work["macs"] / peak
    memory_s = work["compulsory_bytes"] / MACHINE.bandwidth_bytes_per_s
    quality = {"depthwise": 0.35, "dense": 0.7}.get(variant, 0.22)
    noise = 1 + 0.002 * math.sin(zlib.crc32(f"{variant}{work['macs']}".encode()))
    latency_s = (max(ideal_s / quality, memory_s / 0.75) + 2.4e-6 + 1.5e-8 * work["groups"]) * noise
    dynamic_j = 2 * work["macs"] * MACHINE.j_per_flop[dtype] + work["compulsory_bytes"] * MACHINE.j_per_byte
    predicted_s = max(ideal_s, memory_s) + MACHINE.launch_s
    energy_j = dynamic_j + MACHINE.static_w * latency_s
    return {
        "ideal_latency_s": ideal_s,
        "attainable_latency_s": max(ideal_s, memory_s),
        "predicted_latency_s": predicted_s,
        "predicted_energy_per_inference_j": (dynamic_j + MACHINE.static_w * predicted_s) / batch,
        "loop_latency_s": latency_s,
        "energy_per_iteration_j": energy_j,
    }


def case_row(stage: tuple[str, int, int, int, int], variant: str, batch: int, dtype: str) -> dict[str, Any]:
    network, channels, size, stride, repeat = stage
    work = counts(variant, channels, size, stride, batch, dtype)
    place = f"network={network} channels={channels} size={size} stride={stride} batch={batch} dtype={dtype}"
    return {
        "row": "case", "case": f"{variant} | {place}", "variant": variant, "layer": "GroupConv2d",
        "comparison": place, "work": f"{channels}-{size}-{stride}-{work['group_size']}-{batch}-{dtype}",
        "network": network, "channels": channels, "size": size, "stride": stride, "batch": batch, "dtype": dtype,
        "repeat": repeat,
        **{k: work[k] for k in ("macs", "params", "compulsory_bytes")}, "eager_bytes": work["compulsory_bytes"],
        **numbers(work, variant, dtype, batch),
    }  # fmt: skip


ADDITIVE = (
    "macs",
    "params",
    "compulsory_bytes",
    "eager_bytes",
    "ideal_latency_s",
    "attainable_latency_s",
    "predicted_latency_s",
    "predicted_energy_per_inference_j",
    "loop_latency_s",
    "energy_per_iteration_j",
)


def total_rows(cases: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (network, batch, dtype, variant), part in cases.groupby(["network", "batch", "dtype", "variant"], sort=False):
        point = f"network={network} batch={batch} dtype={dtype}"
        rows.append(
            {"row": "total", "case": f"total {variant} | {point}", "variant": variant, "layer": "GroupConv2d",
             "comparison": f"total {point}", "network": network, "batch": batch, "dtype": dtype,
             **{name: float((part[name] * part["repeat"]).sum()) for name in ADDITIVE}}
        )  # fmt: skip
    return pd.DataFrame(rows)


def finish(frame: pd.DataFrame, *, energy: bool, provenance: str) -> pd.DataFrame:
    """The columns that follow from latency and joules, as the real summary derives them."""
    frame = frame.copy()
    if not energy:
        frame["energy_per_iteration_j"] = math.nan
    frame["energy_per_inference_j"] = frame.energy_per_iteration_j / frame.batch
    frame["power_w"] = frame.energy_per_iteration_j / frame.loop_latency_s
    frame["dynamic_energy_per_inference_j"] = frame.energy_per_inference_j - 80.0 * frame.loop_latency_s / frame.batch
    frame["energy_per_mac_j"] = frame.energy_per_iteration_j / frame.macs
    frame["inferences_per_j"] = 1 / frame.energy_per_inference_j
    frame["flops"] = 2 * frame.macs
    frame["efficiency"] = frame.ideal_latency_s / frame.loop_latency_s
    for name in ("energy_per_inference", "loop_latency"):
        unit = "_j" if name.startswith("energy") else "_s"
        frame[f"{name}_low{unit}"] = frame[name + unit] * (1 - HALFWIDTH)
        frame[f"{name}_high{unit}"] = frame[name + unit] * (1 + HALFWIDTH)
    frame["latency_s"], frame["latency_p5_s"] = frame.loop_latency_s * 1.05, frame.loop_latency_s * 1.02
    frame["latency_p95_s"] = frame.loop_latency_s * 1.2
    keys = ["comparison"]
    base = frame[frame.variant == BASELINE].set_index(keys)
    at = frame.set_index(keys).index
    frame["energy_ratio"] = frame.energy_per_inference_j.to_numpy() / base.energy_per_inference_j.reindex(at).to_numpy()
    frame["latency_ratio"] = frame.loop_latency_s.to_numpy() / base.loop_latency_s.reindex(at).to_numpy()
    frame["energy_ratio_low"], frame["energy_ratio_high"] = frame.energy_ratio * 0.996, frame.energy_ratio * 1.004
    frame["latency_ratio_low"], frame["latency_ratio_high"] = frame.latency_ratio * 0.998, frame.latency_ratio * 1.002
    fixed = {"energy_gain_uncertainty": 0.05, "windows": 8, "relative_halfwidth": HALFWIDTH, "idle_w": 80.0,
             "smallest_difference": 0.006, "stopped": "converged", "temperature_c": 54.0, "sm_clock_hz": 1.98e9,
             "throttle_share": 0.0, "power_cap_share": 0.0, "counter_vs_integral": 0.001, "status": "ok",
             "repeated_windows": 2, "repeat_shift": 0.0004, "event_vs_host": 0.00002, "host_bound_share": 0.13,
             "peak_memory_bytes": 2.0e8, "compile_s": 0.4, "flags": "",
             "reason": "" if energy else "no meter", "provenance": provenance}  # fmt: skip
    for name, value in fixed.items():
        frame[name] = value
    order = columns.names(columns.RESULTS)
    extra = [c for c in frame if c not in order]
    return frame.reindex(columns=[*order, *extra]).reset_index(drop=True)


def pair_rows(frame: pd.DataFrame, scope: str) -> list[dict[str, Any]]:
    rows = []
    indexed = frame.set_index(["comparison", "variant"])
    for row in frame.to_dict("records"):
        for kind, against in (("matched", PAIRS.get(row["variant"])), ("baseline", BASELINE)):
            if against is None or against == row["variant"] or (row["comparison"], against) not in indexed.index:
                continue
            partner = indexed.loc[(row["comparison"], against)]
            rows.append({"scope": scope, "kind": kind, "against": against, **_pair_numbers(row, partner)})
    return rows


def _pair_numbers(row: dict[str, Any], partner: pd.Series) -> dict[str, Any]:
    energy = row["energy_per_inference_j"] / partner["energy_per_inference_j"]
    latency = row["loop_latency_s"] / partner["loop_latency_s"]
    macs = row["macs"] / partner["macs"]
    key = latency if math.isnan(energy) else energy
    low, high = key * 0.997, key * 1.003
    verdict = "same" if low > 0.99 and high < 1.01 else "less" if high < 1 else "more" if low > 1 else "cannot tell"
    return {
        **{k: row[k] for k in ("comparison", "variant", "batch", "dtype", "network")}, "macs_ratio": macs,
        "energy_ratio": energy, "energy_ratio_low": energy * 0.997, "energy_ratio_high": energy * 1.003,
        "latency_ratio": latency, "latency_ratio_low": latency * 0.998, "latency_ratio_high": latency * 1.002,
        "energy_per_mac_ratio": energy / macs, "smallest_difference": 0.004, "verdict": verdict,
    }  # fmt: skip


def group_size_rows(cases: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for comparison, part in cases.groupby("comparison", sort=False):
        first = part.iloc[0]
        size_of = {
            int(group_size_of(v, int(first.channels))): j
            for v, j in zip(part.variant, part.energy_per_inference_j, strict=True)
        }
        known = {g: j for g, j in sorted(size_of.items()) if not math.isnan(j)}
        best = min(known, key=lambda g: known[g]) if known else None
        alike = [g for g, j in known.items() if best and j <= known[best] * 1.01]
        per_mac = min(known, key=lambda g: known[g] / g) if known else None
        rows.append(
            {"comparison": comparison,
             **{k: first[k] for k in ("network", "channels", "size", "batch", "dtype")},
             "group_sizes": " ".join(str(g) for g in sorted(size_of)), "measured_optimum": best,
             "measured_set": " ".join(map(str, alike)), "measured_optimum_per_mac": per_mac, "thesis_optimum": 8,
             "predicted_optimum": None,
             "physical_optimum": 4, "knee": 32 if first.dtype == "float16" else 4, "residual": 0.31}
        )  # fmt: skip
    return pd.DataFrame(rows)


def window_rows(cases: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for number, (case, block) in enumerate((c, b) for c in cases.to_dict("records") for b in range(8)):
        wobble = 1 + 0.003 * math.sin(number)
        rows.append(
            {"window": number, "work": case["work"], "comparison": case["comparison"], "block": block,
             "start_s": 1.2 * number, "stop_s": 1.2 * number + 1.0, "iterations": 1000,
             "power_w": case["power_w"] * wobble, "loop_latency_s": case["loop_latency_s"],
             "energy_per_iteration_j": case["energy_per_iteration_j"] * wobble, "interior_s": 0.9,
             "estimator": "counter", "temperature_c": 54.0, "sm_clock_hz": 1.98e9, "flags": "", "reason": ""}
        )  # fmt: skip
    return pd.DataFrame(rows)


def operator_rows(cases: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for case in cases.to_dict("records"):
        group_size = group_size_of(case["variant"], case["channels"])
        family = (
            "conv_depthwise" if group_size == 1 else "conv_dense" if group_size == case["channels"] else "conv_grouped"
        )
        rows.append(
            {"case": case["case"], "variant": case["variant"], "index": 0, "path": "", "name": "conv2d",
             "family": family, "macs": case["macs"], "flops": 2 * case["macs"], "bytes": case["compulsory_bytes"],
             "read_bytes": case["compulsory_bytes"], "write_bytes": 0, "weight_bytes": 0,
             "groups": case["channels"] // group_size, "group_size": group_size, "kernel_size": 3,
             "out_channels": case["channels"], "stride": 1, "input_side": case["size"], "known": True,
             "dtype": case["dtype"], "measured_s": math.nan, "kernel": None}
        )  # fmt: skip
    return pd.DataFrame(rows)


def record(cases: pd.DataFrame, *, energy: bool, simulated: bool, machine: bool) -> RunRecord:
    planned = [
        CaseRecord(
            id=c["case"], variant=c["variant"], layer="GroupConv2d", comparison=c["comparison"], batch=c["batch"],
            dtype=c["dtype"], repeat=c["repeat"], baseline=BASELINE, pair=PAIRS.get(c["variant"]), work=c["work"],
            macs=c["macs"], params=c["params"], compulsory_bytes=c["compulsory_bytes"], eager_bytes=c["eager_bytes"],
            peak_memory_bytes=0, args={"channels": c["channels"], "kernel_size": 3},
            point={k: c[k] for k in ("network", "channels", "size", "stride", "repeat", "batch", "dtype")},
        )
        for c in cases.to_dict("records")
    ]  # fmt: skip
    return RunRecord(
        energybench_version="0.1.0", created_utc="20261130T101500Z", name="gconv", suite_text="name: gconv\n",
        about="Fixed number of groups (FgGC) against fixed group size (E2GC)", identity="0" * 64,
        command=["energybench", "run", "gconv", "--device", "sim:h200"], analytic="group_size",
        summed_axis=["network", "channels", "size", "stride", "repeat"], cases=planned,
        device={"name": "sim:h200", "title": "Simulated NVIDIA H200"}, meter={"name": "sim" if energy else "none"},
        machine=machine_to_dict(MACHINE) if machine else None, calibration=CALIBRATION if energy else None,
        versions={"energybench": "0.1.0", "torch": "2.13.0"}, seed=7,
        simulated=simulated, energy_reason="" if energy else "no meter: this CPU exposes no RAPL counters",
        complete=True,
    )  # fmt: skip


def operator_records(operators: pd.DataFrame, cases: pd.DataFrame) -> tuple[OperatorRecord, ...]:
    works = cases.set_index("case").work
    found = {}
    for row in operators.to_dict("records"):
        work = works[row["case"]]
        found[work] = OperatorRecord(
            work=work, index=0, name="conv2d", family=row["family"], macs=row["macs"], read_bytes=row["bytes"],
            write_bytes=0, dtype=row["dtype"], group_size=row["group_size"], kernel_size=3,
        )  # fmt: skip
    return tuple(found.values())


def renamed(summary: Summary, old: str, new: str) -> Summary:
    """``summary`` with one variant under another name, in every table and in the record."""
    frames = ("cases", "totals", "pairs", "operators")
    changed = {name: getattr(summary, name).replace(old, new) for name in frames}
    cases = [c.model_copy(update={"variant": new} if c.variant == old else {}) for c in summary.run.record.cases]
    run_record = summary.run.record.model_copy(update={"cases": cases})
    return dataclasses.replace(summary, run=dataclasses.replace(summary.run, record=run_record), **changed)


def example_summary(
    *, full: bool = False, energy: bool = True, simulated: bool = True, machine: bool = True
) -> Summary:
    """468 cases when ``full``, else one shape with six variants; the others say what the run has and is."""
    stages = STAGES if full else [("MobileNet-V1", 256, 28, 1, 1)]
    points = [(b, d) for b in (1, 32) for d in ("float16", "float32")] if full else [(32, "float16")]
    variants = VARIANTS if full else ["FgGC g=8", "FgGC g=32", "E2GC G=4", "E2GC G=8", "depthwise", "dense"]
    provenance = "simulated" if simulated else "measured"
    rows = [case_row(stage, v, b, d) for b, d in points for stage in stages for v in variants]
    cases = finish(pd.DataFrame(rows), energy=energy, provenance=provenance)
    totals = finish(total_rows(pd.DataFrame(rows)), energy=energy, provenance=provenance)
    pairs = pd.DataFrame(pair_rows(cases, "case") + pair_rows(totals, "total"), columns=columns.names(columns.PAIRS))
    operators = operator_rows(cases)
    planned = record(cases, energy=energy, simulated=simulated, machine=machine)
    run = Run(Path("results/gconv-example"), planned, (), operator_records(operators, cases))
    return Summary(
        run=run, cases=cases, totals=totals, pairs=pairs, operators=operators,
        idle=Idle(80.0, 0.4, 2, unsettled=False) if energy else None,
        group_size=group_size_rows(cases), windows=window_rows(cases),
    )  # fmt: skip


def cut_short(summary: Summary, *, stopped: str | None = None) -> Summary:
    """``summary`` as it is when only the first comparison was measured: every total lacks a stage."""
    known = summary.cases["comparison"] == summary.cases["comparison"].iloc[0]
    record = summary.run.record.model_copy(update={"complete": False})
    return dataclasses.replace(
        summary,
        run=dataclasses.replace(summary.run, record=record),
        cases=_unmeasured(summary.cases, ~known).assign(stopped=known.map({True: "converged", False: stopped})),
        totals=_unmeasured(summary.totals, summary.totals["comparison"].notna()),
        pairs=summary.pairs[summary.pairs["comparison"] == summary.cases["comparison"].iloc[0]],
    )


def _unmeasured(frame: pd.DataFrame, which: pd.Series) -> pd.DataFrame:
    numbers = [
        name for name in frame if str(name).startswith(("energy", "loop_latency", "latency", "power", "dynamic"))
    ]
    found = frame.copy()
    found.loc[which, numbers] = math.nan
    found.loc[which, ["status", "reason"]] = ["missing", "not measured yet"]
    return found


def power_trace(seed: int = 3) -> pd.DataFrame:
    """Two windows of 1.5 s on a board that rises to 410 W, with 100 ms readings, and the counter's mean of each."""
    rng = np.random.default_rng(seed)
    times = np.arange(0.0, 5.0, 0.1)
    inside = [(1.0, 2.5), (3.2, 4.7)]
    rows = []
    for t in times:
        window = next((i for i, (a, b) in enumerate(inside) if a <= t <= b), -1)
        power = 82.0 if window < 0 else 410.0
        rows.append(
            {
                "time_s": t,
                "power_w": power + rng.normal(0, 3),
                "in_window": window >= 0,
                "window": window,
                "kind": "power_w",
                "own": True,
            }
        )
    for i, (a, b) in enumerate(inside):
        rows += [
            {"time_s": t, "power_w": 408.5, "in_window": True, "window": i, "kind": "counter", "own": True}
            for t in (a + 0.1, b - 0.05)
        ]
    return pd.DataFrame(rows)
