"""What is to be scored, as values that travel to worker processes and to other machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file that every worker can open under this absolute path."""

    path: str


@dataclass(frozen=True, slots=True)
class DicomwebPart:
    """A DICOMweb URL (PS3.18 10.4): of a series (``.../series/UID``), or of one instance (``.../instances/UID``)."""

    url: str


@dataclass(frozen=True, slots=True)
class UrlPart:
    """A plain file under an http(s) URL. The URL may be signed: it is never written anywhere; ``Item.source`` is."""

    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class UnreadablePart:
    """What the listing already knows to be unreadable, as ``read.UnreadableItem`` will say it."""

    code: str
    message: str
    transient: bool = False


Part = FilePart | DicomwebPart | UrlPart | UnreadablePart


@dataclass(frozen=True, slots=True)
class Item:
    """One film, series or archive, as a pipeline takes it: it becomes one row.

    ``source`` is the path or URL, the same in every run over the same archive, and always valid Unicode; a part's path
    need not be (surrogate escapes), so it belongs into no file. ``fingerprint`` is another when the
    content is: size and modification time of the file (of every file of a series), or the SOP Instance UIDs of a
    server. ``size_bytes`` is what its parts will take in memory, as far as it is known without reading them.
    ``columns`` are the manifest's, carried through to the row.
    """

    source: str
    fingerprint: str
    parts: tuple[Part, ...]
    size_bytes: int
    columns: Mapping[str, Scalar] = field(default_factory=dict)
