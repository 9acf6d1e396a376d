"""The real command beside a board that is known exactly: CPU work, nvidia-ml-py, the fake libnvidia-ml.so.1."""

import csv
import json
import os
import subprocess
import sys

import pytest
from fakenvml.boards import board, quiet
from quiet import SMALL

POWER_W = 250.0
STEADY = f"from 0 {POWER_W:g}"


def run(tmp_path, library, config, *words):
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "boards.conf").write_text(config)
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(library.parent),
        "FAKE_NVML_CONFIG": str(tmp_path / "boards.conf"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "NO_COLOR": "1",
    }
    command = ["run", "small.yaml", "--device", "cpu", "--meter", "nvml", "--quick", "--no-calibrate", *words]
    return subprocess.run(
        [sys.executable, "-m", "energybench", *command, "--output", "run"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def rows(tmp_path):
    with (tmp_path / "run" / "results.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["row"] == "case"]


def test_joules_are_the_boards_true_power_times_the_loops_time(tmp_path, fake_nvml):
    done = run(tmp_path, fake_nvml.library, board(quiet("h100"), STEADY))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    for row in rows(tmp_path):
        assert row["provenance"] == "measured"
        # A steady load: the counter's ticks give its power to a millijoule, whenever they are read.
        assert float(row["power_w"]) == pytest.approx(POWER_W, rel=5e-3)
        assert float(row["energy_per_iteration_j"]) == pytest.approx(
            float(row["power_w"]) * float(row["loop_latency_s"]), rel=1e-9
        )
        assert float(row["energy_gain_uncertainty"]) == 0.05
        assert "foreign-device" in row["flags"].split()
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["meter"]["name"] == "nvml"
    assert record["sensor"]["provenance"] == "assumed, not calibrated"
    assert os.environ.get("USER", "root") not in json.dumps(record["meter"]).split()


def test_a_frozen_counter_and_no_power_gives_reasons_and_no_joules(tmp_path, fake_nvml):
    frozen = quiet("h100")
    faults = ("fault field:83 freeze", "fault nvmlDeviceGetTotalEnergyConsumption freeze")
    config = board(frozen, STEADY, settings=faults)
    done = run(tmp_path, fake_nvml.library, config)
    assert done.returncode == 0, done.stderr
    for row in rows(tmp_path):
        assert float(row["loop_latency_s"]) > 0
        assert row["energy_per_inference_j"] == ""
        assert row["reason"].startswith("no joules")
        assert "counter-stale" in row["flags"].split()


def test_a_foreign_process_leaves_latency_and_blanks_joules(tmp_path, fake_nvml):
    config = board(quiet("h100"), STEADY, settings=(f"process compute {os.getpid()}",))
    done = run(tmp_path, fake_nvml.library, config)
    assert done.returncode == 0, done.stderr
    for row in rows(tmp_path):
        assert float(row["loop_latency_s"]) > 0
        assert row["energy_per_inference_j"] == ""
        assert "another process used the GPU" in row["reason"]


@pytest.mark.parametrize("allowed", [False, True])
def test_a_process_of_another_namespace_counts_too_and_can_be_allowed(tmp_path, fake_nvml, allowed):
    nobody = 2**22  # no process here has this number
    config = board(quiet("h100"), STEADY, settings=(f"process compute {nobody}",))
    done = run(tmp_path, fake_nvml.library, config, *(["--allow-foreign"] if allowed else []))
    assert done.returncode == 0, done.stderr
    for row in rows(tmp_path):
        flags = row["flags"].split()
        assert ("foreign-allowed" in flags, "foreign-process" in flags) == (allowed, not allowed)
        if allowed:
            assert float(row["power_w"]) == pytest.approx(POWER_W, rel=5e-3)
        else:
            assert row["energy_per_inference_j"] == ""
            assert "--allow-foreign" in row["reason"]


def test_a_throttled_board_is_named_and_its_joules_are_not_printed(tmp_path, fake_nvml):
    config = board(quiet("h100"), STEADY, settings=("violation 75 0.05 0",))
    done = run(tmp_path, fake_nvml.library, config)
    assert done.returncode == 0, done.stderr
    for row in rows(tmp_path):
        assert float(row["throttle_share"]) == pytest.approx(0.05, rel=0.2)
        assert "throttled" in row["flags"].split()
        assert row["energy_per_inference_j"] == ""
        assert "slowed the clocks" in row["reason"]


def test_a_board_that_is_lost_mid_run_keeps_latency_and_says_so(tmp_path, fake_nvml):
    config = board(quiet("h100"), STEADY, settings=("fault nvmlDeviceGetFieldValues return=15 from_s=6",))
    config += "fault nvmlDeviceGetTotalEnergyConsumption return=15 from_s=6\n"
    done = run(tmp_path, fake_nvml.library, config)
    assert done.returncode == 0, done.stderr
    assert "the meter was lost" in done.stderr
    found = rows(tmp_path)
    assert all(float(row["loop_latency_s"]) > 0 for row in found)
    for row in found:
        if row["energy_per_inference_j"]:
            assert float(row["power_w"]) == pytest.approx(POWER_W, rel=5e-3)
        else:
            assert row["reason"].startswith("no joules")


def test_an_mps_daemon_refuses_joules_with_the_reason_and_the_remedy(tmp_path, fake_nvml, monkeypatch):
    (tmp_path / "control").touch()
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    done = run(tmp_path, fake_nvml.library, board(quiet("h100"), STEADY))
    assert done.returncode == 3
    assert "MPS shares this board" in done.stderr
    assert "nvidia-cuda-mps-control" in done.stderr


def test_mig_refuses_joules_with_the_reason(tmp_path, fake_nvml):
    done = run(tmp_path, fake_nvml.library, board(quiet("h100"), STEADY, settings=("mig 1",)))
    assert done.returncode == 3
    assert "MIG" in done.stderr
    assert "Traceback" not in done.stderr
