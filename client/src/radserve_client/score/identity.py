"""What a run is, and by what an item is known in every run: keys, and identifiers given or hashed."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa

from radserve_client.score.errors import WrongUse
from radserve_client.score.item import Item
from radserve_client.score.way import Ask, Served
from radserve_contract.findings import ModelIdentity

KEY_BYTES = 16
SHORTEST_HASH_KEY_BYTES = 16
LONGEST_HASH_KEY_BYTES = blake2b.MAX_KEY_SIZE
NO_COLUMNS = pa.schema([])
UID = re.compile(r"\b[0-2](?:\.[0-9]+){4,}\b")
"""A UID anywhere in a text (PS3.5 9.1); an IP address has fewer numbers."""
STANDARD_UIDS = "1.2.840.10008."
"""What DICOM names itself: transfer syntaxes, SOP classes. They say nothing about a patient."""


def new_run_id(now: datetime | None = None) -> str:
    """A name for a run that no other has, and that sorts by its start: ``20261121T003505Z-3f9a1c``."""
    return f"{(now or datetime.now(UTC)):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def readable(text: str) -> str:
    """A path of bytes that are no UTF-8 as text that every reader takes: ``caf\\xe9.dcm``."""
    try:
        content = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character that no file name can hold
        content = text.encode("utf-8", "backslashreplace")
    return content.decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Identifiers:
    """Sources and UIDs as they are, or hashed with ``hash_key`` (keyed BLAKE2b, 16 bytes, in hex)."""

    hash_key: bytes | None = field(default=None, repr=False)

    @classmethod
    def from_file(cls, path: Path) -> Identifiers:
        """Hashed with the bytes of a file, as they are; the same file gives the same hashes in every run.

        Raises
        ------
        WrongUse
            The file cannot be read, or has fewer than 16 bytes: hashes of paths could be guessed.
        """
        try:
            key = path.read_bytes()
        except OSError as error:
            raise WrongUse(f"the key file {path} cannot be read: {error.strerror}") from None
        if len(key) < SHORTEST_HASH_KEY_BYTES:
            raise WrongUse(
                f"the key file {path} has {len(key)} bytes, wanted at least {SHORTEST_HASH_KEY_BYTES};"
                f" make one: head -c 32 /dev/urandom > {path}"
            )
        return cls(key if len(key) <= LONGEST_HASH_KEY_BYTES else blake2b(key).digest())

    @property
    def hashed(self) -> bool:
        """Whether identifiers are hashed."""
        return self.hash_key is not None

    @property
    def check(self) -> str:
        """Another for another key, and empty without one: what an output remembers instead of the key."""
        return self._hash(b"radserve: which key") if self.hashed else ""

    def digest(self) -> blake2b:
        """What item keys are made with: keyed too, so that nobody finds a path by trying."""
        return blake2b(digest_size=KEY_BYTES, key=self.hash_key or b"")

    def shown(self, identifier: str) -> str:
        """An identifier as it stands in a row."""
        return self._hash(_bytes(identifier)) if self.hashed else readable(identifier)

    def scrubbed(self, text: str, identifiers: Iterable[str]) -> str:
        """A message, with each of the identifiers in it as ``shown``, and every UID but the standard's own."""
        if not self.hashed:
            return readable(text)
        for identifier in sorted({known for known in identifiers if known}, key=len, reverse=True):
            text = text.replace(identifier, self.shown(identifier))
        return readable(UID.sub(lambda found: self._uid(found[0]), text))

    def _uid(self, uid: str) -> str:
        return uid if uid.startswith(STANDARD_UIDS) else self.shown(uid)

    def _hash(self, content: bytes) -> str:
        return blake2b(content, digest_size=KEY_BYTES, key=self.hash_key or b"").hexdigest()


@dataclass(frozen=True)
class RunIdentity:
    """What is asked of which networks: with an item's source and fingerprint, everything that its row depends on.

    ``models`` are all networks and fusions that may take part in an answer. ``columns`` are the manifest's by their
    own names, ``options`` what else changes answers (``detect``, ``series``): the same in all runs of an output.
    """

    run_id: str
    pipeline: str
    profile: str
    via: str
    models: tuple[ModelIdentity, ...]
    ids: Identifiers = field(default_factory=Identifiers)
    columns: pa.Schema = NO_COLUMNS
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        served: Served,
        ask: Ask,
        *,
        via: str,
        ids: Identifiers | None = None,
        columns: pa.Schema = NO_COLUMNS,
        run_id: str | None = None,
    ) -> RunIdentity:
        """A new run over what is served now."""
        options = {name: value for name, value in (("detect", ask.detect), ("series", ask.series)) if value is not None}
        models = tuple(served.models)
        ids, run_id = ids or Identifiers(), run_id or new_run_id()
        return cls(run_id, served.pipeline, served.profile, via, models, ids, columns, options)

    def with_models(self, models: Iterable[ModelIdentity]) -> RunIdentity:
        """The same run, with other networks from here on (``--on-model-change record``)."""
        return replace(self, models=tuple(models))

    def subject_of(self, item: Item) -> bytes:
        """16 bytes: the same for the same source, pipeline, profile and models, whatever the content is now."""
        digest = self._prefix.copy()
        _add(digest, _bytes(item.source))
        return digest.digest()

    def key_of(self, item: Item) -> bytes:
        """16 bytes: the same as long as the content is, too. In a row it stands in hex."""
        digest = self._prefix.copy()
        _add(digest, _bytes(item.source))
        _add(digest, _bytes(item.fingerprint))
        return digest.digest()

    def other_models(self, document: Mapping[str, Any]) -> str | None:
        """How the networks of an answer differ from those of the run, in words; None when they are the same.

        An answer may name fewer: of ``spine``, the detector is not asked about a normal film.
        """
        known = {model.name: (model.version, model.digest) for model in self.models}
        for model in document.get("models", ()):
            name, found = str(model.get("name")), (str(model.get("version")), str(model.get("digest")))
            if name not in known:
                return f"{name} answers, which this run did not start with"
            if known[name] != found:
                return f"{name}: {_short(found)} answers, the run started with {_short(known[name])}"
        return None

    @cached_property
    def _prefix(self) -> blake2b:
        digest = self.ids.digest()
        for part in (self.pipeline, self.profile, *sorted(map(_model_text, self.models))):
            _add(digest, part.encode())
        _add(digest, b"")  # ends the list of models, however many there are
        return digest


def _model_text(model: ModelIdentity) -> str:
    return f"{model.name}:{model.version}:{model.digest}"


def _short(found: tuple[str, str]) -> str:
    return f"version {found[0]} ({found[1][:12]})"


def _add(digest: blake2b, part: bytes) -> None:
    """With its length, so that no two lists of parts are the same bytes."""
    digest.update(len(part).to_bytes(8, "big") + part)


def _bytes(text: str) -> bytes:
    """Any ``str``; paths of bytes that are no UTF-8 among them."""
    return text.encode("utf-8", "surrogatepass")
