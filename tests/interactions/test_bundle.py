"""batch and transaction, R4B 3.1.0.11."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from fhir_server.hub import BundleEntry, Hub
from fhir_server.r4b.outcome import BadRequest, FhirError, Forbidden, PreconditionFailed
from fhir_server.security.caller import SYSTEM, Caller
from fhir_server.store.protocol import Store
from tests.interactions.conftest import BASE, add, hub_over, identified, observation, patient, put, raw

URN = "urn:uuid:05efabf0-4be2-4561-91ce-51548425acb9"
OTHER = "urn:uuid:15efabf0-4be2-4561-91ce-51548425acb9"


def entry(method: str, url: str, resource: dict[str, Any] | None = None, full_url: str = "", **request: str) -> Any:
    made: dict[str, Any] = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        made["resource"] = resource
    if full_url:
        made["fullUrl"] = full_url
    return made


async def send(hub: Hub, *entries: Any, kind: str = "transaction", **options: Any) -> list[dict[str, Any]]:
    """The response's entries."""
    bundle = {"resourceType": "Bundle", "type": kind, "entry": list(entries)}
    answer = json.loads(await hub.bundle(options.pop("caller", SYSTEM), raw(bundle), **options))
    assert answer["type"] == f"{kind}-response"
    return list(answer.get("entry", []))


def statuses(entries: list[dict[str, Any]]) -> list[str]:
    return [each["response"]["status"][:3] for each in entries]


def located(each: dict[str, Any]) -> tuple[str, str]:
    type, id, *_ = each["response"]["location"].split("/")
    return type, id


async def count(hub: Hub, type: str) -> int:
    return len(await hub.find(SYSTEM, type, []))


async def test_a_transaction_resolves_references_between_its_entries_in_any_order(hub: Hub) -> None:
    answer = await send(
        hub,
        entry("POST", "Observation", observation(URN)),
        entry("POST", "Patient", patient(), URN),
    )
    assert statuses(answer) == ["201", "201"]
    found = await hub.read_resource(SYSTEM, *located(answer[0]))
    assert found["subject"]["reference"] == "/".join(located(answer[1]))
    assert answer[0]["response"]["etag"] == 'W/"1"'
    assert answer[0]["response"]["lastModified"] == found["meta"]["lastUpdated"]


async def test_entries_that_refer_to_each_other_in_a_circle_are_fine(hub: Hub) -> None:
    linked = patient(link=[{"other": {"reference": OTHER}, "type": "seealso"}])
    back = patient(link=[{"other": {"reference": URN}, "type": "seealso"}])
    answer = await send(hub, entry("POST", "Patient", linked, URN), entry("POST", "Patient", back, OTHER))
    one, two = [await hub.read_resource(SYSTEM, *located(each)) for each in answer]
    assert one["link"][0]["other"]["reference"] == f"Patient/{two['id']}"
    assert two["link"][0]["other"]["reference"] == f"Patient/{one['id']}"


async def test_an_absolute_full_url_is_known_by_relative_references_too(hub: Hub) -> None:
    answer = await send(
        hub,
        entry("POST", "Patient", patient(id="123"), "http://example.org/fhir/Patient/123"),
        entry("POST", "Observation", observation("Patient/123"), "http://example.org/fhir/Observation/1"),
        entry("POST", "Observation", observation("http://example.org/fhir/Patient/123")),
    )
    for each in answer[1:]:
        found = await hub.read_resource(SYSTEM, *located(each))
        assert found["subject"]["reference"] == "/".join(located(answer[0]))


async def test_everything_fails_when_one_entry_fails_and_all_problems_are_told(hub: Hub) -> None:
    with pytest.raises(FhirError) as refusal:
        await send(
            hub,
            entry("POST", "Patient", patient(), URN),
            entry("POST", "Patient", patient(gender="zzz")),
            entry("POST", "Observation", {"resourceType": "Observation"}),
        )
    expressions = [issue.expression for issue in refusal.value.issues]
    assert "Bundle.entry[1].resource.gender" in expressions
    assert any(expression.startswith("Bundle.entry[2].resource") for expression in expressions)
    assert refusal.value.status == 422
    assert await count(hub, "Patient") == 0


async def test_deletes_come_before_creates_and_updates_and_reads_see_the_result(hub: Hub) -> None:
    await put(hub, identified("1", id="old"))
    answer = await send(
        hub,
        entry("GET", "Patient?identifier=http://ids|1"),
        entry("PUT", "Patient/kept", patient(id="kept")),
        entry("GET", "Patient/kept"),
        entry("POST", "Patient", identified("1")),
        entry("DELETE", "Patient/old"),
    )
    assert statuses(answer) == ["200", "201", "200", "201", "204"]
    found = [each["resource"]["id"] for each in answer[0]["resource"]["entry"]]
    assert found == [located(answer[3])[1]]
    assert answer[2]["resource"]["id"] == "kept"
    assert answer[4]["response"]["etag"] == 'W/"2"'


async def test_what_a_transaction_deletes_is_not_found_by_its_criteria(hub: Hub) -> None:
    for id in ("one", "two"):
        await put(hub, identified("1", id=id))
    answer = await send(
        hub,
        entry("POST", "Patient", identified("1"), ifNoneExist="identifier=http://ids|1"),
        entry("DELETE", "Patient/one"),
        entry("DELETE", "Patient/two"),
    )
    assert statuses(answer) == ["201", "204", "204"]


async def test_a_read_that_cannot_succeed_fails_the_transaction(hub: Hub) -> None:
    with pytest.raises(FhirError) as refusal:
        await send(hub, entry("POST", "Patient", patient()), entry("GET", "Patient/none"))
    assert refusal.value.status == 404
    assert await count(hub, "Patient") == 0


async def test_one_resource_may_be_written_once_only(hub: Hub) -> None:
    await put(hub, identified("1", id="p"))
    for other in (
        entry("DELETE", "Patient/p"),
        entry("PUT", "Patient?identifier=http://ids|1", identified("1")),
        entry("DELETE", "Patient?identifier=http://ids|1"),
    ):
        with pytest.raises(BadRequest):
            await send(hub, entry("PUT", "Patient/p", patient(id="p")), other)
    with pytest.raises(BadRequest):
        await send(hub, entry("POST", "Patient", patient(), URN), entry("POST", "Patient", patient(), URN))
    assert (await hub.read(SYSTEM, "Patient", "p")).version == 1


async def test_a_conditional_create_finds_or_makes_and_references_follow(hub: Hub) -> None:
    request = {"ifNoneExist": "identifier=http://ids|1"}
    entries = [
        entry("POST", "Patient", identified("1"), URN, **request),
        entry("POST", "Observation", observation(URN)),
    ]
    first = await send(hub, *entries)
    second = await send(hub, *entries)
    assert (statuses(first), statuses(second)) == (["201", "201"], ["200", "201"])
    assert located(first[0]) == located(second[0])
    assert (await hub.read_resource(SYSTEM, *located(second[1])))["subject"]["reference"] == "/".join(located(first[0]))


async def test_the_same_conditional_create_twice_in_a_transaction_makes_one(hub: Hub) -> None:
    request = {"ifNoneExist": "identifier=http://ids|1"}
    answer = await send(
        hub,
        entry("POST", "Patient", identified("1"), URN, **request),
        entry("POST", "Patient", identified("1"), OTHER, **request),
        entry("POST", "Observation", observation(OTHER)),
    )
    assert statuses(answer) == ["201", "200", "201"]
    assert located(answer[0]) == located(answer[1])
    assert await count(hub, "Patient") == 1


async def test_parallel_transactions_with_the_same_conditional_create_make_one(hub: Hub) -> None:
    one = entry("POST", "Patient", identified("1"), URN, ifNoneExist="identifier=http://ids|1")
    answers = await asyncio.gather(*(send(hub, one, entry("POST", "Observation", observation(URN))) for _ in range(10)))
    assert sorted(statuses(answer)[0] for answer in answers) == ["200"] * 9 + ["201"]
    assert await count(hub, "Patient") == 1
    assert await count(hub, "Observation") == 10


async def test_conditional_references_name_exactly_one_resource(hub: Hub) -> None:
    id = await add(hub, identified("1"))
    answer = await send(hub, entry("POST", "Observation", observation("Patient?identifier=http://ids|1")))
    assert (await hub.read_resource(SYSTEM, *located(answer[0])))["subject"]["reference"] == f"Patient/{id}"
    with pytest.raises(PreconditionFailed):
        await send(hub, entry("POST", "Observation", observation("Patient?identifier=http://ids|2")))
    await add(hub, identified("1"))
    with pytest.raises(PreconditionFailed):
        await send(hub, entry("POST", "Observation", observation("Patient?identifier=http://ids|1")))


async def test_conditional_references_see_what_the_transaction_makes_and_removes(hub: Hub) -> None:
    await put(hub, identified("1", id="old"))
    answer = await send(
        hub,
        entry("POST", "Observation", observation("Patient?identifier=http://ids|1")),
        entry("DELETE", "Patient/old"),
        entry("POST", "Patient", identified("1")),
    )
    found = await hub.read_resource(SYSTEM, *located(answer[0]))
    assert found["subject"]["reference"] == "/".join(located(answer[2]))


async def test_conditional_updates_and_deletes(hub: Hub) -> None:
    old = await add(hub, identified("1"))
    await add(hub, identified("3"))
    answer = await send(
        hub,
        entry("PUT", "Patient?identifier=http://ids|1", identified("1", active=True), URN),
        entry("PUT", "Patient?identifier=http://ids|2", identified("2")),
        entry("DELETE", "Patient?identifier=http://ids|3"),
        entry("DELETE", "Patient?identifier=http://ids|4"),
        entry("POST", "Observation", observation(URN)),
    )
    assert statuses(answer) == ["200", "201", "204", "204", "201"]
    assert located(answer[0]) == ("Patient", old)
    assert (await hub.read_resource(SYSTEM, *located(answer[4])))["subject"]["reference"] == f"Patient/{old}"


async def test_if_match_holds_the_whole_transaction_back(hub: Hub) -> None:
    await put(hub, patient(id="p"))
    with pytest.raises(PreconditionFailed) as refusal:
        await send(
            hub,
            entry("POST", "Basic", {"resourceType": "Basic", "code": {"text": "x"}}),
            entry("PUT", "Patient/p", patient(id="p"), ifMatch='W/"7"'),
        )
    assert refusal.value.issues[0].expression == "Bundle.entry[1]"
    assert await count(hub, "Basic") == 0
    answer = await send(hub, entry("PUT", "Patient/p", patient(id="p"), ifMatch='W/"1"'))
    assert answer[0]["response"]["etag"] == 'W/"2"'


async def test_conditional_reads_say_not_modified(hub: Hub) -> None:
    resource = await put(hub, patient(id="p"))
    answer = await send(
        hub,
        entry("GET", "Patient/p", ifNoneMatch='W/"1"'),
        entry("GET", "Patient/p", ifNoneMatch='W/"2"'),
        entry("GET", "Patient/p", ifModifiedSince=resource["meta"]["lastUpdated"]),
        kind="batch",
    )
    assert statuses(answer) == ["304", "200", "304"]
    assert "resource" not in answer[0]


async def test_a_patch_travels_in_a_binary(hub: Hub) -> None:
    await put(hub, patient(id="p"))
    await put(hub, patient(id="q"))
    patch = base64.b64encode(b'[{"op":"add","path":"/active","value":true}]').decode()
    binary = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": patch}
    for kind, id in (("transaction", "p"), ("batch", "q")):
        answer = await send(hub, entry("PATCH", f"Patient/{id}", binary), kind=kind)
        assert statuses(answer) == ["200"]
        assert (await hub.read_resource(SYSTEM, "Patient", id))["active"] is True


async def test_prefer_says_what_comes_back(hub: Hub) -> None:
    minimal = await send(hub, entry("POST", "Patient", patient()))
    full = await send(hub, entry("POST", "Patient", patient()), prefer="representation")
    outcome = await send(hub, entry("POST", "Patient", patient()), prefer="OperationOutcome")
    assert "resource" not in minimal[0]
    assert full[0]["resource"]["id"] == located(full[0])[1]
    assert outcome[0]["response"]["outcome"]["resourceType"] == "OperationOutcome"


async def test_each_entry_of_a_batch_stands_for_itself(hub: Hub) -> None:
    answer = await send(
        hub,
        entry("POST", "Patient", patient()),
        entry("POST", "Patient", patient(gender="zzz")),
        entry("GET", "Patient/none"),
        entry("GET", "Nonsense/1"),
        entry("PUT", "Patient/p", patient(id="p")),
        entry("GET", "Patient/p"),
        entry("DELETE", "Patient/p"),
        entry("GET", "Patient/p"),
        entry("GET", "Patient?_summary=count"),
        entry("GET", "Patient/p/_history"),
        entry("GET", "Patient/p/_history/1"),
        kind="batch",
    )
    assert statuses(answer) == ["201", "422", "404", "404", "201", "200", "204", "410", "200", "200", "200"]
    assert answer[1]["response"]["outcome"]["issue"][0]["expression"] == ["Bundle.entry[1].resource.gender"]
    assert answer[8]["resource"]["total"] == 1
    assert answer[9]["resource"]["type"] == "history"


async def test_operations_run_inside_a_batch(hub: Hub) -> None:
    await put(hub, patient(id="p"))
    answer = await send(hub, entry("GET", "Patient/p/$everything"), kind="batch")
    assert answer[0]["resource"]["entry"][0]["resource"]["id"] == "p"


@pytest.mark.parametrize(
    "bundle",
    [
        {"resourceType": "Bundle", "type": "collection"},
        {"resourceType": "Bundle"},
        {"resourceType": "Patient"},
        {"resourceType": "Bundle", "type": "batch", "entry": [{"resource": {"resourceType": "Patient"}}]},
        {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "EAT", "url": "Patient"}}]},
        {"resourceType": "Bundle", "type": "batch", "entry": {}},
        {"resourceType": "Bundle", "type": "batch", "nonsense": 1},
        {"resourceType": "Bundle", "type": "transaction", "entry": [entry("POST", "Patient")]},
        {"resourceType": "Bundle", "type": "transaction", "entry": [entry("POST", "Patient/1", patient())]},
        {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [entry("POST", "Patient", observation("Patient/1"))],
        },
    ],
)
async def test_a_bundle_that_is_no_batch_or_transaction_is_refused(hub: Hub, bundle: dict[str, Any]) -> None:
    with pytest.raises(FhirError) as refusal:
        await hub.bundle(SYSTEM, raw(bundle))
    assert refusal.value.status in (400, 422)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"resourceType":"Bundle","type":"batch","type":"batch"}',
        b'{"resourceType":"Bundle","type":"batch","entry":[{"resource":{},"resource":{},'
        b'"request":{"method":"POST","url":"Patient"}}]}',
        b'{"resourceType":"Bundle","type":"transaction","entry":[{"resource":{"resourceType":"Patient","active":true,'
        b'"active":true},"request":{"method":"POST","url":"Patient"}}]}',
        b'{"resourceType":"Bundle","type":"batch","entry":[{"resource":NaN}]}',
        b'{"resourceType":"Bundle","type":"batch","entry":[\xff]}',
    ],
)
async def test_malformed_bundles_are_bad_requests(hub: Hub, body: bytes) -> None:
    with pytest.raises(BadRequest):
        await hub.bundle(SYSTEM, body)


async def test_an_empty_transaction_is_answered(hub: Hub) -> None:
    answer = await hub.bundle(SYSTEM, b'{"resourceType":"Bundle","type":"transaction"}')
    assert json.loads(answer) == {"resourceType": "Bundle", "type": "transaction-response"}


async def test_scopes_hold_inside_bundles(hub: Hub) -> None:
    caller = Caller("k", scopes={"Patient": "cr"})
    with pytest.raises(Forbidden):
        await send(
            hub,
            entry("POST", "Patient", patient()),
            entry("POST", "Basic", {"resourceType": "Basic", "code": {"text": "x"}}),
            caller=caller,
        )
    answer = await send(
        hub, entry("POST", "Patient", patient()), entry("DELETE", "Patient/x"), kind="batch", caller=caller
    )
    assert statuses(answer) == ["201", "403"]
    assert await count(hub, "Patient") == 1


async def test_references_within_a_transaction_satisfy_integrity(store: Store) -> None:
    hub = hub_over(store, integrity="enforce")
    answer = await send(hub, entry("POST", "Patient", patient(), URN), entry("POST", "Observation", observation(URN)))
    assert statuses(answer) == ["201", "201"]
    with pytest.raises(FhirError):
        await send(hub, entry("POST", "Observation", observation("Patient/none")))
    with pytest.raises(FhirError):
        await send(hub, entry("DELETE", "/".join(located(answer[0]))))
    both = [entry("DELETE", "/".join(located(each))) for each in answer]
    assert statuses(await send(hub, *both)) == ["204", "204"]


async def test_urls_at_our_own_base_and_decimals_are_kept(hub: Hub) -> None:
    body = (
        b'{"resourceType":"Bundle","type":"transaction","entry":[{"resource":{"resourceType":"Observation",'
        b'"status":"final","code":{"text":"x"},"valueQuantity":{"value":1.500}},"request":{"method":"POST",'
        b'"url":"%s/Observation"}}]}' % BASE.encode()
    )
    answer = json.loads(await hub.bundle(SYSTEM, body))
    assert b'"value":1.500' in ((await hub.read(SYSTEM, *located(answer["entry"][0]))).body or b"")


async def test_transact_takes_and_gives_plain_values(hub: Hub) -> None:
    versions = await hub.transact(
        SYSTEM,
        [
            entry("POST", "Patient", patient(), URN),
            entry("PUT", "Observation/o", observation(URN, id="o")),
            entry("DELETE", "Patient/none"),
        ],
    )
    assert [version.type if version else None for version in versions] == ["Patient", "Observation", None]
    results = await hub.transact_entries(SYSTEM, [BundleEntry("PUT", "Patient/q", raw(patient(id="q")))])
    assert results[0].status == 201
