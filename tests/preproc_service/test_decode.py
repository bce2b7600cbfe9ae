"""What the bytes are decides who decodes them; what nobody decodes is named."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radserve_contract.pipelines.spine import SPEC
from radserve_contract.spec import Accepts
from radserve_preproc.errors import CorruptDicom, UnsupportedFile
from radserve_preproc.sniff import FileKind, look_like, sniff
from tests.dicom_files import make_radiograph, texture
from tests.preproc_service.decoding import codes, decoded, refused


def picture(file_format: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(texture(80, 64, bits=8).astype(np.uint8)).save(stream, file_format)
    return stream.getvalue()


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "TIFF", "BMP"])
def test_a_picture_is_known_by_its_content(file_format: str) -> None:
    assert sniff(picture(file_format)) is FileKind[file_format]
    assert decoded(picture(file_format)).description.kind == file_format


def test_dicom_is_known_by_its_prefix_even_behind_a_tiff_header() -> None:
    film = make_radiograph()
    assert sniff(film) is FileKind.DICOM
    assert sniff(b"II*\x00" + film[4:]) is FileKind.DICOM


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"])
def test_a_data_set_without_preamble_and_file_meta_is_read_and_said_to_be_guessed(syntax: str) -> None:
    film = make_radiograph(transfer_syntax=syntax)
    meta_length = 132 + 12 + int.from_bytes(film[140:144], "little")
    headless = film[meta_length:]
    assert sniff(headless) is FileKind.DICOM_WITHOUT_PREAMBLE
    image = decoded(headless)
    assert codes(image) == ["TRANSFER_SYNTAX_GUESSED"]
    assert image.description.transfer_syntax_uid == syntax
    assert np.array_equal(image.pixels, decoded(film).pixels)


def test_file_meta_without_preamble_is_read() -> None:
    image = decoded(make_radiograph()[132:])
    assert image.warnings == ()


def test_a_stray_byte_before_the_data_set_is_no_dicom(sample_data: Path) -> None:
    """pydicom's force=True "parses" this file, to one meaningless element."""
    error = refused((sample_data / "nasty" / "no_file_meta.dcm").read_bytes(), UnsupportedFile)
    assert "data of no known kind" in error.message


FOREIGN = {
    b"%PDF-1.7 ...": "a PDF document",
    b"PK\x03\x04" + bytes(60): "a zip archive (or an Office document)",
    b"\x1f\x8b\x08" + bytes(60): "a gzip file",
    b"GIF89a" + bytes(60): "a GIF picture",
    b"RIFF\x00\x00\x00\x00WEBPVP8 ": "a WebP picture",
    b"\x00\x00\x00\x1cftypheic": "an HEIC picture",
    b"\x00\x00\x00\x1cftypisom": "a video",
    b"\xff\x4f\xff\x51" + bytes(60): "a JPEG 2000 codestream outside DICOM",
    bytes(344) + b"n+1\x00": "a NIfTI file",
    b"\n <!DOCTYPE html><html>": "an HTML page",
    b"<?xml version='1.0'?>": "an XML document",
    b'{"error": "no film"}': "JSON",
    b"Sehr geehrte Damen, " * 40: "plain text",
    "é".encode() * 400: "plain text",
    b"BMW": "plain text",
    b"\x00\x01\x02\x03" * 40: "data of no known kind",
    b"\x80\x81\x82" * 300: "data of no known kind",
    b"": "data of no known kind",
}


@pytest.mark.parametrize(("content", "name"), FOREIGN.items(), ids=FOREIGN.values())
def test_what_is_not_read_is_named(content: bytes, name: str) -> None:
    assert look_like(content) == name
    error = refused(content, UnsupportedFile)
    assert error.details == {"looks": name}
    assert error.message.startswith(f"the file is {name}; spine reads DICOM radiograph or PNG")


def test_a_pipeline_reads_only_what_it_accepts() -> None:
    dicom_only = replace(SPEC, accepts=(Accepts.DICOM_RADIOGRAPH,))
    assert refused(picture("PNG"), UnsupportedFile, spec=dicom_only).details == {"looks": "PNG"}
    pictures_only = replace(SPEC, accepts=(Accepts.RASTER,))
    assert refused(make_radiograph(), UnsupportedFile, spec=pictures_only).details == {"looks": "DICOM"}


def test_a_preamble_before_garbage_is_corrupt_dicom() -> None:
    refused(bytes(128) + b"DICM" + b"\xff" * 200, CorruptDicom)
