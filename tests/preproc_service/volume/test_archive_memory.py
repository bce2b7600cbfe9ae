"""Files of an archive that stay in it, stored or deflated, decode to what the same files decode to by themselves."""

from __future__ import annotations

import io
import zipfile
import zlib

import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, JPEG2000Lossless

from radserve_contract.pipelines import abdominal_trauma
from radserve_devstack.phantoms.ct import ct_phantom
from radserve_preproc.decode import decode
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.packed_file import PackedFile, beginning, whole
from radserve_preproc.read_dicom import read_dicom_header
from radserve_preproc.study import RawStudy
from radserve_preproc.volume import archive
from radserve_preproc.volume.archive import ArchiveLimits, unpacked

SPEC = abdominal_trauma.SPEC
LIMITS = DecodeLimits()
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def zipped(files: list[bytes], method: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as entries:
        for number, content in enumerate(files):
            entries.writestr(str(number), content)
    return packed.getvalue()


def packed_file(content: bytes) -> PackedFile:
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return PackedFile(memoryview(deflate.compress(content) + deflate.flush()), len(content))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEG2000Lossless])
@pytest.mark.parametrize("method", METHODS)
def test_a_study_that_stays_in_its_archive_decodes_to_the_same(method, syntax, monkeypatch):
    monkeypatch.setattr(archive, "_KEPT", 0)
    files = ct_phantom("abdomen", slices=16, size=32).dicom_files(transfer_syntax_uid=syntax)
    first, *further = files
    alone = decode(RawStudy(first, tuple(further)), SPEC, SPEC.profile(), LIMITS)
    from_archive = decode(RawStudy(zipped(files, method)), SPEC, SPEC.profile(), LIMITS)
    assert alone.pixels.std() > 0
    assert np.array_equal(from_archive.pixels, alone.pixels)
    assert from_archive.description.geometry == alone.description.geometry
    assert from_archive.sop_instance_uids == alone.sop_instance_uids


def test_a_stored_file_is_a_view_of_the_archive():
    content = zipped([b"data" * 100], zipfile.ZIP_STORED)
    (file,) = unpacked(content, ArchiveLimits()).files
    assert isinstance(file, memoryview)
    assert file.obj is content


def test_deflated_files_stay_packed_once_enough_is_kept(monkeypatch):
    monkeypatch.setattr(archive, "_KEPT", 400)
    monkeypatch.setattr(archive, "_LARGEST_LEFT", 500)
    files = [b"a" * 400, b"b" * 400, b"c" * 600]
    found = unpacked(zipped(files, zipfile.ZIP_DEFLATED), ArchiveLimits()).files
    assert [type(file) for file in found] == [bytes, PackedFile, bytes], "one large file is inflated once"
    assert [whole(file) for file in found] == files
    assert [len(file) for file in found] == [400, 400, 600]


def test_only_the_beginning_is_inflated_when_no_more_is_asked_for():
    file = packed_file(b"0123456789" * 1000)
    assert beginning(file, 12) == b"012345678901"
    assert beginning(packed_file(b"short"), 12) == b"short"
    assert beginning(memoryview(b"0123456789"), 4) == b"0123"


@pytest.mark.parametrize("hold", [memoryview, packed_file])
def test_a_header_is_read_from_the_beginning_and_its_pixels_stay_where_they_are(hold):
    (content, *_) = ct_phantom("head", slices=1, size=32).dicom_files()
    held = hold(content)
    _, place = read_dicom_header(held, max_inflated_bytes=2**20)
    assert place.content is held
    _, by_itself = read_dicom_header(content, max_inflated_bytes=2**20)
    assert (place.start, place.length) == (by_itself.start, by_itself.length)


@pytest.mark.parametrize("hold", [memoryview, packed_file])
@pytest.mark.parametrize("case", ["long header", "deflated data set"])
def test_a_header_that_the_beginning_does_not_hold_is_read_all_the_same(hold, case):
    (content, *_) = ct_phantom("head", slices=1, size=32).dicom_files()
    ds = pydicom.dcmread(io.BytesIO(content))
    if case == "long header":
        ds.add_new(0x00091000 + 1, "OB", bytes(100_000))
        ds.add_new(0x00090010, "LO", "TEST")
    else:
        ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    written = io.BytesIO()
    ds.save_as(written, enforce_file_format=True)
    file, place = read_dicom_header(hold(written.getvalue()), max_inflated_bytes=2**20)
    assert file.ds.Rows == 32
    pixels = memoryview(whole(place.content))[place.start : place.start + place.length]
    assert pixels == ds.PixelData
