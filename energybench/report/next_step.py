"""What should be typed next? The command as it was typed, changed where it can have better numbers than these."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from energybench.analysis.summary import Summary
from energybench.report.style import plain

WHERE = ("--device", "--gpu", "--meter", "--output")
"""Options with a value that belong to the run that was, not to the one that is advised."""
EXPORTS = ("--export-csv", "--export-json", "--export-markdown", "--export-html", "--export-readings")
ONCE = ("--fresh", "--force-resume", "--retry-failed", "--quiet", "--json")


def next_step(summary: Summary) -> tuple[str, str]:
    """One command, and why."""
    record, folder = summary.run.record, shlex.quote(plain(summary.run.folder))
    name = plain(record.name, 40)
    if summary.run.origin == "modelled":
        return f"energybench run {name} --gpu 0", "measures what was predicted here"
    typed = record.command if record.command[1:2] == ["run"] else ["energybench", "run", name]
    typed = without(typed, EXPORTS, ONCE)
    if not record.complete:
        return _command(typed), "goes on where it stopped"
    if summary.run.simulated:
        return _command([*without(typed, WHERE, ()), "--gpu", "0"]), "on a real GPU"
    if record.options.get("quick"):
        return _command(without(typed, ("--output",), ("--quick",))), "without --quick, for numbers to print"
    if not summary.has_energy:
        return "energybench doctor", "why there are no joules, and what would help"
    return f"energybench compare {folder} OTHER_RUN", "what changed since another run"


def without(words: Sequence[str], valued: Sequence[str], plain_ones: Sequence[str]) -> list[str]:
    """The words of a command but for some options, written ``--option value`` or ``--option=value``."""
    return list(_kept(words, valued, plain_ones))


def _kept(words: Sequence[str], valued: Sequence[str], plain_ones: Sequence[str]) -> Iterator[str]:
    following = False
    for word in words:
        if following or word in plain_ones or word.partition("=")[0] in valued:
            following = not following and word in valued
        else:
            yield word


def _command(words: Sequence[str]) -> str:
    return plain(shlex.join(words))
