"""The script that a machine with a GPU runs is ready: it does the same on a simulated board."""

import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_one_call_leaves_doctor_calibration_runs_and_a_self_test_in_one_archive(tmp_path):
    words = [sys.executable, str(ROOT / "tests" / "gpu_check.py"), str(tmp_path / "check")]
    options = ["--device", "sim:h200", "--suites", "gconv", "--seconds", "500"]
    done = subprocess.run([*words, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("calibration", "gconv", "self-test"):
        assert f"{name}: exit 0" in done.stdout, (tmp_path / "check" / f"{name}.txt").read_text()
    with tarfile.open(tmp_path / "check.tar.gz") as archive:
        names = archive.getnames()
    for kept in ("calibration.svg", "doctor.txt", "gconv/run.json", "gconv/report.html", "self-test/results.csv"):
        assert f"check/{kept}" in names


def test_every_suite_it_names_is_shipped():
    sys.path.insert(0, str(ROOT / "tests"))
    from gpu_check import SUITES

    from energybench.suite import list_suites

    assert set(SUITES) - {"spatial_mixers"} <= {suite.name for suite in list_suites()}
