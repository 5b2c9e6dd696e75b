import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.r4b.outcome import BadRequest, MethodNotAllowed, NotFound
from fhir_server.rest.route import Route, Router

router = Router(frozenset(("Patient", "Observation", "Binary")))


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("GET", "", Route("search")),
        ("GET", "/", Route("search")),
        ("POST", "/", Route("bundle")),
        ("GET", "/metadata", Route("metadata")),
        ("GET", "/_history", Route("history")),
        ("POST", "/_search", Route("search", form=True)),
        ("GET", "/$meta", Route("operation", operation="meta")),
        ("GET", "/Patient", Route("search", "Patient")),
        ("GET", "/Patient/", Route("search", "Patient")),
        ("POST", "/Patient", Route("create", "Patient")),
        ("PUT", "/Patient", Route("conditional-update", "Patient")),
        ("PATCH", "/Patient", Route("conditional-patch", "Patient")),
        ("DELETE", "/Patient", Route("conditional-delete", "Patient")),
        ("POST", "/Patient/_search", Route("search", "Patient", form=True)),
        ("GET", "/Patient/_history", Route("history", "Patient")),
        ("POST", "/Patient/$validate", Route("operation", "Patient", operation="validate")),
        ("GET", "/Patient/1", Route("read", "Patient", "1")),
        ("HEAD", "/Patient/1", Route("read", "Patient", "1")),
        ("PUT", "/Patient/1", Route("update", "Patient", "1")),
        ("PATCH", "/Patient/1", Route("patch", "Patient", "1")),
        ("DELETE", "/Patient/1", Route("delete", "Patient", "1")),
        ("GET", "/Patient/1/_history", Route("history", "Patient", "1")),
        ("GET", "/Patient/1/_history/2", Route("vread", "Patient", "1", "2")),
        ("GET", "/Patient/1/$everything", Route("operation", "Patient", "1", operation="everything")),
        ("GET", "/Patient/1/Observation", Route("search", "Patient", "1", of="Observation")),
        ("GET", "/Patient/1/*", Route("search", "Patient", "1", of="*")),
        ("POST", "/Patient/1/Observation/_search", Route("search", "Patient", "1", of="Observation", form=True)),
    ],
)
def test_an_address_leads_to_its_interaction(method: str, path: str, route: Route) -> None:
    assert router.find(method, path) == route


@pytest.mark.parametrize(
    "path", ["/Patiend", "/Patiend/1", "/Patient/1/Observations", "/Patient/1/2/3", "/Patient//1", "/$"]
)
def test_an_address_that_is_none_is_not_found(path: str) -> None:
    with pytest.raises(NotFound):
        router.find("GET", path)


def test_an_id_with_forbidden_characters_is_refused() -> None:
    with pytest.raises(BadRequest):
        router.find("GET", "/Patient/a b")


def test_the_wrong_method_says_which_are_right() -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        router.find("POST", "/Patient/1")
    assert refused.value.headers == {"Allow": "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"}


@given(st.sampled_from(["GET", "POST", "PUT", "X"]), st.text(alphabet="/$_*.Patient1~é\x00 ", max_size=40))
def test_any_address_is_a_route_or_a_refusal(method: str, path: str) -> None:
    with contextlib.suppress(BadRequest, NotFound, MethodNotAllowed):
        assert router.find(method, "/" + path).interaction
