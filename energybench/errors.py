"""What can go wrong that a user can mend, and how it is told.

    EnergyBenchError            exit 2
    |-- SuiteError              a suite, or a name in it, is wrong           exit 2
    |-- MachineError            a machine sheet is wrong or unknown          exit 2
    |-- RunFolderError          a run folder cannot be read, written, merged exit 2
    |-- DeviceError             a device that was asked for is not usable    exit 3
    |   `-- DeviceLostError     a case has broken it for this process         exit 3
    |-- MeterError              a meter that was asked for is not usable     exit 3
    `-- CaseError               one case failed; becomes a row, never an end
        `-- UnsupportedError    this device does not have what it needs; a row that says `skipped`

Every message answers four questions: where, what, why it matters for the number, what to type next.
"""

from __future__ import annotations


class EnergyBenchError(Exception):
    """A fault the user can mend.

    Args:
        what: what is wrong, one clause, with the offending value.
        where: file, line and field, or the device or file concerned.
        why: why it matters for the number.
        remedy: what to type or change next.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str = "", why: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.remedy = remedy

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.why:
            lines.append(f"  why it matters: {self.why}")
        if self.remedy:
            lines.append(f"  try: {self.remedy}")
        return "\n".join(lines)


class SuiteError(EnergyBenchError):
    """A suite file, or a layer or network named in it, is wrong."""


class MachineError(EnergyBenchError):
    """A machine sheet is wrong or unknown."""


class RunFolderError(EnergyBenchError):
    """A run folder cannot be read, written, resumed or compared."""


class DeviceError(EnergyBenchError):
    """A device that was asked for is not usable."""

    exit_code = 3


class DeviceLostError(DeviceError):
    """A case left a device in a state in which nothing more runs in this process; the same command goes on."""


class MeterError(EnergyBenchError):
    """A meter that was asked for is not usable."""

    exit_code = 3


class CaseError(EnergyBenchError):
    """One case could not be measured; the runner turns it into a row with this reason."""


class UnsupportedError(CaseError):
    """A device lacks what a case is made of (2:4 on a CPU, fp8 before sm_89); the row says `skipped` and why.

    A layer raises it while its weights are packed or when it runs.
    """


def one_line(error: BaseException) -> str:
    """The first line of any exception, with its type: what fits into a row."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
