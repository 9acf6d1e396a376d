"""What does the page of `energybench doctor` say? One line a finding, why and remedy under those that need them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from energybench.doctor.finding import Diagnosis

_MARKS = {"ok": "ok     ", "note": "note   ", "warning": "WARNING", "fault": "FAULT  "}


def diagnosis_lines(diagnosis: Diagnosis) -> Iterator[str]:
    """The page, line by line."""
    yield diagnosis.title
    for topic, findings in groupby(diagnosis.findings, key=lambda finding: finding.topic):
        yield ""
        yield topic
        for finding in findings:
            yield f"  {_MARKS[finding.level]}  {finding.what}"
            if finding.level != "ok" and finding.why:
                yield f"           why it matters: {finding.why}"
            if finding.level != "ok" and finding.remedy:
                yield f"           try: {finding.remedy}"
    yield ""
    yield _verdict(diagnosis)


def _verdict(diagnosis: Diagnosis) -> str:
    warnings = sum(finding.level == "warning" for finding in diagnosis.findings)
    if not diagnosis.can_measure_energy:
        return "energy cannot be measured here; time can, with --meter none"
    if warnings:
        return f"energy can be measured; {warnings} warning{'s' if warnings > 1 else ''} to heed first"
    return "fit to be measured"
