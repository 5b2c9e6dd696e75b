"""Small resources for the conformance tests, and the few steps that many of them share."""

from __future__ import annotations

import json
from typing import Any

import httpx

SYSTEM = "http://example.org/conformance"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"

Json = dict[str, Any]


def patient(mark: str, **more: Any) -> Json:
    """A Patient whose identifier is `mark`."""
    return {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": mark}], **more}


def observation(mark: str, **more: Any) -> Json:
    """A final Observation whose identifier is `mark`."""
    return {
        "resourceType": "Observation",
        "identifier": [{"system": SYSTEM, "value": mark}],
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": "8867-4"}]},
        **more,
    }


def quantity(value: float, unit: str) -> Json:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def create(fhir: httpx.Client, resource: Json) -> Json:
    """Create and return what is stored."""
    answer = fhir.post(resource["resourceType"], json=resource, headers={"Prefer": "return=representation"})
    assert answer.status_code == 201, answer.text
    created: Json = answer.json()
    return created


def update(fhir: httpx.Client, resource: Json) -> Json:
    answer = fhir.put(f"{resource['resourceType']}/{resource['id']}", json=resource)
    assert answer.status_code in (200, 201), answer.text
    updated: Json = answer.json()
    return updated


def put(fhir: httpx.Client, path: str, body: bytes) -> httpx.Response:
    """PUT bytes exactly as given."""
    return fhir.put(path, content=body, headers={"Content-Type": "application/fhir+json"})


def search(fhir: httpx.Client, path: str, **parameters: Any) -> Json:
    """GET a searchset Bundle; a trailing underscore escape is not needed: pass odd names through `params` of httpx."""
    answer = fhir.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    bundle: Json = answer.json()
    assert bundle["resourceType"] == "Bundle"
    assert bundle["type"] == "searchset"
    return bundle


def found(fhir: httpx.Client, path: str, parameters: dict[str, Any] | list[tuple[str, str]] | None = None) -> list[str]:
    """Ids of the matches of a search, all pages, in order."""
    answer = fhir.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    ids: list[str] = []
    while True:
        bundle = answer.json()
        ids += [entry["resource"]["id"] for entry in matches(bundle)]
        following = link(bundle, "next")
        if following is None:
            return ids
        answer = fhir.get(following)
        assert answer.status_code == 200, answer.text


def matches(bundle: Json) -> list[Json]:
    return [entry for entry in bundle.get("entry", []) if entry.get("search", {}).get("mode", "match") == "match"]


def included(bundle: Json) -> list[str]:
    """``Type/id`` of the entries with search mode include."""
    return [
        f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
        for entry in bundle.get("entry", [])
        if entry["search"]["mode"] == "include"
    ]


def link(bundle: Json, relation: str) -> str | None:
    return next((each["url"] for each in bundle.get("link", []) if each["relation"] == relation), None)


def refused(answer: httpx.Response, status: int, code: str | None = None) -> Json:
    """The OperationOutcome of a refusal with `status` (and an issue with `code`)."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
    outcome: Json = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert outcome["issue"]
    assert all(issue["severity"] and issue["code"] for issue in outcome["issue"])
    if code is not None:
        assert code in [issue["code"] for issue in outcome["issue"]], outcome
    return outcome


def transaction(*entries: Json, type: str = "transaction") -> Json:
    return {"resourceType": "Bundle", "type": type, "entry": list(entries)}


def entry(method: str, url: str, resource: Json | None = None, full_url: str | None = None, **request: Any) -> Json:
    built: Json = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        built["resource"] = resource
    if full_url is not None:
        built["fullUrl"] = full_url
    return built


def post_bundle(fhir: httpx.Client, bundle: Json, status: int = 200) -> Json:
    answer = fhir.post("", json=bundle)
    assert answer.status_code == status, answer.text
    result: Json = answer.json()
    return result


def without_meta(resource: Json) -> Json:
    return {key: value for key, value in resource.items() if key not in ("id", "meta")}


def dumps(resource: Json) -> bytes:
    return json.dumps(resource).encode()
