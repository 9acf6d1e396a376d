"""What stands below each figure: how to read it, in sentences; and what is missing, with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from energybench.analysis.summary import Summary
from energybench.journal import RunRecord
from energybench.report.answer import Answer
from energybench.report.outcomes import against_what
from energybench.report.style import plain

WARNINGS_AT_MOST = 6

MODELS = (
    " Vertical lines are the analytic optima: the paper's thesis as we reconstruct it, the physical model on the "
    "machine sheet, and the roofline knee."
)
RING = " The ring is the least joules, the band the group sizes that cannot be told from it."


def device_words(record: RunRecord) -> Iterator[str]:
    """Device and meter, for a subtitle."""
    device = record.device.get("title") or record.device.get("name")
    if device:
        yield plain(device, 60)
    if record.meter.get("name") not in (None, "none"):
        kinds = " ".join(str(kind) for kind in record.meter.get("kinds", ()))
        yield f"meter {plain(record.meter['name'], 20)}" + (" (energy counter)" if "energy_j" in kinds else "")


def pairs_title(said: Answer) -> str:
    """What the answer figure is called on the page."""
    return f"{said.quantity[0].upper()}{said.quantity[1:]} {against_what(said.outcomes, matched=said.matched)}"


def pairs(summary: Summary, said: Answer) -> str:
    """For ``pair_figure``."""
    apart = said.matched and any(outcome.apart for outcome in said.outcomes)
    return (
        "Each point is one variant's ratio to its partner, with the 95 % interval from mirrored pairs of windows; left "
        "of the line it needs less. Hollow points are the same within 1 %, or cannot be told apart."
        + (" Grey ones are over 10 % apart in MACs, and answer per MAC only." if apart else "")
        + (" The sensor's gain cancels in a ratio." if summary.has_energy else no_energy(summary))
    )


def variants(summary: Summary) -> str:
    """For ``variants_figure``."""
    return (
        "What one inference costs with each variant, MACs aside, with 95 % intervals (often narrower than the marker). "
        "Of more than four settings, four are shown." + no_energy(summary)
    )


def contributions() -> str:
    """For ``contribution_figure``."""
    return (
        "A bar is what one stage adds to the difference of the totals, weighted by how often the network has it; the "
        "stages add up to the black bar. Stages where both variants are the same work add nothing."
    )


def latency_gap(summary: Summary) -> str:
    """For ``latency_gap_figure``."""
    return (
        "Hollow: the arithmetic alone at the machine's peak. Solid: sustained latency, with its 95 % interval. On the "
        "log axis the length of a segment is the efficiency gap; its label says how many times longer than ideal."
        + no_energy(summary)
    )


def energy_gap() -> str:
    """For ``energy_gap_figure``."""
    return (
        "Hollow: the joules of the arithmetic alone at peak rate, from the machine sheet (operations and static "
        "power). Solid: joules per inference, with the 95 % interval. Between them lie bytes, waiting and the kernel."
    )


def group_size(summary: Summary) -> str:
    """For ``group_size_figure``."""
    return (
        "Points of one shape on one curve: marker and colour say how the group size was arrived at (fixed number of "
        "groups or fixed group size)."
        + (MODELS if summary.machine is not None else "")
        + (RING if summary.has_energy else no_energy(summary))
    )


def roofline(summary: Summary) -> str:
    """For ``roofline_figure``."""
    return (
        "Each point is a case: arithmetic per byte that must be moved, against the rate that was sustained. Left of "
        "the balance memory is the bound, right of it arithmetic; the distance to the roof is what the kernel leaves. "
        "Where both together want more power than the board may draw, its power limit is the roof (red). Variants that "
        "are the same work share a point, whose tip names them all." + _cache_roof(summary) + no_energy(summary)
    )


def _cache_roof(summary: Summary) -> str:
    """Whether the cache has a roof of its own; points above the memory roof are read against it."""
    machine = summary.machine
    if machine is not None and machine.l2_bandwidth_bytes_per_s is not None:
        return " The dotted roof is that of the last-level cache."
    return (
        " The bandwidth of the last-level cache is not on the sheet, so it has no roof: a point above the memory roof "
        "may be one whose bytes it holds."
    )


def energy_roofline() -> str:
    """For ``energy_roofline_figure``."""
    return (
        "The same in joules. Energies of operations, bytes and static power add, so the roof has no corner; at the "
        "energy balance operations and bytes cost the same, at the time balance they take equally long. The roof is "
        "modelled from the machine sheet; where the board's power limit decides the rate, it is red."
    )


def budget(summary: Summary) -> str:
    """For ``budget_figure``."""
    origin = summary.run.origin
    return (
        f"Bars add up to the {origin} time and, on the right, to the {origin} joules. Attainable is every operator on "
        "its own roofline, one after another; kernels lose what they take beyond it. The blue line is the attainable "
        "time if batch norms, activations and residual additions were fused into the kernel before them. In joules, "
        f"static power is counted over the {origin} time; grey is what the machine sheet does not explain. Where the "
        "black line stands inside the bar, the sheet's unit energies are too high."
    )


def waterline(summary: Summary, warnings: Mapping[str, Sequence[str]]) -> str:
    """For ``waterline_figure``; the efficiencies of each variant stand over its panel.

    Args:
        summary: whose numbers they are.
        warnings: of the waterline of every variant.
    """
    said = [f"{plain(variant, 40)}: {plain(words, 240)}." for variant, found in warnings.items() for words in found]
    more = f" {len(said) - WARNINGS_AT_MOST} more warnings are in the CSV." if len(said) > WARNINGS_AT_MOST else ""
    return (
        "Areas are time. Width is arithmetic at peak, the waterline is at 1; what stands above it (paler) is lost to "
        f"memory, and up to the {summary.run.origin} line (light grey) to the kernel; where that line lies above the "
        "panel it is not drawn, and a bar that is itself taller says how tall. Operators below 1 % of the arithmetic "
        "stand together by family. ETA is the attainable efficiency of the sequence, ETA_roof what one roofline on the "
        "totals would promise (never less), ρ the machine balance, C the efficiency that was reached."
        + "".join(f" {words}" for words in said[:WARNINGS_AT_MOST])
        + more
    )


def intensity(summary: Summary) -> str:
    """For ``intensity_figure``."""
    return (
        "Width is the share of the arithmetic, height the operational intensity, on a log axis. A bar that does not "
        "reach the waterline, the machine balance ρ, is bound by memory (pale); the factor it falls short by is what "
        f"it loses. The black mark is the {summary.run.origin} rate on the same axis, efficiency × ρ: at best it lies "
        "on the lower of bar and waterline. Areas mean nothing here; those of the waterline in time are seconds."
    )


def energy_waterline(summary: Summary) -> str:
    """For ``energy_waterline_figure``."""
    return (
        "Joules of operations, of bytes and of static power add, so each operator's bar begins where those before it "
        "end, and the staircase ends at what the machine sheet explains. Static power is paid over the operators' own "
        "times where they were timed, else over the attainable ones. Operators below 5 % of the joules stand together "
        f"by family. The last bar is the {summary.run.origin} energy."
    )


def power(case_id: str) -> str:
    """For ``power_figure``."""
    return (
        f"Raw readings while {plain(case_id, 120)} ran (dark) and while its neighbours did (light), over the first "
        "blocks. Shaded: what its joules are made of; the coloured line is the mean power they give."
    )


def sensor(summary: Summary) -> str:
    """For ``calibration_figure``: how to read it, and the calibration's own verdict."""
    said = (summary.run.record.calibration or {}).get("verdict") or ()
    return " ".join(
        (
            "Square waves of a known load, all periods folded into one, and what the fitted sensor would show of them; "
            "below, a wave that slides through the sensor's refresh: what sees all of the time stays with the load.",
            *(plain(sentence, 200) for sentence in said),
        )
    )


def no_energy(summary: Summary) -> str:
    """The sentence that stands where joules would."""
    if summary.has_energy:
        return ""
    reason = plain(summary.run.record.energy_reason or _first(summary.cases["reason"].dropna()), 200)
    return f" There are no joules in this run: {reason or 'no meter was read'}."


def absences(summary: Summary) -> Iterator[str]:
    """Which figures a reader may look for in vain, and why."""
    if not summary.has_energy:
        yield f"No figure shows energy.{no_energy(summary)}"
    if summary.machine is None:
        yield (
            "No efficiency gap, roofline or waterline: there is no machine sheet for this device, so its peaks are not "
            "known. `energybench machines` lists the sheets there are."
        )


def _first(values: Iterable[object]) -> str:
    return next((str(value) for value in values), "")


def network_group_size() -> str:
    """Of the figure of whole networks against group size."""
    return (
        "Joules of a network's grouped layers, each stage weighted by how often the network has it, against a constant "
        "group size; bars are 95 % intervals. The line is c0 + a G + b / G, fitted; the band holds the group sizes "
        "that may be as good as the best. Constant numbers of groups stand at the group size with the same MACs."
    )
