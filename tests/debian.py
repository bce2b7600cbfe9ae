"""Programs of Debian's packages that tests run as real counterparts (requirements/debian.txt)."""

from __future__ import annotations

import os
import shutil

import pytest

PACKAGES = {"promtool": "prometheus", "prometheus": "prometheus", "Orthanc": "orthanc", "openssl": "openssl"}
"""Which package brings a program."""
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where Debian puts servers; not everybody's PATH has it."""
REQUIRED = os.environ.pop("RADSERVE_REQUIRE_TOOLS", None)
"""Set where a missing program is a failure, as in CI, and not a reason to skip."""


def debian_tool(program: str) -> str:
    """The path of ``program``; skips the test where it is missing, or fails it where RADSERVE_REQUIRE_TOOLS is set."""
    found = shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", ""), SYSTEM_PATH)))
    if found:
        return found
    missing = f"no {program} on this machine; on Debian and Ubuntu: apt-get install {PACKAGES[program]}"
    if REQUIRED:
        pytest.fail(missing)
    pytest.skip(missing)
