"""What decoding one image may take: how large or small it may be, checked before anything is allocated; threads."""

from __future__ import annotations

from dataclasses import dataclass

from radserve_preproc.errors import BadPixelData, ImageTooLarge, ImageTooSmall


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Limits on the decoding of one image.

    ``max_pixels`` is Rows x Columns. Below ``min_side_px`` rows or columns the trained system takes nothing for a
    medical image; that is of radiographs. ``max_voxels`` is Rows x Columns x slices of a CT volume.
    ``max_inflated_bytes`` bounds what the deflated data sets of an upload may become, ``max_unpacked_bytes`` what a zip
    or a gzipped NIfTI may. ``threads_per_image`` is how many threads share the work on a JPEG 2000 image, the one
    format that takes long, and on the slices of a CT.
    """

    max_pixels: int = 100_000_000
    max_voxels: int = 1_000_000_000
    min_side_px: int = 50
    max_inflated_bytes: int = 512 * 2**20
    max_unpacked_bytes: int = 2**31
    threads_per_image: int = 1


def check_size(rows: int, columns: int, limits: DecodeLimits) -> None:
    """Raise when an image of that size is not decoded: BadPixelData, ImageTooSmall, ImageTooLarge."""
    size = f"{rows} rows x {columns} columns"
    if rows < 1 or columns < 1:
        raise BadPixelData(f"the image has {size}: no pixels", rows=rows, columns=columns)
    if min(rows, columns) < limits.min_side_px:
        raise ImageTooSmall(
            f"the image has {size}; a radiograph has at least {limits.min_side_px} each way. Send the original, not a"
            " thumbnail",
            rows=rows,
            columns=columns,
            min_side_px=limits.min_side_px,
        )
    if rows * columns > limits.max_pixels:
        raise ImageTooLarge(
            f"the image has {size}, {rows * columns} pixels; the limit is {limits.max_pixels}"
            " (RADSERVE_IMAGE_LIMIT_PIXELS)",
            rows=rows,
            columns=columns,
            max_pixels=limits.max_pixels,
        )
