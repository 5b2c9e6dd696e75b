"""``fhir-server keys``."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run


def test_a_key_is_made_listed_and_revoked(fhir_server: Run) -> None:
    made = json.loads(
        fhir_server(
            "keys", "create", "--name", "ehr", "--dialect", "fhir", "--scope", "system/Patient.rs",
            "--scope", "system/Observation.read", "--token-limit", "100", "--expires", "30d", "--json",
        ).stdout
    )  # fmt: skip
    assert made["key"].startswith(f"fsk_{made['id']}_")
    assert made["scopes"] == ["system/Patient.rs", "system/Observation.read"]
    assert (made["name"], made["dialect"], made["token_limit"], made["active"]) == ("ehr", "fhir", 100, True)
    (listed,) = map(json.loads, fhir_server("keys", "list", "--json").stdout.splitlines())
    assert listed == {name: value for name, value in made.items() if name != "key"}
    fhir_server("keys", "revoke", made["id"])
    shown = fhir_server("keys", "list").stdout
    assert "inactive" in shown
    assert made["key"] not in shown


def test_an_inactive_key_can_be_made(fhir_server: Run) -> None:
    assert json.loads(fhir_server("keys", "create", "--name", "x", "--inactive", "--json").stdout)["active"] is False


@pytest.mark.parametrize("dialect", ["sporo", "healthsage", "autoscribe", "medmitra"])
def test_every_dialect_has_keys(fhir_server: Run, dialect: str) -> None:
    made = json.loads(
        fhir_server("keys", "create", "--name", "x", "--dialect", dialect, "--subject", "usr_1", "--json").stdout
    )
    assert (made["dialect"], made["scopes"], made["subject"]) == (dialect, [], "usr_1")


def test_options_may_come_from_the_environment(fhir_server: Run) -> None:
    made = json.loads(
        fhir_server("keys", "create", "--json", FHIR_SERVER_KEYS_NAME="env", FHIR_SERVER_KEYS_DIALECT="sporo").stdout
    )
    assert (made["name"], made["dialect"]) == ("env", "sporo")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--scope", "patient/*.rs"],
        ["--scope", "system/Patiend.rs"],
        ["--dialect", "klingon"],
        ["--expires", "someday"],
        ["--token-limit", "-1"],
    ],
)
def test_a_wrong_option_is_a_usage_error_and_makes_no_key(fhir_server: Run, arguments: list[str]) -> None:
    assert arguments[0] in fhir_server("keys", "create", "--name", "x", *arguments, status=2).stderr
    assert fhir_server("keys", "list", "--json").stdout == ""


def test_revoking_what_is_not_there_fails(fhir_server: Run) -> None:
    assert "nobody" in fhir_server("keys", "revoke", "nobody", status=1).stderr


def test_a_store_that_is_not_there_is_told(fhir_server: Run) -> None:
    done = fhir_server("keys", "list", "--store", "postgres://x", status=1)
    assert "postgres" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_pepper_may_come_from_the_environment(fhir_server: Run, tmp_path: Path) -> None:
    fhir_server("keys", "create", "--name", "x", FHIR_SERVER_PEPPER="seasoned")
    assert not (tmp_path / "data" / "pepper").exists()
