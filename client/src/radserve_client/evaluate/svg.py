"""A matplotlib figure in, SVG for the middle of a page out: no address of another site, no date, ids of its own.

Only matplotlib's object interface is used: pyplot keeps figures and a backend for the whole process.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree import ElementTree as ET

from markupsafe import Markup
from matplotlib import style
from matplotlib.figure import Figure

FONTS = ["DejaVu Sans", "Verdana", "sans-serif"]
"""The first comes with matplotlib, so that widths are known; the second is alike and on most machines."""
SETTINGS = {
    "svg.hashsalt": "radserve",
    "svg.fonttype": "none",
    "font.family": FONTS[:1],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "text.parse_math": False,
}
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
"""What matplotlib would write of itself, with the addresses of its vocabularies."""
LONGEST = 48
"""Characters of a name in a picture; more would not fit."""
_NAME = re.compile(r"\{[^}]*\}")
_REFERENCE = re.compile(r"#([\w-]+)")


@contextmanager
def drawing() -> Iterator[None]:
    """Within it figures look the same on every machine, whatever its matplotlibrc says."""
    with style.context(["default", SETTINGS], after_reset=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # the browser has other fonts
        yield


def inline(figure: Figure, *, key: str, alt: str) -> Markup:
    """``figure`` as an ``<svg>`` element. ``key`` is another for each picture of a page; ``alt`` says what it shows.

    Call it within ``drawing``. Equal figures give equal text.
    """
    written = io.BytesIO()
    figure.savefig(written, format="svg", metadata=NO_METADATA)
    root = ET.fromstring(written.getvalue())  # noqa: S314 - it is what matplotlib wrote a moment ago
    _remove(root, "style")  # it would be of the whole page, which says the same itself
    _own_ids(root, key)
    root.attrib = {
        "class": "plot",
        "role": "img",
        "aria-label": alt,
        "viewBox": root.attrib["viewBox"],
        "width": root.attrib["width"].removesuffix("pt"),
    }
    # the page's sanitised texts are in it as escaped text: ElementTree escapes what it writes
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704


def printable(text: str) -> str:
    """``text`` without what has no shape: control characters, and marks that turn the direction of writing."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def short(text: str) -> str:
    """``text`` as it fits into a picture."""
    clean = printable(text)
    return clean if len(clean) <= LONGEST else clean[: LONGEST - 1] + "…"


def _remove(root: ET.Element, name: str) -> None:
    for parent in list(root.iter()):
        for child in list(parent):
            if _NAME.sub("", child.tag) == name:
                parent.remove(child)


def _own_ids(root: ET.Element, key: str) -> None:
    """Plain names without namespaces, as HTML has them; ids only where something refers to them, each with ``key``."""
    values = [value for element in root.iter() for value in element.attrib.values()]
    there = {element.attrib["id"] for element in root.iter() if "id" in element.attrib}
    wanted = there & {found for value in values for found in _REFERENCE.findall(value)}  # colours look alike: #d55e00
    for element in root.iter():
        element.tag = _NAME.sub("", element.tag)
        for name, value in list(element.attrib.items()):
            del element.attrib[name]
            if name == "id":
                if value in wanted:
                    element.attrib["id"] = f"{key}-{value}"
            else:
                element.attrib[_NAME.sub("", name)] = _renamed(value, wanted, key)


def _renamed(value: str, wanted: set[str], key: str) -> str:
    """References of an attribute with ``key``: ``#m1`` or ``url(#p1)``. Colours (``#1f77b4``) are left alone."""
    if not (value.startswith("#") or "url(#" in value):
        return value
    return _REFERENCE.sub(lambda found: f"#{key}-{found[1]}" if found[1] in wanted else found[0], value)
