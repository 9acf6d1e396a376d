"""Two runs on one device: refused or waited for, never silently shared; a lock dies with its holder."""

import os
import subprocess
import sys
import threading

import pytest

from energybench.devices.open import lock_name
from energybench.errors import DeviceError
from energybench.lock import DeviceLock
from energybench.session import RunOptions, open_station


def test_a_device_is_measured_by_one_at_a_time_and_the_other_is_told_by_whom():
    with DeviceLock("GPU-1", holder="energybench run gconv"):
        with pytest.raises(DeviceError, match=rf"process {os.getpid()} \(energybench run gconv\)") as refused:
            DeviceLock("GPU-1")
        assert "--wait" in refused.value.remedy
        DeviceLock("GPU-2").close()
    DeviceLock("GPU-1").close()


def test_a_lock_whose_holder_was_killed_is_free():
    code = "import os\nfrom energybench.lock import DeviceLock\nlock = DeviceLock('GPU-3')\nos.kill(os.getpid(), 9)\n"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    DeviceLock("GPU-3").close()


def test_who_waits_says_once_for_whom_and_goes_on_when_the_other_ends():
    first = DeviceLock("GPU-4", holder="energybench run\x1b[31m gconv")
    said = []

    def told(text):
        said.append(text)
        threading.Timer(0.2, first.close).start()

    DeviceLock("GPU-4", waiting=told).close()
    assert said == [f"waiting for process {os.getpid()} (energybench run[31m gconv), which is measuring on GPU-4"]


def test_a_run_waits_for_the_device_it_wants_before_it_opens_it():
    first = DeviceLock("cpu", holder="another run")
    said = []

    def told(text):
        said.append(text)
        first.close()

    with pytest.raises(DeviceError, match="another run"):
        open_station(RunOptions(device="cpu", meter="none"))
    open_station(RunOptions(device="cpu", meter="none", wait=True), told).close()
    assert len(said) == 1
    DeviceLock("cpu").close()


def test_simulated_devices_need_no_lock():
    assert lock_name("sim:h200") is None
    assert lock_name("cpu") == "cpu"
