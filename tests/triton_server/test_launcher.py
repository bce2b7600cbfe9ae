"""``radserve-triton serve`` on the real server: it says the first real error, and always leaves nothing behind."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

import onnx
import pytest

from radserve_triton.resources import SELF_TEST
from tests.triton_server.launcher import COMMAND, Launcher, left_behind, processes, wait_until
from tests.triton_server.repositories import add, write_manifest, write_model

TGKILL = 234
"""System call number of tgkill on x86-64: a signal to one thread of a process."""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_model(tmp_path / "repository", "add", add(1), x=("FP32", [3]), y=("FP32", [3]))
    return write_manifest(tmp_path / "repository")


def test_it_says_what_it_serves_where_and_ends_well_on_sigterm(repository: Path):
    with Launcher(repository) as launcher:
        name = launcher.server_name()
        assert left_behind(name), "the search finds nothing, so it would prove nothing after the end"

        assert launcher.stop(signal.SIGTERM) == (0, "")

    facts = "\n".join(launcher.output)
    for fact in (
        "models add\n",
        "nvidia-pytriton",
        "manifest.json says",
        "known answer",
        "ready: gRPC 127.",
        "stopping",
    ):
        assert fact in facts
    assert left_behind(name) == []


def test_ctrl_c_ends_it_with_130_and_nothing_is_left(repository: Path):
    with Launcher(repository) as launcher:
        name = launcher.server_name()

        assert launcher.stop(signal.SIGINT) == (130, "")

    assert left_behind(name) == []


def test_a_launcher_killed_outright_takes_its_server_with_it(repository: Path):
    with Launcher(repository) as launcher:
        name = launcher.server_name()

        launcher.stop(signal.SIGKILL)

        wait_until(lambda: not left_behind(name))


def test_a_sigterm_while_it_starts_leaves_nothing(repository: Path):
    with Launcher(repository, wait_ready=False) as launcher:
        wait_until(lambda: any("tritonserver" in command[0] for command in processes(str(repository)).values()))
        name = launcher.server_name()

        assert launcher.stop(signal.SIGTERM)[0] == 0

    assert left_behind(name) == []


def test_a_guard_killed_outright_takes_its_server_with_it(repository: Path):
    with Launcher(repository) as launcher:
        name = launcher.server_name()
        (guard,) = (process for process, command in processes(name).items() if "radserve_triton.guard" in command)

        os.kill(guard, signal.SIGKILL)

        assert launcher.finish()[0] == 1
        wait_until(lambda: not left_behind(name))


def test_a_server_that_crashes_is_reported_and_swept_up(repository: Path):
    with Launcher(repository) as launcher:
        name = launcher.server_name()
        (server,) = (process for process, command in processes(name).items() if Path(command[0]).name == "tritonserver")

        os.kill(server, signal.SIGKILL)
        status, errors = launcher.finish()

    assert (status, "tritonserver ended by itself" in errors, "Killed" in errors) == (1, True, True)
    assert left_behind(name) == []


@pytest.fixture
def stubborn(repository: Path) -> Path:
    """The repository with a model in it that takes an hour to unload. Served with ``--no-verify``."""
    stubborn = repository / "stubborn"
    (stubborn / "1").mkdir(parents=True)
    (stubborn / "config.pbtxt").write_text(
        'name: "stubborn" backend: "python" max_batch_size: 0\n'
        'input [ { name: "x", data_type: TYPE_FP32, dims: [ 1 ] } ]\n'
        'output [ { name: "y", data_type: TYPE_FP32, dims: [ 1 ] } ]'
    )
    (stubborn / "1" / "model.py").write_text(
        "import time\n\n\nclass TritonPythonModel:\n    def execute(self, requests):\n        return []\n\n"
        "    def finalize(self):\n        time.sleep(3600)\n"
    )
    return repository


def test_a_model_that_hangs_on_unload_is_not_waited_for_without_end(stubborn: Path):
    with Launcher(stubborn, "--no-verify") as launcher:
        name = launcher.server_name()

        assert launcher.stop(signal.SIGTERM)[0] == 0

    assert left_behind(name) == []


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_make_it_leave_its_server_behind(stubborn: Path, second: signal.Signals):
    """Ctrl-C twice; or once in a terminal, which reaches a parent too, and that parent's SIGTERM."""
    with Launcher(stubborn, "--no-verify", RADSERVE_SERVER_EXIT_TIMEOUT_S="5") as launcher:
        name = launcher.server_name()
        launcher.process.send_signal(signal.SIGINT)
        launcher.read_until("stopping")
        assert launcher.process.poll() is None, "it has stopped already, so the second signal shows nothing"

        assert launcher.stop(second)[0] == 130

        assert left_behind(name) == []


def test_a_signal_that_reaches_another_thread_stops_it_too(repository: Path):
    with Launcher(repository) as launcher:
        threads = sorted(map(int, os.listdir(f"/proc/{launcher.process.pid}/task")))
        other = next(thread for thread in threads if thread != launcher.process.pid)
        ctypes.CDLL(None).syscall(TGKILL, launcher.process.pid, other, int(signal.SIGTERM))

        assert launcher.finish() == (0, "")


def test_a_web_proxy_of_the_machine_is_not_asked(repository: Path):
    proxy = dict.fromkeys(("http_proxy", "https_proxy", "grpc_proxy"), "http://127.0.0.1:9")

    with Launcher(repository, no_proxy="", **proxy) as launcher:
        assert "ready: " in launcher.output[-1]


def test_it_serves_on_an_ipv6_address(repository: Path):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")

    with Launcher(repository, "--host", "::1") as launcher:
        assert "ready: gRPC [::1]:" in launcher.output[-1]
        metrics = launcher.output[-1].split("metrics ")[1]

        with urllib.request.urlopen(metrics, timeout=10) as answer:
            assert b"nv_inference_count" in answer.read()


def run(repository: Path, *options: str | Path) -> tuple[int, str]:
    """Exit status and standard error of a command that is expected to fail."""
    with Launcher(repository, *options, wait_ready=False) as launcher:
        result = launcher.finish()
    assert processes(str(repository)) == {}
    return result


def test_a_missing_graph_is_named(repository: Path):
    (repository / "add" / "1" / "model.onnx").unlink()

    status, errors = run(write_manifest(repository))

    assert status == 1
    assert f"start_failed: tritonserver did not start: model add: {repository}/add/1/model.onnx is missing" in errors


def test_a_broken_config_is_named_with_line_and_column(repository: Path):
    config = repository / "add" / "config.pbtxt"
    config.write_text(config.read_text() + "\nno_such_field: 1")

    status, errors = run(write_manifest(repository))

    assert status == 1
    assert f"{config}: Error parsing text-format" in errors
    assert 'has no field named "no_such_field"' in errors


def test_a_changed_repository_is_refused_before_anything_starts(repository: Path):
    onnx.save(add(2), repository / "add" / "1" / "model.onnx")

    status, errors = run(repository)

    assert status == 1
    assert f"repository_invalid: {repository}/add/1/model.onnx was changed after it was published" in errors


def test_a_misspelt_variant_is_refused_before_anything_starts(repository: Path):
    status, errors = run(repository, "--variant", "torchscrpt")

    assert status == 1
    assert "repository_invalid: no model of" in errors
    assert "torchscrpt" in errors


def test_a_port_in_use_is_named(repository: Path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        status, errors = run(repository, "--grpc-port", str(port))

    assert status == 1
    assert f"port_in_use: cannot listen on 127.0.0.1:{port} for grpc: Address already in use" in errors


def test_a_missing_runtime_says_how_to_make_one(repository: Path, tmp_path: Path):
    status, errors = run(repository, "--runtime", tmp_path / "nowhere")

    assert status == 1
    assert "runtime_missing:" in errors
    assert "make install" in errors


def test_a_wrong_answer_to_the_known_question_is_never_ready(repository: Path, tmp_path: Path):
    broken = tmp_path / "self_test"
    shutil.copytree(SELF_TEST, broken)
    graph = onnx.load(broken / "radserve_self_test" / "1" / "model.onnx")
    (gather,) = (node for node in graph.graph.node if node.op_type == "Gather")
    gather.op_type = "Identity"  # as a stub would that hands every element back where it found it
    del gather.input[1], gather.attribute[:]
    onnx.save(graph, broken / "radserve_self_test" / "1" / "model.onnx")

    with Launcher(repository, wait_ready=False, RADSERVE_SERVER_SELF_TEST=str(broken)) as launcher:
        status, errors = launcher.finish()

    assert status == 1
    assert "self_test_failed: radserve_self_test answered reversed" in errors
    assert not any("ready" in line for line in launcher.output)
    assert processes(str(repository)) == {}


def test_an_unknown_setting_is_wrong_usage(repository: Path):
    environment = os.environ | {"RADSERVE_SERVER_GRPC_PROT": "1"}

    ended = subprocess.run([COMMAND, "serve"], env=environment, capture_output=True, text=True, check=False)

    assert ended.returncode == 2
    assert "bad_setting: RADSERVE_SERVER_GRPC_PROT is no setting" in ended.stderr
