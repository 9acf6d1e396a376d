"""Run folders for the tests of comparisons: made by the simulated device, or written by hand window by window."""

import math
import statistics
import zlib
from pathlib import Path

import pandas as pd

from energybench import columns
from energybench.analysis.summary import Summary, summarize
from energybench.journal import CaseRecord, Run, RunRecord, SkippedRecord, WindowRecord, load
from energybench.session import run_study
from energybench.session.study import RunOptions, open_station, plan_study
from energybench.suite import load_suite

SUITE = """
name: small
about: two stages of one network
baseline: FgGC g=32
variants:
  FgGC g=32: {layer: GroupConv2d, args: {channels: $channels, kernel_size: 3, groups: 32}}
  E2GC G=4: {layer: GroupConv2d, args: {channels: $channels, kernel_size: 3, group_size: 4}, pair: FgGC g=32}
input: [$batch, $channels, $size, $size]
axes:
  stage:
    - {network: one, channels: 64, size: 28, repeat: 2}
    - {network: one, channels: 128, size: 14, repeat: 1}
  batch: [8]
  dtype: [float16]
method: {precision: 1%, windows: 6, window_s: 300ms}
"""

FLAT = [1.0, 1.001, 0.999, 1.0, 1.001, 0.999]
"""Six windows around 1, 0.1 % apart."""


class Silent:
    """Progress that nobody watches."""

    def __getattr__(self, name):
        return lambda *args, **kwargs: None


def simulate(
    folder: Path, *, device: str = "sim:h200", seed: int = 0, suite: str = SUITE, quick: bool = False
) -> Summary:
    """Measure ``suite`` on a simulated device and summarise the run folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.with_suffix(".yaml")
    path.write_text(suite)
    options = RunOptions(device=device, seed=seed, output=folder, quick=quick, fresh=True)
    station = open_station(options)
    try:
        return summarize(load(run_study(plan_study(load_suite(path), station, options), station, options, Silent())))
    finally:
        station.close()


def case_record(name: str, **given) -> CaseRecord:
    """A case by ``VARIANT | POINT``; its work is its name."""
    variant, point = name.split(" | ")
    fields = {k: int(v) if v.isdigit() else v for k, v in (p.split("=") for p in point.split())}
    known = {
        "id": name, "variant": variant, "layer": "X", "point": fields, "comparison": point, "batch": 1,
        "dtype": "float16", "inputs": [{"shape": [1, 8]}], "baseline": "x", "work": name, "macs": 100, "params": 1,
        "compulsory_bytes": 1, "eager_bytes": 1, "peak_memory_bytes": 1,
    }  # fmt: skip
    return CaseRecord.model_validate(known | given)


def written(
    windows: dict[str, tuple[list[float], list[float]]], *, name="run", cases=None, status=None, skipped=(), summed=(),
    device=None, meter=None, simulated=False, gain=0.05, rows=None, complete=True, suite="text", estimator="counter",
    clock=None,
) -> Summary:  # fmt: skip
    """A summary whose windows are ``case id -> (seconds, joules)`` per iteration; an empty list: no joules."""
    records = cases or [case_record(key) for key in windows]
    record = RunRecord(
        energybench_version="0", created_utc="20260101T000000Z", name="hand", suite_text=suite, identity=name,
        cases=records, skipped=[SkippedRecord(case=c, because=why) for c, why in skipped], summed_axis=list(summed),
        device={"name": "cuda:0", "title": "Board", "uuid": "GPU-1"} | (device or {}),
        meter={"name": "nvml", "scope": "board"} | (meter or {}), simulated=simulated, complete=complete,
    )  # fmt: skip
    table = []
    for case in records:
        seconds, joules = windows.get(case.work, ([], []))
        state, reason = (status or {}).get(
            case.id, ("ok" if seconds else "missing", "" if seconds else "not measured yet")
        )
        row = {"row": "case", "case": case.id, "variant": case.variant, "comparison": case.comparison,
               "work": case.work, "batch": case.batch, "dtype": case.dtype, "repeat": case.repeat,
               "status": state, "reason": reason, "flags": "",
               "provenance": "simulated" if simulated else "measured", **case.point}  # fmt: skip
        if seconds:
            row["loop_latency_s"] = sum(seconds) / len(seconds)
        if joules:
            row |= {
                "energy_per_inference_j": statistics.mean(j for j in joules if not math.isnan(j)),
                "energy_gain_uncertainty": gain,
            }
        elif seconds:
            row["reason"] = "no joules: no meter"
        table.append(row | (rows or {}).get(case.id, {}))
    table += [{"row": "case", "case": c, "status": "skipped", "reason": why} for c, why in skipped]
    frames = [
        {"work": case.work, "comparison": case.comparison, "block": i, "loop_latency_s": s, "estimator": estimator,
         "energy_per_iteration_j": windows[case.work][1][i] if windows[case.work][1] else None}
        for case in {c.work: c for c in records}.values() if case.work in windows
        for i, s in enumerate(windows[case.work][0])
    ]  # fmt: skip
    begin = float(zlib.crc32(name.encode())) if clock is None else clock
    stamps = [WindowRecord(number=i, kind="window", stamps=[(begin, i)]) for i in range(len(frames))]
    run = Run(Path("results") / name, record, tuple(stamps), ())
    results = pd.DataFrame(table)
    empty = pd.DataFrame()
    return Summary(
        run=run, cases=_ordered(results, columns.RESULTS), totals=_ordered(empty, columns.RESULTS),
        pairs=_ordered(empty, columns.PAIRS), operators=_ordered(empty, columns.OPERATORS),
        group_size=_ordered(empty, columns.GROUP_SIZE), idle=None,
        windows=_ordered(pd.DataFrame(frames), columns.WINDOWS),
    )  # fmt: skip


def times(factor):
    return [factor * value for value in FLAT]


def pair_of(seconds, joules, *, place="v | size=1", **given):
    """Two runs of one case; the second's latency and joules are ``seconds`` and ``joules`` times the first's."""
    first = written({place: (FLAT, times(2))}, name="a")
    return first, written({place: (times(seconds), times(2 * joules))}, name="b", **given)


def _ordered(frame: pd.DataFrame, dictionary) -> pd.DataFrame:
    names = columns.names(dictionary)
    return frame.reindex(columns=names + [c for c in frame.columns if c not in names])
