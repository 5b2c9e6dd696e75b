"""The official client end to end: an integration that starts with an empty server and nothing but the client."""

from __future__ import annotations

import io
from typing import Any

import httpx
import pypdf
import pytest

from mappers.autoscribe import printing
from mappers.autoscribe.spelling import snaked

from .conftest import avara, change, fhir_id, metadata, new_uid, report_on

needs_pdf = pytest.mark.skipif(printing.missing() is not None, reason=str(printing.missing()))

TEXT = "FINDINGS:\nNo acute infarct. Ventricles are normal.\n\nIMPRESSION:\nNormal MRI of the brain."


def test_a_study_is_created_with_what_was_sent(vendor: Any) -> None:
    about, uid = metadata(), new_uid()
    user = vendor.users.invite(
        can_create_reports=True,
        can_manage_studies=False,
        clinic_role="Radiologist",
        email=f"{about['mrn'].lower()}@example.org",
        first_name="Ada",
        has_dashboard_access=False,
        last_name="Reader",
        level="member",
        npi_number="1234567890",
    )
    made = vendor.studies.create(
        report_metadata=about,
        severity="stat",
        study_description="Brain MRI with Contrast",
        study_instance_uid=uid,
        assigned_to=user.user_id,
        clinical_history="Headache",
        clinical_indication="Rule out tumour",
        express_customer_id="cus_" + "a" * 32,
        external_patient_id=f"ext-{about['mrn']}",
        metadata={"siteCode": "R1", "empty_one": ""},
        modality="MRI",
        prior_reports=[{"report_text": "Old report", "study_date": "2020-01-01", "modality": "CT"}],
        technologist_notes=["Moved a little", "Contrast given"],
        technologist_technique="3T, T1 and T2",
    )
    for shown in (made, vendor.studies.retrieve(made.study_id), vendor.studies.retrieve_by_uid(uid)):
        assert shown.study_id.startswith("stu_")
        assert len(shown.study_id) == 36
        assert shown.study_instance_uid == uid
        assert snaked(shown.report_metadata.to_dict()) == about
        assert (shown.severity, shown.study_description, shown.modality) == ("stat", "Brain MRI with Contrast", "MRI")
        assert shown.assigned_to.user_id == user.user_id
        assert (shown.assigned_to.first_name, shown.assigned_to.last_name) == ("Ada", "Reader")
        assert (shown.clinical_history, shown.clinical_indication) == ("Headache", "Rule out tumour")
        assert shown.express_customer.express_customer_id == "cus_" + "a" * 32
        assert shown.external_patient_id == f"ext-{about['mrn']}"
        assert shown.metadata == {"siteCode": "R1", "empty_one": ""}
        assert [each.report_text for each in shown.prior_reports] == ["Old report"]
        assert shown.technologist_notes == ["Moved a little", "Contrast given"]
        assert shown.technologist_technique == "3T, T1 and T2"
        assert shown.study_report_status == "assigned"
        assert (shown.study_type, shown.is_cancelled, shown.cancelled_at) == ("standard", False, None)
        assert shown.created_at is not None
        assert shown.updated_at is not None
        assert shown.created_by_api_key.api_key_id


@needs_pdf
def test_an_external_study_goes_through_text_pdf_and_addendum(vendor: Any, http: httpx.Client) -> None:
    about = metadata()
    study = vendor.studies.external.create(
        report_metadata=about,
        severity="normal",
        study_description="Brain MRI",
        study_instance_uid=new_uid(),
        report_text=TEXT,
        reader_name="Dr. Wilhelm Roentgen",
        signed_at="2024-11-20T17:05:00Z",
    )
    assert (study.study_type, study.study_report_status) == ("external", "completed")
    assert study.external_report_id.startswith("ext_")
    listed = vendor.reports.list(study_id=study.study_id)
    assert (listed.study_id, listed.study_instance_uid) == (study.study_id, study.study_instance_uid)
    (report,) = listed.reports
    assert (report.status, report.is_addendum, report.is_critical) == ("completed", False, False)
    assert report.report_plain_text == TEXT
    assert report.signed_at is not None
    assert report.user_id.startswith("usr_")
    assert snaked(report.snapshot_metadata.to_dict()) == about

    one = vendor.reports.text(report_id=report.report_id)
    assert (one.plain_text, one.study_id) == (TEXT, study.study_id)
    many = vendor.reports.text(study_instance_uid=study.study_instance_uid)
    assert [each.plain_text for each in many.reports] == [TEXT]

    pdf = vendor.reports.pdf(report_id=report.report_id)
    file = httpx.get(pdf.presigned_url)
    assert (file.status_code, file.headers["content-type"]) == (200, "application/pdf")
    text = "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(file.content)).pages)
    for word in ("Riverside Imaging", "Jane Q Doe", about["mrn"], "Normal MRI of the brain", "Roentgen", "Page 1 of 1"):
        assert word in text

    assert vendor.reports.addendum(report.report_id).success
    assert vendor.studies.retrieve(study.study_id).study_report_status == "addendum_active"
    statuses = [(each.is_addendum, each.status) for each in vendor.reports.list(study_id=study.study_id).reports]
    assert statuses == [(False, "completed"), (True, "in_progress")]
    with pytest.raises(avara.ConflictError) as refused:
        vendor.reports.addendum(report.report_id)
    assert refused.value.body == {"success": False, "message": "An addendum is already active on this study."}
    assert vendor.reports.cancel_addendum(report.report_id).success
    assert vendor.studies.retrieve(study.study_id).study_report_status == "completed"
    assert len(vendor.reports.list(study_id=study.study_id).reports) == 1


@needs_pdf
def test_a_signed_addendum_is_completed_and_printed_with_its_report(
    vendor: Any, fhir: httpx.Client, study: Any
) -> None:
    original = report_on(fhir, study, presentedForm=[{"contentType": "text/plain", "data": "T3JpZ2luYWwu"}])
    (report,) = vendor.reports.list(study_id=study.study_id).reports
    before = httpx.get(vendor.reports.pdf(report_id=report.report_id).presigned_url).content
    vendor.reports.addendum(report.report_id)
    addendum = vendor.reports.list(study_id=study.study_id).reports[1]
    assert (addendum.status, addendum.signed_at, addendum.is_critical) == ("in_progress", None, None)
    with pytest.raises(avara.ConflictError):
        vendor.reports.pdf(report_id=addendum.report_id)
    change(
        fhir,
        f"DiagnosticReport/{fhir_id(addendum.report_id)}",
        status="final",
        issued="2024-11-21T08:00:00Z",
        conclusion="A small lesion was seen in retrospect.",
        resultsInterpreter=[{"display": "Dr. Second Look"}],
    )
    signed = vendor.reports.list(study_id=study.study_id).reports[1]
    assert (signed.status, signed.is_addendum) == ("completed", True)
    assert signed.signed_at.isoformat().startswith("2024-11-21T08:00")
    assert signed.report_plain_text == "A small lesion was seen in retrospect."
    assert vendor.studies.retrieve(study.study_id).study_report_status == "completed"
    after = httpx.get(vendor.reports.pdf(report_id=report.report_id).presigned_url).content
    text = "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(after)).pages)
    assert "Addendum 1" in text
    assert "A small lesion" in text
    assert after != before
    assert fhir.get(f"DiagnosticReport/{original['id']}").json()["meta"]["versionId"] == "1"


def test_studies_are_changed_and_cleared(vendor: Any, study: Any) -> None:
    changed = vendor.studies.update(
        study.study_id,
        severity="stat",
        study_description="Spine MRI",
        clinical_history="Back pain",
        metadata={"a": "b"},
        report_metadata={"patient_name": "Jane Roe", "study_time": None, "weight": {"unit": "lbs", "value": 150}},
    )
    assert (changed.severity, changed.study_description, changed.clinical_history) == ("stat", "Spine MRI", "Back pain")
    about = changed.report_metadata
    assert (about.patient_name, about.study_time, about.study_date) == ("Jane Roe", None, "2024-11-20")
    assert (about.weight.unit, about.weight.value, about.mrn) == ("lbs", 150, study.report_metadata.mrn)
    cleared = vendor.studies.update(study.study_id, clinical_history=None, metadata=None, modality=None)
    assert (cleared.clinical_history, cleared.metadata, cleared.modality) == (None, None, None)
    assert cleared.study_description == "Spine MRI"


def test_studies_are_cancelled_and_restored(vendor: Any, study: Any) -> None:
    assert vendor.studies.cancel(study_id=study.study_id).success
    shown = vendor.studies.retrieve(study.study_id)
    assert shown.is_cancelled
    assert shown.cancelled_at is not None
    with pytest.raises(avara.ConflictError):
        vendor.studies.cancel(study_id=study.study_id)
    assert vendor.studies.uncancel(study_instance_uid=study.study_instance_uid).success
    assert not vendor.studies.retrieve(study.study_id).is_cancelled


def test_studies_are_listed_by_cursor(vendor: Any) -> None:
    word = metadata()["mrn"]
    made = [
        vendor.studies.create(
            report_metadata=metadata(),
            severity="stat" if number % 2 else "normal",
            study_description=f"Series {word} {number}",
            study_instance_uid=new_uid(),
        ).study_id
        for number in range(5)
    ]
    first = vendor.studies.list(limit=2, study_description=word.upper())
    assert [each.study_id for each in first.studies] == made[:2]
    assert first.has_more
    assert [each.study_id for each in vendor.studies.list(limit=2, study_description=word)] == made
    urgent = vendor.studies.list(study_description=word, severity="stat")
    assert [each.study_id for each in urgent] == made[1::2]
    waiting = vendor.studies.list(study_description=word, study_report_status=["unassigned", "completed"])
    assert len(waiting.studies) == 5
    assert not waiting.has_more
    assert vendor.studies.list(study_description=word, is_cancelled=True).studies == []


def test_a_second_study_with_the_same_uid_is_refused(vendor: Any, study: Any) -> None:
    with pytest.raises(avara.ConflictError):
        vendor.studies.create(
            report_metadata=metadata(),
            severity="normal",
            study_description="Again",
            study_instance_uid=study.study_instance_uid,
        )


def test_an_external_report_is_added_later_and_is_not_edited(vendor: Any) -> None:
    external = vendor.studies.external
    study = external.create(
        report_metadata=metadata(), severity="normal", study_description="Old CT", study_instance_uid=new_uid()
    )
    assert (study.external_report_id, study.study_report_status) == (None, "unassigned")
    added = external.reports.create(study_id=study.study_id, report_text="Nothing found.", signed_at="long ago")
    shown = external.reports.retrieve(added.external_report_id)
    assert (shown.report_text, shown.signed_at, shown.presigned_url) == ("Nothing found.", "long ago", None)
    assert shown.snapshot_metadata.patient_name == "Jane Q Doe"
    with pytest.raises(avara.ConflictError):
        external.reports.create(study_id=study.study_id, report_text="Something found.")
    external.reports.create(study_id=study.study_id, reader_name="Dr. Later")
    (listed,) = external.reports.list(study_id=study.study_id).reports
    assert (listed.reader_name, listed.has_report_text, listed.report_pdf_present) == ("Dr. Later", True, False)
    assert external.delete(study_id=study.study_id).success
    with pytest.raises(avara.NotFoundError):
        vendor.studies.retrieve(study.study_id)
    again = external.create(
        report_metadata=metadata(),
        severity="normal",
        study_description="Old CT",
        study_instance_uid=study.study_instance_uid,
    )
    assert again.study_report_status == "unassigned"
