"""Where does a figure go? Into an SVG document and a PNG, laid out once for both.

The SVG keeps text as text and names its marks; the same figure is the same bytes.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from energybench.report.style import RC
from energybench.report.svg import linked


@dataclass(frozen=True)
class FigureFile:
    """One figure on disk.

    Attributes:
        name: file stem, and anchor on the page.
        family: ``pairs``, ``variants``, ``gap``, ``roofline``, ``budget``, ``waterline``, ``group size``, ``power`` or
            ``sensor``.
        title: what it shows, in a few words.
        caption: how to read it, in sentences.
        svg: path of the SVG, text as text.
        png: path of the PNG.
    """

    name: str
    family: str
    title: str
    caption: str
    svg: Path
    png: Path


def svg_text(figure: Figure, salt: str) -> str:
    """``figure`` as an SVG document: text as text, marks as links and tips, the same bytes for the same figure."""
    text = io.StringIO()
    with _quiet(), mpl.rc_context({**RC, "svg.hashsalt": salt}):
        _lay_out(figure)
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return linked(text.getvalue())


def save_figure(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Write ``figure`` as ``stem``.svg and ``stem``.png; returns their paths."""
    svg, png = stem.with_suffix(".svg"), stem.with_suffix(".png")
    svg.write_text(svg_text(figure, stem.name), encoding="utf-8")
    with _quiet(), mpl.rc_context(RC):
        figure.savefig(png, format="png", metadata={"Software": None})
    return svg, png


def _lay_out(figure: Figure) -> None:
    """Place the axes once, for every file: ``savefig`` would draw the figure unseen before each to do it."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)


@contextmanager
def _quiet() -> Iterator[None]:
    """A name in a script the font lacks is boxes in the PNG and whole in the SVG: no news for the user."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        yield
