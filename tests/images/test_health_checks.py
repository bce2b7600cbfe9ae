"""The health checks of images and compose file, run as commands: a server that is well, one that is not, none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.images.compose_rules import read
from tests.images.context import ROOT
from tests.images.dockerfile import parse
from tests.images.dockerfile_rules import health_command
from tests.images.tritonserver import free_port

COMPOSE = read((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
FOLDERS = {"triton": "triton_server", "service": "preproc_service"}
PORTS = {"triton": "8000", "service": "8080"}
PATHS = {"triton": "/v2/health/ready", "service": "/readyz"}


def commands() -> dict[tuple[str, str], list[str]]:
    """Every health check as a list of words, by where it stands and what it checks."""
    found = {("compose", name): COMPOSE[name]["healthcheck"]["test"][1:] for name in FOLDERS}
    for name, folder in FOLDERS.items():
        text = (ROOT / folder / "Dockerfile").read_text(encoding="utf-8")
        found["image", name] = health_command(parse(text).final)
    return found


@pytest.fixture
def server():
    """A server whose every path answers ``status``; it remembers the paths it was asked for."""

    class Handler(BaseHTTPRequestHandler):
        status, asked = 200, []

        def do_GET(self):
            self.asked.append(self.path)
            self.send_response(self.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()


def exit_status(where: tuple[str, str], port: int, **environ: str) -> int:
    """Run a health check against ``port`` of this machine."""
    command = [word.replace(f":{PORTS[where[1]]}/", f":{port}/") for word in commands()[where]]
    if command[0] == "curl" and not shutil.which("curl"):
        pytest.skip("no curl on this machine: apt-get install curl")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "RADSERVE_PORT": str(port), **environ}
    return subprocess.run(command, env=environment, capture_output=True, check=False, timeout=120).returncode


@pytest.mark.parametrize("where", commands())
def test_a_server_that_is_well_passes(where, server):
    assert exit_status(where, server.server_port) == 0
    assert server.RequestHandlerClass.asked == [PATHS[where[1]]]


@pytest.mark.parametrize("where", commands())
def test_a_server_that_is_not_ready_fails(where, server):
    server.RequestHandlerClass.status = 503
    assert exit_status(where, server.server_port) != 0


@pytest.mark.parametrize("where", commands())
def test_nobody_there_fails(where):
    assert exit_status(where, free_port()) != 0


@pytest.mark.parametrize("where", commands())
def test_the_proxy_that_docker_puts_into_containers_is_not_asked(where, server):
    """A site's ~/.docker/config.json sets these in every container; the proxy cannot reach a container's 127.0.0.1."""
    nobody = f"http://127.0.0.1:{free_port()}"
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"), nobody)
    assert exit_status(where, server.server_port, **proxies) == 0
