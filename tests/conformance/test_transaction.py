"""transaction and batch: R4B 3.1.0.11."""

from __future__ import annotations

import uuid

import httpx
import pytest

from tests.conformance.resources import (
    SYSTEM,
    create,
    entry,
    found,
    observation,
    patient,
    post_bundle,
    refused,
    transaction,
    update,
)


def urn() -> str:
    return f"urn:uuid:{uuid.uuid4()}"


def test_a_transaction_answers_one_entry_each_in_order(fhir: httpx.Client, mark: str) -> None:
    answer = post_bundle(
        fhir,
        transaction(
            entry("POST", "Patient", patient(mark), urn()),
            entry("PUT", f"Patient/{mark}", {**patient(mark), "id": mark}),
            entry("GET", f"Patient?identifier={mark}"),
        ),
    )
    assert answer["type"] == "transaction-response"
    statuses = [each["response"]["status"][:3] for each in answer["entry"]]
    assert statuses == ["201", "201", "200"]
    assert answer["entry"][1]["response"]["location"].endswith(f"Patient/{mark}/_history/1")
    assert answer["entry"][1]["response"]["etag"] == 'W/"1"'
    assert "lastModified" in answer["entry"][1]["response"]


def test_a_read_in_a_transaction_sees_its_writes(fhir: httpx.Client, mark: str) -> None:
    answer = post_bundle(
        fhir,
        transaction(entry("GET", f"Patient?identifier={mark}"), entry("POST", "Patient", patient(mark), urn())),
    )
    bundle = answer["entry"][0]["resource"]
    assert bundle["type"] == "searchset"
    assert [each["resource"]["identifier"][0]["value"] for each in bundle["entry"]] == [mark]


def test_urn_references_are_rewritten(fhir: httpx.Client, mark: str) -> None:
    who = urn()
    answer = post_bundle(
        fhir,
        transaction(
            entry("POST", "Observation", observation(mark, subject={"reference": who}), urn()),
            entry("POST", "Patient", patient(mark), who),
        ),
    )
    patient_id = answer["entry"][1]["response"]["location"].split("/")[-3]
    assert found(fhir, "Observation", {"subject": f"Patient/{patient_id}", "identifier": mark})
    observation_id = answer["entry"][0]["response"]["location"].split("/")[-3]
    assert fhir.get(f"Observation/{observation_id}").json()["subject"]["reference"] == f"Patient/{patient_id}"


def test_references_are_rewritten_in_narrative_too(fhir: httpx.Client, mark: str) -> None:
    who = urn()
    text = f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{who}">him</a></div>'
    answer = post_bundle(
        fhir,
        transaction(
            entry("POST", "Patient", patient(mark), who),
            entry("POST", "Observation", observation(mark, text={"status": "generated", "div": text}), urn()),
        ),
    )
    patient_id = answer["entry"][0]["response"]["location"].split("/")[-3]
    observation_id = answer["entry"][1]["response"]["location"].split("/")[-3]
    assert f"Patient/{patient_id}" in fhir.get(f"Observation/{observation_id}").json()["text"]["div"]


def test_relative_references_to_a_full_url_of_the_bundle_are_rewritten(fhir: httpx.Client, mark: str) -> None:
    answer = post_bundle(
        fhir,
        transaction(
            entry("POST", "Patient", {**patient(mark), "id": "p"}, "http://example.org/fhir/Patient/p"),
            entry(
                "POST",
                "Observation",
                observation(mark, subject={"reference": "Patient/p"}),
                "http://example.org/fhir/Observation/o",
            ),
        ),
    )
    patient_id = answer["entry"][0]["response"]["location"].split("/")[-3]
    observation_id = answer["entry"][1]["response"]["location"].split("/")[-3]
    assert fhir.get(f"Observation/{observation_id}").json()["subject"]["reference"] == f"Patient/{patient_id}"


def test_circular_references_are_resolved(fhir: httpx.Client, mark: str) -> None:
    one, two = urn(), urn()
    link_to = lambda other: patient(mark, link=[{"other": {"reference": other}, "type": "seealso"}])  # noqa: E731
    answer = post_bundle(
        fhir, transaction(entry("POST", "Patient", link_to(two), one), entry("POST", "Patient", link_to(one), two))
    )
    ids = [each["response"]["location"].split("/")[-3] for each in answer["entry"]]
    for mine, other in (ids, ids[::-1]):
        assert fhir.get(f"Patient/{mine}").json()["link"][0]["other"]["reference"] == f"Patient/{other}"


def test_if_none_exist_with_a_match_is_200_and_references_go_to_it(fhir: httpx.Client, mark: str) -> None:
    existing = create(fhir, patient(mark))
    who = urn()
    answer = post_bundle(
        fhir,
        transaction(
            entry("POST", "Patient", patient(mark), who, ifNoneExist=f"identifier={SYSTEM}|{mark}"),
            entry("POST", "Observation", observation(mark, subject={"reference": who}), urn()),
        ),
    )
    assert answer["entry"][0]["response"]["status"].startswith("200")
    assert found(fhir, "Observation", {"subject": f"Patient/{existing['id']}"})
    assert found(fhir, "Patient", {"identifier": mark}) == [existing["id"]]


def test_conditional_references_are_resolved(fhir: httpx.Client, mark: str) -> None:
    existing = create(fhir, patient(mark))
    post_bundle(
        fhir,
        transaction(
            entry(
                "POST",
                "Observation",
                observation(mark, subject={"reference": f"Patient?identifier={SYSTEM}|{mark}"}),
                urn(),
            )
        ),
    )
    assert found(fhir, "Observation", {"subject": f"Patient/{existing['id']}"})


@pytest.mark.parametrize("existing", [0, 2])
def test_a_conditional_reference_without_exactly_one_match_fails_the_whole(
    fhir: httpx.Client, mark: str, existing: int
) -> None:
    for _ in range(existing):
        create(fhir, patient(mark))
    answer = fhir.post(
        "",
        json=transaction(
            entry("POST", "Group", {"resourceType": "Group", "type": "person", "actual": False, "name": mark}, urn()),
            entry("POST", "Observation", observation(mark, subject={"reference": f"Patient?identifier={mark}"}), urn()),
        ),
    )
    assert 400 <= answer.status_code < 500
    assert found(fhir, "Observation", {"identifier": mark}) == []


def test_all_or_nothing(fhir: httpx.Client, mark: str) -> None:
    answer = fhir.post(
        "",
        json=transaction(
            entry("POST", "Patient", patient(mark), urn()),
            entry("POST", "Observation", {"resourceType": "Observation"}, urn()),
        ),
    )
    refused(answer, 422)
    assert found(fhir, "Patient", {"identifier": mark}) == []


def test_a_failing_entry_is_named(fhir: httpx.Client, mark: str) -> None:
    bundle = transaction(
        entry("POST", "Patient", patient(mark), urn()), entry("POST", "Patient", patient(mark, gender="zzz"), urn())
    )
    assert "entry[1]" in str(refused(fhir.post("", json=bundle), 422)["issue"])


def test_if_match_that_does_not_hold_fails_the_whole(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    update(fhir, created)
    answer = fhir.post(
        "",
        json=transaction(
            entry("PUT", f"Patient/{created['id']}", created, ifMatch='W/"1"'),
            entry("POST", "Observation", observation(mark), urn()),
        ),
    )
    refused(answer, 412)
    assert found(fhir, "Observation", {"identifier": mark}) == []


def test_the_same_resource_twice_is_refused(fhir: httpx.Client, mark: str) -> None:
    body = {**patient(mark), "id": mark}
    answer = fhir.post("", json=transaction(entry("PUT", f"Patient/{mark}", body), entry("DELETE", f"Patient/{mark}")))
    assert answer.status_code in (400, 422)
    assert fhir.get(f"Patient/{mark}").status_code == 404


def test_the_same_full_url_twice_is_refused(fhir: httpx.Client, mark: str) -> None:
    twice = urn()
    answer = fhir.post(
        "",
        json=transaction(
            entry("POST", "Patient", patient(mark), twice), entry("POST", "Patient", patient(mark), twice)
        ),
    )
    assert answer.status_code in (400, 422)


def test_deletes_come_first(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = post_bundle(
        fhir,
        transaction(
            entry("POST", "Patient", patient(mark), urn(), ifNoneExist=f"identifier={mark}"),
            entry("DELETE", f"Patient/{created['id']}"),
        ),
    )
    assert answer["entry"][0]["response"]["status"][:3] == "201"
    ids = found(fhir, "Patient", {"identifier": mark})
    assert len(ids) == 1
    assert ids != [created["id"]]


def test_conditional_update_and_delete_in_a_transaction(fhir: httpx.Client, mark: str) -> None:
    kept, gone = create(fhir, patient(mark)), create(fhir, observation(mark))
    post_bundle(
        fhir,
        transaction(
            entry("PUT", f"Patient?identifier={mark}", patient(mark, gender="male")),
            entry("DELETE", f"Observation?identifier={mark}"),
        ),
    )
    assert fhir.get(f"Patient/{kept['id']}").json()["gender"] == "male"
    assert fhir.get(f"Observation/{gone['id']}").status_code == 410


def test_a_patch_in_a_transaction(fhir: httpx.Client, mark: str) -> None:
    import base64

    created = create(fhir, patient(mark))
    binary = {
        "resourceType": "Binary",
        "contentType": "application/json-patch+json",
        "data": base64.b64encode(b'[{"op":"add","path":"/gender","value":"male"}]').decode(),
    }
    answer = post_bundle(fhir, transaction(entry("PATCH", f"Patient/{created['id']}", binary)))
    assert answer["entry"][0]["response"]["status"].startswith("200")
    assert fhir.get(f"Patient/{created['id']}").json()["gender"] == "male"


def test_vread_read_and_history_in_a_transaction(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    address = f"Patient/{created['id']}"
    answer = post_bundle(
        fhir,
        transaction(entry("GET", address), entry("GET", f"{address}/_history/1"), entry("GET", f"{address}/_history")),
    )
    read, vread, history = (each["resource"] for each in answer["entry"])
    assert read == vread == created
    assert history["type"] == "history"


def test_an_empty_transaction_is_answered(fhir: httpx.Client) -> None:
    answer = post_bundle(fhir, {"resourceType": "Bundle", "type": "transaction"})
    assert answer["type"] == "transaction-response"
    assert "entry" not in answer


def test_a_bundle_of_another_type_is_refused_at_the_base(fhir: httpx.Client) -> None:
    for kind in ("collection", "document", "searchset", "history", "message"):
        answer = fhir.post("", json={"resourceType": "Bundle", "type": kind})
        assert answer.status_code in (400, 422)


def test_what_is_no_bundle_is_refused_at_the_base(fhir: httpx.Client, mark: str) -> None:
    assert fhir.post("", json=patient(mark)).status_code in (400, 422)


def test_an_entry_without_request_is_refused(fhir: httpx.Client, mark: str) -> None:
    answer = fhir.post("", json=transaction({"resource": patient(mark)}))
    assert answer.status_code in (400, 422)


def test_a_batch_goes_on_past_a_failure(fhir: httpx.Client, mark: str) -> None:
    answer = post_bundle(
        fhir,
        transaction(
            entry("POST", "Patient", patient(mark, gender="zzz")),
            entry("POST", "Patient", patient(mark)),
            entry("GET", f"Patient/{mark}"),
            entry("DELETE", f"Patient/{mark}"),
            entry("GET", "Patiend/1"),
            type="batch",
        ),
    )
    assert answer["type"] == "batch-response"
    statuses = [each["response"]["status"][:3] for each in answer["entry"]]
    assert (statuses[0], statuses[1], statuses[2], statuses[4]) == ("422", "201", "404", "404")
    assert answer["entry"][0]["response"]["outcome"]["resourceType"] == "OperationOutcome"
    assert len(found(fhir, "Patient", {"identifier": mark})) == 1


def test_an_entry_of_a_batch_that_is_malformed_fails_alone(fhir: httpx.Client, mark: str) -> None:
    bundle = transaction(
        entry("EAT", "Patient"), {"resource": patient(mark)}, entry("POST", "Patient", patient(mark)), type="batch"
    )
    answer = post_bundle(fhir, bundle)
    assert [each["response"]["status"][:3] for each in answer["entry"]] == ["400", "400", "201"]
    assert answer["entry"][0]["response"]["outcome"]["issue"][0]["expression"] == ["Bundle.entry[0].request.method"]


def test_head_in_a_batch_has_no_resource(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    answer = post_bundle(fhir, transaction(entry("HEAD", f"Patient/{created['id']}"), type="batch"))
    assert answer["entry"][0]["response"]["etag"] == 'W/"1"'
    assert "resource" not in answer["entry"][0]


def test_a_batch_can_ask_for_the_capability_statement(fhir: httpx.Client) -> None:
    answer = post_bundle(fhir, transaction(entry("GET", "metadata"), type="batch"))
    assert answer["entry"][0]["resource"]["resourceType"] == "CapabilityStatement"


def test_a_collection_can_be_created_as_a_resource(fhir: httpx.Client, mark: str) -> None:
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"fullUrl": urn(), "resource": patient(mark)}]}
    assert fhir.post("Bundle", json=bundle).status_code == 201
    assert found(fhir, "Patient", {"identifier": mark}) == []


def test_return_minimal_leaves_resources_out(fhir: httpx.Client, mark: str) -> None:
    answer = fhir.post(
        "", json=transaction(entry("POST", "Patient", patient(mark))), headers={"Prefer": "return=minimal"}
    )
    assert "resource" not in answer.json()["entry"][0]


def test_return_representation_has_resources(fhir: httpx.Client, mark: str) -> None:
    answer = fhir.post(
        "", json=transaction(entry("POST", "Patient", patient(mark))), headers={"Prefer": "return=representation"}
    )
    assert answer.json()["entry"][0]["resource"]["identifier"][0]["value"] == mark
