"""Settings: from the environment, overridden by the command line, refused when unsafe."""

import pytest

from fhir_server.settings import Settings, SettingsError, is_loopback, load


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.9.1"])
def test_no_keys_is_allowed_on_loopback(host: str) -> None:
    assert load(host=host, auth="none").auth == "none"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "localhost.example.org"])
def test_no_keys_is_refused_elsewhere(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(SettingsError, match="refused"):
        load(host=host, auth="none")


def test_the_environment_sets_an_option_and_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIR_SERVER_PORT", "9001")
    assert load().port == 9001
    assert load(port="9002").port == 9002


def test_a_bad_value_is_told_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIR_SERVER_PORT", "many")
    with pytest.raises(SettingsError, match="FHIR_SERVER_PORT"):
        load()


def test_origins_are_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIR_SERVER_CORS_ORIGINS", "https://a.example, https://b.example")
    assert load().cors_origins == ("https://a.example", "https://b.example")


def test_the_pepper_is_not_shown() -> None:
    assert "seasoned" not in repr(load(pepper="seasoned"))


def test_the_base_url_follows_host_and_port() -> None:
    assert load(port=8123).fhir_base == "http://127.0.0.1:8123/fhir"
    assert load(base_url="https://example.org/fhir/").fhir_base == "https://example.org/fhir"


def test_every_option_has_a_description() -> None:
    assert all(field.description for field in Settings.model_fields.values())
