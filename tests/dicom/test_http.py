"""POST /dicom/instances on a real server."""

from __future__ import annotations

import secrets
from typing import Any

import httpx

from tests.conftest import Server

from .files import made


def uid() -> str:
    return f"1.2.826.0.1.3680043.8.498.{secrets.randbelow(10**30)}"


def post(
    server: Server, content: Any = None, media: str | None = "application/dicom", **options: Any
) -> httpx.Response:
    headers = dict(server.headers) | ({"Content-Type": media} if media else {})
    return httpx.post(f"{server.root}/dicom/instances", content=content, headers=headers, timeout=30, **options)


def test_an_object_makes_a_study_that_search_finds(server: Server, fhir: httpx.Client) -> None:
    study = uid()
    response = post(server, made(StudyInstanceUID=study, PatientID=study[-16:]))
    assert response.status_code == 201, response.text
    (linked,) = response.json()["studies"]
    found = fhir.get("ImagingStudy", params={"identifier": f"urn:dicom:uid|urn:oid:{study}"}).json()
    assert [f"ImagingStudy/{entry['resource']['id']}" for entry in found["entry"]] == [linked["imagingStudy"]]
    assert post(server, made(StudyInstanceUID=study, PatientID=study[-16:])).status_code == 200


def test_many_objects_in_one_request(server: Server, fhir: httpx.Client) -> None:
    study = uid()
    files = [("file", (f"{n}.dcm", made(StudyInstanceUID=study, SOPInstanceUID=f"{study}.{n}"))) for n in range(1, 4)]
    files.append(("file", ("notes.txt", b"no picture")))
    response = post(server, media=None, files=files)
    assert response.status_code == 201, response.text
    body = response.json()
    assert body["linked"] == 3
    assert [each["file"] for each in body["refused"]] == ["notes.txt"]
    shown = fhir.get(body["studies"][0]["imagingStudy"]).json()
    assert shown["numberOfInstances"] == 3


def test_multipart_related_as_stow_sends_it(server: Server) -> None:
    study = uid()
    parts = b"".join(
        b"--x\r\nContent-Type: application/dicom\r\n\r\n"
        + made(StudyInstanceUID=study, SOPInstanceUID=f"{study}.{n}")
        + b"\r\n"
        for n in (1, 2)
    )
    response = post(server, parts + b"--x--\r\n", 'multipart/related; type="application/dicom"; boundary=x')
    assert (response.status_code, response.json()["linked"]) == (201, 2)


def test_what_cannot_be_read_is_refused_with_a_sentence(server: Server) -> None:
    for content, media, status in (
        (b"nonsense", "application/dicom", 400),
        (b"", "application/dicom", 400),
        (b"{}", "application/json", 415),
        (b"--x\r\n", "multipart/related; boundary=x", 400),
        (b"--x\r\n", "multipart/related", 400),
    ):
        response = post(server, content, media)
        assert response.status_code == status, response.text
        assert isinstance(response.json()["detail"], str)


def test_a_key_is_needed(server: Server) -> None:
    response = httpx.post(f"{server.root}/dicom/instances", content=made())
    assert response.status_code == 401
    assert isinstance(response.json()["detail"], str)
    assert httpx.get(f"{server.root}/dicom/instances", headers=server.headers).status_code == 405
