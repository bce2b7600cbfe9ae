"""``python -m radserve_devstack.pictures demo docs/images``: what ``make demo`` wrote in, the README's pictures out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from radserve_devstack.phantoms import spine

HEIGHT_PX = 620
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
    """Write phantoms.png and overlay.png into IMAGES."""
    images.mkdir(parents=True, exist_ok=True)
    write(film_pair(HEIGHT_PX), images / "phantoms.png")
    write(overlay(demo / "spine-abnormal.overlay.png", HEIGHT_PX), images / "overlay.png")


def _fit(picture: Image.Image, height_px: int) -> Image.Image:
    width = round(picture.width * height_px / picture.height)
    return picture.resize((width, height_px), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    typer.run(main)
