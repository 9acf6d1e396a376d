"""Two runs on one device: refused, never silently shared; a lock dies with its holder."""

import subprocess
import sys

import pytest

from energybench.errors import DeviceError
from energybench.lock import DeviceLock


def test_a_device_is_measured_by_one_at_a_time():
    with DeviceLock("GPU-1"):
        with pytest.raises(DeviceError, match="another energybench is measuring"):
            DeviceLock("GPU-1")
        DeviceLock("GPU-2").close()
    DeviceLock("GPU-1").close()


def test_a_lock_whose_holder_was_killed_is_free():
    code = "import os\nfrom energybench.lock import DeviceLock\nlock = DeviceLock('GPU-3')\nos.kill(os.getpid(), 9)\n"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    DeviceLock("GPU-3").close()
