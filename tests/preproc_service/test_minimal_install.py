"""What the service image installs, and nothing else: contract and preproc_service in an environment of their own.

It needs uv and a package index, or uv's cache, for requirements/service.txt; without them the tests skip.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from packaging.requirements import Requirement
from pydicom import uid

from radserve_devstack.ports import Ports
from radserve_devstack.stack import own_environment
from tests.dicom_files import make_radiograph
from tests.fake_triton import FakeTriton
from tests.fake_triton_server import Servicer, served_in_thread
from tests.predicting import findings, post, refusal

EXPORT_ONLY = {
    "torch",
    "torchvision",
    "timm",
    "monai",
    "ultralytics",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "tensorflow",
}
OTHER_PARTS = {"radserve-export", "radserve-client", "radserve-triton", "radserve-devstack", "nvidia-pytriton"}
NO_INDEX = re.compile(
    r"dns error|failed to lookup|Could not connect|client error \(Connect\)|network .* unreachable", re.I
)

DECODE = """
import sys
from radserve_contract.pipelines import pipeline
from radserve_preproc.decode import decode
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.study import RawStudy
spec = pipeline("spine")
image = decode(RawStudy(sys.stdin.buffer.read()), spec, spec.profile(), DecodeLimits())
print(image.pixels.shape, image.pixels.min(), image.pixels.max(), sorted({"torch"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def environment(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The virtual environment."""
    uv = shutil.which("uv") or project_root / ".radserve/uv/bin/uv"
    if not Path(uv).exists():
        pytest.skip("uv is not installed; `make install` puts it into .radserve/uv")
    folder = tmp_path_factory.mktemp("service") / "venv"
    install = [uv, "pip", "install", "--quiet", "--python", folder / "bin" / "python"]
    run(uv, "venv", "--quiet", "--python", sys.executable, folder)
    run(*install, "--require-hashes", "-r", project_root / "requirements" / "service.txt")
    run(*install, "--no-deps", project_root / "contract", project_root / "preproc_service")
    return folder


def run(*command: str | Path) -> None:
    """Run a command of uv's; skip when it finds no package index."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode and NO_INDEX.search(done.stderr):
        pytest.skip(f"no package index can be reached: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr


@contextmanager
def running(environment: Path, triton_address: str, log: Path) -> Iterator[httpx.Client]:
    """The environment's own ``radserve-service``, and a client of it once it is alive."""
    port = Ports().settled("127.0.0.1").service
    settings = {"RADSERVE_PORT": str(port), "RADSERVE_TRITON_ADDRESS": triton_address, "RADSERVE_DRAIN_S": "0"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [environment / "bin" / "radserve-service"],
            env=own_environment() | settings,
            cwd=log.parent,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=120) as http:
            wait(http, process, log)
            yield http
    finally:
        process.terminate()
        process.wait(120)


def wait(http: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(1200):
        assert process.poll() is None, log.read_text()
        try:
            if http.get("/livez").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError(log.read_text())


def installed(environment: Path) -> dict[str, Any]:
    """Distributions by normalised name, with what each requires."""
    script = (
        "import json, importlib.metadata as m;"
        "print(json.dumps({d.name.lower().replace('_', '-'): d.requires or [] for d in m.distributions()}))"
    )
    done = subprocess.run([environment / "bin" / "python", "-c", script], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def test_nothing_is_there_that_only_the_export_needs(environment: Path) -> None:
    names = set(installed(environment))
    assert {"radserve-contract", "radserve-preproc", "pydicom", "fastapi"} <= names
    assert not names & (EXPORT_ONLY | OTHER_PARTS)
    assert not [name for name in names if name.startswith("nvidia-")]


def test_the_locked_requirements_are_all_that_the_two_packages_need(environment: Path) -> None:
    found = installed(environment)
    needed = [Requirement(text) for name in ("radserve-contract", "radserve-preproc") for text in found[name]]
    here = [item for item in needed if item.marker is None or item.marker.evaluate()]
    missing = [item.name for item in here if item.name.lower().replace("_", "-") not in found]
    assert missing == []


def test_the_contract_needs_numpy_and_nothing_else(environment: Path) -> None:
    assert installed(environment)["radserve-contract"] == ["numpy"]


def test_without_triton_it_is_alive_and_says_so(environment: Path, tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{Ports().settled('127.0.0.1').triton_grpc}"
    with running(environment, nobody, tmp_path / "service.log") as http:
        assert http.get("/readyz").status_code == 503
        refusal(post(http, make_radiograph()), 503, "TRITON_UNAVAILABLE")


def test_with_triton_it_answers_on_a_film(environment: Path, tmp_path: Path) -> None:
    with served_in_thread(Servicer(FakeTriton())) as port:
        with running(environment, f"127.0.0.1:{port}", tmp_path / "service.log") as http:
            answer = findings(post(http, make_radiograph(transfer_syntax=uid.JPEG2000Lossless)))
            assert answer["decision"]["label"] == "abnormal"
            assert len(answer["detections"]["boxes"]) == 1
            picture = post(http, make_radiograph(), accept="image/png")
            assert picture.headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    "syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless]
)
def test_it_decodes_what_the_whole_project_decodes(environment: Path, syntax: uid.UID) -> None:
    done = subprocess.run(
        [environment / "bin" / "python", "-W", "error", "-c", DECODE],
        input=make_radiograph(transfer_syntax=syntax),
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().strip() == "(320, 256) 0 255 []"
