from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import replace
from typing import Any

import pytest
from fhir.resources.R4B.imagingstudy import ImagingStudy
from fhir.resources.R4B.patient import Patient

from fhir_server.dicom.headers import Instance, Unlinkable, read_header
from fhir_server.dicom.link import Linker, Options, link, link_files
from fhir_server.hub import Hub
from fhir_server.security.caller import SYSTEM

from .files import CT, all_files, made, sequence

ONE = Instance("1.2.3", "1.2.3.1", "1.2.3.1.1", CT, 1, "CT", 1, patient_id="P1", patient_name="Doe^Jane")


def instance(**changes: Any) -> Instance:
    return replace(ONE, **changes)


async def only(hub: Hub, type: str = "ImagingStudy") -> dict[str, Any]:
    (found,) = await hub.find(SYSTEM, type, [])
    return found


def bare(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name != "meta"}


async def contents(hub: Hub) -> list[dict[str, Any]]:
    found = [*await hub.find(SYSTEM, "ImagingStudy", []), *await hub.find(SYSTEM, "Patient", [])]
    return sorted((bare(each) for each in found), key=lambda each: (each["resourceType"], each["id"]))


async def test_a_file_becomes_a_whole_study(hub: Hub) -> None:
    content = made(
        AccessionNumber="A-77",
        StudyDate="20240131",
        StudyTime="083000.5",
        TimezoneOffsetFromUTC="+0100",
        StudyDescription="Chest CT",
        ReferringPhysicianName="House^Gregory^^Dr.",
        InstitutionName="St. Elsewhere",
        SeriesNumber="4",
        SeriesDescription="Lung",
        BodyPartExamined="CHEST",
        Laterality="L",
        InstanceNumber="12",
        PatientBirthDate="1980.02.29",
        PatientSex="F",
        IssuerOfPatientID="ELSE",
    )
    (linked,) = await link(hub, [read_header(content)])
    study = await only(hub)
    assert linked.created
    assert linked.id == study["id"]
    assert study["identifier"] == [
        {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3.4.3"},
        {
            "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]},
            "value": "A-77",
        },
    ]
    assert study["status"] == "available"
    assert study["started"] == "2024-01-31T08:30:00.5+01:00"
    assert study["description"] == "Chest CT"
    assert study["referrer"] == {"display": "Dr. Gregory House"}
    assert study["location"] == {"display": "St. Elsewhere"}
    assert study["modality"] == [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}]
    assert (study["numberOfSeries"], study["numberOfInstances"]) == (1, 1)
    (series,) = study["series"]
    assert (series["uid"], series["number"], series["description"]) == ("1.2.3.4.2", 4, "Lung")
    assert series["bodySite"]["code"] == "51185008"
    assert series["laterality"]["code"] == "7771000"
    assert series["instance"] == [
        {"uid": "1.2.3.4.1", "sopClass": {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{CT}"}, "number": 12}
    ]
    patient = await only(hub, "Patient")
    assert study["subject"] == {"reference": f"Patient/{patient['id']}"}
    assert (patient["birthDate"], patient["gender"]) == ("1980-02-29", "female")
    assert patient["name"] == [{"family": "Doe", "given": ["Jane"], "text": "Jane Doe"}]
    assert (patient["identifier"][0]["value"], patient["identifier"][0]["assigner"]) == ("P1", {"display": "ELSE"})


async def test_every_file_of_pydicom_is_linked_or_refused_and_what_is_made_is_valid(hub: Hub) -> None:
    files = all_files()
    assert len(files) == 176
    summary = await link_files(hub, files)
    assert summary.files + len(summary.refused) == 176
    assert summary.files >= 148
    studies = await hub.find(SYSTEM, "ImagingStudy", [])
    assert len(studies) == len(summary.studies)
    for study in studies:
        ImagingStudy.model_validate(study)
        assert study["numberOfInstances"] == sum(len(each["instance"]) for each in study["series"])
        assert study["numberOfSeries"] == len(study["series"])
    for patient in await hub.find(SYSTEM, "Patient", []):
        Patient.model_validate(patient)


async def test_once_more_changes_nothing(hub: Hub) -> None:
    files = all_files()
    await link_files(hub, files)
    before = await hub.store.last_seq()
    again = await link_files(hub, files)
    assert not any(linked.written for linked in again.studies.values())
    assert await hub.store.last_seq() == before


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_order_of_arrival_does_not_matter(hub: Hub, seed: int) -> None:
    rng = random.Random(seed)
    told = [
        instance(
            series_uid=f"1.2.3.{number % 3}",
            instance_uid=f"1.2.3.{number % 3}.{number}",
            number=number,
            description=rng.choice(["", "Chest", "Abdomen"]),
            study_date=rng.choice(["", "20240102", "20240103"]),
            study_time=rng.choice(["", "120000"]),
            series_description=rng.choice(["", "A", "B"]),
            modality=rng.choice(["CT", "SR", "OT"]) if number % 3 == 0 else "CT",
            body_part=rng.choice(["", "CHEST", "odd place"]),
            accession=rng.choice(["", "A1", "A2"]),
            referrer=rng.choice(["", "A^B", "C^D"]),
            patient_name=rng.choice(["Doe^Jane", "Doe^J"]),
            performers=rng.choice([(), ("X^Y",), ("Z^Y",)]),
        )
        for number in range(12)
    ]
    outcomes = []
    for _ in range(4):
        rng.shuffle(told)
        for start in range(0, 12, 5):
            await link(hub, told[start : start + 5])
        outcomes.append(await contents(hub))
        for resource in outcomes[-1]:
            await hub.store.purge(resource["resourceType"], resource["id"])
    assert all(outcome == outcomes[0] for outcome in outcomes)


async def test_files_that_arrive_in_parallel_all_count(hub: Hub) -> None:
    one, other = Linker(hub), Linker(hub)
    told = [instance(instance_uid=f"1.2.3.1.{number}", number=number) for number in range(60)]
    await asyncio.gather(*((one if each.number % 2 else other).link([each]) for each in told))
    study = await only(hub)
    assert study["numberOfInstances"] == 60
    assert [each["number"] for each in study["series"][0]["instance"]] == list(range(60))
    assert len(await hub.find(SYSTEM, "Patient", [])) == 1


async def test_a_time_without_a_zone_is_not_given_one(hub: Hub) -> None:
    await link(hub, [instance(study_date="2004.01.19", study_time="07:27:30")])
    study = await only(hub)
    assert study["started"] == "2004-01-19"
    assert study["_started"]["extension"][0]["valueTime"] == "07:27:30"


async def test_the_sites_zone_is_used_when_it_is_known(hub: Hub) -> None:
    from zoneinfo import ZoneInfo

    await link(hub, [instance(study_date="20240719", study_time="0727")], Options(zone=ZoneInfo("Europe/Zurich")))
    assert (await only(hub))["started"] == "2024-07-19T07:27:00+02:00"


async def test_a_patient_is_matched_by_id_and_issuer(hub: Hub) -> None:
    for id, system in (("right", "urn:oid:2.16.840.1"), ("wrong", "urn:oid:2.16.840.2")):
        await hub.save(SYSTEM, {"resourceType": "Patient", "id": id, "identifier": [{"system": system, "value": "P1"}]})
    qualifiers = sequence(UniversalEntityID="2.16.840.1", UniversalEntityIDType="ISO")
    (linked,) = await link(hub, [read_header(made(IssuerOfPatientIDQualifiersSequence=qualifiers))])
    assert linked.subject == "Patient/right"
    assert (await hub.read_resource(SYSTEM, "Patient", "right"))["meta"]["versionId"] == "1"


async def test_an_id_of_another_issuer_is_another_patient(hub: Hub) -> None:
    (one,) = await link(hub, [instance(issuer="A")])
    (other,) = await link(hub, [instance(issuer="B", study_uid="1.2.9")])
    (same,) = await link(hub, [instance(issuer="a", study_uid="1.2.10")])
    assert one.subject != other.subject
    assert one.subject == same.subject


async def test_without_an_issuer_name_and_birth_date_must_agree(hub: Hub) -> None:
    known = {"system": "http://hospital.example/mrn", "value": "P1"}
    patient = {"resourceType": "Patient", "id": "known", "identifier": [known], "birthDate": "1980-01-01"}
    await hub.save(SYSTEM, patient | {"name": [{"family": "DOE", "given": ["Jane"]}]})
    (alike,) = await link(hub, [instance(birth_date="19800101")])
    (differs,) = await link(hub, [instance(birth_date="19800102", study_uid="1.2.9")])
    assert alike.subject == "Patient/known"
    assert differs.subject != "Patient/known"


async def test_the_order_is_found_by_the_accession_number(hub: Hub) -> None:
    patient = {"resourceType": "Patient", "id": "p", "identifier": [{"value": "P1"}]}
    order = {
        "resourceType": "ServiceRequest",
        "id": "order",
        "identifier": [{"type": {"coding": [{"code": "ACSN"}]}, "value": "A-1"}],
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/p"},
    }
    await hub.save(SYSTEM, patient)
    await hub.save(SYSTEM, order)
    await link(hub, [instance(accession="A-1")])
    assert (await only(hub))["basedOn"] == [{"reference": "ServiceRequest/order"}]


async def test_a_study_that_a_fhir_client_made_is_extended_and_its_words_stay(hub: Hub) -> None:
    mine = {
        "resourceType": "ImagingStudy",
        "id": "mine",
        "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}],
        "status": "registered",
        "subject": {"reference": "Patient/p"},
        "description": "In my words",
    }
    await hub.save(SYSTEM, mine)
    (linked,) = await link(hub, [instance(description="A CT")])
    study = await only(hub)
    assert (linked.id, linked.created, study["description"]) == ("mine", False, "In my words")
    assert (study["status"], study["numberOfInstances"]) == ("available", 1)
    assert study["subject"] == {"reference": "Patient/p"}


async def test_what_was_corrected_over_fhir_is_not_overwritten(hub: Hub) -> None:
    await link(hub, [instance(description="Typo", study_date="20240101")])
    study = await only(hub)
    await hub.save(SYSTEM, bare(study) | {"description": "Zebra scan"})
    await link(hub, [instance(instance_uid="1.2.3.1.2", description="Other", study_date="20240101")])
    assert (await only(hub))["description"] == "Zebra scan"


async def test_the_endpoint_says_where_pixels_are(hub: Hub) -> None:
    await link(hub, [ONE], Options(endpoint="https://pacs.example/dicom-web"))
    endpoint = await only(hub, "Endpoint")
    assert endpoint["address"] == "https://pacs.example/dicom-web"
    assert endpoint["connectionType"]["code"] == "dicom-wado-rs"
    assert (await only(hub))["endpoint"] == [{"reference": f"Endpoint/{endpoint['id']}"}]


@pytest.mark.parametrize(
    "elements",
    [
        {"StudyInstanceUID": None},
        {"StudyInstanceUID": "1.2.03"},
        {"StudyInstanceUID": "1." * 32 + "1234"},
        {"SeriesInstanceUID": "abc"},
        {"SeriesInstanceUID": None},
    ],
)
def test_bad_uids_are_refused(elements: dict[str, Any]) -> None:
    with pytest.raises(Unlinkable):
        read_header(made(**elements))


@pytest.mark.parametrize("content", [b"", b"DICM", b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM\xff\xff", b"{}" * 500])
def test_what_is_no_dicom_is_refused(content: bytes) -> None:
    with pytest.raises(Unlinkable):
        read_header(content)


def test_cut_and_altered_files_never_crash() -> None:
    rng = random.Random(7)
    for path in all_files()[::4]:
        content = path.read_bytes()[:20_000]
        for _ in range(6):
            broken = bytearray(content[: rng.randrange(len(content))] if rng.random() < 0.5 else content)
            for _ in range(rng.randrange(20)):
                if broken:
                    broken[rng.randrange(len(broken))] = rng.randrange(256)
            with contextlib.suppress(Unlinkable):
                read_header(bytes(broken))
