"""docs/licences.md lists what is installed, and the serving side holds nothing that is not permissive."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from email.message import Message
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _load():
    """requirements/licences.py, which is a script and no package."""
    spec = importlib.util.spec_from_file_location("licences", ROOT / "requirements" / "licences.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


licences = _load()
FOUND = licences.installed()


def distribution(name: str, **fields: str | list[str]) -> SimpleNamespace:
    """A stand-in for an installed distribution with these metadata fields (``License_Expression="MIT"``)."""
    metadata = Message()
    metadata["Name"] = name
    for field, values in fields.items():
        for value in [values] if isinstance(values, str) else values:
            metadata[field.replace("_", "-")] = value
    return SimpleNamespace(metadata=metadata)


@pytest.fixture
def requirements(tmp_path):
    """A requirements folder in which every file pins ``harmless`` and nothing else."""
    for file in {file for files in licences.USES.values() for file in files}:
        (tmp_path / file).write_text("harmless==1.0 ; python_full_version < '3.14' \\\n    --hash=sha256:00\n")
    return tmp_path


def test_the_table_is_what_the_installed_metadata_say():
    page = licences.PAGE.read_text(encoding="utf-8")
    assert page == licences.with_table(page, licences.table(licences.rows(FOUND))), (
        "docs/licences.md is out of date: run .venv/bin/python requirements/licences.py and read what changed"
    )


def test_the_licence_is_whole_and_every_package_names_it():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert hashlib.sha256(text.encode()).hexdigest().startswith("cfc7749b96f63bd3"), (
        "not the Apache License 2.0 as published"
    )
    for package in ROOT.glob("*/pyproject.toml"):
        assert 'license = "Apache-2.0"' in package.read_text(encoding="utf-8"), package


def test_every_requirement_file_for_serving_pins_something():
    for files in licences.USES.values():
        for file in files:
            assert licences.pinned(ROOT / "requirements" / file), f"{file} pins nothing: these checks would pass empty"


@pytest.mark.parametrize("use", ["service image", "embedded Triton"])
def test_the_serving_side_is_permissive(use):
    rows = [row for row in licences.rows(FOUND) if use in row.uses]
    assert rows
    assert [(row.name, row.licence) for row in rows if not licences.is_permissive(row.licence)] == []


def test_the_client_is_permissive_but_for_the_ca_list():
    rows = [row for row in licences.rows(FOUND) if "client" in row.uses]
    assert [(row.name, row.licence) for row in rows if not licences.is_permissive(row.licence)] == [
        ("certifi", "MPL-2.0")
    ]


def test_the_agpl_is_in_export_only():
    agpl = [row for row in licences.rows(FOUND) if "AGPL" in row.licence]
    assert "ultralytics" in {row.name for row in agpl}
    assert all(row.uses == {"export"} for row in agpl)


def test_a_new_dependency_changes_the_table(requirements):
    found = {"harmless": distribution("harmless", License="MIT"), "extra": distribution("Extra", License="MIT")}
    before = licences.table(licences.rows(found, requirements))
    (requirements / "service.txt").write_text("extra==2.0 \\\n    --hash=sha256:00\n")
    after = licences.table(licences.rows(found, requirements))
    assert "| extra | MIT | x |   |   |   |" in after
    assert "extra" not in before


def test_a_copyleft_dependency_is_seen_in_the_image(requirements):
    found = {"harmless": distribution("harmless", License_Expression="GPL-3.0-or-later")}
    (row,) = licences.rows(found, requirements)
    assert "service image" in row.uses
    assert not licences.is_permissive(row.licence)


def test_a_dependency_that_is_not_installed_is_an_error(requirements):
    with pytest.raises(KeyError, match="harmless"):
        licences.rows({}, requirements)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"License_Expression": "MIT-CMU"}, "MIT-CMU"),
        ({"License_Expression": "Apache-2.0 OR BSD-2-Clause"}, "Apache-2.0 OR BSD-2-Clause"),
        ({"License": "Apache 2.0"}, "Apache-2.0"),
        ({"Classifier": ["Topic :: Scientific", "License :: OSI Approved :: MIT License"]}, "MIT"),
        (
            {"License": "Copyright (c) somebody\nAll sorts", "Classifier": "License :: OSI :: BSD License"},
            "BSD",
        ),
    ],
)
def test_licences_are_read_from_wherever_the_metadata_state_them(fields, expected):
    assert licences.licence_of(distribution("x", **fields)) == expected


@pytest.mark.parametrize("fields", [{}, {"License": "See the file"}, {"Classifier": "Topic :: Scientific"}])
def test_a_licence_nobody_understands_is_an_error(fields):
    with pytest.raises(ValueError, match="x: no licence understood"):
        licences.licence_of(distribution("x", **fields))


@pytest.mark.parametrize(
    ("expression", "permissive"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("GPL-2.0-only OR MIT", True),
        ("MIT AND LGPL-2.1-or-later", False),
        ("AGPL-3.0", False),
        ("LicenseRef-NVIDIA-Proprietary", False),
    ],
)
def test_permissive_means_every_part_of_one_choice(expression, permissive):
    assert licences.is_permissive(expression) is permissive
