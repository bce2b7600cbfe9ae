"""``python -m radserve_devstack.pictures demo docs/images``: what ``make demo`` wrote in, the README's pictures out.

``demo`` holds what the demos of all five pipelines wrote.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from radserve_devstack.phantoms import spine

HEIGHT_PX = 620
OVERLAYS = {
    "overlay.png": "spine-abnormal.overlay.png",
    "hemorrhage.png": "head-bleeding.overlay.png",
    "head_ct.png": "head-lesion.overlay.png",
    "abdominal_trauma.png": "abdomen-lesion.overlay.png",
    "covid_lung.png": "chest-lesion-slice.overlay.png",
}
"""The README's picture, and the demo's."""
STEP = 4  # 64 grey levels: nobody sees the difference, and the file is half the size


def film_pair(height_px: int) -> Image.Image:
    """Normal and abnormal phantom side by side, 8 bits, as a viewer shows them."""
    films = [Image.fromarray((spine.render(abnormal) >> 4).astype(np.uint8)) for abnormal in (False, True)]
    small = [_fit(film, height_px) for film in films]
    pair = Image.new("L", (small[0].width + small[1].width, height_px))
    pair.paste(small[0], (0, 0))
    pair.paste(small[1], (small[0].width, 0))
    return pair


def overlay(path: Path, height_px: int) -> Image.Image:
    """An overlay as the service drew it, smaller."""
    with Image.open(path) as picture:
        return _fit(picture.convert("RGB"), height_px)


def write(picture: Image.Image, path: Path) -> None:
    """Write a small PNG: the pictures are in git."""
    coarse = np.asarray(picture) // STEP * STEP
    Image.fromarray(coarse).save(path, optimize=True)


def main(
    demo: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    images: Annotated[Path, typer.Argument(file_okay=False)],
) -> None:
    """Write phantoms.png, overlay.png and a picture of each CT pipeline into IMAGES."""
    images.mkdir(parents=True, exist_ok=True)
    write(film_pair(HEIGHT_PX), images / "phantoms.png")
    for name, drawn in OVERLAYS.items():
        write(overlay(demo / drawn, HEIGHT_PX), images / name)


def _fit(picture: Image.Image, height_px: int) -> Image.Image:
    width = round(picture.width * height_px / picture.height)
    return picture.resize((width, height_px), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    typer.run(main)
