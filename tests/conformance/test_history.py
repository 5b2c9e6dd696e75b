"""history: R4B 3.1.0.13."""

from __future__ import annotations

import time
from typing import Any

import httpx

from tests.conformance.resources import create, link, patient, refused, update


def history(fhir: httpx.Client, path: str, **parameters: Any) -> dict[str, Any]:
    answer = fhir.get(path, params=parameters or None)
    assert answer.status_code == 200, answer.text
    bundle: dict[str, Any] = answer.json()
    assert bundle["type"] == "history"
    return bundle


def test_instance_history_is_newest_first_with_what_was_done(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    update(fhir, created)
    fhir.delete(f"Patient/{created['id']}")
    update(fhir, created)
    bundle = history(fhir, f"Patient/{created['id']}/_history")
    assert bundle["total"] == 4
    assert [entry["request"]["method"] for entry in bundle["entry"]] == ["PUT", "DELETE", "PUT", "POST"]
    assert [entry["response"]["etag"] for entry in bundle["entry"]] == [f'W/"{n}"' for n in (4, 3, 2, 1)]


def test_a_deletion_has_no_resource_and_the_others_have_theirs(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    fhir.delete(f"Patient/{created['id']}")
    deleted, first = history(fhir, f"Patient/{created['id']}/_history")["entry"]
    assert "resource" not in deleted
    assert deleted["request"]["url"] == f"Patient/{created['id']}"
    assert first["resource"] == created


def test_entries_say_status_and_time(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    entry = history(fhir, f"Patient/{created['id']}/_history")["entry"][0]
    assert entry["response"]["status"].startswith("201")
    assert entry["response"]["lastModified"] == created["meta"]["lastUpdated"]
    assert entry["fullUrl"].endswith(f"/Patient/{created['id']}")


def test_count_pages_through_everything_once(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    for _ in range(6):
        update(fhir, created)
    bundle = history(fhir, f"Patient/{created['id']}/_history", _count=3)
    seen = []
    while True:
        assert len(bundle["entry"]) <= 3
        seen += [int(entry["resource"]["meta"]["versionId"]) for entry in bundle["entry"]]
        following = link(bundle, "next")
        if following is None:
            break
        bundle = history(fhir, following)
    assert seen == [7, 6, 5, 4, 3, 2, 1]


def test_paging_is_not_disturbed_by_new_versions(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    for _ in range(4):
        update(fhir, created)
    bundle = history(fhir, f"Patient/{created['id']}/_history", _count=2)
    update(fhir, created)
    following = link(bundle, "next")
    assert following
    assert [entry["resource"]["meta"]["versionId"] for entry in history(fhir, following)["entry"]] == ["3", "2"]


def test_since_leaves_out_what_is_older(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    time.sleep(0.02)
    second = update(fhir, created)
    bundle = history(fhir, f"Patient/{created['id']}/_history", _since=second["meta"]["lastUpdated"])
    assert [entry["resource"]["meta"]["versionId"] for entry in bundle["entry"]] == ["2"]


def test_at_gives_what_was_current_then(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    time.sleep(0.02)
    second = update(fhir, created)
    time.sleep(0.02)
    update(fhir, created)
    bundle = history(fhir, f"Patient/{created['id']}/_history", _at=second["meta"]["lastUpdated"])
    assert [entry["resource"]["meta"]["versionId"] for entry in bundle["entry"]] == ["2"]


def test_history_of_an_unknown_id_is_404(fhir: httpx.Client, mark: str) -> None:
    refused(fhir.get(f"Patient/{mark}/_history"), 404)


def test_history_of_a_deleted_resource_is_given(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    fhir.delete(f"Patient/{created['id']}")
    assert len(history(fhir, f"Patient/{created['id']}/_history")["entry"]) == 2


def test_type_history_has_only_that_type_newest_first(fhir: httpx.Client, mark: str) -> None:
    first, second = create(fhir, patient(mark)), create(fhir, patient(mark))
    bundle = history(fhir, "Patient/_history", _since=first["meta"]["lastUpdated"], _count=1000)
    ids = [entry["fullUrl"].split("/")[-1] for entry in bundle["entry"]]
    assert {entry["resource"]["resourceType"] for entry in bundle["entry"] if "resource" in entry} == {"Patient"}
    assert ids.index(second["id"]) < ids.index(first["id"])


def test_system_history_has_every_type_and_deletions(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    group = create(fhir, {"resourceType": "Group", "type": "person", "actual": False})
    fhir.delete(f"Group/{group['id']}")
    bundle = history(fhir, "_history", _since=created["meta"]["lastUpdated"], _count=1000)
    done = [(entry["request"]["method"], entry["request"]["url"].split("/")[-1]) for entry in bundle["entry"]]
    assert ("DELETE", group["id"]) in done
    assert created["id"] in [entry["resource"]["id"] for entry in bundle["entry"] if "resource" in entry]


def test_bad_values_are_400(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    for name, value in (("_count", "x"), ("_count", "-1"), ("_since", "yesterday"), ("_at", "2020-13")):
        refused(fhir.get(f"Patient/{created['id']}/_history", params={name: value}), 400)


def test_the_entries_of_a_history_are_versions_only(fhir: httpx.Client, mark: str) -> None:
    """bdl-2, bdl-3: no search mode, and a request and a response each; what was ignored is not in the self link."""
    created = create(fhir, patient(mark))
    bundle = history(fhir, f"Patient/{created['id']}/_history", nonsense="1")
    assert [set(entry) for entry in bundle["entry"]] == [{"fullUrl", "resource", "request", "response"}]
    assert "nonsense" not in link(bundle, "self")


def test_history_has_a_self_link(fhir: httpx.Client, mark: str) -> None:
    created = create(fhir, patient(mark))
    assert f"Patient/{created['id']}/_history" in (
        link(history(fhir, f"Patient/{created['id']}/_history"), "self") or ""
    )


def test_a_history_may_be_narrowed_to_a_list(fhir: httpx.Client, mark: str) -> None:
    on, off = create(fhir, patient(mark)), create(fhir, patient(mark))
    on = update(fhir, {**on, "gender": "male"})
    listed = create(
        fhir,
        {
            "resourceType": "List",
            "status": "current",
            "mode": "working",
            "entry": [{"item": {"reference": f"Patient/{on['id']}"}}],
        },
    )
    for path in ("_history", "Patient/_history"):
        bundle = fhir.get(path, params={"_list": listed["id"]}).json()
        assert [each["resource"]["id"] for each in bundle["entry"]] == [on["id"], on["id"]]
        assert bundle["total"] == 2
    assert off["id"] not in bundle["entry"][0]["fullUrl"]
    assert fhir.get("Observation/_history", params={"_list": listed["id"]}).json().get("entry") is None
    first = fhir.get("_history", params={"_list": listed["id"], "_count": "1"}).json()
    [following] = [each["url"] for each in first["link"] if each["relation"] == "next"]
    assert [each["resource"]["meta"]["versionId"] for each in fhir.get(following).json()["entry"]] == ["1"]
