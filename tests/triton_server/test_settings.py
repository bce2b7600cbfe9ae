"""The launcher's settings: from the environment, under one prefix, and nothing unknown."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.main import get_command

from radserve_triton.cli import app
from radserve_triton.errors import BadSetting
from radserve_triton.settings import PREFIX, Log, ServerSettings, load_settings
from tests.served_repository import ROOT

SERVICE_LINKS = [
    "RADSERVE_SERVER_SERVICE_HOST",
    "RADSERVE_SERVER_SERVICE_PORT",
    "RADSERVE_SERVER_SERVICE_PORT_GRPC",
    "RADSERVE_SERVER_PORT",
    "RADSERVE_SERVER_PORT_8001_TCP",
    "RADSERVE_SERVER_PORT_8001_TCP_ADDR",
]


def set_environment(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_options_come_before_the_environment_and_that_before_the_defaults(monkeypatch):
    set_environment(monkeypatch, RADSERVE_SERVER_GRPC_PORT="1", RADSERVE_SERVER_HTTP_PORT="2")

    settings = load_settings(grpc_port=3, log=None)

    assert (settings.grpc_port, settings.http_port, settings.metrics_port) == (3, 2, 8002)
    assert settings.log is Log.PROBLEMS


def test_a_path_and_a_choice_are_read_from_text(monkeypatch):
    set_environment(monkeypatch, RADSERVE_SERVER_REPOSITORY="models", RADSERVE_SERVER_LOG="all")

    assert (load_settings().repository, load_settings().log) == (Path("models"), Log.ALL)


def test_an_empty_variable_is_an_absent_one(monkeypatch):
    set_environment(monkeypatch, RADSERVE_SERVER_RUNTIME="", RADSERVE_SERVER_GRPC_PORT="")

    assert (load_settings().runtime, load_settings().grpc_port) == (None, 8001)


@pytest.mark.parametrize("name", ["RADSERVE_SERVER_GRPC_PROT", "radserve_server_nothing", "RADSERVE_SERVER_PORT_X"])
def test_an_unknown_name_is_refused(monkeypatch, name: str):
    set_environment(monkeypatch, **{name: "1"})

    with pytest.raises(BadSetting, match=f"{name} is no setting"):
        load_settings()


@pytest.mark.parametrize("name", [*SERVICE_LINKS, "RADSERVE_PORT", "RADSERVE_CLIENT_URL"])
def test_names_that_kubernetes_or_other_programs_own_are_left_alone(monkeypatch, name: str):
    set_environment(monkeypatch, **{name: "tcp://10.0.0.1:8001"})

    assert load_settings() == load_settings({})


@pytest.mark.parametrize(
    ("name", "value"),
    [("grpc_port", "many"), ("http_port", "70000"), ("start_timeout_s", "0"), ("log", "some"), ("variant", "a b")],
)
def test_a_value_out_of_range_is_refused_by_the_variables_name(monkeypatch, name: str, value: str):
    set_environment(monkeypatch, **{f"RADSERVE_SERVER_{name.upper()}": value})

    with pytest.raises(BadSetting, match=f"RADSERVE_SERVER_{name.upper()} is '{value}'"):
        load_settings()


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        load_settings().host = "0.0.0.0"


def test_the_readme_lists_every_setting_with_its_default_and_option():
    table = (ROOT / "triton_server" / "README.md").read_text("utf-8")
    options = {parameter.name for parameter in get_command(app).commands["serve"].params}

    for name, field in ServerSettings.model_fields.items():
        (row,) = (line for line in table.splitlines() if line.startswith(f"| `{PREFIX}{name.upper()}` |"))
        _, _, option, default, _, _ = (cell.strip() for cell in row.split("|"))
        assert option == (f"`--{name.replace('_', '-')}`" if name in options else "")
        if name not in ("runtime", "variant", "self_test"):  # what these are by default is said in words
            assert default == f"`{str(field.default).lower()}`"


def test_every_option_is_a_setting():
    serve = get_command(app).commands["serve"]

    assert {parameter.name for parameter in serve.params} <= {*ServerSettings.model_fields, "help"}
