"""A figure on a page: its points know their rows of the table and what they say, and nothing in it can act."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from matplotlib.figure import Figure

from energybench.report import svg
from energybench.report.figures import svg_text

TIP = 'E2GC <G="8"> & co: 0.826 [0.821, 0.831]\nof FgGC g=16\'s'


def drawn() -> str:
    figure = Figure()
    ax = figure.subplots()
    ax.plot([1], [2], "o", gid=svg.mark("case-3", TIP))
    ax.plot([2], [2], "o", gid=svg.mark("total-0"))
    ax.barh([1], [2], gid=svg.mark("", "conv2_dw: 1.2 µs"))
    ax.plot([3], [2], "o", gid=svg.mark(""))
    return svg_text(figure, "salt")


def test_a_mark_becomes_a_link_to_its_row_and_a_title_that_any_viewer_shows() -> None:
    found = {}
    for group in ET.fromstring(drawn()).iter(f"{{{svg.SVG}}}g"):
        title = group.find(f"{{{svg.SVG}}}title")
        if "data-row" in group.attrib or title is not None:
            found[group.get("data-row")] = title.text if title is not None else None
    assert found == {"case-3": TIP, "total-0": None, None: "conv2_dw: 1.2 µs"}


def test_on_the_page_links_and_tips_stay_and_the_names_of_groups_go() -> None:
    inlined = svg.inline(svg.linked(drawn()), prefix="pairs-", title="Pairs", names={})
    root = ET.fromstring(inlined)
    assert [t.text for t in root.iter(f"{{{svg.SVG}}}title")] == ["conv2_dw: 1.2 µs", TIP]  # bars lie below
    assert [e.get("data-row") for e in root.iter() if "data-row" in e.attrib] == ["case-3", "total-0"]
    assert all(e.get("id", "pairs-").startswith("pairs-") for e in root.iter())
