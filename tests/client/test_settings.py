"""RADSERVE_CLIENT_* in, settings out."""

from __future__ import annotations

from pathlib import Path

import pytest

from radserve_client.settings import PREFIX, ClientSettings, load_settings

README = Path(__file__).parents[2] / "client" / "README.md"


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADSERVE_CLIENT_URL", "https://radserve.example:8443")
    monkeypatch.setenv("RADSERVE_CLIENT_TIMEOUT_S", "2.5")
    monkeypatch.setenv("RADSERVE_CLIENT_CONCURRENCY", "")
    settings = load_settings()
    assert str(settings.url) == "https://radserve.example:8443/"
    assert settings.timeout_s == 2.5
    assert settings.concurrency == ClientSettings().concurrency


@pytest.mark.parametrize("name", ["RADSERVE_CLIENT_TIMEOUT", "RADSERVE_CLIENT_URLS"])
def test_a_misspelt_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(ValueError, match=f"{name};.*RADSERVE_CLIENT_TIMEOUT_S"):
        load_settings()


def test_settings_of_other_programs_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADSERVE_QUEUE", "4")
    monkeypatch.setenv("RADSERVE_SERVER_GRPC_PORT", "8001")
    load_settings()


@pytest.mark.parametrize(("name", "value"), [("TIMEOUT_S", "0"), ("CONCURRENCY", "many"), ("URL", "ftp://x")])
def test_a_value_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(ValueError, match=f"^{PREFIX}{name}: "):
        load_settings()


def test_the_readme_lists_each_setting_with_its_default() -> None:
    text = README.read_text()
    defaults = ClientSettings()
    for name in ClientSettings.model_fields:
        value = str(getattr(defaults, name)).rstrip("/")
        shown = "" if value == "None" else f"`{value}`"
        assert f"| `{PREFIX}{name.upper()}` | {shown}" in text
