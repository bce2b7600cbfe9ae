"""All CT slices of an upload in, those of one series out, and why it was that one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import median

from radserve_contract.volumes import SeriesChoice, VolumeFault
from radserve_preproc.errors import BadRequest
from radserve_preproc.volume.faults import Faults
from radserve_preproc.volume.orientation import is_axial, is_localizer
from radserve_preproc.volume.slices import Slice

Series = list[Slice]
_Rank = tuple[bool, bool, bool, bool, int, float, str]

# What each place of a rank means for the one that comes first.
_REASONS = (
    "it is axial",
    "it is no localizer",
    "it has at least {least} images",
    "its slice thickness is within {thickness} mm",
    "it has the most images",
    "its slices are the thinnest",
    "its UID comes first, all else being equal",
)


def choose_series(slices: Iterable[Slice], wanted: str | None, faults: Faults) -> tuple[Series, str | None]:
    """The slices of the series that is analysed; SEVERAL_SERIES when there are more.

    Slices whose Series Instance UID is empty belong together when they have the same matrix, spacing and orientation.

    Parameters
    ----------
    wanted
        Series Instance UID that was asked for; None leaves the choice to the pipeline's ``SeriesChoice``.

    Returns
    -------
    The series, and why it was chosen; None when it is the only one.

    Raises
    ------
    BadRequest
        When ``wanted`` is not in the upload.
    UnfitVolume
        When the pipeline refuses uploads of several series and none was asked for.
    """
    found = _grouped(slices)
    if wanted is not None:
        return _asked_for(found, wanted)
    if len(found) == 1:
        return found[0], None
    choice = faults.rules.choice
    ranked = sorted(found, key=lambda series: _rank(series, choice))
    why = _why(_rank(ranked[0], choice), _rank(ranked[1], choice), choice)
    reason = f"the one with {_images(ranked[0])} was taken of {len(found)} series: {why}"
    faults.meet(
        VolumeFault.SEVERAL_SERIES,
        f"the upload holds {len(found)} CT series",
        change=reason,
        wanted="Send one series, or name it with series=<Series Instance UID>",
        series=len(found),
    )
    return ranked[0], reason


def _grouped(slices: Iterable[Slice]) -> list[Series]:
    groups: defaultdict[object, Series] = defaultdict(list)
    for item in slices:
        geometry = (item.matrix, item.pixel_spacing_mm, item.orientation) if not item.series_uid else ()
        groups[item.series_uid, geometry].append(item)
    return list(groups.values())


def _asked_for(found: list[Series], wanted: str) -> tuple[Series, str | None]:
    for series in found:
        if series[0].series_uid == wanted:
            return series, f"it was asked for, of {len(found)} series" if len(found) > 1 else None
    raise BadRequest(
        f"series: none of the {len(found)} CT series of the upload has the Series Instance UID that was asked for."
        " Leave series= out to have one chosen",
        found=len(found),
    )


def _rank(series: Series, choice: SeriesChoice) -> _Rank:
    """Sorts the series that ``SeriesChoice`` prefers to the front; False comes before True."""
    images = [item for item in series if not is_localizer(item)]
    thickness = _thickness(series)
    preferred = choice.preferred_thickness_mm
    return (
        2 * sum(map(is_axial, series)) < len(series),
        not images,
        len(images) < choice.min_images,
        preferred is not None and not preferred[0] <= thickness <= preferred[1],
        -len(images),
        thickness,
        series[0].series_uid,
    )


def _thickness(series: Series) -> float:
    """Usual Slice Thickness in mm; infinite where none is given."""
    known = [item.thickness_mm for item in series if item.thickness_mm is not None]
    return median(known) if known else float("inf")


def _why(first: _Rank, second: _Rank, choice: SeriesChoice) -> str:
    differing = [place for place, (one, other) in enumerate(zip(first, second, strict=True)) if one != other]
    low, high = choice.preferred_thickness_mm or (0, 0)
    reason = _REASONS[differing[0] if differing else -1]
    return reason.format(least=choice.min_images, thickness=f"{low:g} to {high:g}")


def _images(series: Series) -> str:
    return f"{len(series)} image" + ("s" if len(series) > 1 else "")
