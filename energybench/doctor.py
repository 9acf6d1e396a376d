"""Is this device fit to be measured? What was found, why it matters for the number, and what to do about it.

``examine`` asks the device and its meter, ``diagnose`` judges the answers (a pure function), ``diagnosis_lines``
writes the page. A fault makes joules impossible or another's; a warning makes them doubtful; a note is worth knowing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from energybench.devices import DeviceFacts
from energybench.doctor_board import board_findings
from energybench.doctor_sensor import sensor_findings
from energybench.errors import MeterError
from energybench.findings import Finding, Level
