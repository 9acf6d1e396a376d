"""accuracy/: does the comparison itself measure right? On one board, for seconds, and without the peers."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from accuracy import targets
from accuracy.boards import ARCHITECTURES, NAMES, configuration, hardware
from accuracy.grid import ROW, WATCHERS, Job, Site, Watcher, jobs, run
from accuracy.load import TRIES, Estimate, watch
from accuracy.noise import deviation
from accuracy.page import page, percent, signed
from accuracy.table import BOARDS, PEERS, TOOLS, US, best_peer, cell, summarise
from fakenvml import scenes
from fakenvml.build import FakeNvml

from energybench.readings import POWER
from energybench.sensor import PROFILES, Stream

UNCALIBRATED = WATCHERS[1]


def loads(**errors: list[float | None]) -> pd.DataFrame:
    """Rows as the grid writes them: 100 J in truth; errors in percent, None for no number; keys are tools."""
    rows = []
    for tool, percents in errors.items():
        for error in percents:
            joules = None if error is None else 100.0 + error
            rows.append((tool.replace("_", " "), "1", "turing", 2.0, 1, 100.0, joules, "" if joules else "cannot know"))
    return pd.DataFrame(rows, columns=list(ROW))


def test_the_twelve_profiles_are_measured_and_no_hypothetical_one():
    assert len(BOARDS) == 12
    assert set(BOARDS) == {name for name, profile in PROFILES.items() if not profile.hypothetical}
    assert set(NAMES) == set(BOARDS)


def test_every_board_comes_up_and_offers_what_its_profile_says(fake_nvml: FakeNvml, tmp_path: Path):
    configs = {}
    for name in ARCHITECTURES:
        config = configuration(name, ledger=str(tmp_path / name), origin_s=0.0, seed=1)
        steady = config.replace(f"power ledger {tmp_path / name}", "power from 0 250")
        configs[name] = steady.replace("clock monotonic", "clock virtual")
    found = fake_nvml.run(scenes.probed_with, configs["turing"], configs=configs)
    for name in BOARDS:
        assert set(found[name]["kinds"]) == set(hardware(name).kinds), name


@pytest.fixture(scope="module")
def measured(fake_nvml: FakeNvml, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    """energybench on the Turing board in real time: loads that it can measure, and one that it cannot."""
    folder = tmp_path_factory.mktemp("accuracy")
    site = Site(fake_nvml.library, folder, folder / "loops.csv", loops=((0.02, 1), (1.0, 3)))
    return list(run(site, Job(UNCALIBRATED, "turing")))


def test_energybench_is_close_to_the_truth_through_its_own_polling_and_estimator(measured):
    rows = [row for row in measured if row["loop_s"] == 1.0]
    assert [row["truth_j"] for row in rows] == [pytest.approx(300.0, rel=0.1)] * 3  # 300 W for a second
    given = [row for row in rows if row["joules"] is not None]
    assert given, [row["reason"] for row in rows]  # a busy machine can blur every tick of a load, not of all of them
    for row in given:
        assert row["joules"] == pytest.approx(row["truth_j"], rel=0.02)  # what its ends may leave open at most
    assert min(abs(row["joules"] / row["truth_j"] - 1) for row in given) < 0.005


def test_a_load_shorter_than_the_sensor_can_see_gets_a_reason_and_no_number(measured):
    (row,) = [row for row in measured if row["loop_s"] == 0.02]
    assert row["joules"] is None
    assert "below the sensor's floor" in row["reason"]


def test_a_peer_that_does_not_come_up_is_a_row_with_its_last_words(fake_nvml: FakeNvml, tmp_path: Path):
    environment = tmp_path / "zeus" / "bin"  # an environment without the peer
    environment.mkdir(parents=True)
    (environment / "python").symlink_to(sys.executable)
    site = Site(fake_nvml.library, tmp_path, tmp_path / "loops.csv", loops=((2.0, 3),))
    (row,) = run(site, Job(Watcher("Zeus", "watch_zeus", "zeus"), "turing"))
    assert row["joules"] is None
    assert "No module named" in str(row["reason"])
    tables = summarise(pd.DataFrame([row]))
    assert set(tables["tool"]) == {"Zeus window", "Zeus power"}


def test_energybench_failing_is_an_error_and_no_refusal(tmp_path: Path):
    site = Site(tmp_path / "nowhere" / "libnvidia-ml.so.1", tmp_path, tmp_path / "loops.csv", loops=((2.0, 3),))
    with pytest.raises(RuntimeError, match=r"energybench uncalibrated on turing: .*libnvidia-ml"):
        list(run(site, Job(UNCALIBRATED, "turing")))


def test_every_tool_is_measured_on_every_board_for_the_same_loads():
    names = {job.name for job in jobs()}
    assert len(names) == len(WATCHERS) * len(BOARDS)
    assert {job.board for job in jobs("Zeus on a*")} == {"a100"}


def test_errors_are_summarised_with_their_sign_their_size_and_the_worst():
    row = cell(summarise(loads(energybench=[-1.0, 0.5, 3.0, -4.0])), US, "turing", 2.0)
    assert row["median_error_percent"] == pytest.approx(np.median([-1.0, 0.5, 3.0, -4.0]))
    assert row["typical_error_percent"] == pytest.approx(2.0)  # median of 0.5, 1, 3, 4
    assert row["worst_error_percent"] == pytest.approx(-4.0)
    assert (row["repeats"], row["answers"], row["thrown_away"]) == (4, 4, 4)


def test_refusals_are_counted_and_a_silent_zero_is_an_error_of_a_hundred_percent():
    table = summarise(loads(energybench=[None, 1.0], Zeus_window=[-100.0]))
    assert (cell(table, US, "turing", 2.0)["answers"], cell(table, US, "turing", 2.0)["reason"]) == (1, "cannot know")
    assert cell(table, "Zeus window", "turing", 2.0)["typical_error_percent"] == pytest.approx(100.0)


def test_targets_are_judged_against_the_best_peer():
    table = summarise(loads(energybench=[0.05], Zeus_window=[-2.0], Kernel_Tuner=[0.4]))
    assert best_peer(table, "turing", 2.0)["tool"] == "Kernel Tuner"
    lines = list(targets.lines(table))
    assert any("at 2 s" in line and "turing (8.0 times, Kernel Tuner)" in line for line in lines)
    assert any(
        "within 0.1 % at 2 s" in line and line.count("no number") == 7 for line in lines
    )  # of 8 counters, 1 known


def test_targets_are_judged_on_what_each_load_says_by_itself():
    """The rhythm of other loads is more than the peers have: it has a row of its own, and counts in no target."""
    alone = list(targets.lines(summarise(loads(energybench=[0.05], Kernel_Tuner=[0.4]))))
    both = summarise(loads(energybench=[0.05], energybench_as_in_a_run=[0.001], Kernel_Tuner=[0.4]))
    assert list(targets.lines(both)) == alone
    assert best_peer(both, "turing", 2.0)["tool"] == "Kernel Tuner"


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.8])
def test_the_noise_bound_is_that_of_the_best_weighting_of_the_readings(correlation):
    """Written out for N readings: 1 / (sum of all elements of the inverse covariance)."""
    count = 12
    places = np.arange(count)
    covariance = 0.01**2 * correlation ** np.abs(places[:, None] - places)
    stream = Stream(POWER, 0.1, 0.2, noise=0.01, correlation=correlation)
    assert deviation(stream, 1.0) == pytest.approx(np.linalg.inv(covariance).sum() ** -0.5)


def test_where_noise_makes_ten_times_impossible_the_page_says_so():
    rows = loads(energybench=[0.09], Kernel_Tuner=[0.4]).assign(profile="pascal")
    missed = next(line for line in targets.lines(summarise(rows)) if "only power" in line and "at 2 s" in line)
    # 100 readings of 1 % that correlate by 0.2: 0.122 %, half of them within 0.082 %; 0.4 / 0.082 = 4.9.
    assert "pascal (4.4 times, Kernel Tuner; its noise allows 4.9)" in missed


class Late:
    """A load whose first tries take longer than asked."""

    def __init__(self, tries: int) -> None:
        self.left = tries

    def late(self, loop_s: float) -> bool:
        self.left -= 1
        return self.left >= 0


@pytest.mark.parametrize(("tries", "thrown_away"), [(0, 0), (2, 2), (99, TRIES)])
def test_a_load_that_was_late_is_thrown_away_whatever_was_said_of_it(monkeypatch, capsys, tries, thrown_away):
    monkeypatch.setattr(sys, "argv", ["watch", json.dumps({"seed": 1, "loops": [[1.0, 1]]})])
    monkeypatch.setattr("accuracy.load.REST_S", (0.0, 0.0))
    said = iter(range(TRIES))
    watch(Late(tries), lambda loop_s: {"tool": Estimate(300.0, next(said))}, "1")
    (line,) = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert line["repeated"] == thrown_away
    assert line["joules"] == min(thrown_away, TRIES - 1)


def test_the_page_holds_every_tool_and_says_where_a_peer_is_closer():
    errors = {tool.replace(" ", "_"): [0.5] for tool in TOOLS}
    text = page(summarise(loads(**{**errors, "Kernel_Tuner": [0.1]})))
    assert all(f"| {tool} |" in text for tool in (US, *PEERS))
    assert "Kernel Tuner: 0.10 % (worst 0.10 %)" in text
    assert "5 of 10 loads were thrown away" in text
    assert "{" not in text


def test_percents_have_two_digits_and_a_sign():
    assert [percent(value) for value in (0.0012, 0.0123, 0.123, 1.23, 12.3)] == [
        "0.0012 %",
        "0.012 %",
        "0.12 %",
        "1.2 %",
        "12 %",
    ]
    assert signed(-0.5) == "−0.50 %"
