"""The commands and flags of the Triton pod do what they are there for: run here with what the images run them with."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.helm.chart import (
    NAMES,
    Object,
    environment,
    flags,
    preproc,
    render,
    rendered,
    triton,
    with_changes,
)
from tests.helm.generated import ROOT
from tests.images.dockerfile import copy, parse
from tests.images.tritonserver import ENTRYPOINT, binary, known_flags
from tests.images.tritonserver import flags as entrypoint_flags
from tests.triton_server.repositories import write_manifest

SPINE = ("spine_densenet121", "spine_resnet50", "spine_efficientnetv2_s", "spine_fusion", "spine_yolo11")
LOCAL = [name for name in NAMES if name != "everything"]


@pytest.fixture
def server() -> Iterator[type[BaseHTTPRequestHandler]]:
    """Answers 200 to every path but those in ``down``; remembers the paths it was asked for. ``port`` is its own."""

    class Handler(BaseHTTPRequestHandler):
        asked, down = [], set()
        port = 0

        def do_GET(self):
            self.asked.append(self.path)
            self.send_response(400 if self.path in self.down else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        Handler.port = running.server_port
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield Handler
        finally:
            running.shutdown()
            thread.join()


def probe(name: str, kind: str, port: int) -> int:
    """Run a probe's command against a port of this machine; its exit status."""
    if not shutil.which("curl"):
        pytest.skip("no curl on this machine: apt-get install curl")
    command = [word.replace(":8000/", f":{port}/") for word in triton(rendered(name))[kind]["exec"]["command"]]
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode


def test_readiness_asks_the_server_and_every_model_the_pipelines_need(server):
    assert probe("pvc", "readinessProbe", server.port) == 0
    models = {f"/v2/models/{name}/ready" for name in (*SPINE, "spine_classification", "spine")}
    assert set(server.asked) == {"/v2/health/ready", *models}


@pytest.mark.parametrize("path", ["/v2/health/ready", "/v2/models/spine_fusion/ready", "/v2/models/spine/ready"])
def test_one_that_is_not_ready_is_enough(server, path: str):
    server.down = {path}

    assert probe("pvc", "readinessProbe", server.port) != 0


def test_readiness_without_named_pipelines_asks_the_server_alone(server):
    objects = render(with_changes("pvc", {"pipelines": []}))

    assert triton(objects)["readinessProbe"]["exec"]["command"][-1] == "http://127.0.0.1:8000/v2/health/ready"


def test_liveness_asks_for_no_model(server):
    server.down = {"/v2/health/ready", "/v2/models/spine/ready"}

    assert probe("pvc", "livenessProbe", server.port) == 0
    assert server.asked == ["/v2/health/live"]
    assert probe("pvc", "startupProbe", server.port) != 0


def test_probes_fail_where_nobody_listens(server):
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        free = other.server_port
    for kind in ("readinessProbe", "livenessProbe", "startupProbe"):
        assert probe("pvc", kind, free) != 0


@pytest.mark.parametrize("name", NAMES)
def test_loading_and_warming_have_their_time_before_liveness_counts(name: str):
    container = triton(rendered(name), "xray-triton" if name == "everything" else "radserve-triton")

    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 900


@pytest.mark.skipif(binary() is None, reason="no tritonserver in .venv-triton: run `make install`")
def test_every_flag_is_one_that_tritonserver_knows():
    known = known_flags(binary())
    used = {flag for name in LOCAL for flag in flags(triton(rendered(name)))}

    assert {"--grpc-use-ssl-mutual", "--grpc-max-connection-age-grace", "--model-config-name"} <= used
    assert used <= known


def test_flags_of_the_chart_change_nothing_that_the_entry_point_shuts():
    shut = entrypoint_flags(ENTRYPOINT.read_text("utf-8"))

    for name in LOCAL:
        assert "command" not in triton(rendered(name))
        assert not set(flags(triton(rendered(name)))) & (set(shut) - {"--exit-timeout-secs"})
    assert shut["--model-control-mode"] == "none"


@pytest.mark.parametrize(
    ("name", "resource"),
    [("gpu", "nvidia.com/gpu"), ("mig", "nvidia.com/mig-2g.20gb"), ("cpu", None), ("keda", "nvidia.com/mig-3g.40gb")],
)
def test_one_value_chooses_what_triton_runs_on(name: str, resource: str | None):
    container = triton(rendered(name))

    devices = {key: value for key, value in container["resources"]["limits"].items() if key.startswith("nvidia.com")}
    assert devices == ({resource: 1} if resource else {})
    assert environment(container).get("NVIDIA_VISIBLE_DEVICES") == (None if resource else "void")
    assert container["resources"]["limits"]["memory"] == "8Gi"


def test_one_value_chooses_the_engine_variant_and_it_is_checked():
    pod = rendered("pvc").pods()["Deployment/radserve-triton"]

    assert flags(pod["containers"][0])["--model-config-name"] == "torchscript"
    assert "--variant=torchscript" in init(pod, "verify")["command"]
    assert "--model-config-name" not in flags(triton(rendered("minimal")))


def init(pod: Object, name: str) -> Object:
    (found,) = [item for item in pod["initContainers"] if item["name"] == name]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_repository_is_copied_then_checked_then_mounted_read_only(name: str):
    (pod,) = [pod for key, pod in rendered(name).pods().items() if key.endswith("-triton")]

    assert [item["name"] for item in pod["initContainers"]] == ["repository", "verify"]
    mounts = [
        {mount["name"]: mount for mount in item["volumeMounts"]}["models"]
        for item in (*pod["initContainers"], *pod["containers"])
    ]
    assert [mount.get("readOnly", False) for mount in mounts] == [False, True, True]
    (volume,) = [item for item in pod["volumes"] if item["name"] == "models"]
    assert "emptyDir" in volume
    assert mounts[2]["mountPath"] == entrypoint_flags(ENTRYPOINT.read_text("utf-8"))["--model-repository"]


def test_the_check_is_a_command_that_the_triton_image_has():
    pod = rendered("pvc").pods()["Deployment/radserve-triton"]
    image = parse((ROOT / "triton_server/Dockerfile").read_text("utf-8")).final

    assert init(pod, "verify")["image"] == pod["containers"][0]["image"]
    assert init(pod, "verify")["command"][:4] == ["python3", "-m", "radserve_triton.verify", "/models"]
    copied = {path for item in image.all("COPY") for path in copy(item).files}
    folder = image.environment["PYTHONPATH"]
    assert {f"{folder}/radserve_triton/{name}.py" for name in ("__init__", "errors", "repository", "verify")} <= copied
    assert any("radserve_triton.verify --help" in item.value for item in image.all("RUN"))


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A small repository that holds every model of the spine pipeline, with a TorchScript variant."""
    folder = tmp_path / "release"
    for name in (*SPINE, "spine_classification", "spine"):
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "config.pbtxt").write_text(f"name: '{name}'")
        (folder / name / "configs").mkdir()
        (folder / name / "configs" / "torchscript.pbtxt").write_text(name)
    (folder / "spine_fusion" / "1" / "model.onnx").write_bytes(b"graph")
    return write_manifest(folder)


def run_init(command: list[str], folders: dict[str, Path]) -> subprocess.CompletedProcess[str]:
    """Run an init container's command here, with its folders elsewhere."""
    for inside, here in folders.items():
        command = [re.sub(rf"(?<!\w){inside}\b", str(here), word) for word in command]
    command = [sys.executable if word == "python3" else word for word in command]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))


@pytest.mark.parametrize(("name", "source"), [("pvc", "/source"), ("oci", "/repository")])
@pytest.mark.parametrize("times", [1, 2])
def test_a_release_is_copied_whole_and_passes_however_often(
    name: str, source: str, times: int, release: Path, tmp_path: Path
):
    pod = rendered(name).pods()["Deployment/radserve-triton"]
    (tmp_path / "models" / "left over").mkdir(parents=True)
    models = ["--model=spine", "--model=spine_fusion"]

    for _ in range(times):
        copied = run_init(init(pod, "repository")["command"], {source: release, "/models": tmp_path / "models"})
        assert (copied.returncode, copied.stderr) == (0, "")
    command = [word for word in init(pod, "verify")["command"] if not word.startswith("--")] + models
    checked = run_init(command, {"/models": tmp_path / "models"})
    assert (checked.returncode, checked.stderr) == (0, "")


def test_a_changed_file_stops_the_pod_before_triton_starts(release: Path):
    pod = rendered("pvc").pods()["Deployment/radserve-triton"]
    (release / "spine_fusion" / "1" / "model.onnx").write_bytes(b"grapH")
    command = [word for word in init(pod, "verify")["command"] if not word.startswith("--manifest-sha256")]

    checked = run_init(command, {"/models": release})

    assert checked.returncode == 1
    assert "was changed after it was published" in checked.stderr


def test_another_manifest_than_the_one_named_stops_it_too(release: Path):
    pod = rendered("pvc").pods()["Deployment/radserve-triton"]

    checked = run_init(init(pod, "verify")["command"], {"/models": release})

    assert checked.returncode == 1
    assert "this is another release" in checked.stderr


def test_a_store_is_asked_with_what_the_values_say():
    store = init(rendered("s3").pods()["Deployment/radserve-triton"], "repository")

    assert store["image"] == "docker.io/rclone/rclone:1.68.2"
    assert store["command"][-2:] == [":s3:radserve/releases/2026-11-20", "/models"]
    assert "--ca-cert=/etc/radserve/s3/ca.crt" in store["command"]
    given = environment(store)
    assert given["RCLONE_S3_PROVIDER"] == "Other"
    assert given["RCLONE_S3_ENDPOINT"] == "https://objects.example.org:9000"
    secrets = {item["name"]: item["valueFrom"]["secretKeyRef"] for item in store["env"] if "valueFrom" in item}
    assert secrets["RCLONE_S3_ACCESS_KEY_ID"] == {"name": "radserve-store", "key": "access-key-id"}
    assert secrets["RCLONE_S3_SECRET_ACCESS_KEY"] == {"name": "radserve-store", "key": "secret-access-key"}


def test_amazons_store_is_asked_with_the_pods_own_identity():
    objects = rendered("s3-identity")
    given = environment(init(objects.pods()["Deployment/radserve-triton"], "repository"))

    assert (given["RCLONE_S3_PROVIDER"], given["RCLONE_S3_ENV_AUTH"]) == ("AWS", "true")
    assert "RCLONE_S3_ENDPOINT" not in given
    account = objects.one("ServiceAccount", "radserve-triton")
    assert list(account["metadata"]["annotations"]) == ["eks.amazonaws.com/role-arn"]


@pytest.mark.parametrize("name", NAMES)
def test_the_service_of_triton_is_a_name_for_all_its_ready_pods(name: str):
    """One gRPC connection would carry everything to one pod behind a cluster address."""
    (service,) = [item for item in rendered(name).of("Service") if item["metadata"]["name"].endswith("-triton")]

    assert service["spec"]["clusterIP"] == "None"
    assert "publishNotReadyAddresses" not in service["spec"]


def test_a_connection_lives_shorter_than_a_minute_and_its_calls_to_their_end():
    given = flags(triton(rendered("minimal")))

    assert 1.1 * int(given["--grpc-max-connection-age"]) < 60_000 - 20_000
    assert int(given["--grpc-max-connection-age-grace"]) > 170_000


@pytest.mark.parametrize(
    "change",
    [
        {"repository.pvc.subPath": "2026-12-01"},
        {"repository.manifestSha256": "0" * 64},
        {"triton.modelConfigName": "openvino"},
        {"triton.image.tag": "0.2.0"},
    ],
)
def test_whatever_may_change_an_answer_gives_triton_another_name(change: dict[str, object]):
    now, then = rendered("minimal"), render(with_changes("minimal", change))

    names = []
    for objects in (now, then):
        pod = objects.pods()["Deployment/radserve-triton"]
        address = environment(preproc(objects))["RADSERVE_TRITON_ADDRESS"]
        assert address == f"dns:///{pod['hostname']}.{pod['subdomain']}.imaging.svc.cluster.local:8001"
        assert pod["subdomain"] == objects.one("Service", "radserve-triton")["metadata"]["name"]
        names.append(pod["hostname"])
    assert names[0] != names[1]


def test_what_changes_no_answer_keeps_the_name():
    then = render(with_changes("minimal", {"triton.replicaCount": 2, "pipelines": ["spine"], "tls": {}}))

    assert (
        environment(preproc(then))["RADSERVE_TRITON_ADDRESS"]
        == environment(preproc(rendered("minimal")))["RADSERVE_TRITON_ADDRESS"]
    )
