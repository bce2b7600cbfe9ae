"""Zips: every file in them comes out, in memory; what could hurt is refused, and no message has a name in it."""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import tarfile
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from radserve_preproc.errors import BadArchive, TooLarge
from radserve_preproc.volume.archive import ArchiveLimits, Unpacked, unpacked

LIMITS = ArchiveLimits()
NAME = "DOE^JANE"
MEBIBYTE = 2**20


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # duplicate names are meant
        for name, data in entries:
            archive.writestr(name, data)
    return file.getvalue()


def refusal(content: bytes, limits: ArchiveLimits = LIMITS) -> BadArchive:
    with pytest.raises(BadArchive) as caught:
        unpacked(content, limits)
    return caught.value


def test_files_come_out_in_order_without_folders_and_junk() -> None:
    content = zipped(
        ("study/", b""),
        ("study/2.dcm", b"two"),
        ("study/series/1.dcm", b"one"),
        ("study/.DS_Store", b"x"),
        ("__MACOSX/study/._2.dcm", b"x"),
        ("study/Thumbs.db", b"x"),
        (".git/config", b"x"),
        ("study/empty", b""),
    )
    assert unpacked(content, LIMITS) == Unpacked((b"two", b"one", b""), skipped=5)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("size", [0, 1, 256 * 1024 - 1, 256 * 1024, 3 * MEBIBYTE + 7])
def test_bytes_are_the_same_whatever_their_number(method: int, size: int) -> None:
    noise, blank = os.urandom(size), bytes(size)
    assert unpacked(zipped(("a", noise), ("b", blank), method=method), LIMITS).files == (noise, blank)


def test_zip64_and_data_descriptors_are_read() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a", "w", force_zip64=True) as entry:
        entry.write(b"data" * 100)
    assert unpacked(file.getvalue(), LIMITS).files == (b"data" * 100,)

    class Pipe(io.RawIOBase):
        """Cannot seek: sizes follow the data."""

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            written.extend(data)
            return len(data)

    written = bytearray()
    with zipfile.ZipFile(Pipe(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"data" * 100)
        archive.writestr("b", b"more")
    assert unpacked(bytes(written), LIMITS).files == (b"data" * 100, b"more")


def test_a_program_in_front_of_the_archive_does_no_harm() -> None:
    assert unpacked(b"#!/bin/sh\n" + zipped(("a", b"data")), LIMITS).files == (b"data",)


def test_a_gzipped_volume_and_dicom_with_an_archive_as_preamble_are_no_nested_archives() -> None:
    dicom = b"PK\x03\x04".ljust(128, b"\x00") + b"DICM"
    volume = gzip.compress(bytes(1000))
    assert unpacked(zipped(("a", dicom), ("b", volume)), LIMITS).files == (dicom, volume)


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return file.getvalue()


NESTED: dict[str, Callable[[], bytes]] = {
    "zip": lambda: zipped(("a", b"data")),
    "empty zip": lambda: zipped(),
    "tar": tar,
    "tar.gz": lambda: gzip.compress(tar()),
    "zip.gz": lambda: gzip.compress(zipped(("a", b"data"))),
    "7z": lambda: b"7z\xbc\xaf\x27\x1c" + bytes(100),
    "rar": lambda: b"Rar!\x1a\x07\x00" + bytes(100),
    "tar.bz2": lambda: b"BZh91AY&SY" + bytes(100),
    "tar.xz": lambda: b"\xfd7zXZ\x00" + bytes(100),
}


@pytest.mark.parametrize("kind", NESTED)
def test_an_archive_in_the_archive_is_refused(kind: str) -> None:
    error = refusal(zipped(("1.dcm", b"first"), (f"{NAME}.{kind}", NESTED[kind]())))
    assert (error.code, error.http_status) == ("BAD_ARCHIVE", 422)
    assert "entry 2" in error.message
    assert "archive itself" in error.message


def linked(mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(NAME)
    info.create_system, info.external_attr = 3, mode << 16
    return info


BAD_NAMES = {
    f"../{NAME}": "leads out",
    f"a/../../{NAME}": "leads out",
    f"..\\{NAME}": "leads out",
    f"/etc/{NAME}": "absolute",
    f"\\\\server\\{NAME}": "absolute",
    f"C:\\{NAME}": "absolute",
    f"c:{NAME}": "absolute",
}


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_lead_elsewhere_are_refused_and_not_repeated(name: str) -> None:
    error = refusal(zipped((name, b"data")))
    assert BAD_NAMES[name] in error.message
    assert NAME not in error.message


def test_a_junk_entry_is_refused_for_its_name_too() -> None:
    assert "leads out" in refusal(zipped(("a", b"data"), ("../.DS_Store", b"x"))).message


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644, stat.S_IFCHR | 0o644])
def test_links_and_devices_are_refused(mode: int) -> None:
    error = refusal(zipped((linked(mode), b"/etc/passwd")))
    assert "a link or a device" in error.message
    assert NAME not in error.message


@pytest.mark.parametrize("again", [NAME, f"./{NAME}", f".\\{NAME}"])
def test_repeated_names_are_refused(again: str) -> None:
    error = refusal(zipped((NAME, b"one"), (again, b"two")))
    assert "several entries of one name" in error.message
    assert NAME not in error.message


def patched(
    content: bytes, *, flag_bits: int | None = None, method: int | None = None, size: int | None = None
) -> bytes:
    """Change the first entry in both of its headers."""
    changed = bytearray(content)
    central = content.index(b"PK\x01\x02")
    for at, offsets in ((0, (6, 8, 22)), (central, (8, 10, 24))):
        for offset, value, form in zip(offsets, (flag_bits, method, size), ("<H", "<H", "<I"), strict=True):
            if value is not None:
                struct.pack_into(form, changed, at + offset, value)
    return bytes(changed)


@pytest.mark.parametrize("flag_bits", [0x1, 0x41, 0x2000])
def test_encrypted_entries_are_refused(flag_bits: int) -> None:
    assert "encrypted" in refusal(patched(zipped(("a", b"data")), flag_bits=flag_bits)).message


@pytest.mark.parametrize("method", [9, 12, 14, 99])  # deflate64, bzip2, lzma, AES
def test_other_packing_methods_are_refused(method: int) -> None:
    assert "method that is not read" in refusal(patched(zipped(("a", b"data")), method=method)).message


def test_an_archive_without_files_is_refused() -> None:
    assert "no file" in refusal(zipped(("folder/", b""), (".DS_Store", b"x"))).message
    assert "no file" in refusal(zipped()).message


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), bytes(1000), b"PK\x05\x06\xff" * 20]
)
def test_what_is_no_archive_is_refused(content: bytes) -> None:
    refusal(content)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_cut_off_anywhere_is_refused(method: int) -> None:
    content = zipped(("a", os.urandom(300)), ("b", bytes(300)), method=method)
    for length in range(len(content)):
        refusal(content[:length])


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_changed_byte_never_changes_a_file_unnoticed(method: int) -> None:
    data = os.urandom(200) + bytes(200)
    content = zipped(("a", data), method=method)
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 0xFF
        try:
            files = unpacked(bytes(damaged), LIMITS).files
        except (BadArchive, TooLarge):
            continue
        assert files == (data,)


def overlapping(*, kernel: bytes, copies: int) -> bytes:
    """Many entries of the table of contents, all on the same data."""
    info = zipfile.ZipInfo("0")
    info.compress_type = zipfile.ZIP_DEFLATED
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(info, kernel)
        archive.filelist += [_alias(info, str(number)) for number in range(1, copies)]
        archive._didModify = True  # type: ignore[attr-defined]
    return file.getvalue()


def _alias(info: zipfile.ZipInfo, name: str) -> zipfile.ZipInfo:
    alias = zipfile.ZipInfo(name)
    for field in ("compress_type", "header_offset", "CRC", "compress_size", "file_size", "flag_bits"):
        setattr(alias, field, getattr(info, field))
    return alias


def test_entries_that_share_their_data_are_refused() -> None:
    content = overlapping(kernel=bytes(10_000), copies=50)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert len(archive.infolist()) == 50  # the bomb is one
    assert "overlap" in refusal(content).message


def test_an_entry_that_runs_into_the_next_or_the_contents_is_refused() -> None:
    content = zipped(("a", b"x" * 100), ("b", b"y" * 100), method=zipfile.ZIP_STORED)
    for index in (0, 1):
        longer = bytearray(content)
        at = [n for n in range(len(content)) if content.startswith(b"PK\x01\x02", n)][index]
        struct.pack_into("<II", longer, at + 20, 120, 120)
        assert "overlap" in refusal(bytes(longer)).message


def test_more_entries_than_the_limit_are_too_large_whatever_the_end_record_claims() -> None:
    content = bytearray(zipped(*((str(number), b"") for number in range(11))))
    struct.pack_into("<HH", content, content.rindex(b"PK\x05\x06") + 8, 1, 1)
    with pytest.raises(TooLarge, match="more than 10 entries") as caught:
        unpacked(bytes(content), ArchiveLimits(max_entries=10))
    assert caught.value.http_status == 413
    assert len(unpacked(bytes(content), ArchiveLimits(max_entries=11)).files) == 11


@pytest.mark.parametrize(
    "limits", [ArchiveLimits(max_entry_bytes=99), ArchiveLimits(max_total_bytes=199)], ids=["entry", "total"]
)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_byte_over_a_limit_is_too_large(limits: ArchiveLimits, method: int) -> None:
    content = zipped((NAME, b"x" * 100), ("b", b"y" * 100), method=method)
    with pytest.raises(TooLarge, match="over a limit") as caught:
        unpacked(content, limits)
    assert NAME not in caught.value.message
    fits = ArchiveLimits(max_entry_bytes=100, max_total_bytes=200)
    assert len(unpacked(content, fits).files) == 2


def test_a_high_ratio_is_too_large_beyond_64_mib() -> None:
    content = zipped(("a", bytes(63 * MEBIBYTE)))
    assert len(unpacked(content, LIMITS).files[0]) > 500 * len(content)
    with pytest.raises(TooLarge):
        unpacked(zipped(("a", bytes(40 * MEBIBYTE)), ("b", bytes(30 * MEBIBYTE))), LIMITS)


def test_a_bomb_that_lies_about_its_size_stops_at_the_limit() -> None:
    content = patched(zipped(("a", bytes(50 * MEBIBYTE))), size=1000)
    tracemalloc.start()
    with pytest.raises(TooLarge):
        unpacked(content, ArchiveLimits(max_entry_bytes=MEBIBYTE))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * MEBIBYTE


def test_a_size_that_is_not_true_is_damage() -> None:
    assert "checksum or size" in refusal(patched(zipped(("a", b"x" * 100)), size=99)).message


def test_data_after_the_end_of_a_deflated_entry_are_damage() -> None:
    """Hidden behind what an ordinary program would read."""
    data = b"x" * 100
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(data) + packer.flush()
    hidden = zipped(("a", packed + b"hidden"), method=zipfile.ZIP_STORED)
    content = bytearray(patched(hidden, method=zipfile.ZIP_DEFLATED, size=100))
    for at in (14, content.index(b"PK\x01\x02") + 16):
        struct.pack_into("<I", content, at, zlib.crc32(data))
    assert "end in the wrong place" in refusal(bytes(content)).message


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_unpacking_needs_little_more_than_the_files(method: int) -> None:
    slices = [os.urandom(512 * 1024) for _ in range(40)]
    content = zipped(*((str(number), data) for number, data in enumerate(slices)), method=method)
    tracemalloc.start()
    unpacked(content, LIMITS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * MEBIBYTE + 3 * MEBIBYTE


def test_one_large_file_is_not_held_twice() -> None:
    content = zipped(("volume.nii", os.urandom(32 * MEBIBYTE)))
    tracemalloc.start()
    unpacked(content, LIMITS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * MEBIBYTE


@pytest.mark.parametrize(
    ("name", "files", "skipped"),
    [("ct_upper_abdomen_with_junk", 21, 2), ("mr_abdomen_flat", 11, 0), ("two_files_one_bad", 2, 1)],
)
def test_real_archives(sample_data: Path, name: str, files: int, skipped: int) -> None:
    found = unpacked((sample_data / f"archives/{name}.zip").read_bytes(), LIMITS)
    assert (len(found.files), found.skipped) == (files, skipped)
