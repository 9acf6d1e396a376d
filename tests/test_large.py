"""Ten thousand cases are listed and reported, and a long run stays small."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tracemalloc
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from quiet import Remembering, measured

from energybench.analysis.summary import summarize
from energybench.cli.listing import listing
from energybench.journal import CaseRecord, Journal, OperatorRecord, RunRecord, WindowRecord, load
from energybench.machine import load_machine, machine_to_dict
from energybench.readings import Reading
from energybench.report.build import build_report
from energybench.report.page_table import ROWS_AT_MOST
from energybench.sensor import PROFILES
from energybench.suite import parse_suite
from energybench.suite.cases import expand

TICK_S = PROFILES["h200"].counter.tick_s
WINDOWS = 4
VARIANTS = 10


def large_suite(points):
    """A suite of ten variants at ``points`` x 10 x 10 points."""
    names = [f"v{i}" for i in range(VARIANTS)]
    variants = "".join(f"  {n}: {{layer: GroupConv2d, args: {{channels: $channels, groups: 1}}}}\n" for n in names)
    axes = "".join(f"  {a}: {list(range(1, n + 1))}\n" for a, n in (("channels", points), ("size", 10), ("batch", 10)))
    shape = "[$batch, $channels, $size, $size]"
    return f"name: large\nbaseline: v0\nvariants:\n{variants}input: {shape}\naxes:\n{axes}"


def test_a_case_is_listed_as_fast_among_ten_thousand_as_among_a_thousand_and_without_torch():
    code = f"""
import sys, time
from energybench.cli.listing import listing
from energybench.suite import parse_suite

def listed(text):
    begun_s = time.process_time()
    return listing(parse_suite(text)), time.process_time() - begun_s

listed({large_suite(1)!r})
_, thousand_s = listed({large_suite(1)!r})
text, ten_thousand_s = listed({large_suite(10)!r})
assert "cases: 10000" in text and text.count("channels=7 size=3 batch=9") == {VARIANTS}
print(ten_thousand_s / thousand_s, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    times, torch = done.stdout.split()
    assert float(times) < 20
    assert torch == "False"


def test_a_case_takes_the_same_memory_however_many_there_are():
    def bytes_a_case(points):
        suite = parse_suite(large_suite(points))
        tracemalloc.start()
        cases, _ = expand(suite)
        used = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return used / len(cases)

    few, many = bytes_a_case(1), bytes_a_case(10)
    assert many == pytest.approx(few, rel=0.2)
    assert many < 2500


def synthetic(folder, points):
    """A simulated run of ten variants at ``points`` points, written by hand through the journal."""
    cases, operators = [], []
    for p in range(points):
        point = {"channels": 1024 * (1 + p % 10), "size": 7 * (1 + p // 10 % 10), "batch": 1 + p // 100}
        words = " ".join(f"{k}={v}" for k, v in point.items())
        elements = point["batch"] * point["channels"] * point["size"] ** 2
        for v in range(VARIANTS):
            G, work = 2**v, f"{p}-{v}"
            cost = {"macs": elements * G * 9, "dtype": "float32"}
            cases.append(
                CaseRecord(
                    **cost, id=f"G={G} | {words}", variant=f"G={G}", layer="GroupConv2d", point=point, work=work,
                    comparison=words, batch=point["batch"], baseline="G=1", pair="G=1" if v else None, params=9 * G,
                    compulsory_bytes=8 * elements, eager_bytes=8 * elements, peak_memory_bytes=8 * elements,
                )
            )  # fmt: skip
            operators.append(
                OperatorRecord(
                    **cost, work=work, index=0, name="conv2d", family="conv_grouped", read_bytes=4 * elements,
                    write_bytes=4 * elements, groups=point["channels"] // G, group_size=G, kernel_size=3,
                )
            )  # fmt: skip
    record = RunRecord(
        energybench_version="0", created_utc="20260101T000000Z", name="large", suite_text="", identity="i",
        analytic="group_size", cases=cases, device={"name": "sim:h200", "title": "NVIDIA H200"}, simulated=True,
        meter={"name": "sim", "kinds": ["energy_j"]}, machine=machine_to_dict(load_machine("h200")),
        sensor=PROFILES["h200"].to_dict(), plan={"windows": WINDOWS, "precision": 0.05}, complete=True,
    )  # fmt: skip
    journal = Journal.create(folder, record, operators)
    for number, case in enumerate(cases):
        for block in range(WINDOWS):
            journal.append(*one_window(case, block, 10.0 * (number * WINDOWS + block)))
    journal.close()


def one_window(case, block, start_s):
    """A second of a loop of some 400 W, its counter read just before and just after each tick."""
    iterations, power_w = 1000 + case.macs % 97, 400 + case.macs % 31 + 0.1 * block
    window = WindowRecord(
        number=0, kind="window", work=case.work, comparison=case.comparison, block=block, start_s=start_s,
        stop_s=start_s + 1, stamps=[(start_s, 0), (start_s + 0.5, iterations // 2), (start_s + 1, iterations)],
        launch="graph",
    )  # fmt: skip
    readings = []
    for tick in range(1, round(1 / TICK_S)):
        for shift_s, ticks in ((-5e-4, tick - 1), (5e-4, tick)):
            readings.append(
                Reading(start_s + tick * TICK_S + shift_s, "energy_j", power_w * ticks * TICK_S, None, 1e-5)
            )
    return window, readings


def unsynced(monkeypatch):
    """Forty thousand windows need not each wait for the disk: that is tested elsewhere."""
    monkeypatch.setattr("energybench.journal.disk.os.fsync", lambda file: None)


def report_s(folder, points):
    """A report of a run of ``points`` comparisons, and the processor's seconds that it took."""
    synthetic(folder, points=points)
    begun_s = time.process_time()
    return build_report(folder), time.process_time() - begun_s


def test_a_large_run_is_reported_in_time_and_the_page_stays_usable(tmp_path, monkeypatch):
    unsynced(monkeypatch)
    _, few_s = report_s(tmp_path / "few", points=6)
    summary, many_s = report_s(tmp_path / "run", points=60)
    # Most of it is figures, whose number does not grow; what does grow grows as the cases do, and no faster.
    assert many_s < 5 * few_s
    assert len(summary.cases) == 60 * VARIANTS > ROWS_AT_MOST
    assert summary.cases["loop_latency_s"].notna().all()
    page = (tmp_path / "run" / "report.html").read_text()
    assert len(page) < 3_000_000
    assert page.count("<tr") < 2 * ROWS_AT_MOST
    assert len(list((tmp_path / "run" / "figures").glob("*.svg"))) < 30


def test_what_a_run_keeps_of_a_window_is_small_and_the_rest_is_on_the_disk(tmp_path, monkeypatch):
    unsynced(monkeypatch)
    synthetic(tmp_path / "run", points=1)
    run = load(tmp_path / "run")
    case = run.record.cases[0]
    journal = Journal.resume(run)
    stamps = [(i / 60, i) for i in range(61)]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for block in range(2000):
        window, readings = one_window(case, block, 10.0 * block)
        moved = [(10.0 * block + t, n) for t, n in stamps]
        journal.append(window.model_copy(update={"stamps": moved, "samples_s": [1e-5] * 100}), readings)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    journal.close()
    assert grown / 2000 < 3000  # bytes a window; whole it takes over ten thousand
    assert len(load(tmp_path / "run").windows) == len(run.windows) + 2000
    assert len(listing(parse_suite(large_suite(1)))) > 1000
    assert len(summarize(load(tmp_path / "run")).cases) == VARIANTS


LONG = """
name: long
baseline: a
variants:
  a: {layer: GroupConv2d, args: {channels: 64, kernel_size: 3, groups: 8}}
  b: {layer: GroupConv2d, args: {channels: 64, kernel_size: 3, groups: 1}}
input: [16, 64, 28, 28]
method: {windows: 1000, precision: 50%, window_s: 1s}
"""


@dataclass
class Weighing(Remembering):
    """Remembers how large the process is after some windows."""

    bytes_after: dict[int, int] = field(default_factory=dict)

    def window_done(self, power_w, temperature_c, energy_j):
        super().window_done(power_w, temperature_c, energy_j)
        if self.windows in (500, 2000):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.bytes_after[self.windows] = pages * os.sysconf("SC_PAGE_SIZE")


def test_a_run_of_two_thousand_windows_stays_small(tmp_path, monkeypatch):
    unsynced(monkeypatch)
    progress = Weighing()
    folder, _ = measured(tmp_path, text=LONG, progress=progress)
    # A window's readings and stamps are over 20 KB; of those that are on the disk some 3 KB stay.
    assert (progress.bytes_after[2000] - progress.bytes_after[500]) / 1500 < 8_000
    run_file = (folder / "run.json").stat().st_size
    assert sum(w.kind == "window" for w in load(folder).windows) == 2000
    assert run_file < 20_000
