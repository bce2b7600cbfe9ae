"""A compressed frame in, its pixels out: a decoding plugin for pydicom on top of imagecodecs.

imagecodecs brings libjpeg-turbo 3 (8, 12 and 16 bits, lossy and lossless), CharLS, OpenJPEG and PackBits, all
permissively licensed, and releases the GIL while it decodes. pydicom keeps to what it knows about DICOM: fragments,
signs, shapes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom.pixels.decoders.base import DecodeRunner
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

Samples = npt.NDArray[Any]
Codec = Callable[[bytes, DecodeRunner], Samples]

# Name under which pydicom's runner passes on how many threads a JPEG 2000 frame may take.
THREADS_OPTION = "radserve_threads"

# Bytes that may follow the end of a JPEG stream: padding to an even length, and what careless writers add.
_LONGEST_TAIL = 64
_END_OF_IMAGE = b"\xff\xd9"


def _rle(frame: bytes, runner: DecodeRunner) -> Samples:
    """DICOM's RLE (PS3.5 annex G): a PackBits segment for each byte of a sample, the most significant first."""
    count, *offsets = struct.unpack_from("<16I", frame)
    samples = np.empty((runner.rows * runner.columns, runner.bits_allocated // 8), dtype=np.uint8)
    if count != samples.shape[1]:
        raise ValueError(f"the frame has {count} RLE segments; {runner.bits_allocated} bits are {samples.shape[1]}")
    ends = [*offsets[1:count], len(frame)]
    for byte, (start, end) in enumerate(zip(offsets[:count], ends, strict=True)):
        # Some writers pad a segment by more than the one byte that is allowed.
        unpacked = imagecodecs.packbits_decode(frame[start:end], out=len(samples) + 128)
        samples[:, -1 - byte] = np.frombuffer(unpacked, dtype=np.uint8, count=len(samples))
    return samples.view(f"<u{samples.shape[1]}").reshape(runner.rows, runner.columns)


def _jpeg(frame: bytes, runner: DecodeRunner) -> Samples:
    """JPEG; libjpeg-turbo would fill what is missing of a stream and say nothing.

    Colour comes here in lossless streams only (frame_decoders), which have no colour transformation.
    """
    colourspace = "RGB" if runner.samples_per_pixel == 3 else None
    return imagecodecs.jpeg8_decode(_whole(frame), colorspace=colourspace, outcolorspace=colourspace)


def _jpegls(frame: bytes, _runner: DecodeRunner) -> Samples:
    """JPEG-LS; CharLS would count the zero bits behind the end of a cut-off stream for ten seconds."""
    return imagecodecs.jpegls_decode(_whole(frame))


def _whole(frame: bytes) -> bytes:
    """A JPEG or JPEG-LS stream without what follows it; ValueError when its end is missing."""
    end = frame.rfind(_END_OF_IMAGE, -_LONGEST_TAIL)
    if end < 0:
        raise ValueError("the stream has no end of image marker: it was cut off")
    return frame[: end + len(_END_OF_IMAGE)]


def _jpeg2000(frame: bytes, runner: DecodeRunner) -> Samples:
    """OpenJPEG, for HTJ2K too: OpenJPH is 2.5 times as fast there, but returns half an image for half a stream."""
    return imagecodecs.jpeg2k_decode(frame, numthreads=runner.get_option(THREADS_OPTION, 1))


CODECS: dict[UID, Codec] = {
    JPEGBaseline8Bit: _jpeg,
    JPEGExtended12Bit: _jpeg,
    JPEGLossless: _jpeg,
    JPEGLosslessSV1: _jpeg,
    JPEGLSLossless: _jpegls,
    JPEGLSNearLossless: _jpegls,
    JPEG2000Lossless: _jpeg2000,
    JPEG2000: _jpeg2000,
    HTJ2KLossless: _jpeg2000,
    HTJ2KLosslessRPCL: _jpeg2000,
    HTJ2K: _jpeg2000,
    RLELossless: _rle,
}

# What pydicom asks a plugin for (its guide "decoder plugins").
DECODER_DEPENDENCIES = dict.fromkeys(CODECS, ("imagecodecs",))


def is_available(uid: str) -> bool:
    """Whether this plugin decodes that transfer syntax."""
    return uid in CODECS


def decode_frame(frame: bytes, runner: DecodeRunner) -> bytearray:
    """Decode one frame.

    Returns
    -------
    Little-endian samples, pixel by pixel, in the smallest container that holds the codestream's precision;
    ``runner``'s Bits Allocated is set to it.

    Raises
    ------
    ValueError
        When the frame is cut off, or its size is not that of the header. imagecodecs raises its own errors for a
        broken one.
    """
    samples = CODECS[runner.transfer_syntax](frame, runner)
    wanted = (runner.rows, runner.columns, *([runner.samples_per_pixel] * (runner.samples_per_pixel > 1)))
    if samples.shape != wanted:
        raise ValueError(f"the codestream holds {samples.shape}, the header says {wanted}")
    runner.set_option("bits_allocated", 8 * samples.dtype.itemsize)
    runner.set_option("planar_configuration", 0)
    return bytearray(np.ascontiguousarray(samples).data.cast("B"))
