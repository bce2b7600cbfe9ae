"""An Accept header and what can be given in, what is given out (RFC 9110 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from radserve_preproc.errors import NotAcceptable


@dataclass(frozen=True, slots=True)
class _Range:
    """One media range of an Accept header. ``parameters``: those before ``q``, which narrow the range."""

    kind: str
    subtype: str
    parameters: tuple[str, ...]
    quality: float

    def fits(self, media_type: str) -> bool:
        """Whether a media type without parameters is within the range."""
        kind, _, subtype = media_type.partition("/")
        return not self.parameters and self.kind in (kind, "*") and self.subtype in (subtype, "*")

    @property
    def specificity(self) -> int:
        """The most specific range that fits decides: type/subtype, then type/*, then */*."""
        return (self.kind != "*") + (self.subtype != "*")


def negotiate(accept: str | None, offered: Sequence[str]) -> str:
    """The media type of ``offered`` that the client likes best; of equals the first. No header means anything goes.

    Raises
    ------
    NotAcceptable
        None of them.
    """
    ranges = [_parse(text) for text in accept.split(",") if text.strip()] if accept and accept.strip() else []
    if not ranges:
        return offered[0]
    best = max(offered, key=lambda media_type: _quality(media_type, ranges))  # max keeps the first of equals
    if _quality(best, ranges) == 0:
        raise NotAcceptable(f"Accept allows none of {', '.join(offered)}", offered=list(offered))
    return best


def _quality(media_type: str, ranges: Sequence[_Range]) -> float:
    fitting = [item for item in ranges if item.fits(media_type)]
    return max(fitting, key=lambda item: item.specificity).quality if fitting else 0.0


def _parse(text: str) -> _Range:
    """One range; one that cannot be read fits nothing."""
    media_range, *parameters = (part.strip().lower() for part in text.split(";"))
    kind, _, subtype = media_range.partition("/")
    before_q, quality = [], 1.0
    for parameter in parameters:
        name, _, value = (part.strip() for part in parameter.partition("="))
        if name == "q":
            quality = _q(value)
            break
        if not (name == "charset" and value.strip('"') == "utf-8"):  # says nothing: JSON has no other (RFC 8259 8.1)
            before_q.append(parameter)
    return _Range(kind, subtype, tuple(before_q), quality)


def _q(text: str) -> float:
    """A weight as RFC 9110 12.4.2 spells it; anything else weighs nothing."""
    return float(text) if re.fullmatch(r"0(\.\d{0,3})?|1(\.0{0,3})?", text) else 0.0
