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
EXAMPLES = 2


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
    names = Counter(filter(None, map(_least_at, places.values())))
    n, close = len(places), len(places) - names.total()
    if not names:
        return f"MACs aside, no variant surely needs the least {quantity}." if places else ""
    (name, count), *rest = names.most_common()
    first = f"MACs aside, {name} needs the least {quantity}"
    if n == 1:
        won = next((o for o in outcomes if o.variant == name), None)
        return first + (f": {quantities.ratio(won.ratio, won.low, won.high)} of {won.against}'s." if won else ".")
    if count == n:
        return f"{first} in {'both' if n == 2 else f'all {n}'} settings."
    others = [f"{other} in {times}" for other, times in rest] + ([f"too close to call in {close}"] if close else [])
    return f"{first} in {count} of {n} settings, {', '.join(others)}."


def _least_at(found: Sequence[Outcome]) -> str:
    """The variant, or the baseline, that surely needs least of ``found``; empty where it is too close to call."""
    ends = [(o.ratio, o.ratio, o.variant) if o.predicted else (o.low, o.high, o.variant) for o in found]
    ends.append((1.0, 1.0, found[0].against))
    _, high, name = min(ends, key=lambda end: end[1])
    return name if all(high < low for low, _, other in ends if other != name) else ""


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


def _mixed(outcomes: Sequence[Outcome], quantity: str, *, matched: bool) -> str:
    """Pairs that have no two sides in common: how many show a difference, and the largest of those."""
    first = "At matched MACs" if matched else "Not at matched MACs"
    decided = [o for o in outcomes if o.verdict in ("less", "more")]
    rest = _undecided(outcomes)
    if not decided:
        return f"{first}, none of {len(outcomes)} pairs differs in {quantity}: {rest}."
    strongest = sorted(decided, key=lambda o: abs(math.log(o.ratio)), reverse=True)[:EXAMPLES]
    told = "; ".join(f"{o.variant} needs {_compared(o, '')}{f' ({o.place})' if o.place else ''}" for o in strongest)
    most = "" if len(decided) <= EXAMPLES else ", most of all"
    tail = f" ({rest})" if rest else ""
    return f"{first}, {len(decided)} of {len(outcomes)} pairs differ in {quantity}{tail}{most}: {told}."


def _sides(outcomes: Sequence[Outcome]) -> tuple[str, str]:
    """What to call the two sides: the names if there is one pair, else the first words that they share, or nothing."""
    one, other = _side([o.variant for o in outcomes]), _side([o.against for o in outcomes])
    return (one, other) if one != other else ("", "")


def _side(names: Sequence[str]) -> str:
    if len(set(names)) == 1:
        return names[0]
    first_words = {re.split(r"[\s-]", name)[0] for name in names}
    return first_words.pop() if len(first_words) == 1 else ""


def _reversed(outcome: Outcome) -> Outcome:
    low = 1 / outcome.high if outcome.high > 0 else 0.0
    high = 1 / outcome.low if outcome.low > 0 else float("inf")
    return Outcome(
        outcome.against, outcome.variant, outcome.place, 1 / outcome.ratio, low, high,
        1 / outcome.macs_ratio if outcome.macs_ratio else outcome.macs_ratio, outcome.smallest_difference,
    )  # fmt: skip


def pair_lines(outcomes: Sequence[Outcome]) -> Iterable[str]:
    """One sentence a pair: where it needs less, more, the same, and where that cannot be told."""
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
            parts.append(f"cannot tell{_where(mine, 'cannot tell')}{_unseen(mine)}")
        yield f"{variant} against {against} ({_macs(mine)}): {'; '.join(parts)}."


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


def _compared(outcome: Outcome, quantity: str) -> str:
    """``9.6 % less energy than old``, ``2.6 times as much energy as old``."""
    much = quantities.change(outcome.ratio)
    link = "as" if much.endswith("as much") else "than"
    return " ".join(filter(None, (much, quantity, link, outcome.against)))
