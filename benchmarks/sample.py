"""Values to ask for, sampled at run time from the data that was loaded; and bodies to send."""

from __future__ import annotations

import json
import random
import uuid
from dataclasses import dataclass, field
from urllib.parse import quote

from benchmarks.servers import Running


@dataclass(slots=True)
class Sample:
    """ids by type, and values of search parameters, from what the server holds."""

    ids: dict[str, list[str]] = field(default_factory=dict)
    identifiers: list[str] = field(default_factory=list)
    families: list[str] = field(default_factory=list)
    cities: list[str] = field(default_factory=list)
    birth_dates: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    practitioners: list[str] = field(default_factory=list)


def take(server: Running) -> Sample:
    found = Sample()
    for type in ("Patient", "Observation", "Encounter", "ExplanationOfBenefit", "Condition"):
        resources = _resources(server, type, 400)
        found.ids[type] = [resource["id"] for resource in resources]
        for resource in resources:
            if type == "Patient":
                found.identifiers += [
                    quote(f"{each['system']}|{each['value']}") for each in resource["identifier"] if "system" in each
                ]
                found.families.append(quote(resource["name"][0]["family"][:3]))
                found.cities.append(quote(resource["address"][0]["city"][:4]))
                found.birth_dates.append(resource["birthDate"])
            elif type == "Observation":
                coding = resource["code"]["coding"][0]
                found.codes.append(quote(f"{coding['system']}|{coding['code']}"))
            elif type == "Encounter":
                found.practitioners += [
                    each["individual"]["reference"] for each in resource.get("participant", []) if "individual" in each
                ]
    found.practitioners = sorted({each for each in found.practitioners if "/" in each and "?" not in each})
    found.codes = sorted(set(found.codes))
    return found


def _resources(server: Running, type: str, count: int) -> list[dict]:
    bundle = server.get(f"/fhir/{type}?_count={count}")
    return [entry["resource"] for entry in bundle.get("entry", []) if entry["resource"]["resourceType"] == type]


def patient(number: int) -> bytes:
    return json.dumps(
        {
            "resourceType": "Patient",
            "identifier": [{"system": "http://bench.example/mrn", "value": f"{number}-{uuid.uuid4().hex[:8]}"}],
            "active": True,
            "name": [{"use": "official", "family": f"Bench{number % 97}", "given": ["Anna", "Maria"]}],
            "telecom": [{"system": "phone", "value": f"555-{number:07d}", "use": "home"}],
            "gender": "female",
            "birthDate": f"19{40 + number % 60:02d}-0{1 + number % 9}-1{number % 10}",
            "address": [{"line": [f"{number} Main Street"], "city": "Boston", "state": "MA", "postalCode": "02101"}],
        }
    ).encode()


def observation(number: int, subject: str) -> bytes:
    return json.dumps(
        {
            "resourceType": "Observation",
            "status": "final",
            "category": [
                {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                            "code": "vital-signs",
                        }
                    ]
                }
            ],
            "code": {"coding": [{"system": "http://loinc.org", "code": "8302-2", "display": "Body Height"}]},
            "subject": {"reference": subject},
            "effectiveDateTime": f"2024-0{1 + number % 9}-1{number % 10}T08:30:00Z",
            "valueQuantity": {
                "value": 150 + number % 50,
                "unit": "cm",
                "system": "http://unitsofmeasure.org",
                "code": "cm",
            },
        }
    ).encode()


def encounter(number: int, subject: str) -> bytes:
    return json.dumps(
        {
            "resourceType": "Encounter",
            "status": "finished",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
            "subject": {"reference": subject},
            "period": {"start": f"2024-01-1{number % 10}T08:00:00Z", "end": f"2024-01-1{number % 10}T09:00:00Z"},
        }
    ).encode()


def transaction(number: int, *, entries: int) -> bytes:
    """Patient and Observation (2), or Patient, Encounter and two Observations (4), linked by urn:uuid."""
    subject = f"urn:uuid:{uuid.UUID(int=random.getrandbits(128), version=4)}"
    resources = [patient(number)]
    if entries == 4:
        resources.append(encounter(number, subject))
    while len(resources) < entries:
        resources.append(observation(number + len(resources), subject))
    return json.dumps(
        {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [
                {
                    **({"fullUrl": subject} if index == 0 else {}),
                    "resource": (resource := json.loads(raw)),
                    "request": {"method": "POST", "url": resource["resourceType"]},
                }
                for index, raw in enumerate(resources)
            ],
        }
    ).encode()
