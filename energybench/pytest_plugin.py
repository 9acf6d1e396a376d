"""How does a test hold a module to a budget of joules or seconds? The fixture ``energy_benchmark``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from torch import Tensor, nn

    from energybench.measurement import Measurement

MODULE, BASELINE = "module", "baseline"

_LINES = pytest.StashKey[list[str]]()
"""One line a measurement, for the end of the session."""


@dataclass
class EnergyBenchmark:
    """Measures modules inside a test and fails it where a limit is broken for certain.

    Attributes:
        options: ``device``, ``meter``, ``precision`` and ``quick`` for `energybench.measure`, from the command line.
        required: no joules fail a test with a limit on joules, instead of skipping it.
        strict: an interval that holds a limit fails too.
        found: what was measured, in order.
    """

    options: Mapping[str, Any]
    required: bool = False
    strict: bool = False
    found: list[Measurement] = field(default_factory=list)

    def __call__(
        self,
        module: nn.Module,
        inputs: Tensor | Sequence[Tensor],
        *,
        baseline: nn.Module | None = None,
        max_energy_per_inference_j: float | None = None,
        max_loop_latency_s: float | None = None,
        max_energy_ratio: float | None = None,
        max_latency_ratio: float | None = None,
        **options: Any,
    ) -> Measurement:
        """Measure ``module`` (beside ``baseline``, where one is given) and hold it to the limits.

        A limit is broken where the whole 95 % interval lies above it. Where joules were asked for and cannot be
        measured here, the test is skipped with the reason, after its other limits were judged.

        Args:
            module: what is judged.
            inputs: what every module is called with.
            baseline: what the ratios are over; measured interleaved with ``module``.
            max_energy_per_inference_j: most joules per inference.
            max_loop_latency_s: most seconds per iteration, sustained.
            max_energy_ratio: most joules over the baseline's.
            max_latency_ratio: most seconds over the baseline's.
            options: for `energybench.measure`, instead of the command line's.

        Returns:
            The measurement of ``module``.
        """
        from energybench.measurement import measure

        if baseline is None and (max_energy_ratio is not None or max_latency_ratio is not None):
            raise pytest.UsageError("a ratio needs a baseline: energy_benchmark(module, inputs, baseline=other, ...)")
        modules = {MODULE: module} if baseline is None else {BASELINE: baseline, MODULE: module}
        result = measure(modules, inputs, **{**self.options, **options})[MODULE]
        self.found.append(result)
        if result.status != "ok":
            pytest.fail(f"could not be measured: {result.reason}", pytrace=False)
        limits = (
            ("energy_per_inference_j", max_energy_per_inference_j),
            ("loop_latency_s", max_loop_latency_s),
            ("energy_ratio", max_energy_ratio),
            ("latency_ratio", max_latency_ratio),
        )
        self._judge(result, {name: limit for name, limit in limits if limit is not None})
        return result

    def _judge(self, result: Measurement, limits: Mapping[str, float]) -> None:
        verdicts = {name: _verdict(result, name, limit) for name, limit in limits.items()}
        failing = {"broken", "undecided"} if self.strict else {"broken"}
        if self.required:
            failing.add("unknown")
        broken = [_words(result, name, limits[name], v) for name, v in verdicts.items() if v in failing]
        if broken:
            pytest.fail("\n".join(broken), pytrace=False)
        unknown = [_words(result, name, limits[name], v) for name, v in verdicts.items() if v == "unknown"]
        if unknown:
            pytest.skip("\n".join(unknown))


@pytest.fixture
def energy_benchmark(request: pytest.FixtureRequest) -> Iterator[EnergyBenchmark]:
    """Measure a module's joules and latency, and fail the test where a limit is broken. See `EnergyBenchmark`."""
    config = request.config
    benchmark = EnergyBenchmark(
        options={
            "device": config.getoption("energy_device"),
            "meter": config.getoption("energy_meter"),
            "precision": _precision(config.getoption("energy_precision")),
            "quick": config.getoption("energy_quick"),
        },
        required=config.getoption("energy_required"),
        strict=config.getoption("energy_strict"),
    )
    yield benchmark
    lines = config.stash.setdefault(_LINES, [])
    lines += [f"{request.node.nodeid}: {str(m).removeprefix(f'{MODULE}: ')}" for m in benchmark.found]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the group ``energybench``."""
    group = parser.getgroup("energybench", "joules and latency (fixture energy_benchmark)")
    group.addoption("--energy-device", metavar="D", help="cuda:0, cpu, sim:h200; default: where a test's inputs are")
    group.addoption("--energy-meter", metavar="M", help="nvml, rapl or none; default: the device's own")
    group.addoption("--energy-precision", metavar="P", help="wanted half-width of the 95 %% interval, e.g. 1%%")
    group.addoption("--energy-quick", action="store_true", help="short windows: a look, not a gate")
    group.addoption("--energy-required", action="store_true", help="fail, not skip, where joules cannot be measured")
    group.addoption("--energy-strict", action="store_true", help="fail also where an interval holds the limit")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a wrong option before any test runs."""
    _precision(config.getoption("energy_precision"))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """What was measured, one line each."""
    lines = config.stash.get(_LINES, [])
    if lines:
        terminalreporter.section("joules and latency")
        for line in lines:
            terminalreporter.write_line(line)


def _precision(text: str | None) -> float | None:
    if text is None:
        return None
    from energybench.suite import parse_precision

    try:
        return parse_precision(text)
    except ValueError as error:
        raise pytest.UsageError(f"--energy-precision: {error}") from error


def _verdict(result: Measurement, name: str, limit: float) -> str:
    """``kept``, ``broken``, ``undecided`` (the interval holds the limit, or there is none) or ``unknown``."""
    value, low, high = _interval(result, name)
    if value is None:
        return "unknown"
    if low is None or high is None:
        return "undecided"
    return "broken" if low > limit else "kept" if high <= limit else "undecided"


def _interval(result: Measurement, name: str) -> tuple[float | None, float | None, float | None]:
    stem, unit = (name[:-2], name[-2:]) if name.endswith(("_s", "_j")) else (name, "")
    low, high = (getattr(result, f"{stem}_{end}{unit}") for end in ("low", "high"))
    return getattr(result, name), low, high


def _words(result: Measurement, name: str, limit: float, verdict: str) -> str:
    value, low, high = _interval(result, name)
    if value is None:
        return f"{name} could not be held to {limit:.6g}: {result.reason or 'it was not measured'}"
    interval = "no interval" if low is None or high is None else f"95 % interval {low:.6g} to {high:.6g}"
    said = "is above" if verdict == "broken" else "may be above"
    return f"{name} = {value:.6g} ({interval}) {said} the limit {limit:.6g}"
