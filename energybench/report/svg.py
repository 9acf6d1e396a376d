"""How does a figure become part of a page? Its SVG made inert, small, theme-aware, and alone with its ids."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
COLOR = re.compile(r"#[0-9a-f]{6}\b")
NUMBER = re.compile(r"-?\d+\.\d{3,}")
REFERENCE = re.compile(r"url\(#([^)]+)\)")
FONT_FAMILY = re.compile(r"font-family:[^;]*;?")
NO_ROTATION = re.compile(r"^rotate\(-?0 [^)]*\)$")
MARK = re.compile(r'<g id="((?:case|total)-\d+)?(?:\?([^"]*))?">')
"""A group that ``mark`` named: the row of the table it belongs to, and what pointing at it says."""
TITLE_OR_SPACE = re.compile(r"(<title>.*?</title>)|\s+", re.DOTALL)


def mark(row_id: str, tip: str = "") -> str | None:
    """The ``gid`` of an artist that stands for a row of the page's table, says something of its own, or both.

    Args:
        row_id: ``case-3`` or ``total-0``, as ``tables.tidy`` numbers them; empty for an artist of no row.
        tip: what the figure shows there, its own x, y and interval with their units: a line, or a few.

    Returns:
        What to pass as ``gid``; None, which matplotlib takes for no name, where there is nothing to say.
    """
    told = "".join(c for c in tip if c.isprintable() or c == "\n")  # XML has no words for the others
    return (row_id + (f"?{quote(told)}" if told else "")) or None


def linked(document: str) -> str:
    """``document``, as matplotlib writes it, with each marked group's row as ``data-row`` and its tip as ``<title>``.

    A ``<title>`` is what any viewer shows of an SVG on its own, and a browser without scripts; the page's script
    reads it, too.
    """
    return MARK.sub(_linked_group, document)


def _linked_group(found: re.Match[str]) -> str:
    row, tip = found[1], found[2]
    attribute = f' data-row="{row}"' if row else ""
    return f"<g{attribute}>" + (f"<title>{escape(unquote(tip))}</title>" if tip else "")


def variables(dark: Mapping[str, str]) -> tuple[dict[str, str], str, str]:
    """A CSS variable for each colour: the names by colour, and the declarations for a light and for a dark page."""
    names = {color: f"--f{number}" for number, color in enumerate(dark)}
    light_css = "".join(f"{name}:{color};" for color, name in names.items())
    dark_css = "".join(f"{name}:{dark[color]};" for color, name in names.items())
    return names, light_css, dark_css


def inline(svg: str, *, prefix: str, title: str, names: Mapping[str, str]) -> str:
    """``svg``, as matplotlib writes it, as an element for the body of a page.

    Args:
        svg: a whole SVG document of our own making, from ``linked``.
        prefix: goes before every id, so that several figures share a page.
        title: what a screen reader says.
        names: CSS variable by colour, from ``variables``.
    """
    ET.register_namespace("", SVG)
    root = ET.fromstring(svg)  # noqa: S314  # our own output, written a moment ago
    for element in root.iter():
        _rewrite(element, prefix, names)
    _prune(root)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-label", title)
    text = ET.tostring(root, encoding="unicode").replace(" />", "/>")
    return TITLE_OR_SPACE.sub(lambda found: found[1] or " ", text).replace("> <", "><")


def _prune(parent: ET.Element) -> None:
    """Leave out what draws nothing: metadata, the document's style sheet, groups that say nothing of their own."""
    children: list[ET.Element] = []
    for child in parent:
        _prune(child)
        local = str(child.tag).removeprefix(f"{{{SVG}}}")
        if local in ("metadata", "style") or not str(child.tag).startswith(f"{{{SVG}}}"):
            continue
        if local == "g" and not child.attrib and child.find(f"{{{SVG}}}title") is None:
            children.extend(child)
        elif local not in ("g", "defs") or len(child):
            children.append(child)
    parent[:] = children


def _rewrite(element: ET.Element, prefix: str, names: Mapping[str, str]) -> None:
    attributes = element.attrib
    if element.tag == f"{{{SVG}}}g" and "id" in attributes:
        del attributes["id"]  # matplotlib's own names of groups: nothing refers to them
    elif "id" in attributes:
        attributes["id"] = prefix + attributes["id"]
    link = attributes.pop(f"{{{XLINK}}}href", None)
    if link is not None:
        attributes["href"] = "#" + prefix + link.removeprefix("#")
    for name, value in list(attributes.items()):
        if name.startswith("{") or name == "href":
            continue
        text = REFERENCE.sub(lambda m: f"url(#{prefix}{m[1]})", value)
        if name == "style":
            text = COLOR.sub(lambda m: f"var({names[m[0]]})" if m[0] in names else m[0], text)
            text = FONT_FAMILY.sub("", text).replace(": ", ":").replace("; ", ";").strip()
        if name in ("d", "x", "y", "transform", "points", "style", "width", "height"):
            text = NUMBER.sub(lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), text)
        attributes[name] = text
    if NO_ROTATION.match(attributes.get("transform", "")):
        del attributes["transform"]
