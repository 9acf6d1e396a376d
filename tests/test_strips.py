"""Power over time, a row of a table high: it stands where the readings stood, and leaves out what it cannot read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from quiet import measured

from energybench.journal import Run, load
from energybench.report.strips import HEIGHT, WIDTH, strips


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder, _ = measured(tmp_path_factory.mktemp("strips"))
    return load(folder)


def points(path: str) -> list[tuple[int, int]]:
    """Absolute points of a path of M and l commands."""
    found = []
    for line in re.findall(r"M([\d-]+) ([\d-]+)l([\d -]+)", path):
        x, y = int(line[0]), int(line[1])
        found.append((x, y))
        steps = [int(v) for v in line[2].split()]
        for dx, dy in zip(steps[::2], steps[1::2], strict=True):
            x, y = x + dx, y + dy
            found.append((x, y))
    return found


def test_every_measured_case_has_one_inside_its_box(run: Run) -> None:
    found, top_w = strips(run)
    assert set(found) == {case.id for case in run.record.cases}
    for strip in found.values():
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points(strip.path))
        assert 0 < strip.low_w <= strip.high_w <= top_w
    assert max(strip.high_w for strip in found.values()) == top_w


def test_its_height_is_the_power_that_was_read(run: Run) -> None:
    found, top_w = strips(run)
    for case, strip in found.items():
        heights = [top_w * (1 - y / HEIGHT) for _, y in points(strip.path)]
        assert max(heights) == pytest.approx(strip.high_w, abs=0.51 * top_w / HEIGHT), case
        assert min(heights) == pytest.approx(strip.low_w, abs=0.51 * top_w / HEIGHT), case


def test_without_power_readings_it_follows_the_energy_counter(run: Run, tmp_path: Path) -> None:
    """Power is what the counter gains over time: readings of 300 J/s make a strip at 300 W."""

    class Counted(Run):
        def readings(self, window):  # type: ignore[no-untyped-def]
            real = super().readings(window)
            kept = [r for r in real if r.kind == "energy_j"]
            return [r._replace(value=300.0 * r.time_s) for r in kept]

    found, top_w = strips(Counted(run.folder, run.record, run.windows, run.operators))
    assert top_w == pytest.approx(300.0)
    assert all(strip.low_w == pytest.approx(300.0) for strip in found.values())


def test_damaged_readings_leave_a_case_without_one(run: Run) -> None:
    gone = [w.model_copy(update={"readings": w.readings.model_copy(update={"crc32": 0})}) if w.readings else w
            for w in run.windows]  # fmt: skip
    assert strips(Run(run.folder, run.record, tuple(gone), run.operators)) == ({}, 0.0)
