"""What did the guards find in this run? One sentence each, whether it is good news or not."""

from __future__ import annotations

from collections.abc import Iterator

from energybench.analysis.guards import CLOCKS_AGREE, part_time_stream
from energybench.analysis.measured import sensor_of
from energybench.analysis.summary import Summary
from energybench.readings import ENERGY
from energybench.report.quantities import digits, quantity
from energybench.report.style import plain


def guard_words(summary: Summary) -> Iterator[str]:
    """What is known of settling, drifting windows, the two clocks and the host's share, a sentence each."""
    yield from _settling(summary)
    yield from _repeats(summary)
    yield from _excluded(summary)
    yield from _alias(summary)
    yield from _clocks(summary)
    yield from _calls(summary)
    yield from _host(summary)


def _settling(summary: Summary) -> Iterator[str]:
    window = next((w for w in summary.run.windows if w.kind == "settle"), None)
    if window is None or not summary.run.record.meter.get("kinds"):
        return
    seconds = f"{digits(window.stop_s - window.start_s, 2)} s"
    if not window.stamps:
        yield "The budget left no time to wait until the board stood still."
    elif "unsettled" in window.flags:
        yield (
            f"The board did not stand still within {seconds} of looping: its power still moved by over 0.1 % a second "
            "(of 1 % precision), or its temperature by over a degree in ten."
        )
    else:
        yield f"The board stood still after {seconds} of looping; what counts was taken after that."


def _repeats(summary: Summary) -> Iterator[str]:
    again = sum(window.repeat > 0 for window in summary.run.windows)
    if not again:
        return
    most = summary.cases["repeat_shift"].abs().max()
    yield (
        f"{again} windows drifted from their first half to their second, or the energy counter jumped in them; they "
        f"were repeated and count in nothing. Counting them, too, would change no mean by more than "
        f"{digits(100 * most, 2)} %."
    )


def _excluded(summary: Summary) -> Iterator[str]:
    jumped = int(summary.cases["excluded_windows"].sum())
    if jumped:
        most = summary.cases["excluded_shift"].abs().max()
        yield (
            f"In {jumped} windows the energy counter jumped; their joules are left out, their times are not. Counting "
            f"them, too, would change a mean by up to {digits(100 * most, 2)} %."
        )


def _alias(summary: Summary) -> Iterator[str]:
    """Whether a part-time sensor could have been in step with the iterations."""
    bound = summary.cases["alias_bound"]
    sensor = sensor_of(summary.run)
    if sensor is None or not bound.notna().any() or bound.max() == 0:
        return
    stream = part_time_stream(sensor, ENERGY) or sensor.fastest
    if stream is None:
        return
    sees, most = digits(100 * stream.span_s / stream.refresh_s, 2), digits(100 * bound.max(), 2)
    precision = float(summary.run.record.plan.get("precision", 0.0))
    verdict = f"by up to {most} %, which is flagged" if bound.max() > precision else f"by at most {most} %"
    yield (
        f"The sensor sees {sees} % of the time, and long iterations can be in step with it. Their windows begin at "
        f"different phases of it; by the phases it did see, mean power can be off {verdict}. That is in no interval."
    )


def _clocks(summary: Summary) -> Iterator[str]:
    """How the two clocks agree; not worth a word where one clock stamps everything, unless it does not."""
    apart = summary.cases["event_vs_host"].abs().max()
    own_clock = str(summary.run.record.device.get("name", "")).startswith("cuda")
    what = "Times by the device's events and by the host's clock"
    if apart > CLOCKS_AGREE:
        yield f"{what} differ by up to {digits(100 * apart, 2)} %, which is flagged."
    elif own_clock and apart >= 0:
        yield f"{what} agree within {digits(100 * max(apart, 1e-5), 2)} %."


def _calls(summary: Summary) -> Iterator[str]:
    """What asking the meter costs, by source, and what that does to the loop."""
    said = [
        f"{plain(kind)} {quantity(middle, 's')} ({quantity(worst, 's')})"
        for kind, (middle, worst) in summary.calls.items()
        if worst > 0
    ]
    if not said:
        return
    effect = summary.cases["observer_effect"].dropna()
    slowed = f" Polling as usual changed the loop's time by {100 * effect.iloc[0]:+.2f} %." if len(effect) else ""
    yield f"One call to the meter took, in the median (99th percentile): {', '.join(said)}.{slowed}"


def _host(summary: Summary) -> Iterator[str]:
    device = str(summary.run.record.device.get("name", ""))
    share = summary.cases["host_bound_share"]
    if device == "cpu":
        yield "Time lost to launches does not apply to the CPU: the host is the device."
    elif share.notna().any():
        middle, most = (digits(100 * value, 2) for value in (share.median(), share.max()))
        yield (
            f"Launched kernel by kernel, the GPU waits for the host {middle} % of its time (median; at most {most} %). "
            "The windows replay CUDA graphs, which leave that out."
        )
    elif device.startswith("cuda"):
        yield (
            "How much of the time the GPU waits for the host is not known: nothing could be captured as a CUDA graph. "
            "Such waiting is part of the joules."
        )
