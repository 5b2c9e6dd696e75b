"""No request whatever gives a 500. R4B 3.1.0.1.5: a client's error is a 4xx with an OperationOutcome."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import httpx
import pytest

from tests.conformance.resources import create, dumps, entry, observation, patient, transaction

SECONDS = 2.5
TYPES = ["Patient", "Observation", "Bundle", "Binary", "ValueSet", "Task", "Encounter", "Patiend", "Resource", ""]
NASTY: list[Any] = [
    None, True, False, 0, -1, 1e308, 10**40, 0.1, "", " ", "\x00", "é", "\U0001f4a9", "a" * 5000, "../../etc/passwd",
    "' OR 1=1 --", "$", "|", ",", "\\", "2020-02-30", "9999-12-31T23:59:59.999999999+14:00", "0000", "urn:uuid:x", "#",
    "Patient/", "http://", "%s%n", "{}", [], {}, [[]], [None], {"a": None}, {"resourceType": "Patient"}, "gt",
    "ap1e999",
]  # fmt: skip
NAMES = [
    "name", "birthdate", "identifier", "gender:not", "code", "_id", "_lastUpdated", "_sort", "_count", "_include",
    "_revinclude", "_summary", "_elements", "_total", "_format", "_pretty", "_has:Observation:patient:code", "_page",
    "subject.name", "subject:Patient.name", "value-quantity", "code-value-quantity", "url:below", "_type", "_text",
    "_content", "_filter", "_list", "_query", "_since", "_at", "mode", "date:missing", "name:exact", "code:in", "near",
    "subject:identifier", "_has", "_has:", "a.b.c.d.e.f", ":", "identifier:of-type", "_tag", "_profile", "_contained",
]  # fmt: skip
HEADERS = [
    "If-Match", "If-None-Match", "If-None-Exist", "If-Modified-Since", "Prefer", "Accept", "Content-Type",
    "Content-Encoding", "Accept-Encoding", "X-Request-Id", "Origin", "X-Provenance", "Range",
]  # fmt: skip
VALUES = [
    "*", 'W/"1"', 'W/"x"', '"', "1", "-1", "return=minimal", "handling=strict", "handling=lenient", "application/json",
    "application/fhir+json;fhirVersion=4.0", "application/json-patch+json", "text/plain", "gzip", "identifier=x",
    "identifier", "=", "Thu, 01 Jan 2026 00:00:00 GMT", "Thu, 99 Foo 0 0", ";q=,;", "respond-async", "a" * 3000, "\xff",
]  # fmt: skip


def mutated(random_: random.Random, value: Any, depth: int = 0) -> Any:
    """`value` with one or more of its parts replaced, removed, doubled or renamed."""
    if random_.random() < 0.12 or depth > 8:
        return random_.choice(NASTY)
    if isinstance(value, dict):
        changed = {
            (random_.choice(["nonsense", "_" + key, key.upper(), ""]) if random_.random() < 0.03 else key): (
                mutated(random_, each, depth + 1) if random_.random() < 0.3 else each
            )
            for key, each in value.items()
            if random_.random() > 0.05
        }
        return changed
    if isinstance(value, list):
        return [mutated(random_, each, depth + 1) for each in value * random_.choice([1, 1, 1, 2])]
    return value


def check(answer: httpx.Response, what: object) -> None:
    assert answer.status_code < 500 or answer.status_code == 501, (what, answer.text)
    if answer.status_code >= 400 and answer.request.method != "HEAD":
        assert answer.json()["resourceType"] == "OperationOutcome", what


def run(seed: int, step: Any) -> None:
    random_ = random.Random(seed)
    end = time.monotonic() + SECONDS
    count = 0
    while time.monotonic() < end:
        try:
            step(random_)
        except (httpx.InvalidURL, UnicodeEncodeError, httpx.LocalProtocolError):
            continue
        count += 1
    assert count > 20


@pytest.mark.parametrize("seed", [1, 2])
def test_odd_resources(fhir: httpx.Client, mark: str, seed: int) -> None:
    samples = [
        patient(mark, name=[{"family": "A", "given": ["B"], "period": {"start": "2020"}}], birthDate="1970-01-01",
                contact=[{"name": {"text": "x"}}], link=[{"other": {"reference": "Patient/1"}, "type": "seealso"}]),
        observation(mark, subject={"reference": "Patient/1"}, effectiveDateTime="2020-01-01T00:00:00Z",
                    valueQuantity={"value": 1.0, "unit": "g", "system": "http://unitsofmeasure.org", "code": "g"},
                    component=[{"code": {"text": "a"}, "valueString": "b"}]),
        {"resourceType": "ValueSet", "status": "draft", "url": "http://x", "compose": {"include": [{"system": "y"}]}},
        {"resourceType": "Location", "position": {"longitude": 1.0, "latitude": 2.0}},
        {"resourceType": "Binary", "contentType": "text/plain", "data": "aGk="},
        {"resourceType": "Timing"},
        transaction(entry("POST", "Patient", patient(mark), "urn:uuid:1", ifNoneExist="identifier=x"),
                    entry("PUT", "Patient/1", {**patient(mark), "id": "1"}, ifMatch='W/"1"'),
                    entry("GET", "Patient?name=x"), entry("DELETE", "Patient/2"), entry("PATCH", "Patient/3", {
                        "resourceType": "Binary", "contentType": "application/json-patch+json", "data": "W10="})),
        transaction(entry("GET", "Patient/1/_history"), entry("HEAD", "Patient"), type="batch"),
    ]  # fmt: skip

    def step(random_: random.Random) -> None:
        sample = random_.choice(samples)
        body = json.dumps(mutated(random_, sample)).encode()
        if random_.random() < 0.1:
            cut = random_.randrange(len(body) + 1)
            body = body[:cut] + random_.choice([b"", b"\xff", b"{", b"\x00", b","]) + body[cut + 1 :]
        if sample["resourceType"] == "Bundle" and random_.random() < 0.9:
            method, path = "POST", ""
        else:
            method, path = random_.choice(
                [("POST", sample["resourceType"]), ("PUT", f"{sample['resourceType']}/{mark}"), ("POST", "Patient")]
            )
        answer = fhir.request(method, path, content=body, headers={"Content-Type": "application/fhir+json"})
        check(answer, (method, path, body))

    run(seed, step)


@pytest.mark.parametrize("seed", [1, 2])
def test_odd_searches_and_addresses(fhir: httpx.Client, mark: str, seed: int) -> None:
    known = create(fhir, patient(mark))["id"]

    def step(random_: random.Random) -> None:
        texts = [str(each) for each in NASTY] + VALUES
        segments = [
            random_.choice(TYPES),
            random_.choice([known, "_search", "_history", "$everything", "$x", "x y", "%ff", "é", ""]),
            random_.choice(["_history", "$everything", "Observation", "*", "x", ""]),
            random_.choice(["1", "_search", "x", "99999999999999999999", ""]),
        ]
        path = "/".join(segments[: random_.randrange(1, 5)]).strip("/")
        query = [
            (random_.choice(NAMES) + random_.choice(["", "", "", ":missing", ":not", ":x", ".name"]),
             random_.choice(["", "gt", "ap", "ne", "x|"]) + random_.choice(texts))
            for _ in range(random_.randrange(4))
        ]  # fmt: skip
        headers = {
            random_.choice(HEADERS): random_.choice(VALUES).encode("latin-1") for _ in range(random_.randrange(3))
        }
        method = random_.choice(["GET", "GET", "GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
        if method == "DELETE" and path.split("/")[0] == path:
            query.append(("identifier", "nothing-has-this"))
        content = dumps(patient(mark)) if method in ("POST", "PUT", "PATCH") and random_.random() < 0.7 else None
        answer = fhir.request(method, path, params=query, headers=headers, content=content)
        if answer.headers.get("Content-Type", "").startswith("application/") or answer.status_code >= 500:
            check(answer, (method, path, query, headers))

    run(seed, step)
