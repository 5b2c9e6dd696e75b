"""The bare wire: spelling, errors in the vendor's form, links, several requests at once."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pypdf
import pytest

from mappers.autoscribe import printing
from tests.conftest import Server

from .conftest import metadata, new_uid, report_on

needs_pdf = pytest.mark.skipif(printing.missing() is not None, reason=str(printing.missing()))
BASE = "/v1/autoScribe"
NOBODY = "0" * 32


def refused(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"success", "message"}
    assert body["success"] is False
    assert isinstance(body["message"], str)
    assert body["message"]
    return str(body["message"])


def test_the_wire_is_camel_case_and_every_key_is_there(http: httpx.Client, fhir: httpx.Client, study: Any) -> None:
    report_on(fhir, study, "preliminary")
    body = http.get(f"{BASE}/reports", params={"studyId": study.study_id}).json()
    assert set(body) == {"reports", "studyId", "studyInstanceUid"}
    (report,) = body["reports"]
    required = "createdAt isAddendum isCritical reportId signedAt snapshotMetadata status studyId updatedAt userId"
    assert set(report) == {*required.split(), "reportPlainText"}
    assert (report["signedAt"], report["isCritical"], report["status"]) == (None, None, "in_progress")
    assert re.fullmatch(r"rep_[0-9a-f]{32}", report["reportId"])
    assert re.fullmatch(r"usr_[0-9a-f]{32}", report["userId"])


@pytest.mark.parametrize("route", ["reports", "reports/text"])
def test_who_asks_in_snake_case_is_answered_in_it(
    http: httpx.Client, fhir: httpx.Client, study: Any, route: str
) -> None:
    report_on(fhir, study)
    for name, value in (("study_id", study.study_id), ("study_instance_uid", study.study_instance_uid)):
        body = http.get(f"{BASE}/{route}", params={name: value}).json()
        assert body["study_id"] == study.study_id
        (report,) = body["reports"]
        assert report["snapshot_metadata"]["patient_name"] == "Jane Q Doe"
        one = http.get(f"{BASE}/reports/text", params={"report_id": report["report_id"]}).json()
        assert one["plain_text"] == "No acute intracranial abnormality."
        assert one["study_instance_uid"] == study.study_instance_uid


def test_a_body_in_snake_case_is_understood_and_answered_in_it(http: httpx.Client) -> None:
    body = {
        "report_metadata": metadata(),
        "severity": "normal",
        "study_description": "CT",
        "study_instance_uid": new_uid(),
        "metadata": {"siteCode": "x"},
    }
    shown = http.post(f"{BASE}/studies", json=body).json()
    assert shown["report_metadata"] == body["report_metadata"]
    assert shown["metadata"] == {"siteCode": "x"}


ROUTES = [
    ("GET", "/reports"),
    ("GET", "/reports/text"),
    ("GET", "/reports/pdf"),
    ("POST", f"/reports/rep_{NOBODY}/addendum"),
    ("POST", f"/reports/rep_{NOBODY}/cancel-addendum"),
    ("POST", "/studies"),
    ("GET", "/studies"),
    ("GET", f"/studies/stu_{NOBODY}"),
    ("PATCH", f"/studies/stu_{NOBODY}"),
    ("GET", "/studies/by-uid/1.2.3"),
    ("POST", "/studies/cancel"),
    ("POST", "/studies/uncancel"),
    ("POST", "/studies/external"),
    ("POST", "/studies/external/delete"),
    ("POST", "/studies/external/reports"),
    ("GET", "/studies/external/reports"),
    ("GET", f"/studies/external/reports/ext_{NOBODY}"),
    ("POST", "/users"),
    ("GET", "/users"),
    ("GET", f"/users/usr_{NOBODY}"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_needs_a_key(server: Server, method: str, path: str) -> None:
    refused(httpx.request(method, server.root + BASE + path), 401)
    wrong = {"Authorization": "Bearer fsk_000000000000_" + "x" * 43}
    refused(httpx.request(method, server.root + BASE + path, headers=wrong), 401)
    refused(httpx.request(method, server.root + BASE + path, headers={"Authorization": "Basic eDp5"}), 401)


@pytest.mark.parametrize(
    ("method", "path"), [each for each in ROUTES if each[0] != "GET" and "addendum" not in each[1]]
)
def test_every_body_is_checked(http: httpx.Client, method: str, path: str) -> None:
    for body, media, status in (
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'"x"', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"nonsense": 1}', "application/json", 400),
        (b'{"studyInstanceUid": 12}', "application/json", 400),
        (b"<a/>", "application/xml", 415),
        (b"a=b", "application/x-www-form-urlencoded", 415),
        (b"[" * 100_000, "application/json", 400),
    ):
        refused(http.request(method, BASE + path, content=body, headers={"Content-Type": media}), status)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/reports", 400),
        ("/reports?studyId=", 400),
        ("/reports?studyId=nonsense", 400),
        ("/reports?studyId=stu_XYZ", 400),
        (f"/reports?studyId=stu_{NOBODY}", 404),
        ("/reports?studyInstanceUid=1.2.03", 400),
        ("/reports?studyInstanceUid=1.2.3.4.5.6.7.8.9", 404),
        (f"/reports?reportId=rep_{NOBODY}", 400),
        ("/reports?unknown=1", 400),
        ("/reports/text", 400),
        ("/reports/text?reportId=stu_" + NOBODY, 400),
        (f"/reports/text?reportId=rep_{NOBODY}", 404),
        (f"/reports/pdf?reportId=rep_{NOBODY}", 404),
        ("/studies/nonsense", 400),
        (f"/studies/stu_{NOBODY}", 404),
        ("/studies/by-uid/abc", 400),
        ("/studies/by-uid/1.2.3.99999", 404),
        ("/studies?limit=0", 400),
        ("/studies?limit=101", 400),
        ("/studies?limit=x", 400),
        ("/studies?cursor=nonsense", 400),
        ("/studies?cursor=WyJub25zZW5zZSIsIDBd", 400),
        ("/studies?severity=low", 400),
        ("/studies?studyReportStatus=done", 400),
        ("/studies?isCancelled=maybe", 400),
        ("/studies?assignedTo=me", 400),
        ("/studies/external/reports/ext_1", 400),
        ("/users/me", 400),
        ("/nothing", 404),
        ("", 404),
    ],
)
def test_bad_questions_are_answered_in_the_vendors_form(http: httpx.Client, path: str, status: int) -> None:
    refused(http.get(BASE + path), status)


def test_methods_that_are_not_there_are_405(http: httpx.Client) -> None:
    for method, path in (("POST", "/reports"), ("DELETE", "/studies"), ("GET", f"/reports/rep_{NOBODY}/addendum")):
        refused(http.request(method, BASE + path), 405)


def test_ids_that_do_not_agree_are_refused(http: httpx.Client, study: Any) -> None:
    params = {"studyId": study.study_id, "studyInstanceUid": "1.2.3.4"}
    refused(http.get(f"{BASE}/reports", params=params), 400)


def test_a_body_that_is_too_large_is_413(http: httpx.Client) -> None:
    refused(http.post(f"{BASE}/studies", content=b" " * (17 << 20), headers={"Content-Type": "application/json"}), 413)


@pytest.mark.parametrize(
    "changes",
    [
        {"severity": "low"},
        {"severity": None},
        {"studyInstanceUid": "1..2"},
        {"studyInstanceUid": "1." + "2" * 64},
        {"studyDescription": ""},
        {"studyDescription": None},
        {"reportMetadata": None},
        {"reportMetadata": {"studyDate": "20.11.2024"}},
        {"reportMetadata": {"studyDate": "2024-02-30"}},
        {"reportMetadata": {"studyTime": "25:00"}},
        {"reportMetadata": {"dateOfBirth": 1990}},
        {"reportMetadata": {"sex": "unknown"}},
        {"reportMetadata": {"height": {"unit": "ft", "value": 1}}},
        {"reportMetadata": {"height": {"unit": "in", "value": -1}}},
        {"reportMetadata": {"weight": {"unit": "kg", "value": "70"}}},
        {"reportMetadata": {"nickname": "J"}},
        {"reportMetadata": {"patientName": "\x00"}},
        {"metadata": {"k" * 101: "v"}},
        {"metadata": {"k": "v" * 1001}},
        {"metadata": {f"k{number}": "v" for number in range(51)}},
        {"technologistNotes": ["n"] * 51},
        {"technologistNotes": ["n" * 1001]},
        {"priorReports": [{"modality": "CT"}]},
        {"assignedTo": "someone"},
    ],
)
def test_fields_that_cannot_be_are_refused_with_a_sentence(http: httpx.Client, changes: dict[str, Any]) -> None:
    body = {"reportMetadata": {}, "severity": "normal", "studyDescription": "CT", "studyInstanceUid": new_uid()}
    message = refused(http.post(f"{BASE}/studies", json=body | changes), 400)
    assert next(iter(changes)).lower() in message.lower()


def test_a_user_that_is_not_known_is_404(http: httpx.Client) -> None:
    body = {"reportMetadata": {}, "severity": "normal", "studyDescription": "CT", "studyInstanceUid": new_uid()}
    refused(http.post(f"{BASE}/studies", json=body | {"assignedTo": f"usr_{NOBODY}"}), 404)


def test_addenda_need_a_completed_report(http: httpx.Client, fhir: httpx.Client, study: Any) -> None:
    made = report_on(fhir, study, "preliminary")
    report = "rep_" + made["id"].replace("-", "")
    refused(http.post(f"{BASE}/reports/{report}/addendum"), 409)
    refused(http.post(f"{BASE}/reports/{report}/cancel-addendum"), 409)
    refused(http.post(f"{BASE}/reports/rep_{NOBODY}/addendum"), 404)
    refused(http.post(f"{BASE}/reports/nonsense/addendum"), 400)


def test_of_many_addenda_at_once_one_is_made(http: httpx.Client, fhir: httpx.Client, study: Any) -> None:
    made = report_on(fhir, study)
    path = f"{BASE}/reports/rep_{made['id'].replace('-', '')}/addendum"
    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(each.status_code for each in pool.map(lambda _: http.post(path), range(8)))
    assert statuses == [200] + [409] * 7
    listed = http.get(f"{BASE}/reports", params={"studyId": study.study_id}).json()["reports"]
    assert len(listed) == 2


def test_of_many_studies_with_one_uid_at_once_one_is_made(http: httpx.Client) -> None:
    about = {"mrn": metadata()["mrn"], "patientName": "Race Condition"}
    body = {"reportMetadata": about, "severity": "normal", "studyDescription": "CT", "studyInstanceUid": new_uid()}
    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(
            each.status_code for each in pool.map(lambda _: http.post(f"{BASE}/studies", json=body), range(8))
        )
    assert statuses == [200] + [409] * 7


def test_studies_of_one_patient_at_once_have_one_patient(http: httpx.Client, fhir: httpx.Client) -> None:
    about = {"mrn": metadata()["mrn"], "patientName": "Many Scans", "dateOfBirth": "1970-01-01"}

    def create(_: int) -> int:
        body = {"reportMetadata": about, "severity": "normal", "studyDescription": "CT", "studyInstanceUid": new_uid()}
        return http.post(f"{BASE}/studies", json=body).status_code

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(create, range(6))) == {200}
    assert fhir.get("Patient", params={"identifier": about["mrn"], "_summary": "count"}).json()["total"] == 1


@needs_pdf
def test_a_link_works_without_a_key_until_it_is_altered(
    http: httpx.Client, fhir: httpx.Client, server: Server, study: Any
) -> None:
    made = report_on(fhir, study)
    body = http.get(f"{BASE}/reports/pdf", params={"study_id": study.study_id}).json()
    (item,) = body["reports"]
    url = item["presigned_url"]
    assert url.startswith(f"{server.root}/files/reports/{item['report_id']}.pdf?expires=")
    response = httpx.get(url)
    assert response.status_code == 200
    assert response.content.startswith(b"%PDF-1.7")
    catalog = pypdf.PdfReader(io.BytesIO(response.content)).root_object
    assert catalog["/OutputIntents"]
    described = catalog["/Metadata"].get_data().decode()  # type: ignore[attr-defined]
    assert (re.findall(r"pdfaid:part\W+(\d)", described), re.findall(r"pdfaid:conformance\W+(\w)", described)) == (
        ["3"],
        ["B"],
    )
    expires, signature = re.search(r"expires=(\d+)&signature=([0-9a-f]+)", url).groups()  # type: ignore[union-attr]
    for altered in (
        url.replace(expires, str(int(expires) + 60)),
        url.replace(signature, signature[:-1] + ("0" if signature[-1] != "0" else "1")),
        url.replace(item["report_id"], f"rep_{NOBODY}"),
        url.partition("&signature")[0],
        url.partition("?")[0],
        url.replace("expires=", "expires=0"),
        url.replace("expires=" + expires, "expires=x"),
    ):
        refused(httpx.get(altered), 403)
    binaries = fhir.get("Binary", params={"_count": "1000"}).json()["entry"]
    mine = [
        each["resource"]
        for each in binaries
        if each["resource"].get("securityContext", {}).get("reference") == f"DiagnosticReport/{made['id']}"
    ]
    assert [base64.b64decode(each["data"]) for each in mine] == [response.content]


@needs_pdf
def test_a_pdf_that_the_report_brings_is_the_one_that_is_given(
    http: httpx.Client, fhir: httpx.Client, study: Any
) -> None:
    data = base64.b64encode(b"%PDF-1.4 my own").decode()
    report_on(fhir, study, presentedForm=[{"contentType": "application/pdf", "data": data}])
    item = http.get(f"{BASE}/reports/pdf", params={"studyId": study.study_id}).json()["reports"][0]
    assert httpx.get(item["presignedUrl"]).content == b"%PDF-1.4 my own"


def test_a_report_in_progress_has_no_pdf(http: httpx.Client, fhir: httpx.Client, study: Any) -> None:
    made = report_on(fhir, study, "preliminary")
    refused(http.get(f"{BASE}/reports/pdf", params={"reportId": "rep_" + made["id"].replace("-", "")}), 409)
    assert http.get(f"{BASE}/reports/pdf", params={"studyId": study.study_id}).json()["reports"] == []


def test_a_key_of_the_dialect_is_for_the_dialect_alone(server: Server, study: Any) -> None:
    key = made_key(server, "--dialect", "autoscribe")
    assert httpx.get(f"{server.root}{BASE}/studies/{study.study_id}", headers=key).status_code == 200
    assert httpx.get(f"{server.base}/Patient", headers=key).status_code == 403


def test_a_key_for_fhir_sees_here_what_its_scopes_let_it_see(server: Server, study: Any) -> None:
    key = made_key(server, "--scope", "system/Task.crs", "--scope", "system/ImagingStudy.rs")
    refused(httpx.get(f"{server.root}{BASE}/reports", params={"studyId": study.study_id}, headers=key), 403)


def made_key(server: Server, *options: str) -> dict[str, str]:
    if server.data_dir is None:
        pytest.skip("keys of a foreign server cannot be made")
    command = [str(Path(sys.executable).parent / "fhir-server"), "keys", "create", "--name", "vendor", "--json"]
    made = subprocess.run([*command, *options, "--data-dir", str(server.data_dir)], capture_output=True, check=True)
    text = next(str(each) for each in json.loads(made.stdout).values() if str(each).startswith("fsk_"))
    return {"Authorization": f"Bearer {text}"}
