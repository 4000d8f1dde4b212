"""Draw with matplotlib, and turn its SVG into inline HTML that follows the reader's light or dark colour scheme."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

import matplotlib.style
from markupsafe import Markup
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Callable

INK: Final = "#010101"
MUTED: Final = "#020202"
GRID: Final = "#030303"
SERIES: Final = ("#040404", "#050505", "#060606", "#070707")
"""Placeholder colours, replaced by the page's CSS variables after drawing; plots use them for nothing else."""

SCHEMES: Final = {
    "light": {
        "ink": "#1f2328",
        "muted": "#59636e",
        "grid": "#d1d9e0",
        "paper": "#ffffff",
        "raised": "#f6f8fa",
        "series": ("#0b5cad", "#b35900", "#1a7f37", "#8250df"),
    },
    "dark": {
        "ink": "#e6edf3",
        "muted": "#9aa5b1",
        "grid": "#343b44",
        "paper": "#0f141a",
        "raised": "#181f27",
        "series": ("#6cb6ff", "#f0a04b", "#5fcf80", "#bc9cff"),
    },
}
"""The page's colours in each colour scheme."""

_VARIABLES: Final = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    **{colour: f"var(--series-{i})" for i, colour in enumerate(SERIES)},
}

_STYLE: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "image.composite_image": False,
    "font.size": 9,
    "axes.titlesize": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "hatch.color": INK,
}

_SVG: Final = "{http://www.w3.org/2000/svg}"
_HREF: Final = "{http://www.w3.org/1999/xlink}href"
_FONT: Final = re.compile(r"font: *(?:(bold) +)?(?:(italic) +)?([\d.]+)px[^;]*")


def draw(
    name: str,
    title: str,
    description: str,
    paint: Callable[[Figure], None],
    *,
    size: tuple[float, float],
) -> Markup:
    """Draw a plot as inline SVG; equal input gives equal text.

    Parameters
    ----------
    name
        Prefix of all ids in the drawing; unique on the page.
    title, description
        Text alternative for readers who cannot see the drawing.
    paint
        Draws on an empty figure, in the placeholder colours.
    size
        Width and height in inches.

    """
    # "default" overrides the user's matplotlibrc; the salt makes ids in the SVG reproducible.
    with matplotlib.style.context(["default", _STYLE | {"svg.hashsalt": name}]):
        figure = Figure(figsize=size, layout="constrained")
        paint(figure)
        file = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    root = ET.fromstring(file.getvalue())  # noqa: S314 - what we have just drawn
    return inline(root, name, title, description)


def inline(root: ET.Element, name: str, title: str, description: str) -> Markup:
    """Return an SVG document as markup for an HTML page."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    text = ET.tostring(root, encoding="unicode")
    # ids that clip paths and markers refer to; matplotlib numbers hundreds of others, which only make the page larger
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', text))
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        _own(element, name, used)
    # At this width, text has its intended size; CSS may shrink the drawing below it, or scroll it.
    root.attrib["style"] = f"--natural: {root.attrib.pop('width').replace('pt', 'px')}"
    for attribute in ("height", "version"):
        root.attrib.pop(attribute, None)
    root.attrib |= {"role": "img", "aria-labelledby": f"{name}-title {name}-desc"}
    for tag, words in (("desc", description), ("title", title)):
        element = ET.Element(tag, {"id": f"{name}-{tag}"})
        element.text = words
        root.insert(0, element)
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 - ElementTree has escaped it


def _own(element: ET.Element, name: str, used: set[str]) -> None:
    """Prefix the ids that are referred to and drop the others; replace colours and fonts by the page's."""
    attributes = element.attrib
    own = attributes.pop("id", "")
    if own in used:
        attributes["id"] = f"{name}-{own}"
    elif own.startswith("class-"):
        attributes["class"] = own.removeprefix("class-")
    if _HREF in attributes:
        attributes["href"] = "".join(attributes.pop(_HREF).split())
    for key, value in attributes.items():
        changed = re.sub(r"^#" if key == "href" else r"(?<=url\()#", f"#{name}-", value)
        if key == "style":
            changed = _FONT.sub(_font, changed)
        for colour, variable in _VARIABLES.items():
            changed = changed.replace(colour, variable)
        attributes[key] = changed


def _font(found: re.Match[str]) -> str:
    """Return weight, slant and size of a font declaration; the page sets the family."""
    bold, italic, size = found.groups()
    parts = [f"font-size: {size}px"]
    parts += ["font-weight: 600"] * bool(bold) + ["font-style: italic"] * bool(italic)
    return "; ".join(parts)
