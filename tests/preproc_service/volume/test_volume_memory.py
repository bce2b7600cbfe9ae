"""What a study takes: below 2.5 times its pixels at two bytes each, the uncompressed upload included."""

from __future__ import annotations

import subprocess
import sys

SLICES, SIDE = 300, 512
LIMIT = 2.5 * SLICES * SIDE * SIDE * 2

# In a process of its own: peak resident memory only ever grows. Files are made by patching one, which is quick.
PROGRAM = f"""
import resource
import numpy as np
from tests.preproc_service.volume.series_files import ct_slice, decoded, rules, tilted_series

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

decoded([ct_slice(0.0, np.full((64, 64), 1000, np.uint16), transfer_syntax="1.2.840.10008.1.2.5")])
before = peak()
pixels = np.random.default_rng(0).integers(0, 2000, ({SIDE}, {SIDE}), dtype=np.uint16)
files = []
for k in range({SLICES}):
    z = "%.1f" % (1000 + k * STEP + (3.0 if k > 200 else 0.0))
    content = ct_slice(1000.0, pixels, number=1, **ELEMENTS).replace(b"-20.0\\\\1000.0", b"-20.0\\\\" + z.encode())
    files.append(content)
decoded(files, rules())
print(peak() - before)
"""


def peak_bytes(root, elements: str = "{}", step: float = 1.0) -> int:
    program = PROGRAM.replace("ELEMENTS", elements).replace("STEP", str(step))
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_an_uncompressed_study_stays_below_two_and_a_half_times_its_pixels(project_root):
    assert peak_bytes(project_root) < LIMIT


def test_reshearing_and_resampling_take_no_second_volume(project_root):
    """Three millimetres more between two slices: resampled to 302, each of them re-sheared and most of them blended."""
    orientation = "{'ImageOrientationPatient': [1.0, 0.0, 0.0, 0.0, 0.9396926, -0.3420201]}"
    assert peak_bytes(project_root, orientation) < LIMIT
