"""A stack in, the kinds of slices out whose Pixel Representation contradicts their values: they wrap around."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from radserve_contract.volumes import VolumeFault
from radserve_preproc.image import Stored
from radserve_preproc.volume.faults import Faults
from radserve_preproc.volume.slices import Slice
from radserve_preproc.volume.stored import sign_of_codestream, with_other_sign

Decode = Callable[[Sequence[int]], list[Stored]]
Kind = tuple[int, bool]

# Slices that are looked at, evenly spread: a wrap shows wherever there is air, or bone.
_PROBES = 3
# Neighbouring pixels that differ by more than this share of all values lie across a wrap: tissue never does that.
_JUMP = 0.75
# So many of 10,000 neighbours must do so, and so many times as many as with the other sign.
_LEAST_SHARE = 1e-4
_LEAST_RATIO = 20


def kinds_with_wrong_sign(slices: tuple[Slice, ...], decode: Decode, faults: Faults) -> frozenset[Kind]:
    """The ways of storing (Bits Stored, signed) to be read with the other sign. Meets SIGN_MISMATCH.

    Also met, without anything to correct, where a JPEG 2000 codestream says another sign than Pixel Representation,
    whose sign is right.

    Parameters
    ----------
    decode
        Decodes the slices of those indices, as ``read_stored`` does each.
    """
    kinds: dict[Kind, list[int]] = {}
    for index, item in enumerate(slices):
        kinds.setdefault(kind_of(item), []).append(index)
    probes = [index for group in kinds.values() for index in _probes(group)]
    found = zip(probes, decode(probes), strict=True)
    wrapped = frozenset(kind_of(slices[index]) for index, stored in found if _wraps(stored, slices[index]))
    disagree = sum(_disagrees(slices[group[0]]) for group in kinds.values())
    if not wrapped and not disagree:
        return frozenset()
    is_corrected = faults.meet(
        VolumeFault.SIGN_MISMATCH,
        "(0028,0103) Pixel Representation contradicts " + ("the values, which wrap around" if wrapped else _CODESTREAM),
        change="stored values read with the other sign"
        if wrapped
        else "stored values read as Pixel Representation says",
        wanted="Send the series with the Pixel Representation that is true",
    )
    return wrapped if is_corrected else frozenset()


_CODESTREAM = "the sign that the JPEG 2000 codestream states"


def kind_of(item: Slice) -> Kind:
    """What decides whether the sign of a slice is wrong."""
    return item.header.bits_stored, item.header.is_signed


def _probes(group: list[int]) -> list[int]:
    places = np.linspace(0, len(group) - 1, min(_PROBES, len(group))).round().astype(int)
    return [group[place] for place in places]


def _disagrees(item: Slice) -> bool:
    codestream = sign_of_codestream(item)
    return codestream is not None and codestream != item.header.is_signed


def _wraps(stored: Stored, item: Slice) -> bool:
    """Whether the values jump from one end of their range to the other, and do not with the other sign."""
    bits = item.header.bits_stored
    if int(stored.max()) - int(stored.min()) < _JUMP * (1 << bits):
        return False
    tells = _tells(stored, item)
    jumps = _jumps(stored, tells, bits)
    other = _jumps(with_other_sign(stored, item), tells, bits)
    return jumps >= max(_LEAST_SHARE * 2 * stored.size, 1) and jumps > _LEAST_RATIO * other


def _tells(stored: Stored, item: Slice) -> npt.NDArray[np.bool_]:
    """Pixels that are no padding, and at no end of the range: metal and writing in the image have the highest value."""
    bits = item.header.bits_stored
    ends = (-(1 << bits - 1), (1 << bits - 1) - 1) if item.header.is_signed else (-1, (1 << bits) - 1)
    low, high = item.padding or (0, -1)
    return ((stored < low) | (stored > high)) & (stored > ends[0]) & (stored < ends[1])


def _jumps(stored: Stored, tells: npt.NDArray[np.bool_], bits: int) -> int:
    """Neighbours, along rows and columns, on either side of a wrap."""
    wide = stored.astype(np.int32)
    across = np.abs(np.diff(wide, axis=1)) >= _JUMP * (1 << bits)
    down = np.abs(np.diff(wide, axis=0)) >= _JUMP * (1 << bits)
    return int((across & tells[:, 1:] & tells[:, :-1]).sum()) + int((down & tells[1:] & tells[:-1]).sum())
