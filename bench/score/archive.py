"""A few films in, an archive of as many files as wanted out: hard links, which are items of their own."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import pydicom

from bench.films import Upload

IN_A_FOLDER = 1000
LINKS = 10_000
"""Of one file. File systems have a limit (ext4: 65,000)."""
COARSE = 10
"""Every tenth pixel of every tenth row."""


def archive(folder: Path, film: bytes, items: int) -> Path:
    """Write ``items`` files that hold ``film``, a thousand to a folder; answers ``folder``."""
    original = folder
    for number in range(items):
        path = folder / f"{number // IN_A_FOLDER:04}" / f"{number:06}.dcm"
        if number % IN_A_FOLDER == 0:
            path.parent.mkdir(parents=True)
        if number % LINKS == 0:
            original = path
            original.write_bytes(film)
        else:
            os.link(original, path)
    return folder


def small(film: Upload) -> bytes:
    """An uncompressed film with a hundredth of its pixels: decoding it costs next to nothing."""
    ds = pydicom.dcmread(BytesIO(film.content))
    pixels = ds.pixel_array[::COARSE, ::COARSE]
    ds.Rows, ds.Columns = pixels.shape
    ds.PixelData = pixels.tobytes()
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()
