"""A result in, the row of the dataset out: whatever came back, the item gets one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from radserve_client.score.errors import WrongUse
from radserve_client.score.identity import RunIdentity
from radserve_client.score.item import Item, Scalar
from radserve_client.score.outcome import Failed, Result, Scored
from radserve_client.score.schema import COLUMNS, MANIFEST, results_schema
from radserve_contract.findings import Findings, ImageDescription, OrganFinding, SliceScores

BAD_ANSWER = "BAD_ANSWER"
FINDINGS = TypeAdapter(Findings)
STRINGS = TypeAdapter(list[str])
REQUIRED = (*(field.name for field in fields(Findings)), "notices", "trained")
SHORTEST_NAME = 6
"""Shorter file names (``1.dcm``) name nobody, and stand in other words of a message."""
SCHEMA = results_schema()
EMPTY: dict[str, Any] = {column.name: None for column in COLUMNS}


class NoAnswer(ValueError):
    """A document is not the answer to what was asked; the message says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """``values`` by column, as Python values that JSON has, but for ``scored_at`` (datetime, UTC).

    ``key`` and ``subject`` are those of the item; see RunIdentity.
    """

    key: bytes
    subject: bytes
    values: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether there are scores."""
        return self.values["error_code"] is None


def row_of(result: Result, run: RunIdentity, *, now: datetime | None = None) -> Row:
    """The row of an item. An answer that is not one becomes a failed row, BAD_ANSWER; fields not known are left out.

    Raises
    ------
    WrongUse
        A value of the manifest is not of its column's type.
    """
    item, outcome = result.item, result.outcome
    values = EMPTY | _common(item, run, now or datetime.now(UTC)) | _carried(item, run)
    if isinstance(outcome, Scored):
        try:
            return _row(item, run, values | _scored(outcome, item, run))
        except NoAnswer as error:
            outcome = _bad(outcome, error)
    return _row(item, run, values | _failed(outcome, item, run))


def _row(item: Item, run: RunIdentity, values: dict[str, Any]) -> Row:
    return Row(run.key_of(item), run.subject_of(item), values)


def _common(item: Item, run: RunIdentity, now: datetime) -> dict[str, Any]:
    return {
        "item_key": run.key_of(item).hex(),
        "source": run.ids.shown(item.source),
        "fingerprint": run.ids.shown(item.fingerprint),
        "pipeline": run.pipeline,
        "profile": run.profile,
        "via": run.via,
        "run_id": run.run_id,
        "scored_at": now.astimezone(UTC),
    }


def _failed(failed: Failed, item: Item, run: RunIdentity) -> dict[str, Any]:
    return {
        "status": "failed",
        "content_sha256": failed.content_sha256,
        "size_bytes": failed.size_bytes,
        "error_code": failed.code,
        "error_message": run.ids.scrubbed(failed.message, _identifiers(item)),
        "error_http_status": failed.http_status,
        "transient": failed.transient,
    }


def _bad(scored: Scored, why: NoAnswer) -> Failed:
    message = f"the answer cannot be read: {why}; is that radserve, of a version this client knows?"
    return Failed(BAD_ANSWER, message, False, content_sha256=scored.content_sha256, size_bytes=scored.size_bytes)


def _scored(scored: Scored, item: Item, run: RunIdentity) -> dict[str, Any]:
    findings = _findings(scored.document, run)
    values = {
        "status": "ok",
        "content_sha256": scored.content_sha256,
        "size_bytes": scored.size_bytes,
        "transient": False,
        **_told(findings, scored.document),
        **_uids(findings.image, run),
        "slices": _slices(findings.slices, run) if findings.slices else None,
        "warnings": [
            {"code": warning.code, "message": run.ids.scrubbed(warning.message, _identifiers(item))}
            for warning in findings.warnings
        ],
        "changes": [run.ids.scrubbed(change, _identifiers(item)) for change in findings.changes],
    }
    _check(values)
    return values


def _findings(document: Mapping[str, Any], run: RunIdentity) -> Findings:
    """The document as the contract's value. Raises NoAnswer: NaN, a field missing or of another type, other work."""
    if missing := [name for name in REQUIRED if name not in document]:
        raise NoAnswer(f"no {missing[0]}")
    try:
        findings = FINDINGS.validate_json(json.dumps(dict(document), allow_nan=False), strict=True)
        STRINGS.validate_python(document["notices"], strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise NoAnswer(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (TypeError, ValueError) as error:
        raise NoAnswer(str(error)) from None
    if not isinstance(document["trained"], bool):
        raise NoAnswer("trained: neither true nor false")
    if (findings.pipeline, findings.profile) != (run.pipeline, run.profile):
        raise NoAnswer(f"it is of {findings.pipeline} {findings.profile}, wanted {run.pipeline} {run.profile}")
    return findings


def _told(findings: Findings, document: Mapping[str, Any]) -> dict[str, Any]:
    """What the dataset takes over as it is."""
    said = asdict(findings)
    return {
        "trained": document["trained"],
        "notices": list(document["notices"]),
        **{name: said[name] for name in ("decision", "scores", "labels", "risk", "segmentation", "models")},
        "organs": [_organ(organ) for organ in findings.organs],
        "detections": said["detections"],
        "image": {field.name: said["image"][field.name] for field in SCHEMA.field("image").type},
        "timings_s": [{"step": step, "seconds": seconds} for step, seconds in findings.timings_s.items()],
    }


def _organ(organ: OrganFinding) -> dict[str, Any]:
    grades = [{"severity": grade, "probability": value} for grade, value in organ.probabilities.items()]
    return asdict(organ) | {"probabilities": grades}


def _uids(image: ImageDescription, run: RunIdentity) -> dict[str, Any]:
    names = ("study_instance_uid", "series_instance_uid", "sop_instance_uid")
    uids = {name: getattr(image, name) for name in names}
    return {name: None if uid is None else run.ids.shown(uid) for name, uid in uids.items()}


def _slices(slices: SliceScores, run: RunIdentity) -> dict[str, Any]:
    return {
        "sop_instance_uids": [run.ids.shown(uid) if uid else "" for uid in slices.sop_instance_uids],
        "probabilities": [{"label": label, "values": list(values)} for label, values in slices.probabilities.items()],
    }


def _check(values: Mapping[str, Any]) -> None:
    """Raises NoAnswer where Arrow would refuse a value, now and not with thousands of others."""
    schema = pa.schema([SCHEMA.field(name) for name in values])
    try:
        pa.RecordBatch.from_pylist([dict(values)], schema=schema)
    except (pa.ArrowException, OverflowError, UnicodeError) as error:
        raise NoAnswer(f"a value does not fit: {error}") from None


def _carried(item: Item, run: RunIdentity) -> dict[str, Any]:
    """The manifest's columns of an item. With hashed identifiers, a path or UID in them is hashed as well."""
    return {MANIFEST + field.name: _carry(field, item, run) for field in run.columns}


def _carry(field: pa.Field, item: Item, run: RunIdentity) -> Scalar:
    value = item.columns.get(field.name)
    if isinstance(value, str):
        # the same hash as in ``source``, so that the columns still tell which row of the manifest it was
        value = run.ids.shown(item.source) if run.ids.hashed and _is_path(value, item) else run.ids.scrubbed(value, ())
    try:
        pa.scalar(value, type=field.type)
    except (pa.ArrowException, OverflowError) as error:
        shown = run.ids.shown(item.source)
        raise WrongUse(f"manifest column {field.name}, {shown}: a value is no {field.type}: {error}") from None
    return value


def _is_path(value: str, item: Item) -> bool:
    """Whether a manifest's text is the item's path or URL, or the end of it, relative to the manifest."""
    return bool(value) and any(f"/{place}".endswith(f"/{value}") for place in (item.source, *_places(item)))


def _identifiers(item: Item) -> Iterator[str]:
    for place in (item.source, *_places(item)):
        yield place
        if len(name := PurePosixPath(place).name) >= SHORTEST_NAME:
            yield name


def _places(item: Item) -> Iterator[str]:
    """Where the parts are: paths and URLs; a part that was unreadable from the first has none."""
    return (str(getattr(part, "path", None) or getattr(part, "url", "")) for part in item.parts)
