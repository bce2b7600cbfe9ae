"""Both ways a film is stored hold the same pixels."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless

from bench.films import Upload, stored, uncompressed
from bench.results import Storage
from radserve_devstack.phantoms.dicom import radiograph


@pytest.fixture
def compressed():
    """A small 12-bit film in JPEG 2000."""
    pixels = np.random.default_rng(5).integers(0, 4096, (250, 310)).astype(np.uint16)
    ds = radiograph(pixels, name="bench", pixel_spacing_mm=0.15, body_part_examined="LSPINE", description="a film")
    ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return Upload("normal", Storage.JPEG_2000, file.getvalue())


def test_the_uncompressed_film_has_the_same_pixels_and_header(compressed):
    plain = uncompressed(compressed)
    one, other = (pydicom.dcmread(BytesIO(film.content)) for film in (compressed, plain))
    assert one.file_meta.TransferSyntaxUID == JPEG2000Lossless
    assert other.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert other.SOPInstanceUID == one.SOPInstanceUID
    assert np.array_equal(one.pixel_array, other.pixel_array)
    assert np.array_equal(compressed.decoded().pixels, plain.decoded().pixels)


def test_it_says_how_it_is_stored(compressed):
    plain = uncompressed(compressed)
    assert (plain.kind, plain.storage) == ("normal", Storage.UNCOMPRESSED)
    assert plain.film.transfer_syntax == "Explicit VR Little Endian"
    assert plain.film.size_bytes > 2 * 250 * 310
    assert stored((compressed, plain), Storage.UNCOMPRESSED) == (plain,)
