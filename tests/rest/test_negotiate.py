import pytest

from fhir_server.r4b.outcome import NotAcceptable, UnsupportedMediaType
from fhir_server.rest.negotiate import accepted, body_format, wants_fhir


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", b"application/fhir+json; charset=utf-8"),
        ("*/*", b"application/fhir+json; charset=utf-8"),
        ("application/json", b"application/json; charset=utf-8"),
        ("application/json+fhir", b"application/fhir+json; charset=utf-8"),
        ("text/html, */*;q=0.1", b"application/fhir+json; charset=utf-8"),
        ("application/json;q=0.5, application/fhir+json", b"application/fhir+json; charset=utf-8"),
        ("application/fhir+json; fhirVersion=4.0", b"application/fhir+json; charset=utf-8; fhirVersion=4.0"),
        (
            "application/fhir+json; fhirVersion=5.0, application/fhir+json;q=0.1",
            b"application/fhir+json; charset=utf-8",
        ),
    ],
)
def test_accept_chooses_the_content_type(accept: str, content_type: bytes) -> None:
    assert accepted(accept).content_type == content_type


@pytest.mark.parametrize("accept", ["text/html", "image/png", "application/fhir+json; fhirVersion=5.0", "*/*;q=0"])
def test_what_cannot_be_given_is_refused(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        accepted(accept)


@pytest.mark.parametrize("name", ["json", "application/json", "application/fhir+json", "application/fhir json"])
def test_the_format_parameter_wins_over_accept(name: str) -> None:
    assert accepted("text/html", name).format.name == "json"


def test_an_unknown_format_parameter_is_refused() -> None:
    with pytest.raises(NotAcceptable):
        accepted("*/*", "turtle")


def test_the_version_of_the_standard_is_read_from_accept() -> None:
    assert accepted("application/fhir+json;fhirVersion=4.0").version == "4.0"


@pytest.mark.parametrize("content_type", ["", "application/json", "application/fhir+json; charset=UTF-8"])
def test_json_bodies_are_understood(content_type: str) -> None:
    assert body_format(content_type).name == "json"


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "image/png", "application/json; charset=latin1", "application/fhir+json; fhirVersion=3.0"],
)
def test_other_bodies_are_refused(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        body_format(content_type)


@pytest.mark.parametrize(
    ("accept", "fhir"),
    [("application/fhir+json", True), ("application/json", True), ("*/*", False), ("image/png", False), ("", False)],
)
def test_a_binary_is_given_as_content_unless_fhir_is_asked_for(accept: str, fhir: bool) -> None:
    assert wants_fhir(accept, "application/pdf") is fhir
