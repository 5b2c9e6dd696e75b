"""read: R4B 3.1.0.5; conditional read 3.1.0.5.1; HEAD 3.1.0.15."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

import httpx

from tests.conformance.resources import create, patient, put, refused, update


def test_read_gives_the_resource_with_id_version_and_time(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhir.get(f"Patient/{created['id']}")
    assert answer.status_code == 200
    assert answer.json()["id"] == created["id"]
    assert answer.json()["meta"]["versionId"] == "1"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", answer.json()["meta"]["lastUpdated"])


def test_read_has_a_weak_etag_of_the_version(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    assert fhir.get(f"Patient/{created['id']}").headers["ETag"] == 'W/"1"'


def test_read_has_last_modified_of_meta_last_updated(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    header = parsedate_to_datetime(fhir.get(f"Patient/{created['id']}").headers["Last-Modified"])
    assert header.strftime("%Y-%m-%dT%H:%M:%S") == created["meta"]["lastUpdated"][:19]


def test_read_is_fhir_json_in_utf8(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    content_type = fhir.get(f"Patient/{created['id']}").headers["Content-Type"]
    assert content_type.startswith("application/fhir+json")
    assert "charset=utf-8" in content_type.lower()


def test_bytes_come_back_as_they_were_sent_but_for_id_and_meta(fhir: httpx.Client, mark: str) -> None:
    body = (
        b'{"resourceType":"Observation","id":"%s","status":"final","code":{"text":"w\\u00e9\xc3\xa9 \\/"},'
        b'"valueQuantity":{"value":170.50,"unit":"cm"},"effectiveInstant":"2020-01-01T00:00:00.0000+00:00",'
        b'"component":[{"code":{"text":"a"},"valueQuantity":{"value":1.0E+2}}]}'
    ) % mark.encode()
    assert put(fhir, f"Observation/{mark}", body).status_code == 201
    back = fhir.get(f"Observation/{mark}").content
    assert re.sub(rb'"meta":\{[^}]*\},?', b"", back) == body


def test_primitive_extensions_and_contained_resources_survive(fhir: httpx.Client, mark: str) -> None:
    resource = patient(
        mark,
        contained=[{"resourceType": "Organization", "id": "o", "name": "Inner"}],
        managingOrganization={"reference": "#o"},
        birthDate="1970-03",
        _birthDate={"extension": [{"url": "http://example.org/x", "valueString": "y"}]},
        name=[
            {
                "given": ["A", None],
                "_given": [None, {"extension": [{"url": "http://example.org/x", "valueCode": "masked"}]}],
            }
        ],
    )
    created = create(fhir, resource)
    back = fhir.get(f"Patient/{created['id']}").json()
    assert {key: back[key] for key in resource} == resource


def test_an_unknown_id_is_404(fhir: httpx.Client, mark: str) -> None:
    refused(fhir.get(f"Patient/{mark}"), 404, "not-found")


def test_an_unknown_type_is_404(fhir: httpx.Client) -> None:
    refused(fhir.get("Patiend/1"), 404)


def test_an_impossible_id_is_refused(fhir: httpx.Client) -> None:
    refused(fhir.get("Patient/" + "a" * 65), 400)


def test_a_deleted_resource_is_410_with_its_etag(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    fhir.delete(f"Patient/{created['id']}")
    answer = fhir.get(f"Patient/{created['id']}")
    refused(answer, 410, "deleted")
    assert answer.headers["ETag"] == 'W/"2"'


def test_if_none_match_with_the_current_version_is_304(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhir.get(f"Patient/{created['id']}", headers={"If-None-Match": 'W/"1"'})
    assert answer.status_code == 304
    assert answer.content == b""
    assert answer.headers["ETag"] == 'W/"1"'


def test_if_none_match_with_another_version_is_200(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    assert fhir.get(f"Patient/{created['id']}", headers={"If-None-Match": 'W/"7"'}).status_code == 200


def test_if_modified_since_the_last_change_is_304(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    modified = fhir.get(f"Patient/{created['id']}").headers["Last-Modified"]
    answer = fhir.get(f"Patient/{created['id']}", headers={"If-Modified-Since": modified})
    assert answer.status_code == 304


def test_if_modified_since_long_ago_is_200(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhir.get(f"Patient/{created['id']}", headers={"If-Modified-Since": "Thu, 01 Jan 2015 00:00:00 GMT"})
    assert answer.status_code == 200


def test_head_has_the_headers_of_get_and_no_body(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    plain = {"Accept-Encoding": "identity"}
    got, headed = (fhir.request(method, f"Patient/{created['id']}", headers=plain) for method in ("GET", "HEAD"))
    assert headed.status_code == 200
    assert headed.content == b""
    for name in ("ETag", "Last-Modified", "Content-Type", "Content-Length"):
        assert headed.headers[name] == got.headers[name]


def test_head_of_an_unknown_id_is_404_without_body(fhir: httpx.Client, mark: str) -> None:
    answer = fhir.head(f"Patient/{mark}")
    assert (answer.status_code, answer.content) == (404, b"")


def test_summary_true_gives_summary_elements_and_the_subsetted_tag(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, birthDate="1970-01-01", maritalStatus={"text": "M"}))
    back = fhir.get(f"Patient/{created['id']}", params={"_summary": "true"}).json()
    assert back["birthDate"] == "1970-01-01"
    assert "maritalStatus" not in back
    assert "SUBSETTED" in [tag["code"] for tag in back["meta"]["tag"]]


def test_elements_gives_only_those(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark, birthDate="1970-01-01", gender="male"))
    back = fhir.get(f"Patient/{created['id']}", params={"_elements": "gender"}).json()
    assert back["gender"] == "male"
    assert "birthDate" not in back


def test_pretty_is_indented_and_means_the_same(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    plain = fhir.get(f"Patient/{created['id']}")
    pretty = fhir.get(f"Patient/{created['id']}", params={"_pretty": "true"})
    assert b"\n  " in pretty.content
    assert b"\n" not in plain.content.strip()
    assert pretty.json() == plain.json()


def test_an_unknown_parameter_on_read_is_refused_under_strict(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = fhir.get(f"Patient/{created['id']}", params={"nonsense": "1"}, headers={"Prefer": "handling=strict"})
    refused(answer, 400)


def test_read_after_update_is_the_new_version(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    update(fhir, {**created, "gender": "female"})
    answer = fhir.get(f"Patient/{created['id']}")
    assert answer.headers["ETag"] == 'W/"2"'
    assert answer.json()["gender"] == "female"
