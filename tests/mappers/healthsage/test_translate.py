from __future__ import annotations

import copy
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.jobs.models import model
from fhir_server.jobs.names import Names
from fhir_server.jobs.provenance import labelled
from fhir_server.processing.engines import ExtractResult, Mention
from fhir_server.r4b.validate import validate
from mappers.healthsage.extraction import outputs_of
from mappers.healthsage.partial_dates import relative_to
from mappers.healthsage.projection import View, bundle, task_json
from mappers.healthsage.resources import DERIVATION, TYPES, Found, resources_of
from mappers.healthsage.tokens import count
from mappers.healthsage.translate import Submission, asked, note_text, submission

NAMES = Names("http://test/fhir")
NOW = datetime(2025, 3, 15, 10, 30, tzinfo=UTC)
NOTE = "Patient with paroxysmal atrial fibrillation diagnosed in 2021 and a catheter ablation in September 2023."
LETTER = date(2025, 3, 15)

AF = Mention(
    code="282825002",
    system="http://snomed.info/sct",
    display="Paroxysmal atrial fibrillation (disorder)",
    concept_type="disorder",
    status="confirmed",
    source=NOTE[13:61],
    start=13,
    end=61,
    concept_start=13,
    concept_end=43,
    date="2021",
    relative_date="(Y-4)",
)
VERSION = "2026-01-01"

texts = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00"), min_size=1, max_size=60
).filter(str.strip)
partial_dates = st.one_of(
    st.dates(date(1900, 1, 1), date(2100, 1, 1)).map(str),
    st.dates(date(1900, 1, 1), date(2100, 1, 1)).map(lambda day: str(day)[:7]),
    st.dates(date(1900, 1, 1), date(2100, 1, 1)).map(lambda day: str(day)[:4]),
)
tags = st.sampled_from([*TYPES, "body structure", "physical object", "person"])


def submitted(note: str = NOTE, specialty: str = "Cardiology", dob: date | None = None) -> list[dict[str, Any]]:
    return submission(
        Submission(
            note=note,
            specialty=specialty,
            letter_date=LETTER,
            patient_dob=dob,
            task_id="a1b2c3d4-e5f6-4890-abcd-ef1234567890",
            document_id="11111111-e5f6-4890-abcd-ef1234567890",
            patient_id="22222222-e5f6-4890-abcd-ef1234567890",
            key_id="k1",
            key_name="a key",
        ),
        names=NAMES,
        now=NOW,
    )


def done(*mentions: Mention, note: str = NOTE, specialty: str = "Cardiology", dob: date | None = None) -> View:
    """What is stored after the job, with these mentions found."""
    patient, document, task = submitted(note, specialty, dob)
    request = asked(task, document)
    assert request is not None
    result = ExtractResult(mentions, engine_version="1", snomed_version=VERSION)
    found = Found(task["id"], f"DocumentReference/{document['id']}", f"Patient/{patient['id']}", request.letter_date)
    resources = [labelled(resource) for resource in resources_of(result, found, NAMES)]
    outputs = outputs_of(task, document, request, resources, result, NAMES)
    return View(task | {"status": "completed", "output": outputs}, document, resources)


def extraction(view: View) -> dict[str, Any]:
    [only] = task_json(view)["json_data"]["extractions"]
    return only  # type: ignore[no-any-return]


def edited(view: View, **changes: Any) -> View:
    """The view after a FHIR client changed the only resource; None removes an element."""
    resource = copy.deepcopy(dict(view.resources[0])) | changes
    return replace(view, resources=[{name: value for name, value in resource.items() if value is not None}])


def checked(resource: dict[str, Any]) -> None:
    problems = [issue for issue in validate(resource) if issue.severity in ("error", "fatal")]
    assert problems == []
    model(resource["resourceType"]).model_validate(resource)


def test_a_submission_is_valid_fhir() -> None:
    for resource in submitted(dob=date(1958, 2, 3)):
        checked(resource)


@given(texts, texts, st.none() | st.dates(date(1900, 1, 1), date(2025, 1, 1)))
def test_what_was_submitted_is_asked_of_the_engine(note: str, specialty: str, dob: date | None) -> None:
    _, document, task = submitted(note, specialty, dob)
    request = asked(task, document)
    assert request is not None
    assert (request.note, request.specialty) == (note, specialty)
    assert request.letter_date == "2025-03-15"
    assert request.patient_dob == (dob.isoformat() if dob else None)
    assert note_text(document) == note


@given(
    tag=tags,
    status=st.sampled_from(["confirmed", "provisional", "differential"]),
    when=st.none() | partial_dates,
    until=st.none() | partial_dates,
    note=texts,
    data=st.data(),
)
def test_a_mention_reads_back_as_it_was_found(
    tag: str, status: Any, when: str | None, until: str | None, note: str, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(note) - 1))
    end = data.draw(st.integers(start + 1, len(note)))
    mention = Mention(
        code="38341003",
        system="http://snomed.info/sct",
        display=f"Thing ({tag})",
        concept_type=tag,
        status=status,
        source=note[start:end],
        start=start,
        end=end,
        concept_start=start,
        concept_end=end,
        date=when,
        end_date=until,
    )
    view = done(mention, note=note)
    read = extraction(view)
    assert read["snomed_ct_code"] == "38341003"
    assert read["snomed_ct_term"] == f"Thing ({tag})"
    assert (read["concept_type"], read["status"]) == (tag, status)
    assert (read["date"], read["end_date"]) == (when, until)
    assert (read["start"], read["end"], read["source"]) == (start, end, note[start:end])
    assert read["shortened_id"] == read["id"][:8]
    assert read["relative_date"] == relative_to(when, LETTER)
    assert read["relative_end_date"] == relative_to(until, LETTER)


@pytest.mark.parametrize("tag", [*TYPES, "body structure"])
@pytest.mark.parametrize("status", ["confirmed", "provisional", "differential"])
@pytest.mark.parametrize("dates", [(None, None), ("2021", None), ("2021-03", "2022-04-05"), (None, "2020")])
def test_every_kind_of_mention_becomes_valid_fhir(tag: str, status: Any, dates: tuple[str | None, str | None]) -> None:
    mention = replace(AF, concept_type=tag, status=status, date=dates[0], end_date=dates[1], icd10cm="I48.0", value="1")
    view = done(mention)
    checked(dict(view.resources[0]))
    checked(dict(view.task))


def test_the_condition_is_as_the_mapping_says() -> None:
    [condition] = done(AF).resources
    assert condition["resourceType"] == "Condition"
    assert condition["code"]["coding"][0] == {
        "system": "http://snomed.info/sct",
        "version": "http://snomed.info/sct/900000000000207008/version/20260101",
        "code": "282825002",
        "display": "Paroxysmal atrial fibrillation (disorder)",
    }
    assert condition["code"]["text"] == NOTE[13:61]
    assert condition["verificationStatus"]["coding"][0]["code"] == "confirmed"
    assert condition["onsetDateTime"] == "2021"
    assert condition["recordedDate"] == "2025-03-15"
    by_url = {extension["url"]: extension for extension in condition["extension"]}
    assert by_url["http://test/fhir/StructureDefinition/concept-type"]["valueCode"] == "disorder"
    assert by_url["http://test/fhir/StructureDefinition/relative-date"]["valueString"] == "(Y-4)"
    parts = {part["url"]: part for part in by_url[DERIVATION]["extension"]}
    assert (parts["offset"]["valueInteger"], parts["length"]["valueInteger"]) == (13, 48)


def test_an_end_makes_a_condition_resolved() -> None:
    [condition] = done(replace(AF, end_date="2022")).resources
    assert condition["abatementDateTime"] == "2022"
    assert condition["clinicalStatus"]["coding"][0]["code"] == "resolved"


def test_the_task_is_shown_as_the_vendor_shows_it() -> None:
    shown = task_json(done(AF, dob=date(1958, 2, 3)))
    assert shown["status"] == "SUCCESS"
    assert (shown["letter_date"], shown["patient_dob"]) == ("2025-03-15", "1958-02-03")
    assert shown["json_data"]["specialty"] == "Cardiology"
    assert shown["json_data"]["snomed_ct_version"] == "2026-01-01"
    usage = shown["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["input_tokens"] == count(NOTE) + count("Cardiology")
    assert usage["output_tokens"] > 0


def test_a_task_without_findings_names_its_snomed_edition_too() -> None:
    data = task_json(done())["json_data"]
    assert (data["extractions"], data["snomed_ct_version"]) == ([], VERSION)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("requested", "PENDING"),
        ("ready", "PENDING"),
        ("in-progress", "PENDING"),
        ("failed", "FAILURE"),
        ("cancelled", "FAILURE"),
    ],
)
def test_a_task_that_is_not_completed_shows_no_data(status: str, word: str) -> None:
    view = done(AF)
    shown = task_json(replace(view, task={**view.task, "status": status}))
    assert (shown["status"], shown["json_data"], shown["usage"]) == (word, None, None)


@pytest.mark.parametrize(
    ("verification", "status"),
    [("confirmed", "confirmed"), ("unconfirmed", "provisional"), ("differential", "differential")],
)
def test_a_changed_verification_status_shows(verification: str, status: str) -> None:
    changed = edited(done(AF), verificationStatus={"coding": [{"code": verification}]})
    assert extraction(changed)["status"] == status


@pytest.mark.parametrize("verification", ["refuted", "entered-in-error"])
def test_a_refuted_condition_is_no_extraction(verification: str) -> None:
    changed = edited(done(AF), verificationStatus={"coding": [{"code": verification}]})
    assert task_json(changed)["json_data"]["extractions"] == []
    assert "entry" not in bundle(changed, patient=None, base="http://test/fhir", now=NOW)


@pytest.mark.parametrize(
    ("tag", "status", "shown"),
    [
        ("procedure", "not-done", None),
        ("procedure", "completed", "confirmed"),
        ("procedure", "unknown", "provisional"),
        ("observable entity", "entered-in-error", None),
        ("observable entity", "amended", "confirmed"),
        ("substance", "not-taken", None),
        ("substance", "stopped", "confirmed"),
    ],
)
def test_a_changed_status_of_other_types_shows(tag: str, status: str, shown: str | None) -> None:
    changed = edited(done(replace(AF, concept_type=tag, status="provisional")), status=status)
    found = task_json(changed)["json_data"]["extractions"]
    assert [each["status"] for each in found] == ([shown] if shown else [])


def test_a_changed_code_shows() -> None:
    coding = {"system": "http://snomed.info/sct", "code": "49436004", "display": "Atrial fibrillation (disorder)"}
    read = extraction(edited(done(AF), code={"coding": [coding]}))
    assert (read["snomed_ct_code"], read["snomed_ct_term"]) == ("49436004", "Atrial fibrillation (disorder)")


def test_a_changed_onset_shows_and_its_relative_date_is_counted_anew() -> None:
    read = extraction(edited(done(AF), onsetDateTime="2019"))
    assert (read["date"], read["relative_date"]) == ("2019", "(Y-6)")


def test_a_changed_relative_date_shows() -> None:
    view = done(AF)
    extensions = copy.deepcopy(view.resources[0]["extension"])
    next(each for each in extensions if each["url"].endswith("/relative-date"))["valueString"] = "(Y-5)"
    assert extraction(edited(view, extension=extensions))["relative_date"] == "(Y-5)"


def test_a_changed_concept_type_shows() -> None:
    view = done(AF)
    extensions = copy.deepcopy(view.resources[0]["extension"])
    next(each for each in extensions if each["url"].endswith("/concept-type"))["valueCode"] = "finding"
    assert extraction(edited(view, extension=extensions))["concept_type"] == "finding"


def test_extensions_of_a_former_address_are_still_read() -> None:
    view = done(AF)
    extensions = [
        {**each, "url": each["url"].replace("http://test/", "https://old.example/")}
        for each in view.resources[0]["extension"]
    ]
    assert extraction(edited(view, extension=extensions))["concept_type"] == "disorder"


def test_a_condition_without_anything_of_ours_is_shown_as_far_as_it_goes() -> None:
    bare = {"resourceType": "Condition", "id": "x", "subject": {"reference": "Patient/p"}, "code": {"text": "gout"}}
    read = extraction(replace(done(AF), resources=[bare]))
    assert (read["snomed_ct_code"], read["snomed_ct_term"], read["status"]) == (None, "gout", "confirmed")
    assert (read["start"], read["end"], read["source"], read["date"]) == (None, None, "gout", None)


@pytest.mark.parametrize(
    ("given_id", "reference"),
    [(None, "Patient/<subject_id>"), ("patient-123", "Patient/patient-123"), ("Group/7", "Group/7")],
)
def test_the_bundle_names_the_patient_that_was_asked_for(given_id: str | None, reference: str) -> None:
    view = done(AF)
    rendered = bundle(view, patient=given_id, base="http://test/fhir", now=NOW)
    assert (rendered["type"], rendered["identifier"]["value"]) == ("collection", f"urn:uuid:{view.task['id']}")
    [entry] = rendered["entry"]
    assert entry["resource"]["subject"] == {"reference": reference}
    assert entry["fullUrl"] == f"urn:uuid:{view.resources[0]['id']}"
    assert view.resources[0]["subject"]["reference"].startswith("Patient/22222222")


def test_the_bundle_is_valid_fhir() -> None:
    rendered = bundle(done(AF, replace(AF, concept_type="procedure")), patient="p1", base="http://test/fhir", now=NOW)
    checked(rendered)


@pytest.mark.parametrize(
    ("partial", "text"),
    [
        ("2021", "(Y-4)"),
        ("2025", "(Y-0)"),
        ("2026", "(Y+1)"),
        ("2023-09", "(M-18)"),
        ("2025-03-05", "(D-10)"),
        (None, None),
        ("2021-02-31", None),
    ],
)
def test_relative_dates_count_in_the_precision_of_the_date(partial: str | None, text: str | None) -> None:
    assert relative_to(partial, LETTER) == text


def test_a_note_in_the_task_itself_is_enough() -> None:
    task = {
        "resourceType": "Task",
        "id": "t",
        "authoredOn": "2025-03-15T10:00:00Z",
        "input": [{"type": {"text": "note"}, "valueString": "Has gout."}],
    }
    request = asked(task, None)
    assert request is not None
    assert (request.note, request.specialty, request.letter_date) == ("Has gout.", None, "2025-03-15")


def test_a_task_without_a_note_asks_for_nothing() -> None:
    assert asked({"resourceType": "Task", "id": "t"}, None) is None
