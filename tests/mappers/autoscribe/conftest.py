"""The vendor's official client, against a real server."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import Server

avara = pytest.importorskip("avara", reason="the vendor's client is not installed")

METADATA: dict[str, Any] = {
    "age": "34.5 years",
    "date_of_birth": "1990-05-20",
    "facility_name": "Riverside Imaging",
    "height": {"unit": "in", "value": 70},
    "mrn": "MRN-1",
    "patient_name": "Jane Q Doe",
    "procedure": "MRI Brain with Contrast",
    "referring_physician_name": "Dr. Gregory House",
    "sex": "female",
    "study_date": "2024-11-20",
    "study_time": "14:30",
    "weight": {"unit": "kg", "value": 68.5},
}


@pytest.fixture(scope="session")
def vendor(server: Server) -> Iterator[Any]:
    """The official client."""
    with avara.Avara(api_key=server.key, base_url=server.root, max_retries=0, timeout=30) as client:
        yield client.auto_scribe


@pytest.fixture(scope="session")
def http(server: Server) -> Iterator[httpx.Client]:
    """The bare wire."""
    with httpx.Client(base_url=server.root, headers=server.headers, timeout=30) as client:
        yield client


def new_uid() -> str:
    return f"1.2.826.0.1.3680043.8.498.{secrets.randbelow(10**30)}"


def metadata(**changes: Any) -> dict[str, Any]:
    """Metadata of a patient that no other test has."""
    return METADATA | {"mrn": f"MRN-{secrets.token_hex(6)}"} | changes


@pytest.fixture
def study(vendor: Any) -> Any:
    """A new study of a new patient."""
    return vendor.studies.create(
        report_metadata=metadata(),
        severity="high",
        study_description="Brain MRI",
        study_instance_uid=new_uid(),
        modality="MRI",
    )


def fhir_id(vendor_id: str) -> str:
    return vendor_id.partition("_")[2]


def report_on(fhir: httpx.Client, study: Any, status: str = "final", **changes: Any) -> dict[str, Any]:
    """A DiagnosticReport that a FHIR client writes on a study."""
    imaging = fhir.get(f"ImagingStudy/{fhir_id(study.study_id)}").json()
    resource = {
        "resourceType": "DiagnosticReport",
        "status": status,
        "code": {"text": "MRI Brain"},
        "subject": imaging["subject"],
        "imagingStudy": [{"reference": f"ImagingStudy/{imaging['id']}"}],
        "issued": "2024-11-20T16:00:00.000Z",
        "conclusion": "No acute intracranial abnormality.",
    }
    response = fhir.post("DiagnosticReport", json=resource | changes)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


def change(fhir: httpx.Client, reference: str, **changes: Any) -> dict[str, Any]:
    """PUT a resource with some elements changed; None takes one away."""
    resource = fhir.get(reference).json() | changes
    resource = {name: value for name, value in resource.items() if value is not None}
    response = fhir.put(reference, json=resource)
    assert response.status_code == 200, response.text
    changed: dict[str, Any] = response.json()
    return changed


def eventually(check: Any, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            check()
            return
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
