"""What does a calibration say in words? The verdict, what to beware of, and the page that `calibrate` prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from energybench.analysis.beat import ALL, LEAST_CONTRAST, PART
from energybench.analysis.calibration import Recording
from energybench.analysis.calibration_report import CalibrationReport, CounterReport, Estimate, StreamReport
from energybench.analysis.steadiness import SETTLED
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
    if report.streams:
        yield _settling_sentence(report)


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
        apart = (ratio.value or 1.0) - 1
        if abs(apart) - (ratio.halfwidth or 0.0) > DISAGREES and counter.froze_s is None:
            yield f"counter and power readings differ by {apart:+.1%} at {load} load: trust neither blindly"


def calibration_lines(report: CalibrationReport, profile: SensorProfile) -> Iterator[str]:
    """The page that `energybench calibrate` prints: every number with the half-width of its 95 % interval."""
    yield f"{profile.title} ({profile.scope}), {report.duration_s:.0f} s, polled every {report.poll_s * 1e3:.3g} ms"
    yield ""
    own = [stream for stream in report.streams if not stream.same_as]
    heads = [_TITLES[stream.kind] for stream in own] + (["energy counter"] if report.counter else [])
    yield f"{'':20}" + "".join(f"{head:>24}" for head in heads)
    for label, of_stream, of_counter in _ROWS:
        shown = [of_stream(stream) for stream in own] + ([of_counter(report.counter)] if report.counter else [])
        if any(shown):
            yield (f"{label:20}" + "".join(f"{text:>24}" for text in shown)).rstrip()
    yield ""
    yield from _agreement_lines(report)
    yield from report.verdict
    for warning in report.warnings:
        yield f"beware: {warning}"


def _agreement_lines(report: CalibrationReport) -> Iterator[str]:
    """Counter against power at every load, and what the beat test showed."""
    counter = report.counter
    if counter is None or not counter.agreement:
        return
    shown = (f"{load} load {(r.value or 1) - 1:+.2%} {_width(r, 100, '%')}" for load, r in counter.agreement.items())
    yield f"counter over power readings: {', '.join(shown)}"
    weight, contrast = counter.part_time_weight, counter.contrast
    if weight.value is not None and contrast is not None and contrast >= LEAST_CONTRAST:
        yield f"beat test: the counter has {weight.value:.0%} {_width(weight, 100, '%')} of a part-time sum's swing"
    yield ""


def _width(estimate: Estimate, scale: float, unit: str) -> str:
    return "" if estimate.halfwidth is None else f"+-{estimate.halfwidth * scale:.2g}{unit}"


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


def _settling_sentence(report: CalibrationReport) -> str:
    """By the counter where it moves: readings are noisier."""
    by_counter = report.counter is not None and report.counter.froze_s is None
    source = report.counter if report.counter is not None and by_counter else report.streams[0]
    settled_s, within = source.settling_s.value, SETTLED if by_counter else report.streams[0].settled_to
    if settled_s is None:
        return "Power was still moving when the steady load ended: it takes longer than that to settle."
    return f"Under a steady load power settled to {within:.1%} within {settled_s:.2g} s."


def _ms(estimate: Estimate) -> str:
    if estimate.value is None:
        return "-"
    return f"{estimate.value * 1e3:.4g} {_width(estimate, 1e3, '')}".strip() if estimate.value else "none"


def _share(estimate: Estimate, digits: int = 0) -> str:
    return "-" if estimate.value is None else f"{estimate.value:.{digits}%} {_width(estimate, 100, '%')}".strip()


def _plain(estimate: Estimate, digits: int) -> str:
    return "-" if estimate.value is None else f"{estimate.value:.{digits}f} {_width(estimate, 1, '')}".strip()


def _settling(estimate: Estimate) -> str:
    """In seconds; where it is less than can be told, what it is below."""
    value, halfwidth = estimate.value, estimate.halfwidth or 0.0
    return f"< {value + halfwidth:.1f}" if value is not None and value < halfwidth else _plain(estimate, 1)


def _nothing(_: CounterReport) -> str:
    return ""


_ROWS: tuple[tuple[str, Callable[[StreamReport], str], Callable[[CounterReport], str]], ...] = (
    ("refresh or tick, ms", lambda s: _ms(s.refresh_s), lambda c: _ms(c.tick_s)),
    ("span, ms", lambda s: _ms(s.span_s), _nothing),
    ("delay, ms", lambda s: _ms(s.delay_s), lambda c: _ms(Estimate(c.delay_s))),
    ("rise, ms", lambda s: _ms(s.rise_s), _nothing),
    ("coverage", lambda s: _share(s.coverage), _nothing),
    ("noise", lambda s: _share(s.noise, 2), _nothing),
    ("its correlation", lambda s: _plain(s.correlation, 2), _nothing),
    ("settling, s", lambda s: _settling(s.settling_s), lambda c: _settling(c.settling_s)),
    ("step, J", lambda _: "", lambda c: f"{c.resolution_j:.3g}"),
)
