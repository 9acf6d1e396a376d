"""One answer to the question whether joules may be printed, and every table follows it."""

import pytest
from quiet import measured

from energybench.analysis.guards import ReadingHealth
from energybench.analysis.joules import WindowJoules
from energybench.analysis.measured import Measured, MeasuredWindow
from energybench.analysis.summary import summarize
from energybench.analysis.trust import distrust
from energybench.journal import BoardRecord, WindowRecord, load


def window(*, counter_vs_integral=0.0, throttled_s=0.0, stale=None):
    record = WindowRecord(
        number=0,
        kind="window",
        block=0,
        start_s=0.0,
        stop_s=1.0,
        stamps=[(0.0, 0), (1.0, 100)],
        before=BoardRecord(time_s=0.0, throttle_thermal_s=0.0),
        after=BoardRecord(time_s=1.0, throttle_thermal_s=throttled_s),
    )
    joules = WindowJoules(0.01, 100.0, 1.0, 1.0, "counter", 0.001, counter_vs_integral)
    return MeasuredWindow(record, joules, ReadingHealth(stale or {}, 0.0))


@pytest.mark.parametrize(
    ("window", "flags", "word"),
    [
        (window(), (), ""),
        (window(counter_vs_integral=0.09), (), ""),
        (window(counter_vs_integral=-0.11), (), "differ by over 10 %"),
        (window(throttled_s=0.009), (), ""),
        (window(throttled_s=0.02), (), "slowed the clocks"),
        (window(stale={"energy_j": 0.02}), (), "stale or impossible"),
        (window(stale={"power_average_w": 0.9}), (), ""),
        (window(), ("foreign-process",), "another process"),
        (window(), ("foreign-unseen",), ""),
    ],
)
def test_joules_are_refused_for_a_reason_only(window, flags, word):
    reason = distrust(Measured(windows=[window]), flags, on_cpu=False)
    assert (word in reason) if word else reason == ""


def test_refused_joules_are_in_no_case_no_total_and_no_pair(tmp_path):
    folder, _ = measured(tmp_path)
    run = load(folder)
    # Counter readings 20 % too high beside power readings that are right: the two sources disagree.
    sensor = run.record.sensor
    assert sensor["counter"]
    doubted = run.record.model_copy(update={"cases": run.record.cases})
    whole = summarize(run)
    assert whole.has_energy

    class Doubting(type(run)):
        def readings(self, window):
            return [r._replace(value=r.value * 1.2) if r.kind == "energy_j" else r for r in super().readings(window)]

    summary = summarize(Doubting(run.folder, doubted, run.windows, run.operators))
    assert summary.cases["counter_vs_integral"].between(0.15, 0.25).all()
    for frame in (summary.cases, summary.totals):
        assert frame["energy_per_inference_j"].isna().all()
        assert frame["energy_ratio"].isna().all()
        assert frame["latency_ratio"].notna().any()
    assert summary.pairs["energy_ratio"].isna().all()
    assert summary.cases["reason"].str.contains("differ by over 10 %").all()
