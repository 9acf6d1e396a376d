"""How are the outcomes of a run told? One sentence for all, one for each pair, one for who needs least."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from energybench.report import quantities
from energybench.report.outcomes import Outcome

CLEAR = 2
"""A side wins over several comparisons when it wins this many times as often as it loses."""
NAMED_AT_MOST = 3


def headline(outcomes: Sequence[Outcome], quantity: str, *, matched: bool) -> str:
    """Who wins, by how much, with what interval: one sentence for one outcome or for many."""
    if len(outcomes) == 1:
        return _single(outcomes[0], quantity, matched)
    one, other = _sides(outcomes)
    if not one or not other:
        return _mixed(outcomes, quantity, matched=matched)
    return _two_sides(outcomes, quantity, one, other, matched=matched)


def least(outcomes: Sequence[Outcome], quantity: str) -> str:
    """Which variant needs least at every place, whatever its MACs; nothing where there is nothing to choose from.

    A variant needs least where its whole interval lies below that of every other; else it is too close to call.

    Args:
        outcomes: every variant against the baseline.
        quantity: ``energy per inference`` or ``latency``.
    """
    places: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        places.setdefault(outcome.place, []).append(outcome)
    found = [_least_at(outcomes) for outcomes in places.values()]
    names = Counter(" (the same work as ".join(who[0][:2]) + ")" * (len(who[0]) > 1) for who in found if len(who) == 1)
    n, close = len(places), [alike[0] for who in found if len(who) > 1 for alike in who]
    if not names:
        between = f": {_named(close)} are too close to call" if close else ""
        return f"MACs aside, no variant surely needs the least {quantity}{between}." if places else ""
    (name, count), *rest = names.most_common()
    first = f"MACs aside, {name} needs the least {quantity}"
    if n == 1:
        won = next((o for o in outcomes if o.variant == found[0][0][0]), None)
        return first + (f": {quantities.ratio(won.ratio, won.low, won.high)} of {won.against}'s." if won else ".")
    if count == n:
        return f"{first} in {'both' if n == 2 else f'all {n}'} settings."
    others = [f"{other} in {times}" for other, times in rest]
    ties = f"too close to call in {n - names.total()} ({_named(close)})" if close else ""
    return f"{first} in {count} of {n} settings, {', '.join(filter(None, [*others, ties]))}."


def _least_at(found: Sequence[Outcome]) -> list[list[str]]:
    """The variant, or the baseline, that surely needs least of ``found``; several where it is too close to call.

    Variants that are the same work have the same numbers to the last digit: they are one, with all its names.
    """
    ends = {o.variant: (o.ratio, o.ratio) if o.predicted else (o.low, o.high) for o in found}
    ends = {found[0].against: (1.0, 1.0)} | ends
    least_high = min(high for _, high in ends.values())
    tied: dict[tuple[float, float], list[str]] = {}
    for name, (low, high) in ends.items():
        if not low > least_high:
            tied.setdefault((low, high), []).append(name)
    return list(tied.values())


def _named(names: Sequence[str]) -> str:
    """``a, b and c``; of more than ``NAMED_AT_MOST`` how many there are."""
    distinct = list(dict.fromkeys(names))
    if len(distinct) > NAMED_AT_MOST:
        return f"between {len(distinct)} variants"
    return " and ".join(filter(None, [", ".join(distinct[:-1]), distinct[-1]]))


def two_sided(outcomes: Sequence[Outcome]) -> bool:
    """Whether the pairs have two sides in common, so that one sentence tells of them all."""
    return len(outcomes) == 1 or all(_sides(outcomes))


def _single(outcome: Outcome, quantity: str, matched: bool) -> str:
    where = f" ({outcome.place})" if outcome.place else ""
    first = "At matched MACs, " if matched else ""
    interval = quantities.change_between(outcome.low, outcome.high)
    if outcome.verdict == "cannot tell":
        claim = f"it cannot be told whether {outcome.variant} or {outcome.against} needs less {quantity}"
    elif outcome.verdict == "same":
        claim = f"{outcome.variant} and {outcome.against} need the same {quantity} within 1 %"
    else:
        claim = f"{outcome.variant} needs {_compared(outcome, quantity)}"
    text = f"{first}{claim}{where}" + ("." if outcome.predicted else f"; 95 % interval: {interval}.")
    return text[0].upper() + text[1:]


def _two_sides(outcomes: Sequence[Outcome], quantity: str, one: str, other: str, *, matched: bool) -> str:
    """Who wins over several comparisons; nobody does unless the wins are at least twice the losses."""
    wins, losses, n = _count(outcomes, "less"), _count(outcomes, "more"), len(outcomes)
    first = "At matched MACs, " if matched else "Not at matched MACs: "
    if wins == losses == 0:
        return f"{first}no difference in {quantity} between {one} and {other} can be shown in any of {n} comparisons."
    if max(wins, losses) < CLEAR * min(wins, losses):
        less, more = (_range([o.ratio for o in outcomes if o.verdict == word]) for word in ("less", "more"))
        tail = "".join(f", {part}" for part in [_undecided(outcomes)] if part)
        return (
            f"{first}neither {one} nor {other} wins: of {n} comparisons {one} needs less {quantity} in {wins} "
            f"({less}), more in {losses} ({more}){tail}."
        )
    often, seldom = ("less", "more") if wins > losses else ("more", "less")
    most, fewest = (_count(outcomes, word) for word in (often, seldom))
    amount, exception = (_range([o.ratio for o in outcomes if o.verdict == w] or [1.0]) for w in (often, seldom))
    where = f"all {n}" if most == n else f"{most} of {n}"
    rest = [f"{exception} in {fewest}" if fewest else "", _undecided(outcomes)]
    tail = "".join(f"; {part}" for part in rest if part)
    return f"{first}{one} needs {often} {quantity} than {other} in {where} comparisons: {amount}{tail}."


def _mixed(outcomes: Sequence[Outcome], quantity: str, *, matched: bool) -> str:
    """Pairs that have no two sides in common: how many show a difference, and the largest of those either way."""
    first = "At matched MACs" if matched else "Not at matched MACs"
    decided = [o for o in outcomes if o.verdict in ("less", "more")]
    rest = _undecided(outcomes)
    if not decided:
        return f"{first}, none of {len(outcomes)} pairs differs in {quantity}: {rest}."
    told = [_one_way([o for o in decided if o.verdict == word], word) for word in ("less", "more")]
    tail = f" ({rest})" if rest else ""
    return (
        f"{first}, {len(decided)} of {len(outcomes)} pairs differ in {quantity}{tail}: {', '.join(filter(None, told))}."
    )


def _one_way(outcomes: Sequence[Outcome], word: str) -> str:
    """How many need less (or more) than their partner, and which of them by most."""
    if not outcomes:
        return ""
    most = max(outcomes, key=lambda o: abs(math.log(o.ratio)))
    where = f", {most.place}" if most.place else ""
    verb = "needs" if len(outcomes) == 1 else "need"
    at_most = "" if len(outcomes) == 1 else "at most "
    return f"{len(outcomes)} {verb} {word} ({at_most}{most.variant}: {_compared(most, '')}{where})"


def _sides(outcomes: Sequence[Outcome]) -> tuple[str, str]:
    """What to call the two sides: the names if there is one pair, else the first words that they share, or nothing."""
    one, other = _side([o.variant for o in outcomes]), _side([o.against for o in outcomes])
    return (one, other) if one != other else ("", "")


def _side(names: Sequence[str]) -> str:
    if len(set(names)) == 1:
        return names[0]
    first_words = {re.split(r"[\s-]", name)[0] for name in names}
    return first_words.pop() if len(first_words) == 1 else ""


def pair_lines(outcomes: Sequence[Outcome], *, matched: bool) -> Iterable[str]:
    """A line a pair: where it needs less, more, the same, and where that cannot be told.

    Of declared pairs (``matched``), places where their MACs are apart are told after the others, and as such.
    """
    for variant, against in dict.fromkeys((o.variant, o.against) for o in outcomes):
        mine = [o for o in outcomes if (o.variant, o.against) == (variant, against)]
        apart = [o for o in mine if matched and o.apart]
        near = [o for o in mine if o not in apart]
        told = f" ({_macs(near)}): {_amounts(near)}." if near else ""
        if apart:
            told += f"{'' if near else ','} {'N' if near else 'n'}ot matched ({_macs(apart)}): {_amounts(apart)}"
            told += f"; per MAC {_range([o.per_mac for o in apart])}."
        yield f"{variant} against {against}{told}"


def _amounts(outcomes: Sequence[Outcome]) -> str:
    parts = []
    for word in ("less", "more", "same", "cannot tell"):
        ratios = [o.ratio for o in outcomes if o.verdict == word]
        if ratios:
            amount = {"same": "the same within 1 %", "cannot tell": "cannot tell"}.get(word) or _range(ratios)
            unseen = _unseen(outcomes) if word == "cannot tell" else ""
            parts.append(amount + _where(outcomes, word) + unseen)
    return "; ".join(parts)


def _unseen(outcomes: Sequence[Outcome]) -> str:
    """How small a difference would not have shown where it cannot be told; empty where that is not known."""
    blind = [o.smallest_difference for o in outcomes if o.verdict == "cannot tell"]
    known = bool(blind) and all(0 < smallest < math.inf for smallest in blind)
    return f", a difference below {quantities.digits(100 * max(blind), 2)} % need not show" if known else ""


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


def _range(ratios: Sequence[float]) -> str:
    """The changes of ``ratios`` as one amount, or from the nearest to no change to the farthest."""
    near, far = sorted((min(ratios), max(ratios)), key=lambda ratio: abs(math.log(ratio)))
    said = [quantities.change(ratio) for ratio in (near, far)]
    if said[0] == said[1]:
        return said[0]
    amounts, words = zip(*(text.split(" ", 1) for text in said), strict=True)
    return f"{amounts[0]} to {said[1]}" if words[0] == words[1] else f"{said[0]} to {said[1]}"


def _undecided(outcomes: Sequence[Outcome]) -> str:
    same, unsure = _count(outcomes, "same"), _count(outcomes, "cannot tell")
    parts = [f"the same within 1 % in {same}" if same else "", f"undecided in {unsure}" if unsure else ""]
    return ", ".join(part for part in parts if part)


def _count(outcomes: Iterable[Outcome], word: str) -> int:
    return sum(outcome.verdict == word for outcome in outcomes)


def _compared(outcome: Outcome, quantity: str) -> str:
    """``9.6 % less energy than old``, ``2.6 times as much energy as old``."""
    much = quantities.change(outcome.ratio)
    link = "as" if much.endswith("as much") else "than"
    return " ".join(filter(None, (much, quantity, link, outcome.against)))
