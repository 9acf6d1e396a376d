"""Who won, by how much, and how sure is that? The run in words, for the top of the page and of the terminal.

Declared pairs at matched MACs come first: without them the variant with the fewest MACs always wins on joules.
Without pairs the baseline is the partner, and the words say that the MACs differ. Without joules the same question
is answered for latency, and the words say why.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from energybench.analysis.summary import Summary
from energybench.journal import RunRecord
from energybench.report import quantities
from energybench.report.headline import headline, least, pair_lines, two_sided
from energybench.report.outcomes import Outcome, outcomes_of, relevant_pairs
from energybench.report.settings import places_of, settings_of
from energybench.report.style import plain


@dataclass(frozen=True)
class Answer:
    """The run in words.

    Attributes:
        headline: one sentence: who, by how much, with what interval, where. Pairs that have no two sides in common
            have no such sentence between them, and who needs least of all is told instead.
        lines: one sentence a pair, when there are several outcomes.
        least: who needs least of all, MACs aside, when pairs were declared and the headline tells of them.
        certainty: what the interval holds and what this run could have seen.
        caveats: what a reader must know before quoting it (no joules, MACs apart).
        quantity: ``energy per inference`` or ``latency``.
        matched: whether the outcomes are declared pairs.
        outcomes: what the words were made of.
    """

    headline: str
    lines: tuple[str, ...]
    least: str
    certainty: str
    caveats: tuple[str, ...]
    quantity: str
    matched: bool
    outcomes: tuple[Outcome, ...]


def answer(
    pairs: pd.DataFrame,
    *,
    energy_reason: str = "",
    places: Mapping[str, str] | None = None,
    origin: str = "measured",
    so_far: str = "",
) -> Answer:
    """Put ``pairs`` (columns of ``columns.PAIRS``) into words.

    Args:
        pairs: every comparison of the run.
        energy_reason: why there are no joules, where there are none.
        places: short names of comparisons, for pairs of cases.
        origin: ``measured``, ``simulated`` or ``modelled``; what was modelled is told as predicted, without intervals.
        so_far: how much of an unfinished run the words rest on: ``27 of 702 cases so far``.
    """
    rows, matched = relevant_pairs(pairs)
    by_energy = bool(rows["energy_ratio"].notna().any()) if len(rows) else not energy_reason
    quantity = "energy per inference" if by_energy else "latency"
    column = "energy_ratio" if by_energy else "latency_ratio"
    outcomes = outcomes_of(rows, column, places, origin=origin)
    caveats = tuple(_caveats(outcomes, matched=matched, by_energy=by_energy, reason=energy_reason))
    if not outcomes:
        text = "Nothing was compared: the run has no two variants with numbers at one point."
        return Answer(text, (), "", "", caveats, quantity, matched, ())
    close = [o for o in outcomes if not o.apart] if matched else []
    told = close or outcomes
    everyone = pairs[(pairs["kind"] == "baseline") & (pairs["scope"] == rows["scope"].iloc[0])]
    best = least(outcomes_of(everyone, column, places, origin=origin), quantity)
    text = headline(told, quantity, matched=bool(close)) if matched else best
    lines = tuple(pair_lines(outcomes, matched=matched)) if len(outcomes) > 1 else ()
    if matched and best and not two_sided(told):
        text, lines, best = best, (text, *lines), ""
    if origin == "modelled":
        text = f"Predicted: {text[0].lower()}{text[1:]}" if text.startswith("At ") else f"Predicted: {text}"
    text = f"{so_far}. {text}" if so_far else text
    beside = best if matched else ""
    return Answer(text, lines, beside, _certainty(outcomes, by_energy=by_energy), caveats, quantity, matched, outcomes)


def answer_of(summary: Summary) -> Answer:
    """The answer of a run, its places named by what varies in it."""
    record = summary.run.record
    places = places_of(summary.cases, settings_of(record))
    done = int((summary.cases["status"] == "ok").sum())
    so_far = "" if record.complete else f"{done} of {len(summary.cases)} cases so far"
    said = answer(
        summary.pairs, energy_reason=record.energy_reason, places=places, origin=summary.run.origin, so_far=so_far
    )
    return replace(said, caveats=(*said.caveats, *_uncounted(record)))


def _uncounted(record: RunRecord) -> Iterator[str]:
    """Which operators nobody has counted, by the variants that have them."""
    found: dict[tuple[str, ...], list[str]] = {}
    for variant, names in {(case.variant, tuple(case.unknown_operators)) for case in record.cases}:
        if names:
            found.setdefault(names, []).append(variant)
    for names, variants in sorted(found.items()):
        yield f"Not counted in {', '.join(sorted(variants))}: the MACs of {', '.join(names)}; nothing is given per MAC."


def _certainty(outcomes: Sequence[Outcome], *, by_energy: bool) -> str:
    if outcomes[0].predicted:
        return "Predictions have no interval: nothing was repeated. Their expected error is in the CSV (model_error)."
    if not any(quantities.has_interval(o.low, o.high) for o in outcomes):
        return "Fewer than five windows of each count, so no interval can be given: run the same command again."
    gain = "; the sensor's gain cancels in a ratio" if by_energy else ""
    text = (
        f"Intervals are 95 % of the ratio, from mirrored pairs of windows{gain}. "
        "A difference counts when its interval excludes 1."
    )
    return " ".join(filter(None, (text, smallest_difference_line(outcomes))))


def smallest_difference_line(outcomes: Sequence[Outcome]) -> str:
    """The smallest difference that these comparisons can show, in a sentence; empty where nothing was repeated.

    The one that all of them can show is the largest of theirs; it stands beside the median.
    """
    seen = [o.smallest_difference for o in outcomes if 0 < o.smallest_difference < math.inf]
    if not seen or outcomes[0].predicted:
        return ""
    worst, middle = (quantities.digits(100 * value, 2) for value in (max(seen), statistics.median(seen)))
    half = f" (half of them {middle} %)" if middle != worst else ""
    return f"Smallest difference that these comparisons can show: {worst} %{half}, with 80 % power."


def _caveats(outcomes: Sequence[Outcome], *, matched: bool, by_energy: bool, reason: str) -> Iterable[str]:
    if not by_energy:
        yield f"No joules: {plain(reason) or 'no meter was read'}. The answer is about latency."
    if outcomes and not matched:
        yield "The suite declares no pairs, so variants stand against the baseline and their MACs differ."
    apart = [o for o in outcomes if matched and o.apart]
    if apart:
        left_out = "; the first sentence leaves them out" if len(apart) < len(outcomes) else ""
        worst = max(apart, key=lambda o: abs(o.macs_ratio - 1))
        yield (
            f"{len(apart)} of {len(outcomes)} declared comparisons are more than 10 % apart in MACs (up to "
            f"×{worst.macs_ratio:.3g}: {worst.variant} against {worst.against}, {worst.place}){left_out}. "
            "Read joules per MAC beside their ratio."
        )
