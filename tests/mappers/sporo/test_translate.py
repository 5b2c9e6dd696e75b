"""Sporo's words to FHIR and back, for every field of the mapping."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.jobs.models import model
from fhir_server.jobs.names import Names
from fhir_server.jobs.states import completed, failed
from fhir_server.processing.engines import CodedDiagnosis
from mappers.sporo import templates
from mappers.sporo.patients import fold, matches, new_patient
from mappers.sporo.projection import View, codes_json, failure, job_json, status_of, upload_json, vendor_id
from mappers.sporo.results import condition, text_document
from mappers.sporo.translate import (
    AUDIO,
    ICD10,
    KINDS,
    TEXT,
    UPLOAD,
    Asked,
    File,
    file_document,
    item,
    metadata_of,
    minted,
    new_id,
    task,
    to_instant,
    to_vendor_time,
    webhook_url_of,
)

NAMES = Names("https://example.org/fhir")
NOW = datetime(2026, 4, 21, 19, 14, 2, 739182, tzinfo=UTC)
ID = "684a9f404c658fc1a0743af9"

texts = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n\t"), min_size=1, max_size=50
).filter(lambda text: bool(text.strip()))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
metadata = st.dictionaries(st.text(max_size=20), json_values, max_size=6)


def asked(code: str = UPLOAD, **more: Any) -> Asked:
    return Asked(id=ID, code=code, key_id="k1", **more)


@given(st.text(st.sampled_from("abcdefgh0123456789-."), min_size=1, max_size=64))
def test_a_vendors_id_is_24_hex_digits_and_always_the_same(id: str) -> None:
    made = minted("Task", id)
    assert re.fullmatch(r"[0-9a-f]{24}", made)
    assert made == minted("Task", id)


def test_an_id_that_has_the_form_stays() -> None:
    assert minted("Task", ID) == ID
    assert minted("Task", ID.upper()) == ID


def test_new_ids_differ_and_have_the_form() -> None:
    made = {new_id(NOW) for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(r"[0-9a-f]{24}", id) for id in made)


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_times_keep_their_six_digits(moment: datetime) -> None:
    shown = to_vendor_time(to_instant(moment))
    assert shown is not None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", shown)
    assert datetime.fromisoformat(shown).replace(tzinfo=UTC) == moment


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("2026-04-21T21:14:02+02:00", "2026-04-21T19:14:02.000000"),
        ("2026-04-21", "2026-04-21T00:00:00.000000"),
        ("2026-04", "2026-04-01T00:00:00.000000"),
        ("2026", "2026-01-01T00:00:00.000000"),
        ("2026-04-21T19:14:02.123456789Z", "2026-04-21T19:14:02.123456"),
        ("rubbish", None),
        (None, None),
    ],
)
def test_times_of_other_clients(said: Any, shown: str | None) -> None:
    assert to_vendor_time(said) == shown


@settings(max_examples=200)
@given(metadata)
def test_metadata_keep_types_and_order(given_metadata: dict[str, Any]) -> None:
    made = task(asked(metadata=given_metadata), [], names=NAMES, now=NOW)
    kept = metadata_of(made)
    assert kept == given_metadata
    assert list(kept) == list(given_metadata)
    assert json.dumps(kept) == json.dumps(given_metadata)


@pytest.mark.parametrize("said", ["", "[1]", "not json", "null", "[" * 50_000])
def test_metadata_that_are_no_object_are_none(said: str) -> None:
    made = task(asked(), [item(NAMES, "metadata", "valueString", said)], names=NAMES, now=NOW)
    assert metadata_of(made) == {}


@given(texts, metadata)
def test_what_was_sent_along_comes_back(extra: str, given_metadata: dict[str, Any]) -> None:
    made = task(asked(extra_information=extra, metadata=given_metadata), [], names=NAMES, now=NOW)
    shown = upload_json(View(made))
    assert shown == {"status": "queued", "response": None, "extra_information": extra, "metadata": given_metadata}


@pytest.mark.parametrize("code", KINDS)
def test_a_task_is_valid_r4b(code: str) -> None:
    made = task(
        asked(
            code,
            key_name="Clinic",
            webhook_url="https://h.example.org/x",
            extra_information="x",
            metadata={"a": 1},
            subject="Patient/1",
        ),
        [item(NAMES, "text", "valueString", "x")],
        names=NAMES,
        now=NOW,
    )
    model("Task").model_validate(made)
    assert made["authoredOn"] == "2026-04-21T19:14:02.739182Z"
    assert webhook_url_of(made) == "https://h.example.org/x"
    assert vendor_id(made) == ID


STATUSES = {
    "draft": "queued",
    "requested": "queued",
    "received": "queued",
    "accepted": "queued",
    "ready": "queued",
    "in-progress": "processing",
    "on-hold": "processing",
    "completed": "completed",
    "failed": "failed",
    "rejected": "failed",
    "cancelled": "failed",
    "entered-in-error": "failed",
}


@pytest.mark.parametrize(("fhir", "vendor"), STATUSES.items())
def test_every_status_of_a_task_has_a_word(fhir: str, vendor: str) -> None:
    assert status_of({"status": fhir}) == vendor


def test_a_job_that_waits_shows_its_times_and_nothing_else() -> None:
    made = task(asked(ICD10), [], names=NAMES, now=NOW)
    assert job_json(View(made)) == {
        "job_id": ID,
        "status": "queued",
        "created_at": "2026-04-21T19:14:02.739182",
        "updated_at": "2026-04-21T19:14:02.739182",
    }


def test_a_job_is_never_updated_before_it_is_made() -> None:
    made = task(asked(ICD10), [], names=NAMES, now=NOW) | {"lastModified": "2026-04-21T19:14:02.739Z"}
    assert job_json(View(made))["updated_at"] == "2026-04-21T19:14:02.739182"


@pytest.mark.parametrize("code", [ICD10, AUDIO])
def test_a_failed_job_says_why(code: str) -> None:
    made = failed(task(asked(code), [], names=NAMES, now=NOW), NAMES, now=NOW, code="rag_service_error", reason="Words")
    shown = job_json(View(made))
    assert (shown["status"], shown["error_code"], shown["error_message"]) == ("failed", "rag_service_error", "Words")
    assert set(shown) == {"job_id", "status", "created_at", "updated_at", "error_code", "error_message"}


def test_a_failed_upload_says_why_without_a_code() -> None:
    made = failed(task(asked(), [], names=NAMES, now=NOW), NAMES, now=NOW, code="unreadable_file", reason="Words")
    assert upload_json(View(made)) == {
        "status": "failed",
        "response": None,
        "extra_information": None,
        "metadata": {},
        "error_message": "Words",
    }


def test_codes_of_the_server_are_spelled_as_the_vendor_does() -> None:
    made = failed(task(asked(ICD10), [], names=NAMES, now=NOW), NAMES, now=NOW, code="internal-error", reason="Words")
    assert failure(made) == ("internal_error", "Words")


def test_a_task_cancelled_by_a_fhir_client_says_so() -> None:
    made = task(asked(ICD10), [], names=NAMES, now=NOW) | {"status": "cancelled"}
    assert failure(made) == ("cancelled", "The job ended with the status cancelled.")


@settings(max_examples=50)
@given(texts, texts, st.sampled_from(["I10", "E11.9", "S72.001A"]))
def test_codes_there_and_back(name: str, evidence: str, code: str) -> None:
    coded = CodedDiagnosis(name, code, "Official title", evidence, 0, len(evidence), 0.9)
    made = condition(coded, task_id=ID, ordinal=0, subject=None, now=NOW)
    model("Condition").model_validate(made)
    assert codes_json([made]) == [{"name": name, "icd10_code": code, "evidence": evidence}]


def changed(**more: Any) -> list[dict[str, Any]]:
    coded = CodedDiagnosis("Hypertension", "I10", "Essential (primary) hypertension", "high pressure", 0, 13, 0.9)
    return codes_json([condition(coded, task_id=ID, ordinal=0, subject="Patient/1", now=NOW) | more])


@pytest.mark.parametrize("status", ["refuted", "entered-in-error"])
def test_a_refuted_condition_is_no_code(status: str) -> None:
    assert changed(verificationStatus={"coding": [{"code": status}]}) == []


@pytest.mark.parametrize("status", ["confirmed", "provisional", "differential", "unconfirmed"])
def test_any_other_condition_is_one(status: str) -> None:
    assert len(changed(verificationStatus={"coding": [{"code": status}]})) == 1


def test_what_a_fhir_client_changes_in_a_condition_shows() -> None:
    code = {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "I11.9"}], "text": "Other"}
    [shown] = changed(code=code, evidence=[{"code": [{"coding": [{"display": "seen"}]}]}])
    assert shown == {"name": "Other", "icd10_code": "I11.9", "evidence": "seen"}
    [shown] = changed(code={"coding": [{"system": "http://snomed.info/sct", "code": "1", "display": "Thing"}]})
    assert shown == {"name": "Thing", "icd10_code": None, "evidence": "high pressure"}


def test_a_file_is_a_document() -> None:
    file = File("d", "b", "a.pdf", "application/pdf", 12, "2jmj7l5rSw0yVb/vlWAYkK/YBwk=")
    made = file_document(file, task_id=ID, subject="Patient/1", now=NOW)
    model("DocumentReference").model_validate(made)
    attachment = made["content"][0]["attachment"]
    assert (attachment["title"], attachment["size"], attachment["url"]) == ("a.pdf", 12, "Binary/b")
    assert made["context"]["related"] == [{"reference": f"Task/{ID}"}]


@settings(max_examples=50)
@given(st.text(max_size=100))
def test_a_text_that_was_made_is_a_document(text: str) -> None:
    from mappers.sporo.projection import document_text

    made = text_document(text, "response", task_id=ID, type={"text": "x"}, subject=None, now=NOW)
    assert document_text(made) == text.encode("utf-8", "replace").decode()


def test_a_completed_upload_shows_its_response() -> None:
    made = completed(task(asked(), [], names=NAMES, now=NOW), NAMES, now=NOW, outputs=[])
    assert upload_json(View(made, {"response": "All is well."}))["response"] == "All is well."
    assert upload_json(View(made))["response"] is None


# Patients


@pytest.mark.parametrize(
    ("email", "first", "last"),
    [
        ("tony@example.com", "Tony", "Stark"),
        ("TONY@example.com", "sTARK", "toNY"),
        ("tony@example.com", "Stark", "Tony"),
    ],
)
def test_a_patient_is_found_in_either_order_of_names(email: str, first: str, last: str) -> None:
    patient = new_patient("Tony@Example.com", "Tony", "Stark", "x", NAMES)
    model("Patient").model_validate(patient)
    assert matches(patient, email, first, last)


@pytest.mark.parametrize(
    ("email", "first", "last"),
    [
        ("t@example.com", "Tony", "Stark"),
        ("tony@example.com", "Anthony", "Stark"),
        ("tony@example.com", "Tony", "Star"),
    ],
)
def test_another_person_is_not_found(email: str, first: str, last: str) -> None:
    assert not matches(new_patient("tony@example.com", "Tony", "Stark", "x", NAMES), email, first, last)


def test_a_patient_by_text_or_with_a_middle_name_is_found() -> None:
    telecom = [{"system": "email", "value": "tony@example.com"}]
    assert matches({"telecom": telecom, "name": [{"text": "Tony Stark"}]}, "tony@example.com", "tony", "stark")
    name = [{"family": "Stark", "given": ["Tony", "Edward"]}]
    assert matches({"telecom": telecom, "name": name}, "tony@example.com", "tony", "stark")
    assert not matches({"telecom": telecom, "name": name, "active": False}, "tony@example.com", "tony", "stark")


@given(st.text(max_size=30))
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


# Templates


def test_a_dozen_templates_are_shipped() -> None:
    shipped = templates.shipped(NAMES)
    assert len(shipped) >= 12
    assert len({each["id"] for each in shipped}) == len(shipped)
    for each in shipped:
        assert re.fullmatch(r"[0-9a-f]{24}", each["id"])
        model("Questionnaire").model_validate(each)
        assert templates.is_template(each)
        assert len(templates.sections(each)) >= 4


def test_the_catalogue_looks_without_regard_to_case() -> None:
    shipped = templates.shipped(NAMES)
    assert [each["name"] for each in templates.catalogue(shipped, name="soap")] == ["SOAP NOTE"]
    assert [each["name"] for each in templates.catalogue(shipped, search="MENTAL status")] == ["PSYCHIATRY NOTE"]
    assert templates.catalogue(shipped, name="soap", search="mental") == []
    assert {"_id", "name", "short_description"} == set(templates.catalogue(shipped)[0])


def test_a_questionnaire_of_another_kind_is_no_template() -> None:
    one = templates.shipped(NAMES)[0]
    assert not templates.is_template(one | {"status": "retired"})
    assert not templates.is_template(one | {"code": [{"system": "http://loinc.org", "code": "44249-1"}]})
    assert not templates.is_template({name: value for name, value in one.items() if name != "title"})


def test_text_jobs_are_uploads_to_the_vendor() -> None:
    made = task(asked(TEXT), [], names=NAMES, now=NOW)
    assert made["identifier"][0]["system"] == "urn:vendor:sporo:upload-id"
