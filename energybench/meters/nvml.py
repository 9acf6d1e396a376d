"""What does the NVIDIA driver say the board draws? Its counter and its power values, every one of them checked.

Sources of a kind, the preferred one first: a field of ``nvmlDeviceGetFieldValues`` (several in one request, each with
its own return code and time stamp), then the older call, then the field at module scope: Grace Hopper may answer only
there (zeus PR 242). Joules and watts of a run cover the same thing, the GPU's board or the whole module, never one
each. A value that cannot be true is a fault that is counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from energybench.clock import Clock
from energybench.meters import BoardState, Capabilities, MeterFault
from energybench.meters.nvml_board import (
    GONE_CODES,
    UNKNOWN_CODE,
    binding_warnings,
    board_identity,
    board_state,
    covers_module,
    field_number,
    find_board,
    power_limit_w,
    refusal_text,
    start_nvml,
)
from energybench.meters.sharing import power_smoothing, why_no_energy
from energybench.readings import ENERGY, POWER, POWER_AVERAGE, POWER_INSTANT, WENT_BACK, Reading

_FIELD_ENERGY, _FIELD_AVERAGE, _FIELD_INSTANT = 83, 185, 186  # NVML_FI_DEV_..., nvml.h
_BOARD_SCOPE, _MODULE_SCOPE = 0, 1  # NVML_POWER_SCOPE_GPU and _MODULE, nvml.h
_POSSIBLE_LIMITS = 2.0  # power above this multiple of the enforced limit cannot be true
_DEAD_AFTER_S = 2.0  # a source without a good value for this long is given up; four refreshes of the slowest board
_PAUSE_S = 1.0  # polls further apart than this belong to two windows, and so do their faults
_PROBE_TRIES, _PROBE_PAUSE_S = 5, 0.15  # fast polling has shown single zeros (zeus PR 186): ask again before refusing


_NOT_ABOVE_0 = "not above 0"
_ABOVE_LIMIT = f"above {_POSSIBLE_LIMITS:g} x the enforced power limit"


@dataclass(eq=False)
class _Source:
    """One way to ask for one kind: a field with its scope, or a call."""

    kind: str
    call: str
    field: tuple[int, int] | None = None
    last: float = 0.0
    failing_since_s: float = 0.0
    failed_s: float = -math.inf

    @property
    def module(self) -> bool:
        return self.field is not None and self.field[1] == _MODULE_SCOPE

    @property
    def title(self) -> str:
        if self.field is None:
            return self.call
        return f"field {self.field[0]}" + (" (module)" if self.module else "")


def _candidates(module: bool) -> tuple[_Source, ...]:
    """Every source, in the order of preference; of a board whose counter covers the module the module's own first."""
    own, other = (_MODULE_SCOPE, _BOARD_SCOPE) if module else (_BOARD_SCOPE, _MODULE_SCOPE)
    fields = "nvmlDeviceGetFieldValues"
    return (
        _Source(ENERGY, fields, (_FIELD_ENERGY, own)),
        _Source(ENERGY, "nvmlDeviceGetTotalEnergyConsumption"),
        _Source(ENERGY, fields, (_FIELD_ENERGY, other)),
        _Source(POWER_INSTANT, fields, (_FIELD_INSTANT, own)),
        _Source(POWER_INSTANT, fields, (_FIELD_INSTANT, other)),
        _Source(POWER, "nvmlDeviceGetPowerUsage"),
        _Source(POWER_AVERAGE, fields, (_FIELD_AVERAGE, own)),
        _Source(POWER_AVERAGE, fields, (_FIELD_AVERAGE, other)),
    )


def _other_scope(source: _Source, chosen: Iterable[_Source], *, module: bool) -> str:
    """Why a source does not go with those chosen before it: one covers the module, the other the GPU's board alone.

    The older calls know no scope: they count as the board's counter, which covers the module where ``module``.
    """
    covers = {s.title: s.module or (s.field is None and module) for s in (*chosen, source)}
    other = next((title for title, covered in covers.items() if covered != covers[source.title]), None)
    words = {True: "the whole module", False: "the GPU's board alone"}
    return f"it covers {words[covers[source.title]]}, {other} {words[covers[other]]}" if other else ""


class NvmlMeter:
    """The sensor of one NVIDIA board.

    Args:
        clock: stamps the readings.
        device_uuid: the board, with or without ``GPU-``.
        pci_bus_id: the same; used where the UUID is unknown.

    Raises:
        MeterError: no NVML here, or not this board.
    """

    name = "nvml"

    def __init__(self, clock: Clock, *, device_uuid: str | None = None, pci_bus_id: str | None = None) -> None:
        self._clock = clock
        self._nvml = start_nvml()
        self._open = True
        try:
            self._handle, self._warnings = find_board(self._nvml, device_uuid, pci_bus_id)
        except BaseException:
            self.close()
            raise
        self._warnings += binding_warnings()
        self._limit_w: float | None = None
        self._active: list[_Source] = []
        self.faults: Counter[str] = Counter()

    def probe(self) -> Capabilities:
        """Try every source; keep the first of each kind that answers with a number that can be true.

        Raises:
            MeterFault: the board was lost.
        """
        self._active = []
        self._limit_w = power_limit_w(self._nvml, self._handle)
        module = covers_module(self._nvml, self._handle)
        chosen: dict[str, _Source] = {}
        answers: dict[str, str] = {}
        for source in _candidates(module):
            if source.kind in chosen and source.field is not None:
                continue
            refusal = self._refusal(source) or _other_scope(source, chosen.values(), module=module)
            answers[f"{source.kind}: {source.title}"] = refusal or "answers"
            if not refusal:
                chosen.setdefault(source.kind, source)
        refused = {source: answer for source, answer in answers.items() if answer != "answers"}
        reason = why_no_energy(self._nvml, self._handle)
        if not reason and not chosen:
            said = "; ".join(f"{source}: {refusal}" for source, refusal in refused.items())
            reason = (
                f"this board answers neither power nor energy ({said}); try a newer driver, or --meter none: time only"
            )
        module |= any(source.module for source in chosen.values())
        self._active = [] if reason else list(chosen.values())
        return Capabilities(
            kinds=tuple(source.kind for source in self._active),
            refused=refused,
            scope="module" if module else "board",
            energy_reason=reason,
            details={"sources": answers, "power_limit_w": self._limit_w},
        )

    def read(self, kinds: Collection[str] | None = None) -> list[Reading]:
        """All wanted fields in one request, then the calls.

        Raises:
            MeterFault: the board is lost, or its last source has failed for good.
        """
        readings = []
        for source, answer in self._ask([source for source in self._active if kinds is None or source.kind in kinds]):
            if isinstance(answer, Reading):
                source.last, source.failed_s = answer.value, -math.inf
                readings.append(answer)
            else:
                self._count(source, answer)
        return readings

    def state(self, *, processes: bool = False) -> BoardState:
        """Temperature, clocks, limit, throttle times; the pids of others only when asked for."""
        state = board_state(self._nvml, self._handle, self._clock.now_s(), processes=processes)
        self._limit_w = state.power_limit_w or self._limit_w
        return state

    def describe(self) -> dict[str, Any]:
        """Driver, board, firmware, limits, modes."""
        smoothing = {"power_smoothing": lambda: power_smoothing(self._nvml, self._handle)}
        identity = board_identity(self._nvml, self._handle, smoothing)
        return {"meter": self.name, **identity, "warnings": list(self._warnings)}

    def close(self) -> None:
        """Shut NVML down; it counts how often it was started."""
        if self._open:
            self._open = False
            try:
                self._nvml.nvmlShutdown()
            except self._nvml.NVMLError:  # a lost board may refuse even that, and nothing is left to give back
                return

    def _refusal(self, source: _Source) -> str:
        """Why a source cannot be used; empty where it can."""
        answer: Reading | str = ""
        for _ in range(_PROBE_TRIES):
            _, answer = next(self._ask([source]))
            if isinstance(answer, Reading):
                return ""
            if answer not in (_NOT_ABOVE_0, _ABOVE_LIMIT):
                break
            self._clock.sleep_until(self._clock.now_s() + _PROBE_PAUSE_S)
        return str(answer)

    def _ask(self, sources: list[_Source]) -> Iterator[tuple[_Source, Reading | str]]:
        """What each source answers: a reading, or what is wrong with it."""
        fields = [source for source in sources if source.field is not None]
        if fields:
            yield from self._ask_fields(fields)
        for source in sources:
            if source.field is None:
                yield source, self._ask_call(source)

    def _ask_fields(self, sources: list[_Source]) -> Iterator[tuple[_Source, Reading | str]]:
        start_s = self._clock.now_s()
        try:
            values = self._nvml.nvmlDeviceGetFieldValues(self._handle, [source.field for source in sources])
        except self._nvml.NVMLError as error:
            refusal = self._refused(error)
            yield from ((source, refusal) for source in sources)
            return
        call_s = self._clock.now_s() - start_s
        for source, value in zip(sources, values, strict=True):
            if value.nvmlReturn != 0:
                yield source, self._refused(self._nvml.NVMLError(value.nvmlReturn))
                continue
            native_s = value.timestamp * 1e-6 or None
            yield source, self._checked(source, field_number(value) * 1e-3, start_s, call_s, native_s)

    def _ask_call(self, source: _Source) -> Reading | str:
        start_s = self._clock.now_s()
        try:
            milli = getattr(self._nvml, source.call)(self._handle)
        except self._nvml.NVMLError as error:
            return self._refused(error)
        return self._checked(source, milli * 1e-3, start_s, self._clock.now_s() - start_s, None)

    def _checked(
        self, source: _Source, value: float, start_s: float, call_s: float, native_s: float | None
    ) -> Reading | str:
        if value <= 0:
            return _NOT_ABOVE_0
        if source.kind == ENERGY and value < source.last:
            return WENT_BACK
        if source.kind != ENERGY and self._limit_w and value > _POSSIBLE_LIMITS * self._limit_w:
            return _ABOVE_LIMIT
        return Reading(start_s + 0.5 * call_s, source.kind, value, native_s, call_s)

    def _refused(self, error: Any) -> str:
        """An error in words; while measuring, one that invalidates the board ends the meter."""
        if error.value in GONE_CODES or (self._active and error.value == UNKNOWN_CODE):
            raise MeterFault(
                f"the board is lost: {refusal_text(error)}",
                why="no later number of it can be trusted",
                remedy="look for Xid errors in `dmesg`, reset the GPU or reboot, and run the same command to go on",
            ) from error
        return refusal_text(error)

    def _count(self, source: _Source, fault: str) -> None:
        """Count a fault; give a source up that has had no good value for long, and the meter with the last one."""
        self.faults[f"{source.kind}: {fault}"] += 1
        now_s = self._clock.now_s()
        if now_s - source.failed_s > _PAUSE_S:
            source.failing_since_s = now_s
        source.failed_s = now_s
        if now_s - source.failing_since_s < _DEAD_AFTER_S:
            return
        self._active.remove(source)
        self.faults[f"{source.kind}: given up"] += 1
        if not self._active:
            raise MeterFault(
                f"the last source, {source.title}, has had no good value for {_DEAD_AFTER_S:g} s: {fault}",
                why="no watts or joules can come any more",
                remedy="energybench doctor",
            )
