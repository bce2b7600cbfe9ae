"""The order in which files arrive makes no difference, and damage is refused or corrected, never a crash."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import RLELossless

from radserve_contract.volumes import Handling
from radserve_preproc.errors import RadserveError
from tests.dicom_files import make_object
from tests.preproc_service.volume.series_files import (
    ct_series,
    ct_slice,
    decoded,
    enhanced_ct,
    picture,
    rules,
    tilted_series,
)

REPORT = make_object("1.2.840.10008.5.1.4.1.1.88.33", "SR")
STUDIES = (
    ct_series(),
    tilted_series(),
    ct_series([0, 5, 10, 20, 30]),
    [*ct_series(), *ct_series(series="other"), REPORT, b"junk"],
    [ct_slice(z, picture(k), number=1, SOPInstanceUID=None) for k, z in enumerate([0.0, 5.0, 5.0, 10.0, 10.0, 15.0])],
    [*ct_series([0, 5, 10]), *ct_series([0, 5, 10], PixelSpacing=[1.0, 1.0])],
    [ct_slice(z, picture(k), number=k, SeriesInstanceUID="") for k, z in enumerate([0.0, 5.0, 10.0, 15.0] * 3)],
)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(range(len(STUDIES))), st.integers(0, 10**6), st.integers(1, 3))
def test_any_order_of_files_gives_the_same_volume(study, seed, threads):
    files = list(STUDIES[study])
    expected = decoded(files, rules())
    random.Random(seed).shuffle(files)
    image = decoded(files, rules(), threads_per_image=threads)
    assert np.array_equal(image.pixels, expected.pixels)
    assert image.description == expected.description
    assert image.warnings == expected.warnings
    assert image.changes == expected.changes
    assert image.sop_instance_uids == expected.sop_instance_uids
    assert np.array_equal(image.positions_mm, expected.positions_mm)


FRAMES = np.stack([picture(k) for k in range(4)])
TARGETS = (*ct_series([0, 5]), enhanced_ct(FRAMES, [0.0, 5.0, 10.0, 15.0]), ct_slice(9.0, transfer_syntax=RLELossless))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(range(len(TARGETS))),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
    st.sampled_from(tuple(Handling)),
)
def test_damaged_headers_are_no_crash(target, damage, handling):
    content = bytearray(TARGETS[target])
    for place, value in damage:
        content[int(132 + place * (len(content) - 133))] = value
    try:
        image = decoded([bytes(content), ct_slice(10.0), ct_slice(15.0)], rules(handling), max_voxels=10**6)
    except RadserveError:
        return
    assert image.pixels.ndim == 3
    assert np.isfinite(image.pixels).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 10), max_size=40),
    st.sampled_from([0.0, 12.0, -22.0]),
)
def test_every_set_of_positions_without_wide_gaps_gives_a_volume_that_spans_them(gaps, degrees):
    heights = [200, *(200 + np.cumsum(gaps, dtype=int)).tolist()]
    tilt = np.radians(degrees)
    orientation = [1.0, 0.0, 0.0, 0.0, float(np.cos(tilt)), -float(np.sin(tilt))]
    files = [ct_slice(float(z), number=z, ImageOrientationPatient=orientation) for z in heights]
    image = decoded(files, rules())
    span = (max(heights) - min(heights)) * np.cos(tilt)
    assert image.positions_mm[0] == 0
    assert np.isclose(image.positions_mm[-1], span)
    assert np.allclose(np.diff(image.positions_mm, 2), 0, atol=0.06 * max(span, 1))
    assert len(image.positions_mm) == len(image.pixels)
