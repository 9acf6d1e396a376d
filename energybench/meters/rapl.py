"""What do the CPU packages and their memory draw? RAPL energy counters through Linux' powercap tree (Intel and AMD).

Domains nest: ``psys`` holds the packages, a package holds ``core`` and ``uncore``; only packages, and ``dram`` where it
is a domain of its own, are added up. Counters wrap; a meter that is read at least every few minutes never notices.

Source: Linux Documentation/power/powercap and drivers/powercap/intel_rapl_common.c.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from energybench.clock import Clock
from energybench.meters import BoardState, Capabilities, MeterFault
from energybench.readings import ENERGY, Reading

POWERCAP = Path("/sys/class/powercap")
_DRIVERS = ("intel-rapl", "intel-rapl-mmio")  # the same counters by another path: never both
_NOT_HERE = (
    "no RAPL energy counter on this machine (a virtual machine, or the intel_rapl_msr module is not loaded); "
    "try `sudo modprobe intel_rapl_msr`, or measure time only with --meter none"
)
_NO_PERMISSION = (
    "the RAPL counters may only be read by root since Linux 5.10; try `sudo chmod a+r {pattern}` for this boot, or a "
    "sysfs or udev rule that sets the same mode at every boot"
)


@dataclass
class _Domain:
    """One counter, unwrapped since it was first read."""

    name: str
    folder: Path
    range_uj: int
    last_uj: int | None = None
    total_uj: int = 0

    def read_uj(self) -> int:
        """Microjoules since the first read."""
        value_uj = int((self.folder / "energy_uj").read_text())
        if self.last_uj is not None:
            self.total_uj += (value_uj - self.last_uj) % self.range_uj
        self.last_uj = value_uj
        return self.total_uj


class RaplMeter:
    """The sum of all CPU packages and separate DRAM domains, as one energy counter that starts at 0 J.

    Args:
        clock: stamps the readings.
        root: the powercap tree.
    """

    name = "rapl"

    def __init__(self, clock: Clock, root: Path = POWERCAP) -> None:
        self._clock = clock
        self._root = root
        self._domains: list[_Domain] = []
        self.faults: Counter[str] = Counter()

    def probe(self) -> Capabilities:
        """Read every domain once; one package that cannot be read refuses all joules, since a part is no total."""
        found = self._find()
        refused: dict[str, str] = {}
        for domain in found:
            try:
                domain.read_uj()
            except PermissionError:
                refused[domain.name] = _NO_PERMISSION.format(pattern=self._root / "intel-rapl*" / "energy_uj")
            except (OSError, ValueError) as error:
                refused[domain.name] = f"cannot be read: {_plain(error)}"
        reason = next(iter(refused.values()), "") if found else _NOT_HERE
        self._domains = [] if reason else found
        scope = "CPU: " + ", ".join(domain.name for domain in found) if found else ""
        details = {"domains": {domain.name: {"range_j": domain.range_uj * 1e-6} for domain in found}}
        return Capabilities((ENERGY,) if self._domains else (), refused, scope, reason, details)

    def read(self, kinds: Collection[str] | None = None) -> list[Reading]:
        """Joules of all domains since ``probe``.

        Raises:
            MeterFault: a counter that was there is not any more.
        """
        if not self._domains or (kinds is not None and ENERGY not in kinds):
            return []
        start_s = self._clock.now_s()
        try:
            joules = sum(domain.read_uj() for domain in self._domains) * 1e-6
        except (OSError, ValueError) as error:
            raise MeterFault(
                f"a RAPL counter was lost while measuring: {_plain(error)}", where=str(self._root)
            ) from error
        end_s = self._clock.now_s()
        return [Reading(0.5 * (start_s + end_s), ENERGY, joules, None, end_s - start_s)]

    def state(self, *, processes: bool = False) -> BoardState:  # noqa: ARG002  (the protocol's)
        """The time; RAPL knows nothing else."""
        return BoardState(time_s=self._clock.now_s())

    def describe(self) -> dict[str, Any]:
        """The domains that are added up, and those left out because others hold them."""
        return {
            "meter": self.name,
            "domains": [domain.name for domain in self._domains],
            "left_out": sorted({_name(folder) for folder in self._folders()} - {d.name for d in self._domains}),
            "warnings": [],
        }

    def close(self) -> None:
        """Nothing to give back."""

    def _folders(self) -> list[Path]:
        for driver in _DRIVERS:
            folders = sorted(folder for folder in self._root.glob(f"{driver}:*") if (folder / "name").is_file())
            if folders:
                return folders
        return []

    def _find(self) -> list[_Domain]:
        """Packages and their separate DRAM; the platform domain only where there is no package."""
        folders = [(folder, (folder / "name").read_text().strip()) for folder in self._folders()]
        packages = [(folder, name) for folder, name in folders if name.startswith("package")]
        if not packages:
            packages = [(folder, name) for folder, name in folders if name == "psys"]
            dram = []
        else:
            dram = [(folder, name) for folder, name in folders if name == "dram"]
        return [_Domain(_name(folder), folder, _range_uj(folder)) for folder, _ in packages + dram]


def _name(folder: Path) -> str:
    """``package-0``, or ``package-0/dram`` for what lies inside one."""
    name = (folder / "name").read_text().strip()
    driver, *numbers = folder.name.split(":")
    parent = folder.parent / ":".join([driver, *numbers[:-1]])
    return f"{(parent / 'name').read_text().strip()}/{name}" if len(numbers) > 1 else name


def _range_uj(folder: Path) -> int:
    return int((folder / "max_energy_range_uj").read_text())


def _plain(error: Exception) -> str:
    """What went wrong without Python's own decoration."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
