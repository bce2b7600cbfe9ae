"""An element of a data set in, its numbers out; fast, because a CT study has some twenty such elements in each file.

pydicom's own conversion makes objects that keep the text of each number; here only the numbers count.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from radserve_preproc.read_dicom import value_of


def numbers(ds: Dataset, keyword: str) -> tuple[float, ...]:
    """The values of a decimal or integer string (VR DS, IS); empty when missing, or one is no finite number."""
    try:
        element = ds.get_item(_tag(keyword))
        raw = None if element is None else element.value
        values = tuple(float(part) for part in _parts(raw))
    except Exception:  # pydicom raises what it likes, and its text quotes the value
        return ()
    return values if all(map(math.isfinite, values)) else ()


def number(ds: Dataset, keyword: str) -> float | None:
    """The one value of such an element; None when it has another number of values."""
    values = numbers(ds, keyword)
    return values[0] if len(values) == 1 else None


def whole(ds: Dataset, keyword: str) -> int | None:
    """The one value of such an element when it is a whole number; None otherwise."""
    value = number(ds, keyword)
    return int(value) if value is not None and value.is_integer() else None


def sixteen_bits(ds: Dataset, keyword: str, *, is_signed: bool, is_little_endian: bool) -> int | None:
    """The value of an element that is US or SS as Pixel Representation says, not as the VR does, which may be wrong."""
    try:
        element = ds.get_item(_tag(keyword))
    except Exception:
        return None
    raw = None if element is None else element.value
    if isinstance(raw, bytes) and len(raw) == 2:
        return int.from_bytes(raw, "little" if is_little_endian else "big", signed=is_signed)
    value = value_of(ds, keyword)
    return value if isinstance(value, int) else None


def words(ds: Dataset, keyword: str) -> tuple[str, ...]:
    """The values of a code string or UID (VR CS, UI: ASCII alone), stripped, without empty ones."""
    try:
        element = ds.get_item(_tag(keyword))
        found = () if element is None else _parts(element.value)
    except Exception:  # as above
        return ()
    return tuple(word for word in (part.strip(" \0") for part in found) if word)


def items(ds: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; empty when it is missing or cannot be read."""
    if keyword not in ds:
        return []
    return [item for item in value_of(ds, keyword) or () if isinstance(item, Dataset)]


@cache
def _tag(keyword: str) -> int:
    return tag_for_keyword(keyword) or 0


def _parts(raw: object) -> list[str]:
    """The single values of what pydicom holds: bytes as read, or already converted."""
    if isinstance(raw, bytes):
        text = raw.decode("latin-1").strip(" \0")
        return text.split("\\") if text else []
    if raw is None or raw == "":
        return []
    if isinstance(raw, Iterable) and not isinstance(raw, str):
        return [str(value) for value in raw]
    return [str(raw)]
