"""How does everything we draw look? One style, one colour and marker per variant, the same in every figure.

Variants that share the first word of their name (``FgGC g=8``, ``FgGC g=32``) are a family: they share a hue and a
marker and differ in lightness, so that a figure answers "which kind" before "which one". Hues come in an order that
stays apart under deuteranopia and protanopia; markers carry the same information without any colour.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

INK = "#1b1f24"
MUTED = "#5a6570"
GRID = "#e4e7eb"
PAPER = "#fefefe"  # not pure white, so that the page can tell the paper from a halo
WATER = "#2f7fc1"
FOAM = "#cfe3f5"
WARN = "#b42318"
APART = "#b3bcc5"

NEUTRALS_DARK: Mapping[str, str] = {
    INK: "#e8eaed",
    MUTED: "#9ba6b1",
    GRID: "#2b323a",
    PAPER: "#15191e",
    WATER: "#6fb4ee",
    FOAM: "#1d3a54",
    WARN: "#ff8a7a",
    APART: "#56616c",
}
"""Every neutral colour of the figures, and what it becomes on a dark page."""


@dataclass(frozen=True)
class Hue:
    """A ramp from dark to light for paper, the same for a dark page, and the marker that goes with it."""

    light: tuple[str, str]
    dark: tuple[str, str]
    marker: str


HUES: tuple[Hue, ...] = (
    Hue(("#0a3d78", "#6aa5e0"), ("#3d85d6", "#9cc8f5"), "s"),
    Hue(("#8f3b00", "#f0a050"), ("#d96f10", "#ffc17a"), "o"),
    Hue(("#00795a", "#5cc0a3"), ("#1fae86", "#8fdcc4"), "^"),
    Hue(("#3a3a3a", "#9a9a9a"), ("#f2f2f2", "#8f8f8f"), "D"),
    Hue(("#7a2a8c", "#cc96d8"), ("#b866cc", "#e6c6ee"), "v"),
    Hue(("#6b5b00", "#c8ae2a"), ("#b39a1e", "#eedc8a"), "P"),
    Hue(("#00697d", "#58c3d6"), ("#1fa3bd", "#a8e4ef"), "X"),
    Hue(("#96194f", "#e889b3"), ("#d9508f", "#f6bdd6"), "p"),
)

RC: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # said, it is not looked for at every draw; no panel has ticks above it
    "axes.labelsize": 9,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.facecolor": PAPER,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "text.color": INK,
    "text.parse_math": False,  # a variant called "$x$" is a name, not a formula
    "text.usetex": False,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "savefig.dpi": 144,
    "lines.linewidth": 1.4,
    "lines.markersize": 6,
    "legend.frameon": False,
    "svg.fonttype": "none",
}

P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """``draw`` under the one style, whatever the caller's matplotlib settings are."""

    @functools.wraps(draw)
    def inner(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context(RC):
            return draw(*args, **kwargs)

    return inner


def plain(text: object, limit: int = 0) -> str:
    """``text`` on one line, without characters that act instead of showing; cut to ``limit`` with an ellipsis.

    Control, format (bidirectional overrides among them), private and unassigned characters become U+FFFD, any white
    space becomes a space: what remains is inert in XML, in a terminal and in a figure.
    """
    shown = "".join(" " if c.isspace() else "\N{REPLACEMENT CHARACTER}" if _acts(c) else c for c in str(text))
    shown = re.sub(r" +", " ", shown).strip()
    return shown if not limit or len(shown) <= limit else shown[: limit - 1].rstrip() + "…"


def _acts(character: str) -> bool:
    return unicodedata.category(character)[0] == "C"


@dataclass(frozen=True)
class Ink:
    """How one variant is drawn: its colour on paper and on a dark page, its marker, and its colour as small text."""

    light: str
    dark: str
    marker: str
    text: str


@dataclass(frozen=True)
class Palette:
    """Which ink belongs to which variant; made once per run so that no two figures disagree."""

    inks: Mapping[str, Ink]

    @classmethod
    def of(cls, variants: Iterable[str]) -> Palette:
        """Inks for ``variants``: a hue per family, the largest family first, and a lightness per member in order.

        The largest first, so that suites that list the same families in another order still agree.
        """
        families: dict[str, list[str]] = {}
        for variant in dict.fromkeys(str(v) for v in variants):
            families.setdefault(family_of(variant), []).append(variant)
        inks: dict[str, Ink] = {}
        for number, members in enumerate(sorted(families.values(), key=len, reverse=True)):
            hue = HUES[number % len(HUES)]
            turn = number // len(HUES)
            for place, variant in enumerate(members):
                share = _share(place, len(members), turn)
                light = _between(*hue.light, share)
                inks[variant] = Ink(light, _between(*hue.dark, share), hue.marker, _readable(light))
        return cls(inks)

    def color(self, variant: object) -> str:
        """The colour of ``variant`` on paper; ink for one that is not of this run."""
        return self.inks[str(variant)].light if str(variant) in self.inks else INK

    def text(self, variant: object) -> str:
        """The colour of ``variant``'s name: its own, darkened until small text reads on paper."""
        return self.inks[str(variant)].text if str(variant) in self.inks else INK

    def marker(self, variant: object) -> str:
        """The marker of ``variant``'s family."""
        return self.inks[str(variant)].marker if str(variant) in self.inks else "o"

    def dark(self) -> dict[str, str]:
        """Every colour a figure may contain, and what it becomes on a dark page."""
        variants = {color: ink.dark for ink in self.inks.values() for color in (ink.text, ink.light)}
        return {**NEUTRALS_DARK, **variants}


def family_of(variant: str) -> str:
    """What kind of variant this is: its name without parameters, ``FgGC`` of ``FgGC g=32``."""
    return re.split(r"[\s=:(\[]", variant.strip(), maxsplit=1)[0].lower()


def _share(place: int, members: int, turn: int) -> float:
    """Where on the ramp a member lies; a lone one near the dark end, later turns through the hues lighter."""
    alone = (0.3 + 0.4 * turn) % 1.0
    return alone if members == 1 else place / (members - 1)


def _between(low: str, high: str, share: float) -> str:
    """The colour ``share`` of the way from ``low`` to ``high``, mixed in linear light."""
    mixed = [_gamma((1 - share) * _linear(a) + share * _linear(b)) for a, b in zip(_rgb(low), _rgb(high), strict=True)]
    return "#" + "".join(f"{round(255 * v):02x}" for v in mixed)


def _readable(color: str) -> str:
    """``color``, darkened until its contrast against paper is that of body text.

    Source: WCAG 2.2, success criterion 1.4.3: 4.5 to 1.
    """
    for step in range(20):
        darker = _between(color, "#000000", step / 20)
        if _contrast(darker, PAPER) >= 4.5:
            return darker
    return INK


def _contrast(color: str, ground: str) -> float:
    weights = (0.2126, 0.7152, 0.0722)
    lights = [sum(w * _linear(v) for w, v in zip(weights, _rgb(c), strict=True)) for c in (color, ground)]
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def _rgb(color: str) -> tuple[float, ...]:
    return tuple(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))


def _linear(value: float) -> float:
    return float(value**2.2)


def _gamma(value: float) -> float:
    return float(value ** (1 / 2.2))


SUBTITLE_PT = 9
SUBTITLE_LINES = 3
SUBTITLE_LINE_IN = 0.165


def title(figure: Figure, text: str, *, subtitle: str = "", origin: str = "measured") -> None:
    """Head ``figure`` with what it shows; one that was not measured says so here and across itself.

    A subtitle wider than the figure goes on below, and the figure grows by that.
    """
    unmeasured = origin != "measured"
    says = f"{origin.upper()}, not measured" if unmeasured else ""
    width_in, height_in = (float(inches) for inches in figure.get_size_inches())
    below = _broken(" · ".join(filter(None, (says, plain(subtitle, 400)))), 72 * 0.97 * width_in)
    more_in = SUBTITLE_LINE_IN * (len(below) - 1)
    height_in += more_in
    figure.set_size_inches(width_in, height_in)
    figure.suptitle(plain(text, 80), x=0.01, y=1 - 0.06 / height_in, ha="left", va="top", size=12, weight="bold")
    figure.text(0.01, 1 - 0.31 / height_in, "\n".join(below), ha="left", va="top", size=SUBTITLE_PT,
                color=WARN if unmeasured else MUTED)  # fmt: skip
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0.004, 0.0, 0.992, 1 - (0.56 + more_in) / height_in))  # type: ignore[call-arg]
    if unmeasured:
        _watermark(figure, origin.upper())


def _broken(text: str, room_pt: float) -> list[str]:
    """``text`` on as few lines as its words need; what does not fit on the last of ``SUBTITLE_LINES`` is cut there."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width_pt(longer, SUBTITLE_PT) > room_pt:
            if len(lines) == SUBTITLE_LINES:
                return [*lines[:-1], f"{lines[-1].rstrip(' ·,')}…"]
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def text_width_pt(text: str, size_pt: float) -> float:
    """How wide ``text`` is in the figures' font, in points."""
    font = FontProperties(family=RC["font.family"], size=size_pt)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0])


def _watermark(figure: Figure, word: str) -> None:
    figure.text(
        0.52, 0.45, word, ha="center", va="center", rotation=24, size=64, weight="bold", color=MUTED, alpha=0.07
    ).set_zorder(50)


def whiskers(
    ax: Axes,
    x: float,
    y: float,
    *,
    low: float,
    high: float,
    color: str,
    horizontal: bool = True,
    gid: str | None = None,
) -> None:
    """The 95 % interval from ``low`` to ``high`` through a point, in the point's own colour and under its name."""
    if not low <= high:  # also false for NaN: a missing interval is not drawn
        return
    along = ([low, high], [y, y]) if horizontal else ([x, x], [low, high])
    ax.plot(*along, color=color, linewidth=1.6, solid_capstyle="butt", zorder=3, gid=gid)
