"""The workloads over HTTP: each gives prepared requests, and which bare route is its floor."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import sample as make
from benchmarks.loader import raw_request
from benchmarks.sample import Sample
from benchmarks.servers import Running

_MISSING = 0.05


@dataclass(frozen=True, slots=True)
class Workload:
    """requests: raw HTTP. clients: the ladder. once: each request in turn. floor: get (a bare route that answers with
    as many bytes) or post (one that reads and answers). per: resources in one answer or request. target: share of the
    floor to reach."""

    id: str
    what: str
    requests: list[bytes]
    clients: tuple[int, ...]
    floor: str = "get"
    size: int = 1000
    per: int = 1
    once: bool = False
    target: float | None = None


def all_workloads(server: Running, sample: Sample) -> Iterator[Workload]:
    """Every HTTP workload, in the order in which it may change the data."""
    random.seed(7)
    yield from reads(server, sample)
    yield from searches(server, sample)
    yield from writes(server, sample)
    yield from transactions(server)


def reads(server: Running, sample: Sample) -> Iterator[Workload]:
    paths = [
        f"/fhir/{type}/{id}" for type in ("Patient", "Observation", "ExplanationOfBenefit") for id in sample.ids[type]
    ]
    bodies = [server.ask("GET", path)[1] for path in random.sample(paths, min(60, len(paths)))]
    size = sorted(map(len, bodies))[len(bodies) // 2]
    yield Workload("W1", "read by id", gets(server, paths), (1, 4, 16), size=size, target=0.40)
    for type in ("Patient", "Observation", "ExplanationOfBenefit"):
        some = [path for path in paths if path.startswith(f"/fhir/{type}/")]
        if some:
            yield Workload(
                f"W1 {type}", "read by id", gets(server, some), (16,), size=len(server.ask("GET", some[0])[1])
            )
    unchanged = [
        raw_request("GET", path, headers={**server.headers, "If-None-Match": 'W/"1"'})
        for path in paths
        if path.startswith("/fhir/Observation")
    ]
    yield Workload("W1 304", "read, not modified", unchanged, (16,), size=0)


def searches(server: Running, sample: Sample) -> Iterator[Workload]:
    patients = sample.ids["Patient"]
    dates = sample.birth_dates
    groups: list[tuple[str, str, list[str], float | None]] = [
        ("W6a unique", "Patient?identifier=", [f"Patient?identifier={v}" for v in some(sample.identifiers)], None),
        ("W6a token", "Observation?code=, 20", [f"Observation?code={v}&_count=20" for v in sample.codes], 0.12),
        ("W6a broad", "Observation?category=laboratory, 20", ["Observation?category=laboratory&_count=20"], 0.12),
        ("W6b family", "Patient?family=", [f"Patient?family={v}&_count=20" for v in some(sample.families)], None),
        (
            "W6b contains",
            "Patient?name:contains=",
            [f"Patient?name:contains={v}&_count=20" for v in ("an", "er", "zzq")],
            None,
        ),
        (
            "W6b city",
            "Patient?address-city=",
            [f"Patient?address-city={v}&_count=20" for v in some(sample.cities)],
            None,
        ),
        (
            "W6c birth",
            "Patient?birthdate=ge&lt",
            [f"Patient?birthdate=ge{d[:4]}-01-01&birthdate=lt{d[:4]}-12-31&_count=20" for d in dates],
            None,
        ),
        ("W6c date", "Observation?date=ge, 20", ["Observation?date=ge2020-01-01&_count=20"], None),
        (
            "W6d patient",
            "Observation?patient=, 20",
            [f"Observation?patient={v}&_count=20" for v in some(patients)],
            None,
        ),
        ("W6d condition", "Condition?patient=", [f"Condition?patient={v}&_count=20" for v in some(patients)], None),
        (
            "W6d participant",
            "Encounter?participant=",
            [f"Encounter?participant={v}&_count=20" for v in sample.practitioners],
            None,
        ),
    ]
    for id, what, paths, target in groups:
        if not paths:
            continue
        full = [f"/fhir/{path}" for path in paths]
        bodies = sorted(len(server.ask("GET", path)[1]) for path in full[:20])
        yield Workload(id, what, gets(server, full), (1, 16), size=bodies[len(bodies) // 2], target=target)


def writes(server: Running, sample: Sample) -> Iterator[Workload]:
    patients = [f"Patient/{id}" for id in sample.ids["Patient"]]
    mixed = []
    for number in range(2000):
        subject = random.choice(patients)
        kind = number % 5
        body = (
            make.patient(number)
            if kind == 0
            else make.encounter(number, subject)
            if kind == 4
            else make.observation(number, subject)
        )
        mixed.append((("Patient" if kind == 0 else "Encounter" if kind == 4 else "Observation"), body))
    size = sorted(len(body) for _, body in mixed)[1000]
    for prefer, target in (("minimal", 0.06), ("representation", None)):
        posts = [post(server, f"/fhir/{type}", body, Prefer=f"return={prefer}") for type, body in mixed]
        yield Workload(f"W3 {prefer}", "create 1:3:1", posts, (1, 4, 16), "post", size, once=True, target=target)
    conditional = [
        post(
            server,
            "/fhir/Patient",
            make.patient(n),
            **{"If-None-Exist": f"identifier=http://bench.example/c|{n % 500}"},
        )
        for n in range(2000)
    ]
    mine = made(server, [("Patient", make.patient(n)) for n in range(200)])
    puts, patches = [], []
    for number, id in enumerate(mine):
        body = json.loads(make.patient(number)) | {"id": id}
        puts.append(
            post(server, f"/fhir/Patient/{id}", json.dumps(body).encode(), method="PUT", Prefer="return=minimal")
        )
        for gender in ("male", "female"):
            change = json.dumps([{"op": "replace", "path": "/gender", "value": gender}]).encode()
            patches.append(
                post(
                    server,
                    f"/fhir/Patient/{id}",
                    change,
                    method="PATCH",
                    kind="application/json-patch+json",
                    Prefer="return=minimal",
                )
            )
    yield Workload("W4 update", "PUT", puts, (16,), "post", size, once=True)
    yield Workload("W4 patch", "JSON Patch", patches, (4,), "post", 100, once=True)
    yield Workload("W4 conditional", "create If-None-Exist", conditional, (16,), "post", size, once=True)
    doomed = made(server, [("Patient", make.patient(n)) for n in range(200)])
    deletes = [raw_request("DELETE", f"/fhir/Patient/{id}", headers=server.headers) for id in doomed]
    yield Workload("W4 delete", "DELETE (again: nothing to do)", deletes, (16,), "get", 0, once=True)


def transactions(server: Running) -> Iterator[Workload]:
    for entries, id, what in ((2, "W10a", "Patient + Observation"), (4, "W10b", "Patient, Encounter, 2 Observations")):
        bodies = [make.transaction(number, entries=entries) for number in range(500)]
        posts = [post(server, "/fhir", body, Prefer="return=minimal") for body in bodies]
        yield Workload(id, what, posts, (1, 16), "post", len(bodies[0]), per=entries, once=True)


def some(values: list[str]) -> list[str]:
    """The values, with one in twenty that does not exist."""
    wrong = max(1, round(len(values) * _MISSING)) if values else 0
    return [*values, *(f"none-{number}" for number in range(wrong))]


def gets(server: Running, paths: list[str]) -> list[bytes]:
    return [raw_request("GET", path, headers=server.headers) for path in paths]


def post(
    server: Running,
    path: str,
    body: bytes,
    *,
    method: str = "POST",
    kind: str = "application/fhir+json",
    **headers: str,
) -> bytes:
    return raw_request(method, path, headers={**server.headers, "Content-Type": kind, **headers}, body=body)


def made(server: Running, resources: list[tuple[str, bytes]]) -> list[str]:
    """Ids of newly created resources."""
    entries = [{"resource": json.loads(body), "request": {"method": "POST", "url": type}} for type, body in resources]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    status, answer = server.ask(
        "POST", "/fhir", json.dumps(bundle).encode(), **{"Content-Type": "application/fhir+json"}
    )
    assert status == 200, answer[:500]
    return [
        entry["response"]["location"].split("/_history")[0].rsplit("/", 1)[1] for entry in json.loads(answer)["entry"]
    ]
