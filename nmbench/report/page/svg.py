"""Matplotlib figures as small SVG elements in the page's colours and font, with a text alternative."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

from nmbench.report.model_styles import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Placeholder colours. These and the colours of models become variables of the style sheet, which differ in dark mode.
INK, MUTED, GRID = "#000001", "#000002", "#000003"
_VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)"}
_VARIABLES |= {light: f"var(--c{i})" for i, (light, _) in enumerate(COLOURS)}
_SHADE = "#0002"

_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_LONG = re.compile(r"-?\d+\.\d{2,}")
_FONT = re.compile(r"font: (?:[a-z0-9]+ )*?([\d.]+)px [^;]*")
_FAMILY = re.compile(r"font-family: [^;]*;? ?")
_REFERENCE = re.compile(r"#([A-Za-z][\w\-]*)")

# Settings of the figures. Matplotlib lays out labels in its default font, which is wider than the page's.
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "nmbench",
    "text.parse_math": False,
    "font.size": 12,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": 12,
    "axes.titlesize": 12,
    "axes.titleweight": "normal",
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "path.simplify": True,
    "path.simplify_threshold": 0.4,
}


def series(number: int) -> str:
    """The page's series colour of this number, for the channels of a trial; colours repeat."""
    return COLOURS[number % len(COLOURS)][0]


def shade(number: int) -> str:
    """Placeholder for the page's background colour of this number."""
    return f"{_SHADE}{number:02x}"


def variable(colour: str) -> str:
    """The style sheet's variable for a placeholder or a colour of models; other colours are unchanged."""
    if colour.startswith(_SHADE):
        return f"var(--s{int(colour[5:], 16)})"
    return _VARIABLES.get(colour, colour)


def series_variables(mode: int) -> str:
    """The series colours as variables of the style sheet. mode: 0 for light, 1 for dark."""
    return " ".join(f"--c{i}: {colours[mode]};" for i, colours in enumerate(COLOURS))


def inline(figure: Figure, key: str, title: str, description: str) -> str:
    """The figure as an `<svg>` element for an HTML page.

    Args:
      figure: drawn with `STYLE`. It takes at most 1.25 pixels of the page per point.
      key: start of every id in the element, so that ids of different figures differ.
      title, description: text alternative of the figure.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ET.fromstring(buffer.getvalue())
    referenced = {name for e in root.iter() for value in e.attrib.values() for name in _REFERENCE.findall(value)}
    ids = {e.attrib["id"] for e in root.iter() if "id" in e.attrib} & referenced
    names = {old: f"{key}-{i}" for i, old in enumerate(sorted(ids))}
    for element in root.iter():
        element.tag = _local(element.tag)
        attributes = {_local(name): _attribute(_local(name), value, names) for name, value in element.attrib.items()}
        element.attrib.clear()
        element.attrib.update({name: value for name, value in attributes.items() if value})
        element.tail = None
        if element.tag != "text":
            element.text = None
    _prune(root)
    width = float(root.attrib["viewBox"].split()[2])
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib.update(
        {"role": "img", "aria-labelledby": f"{key}-t {key}-d", "class": "plot", "style": f"max-width: {1.25 * width:.0f}px"}
    )
    for name, text in (("desc", description), ("title", title)):
        element = ET.Element(name, {"id": f"{key}-{name[0]}"})
        element.text = text
        root.insert(0, element)
    return ET.tostring(root, encoding="unicode")


def plot(drawn: tuple[Figure, str], key: str, title: str, caption: str) -> dict[str, Any]:
    """SVG, title and caption of a figure. drawn: the figure and its description. key: start of the ids in the SVG."""
    from markupsafe import Markup

    figure, description = drawn
    return {"svg": Markup(inline(figure, key, title, description)), "title": title, "caption": caption}


def _prune(parent: ET.Element) -> None:
    """Remove elements that are not drawn, and replace groups without attributes by their elements."""
    kept: list[ET.Element] = []
    for child in parent:
        _prune(child)
        # A style element would apply to the whole page; the page's style sheet has these rules.
        unseen = child.tag in ("metadata", "style") or (child.tag in ("defs", "g") and len(child) == 0)
        if unseen or (child.tag == "path" and child.attrib.get("style") == "fill: none"):
            continue
        kept += list(child) if child.tag == "g" and not child.attrib else [child]
    parent[:] = kept


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _attribute(name: str, value: str, names: dict[str, str]) -> str:
    if name == "id":
        return names.get(value, "")
    if name == "style":
        value = _FAMILY.sub("", _FONT.sub(r"font-size: \1px", value))
        value = _COLOUR.sub(lambda found: variable(found.group()), value)
    if name in ("href", "clip-path", "style"):
        return _REFERENCE.sub(lambda found: "#" + names.get(found.group(1), found.group(1)), value)
    if name in ("d", "x", "y", "width", "height", "transform", "points"):
        return " ".join(_LONG.sub(lambda found: f"{float(found.group()):.1f}", value).split())
    return value
