"""(h) A large study in, the most memory that its decoding took in a process of its own out.

The process holds the upload, as the service does while it decodes, and everything it has imported.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from bench.ct.phantoms import series, written, zipped
from bench.ct.results import MemoryPeak
from bench.timing import alone
from radserve_contract.pipelines import abdominal_trauma
from radserve_devstack.phantoms.ct import PhantomKind
from radserve_preproc.cores import usable_cores
from radserve_preproc.decode import decode
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.study import RawStudy

KIB = 1024
BYTES_PER_VOXEL = 2


def measure(*, slices: int, size: int, folder: Path) -> Iterator[MemoryPeak]:
    """The same series as separate files, as a stored and as a deflated zip; files go to ``folder``."""
    uploads = written_uploads(slices, size, folder)
    for study, place in uploads.items():
        yield alone(peak_of, study, place, volume_bytes=slices * size * size * BYTES_PER_VOXEL)


def written_uploads(slices: int, size: int, folder: Path) -> dict[str, Path]:
    """Each way to upload one series, by name: a folder, or a file."""
    files = series(PhantomKind.ABDOMEN, slices=slices, size=size)
    places = {"separate files": written(files, folder / "large")}
    for name, method in (("stored zip", zipfile.ZIP_STORED), ("deflated zip", zipfile.ZIP_DEFLATED)):
        places[name] = folder / f"{name.replace(' ', '-')}.zip"
        places[name].write_bytes(zipped(files, method))
    return places


def peak_of(study: str, place: Path, *, volume_bytes: int) -> MemoryPeak:
    """Decode what lies at ``place``, in this process; what it held before counts too, so call it in a fresh one."""
    before = status_bytes("VmRSS")
    upload = _upload(place)
    spec = abdominal_trauma.SPEC
    image = decode(upload, spec, spec.profile(), DecodeLimits(threads_per_image=usable_cores()))
    if image.pixels.nbytes != volume_bytes:
        raise RuntimeError(f"{study}: decoded to {image.pixels.nbytes} bytes; wanted {volume_bytes}")
    return MemoryPeak(study, upload.size_bytes, volume_bytes, before, status_bytes("VmHWM"))


def _upload(place: Path) -> RawStudy:
    if place.is_file():
        return RawStudy(place.read_bytes())
    first, *further = (path.read_bytes() for path in sorted(place.iterdir()))
    return RawStudy(first, tuple(further))


def status_bytes(name: str) -> int:
    """A size from /proc/self/status. ``getrusage`` would also count what the parent held when it forked."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (value,) = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return int(value) * KIB
