"""How does a figure become part of a page? Its SVG made inert, small, theme-aware, and alone with its ids."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
COLOR = re.compile(r"#[0-9a-f]{6}\b")
NUMBER = re.compile(r"-?\d+\.\d{3,}")
REFERENCE = re.compile(r"url\(#([^)]+)\)")
FONT_FAMILY = re.compile(r"font-family:[^;]*;?")
NO_ROTATION = re.compile(r"^rotate\(-?0 [^)]*\)$")
ROW_ID = re.compile(r"^(case|total)-(\d+)(?:-\w+)?$")
"""What a figure calls the artists of a row of the table; the page turns it into a link between the two."""


def variables(dark: Mapping[str, str]) -> tuple[dict[str, str], str, str]:
    """A CSS variable for each colour: the names by colour, and the declarations for a light and for a dark page."""
    names = {color: f"--f{number}" for number, color in enumerate(dark)}
    light_css = "".join(f"{name}:{color};" for color, name in names.items())
    dark_css = "".join(f"{name}:{dark[color]};" for color, name in names.items())
    return names, light_css, dark_css


def inline(svg: str, *, prefix: str, title: str, names: Mapping[str, str]) -> str:
    """``svg``, as matplotlib writes it, as an element for the body of a page.

    Args:
        svg: a whole SVG document of our own making.
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
    return re.sub(r"\s+", " ", ET.tostring(root, encoding="unicode").replace(" />", "/>")).replace("> <", "><")


def _prune(parent: ET.Element) -> None:
    """Leave out what draws nothing: metadata, the document's style sheet, groups that say nothing of their own."""
    children: list[ET.Element] = []
    for child in parent:
        _prune(child)
        local = str(child.tag).removeprefix(f"{{{SVG}}}")
        if local in ("metadata", "style") or not str(child.tag).startswith(f"{{{SVG}}}"):
            continue
        if local == "g" and not child.attrib:
            children.extend(child)
        elif local not in ("g", "defs") or len(child):
            children.append(child)
    parent[:] = children


def _rewrite(element: ET.Element, prefix: str, names: Mapping[str, str]) -> None:
    attributes = element.attrib
    row = ROW_ID.match(attributes.get("id", ""))
    if row:
        attributes["data-row"] = f"{row[1]}-{row[2]}"
        del attributes["id"]
    elif element.tag == f"{{{SVG}}}g" and "id" in attributes:
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
