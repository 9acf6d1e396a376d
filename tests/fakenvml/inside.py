"""How does a test talk to the fake from inside its process? Time, truth and the load's power, through ctypes."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from fakenvml.build import SONAME


class Fake:
    """The fake library of this process; also a clock that shows its time.

    Its calls work once NVML has been started: by opening a meter, or here.

    Args:
        start: start NVML, for a process that is only a load.
    """

    def __init__(self, *, start: bool = False) -> None:
        self._library = ctypes.CDLL(SONAME)
        if start and (code := self._library.nvmlInitWithFlags(0)):
            raise RuntimeError(f"the fake does not start: code {code}")
        self._library.fake_now_s.restype = ctypes.c_double
        self._library.fake_truth_joules.restype = ctypes.c_double
        self._library.fake_truth_joules.argtypes = [ctypes.c_uint, ctypes.c_double, ctypes.c_double]
        self._library.fake_set_time.argtypes = [ctypes.c_double]
        self._library.fake_set_power.argtypes = [ctypes.c_uint, ctypes.c_double]

    def now_s(self) -> float:
        """The fake's time."""
        return float(self._library.fake_now_s())

    def sleep_until(self, time_s: float) -> None:
        """Move the virtual clock on."""
        if time_s > self.now_s():
            self._library.fake_set_time(time_s)

    def truth_j(self, start_s: float, stop_s: float, *, device: int = 0) -> float:
        """Exact joules between two times."""
        return float(self._library.fake_truth_joules(device, start_s, stop_s))

    def draw_w(self, watts: float, *, device: int = 0) -> None:
        """From now on a board whose power is a ledger draws this."""
        self._library.fake_set_power(device, watts)

    def reconfigure(self, config: str) -> None:
        """What the fake will be when NVML is started the next time (all meters must have been closed)."""
        Path(os.environ["FAKE_NVML_CONFIG"]).write_text(config)
