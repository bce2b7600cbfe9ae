"""CT slices, each with a map of where something is: marked pixels, their area or volume, a heat map and a mask."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from radserve_contract.ct import SegmentationProfile
from radserve_preproc.errors import NotAcceptable
from radserve_preproc.fuse_segmentation import Map, marked, packed, summarised, unpacked
from radserve_preproc.prepare.min_max import min_max_slices
from radserve_preproc.render_heatmap import PROBABILITY, SHOWN, draw_heatmap
from radserve_preproc.render_nifti import file_mask
from radserve_preproc.study import DecodedImage
from radserve_preproc.tasks.batches import in_batches
from radserve_preproc.tasks.task import Analysis, Networks, Outcome, Task, of_kind
from radserve_preproc.triton import check_probabilities

MASK = "mask"
"""Under this name ``Outcome.maps`` has the mask ``(slices, rows, columns / 8)``, eight pixels in a byte."""
PAINTED = "each slice scaled to 8 bits by its own minimum and maximum, in the greys of the trained system's converter"


@dataclass(frozen=True, slots=True)
class _Batch:
    """Of some slices: the marked share of each, the mask in bits, the highest probability of each."""

    fractions: tuple[float, ...]
    mask: npt.NDArray[np.uint8] = field(repr=False)
    peaks: tuple[float, ...]


@dataclass(slots=True)
class _Shown:
    """The one slice whose map is kept for pictures; the maps of all would take as much memory as the volume.

    That with the largest marked share, of equals that with the highest probability, of equals the first.
    """

    rank: tuple[float, float, int] = (-1.0, -1.0, 0)
    probability: Map = field(default_factory=lambda: np.zeros((1, 1), np.float32), repr=False)

    def offer(self, batch: _Batch, first: int, probabilities: Map) -> None:
        """Keep the best of a batch, whose first slice is number ``first``, if it is better than what there is."""
        ranks = [(*found, -first - at) for at, found in enumerate(zip(batch.fractions, batch.peaks, strict=True))]
        best = max(ranks)
        if best > self.rank:
            self.rank, self.probability = best, probabilities[ranks.index(best)].copy()

    @property
    def number(self) -> int:
        """Which slice it is, from 0."""
        return -self.rank[2]


async def run(networks: Networks, image: DecodedImage) -> Outcome:
    """Ask about all slices of ``image`` in full batches, and measure what is marked on its own grid.

    Raises
    ------
    RadserveError
        What ``Networks.ask`` raises; BadModelOutput for probabilities outside 0..1.
    """
    profile, shown = of_kind(networks.profile, SegmentationProfile), _Shown()
    network = profile.model(profile.network)
    ask = partial(_ask, networks, profile, image, shown)
    batches = await in_batches(len(image.pixels), network.max_batch_size, ask)
    with networks.step("fuse"):
        fractions = [fraction for batch in batches for fraction in batch.fractions]
        most_probable = max(peak for batch in batches for peak in batch.peaks)
        return Outcome(
            segmentation=summarised(profile, fractions, most_probable, image),
            changes=() if image.pixels.dtype == np.uint8 else (PAINTED,),
            maps={
                MASK: np.concatenate([batch.mask for batch in batches]),
                PROBABILITY: shown.probability,
                SHOWN: np.array(shown.number),
            },
        )


async def _ask(
    networks: Networks, profile: SegmentationProfile, image: DecodedImage, shown: _Shown, slices: slice
) -> _Batch:
    """What the network marks on some of the slices; one of them may become the ``shown``."""
    (tensor,) = profile.model(profile.network).inputs
    prepared = await networks.prepare(partial(min_max_slices, image.pixels[slices], tensor))
    outputs = await networks.ask(profile.network, {tensor.name: prepared}, stage="segment")
    probabilities = outputs[profile.output][:, 0]
    batch = await networks.prepare(partial(_measured, probabilities, image, profile))
    shown.offer(batch, slices.start, probabilities)
    return batch


def _measured(probabilities: Map, image: DecodedImage, profile: SegmentationProfile) -> _Batch:
    """Measure maps ``(N, h, w)`` on the grid of the image.

    Raises
    ------
    BadModelOutput
        When a value is none of a probability.
    """
    check_probabilities(probabilities, profile.output)
    rows, columns = image.pixels.shape[-2:]
    mask = marked(probabilities, (rows, columns), profile.threshold)
    fractions = np.count_nonzero(mask, axis=(1, 2)) / (rows * columns)
    return _Batch(tuple(map(float, fractions)), packed(mask), tuple(map(float, probabilities.max(axis=(1, 2)))))


def write_mask(analysis: Analysis) -> bytes:
    """The mask as gzipped NIfTI, 1 where marked, on the grid of the NIfTI file that was sent, or of the sorted slices.

    Raises
    ------
    NotAcceptable
        The image does not say where it lies: it is a picture, or a slice without position.
    """
    image = analysis.image
    if image.description.geometry is None:
        raise NotAcceptable(
            "there is no NIfTI mask of this image: nothing says where its pixels lie in the patient, as in a PNG."
            " Ask for JSON or for the heat map, or send DICOM or NIfTI"
        )
    return file_mask(unpacked(analysis.maps[MASK], image.pixels.shape[-1]), image)


TASK = Task(run=run, pictures={"heatmap": draw_heatmap}, nifti=write_mask)
