"""The SOP Instance UID of a DICOM file, without an imaging library."""

from __future__ import annotations

import pytest
from pydicom.uid import generate_uid

from radserve_client.score.sources.part10 import sop_instance_uid
from tests.client.score.sources.fake_dicomweb import part10
from tests.dicom_files import make_radiograph


def test_the_uid_is_the_one_that_an_imaging_library_wrote() -> None:
    uid = generate_uid()
    ours = make_radiograph(SOPInstanceUID=uid)
    written = sop_instance_uid(ours)
    assert written is not None
    assert b"\x02\x00\x03\x00UI" in ours
    assert written.encode() in ours[132:600]
    assert sop_instance_uid(part10(uid)) == uid


@pytest.mark.parametrize("uid", ["1.2", "1.23"])
def test_padding_to_an_even_length_is_no_part_of_it(uid: str) -> None:
    assert sop_instance_uid(part10(uid)) == uid


def test_what_is_no_dicom_file_has_none() -> None:
    file = part10("1.2.3")
    assert sop_instance_uid(file[:128] + b"DICN" + file[132:]) is None
    assert sop_instance_uid(file[132:]) is None
    assert sop_instance_uid(b"") is None


def test_a_file_that_is_cut_off_anywhere_is_no_crash() -> None:
    file = part10("1.2.3")
    assert {sop_instance_uid(file[:length]) for length in range(len(file))} <= {
        None,
        "",
        "1",
        "1.",
        "1.2",
        "1.2.",
        "1.2.3",
    }
