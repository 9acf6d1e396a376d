"""What does a calibration say in words? The verdict, what to beware of, and the page that `calibrate` prints."""

from __future__ import annotations

from collections.abc import Iterator

from energybench.analysis.beat import ALL, PART
from energybench.analysis.calibration import Recording
from energybench.analysis.calibration_report import CalibrationReport, CounterReport, Estimate, StreamReport
from energybench.sensor import SensorProfile

FULL_COVERAGE = 0.95
AVERAGED_S = 0.7
MISSING = 0.02
DISAGREES = 0.03
MISFIT = 0.05

_TITLES = {
    "power_instant_w": "fast power value",
    "power_w": "plain power value",
    "power_average_w": "averaged power value",
}


def verdict_lines(report: CalibrationReport) -> Iterator[str]:
    """The verdict: one sentence a source."""
    for stream in report.streams:
        yield _stream_sentence(stream)
    if report.counter is not None:
        yield _counter_sentence(report.counter)
    else:
        yield "There is no energy counter: joules come from power readings, windows need 50 refreshes."


def warning_lines(report: CalibrationReport, recording: Recording) -> Iterator[str]:
    """What to beware of."""
    for stream in report.streams:
        if stream.same_as:
            continue
        title = _TITLES[stream.kind]
        if stream.missing_share > MISSING:
            yield f"{stream.missing_share:.1%} of the updates of the {title} were lost or repeated the value before"
        if stream.span_s.value is None:
            yield f"span and delay of the {title} could not be identified: it hardly followed the load"
        elif stream.misfit is not None and stream.misfit > MISFIT:
            yield f"the model misses the {title} by {stream.misfit:.1%} of its swing: it does more than averaging"
    if not report.reliable:
        yield "the load did not follow its commands closely enough: quiet the machine and calibrate again"
    for fault, count in sorted(recording.faults.items()):
        yield f"{count} of {recording.polls} polls were dropped: {fault}"
    counter = report.counter
    if counter is None:
        return
    if counter.froze_s is not None:
        yield f"the energy counter stopped at {counter.froze_s:.3g} s and is not used"
    for load, ratio in counter.agreement.items():
        if abs(ratio - 1) > DISAGREES and counter.froze_s is None:
            yield f"counter and power readings differ by {ratio - 1:+.1%} at {load} load: trust neither blindly"


def calibration_lines(report: CalibrationReport, profile: SensorProfile) -> Iterator[str]:
    """The page that `energybench calibrate` prints."""
    yield f"{profile.title} ({profile.scope}), {report.duration_s:.0f} s, polled every {report.poll_s * 1e3:.3g} ms"
    yield ""
    heads = (
        f"{'refresh ms':>14} {'span ms':>14} {'delay ms':>12} {'rise ms':>10} {'coverage':>9} {'noise':>7} {'corr.':>6}"
    )
    yield f"{'source':22} {heads}"
    for s in report.streams:
        if s.same_as:
            yield f"{_TITLES[s.kind]:22} same stream as the {_TITLES[s.same_as]}"
            continue
        yield (
            f"{_TITLES[s.kind]:22} {_ms(s.refresh_s):>14} {_ms(s.span_s):>14} {_ms(s.delay_s):>12} {_ms(s.rise_s):>10} "
            f"{_share(s.coverage):>9} {_share(s.noise, 2):>7} {_plain(s.correlation):>6}"
        )
    if report.counter is not None:
        yield f"{'energy counter':22} {_ms(report.counter.tick_s):>14}   step {report.counter.resolution_j:.3g} J"
    yield ""
    yield from report.verdict
    for warning in report.warnings:
        yield f"beware: {warning}"


def _stream_sentence(stream: StreamReport) -> str:
    title = _TITLES[stream.kind]
    if stream.same_as:
        return f"The {title} is the same stream as the {_TITLES[stream.same_as]}."
    refresh_s, span_s, coverage = stream.refresh_s.value or 0.0, stream.span_s.value, stream.coverage.value
    start = f"The {title} is renewed every {refresh_s * 1e3:.4g} ms"
    if span_s is None or coverage is None:
        return f"{start}; what it averages over could not be identified."
    if stream.rise_s.value:
        return f"{start} and follows a step slowly (10 to 90 % in {stream.rise_s.value * 1e3:.3g} ms)."
    if coverage < FULL_COVERAGE:
        return f"{start} but looks at {span_s * 1e3:.3g} ms only: it sees {coverage:.0%} of the time."
    if span_s > AVERAGED_S:
        return f"{start} and is a mean over {span_s:.3g} s: good for long windows, blind to short ones."
    return f"{start} and averages over {span_s * 1e3:.3g} ms: it sees all of the time."


def _counter_sentence(counter: CounterReport) -> str:
    start = f"The energy counter ticks every {(counter.tick_s.value or 0.0) * 1e3:.4g} ms"
    if counter.froze_s is not None:
        return "The energy counter stands still; joules come from power readings."
    if counter.sees == ALL:
        return f"{start} and sees all of the time: it is a true integral (beat test)."
    if counter.sees == PART:
        return f"{start} but adds up part-time samples (beat test): it needs the same care as the power readings."
    return f"{start}; whether it sees all of the time: {counter.sees}."


def _ms(estimate: Estimate) -> str:
    if estimate.value is None:
        return "-"
    if not estimate.value:
        return "none"
    width = "" if estimate.halfwidth is None else f" +-{estimate.halfwidth * 1e3:.2g}"
    return f"{estimate.value * 1e3:.4g}{width}"


def _share(estimate: Estimate, digits: int = 0) -> str:
    return "-" if estimate.value is None else f"{estimate.value:.{digits}%}"


def _plain(estimate: Estimate) -> str:
    return "-" if estimate.value is None else f"{estimate.value:.2f}"
