"""What a FHIR client writes shows on the vendor's routes, and the other way round: each row of the mapping."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from tests.conftest import Server

from .conftest import change, fhir_id, metadata, new_uid, report_on


def only_report(vendor: Any, study: Any) -> Any:
    (report,) = vendor.reports.list(study_id=study.study_id).reports
    return report


def reference(study: Any) -> str:
    return f"ImagingStudy/{fhir_id(study.study_id)}"


def test_the_study_is_an_imaging_study_found_by_its_uid(fhir: httpx.Client, study: Any) -> None:
    token = f"urn:dicom:uid|urn:oid:{study.study_instance_uid}"
    found = fhir.get("ImagingStudy", params={"identifier": token}).json()
    assert [entry["resource"]["id"] for entry in found["entry"]] == [fhir_id(study.study_id)]
    shown = fhir.get(reference(study)).json()
    assert {"system": "urn:vendor:autoscribe:study-id", "value": study.study_id} in shown["identifier"]
    assert shown["procedureCode"][0]["text"] == "MRI Brain with Contrast"
    assert shown["location"]["display"] == "Riverside Imaging"
    assert shown["referrer"]["display"] == "Dr. Gregory House"
    assert shown["started"] == "2024-11-20"
    assert shown["modality"][0]["code"] == "MR"
    patient = fhir.get(shown["subject"]["reference"]).json()
    assert patient["name"][0]["text"] == "Jane Q Doe"
    assert (patient["birthDate"], patient["gender"]) == ("1990-05-20", "female")
    assert patient["identifier"][0]["value"] == study.report_metadata.mrn
    task = fhir.get("Task", params={"focus": reference(study)}).json()["entry"][0]["resource"]
    assert task["priority"] == "urgent"


def test_the_patient_and_the_study_as_fhir_changes_them_are_the_metadata(
    vendor: Any, fhir: httpx.Client, study: Any
) -> None:
    subject = fhir.get(reference(study)).json()["subject"]["reference"]
    change(
        fhir,
        subject,
        name=[{"family": "Smith", "given": ["Janet"]}],
        birthDate="1991-01-02",
        gender="other",
        identifier=[{"type": {"coding": [{"code": "MR"}]}, "value": "NEW-1"}],
    )
    change(
        fhir,
        reference(study),
        procedureCode=[{"text": "CT Head"}],
        location={"display": "Elsewhere"},
        referrer={"display": "Dr. Who"},
        started="2024-12-01T09:15:00+01:00",
        _started=None,
        description="New words",
        contained=[
            {
                "resourceType": "Observation",
                "id": "h",
                "status": "final",
                "code": {"coding": [{"system": "http://loinc.org", "code": "8302-2"}]},
                "valueQuantity": {"value": 1.78, "unit": "m", "system": "http://unitsofmeasure.org", "code": "m"},
            }
        ],
        extension=[{"url": "http://example.org/StructureDefinition/x", "valueReference": {"reference": "#h"}}],
    )
    shown = vendor.studies.retrieve(study.study_id)
    about = shown.report_metadata
    assert shown.study_description == "New words"
    assert (about.patient_name, about.date_of_birth, about.sex, about.mrn) == (
        "Janet Smith",
        "1991-01-02",
        "other",
        "NEW-1",
    )
    assert (about.procedure, about.facility_name, about.referring_physician_name) == ("CT Head", "Elsewhere", "Dr. Who")
    assert (about.study_date, about.study_time) == ("2024-12-01", "09:15")
    assert (about.height.unit, about.height.value) == ("cm", 178)
    assert about.weight is None
    assert about.age == "33.8 years"


def test_a_gender_that_the_vendor_does_not_know_is_left_out(vendor: Any, fhir: httpx.Client, study: Any) -> None:
    change(fhir, fhir.get(reference(study)).json()["subject"]["reference"], gender="unknown")
    assert vendor.studies.retrieve(study.study_id).report_metadata.sex is None


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("registered", "in_progress"),
        ("partial", "in_progress"),
        ("preliminary", "in_progress"),
        ("final", "completed"),
        ("amended", "completed"),
        ("corrected", "completed"),
        ("appended", "completed"),
        ("cancelled", None),
        ("entered-in-error", None),
        ("unknown", None),
    ],
)
def test_every_status_of_fhir_has_its_place(
    vendor: Any, fhir: httpx.Client, study: Any, status: str, shown: str | None
) -> None:
    report_on(fhir, study, status)
    listed = vendor.reports.list(study_id=study.study_id).reports
    assert [each.status for each in listed] == ([shown] if shown else [])
    if shown:
        completed = shown == "completed"
        assert listed[0].is_critical is (False if completed else None)
        assert (listed[0].signed_at is not None) is completed
        assert not listed[0].is_addendum
    now = vendor.studies.retrieve(study.study_id)
    assert now.study_report_status == (shown or "unassigned")
    assert [each.status for each in now.report_ids] == ([shown] if shown else [])


def test_times_of_a_report_are_those_of_its_versions(vendor: Any, fhir: httpx.Client, study: Any) -> None:
    made = report_on(fhir, study)
    changed = change(fhir, f"DiagnosticReport/{made['id']}", conclusion="Something else.")
    report = vendor.reports.with_raw_response.list(study_id=study.study_id).json()["reports"][0]
    assert report["createdAt"] == made["meta"]["lastUpdated"]
    assert report["updatedAt"] == changed["meta"]["lastUpdated"]
    assert report["signedAt"] == made["issued"]
    assert report["reportPlainText"] == "Something else."


def test_the_text_is_the_presented_one_else_the_conclusion_else_the_narrative(
    vendor: Any, fhir: httpx.Client, study: Any
) -> None:
    presented = {"contentType": "text/plain", "data": base64.b64encode("Presenté.".encode()).decode()}
    narrative = {
        "status": "generated",
        "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>One &amp;</p><p>two</p></div>',
    }
    made = report_on(fhir, study, presentedForm=[presented], text=narrative)
    assert only_report(vendor, study).report_plain_text == "Presenté."
    change(fhir, f"DiagnosticReport/{made['id']}", presentedForm=None)
    assert only_report(vendor, study).report_plain_text == "No acute intracranial abnormality."
    change(fhir, f"DiagnosticReport/{made['id']}", conclusion=None)
    assert only_report(vendor, study).report_plain_text == "One &\ntwo"


def test_a_text_in_a_binary_is_read(vendor: Any, fhir: httpx.Client, study: Any) -> None:
    binary = {"resourceType": "Binary", "contentType": "text/plain", "data": base64.b64encode(b"From afar.").decode()}
    id = fhir.post("Binary", json=binary).json()["id"]
    report_on(fhir, study, presentedForm=[{"contentType": "text/plain", "url": f"Binary/{id}"}])
    assert only_report(vendor, study).report_plain_text == "From afar."


def test_a_critical_report_is_marked_by_an_extension(
    vendor: Any, fhir: httpx.Client, server: Server, study: Any
) -> None:
    url = f"{server.base}/StructureDefinition/report-critical"
    report_on(fhir, study, extension=[{"url": url, "valueBoolean": True}])
    assert only_report(vendor, study).is_critical is True
    assert vendor.studies.retrieve(study.study_id).is_critical is True


def test_the_radiologist_is_the_results_interpreter(vendor: Any, fhir: httpx.Client, study: Any) -> None:
    vendors = {"system": "urn:vendor:autoscribe:user-id", "value": "usr_" + "c" * 32}
    practitioner = fhir.post("Practitioner", json={"resourceType": "Practitioner", "identifier": [vendors]}).json()
    made = report_on(fhir, study, resultsInterpreter=[{"reference": f"Practitioner/{practitioner['id']}"}])
    assert only_report(vendor, study).user_id == "usr_" + "c" * 32
    change(
        fhir,
        f"DiagnosticReport/{made['id']}",
        resultsInterpreter=[{"identifier": vendors | {"value": "usr_" + "d" * 32}}],
    )
    assert only_report(vendor, study).user_id == "usr_" + "d" * 32


def test_a_report_that_names_the_study_by_its_uid_alone_belongs_to_it(
    vendor: Any, fhir: httpx.Client, study: Any
) -> None:
    identifier = {"system": "urn:dicom:uid", "value": f"urn:oid:{study.study_instance_uid}"}

    made = report_on(fhir, study, imagingStudy=[{"identifier": identifier}])
    report = only_report(vendor, study)
    assert fhir_id(report.report_id) == made["id"].replace("-", "")
    assert vendor.reports.text(report_id=report.report_id).study_id == study.study_id


def test_reports_are_searched_by_the_uid_of_their_study(fhir: httpx.Client, study: Any) -> None:
    made = report_on(fhir, study)
    token = f"urn:dicom:uid|urn:oid:{study.study_instance_uid}"
    found = fhir.get("DiagnosticReport", params={"imaging-study.identifier": token}).json()
    assert [entry["resource"]["id"] for entry in found["entry"]] == [made["id"]]


def test_ids_that_are_no_uuids_are_known_by_their_hash(vendor: Any, fhir: httpx.Client) -> None:
    uid = new_uid()
    suffix = uid[-12:].replace(".", "-")
    fhir.put(f"Patient/p-{suffix}", json={"resourceType": "Patient", "id": f"p-{suffix}", "name": [{"text": "No One"}]})
    imaging = {
        "resourceType": "ImagingStudy",
        "id": f"study.{suffix}",
        "status": "available",
        "subject": {"reference": f"Patient/p-{suffix}"},
        "identifier": [{"system": "urn:dicom:uid", "value": uid}],
    }
    assert fhir.put(f"ImagingStudy/study.{suffix}", json=imaging).status_code == 201
    report = {
        "resourceType": "DiagnosticReport",
        "id": f"report.{suffix}",
        "status": "final",
        "code": {"text": "x"},
        "imagingStudy": [{"reference": f"ImagingStudy/study.{suffix}"}],
        "effectiveDateTime": "2024-05-06",
    }
    assert fhir.put(f"DiagnosticReport/report.{suffix}", json=report).status_code == 201
    listed = vendor.reports.list(study_instance_uid=uid)
    assert vendor.reports.list(study_id=listed.study_id).study_instance_uid == uid
    text = vendor.reports.text(report_id=listed.reports[0].report_id)
    assert text.study_id == listed.study_id
    assert text.snapshot_metadata.study_date == "2024-05-06"
    assert text.snapshot_metadata.patient_name == "No One"
    assert vendor.reports.addendum(listed.reports[0].report_id).success


def test_a_snapshot_stays_as_it_was_at_creation(vendor: Any, fhir: httpx.Client) -> None:
    about = metadata()
    study = vendor.studies.external.create(
        report_metadata=about,
        severity="normal",
        study_description="CT",
        study_instance_uid=new_uid(),
        report_text="Fine.",
    )
    vendor.studies.update(study.study_id, report_metadata={"patient_name": "Other Name", "procedure": "Other"})
    change(fhir, fhir.get(reference(study)).json()["subject"]["reference"], birthDate="1950-01-01")
    snapshot = only_report(vendor, study).snapshot_metadata
    assert (snapshot.patient_name, snapshot.date_of_birth) == ("Jane Q Doe", "1990-05-20")
    assert snapshot.procedure == "MRI Brain with Contrast"
    assert (snapshot.study_date, snapshot.study_time, snapshot.age) == ("2024-11-20", "14:30", "34.5 years")
    assert (snapshot.height.value, snapshot.weight.value) == (70, 68.5)
    resource = fhir.get(f"DiagnosticReport/{fhir_id(only_report(vendor, study).report_id)}").json()
    resource["contained"][0]["name"] = [{"text": "Corrected"}]
    assert fhir.put(f"DiagnosticReport/{resource['id']}", json=resource).status_code == 200
    assert only_report(vendor, study).snapshot_metadata.patient_name == "Corrected"


def test_an_addendum_written_over_fhir_is_the_active_one(vendor: Any, fhir: httpx.Client, study: Any) -> None:
    made = report_on(fhir, study)
    core = "http://hl7.org/fhir/StructureDefinition/diagnosticReport-addendumOf"
    link = {"url": core, "valueReference": {"reference": f"DiagnosticReport/{made['id']}"}}
    addendum = report_on(fhir, study, "partial", extension=[link])
    assert vendor.studies.retrieve(study.study_id).study_report_status == "addendum_active"
    (active,) = [each for each in vendor.reports.list(study_id=study.study_id).reports if each.is_addendum]
    assert vendor.reports.cancel_addendum(active.report_id).success
    assert fhir.get(f"DiagnosticReport/{addendum['id']}").json()["status"] == "cancelled"


def test_what_the_vendor_writes_is_valid_fhir(vendor: Any, fhir: httpx.Client, study: Any) -> None:
    made = report_on(fhir, study)
    vendor.reports.addendum("rep_" + made["id"].replace("-", ""))
    (addendum,) = [each for each in vendor.reports.list(study_id=study.study_id).reports if each.is_addendum]
    for one in (reference(study), f"DiagnosticReport/{fhir_id(addendum.report_id)}"):
        outcome = fhir.post(f"{one.partition('/')[0]}/$validate", json=fhir.get(one).json()).json()
        assert [each for each in outcome["issue"] if each["severity"] in ("error", "fatal")] == []


def test_dicom_files_extend_the_study_that_the_vendor_created(
    vendor: Any, fhir: httpx.Client, server: Server, study: Any
) -> None:
    from tests.dicom.files import made

    content = made(StudyInstanceUID=study.study_instance_uid, StudyDescription="Of the scanner")
    headers = server.headers | {"Content-Type": "application/dicom"}
    response = httpx.post(f"{server.root}/dicom/instances", content=content, headers=headers)
    assert response.json()["studies"][0]["imagingStudy"] == reference(study)
    shown = vendor.studies.retrieve_by_uid(study.study_instance_uid)
    assert (shown.study_description, shown.report_metadata.patient_name) == ("Brain MRI", "Jane Q Doe")
    assert fhir.get(reference(study)).json()["numberOfInstances"] == 1
    assert fhir.get(reference(study)).json()["status"] == "available"


def test_a_study_that_came_as_dicom_is_taken_over(vendor: Any, server: Server) -> None:
    from tests.dicom.files import made

    uid, mrn = new_uid(), metadata()["mrn"]
    headers = server.headers | {"Content-Type": "application/dicom"}
    content = made(StudyInstanceUID=uid, PatientID=mrn, StudyDate="20240101", AccessionNumber="A1")
    assert httpx.post(f"{server.root}/dicom/instances", content=content, headers=headers).status_code == 201
    listed = vendor.reports.list(study_instance_uid=uid)
    study = vendor.studies.create(
        report_metadata={"mrn": mrn, "patient_name": "Jane Doe"},
        severity="normal",
        study_description="Scan",
        study_instance_uid=uid,
    )
    assert study.study_id == listed.study_id
    assert study.report_metadata.study_date == "2024-01-01"
    assert study.study_description == "Scan"
