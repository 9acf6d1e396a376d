"""What does an examination mean? All findings, the sensor's first: without it there are no joules."""

from __future__ import annotations

from collections.abc import Iterator

from energybench.doctor.board import board_findings
from energybench.doctor.examination import Examination
from energybench.doctor.finding import Diagnosis, Finding
from energybench.doctor.sources import source_findings

_WITHOUT = "without it there are no joules, only times"


def diagnose(examination: Examination) -> Diagnosis:
    """Every finding of an examination, and whether energy can be measured."""
    findings = tuple(_findings(examination))
    meter = str(examination.described.get("meter", "no meter"))
    board = str(examination.described.get("board", ""))
    title = " watched by ".join(filter(None, (examination.device or board, meter)))
    capable = examination.capabilities is not None and bool(examination.capabilities.kinds)
    return Diagnosis(title, findings, capable and not any(f.level == "fault" for f in findings))


def _findings(examination: Examination) -> Iterator[Finding]:
    refused, failure = examination.refused, examination.failure
    if refused is not None:
        yield Finding("fault", "device", str(refused.what), refused.why or "nothing can run on it", refused.remedy)
    if failure is not None:
        topic = "meter" if examination.capabilities is None else "lost"
        yield Finding("fault", topic, failure.what, failure.why or _WITHOUT, failure.remedy)
    yield from source_findings(examination)
    if examination.described.get("meter") == "nvml":
        yield from board_findings(examination)
