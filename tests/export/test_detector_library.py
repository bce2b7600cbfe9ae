"""Importing ultralytics by way of ours disturbs nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, socket, torch
from PIL import Image
save, open_picture, looked_up = torch.save, Image.open, []
socket.getaddrinfo = lambda *arguments, **options: looked_up.append(arguments) or []
before = dict(os.environ)
import radserve_export.yolo_library
assert dict(os.environ) == before, set(os.environ.items()) ^ set(before.items())
assert torch.save is save
assert Image.open is open_picture
assert not looked_up, looked_up
"""


def test_no_settings_file_no_look_up_no_changed_environment_no_replaced_function(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    dropped = {"OMP_NUM_THREADS", "YOLO_CONFIG_DIR", "YOLO_OFFLINE", "XDG_CONFIG_HOME"}
    environment = {name: value for name, value in os.environ.items() if name not in dropped} | {"HOME": str(home)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr == ""
    assert not [path for path in home.rglob("*") if "ltralytics" in path.name]
