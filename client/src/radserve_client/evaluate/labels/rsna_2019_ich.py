"""RSNA 2019 intracranial haemorrhage, ``stage_2_train.csv``: six rows per image, ``ID_<image>_<subtype>,Label``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from radserve_client.evaluate.errors import DuplicateLabels, UnreadableLabels, examples
from radserve_client.evaluate.labels import csv_file
from radserve_client.evaluate.labels.table import LabelTable

NAME = "rsna_2019_ich"
KEY = "ID"
VALUE = "Label"
COLUMNS = (KEY, VALUE)
ANY = "any"
SUBTYPES = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")
KINDS = (*SUBTYPES, ANY)
_PATTERN = rf"^(?P<image>.+)_(?P<kind>{'|'.join(KINDS)})$"
_MISSING = -1


def read(path: Path) -> LabelTable:
    """Images with their five subtypes and ``any``; the file does not know patients.

    The original file has a few rows twice, which agree: they are taken once, and counted in ``notes``.

    Raises
    ------
    UnreadableLabels
        A column is missing, an ID is of another form, a label is not 0 or 1, or an image lacks one of its six rows.
    DuplicateLabels
        A row stands there twice and says different things.
    """
    table = csv_file.read(path, COLUMNS)
    parts = pc.extract_regex(table[KEY].combine_chunks(), _PATTERN)
    if parts.null_count:
        odd = table[KEY].filter(pc.is_null(parts))
        raise UnreadableLabels(
            f"column ID: {len(odd)} of {table.num_rows} rows are not ID_<image>_<{'|'.join(KINDS)}>"
            f" ({examples(odd.slice(0, 3).to_pylist(), total=len(odd))})"
        )
    images = parts.field("image").dictionary_encode()
    keys = tuple(images.dictionary.to_pylist())
    kinds = pc.index_in(parts.field("kind"), pa.array(KINDS))
    labels = csv_file.yes_or_no(table, VALUE, KEY)
    values = _pivot(keys, images.indices.to_numpy(), kinds.to_numpy(), labels)
    doubled = table.num_rows - values.size
    wrong = int((values[:, :-1].any(axis=1) != values[:, -1].astype(bool)).sum())
    return LabelTable(
        format=NAME,
        level="image",
        keys=keys,
        patients=None,
        patients_from="",
        binary={kind: values[:, number] for number, kind in enumerate(KINDS)},
        notes=(
            *((f"{doubled} rows stand there twice, with the same label; they were taken once",) if doubled else ()),
            *((f"{wrong} images have an `any` that is not the union of their subtypes",) if wrong else ()),
        ),
    )


def _pivot(
    keys: tuple[str, ...],
    image: npt.NDArray[np.int32],
    kind: npt.NDArray[np.int32],
    labels: npt.NDArray[np.int8],
) -> npt.NDArray[np.int8]:
    """``(images, six)`` int8 from one label per row."""
    values = np.full((len(keys), len(KINDS)), _MISSING, dtype=np.int8)
    values[image, kind] = labels
    contradicted = dict.fromkeys(image[values[image, kind] != labels].tolist())
    if contradicted:
        raise DuplicateLabels(
            f"{len(contradicted)} images have a row twice, with different labels"
            f" ({examples(keys[number] for number in contradicted)})"
        )
    missing = np.argwhere(values == _MISSING)
    if len(missing):
        named = (f"{keys[row]}_{KINDS[column]}" for row, column in missing)
        raise UnreadableLabels(f"{len(missing)} rows are missing: six are wanted of each image ({examples(named)})")
    return values
