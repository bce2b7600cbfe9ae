"""The environment to settings, and docs/settings.md beside them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from radserve_preproc.main import main
from radserve_preproc.settings import Balancing, ConfigurationError, Settings, load, variable
from radserve_preproc.settings_table import as_lines, as_markdown

LINKS = {
    "RADSERVE_SERVICE_HOST": "10.0.0.1",
    "RADSERVE_SERVICE_PORT": "8080",
    "RADSERVE_SERVICE_PORT_HTTP": "8080",
    "RADSERVE_PORT": "tcp://10.0.0.1:8080",
    "RADSERVE_PORT_8080_TCP": "tcp://10.0.0.1:8080",
    "RADSERVE_PORT_8080_TCP_PROTO": "tcp",
    "RADSERVE_PORT_8080_TCP_PORT": "8080",
    "RADSERVE_PORT_8080_TCP_ADDR": "10.0.0.1",
}
"""What Kubernetes injects for a Service called ``radserve``."""


def test_an_empty_environment_gives_the_defaults() -> None:
    assert load({}) == Settings()
    assert load({"PATH": "/bin", "RADSERVED": "1"}) == Settings()


def test_each_setting_is_read_from_its_variable() -> None:
    settings = load(
        {
            "RADSERVE_HOST": "0.0.0.0",
            "RADSERVE_PORT": "9000",
            "RADSERVE_TRITON_BALANCING": "round_robin",
            "RADSERVE_REQUEST_TIMEOUT_S": "2.5",
            "RADSERVE_LOG_HASH_KEY": "key",
        }
    )
    assert (settings.host, settings.port, settings.request_timeout_s) == ("0.0.0.0", 9000, 2.5)
    assert settings.triton_balancing is Balancing.ROUND_ROBIN
    assert settings.log_hash_key is not None
    assert settings.log_hash_key.get_secret_value() == "key"


@pytest.mark.parametrize("field", list(Settings.model_fields))
def test_an_empty_value_is_none(field: str) -> None:
    assert load({variable(field): ""}) == Settings()


def test_an_unknown_name_is_refused_and_the_near_one_named() -> None:
    with pytest.raises(ConfigurationError, match=r"^RADSERVE_PROT is no setting of the service; RADSERVE_PORT\?$"):
        load({"RADSERVE_PROT": "1"})


def test_every_unknown_name_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"RADSERVE_AAA.*RADSERVE_ZZZ"):
        load({"RADSERVE_ZZZ": "1", "RADSERVE_AAA": "1"})


@pytest.mark.parametrize("name", ["RADSERVE_CLIENT_URL", "RADSERVE_SERVER_GRPC_PORT", "RADSERVE_CLIENT_ANYTHING"])
def test_the_other_programs_settings_are_left_alone(name: str) -> None:
    assert load({name: "x"}) == Settings()


def test_what_kubernetes_injects_is_left_alone() -> None:
    assert load(LINKS) == Settings()
    assert (
        load({name.replace("RADSERVE_", "RADSERVE_TRITON_", 1): value for name, value in LINKS.items()}) == Settings()
    )


def test_a_port_of_ours_beside_the_links_of_other_services_counts() -> None:
    other = {name.replace("RADSERVE_", "RADSERVE_WEB_", 1): value for name, value in LINKS.items()}
    assert load(other | {"RADSERVE_PORT": "9000"}).port == 9000


@pytest.mark.parametrize(
    "environ",
    [
        {"RADSERVE_TRITON_PORT": "8001"},
        {"RADSERVE_TRITON_PORT": "tcp://10.0.0.1:8001"},
        {"RADSERVE_SERVICE_HOST": "10.0.0.1"},
        {"RADSERVE_TRITON_SERVICE_HOST": "10.0.0.1", "RADSERVE_TRITON_PORT": "8001"},
        LINKS | {"RADSERVE_PORTS": "1"},
    ],
)
def test_half_a_link_is_a_mistake(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        load(environ)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RADSERVE_PORT", "http"),
        ("RADSERVE_PORT", "70000"),
        ("RADSERVE_REQUEST_TIMEOUT_S", "0"),
        ("RADSERVE_REQUEST_TIMEOUT_S", "inf"),
        ("RADSERVE_QUEUE", "-1"),
        ("RADSERVE_TRITON_BALANCING", "random"),
        ("RADSERVE_LOG_LEVEL", "LOUD"),
        ("RADSERVE_UPLOAD_LIMIT_BYTES", "64MB"),
        ("RADSERVE_DRAIN_S", "nan"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name}: "):
        load({name: value})


@pytest.mark.parametrize("larger", ["RADSERVE_UPLOAD_LIMIT_BYTES", "RADSERVE_SERIES_LIMIT_BYTES"])
def test_a_budget_in_which_the_largest_file_never_fits_is_refused(larger: str) -> None:
    with pytest.raises(ConfigurationError, match="RADSERVE_UPLOADS_HELD_BYTES"):
        load({"RADSERVE_UPLOADS_HELD_BYTES": "1000", "RADSERVE_SERIES_LIMIT_BYTES": "9"} | {larger: "1001"})
    load({"RADSERVE_UPLOADS_HELD_BYTES": "9", "RADSERVE_UPLOAD_LIMIT_BYTES": "9", "RADSERVE_SERIES_LIMIT_BYTES": "9"})


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]


def test_the_secret_is_masked_wherever_settings_are_shown() -> None:
    settings = load({"RADSERVE_LOG_HASH_KEY": "hunter2hunter2"})
    for shown in (repr(settings), str(settings), as_lines(settings), settings.model_dump_json()):
        assert "hunter2" not in shown
    assert "RADSERVE_LOG_HASH_KEY=**********" in as_lines(settings).splitlines()


def test_what_is_printed_can_be_set_again() -> None:
    lines = as_lines(Settings()).splitlines()
    environ = dict(line.split("=", 1) for line in lines)
    assert set(environ) == {variable(field) for field in Settings.model_fields}
    assert load(environ) == Settings()


def test_every_setting_is_explained_and_every_quantity_has_its_unit_in_name_and_help() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        suffix = {"_s": "seconds", "_bytes": "bytes"}.get("_" + name.rpartition("_")[2])
        assert extra.get("unit") == suffix, name


def test_the_page_of_settings_has_the_table(project_root: Path) -> None:
    page = (project_root / "docs" / "settings.md").read_text()
    assert as_markdown() in page, "run: radserve-service --settings-md, and put its table into docs/settings.md"


def test_the_command_prints_what_is_in_force(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RADSERVE_QUEUE", "7")
    assert main(["--print-settings"]) == 0
    assert "RADSERVE_QUEUE=7" in capsys.readouterr().out.splitlines()


def test_the_command_refuses_a_wrong_setting_with_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RADSERVE_QUEUES", "7")
    assert main([]) == 2
    assert (
        capsys.readouterr().err == "radserve-service: RADSERVE_QUEUES is no setting of the service; RADSERVE_QUEUE?\n"
    )


def test_the_command_prints_the_table_whatever_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RADSERVE_QUEUES", "7")
    assert main(["--settings-md"]) == 0
    assert capsys.readouterr().out == as_markdown()
