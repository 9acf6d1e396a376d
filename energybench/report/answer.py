"""Who won, by how much, and how sure is that? The run in words, for the top of the page and of the terminal.

Declared pairs at matched MACs come first: without them the variant with the fewest MACs always wins on joules.
Without pairs the baseline is the partner, and the words say that the MACs differ. Without joules the same question
is answered for latency, and the words say why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from energybench.analysis.summary import Summary
from energybench.report import quantities
from energybench.report.outcomes import Outcome, outcomes_of, relevant_pairs
from energybench.report.settings import places_of, settings_of
from energybench.report.style import plain

CLEAR = 2
"""A side wins over several comparisons when it wins this many times as often as it loses."""


@dataclass(frozen=True)
class Answer:
    """The run in words.

    Attributes:
        headline: one sentence: who, by how much, with what interval, where.
        lines: one sentence a pair, when there are several outcomes.
        certainty: what the interval holds and what this run could have seen.
        caveats: what a reader must know before quoting it (no joules, MACs apart).
        quantity: ``energy per inference`` or ``latency``.
        matched: whether the outcomes are declared pairs.
        outcomes: what the words were made of.
    """

    headline: str
    lines: tuple[str, ...]
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
) -> Answer:
    """Put ``pairs`` (columns of ``columns.PAIRS``) into words.

    Args:
        pairs: every comparison of the run.
        energy_reason: why there are no joules, where there are none.
        places: short names of comparisons, for pairs of cases.
    """
    rows, matched = relevant_pairs(pairs)
    by_energy = bool(rows["energy_ratio"].notna().any()) if len(rows) else not energy_reason
    quantity = "energy per inference" if by_energy else "latency"
    outcomes = outcomes_of(rows, "energy_ratio" if by_energy else "latency_ratio", places)
    caveats = tuple(_caveats(outcomes, matched=matched, by_energy=by_energy, reason=energy_reason))
    if not outcomes:
        text = "Nothing was compared: the run has no two variants measured at one point."
        return Answer(text, (), "", caveats, quantity, matched, ())
    close = [o for o in outcomes if not o.apart] if matched else []
    several = len(outcomes) > 1
    told = close or outcomes
    headline = (
        _headline(told, quantity, matched=bool(close)) if len(told) > 1 else _single(told[0], quantity, bool(close))
    )
    lines = tuple(_pair_lines(outcomes)) if several else ()
    return Answer(headline, lines, _certainty(outcomes, by_energy=by_energy), caveats, quantity, matched, outcomes)


def answer_of(summary: Summary) -> Answer:
    """The answer of a run, its places named by what varies in it."""
    record = summary.run.record
    places = places_of(summary.cases, settings_of(record))
    return answer(summary.pairs, energy_reason=record.energy_reason, places=places)


def _single(outcome: Outcome, quantity: str, matched: bool) -> str:
    where = f" ({outcome.place})" if outcome.place else ""
    first = "At matched MACs, " if matched else ""
    interval = quantities.change_between(outcome.low, outcome.high)
    if outcome.verdict == "cannot tell":
        claim = f"it cannot be told whether {outcome.variant} or {outcome.against} needs less {quantity}"
    elif outcome.verdict == "same":
        claim = f"{outcome.variant} and {outcome.against} need the same {quantity} within 1 %"
    else:
        claim = f"{outcome.variant} needs {_much(outcome.ratio, quantity)} than {outcome.against}"
    text = f"{first}{claim}{where}; 95 % interval: {interval}."
    return text[0].upper() + text[1:]


def _headline(outcomes: Sequence[Outcome], quantity: str, *, matched: bool) -> str:
    """Who wins over several comparisons; nobody does unless the wins are at least twice the losses."""
    one, other = _sides(outcomes)
    wins, losses, n = _count(outcomes, "less"), _count(outcomes, "more"), len(outcomes)
    first = "At matched MACs, " if matched else "Not at matched MACs: "
    if wins == losses == 0:
        return f"{first}no difference in {quantity} between {one} and {other} can be shown in any of {n} comparisons."
    if max(wins, losses) < CLEAR * min(wins, losses):
        less, more = (_spread([o.ratio for o in outcomes if o.verdict == word], word) for word in ("less", "more"))
        tail = "".join(f", {part}" for part in [_undecided(outcomes)] if part)
        return (
            f"{first}neither {one} nor {other} wins: of {n} comparisons {one} needs less {quantity} in {wins} "
            f"({less}), more in {losses} ({more}){tail}."
        )
    if losses > wins:
        one, other, wins, losses = other, one, losses, wins
        outcomes = [_reversed(outcome) for outcome in outcomes]
    amount = _spread([outcome.ratio for outcome in outcomes if outcome.verdict == "less"], "less")
    where = f"all {n}" if wins == n else f"{wins} of {n}"
    lost = [outcome.ratio for outcome in outcomes if outcome.verdict == "more"]
    rest = [f"{_spread(lost, 'more')} in {losses}" if losses else "", _undecided(outcomes)]
    tail = "".join(f"; {part}" for part in rest if part)
    return f"{first}{one} needs less {quantity} than {other} in {where} comparisons: {amount}{tail}."


def _sides(outcomes: Sequence[Outcome]) -> tuple[str, str]:
    """What to call the two sides: the names if there is one pair, else the first words that they share."""
    return _side([o.variant for o in outcomes], "the paired variant"), _side(
        [o.against for o in outcomes], "its partner"
    )


def _side(names: Sequence[str], otherwise: str) -> str:
    if len(set(names)) == 1:
        return names[0]
    first_words = {re.split(r"[\s-]", name)[0] for name in names}
    return first_words.pop() if len(first_words) == 1 else otherwise


def _reversed(outcome: Outcome) -> Outcome:
    low = 1 / outcome.high if outcome.high > 0 else 0.0
    high = 1 / outcome.low if outcome.low > 0 else float("inf")
    return Outcome(
        outcome.against, outcome.variant, outcome.place, 1 / outcome.ratio, low, high,
        1 / outcome.macs_ratio if outcome.macs_ratio else outcome.macs_ratio, outcome.smallest_difference,
    )  # fmt: skip


def _pair_lines(outcomes: Sequence[Outcome]) -> Iterable[str]:
    for variant, against in dict.fromkeys((o.variant, o.against) for o in outcomes):
        mine = [o for o in outcomes if (o.variant, o.against) == (variant, against)]
        parts = []
        for word, said in (("less", "less"), ("more", "more"), ("same", "the same within 1 %")):
            ratios = [o.ratio for o in mine if o.verdict == word]
            if not ratios:
                continue
            amount = said if word == "same" else _spread(ratios, word)
            parts.append(f"{amount}{_where(mine, word)}")
        unsure = _count(mine, "cannot tell")
        if unsure:
            parts.append(f"cannot tell{_where(mine, 'cannot tell')}")
        yield f"{variant} against {against} ({_macs(mine)}): {'; '.join(parts)}."


def _where(outcomes: Sequence[Outcome], word: str) -> str:
    places = [o.place for o in outcomes if o.verdict == word]
    if len(places) == len(outcomes):
        if len(places) == 1:
            return f" ({places[0]})" if places[0] else ""
        return f" in {'both' if len(places) == 2 else f'all {len(places)}'}"
    if len(places) <= 2:
        return f" ({'; '.join(places)})"
    return f" in {len(places)} of {len(outcomes)}"


def _macs(outcomes: Sequence[Outcome]) -> str:
    low, high = min(o.macs_ratio for o in outcomes), max(o.macs_ratio for o in outcomes)
    return f"MACs ×{low:.3g}" if high / low < 1.0005 else f"MACs ×{low:.3g} to ×{high:.3g}"


def _spread(ratios: Sequence[float], word: str) -> str:
    """The changes of ``ratios``, all in the direction ``word``, as one amount or as a range."""
    low, high = (max(ratios), min(ratios)) if word == "less" else (min(ratios), max(ratios))
    if quantities.change(low) == quantities.change(high):
        return quantities.change(low)
    if word == "more" and high >= 2:
        return f"{quantities.change(low)} to {quantities.change(high)}"
    near, far = (quantities.digits(abs(100 * (r - 1)), 2) for r in (low, high))
    return f"{near} to {far} % {word}"


def _undecided(outcomes: Sequence[Outcome]) -> str:
    same, unsure = _count(outcomes, "same"), _count(outcomes, "cannot tell")
    parts = [f"the same within 1 % in {same}" if same else "", f"undecided in {unsure}" if unsure else ""]
    return ", ".join(part for part in parts if part)


def _count(outcomes: Iterable[Outcome], word: str) -> int:
    return sum(outcome.verdict == word for outcome in outcomes)


def _much(ratio: float, quantity: str) -> str:
    return f"{quantities.change(ratio)} {quantity}"


def _certainty(outcomes: Sequence[Outcome], *, by_energy: bool) -> str:
    if not any(quantities.has_interval(o.low, o.high) for o in outcomes):
        return "There was one replicate of each, so no interval can be given: run without --quick."
    seen = [o.smallest_difference for o in outcomes if 0 < o.smallest_difference < float("inf")]
    gain = "; the sensor's gain cancels in a ratio" if by_energy else ""
    text = (
        f"Intervals are 95 % of the ratio, from mirrored pairs of windows{gain}. "
        "A difference counts when its interval excludes 1."
    )
    if seen:
        text += f" The least difference this run could show (80 % power) is {quantities.digits(100 * max(seen), 2)} %."
    return text


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
