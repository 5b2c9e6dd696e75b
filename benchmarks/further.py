"""More workloads: versions, create-read-update-delete cycles, chains, includes, counting, $validate."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from benchmarks import sample as make
from benchmarks.loader import raw_request
from benchmarks.sample import Sample
from benchmarks.servers import Running
from benchmarks.workloads import Workload, gets, post

#: Cycles that go side by side: so many requests lie between one's write and its next read, more than are on their way.
_ABREAST = 64
_CYCLES = 4
_BROAD = ["laboratory"]
_SINCE = ["ge2020-01-01", "ge2018-06-01"]


def more_workloads(server: Running, sample: Sample) -> Iterator[Workload]:
    random.seed(9)
    yield from versions(server, sample)
    yield from searches(server, sample)
    yield from validation(server, sample)
    yield from cycles(server)


def versions(server: Running, sample: Sample) -> Iterator[Workload]:
    ids = [f"{type}/{id}" for type in ("Patient", "Observation") for id in sample.ids[type]]
    yield _search(server, "W2 vread", "GET _history/1", [f"{id}/_history/1" for id in ids])
    yield _search(server, "W2 history", "GET _history?_count=10", [f"{id}/_history?_count=10" for id in ids])


def searches(server: Running, sample: Sample) -> Iterator[Workload]:
    height = "http://loinc.org|8302-2"
    sorted_by = "&_sort=-date&_count=20"
    for id, what, path, values in (
        ("W6e quantity", "Observation?value-quantity=gt", "Observation?value-quantity=gt{}&_count=20", ["5", "400"]),
        (
            "W6e composite",
            "code-value-quantity=",
            "Observation?code-value-quantity=" + height + "$gt{}&_count=20",
            ["90", "150", "180"],
        ),
        (
            "W6f sorted",
            "patient, code, date, _sort=-date",
            "Observation?patient={}&code=" + height + "&date=ge2010-01-01" + sorted_by,
            sample.ids["Patient"],
        ),
        ("W6f broad", "category, date, _sort=-date", "Observation?category={}&date=ge2015-01-01" + sorted_by, _BROAD),
        ("W7 chain", "subject:Patient.family=", "Observation?subject:Patient.family={}&_count=20", sample.families),
        (
            "W7 has",
            "_has:Observation:patient:code=",
            "Patient?_has:Observation:patient:code={}&_count=20",
            sample.codes,
        ),
        (
            "W8 include",
            "MedicationRequest _include requester",
            "MedicationRequest?patient={}&_include=MedicationRequest:requester&_count=20",
            sample.ids["Patient"],
        ),
        (
            "W8 revinclude",
            "Patient _revinclude Observation",
            "Patient?identifier={}&_revinclude=Observation:subject",
            sample.identifiers[:60],
        ),
        ("W9 count", "Observation?category= _summary=count", "Observation?category={}&_summary=count", _BROAD),
        ("W9 total", "Observation?date= _total=accurate", "Observation?date={}&_total=accurate&_count=20", _SINCE),
    ):
        if values:
            yield _search(server, id, what, [path.format(value) for value in values])


def _search(server: Running, id: str, what: str, paths: list[str]) -> Workload:
    full = [f"/fhir/{path}" for path in paths]
    bodies = sorted(len(server.ask("GET", path)[1]) for path in full[:20])
    return Workload(id, what, gets(server, full), (1, 16), size=bodies[len(bodies) // 2])


def validation(server: Running, sample: Sample) -> Iterator[Workload]:
    for type in ("Patient", "Observation", "ExplanationOfBenefit"):
        for id in sample.ids[type][:1]:
            body = server.ask("GET", f"/fhir/{type}/{id}")[1]
            wrong = json.loads(body) | {"status": "no such code", "gender": "no such code", "nonsense": 1}
            for name, sent in (("valid", body), ("invalid", json.dumps(wrong).encode())):
                request = post(server, f"/fhir/{type}/$validate", sent)
                what = f"{type}, {len(sent) / 1000:.1f} kB, {name}"
                yield Workload("W14", what, [request], (1, 16), "post", len(sent))


def cycles(server: Running) -> Iterator[Workload]:
    """Nine linked types, each created, read, updated and deleted, the referring ones deleted first."""
    requests: list[bytes] = []
    for cycle in range(_CYCLES):
        numbers = range(cycle * _ABREAST, (cycle + 1) * _ABREAST)
        sets = [list(_linked(number).items()) for number in numbers]
        for position in range(len(sets[0])):
            for step in ("PUT", "GET", "PUT"):
                requests += [_step(server, step, *each[position]) for each in sets]
        for position in reversed(range(len(sets[0]))):
            requests += [_step(server, "DELETE", *each[position]) for each in sets]
    yield Workload("W5", "create, read, update, delete: 9 types", requests, (16,), "post", 500, once=True)


def _step(server: Running, method: str, path: str, resource: dict[str, object]) -> bytes:
    if method == "PUT":
        return post(server, f"/fhir/{path}", json.dumps(resource).encode(), method="PUT", Prefer="return=minimal")
    return raw_request(method, f"/fhir/{path}", headers=server.headers)


def _linked(number: int) -> dict[str, dict[str, object]]:
    """Path -> resource, the referred ones before the referring ones."""

    def path(type: str) -> str:
        return f"{type}/cycle-{type.lower()}-{number}"

    def to(type: str) -> dict[str, str]:
        return {"reference": path(type)}

    code = {"coding": [{"system": "http://snomed.info/sct", "code": "38341003"}]}
    resources: list[dict[str, object]] = [
        {"resourceType": "Organization", "name": f"Clinic {number}"},
        {"resourceType": "Practitioner", "name": [{"family": f"Doctor{number}", "given": ["Ann"]}]},
        {"resourceType": "Location", "name": f"Room {number}", "managingOrganization": to("Organization")},
        json.loads(make.patient(number)) | {"managingOrganization": to("Organization")},
        json.loads(make.encounter(number, path("Patient"))) | {"location": [{"location": to("Location")}]},
        json.loads(make.observation(number, path("Patient"))) | {"encounter": to("Encounter")},
        {"resourceType": "Condition", "subject": to("Patient"), "encounter": to("Encounter"), "code": code},
        {"resourceType": "Procedure", "status": "completed", "subject": to("Patient"), "code": code},
        {"resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": to("Patient"),
         "requester": to("Practitioner"), "medicationCodeableConcept": {"text": "Aspirin"}},
    ]  # fmt: skip
    return {path(str(r["resourceType"])): r | {"id": path(str(r["resourceType"])).split("/")[1]} for r in resources}
