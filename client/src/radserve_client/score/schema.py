"""The columns of ``OUT/results/*.parquet``: names, Arrow types, units and meaning. docs/results.md shows this table."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

SCHEMA_VERSION = "1"
VERSION_KEY = b"radserve.schema_version"
"""Where a part says its version: in the metadata of its schema."""
MANIFEST = "manifest."
"""Stands before the name of each column of the manifest."""

STRING = pa.string()
BOOL = pa.bool_()
INT32 = pa.int32()
DOUBLE = pa.float64()
STRINGS = pa.list_(STRING)
DOUBLES = pa.list_(DOUBLE)

JUDGED = {"probability": DOUBLE, "threshold": DOUBLE, "comparison": STRING}


def _struct(**fields: pa.DataType) -> pa.StructType:
    return pa.struct(list(fields.items()))


DECISION = _struct(label=STRING, positive=BOOL, **JUDGED)
SCORES = pa.list_(_struct(name=STRING, probability=DOUBLE, model=STRING))
LABELS = pa.list_(_struct(name=STRING, status=STRING, positive=BOOL, **JUDGED, slice=INT32))
GRADES = pa.list_(_struct(severity=STRING, probability=DOUBLE))
ORGANS = pa.list_(_struct(name=STRING, status=STRING, severity=STRING, confidence=DOUBLE, probabilities=GRADES))
SLICES = _struct(sop_instance_uids=STRINGS, probabilities=pa.list_(_struct(label=STRING, values=DOUBLES)))
SEGMENTATION = _struct(
    label=STRING,
    threshold=DOUBLE,
    comparison=STRING,
    fraction=DOUBLE,
    area_mm2=DOUBLE,
    volume_ml=DOUBLE,
    most_probable=DOUBLE,
    fraction_per_slice=DOUBLES,
)
BOXES = pa.list_(_struct(label=STRING, confidence=DOUBLE, x_min=DOUBLE, y_min=DOUBLE, x_max=DOUBLE, y_max=DOUBLE))
DETECTIONS = _struct(ran=BOOL, reason=STRING, confidence_threshold=DOUBLE, boxes=BOXES)
IMAGE = _struct(
    kind=STRING,
    rows=INT32,
    columns=INT32,
    modality=STRING,
    body_part_examined=STRING,
    slices=INT32,
    pixel_spacing_mm=DOUBLES,
    transfer_syntax_uid=STRING,
)
MODELS = pa.list_(_struct(name=STRING, version=STRING, digest=STRING, trained=BOOL, architecture=STRING))
WARNINGS = pa.list_(_struct(code=STRING, message=STRING))
TIMINGS = pa.list_(_struct(step=STRING, seconds=DOUBLE))


@dataclass(frozen=True, slots=True)
class Column:
    """A column: ``unit`` is empty where there is none, ``null`` says when it is null; empty: never."""

    name: str
    type: pa.DataType
    unit: str
    null: str
    meaning: str


FAILED = "failed"
OK = "ok"
NO_UID = "failed, or the file has none"
COLUMNS = (
    Column("item_key", STRING, "", "", "what resume compares: hex BLAKE2b (16 bytes), unique in the dataset"),
    Column("source", STRING, "", "", "path or URL as found; with `--hash-ids` its keyed hash"),
    Column("study_instance_uid", STRING, "", NO_UID, "(0020,000D); with `--hash-ids` its keyed hash"),
    Column("series_instance_uid", STRING, "", NO_UID, "(0020,000E); with `--hash-ids` its keyed hash"),
    Column("sop_instance_uid", STRING, "", NO_UID, "(0008,0018) of a film; with `--hash-ids` its keyed hash"),
    Column("fingerprint", STRING, "", "", "another when the content is; with `--hash-ids` its keyed hash"),
    Column("content_sha256", STRING, "", "could not be read", "hex SHA-256 of the bytes of all parts in their order"),
    Column("size_bytes", pa.int64(), "bytes", "", "of all parts; 0 when they could not be read"),
    Column("pipeline", STRING, "", "", "as in `radserve pipelines`"),
    Column("profile", STRING, "", "", "the pipeline's profile"),
    Column("via", STRING, "", "", "`service` or `triton`"),
    Column("run_id", STRING, "", "", "the run that wrote the row; see `run.json`"),
    Column("scored_at", pa.timestamp("us", tz="UTC"), "UTC", "", "when the result was there"),
    Column("status", STRING, "", "", "`ok` or `failed`"),
    Column("error_code", STRING, "", OK, "stable code (errors.md)"),
    Column("error_message", STRING, "", OK, "what was wrong, where, and what to do"),
    Column("error_http_status", INT32, "", "ok, or no HTTP answer", "status of the refusal"),
    Column("transient", BOOL, "", "", "failed for a reason that may be gone: the next run tries it again"),
    Column("trained", BOOL, "", FAILED, "false: a network carries untrained weights and nothing here means anything"),
    Column("notices", STRINGS, "", FAILED, "what every reader must see first"),
    Column("decision", DECISION, "probability 0..1", "failed, or the pipeline has none", "the headline"),
    Column("scores", SCORES, "probability 0..1", FAILED, "what each member network said"),
    Column("labels", LABELS, "probability 0..1; slice from 0", FAILED, "what is judged one by one"),
    Column("organs", ORGANS, "probability 0..1", FAILED, "grades; every grade's probability, healthy first"),
    Column("risk", STRING, "", "failed, or the pipeline has none", "overall word on the grades"),
    Column("slices", SLICES, "probability 0..1", "failed, or the pipeline has none", "by slice, in the volume's order"),
    Column(
        "segmentation",
        SEGMENTATION,
        "fractions and probabilities 0..1; mm2; ml",
        "failed, or the pipeline has none",
        "what is marked: pixels whose probability `comparison` `threshold`",
    ),
    Column(
        "detections",
        DETECTIONS,
        "confidence 0..1; pixels of the original image, (0, 0) the outer corner of the first, x right, y down",
        "failed, or the pipeline has none",
        "boxes of the detector, and why it ran or not",
    ),
    Column("image", IMAGE, "pixels; spacing in mm (row, column)", FAILED, "what was read"),
    Column("models", MODELS, "", FAILED, "networks that took part; digest: hex SHA-256 of the graph"),
    Column("warnings", WARNINGS, "", FAILED, "stable code and text"),
    Column("changes", STRINGS, "", FAILED, "what was done to the pixels before the networks saw them"),
    Column("timings_s", TIMINGS, "seconds", FAILED, "the server's steps in their order"),
    Column("overlay_file", STRING, "", "failed, or not asked for", "the picture (PNG), relative to OUT"),
    Column("mask_file", STRING, "", "failed, not asked for, or no segmentation", "NIfTI, gzipped; relative to OUT"),
)


def results_schema(columns: pa.Schema | None = None) -> pa.Schema:
    """The schema of a part. ``columns`` are the manifest's, by their own names and types; each gets ``manifest.``."""
    fields = [pa.field(column.name, column.type) for column in COLUMNS]
    carried = [pa.field(MANIFEST + column.name, column.type) for column in columns or ()]
    return pa.schema(fields + carried, metadata={VERSION_KEY: SCHEMA_VERSION.encode()})


def as_markdown() -> str:
    """The table of docs/results.md, one row per column."""
    rows = [f"| `{c.name}` | `{type_name(c.type)}` | {c.unit} | {c.null} | {c.meaning} |" for c in COLUMNS]
    head = ["| column | type | unit | null when | meaning |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*head, *rows, ""])


def type_name(data_type: pa.DataType) -> str:
    """An Arrow type in the words of docs/results.md: ``list<struct<name: string, probability: double>>``."""
    if pa.types.is_list(data_type):
        return f"list<{type_name(data_type.value_type)}>"
    if pa.types.is_struct(data_type):
        return f"struct<{', '.join(f'{field.name}: {type_name(field.type)}' for field in data_type)}>"
    return str(data_type)
