"""Data for a measurement: the Synthea set where it is, else linked resources made here."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from pathlib import Path

from benchmarks import sample as make
from fhir_server.commands.sources import find_files, open_file


def write_small_set(folder: Path, *, patients: int) -> None:
    """Transaction Bundles of made-up patients, each with encounters, vital signs and laboratory values, conditions and
    a claim."""
    random.seed(11)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(patients):
        subject = f"urn:uuid:{uuid.UUID(int=random.getrandbits(128), version=4)}"
        entries = [entry(json.loads(make.patient(number)), subject)]
        for index in range(20):
            entries.append(entry(json.loads(make.encounter(index, subject))))
        for index in range(80):
            found = json.loads(make.observation(index, subject))
            if index % 2:
                found["category"][0]["coding"][0]["code"] = "laboratory"
                found["code"]["coding"][0] = {
                    "system": "http://loinc.org",
                    "code": ("2339-0", "4548-4", "2093-3")[index % 3],
                }
            entries.append(entry(found))
        for code in ("38341003", "44054006"):
            entries.append(
                entry(
                    {
                        "resourceType": "Condition",
                        "subject": {"reference": subject},
                        "code": {"coding": [{"system": "http://snomed.info/sct", "code": code}]},
                        "onsetDateTime": "2020-05-01",
                    }
                )
            )
        entries.append(entry(_claim(subject)))
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        (folder / f"patient-{number}.json").write_text(json.dumps(bundle))


def entry(resource: dict, full_url: str | None = None) -> dict:
    named = {"fullUrl": full_url} if full_url else {}
    return {**named, "resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}


def _claim(subject: str) -> dict:
    return {
        "resourceType": "ExplanationOfBenefit",
        "status": "active",
        "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/claim-type", "code": "professional"}]},
        "use": "claim",
        "patient": {"reference": subject},
        "created": "2024-01-01",
        "insurer": {"display": "Insurer"},
        "provider": {"display": "Provider"},
        "outcome": "complete",
        "insurance": [{"focal": True, "coverage": {"display": "Coverage"}}],
        "item": [
            {
                "sequence": number,
                "productOrService": {"text": f"Service {number}"},
                "net": {"value": 12.5, "currency": "USD"},
            }
            for number in range(1, 9)
        ],
    }


def bundles(data: Path, *, limit: int) -> Iterator[tuple[bytes, int]]:
    """(transaction Bundle, number of entries): the largest one and some others, of those in `data`."""
    files = [file for file in find_files([str(data)]) if not file.name.startswith("0-")]
    files.sort(key=lambda file: -file.stat().st_size)
    for file in [*files[:1], *files[1 :: max(1, len(files) // limit)]][:limit]:
        with open_file(file) as opened:
            body = opened.read()
        bundle = json.loads(body)
        if bundle.get("type") == "transaction":
            yield body, len(bundle["entry"])
