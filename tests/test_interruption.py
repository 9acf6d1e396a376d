"""Real signals to real processes: what was measured stays, and the same command goes on."""

import os
import signal
import subprocess
import sys
import time

import pytest
from quiet import SMALL

from energybench.analysis.summary import summarize
from energybench.journal import load

WORDS = ("run", "small.yaml", "--device", "cpu", "--meter", "none", "--precision", "90%")


def start(cwd):
    environment = {**os.environ, "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "energybench", *WORDS],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that put the tests into the background has SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  (no threads here)
    )


def wait_for_windows(cwd, count, process):
    """Wait until ``count`` lines are on the disk."""
    for _ in range(1200):
        files = list(cwd.glob("results/*/windows.jsonl"))
        if files and files[0].read_bytes().count(b"\n") >= count:
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    raise AssertionError("the run never got that far")


@pytest.mark.parametrize(("sign", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_run_that_is_stopped_keeps_its_windows_and_goes_on(tmp_path, sign, status):
    (tmp_path / "small.yaml").write_text(SMALL)
    process = start(tmp_path)
    wait_for_windows(tmp_path, 8, process)
    process.send_signal(sign)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == status, stderr
    assert "Traceback" not in stderr
    if sign == signal.SIGINT:
        assert "same command again" in stderr

    (folder,) = (tmp_path / "results").iterdir()
    stopped = load(folder)
    assert len(stopped.windows) >= 8
    assert not stopped.record.complete
    assert "missing" in set(summarize(stopped).cases["status"])

    again = start(tmp_path)
    _, stderr = again.communicate(timeout=300)
    assert again.returncode == 0, stderr
    assert "resuming" in stderr
    finished = load(folder)
    assert finished.record.complete
    assert finished.windows[: len(stopped.windows)] == stopped.windows
    assert set(summarize(finished).cases["status"]) == {"ok"}
