"""A served repository of a few bytes, and wheels that hold nothing but metadata."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

from bundle.wheels import Wheel, sha256_of


def repository(folder: Path, *, trained: bool = False) -> Path:
    """One network, a fusion without weights and an ensemble whose version folder is empty, with their manifest."""
    weights = "trained" if trained else "UNTRAINED"
    for model, told, architecture in (("net", weights, "resnet50"), ("fusion", "none", None)):
        version = folder / model / "1"
        version.mkdir(parents=True)
        (version / "model.onnx").write_bytes(model.encode())
        provenance = {"weights": told, "architecture": architecture, "graphs": {"model.onnx": {}}}
        (version / "provenance.json").write_text(json.dumps(provenance))
        (folder / model / "config.pbtxt").write_text(f'name: "{model}"')
    (folder / "whole" / "1").mkdir(parents=True)
    (folder / "whole" / "config.pbtxt").write_text('name: "whole"')
    seal(folder, trained=trained)
    return folder


def seal(folder: Path, *, trained: bool = False) -> None:
    """Write the manifest of what is there."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "manifest.json"]
    files = [{"path": str(path.relative_to(folder)), "sha256": sha256_of(path)} for path in paths]
    manifest = {"trained": trained, "pipelines": [{"pipeline": "spine"}], "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def wheel(folder: Path, name: str, version: str = "1.0", licence: str = "MIT", requires: tuple[str, ...] = ()) -> Wheel:
    """A wheel file with these metadata."""
    stem = f"{name.replace('-', '_')}-{version}"
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", f"License-Expression: {licence}"]
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{stem}.dist-info/METADATA", "\n".join([*lines, *(f"Requires-Dist: {r}" for r in requires)]))
    return Wheel(path, hashlib.sha256(path.read_bytes()).hexdigest())
