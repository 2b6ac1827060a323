"""matplotlib figures as SVG that fits into a page: its colours, its fonts, no styles of their own.

A strict Content-Security-Policy forbids style attributes, so they become attributes of SVG; colours
of the palette get a class, which the page's style sheet colours for light, dark and paper.
"""

from __future__ import annotations

import re
from io import StringIO
from typing import Final
from xml.etree import ElementTree as ET  # our own output is all that is parsed

from matplotlib.figure import Figure

INK: Final = "#1a1a1a"
MUTED: Final = "#6f6f6f"
PAPER: Final = "#fefefe"
PROCESSING: Final = "#009e73"
NOT_FOUND: Final = "#56b4e9"
FAILED: Final = "#d55e00"
ACCENT: Final = "#0072b2"
"""The last four are of Okabe and Ito's palette, which colour-blind people can tell apart."""

_CLASSES: Final = {
    INK: "ink",
    MUTED: "muted",
    PAPER: "paper",
    PROCESSING: "processing",
    NOT_FOUND: "not-found",
    FAILED: "failed",
    ACCENT: "accent",
}
_NO_METADATA: Final = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_LONG_NUMBER: Final = re.compile(r"(\d+\.\d)\d+")


def svg_of(figure: Figure, css_class: str) -> str:
    """The figure as an element `svg` of class `css_class`, hidden from screen readers: the text
    around it says the same."""
    out = StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata=_NO_METADATA)
    root = ET.fromstring(out.getvalue())  # noqa: S314 - our own output
    for element in root.iter():
        _adapt(element)
    _remove_style_sheet(root)
    view_box = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib.update({"viewBox": view_box, "class": css_class, "aria-hidden": "true"})
    return re.sub(r"\s*\n\s*", " ", ET.tostring(root, encoding="unicode"))


def _adapt(element: ET.Element) -> None:
    element.tag = _local(element.tag)
    attributes = {_local(name): value for name, value in element.attrib.items()}
    attributes |= _declarations(attributes.pop("style", ""))
    attributes.pop("font-family", None)
    if element.tag == "g":
        attributes.pop("id", None)  # nothing refers to it, and every plot has the same
    if attributes.get("transform", "").startswith("rotate(-0 "):
        del attributes["transform"]
    for name in ("d", "x", "y", "transform"):
        if name in attributes:
            attributes[name] = _LONG_NUMBER.sub(r"\1", attributes[name])
    classes = [
        f"{name}-{_CLASSES[attributes[name]]}"
        for name in ("fill", "stroke")
        if attributes.get(name) in _CLASSES
    ]
    if classes:
        attributes["class"] = " ".join(classes)
    element.attrib.clear()
    element.attrib.update(attributes)


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _declarations(style: str) -> dict[str, str]:
    pairs = (part.partition(":") for part in style.split(";") if part.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _remove_style_sheet(root: ET.Element) -> None:
    """Without it matplotlib's rule for `*` would reach the whole page."""
    for parent in root.iter("defs"):
        for sheet in parent.findall("style"):
            parent.remove(sheet)
