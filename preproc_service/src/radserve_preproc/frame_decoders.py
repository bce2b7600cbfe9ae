"""Which decoder reads which transfer syntax. ``DECODERS`` is the whole list of compressed images the service reads.

Grey frames go to imagecodecs: it is as fast as any, and the only one that releases the GIL, so that decoding scales
over threads. Time for a film of 1760 x 1760 pixels with 10 bits on one core, and what two threads gain on two cores:

=============  ============================  =========================================
syntax         imagecodecs                   instead of
=============  ============================  =========================================
JPEG lossless  14 ms, 1.9 x (libjpeg-turbo)  47 ms, 0.7 x (gdcm)
JPEG-LS        27 ms, 1.9 x (CharLS)         29 ms, 1.0 x (pyjpegls, CharLS)
JPEG 2000      114 ms, 1.9 x (OpenJPEG)      114 ms, 1.0 x (pylibjpeg, OpenJPEG)
RLE            8 ms (PackBits)               3 ms, 1.0 x (pylibjpeg-rle); 16 ms (pydicom)
=============  ============================  =========================================

Colour frames with a colour transformation go to pydicom's own plugins, which know it. All are permissively licensed.
Not used: pylibjpeg-libjpeg (GPL); pylibjpeg-rle, which panics on a damaged frame with an error that is no
``Exception``; gdcm, which holds the GIL, reads no 12-bit JPEG, writes to stderr and aborts the process on some frames.
There is no second try with another decoder: what a strict one refuses, a lenient one returns in part, and half a film
must not get an answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from radserve_preproc import imagecodecs_plugin

_OURS = "imagecodecs"

NATIVE = frozenset(
    (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
)


@dataclass(frozen=True, slots=True)
class Plugins:
    """Names of pydicom's decoding plugins for one transfer syntax."""

    grey: str
    colour: str


DECODERS: dict[UID, Plugins] = {
    JPEGBaseline8Bit: Plugins(_OURS, "pillow"),
    JPEGExtended12Bit: Plugins(_OURS, "pillow"),
    JPEGLossless: Plugins(_OURS, _OURS),
    JPEGLosslessSV1: Plugins(_OURS, _OURS),
    JPEGLSLossless: Plugins(_OURS, _OURS),
    JPEGLSNearLossless: Plugins(_OURS, _OURS),
    JPEG2000Lossless: Plugins(_OURS, "pylibjpeg"),
    JPEG2000: Plugins(_OURS, "pylibjpeg"),
    HTJ2KLossless: Plugins(_OURS, "pylibjpeg"),
    HTJ2KLosslessRPCL: Plugins(_OURS, "pylibjpeg"),
    HTJ2K: Plugins(_OURS, "pylibjpeg"),
    RLELossless: Plugins(_OURS, "pydicom"),
}

# Lossy whatever the header says; the syntaxes that may be either are told by (0028,2110).
ALWAYS_LOSSY = frozenset((JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless))


def plugin_for(syntax: UID, samples_per_pixel: int) -> str:
    """Name of pydicom's plugin for that transfer syntax, empty for an uncompressed one; KeyError when there is none."""
    if syntax in NATIVE:
        return ""
    plugins = DECODERS[syntax]
    return plugins.grey if samples_per_pixel == 1 else plugins.colour


def _register() -> None:
    """Tell pydicom's decoders about our plugin; once per process."""
    for syntax in imagecodecs_plugin.CODECS:
        decoder = get_decoder(syntax)
        if _OURS not in decoder.available_plugins:
            decoder.add_plugin(_OURS, (imagecodecs_plugin.__name__, imagecodecs_plugin.decode_frame.__name__))


_register()
