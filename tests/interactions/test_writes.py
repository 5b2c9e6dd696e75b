"""create, read, update, delete, patch and their conditional forms."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest

from fhir_server.hub import Hub
from fhir_server.r4b.outcome import (
    BadRequest,
    FhirError,
    Forbidden,
    Gone,
    MethodNotAllowed,
    NotFound,
    PreconditionFailed,
    Unprocessable,
    UnsupportedMediaType,
)
from fhir_server.security.caller import ANONYMOUS, SYSTEM, Caller
from fhir_server.store.protocol import Store
from tests.interactions.conftest import add, hub_over, identified, observation, patient, put, raw

JSON_PATCH = "application/json-patch+json"
ID = [("identifier", "http://ids|1")]


async def test_create_gives_an_id_of_its_own_and_version_1(hub: Hub) -> None:
    written = await hub.create(SYSTEM, "Patient", raw(patient(id="mine", active=True)))
    body = json.loads(written.version.body or b"")
    assert written.created
    assert uuid.UUID(body["id"]).version == 4
    assert body["meta"]["versionId"] == "1"
    assert (await hub.read(SYSTEM, "Patient", body["id"])).body == written.version.body


async def test_decimals_survive_create_and_patch_digit_by_digit(hub: Hub) -> None:
    body = raw(observation("Patient/1")).replace(b'"status"', b'"valueQuantity":{"value":170.50},"status"')
    id = (await hub.create(SYSTEM, "Observation", body)).version.id
    patch = [{"op": "replace", "path": "/status", "value": "amended"}]
    written = await hub.patch(SYSTEM, "Observation", id, json.dumps(patch).encode(), JSON_PATCH)
    assert b'"value":170.50}' in (written.version.body or b"")
    assert written.version.version == 2


async def test_what_was_never_there_is_not_found(hub: Hub) -> None:
    with pytest.raises(NotFound):
        await hub.read(SYSTEM, "Patient", "none")
    with pytest.raises(NotFound):
        await hub.vread(SYSTEM, "Patient", "none", "1")


async def test_a_deleted_resource_is_gone_with_its_etag_and_its_versions_remain(hub: Hub) -> None:
    id = await add(hub, patient())
    assert len((await hub.delete(SYSTEM, "Patient", id)).versions) == 1
    with pytest.raises(Gone) as refusal:
        await hub.read(SYSTEM, "Patient", id)
    assert refusal.value.headers["ETag"] == 'W/"2"'
    assert (await hub.vread(SYSTEM, "Patient", id, "1")).body
    with pytest.raises(Gone):
        await hub.vread(SYSTEM, "Patient", id, "2")
    for version in ("3", "0", "-1", "x", "9" * 30):
        with pytest.raises(NotFound):
            await hub.vread(SYSTEM, "Patient", id, version)


async def test_a_second_delete_does_nothing(hub: Hub) -> None:
    id = await add(hub, patient())
    await hub.delete(SYSTEM, "Patient", id)
    again = await hub.delete(SYSTEM, "Patient", id)
    assert again.versions == ()
    assert again.issues
    assert (await hub.delete(SYSTEM, "Patient", "never")).versions == ()


async def test_an_update_makes_a_version_and_a_deleted_resource_comes_back(hub: Hub) -> None:
    first = await hub.update(SYSTEM, "Patient", "p", raw(patient(id="p")))
    second = await hub.update(SYSTEM, "Patient", "p", raw(patient(id="p", active=True)))
    assert (first.created, second.created) == (True, False)
    assert second.version.version == 2
    await hub.delete(SYSTEM, "Patient", "p")
    third = await hub.update(SYSTEM, "Patient", "p", raw(patient(id="p")))
    assert third.created
    assert third.version.version == 4


async def test_update_as_create_can_be_switched_off(store: Store) -> None:
    hub = hub_over(store, update_as_create=False)
    with pytest.raises(MethodNotAllowed):
        await hub.update(ANONYMOUS, "Patient", "p", raw(patient(id="p")))
    id = await add(hub, patient())
    assert not (await hub.update(ANONYMOUS, "Patient", id, raw(patient(id=id)))).created


async def test_the_server_itself_may_always_choose_ids(store: Store) -> None:
    hub = hub_over(store, update_as_create=False)
    assert (await hub.update(SYSTEM, "Patient", "p", raw(patient(id="p")))).created


@pytest.mark.parametrize(
    "body", [patient(id="q"), patient(), {"resourceType": "Basic", "id": "p", "code": {"text": "x"}}]
)
async def test_a_body_that_is_not_what_the_url_says_is_refused(hub: Hub, body: dict[str, object]) -> None:
    with pytest.raises(BadRequest):
        await hub.update(SYSTEM, "Patient", "p", raw(body))


async def test_every_problem_of_a_resource_is_reported(hub: Hub) -> None:
    with pytest.raises(FhirError) as refusal:
        await hub.create(SYSTEM, "Patient", raw(patient(gender="zzz", birthDate="never")))
    assert refusal.value.status == 422
    assert {issue.expression for issue in refusal.value.issues} == {"Patient.gender", "Patient.birthDate"}


async def test_if_match_must_name_the_current_version(hub: Hub) -> None:
    await put(hub, patient(id="p"))
    await hub.update(SYSTEM, "Patient", "p", raw(patient(id="p")), if_match='W/"1"')
    with pytest.raises(PreconditionFailed):
        await hub.update(SYSTEM, "Patient", "p", raw(patient(id="p")), if_match='W/"1"')
    with pytest.raises(PreconditionFailed):
        await hub.delete(SYSTEM, "Patient", "p", if_match='W/"1"')
    with pytest.raises(PreconditionFailed):
        await hub.update(SYSTEM, "Patient", "other", raw(patient(id="other")), if_match='W/"1"')
    with pytest.raises(BadRequest):
        await hub.update(SYSTEM, "Patient", "p", raw(patient(id="p")), if_match="yes")
    assert (await hub.delete(SYSTEM, "Patient", "p", if_match='W/"2"')).versions


async def test_if_none_match_star_only_creates(hub: Hub) -> None:
    body = raw(patient(id="p"))
    assert (await hub.update(SYSTEM, "Patient", "p", body, if_none_match="*")).created
    with pytest.raises(PreconditionFailed):
        await hub.update(SYSTEM, "Patient", "p", body, if_none_match="*")


async def test_of_many_updates_with_one_if_match_one_wins(hub: Hub) -> None:
    await put(hub, patient(id="p"))

    async def write(number: int) -> bool:
        try:
            body = raw(patient(id="p", name=[{"family": str(number)}]))
            await hub.update(SYSTEM, "Patient", "p", body, if_match='W/"1"')
        except PreconditionFailed:
            return False
        return True

    assert sum(await asyncio.gather(*map(write, range(20)))) == 1


async def test_no_patch_is_lost_under_many_writers(hub: Hub) -> None:
    await put(hub, patient(id="p", name=[{"given": ["0"]}]))

    async def write(number: int) -> None:
        patch = [{"op": "add", "path": "/name/0/given/-", "value": f"n{number}"}]
        await hub.patch(SYSTEM, "Patient", "p", json.dumps(patch).encode(), JSON_PATCH)

    await asyncio.gather(*map(write, range(32)))
    resource = await hub.read_resource(SYSTEM, "Patient", "p")
    assert sorted(resource["name"][0]["given"]) == sorted(["0", *(f"n{number}" for number in range(32))])
    assert resource["meta"]["versionId"] == "33"


async def test_parallel_conditional_creates_make_one_resource(hub: Hub) -> None:
    body = raw(identified("1"))
    answers = await asyncio.gather(
        *(hub.create(SYSTEM, "Patient", body, if_none_exist="identifier=http://ids|1") for _ in range(50))
    )
    assert sum(answer.created for answer in answers) == 1
    assert len({answer.version.id for answer in answers}) == 1
    assert len(await hub.find(SYSTEM, "Patient", ID)) == 1


async def test_a_conditional_create_with_several_matches_fails(hub: Hub) -> None:
    await add(hub, identified("1"))
    await add(hub, identified("1"))
    with pytest.raises(PreconditionFailed):
        await hub.create(SYSTEM, "Patient", raw(identified("1")), if_none_exist="identifier=http://ids|1")


@pytest.mark.parametrize("criteria", ["", "nonsense=1", "_count=1"])
async def test_a_conditional_create_without_real_criteria_is_refused(hub: Hub, criteria: str) -> None:
    with pytest.raises((BadRequest, PreconditionFailed)):
        await hub.create(SYSTEM, "Patient", raw(patient()), if_none_exist=criteria)


async def test_conditional_update_creates_updates_or_fails(hub: Hub) -> None:
    first = await hub.update_where(SYSTEM, "Patient", ID, raw(identified("1")))
    assert first.created
    second = await hub.update_where(SYSTEM, "Patient", ID, raw(identified("1", active=True)))
    assert (second.created, second.version.id) == (False, first.version.id)
    with pytest.raises(BadRequest):
        await hub.update_where(SYSTEM, "Patient", ID, raw(identified("1", id="another")))
    named = await hub.update_where(SYSTEM, "Patient", [("identifier", "http://ids|2")], raw(identified("2", id="two")))
    assert (named.created, named.version.id) == (True, "two")
    await add(hub, identified("1"))
    with pytest.raises(PreconditionFailed):
        await hub.update_where(SYSTEM, "Patient", ID, raw(identified("1")))


async def test_parallel_conditional_updates_make_one_resource(hub: Hub) -> None:
    answers = await asyncio.gather(
        *(hub.update_where(SYSTEM, "Patient", ID, raw(identified("1", active=True))) for _ in range(20))
    )
    assert sum(answer.created for answer in answers) == 1
    assert len(await hub.find(SYSTEM, "Patient", ID)) == 1


async def test_conditional_delete_removes_one_or_as_many_as_count_says(hub: Hub) -> None:
    for _ in range(3):
        await add(hub, identified("1"))
    with pytest.raises(PreconditionFailed):
        await hub.delete_where(SYSTEM, "Patient", ID)
    assert len((await hub.delete_where(SYSTEM, "Patient", [*ID, ("_count", "2")])).versions) == 2
    assert len((await hub.delete_where(SYSTEM, "Patient", ID)).versions) == 1
    assert (await hub.delete_where(SYSTEM, "Patient", ID)).versions == ()
    with pytest.raises(PreconditionFailed):
        await hub.delete_where(SYSTEM, "Patient", [])


async def test_conditional_patch_needs_exactly_one_match(hub: Hub) -> None:
    patch = b'[{"op":"add","path":"/active","value":true}]'
    with pytest.raises(NotFound):
        await hub.patch_where(SYSTEM, "Patient", ID, patch, JSON_PATCH)
    await add(hub, identified("1"))
    assert (await hub.patch_where(SYSTEM, "Patient", ID, patch, JSON_PATCH)).version.version == 2
    await add(hub, identified("1"))
    with pytest.raises(PreconditionFailed):
        await hub.patch_where(SYSTEM, "Patient", ID, patch, JSON_PATCH)


async def test_a_patch_may_not_change_id_or_type_or_break_the_resource(hub: Hub) -> None:
    await put(hub, patient(id="p"))
    for patch in (
        [{"op": "replace", "path": "/id", "value": "q"}],
        [{"op": "replace", "path": "/resourceType", "value": "Basic"}],
        [{"op": "add", "path": "/gender", "value": "zzz"}],
    ):
        with pytest.raises(Unprocessable):
            await hub.patch(SYSTEM, "Patient", "p", json.dumps(patch).encode(), JSON_PATCH)
    with pytest.raises(UnsupportedMediaType):
        await hub.patch(SYSTEM, "Patient", "p", b"[]", "text/plain")
    assert (await hub.read(SYSTEM, "Patient", "p")).version == 1


async def test_without_the_scope_nothing_is_done(hub: Hub) -> None:
    await put(hub, patient(id="p"))
    reader = Caller("k", scopes={"Patient": "rs"})
    assert await hub.read(reader, "Patient", "p")
    for refused in (
        hub.create(reader, "Patient", raw(patient())),
        hub.update(reader, "Patient", "p", raw(patient(id="p"))),
        hub.delete(reader, "Patient", "p"),
        hub.read(reader, "Observation", "o"),
        hub.history(reader, type="Observation"),
        hub.search(reader, ("Observation",), []),
    ):
        with pytest.raises(Forbidden):
            await refused


async def test_a_key_bound_to_a_patient_sees_and_writes_that_patient_only(hub: Hub) -> None:
    await put(hub, patient(id="a"))
    await put(hub, patient(id="b"))
    mine = await add(hub, observation("Patient/a"))
    other = await add(hub, observation("Patient/b"))
    bound = Caller("k", scopes={"*": "cruds"}, subject="Patient/a")
    assert await hub.read(bound, "Patient", "a")
    assert await hub.read(bound, "Observation", mine)
    found = await hub.search(bound, ("Observation",), [])
    assert [match.id for match in found.matches] == [mine]
    await hub.create(bound, "Observation", raw(observation("Patient/a")))
    for refused in (
        hub.read(bound, "Patient", "b"),
        hub.read(bound, "Observation", other),
        hub.create(bound, "Observation", raw(observation("Patient/b"))),
        hub.update(bound, "Observation", other, raw(observation("Patient/a", id=other))),
        hub.delete(bound, "Observation", other),
        hub.history(bound, type="Observation"),
    ):
        with pytest.raises(Forbidden):
            await refused


async def test_enforced_integrity_refuses_dangling_references_and_deletes(store: Store) -> None:
    hub = hub_over(store, integrity="enforce")
    with pytest.raises(Unprocessable) as refusal:
        await hub.create(SYSTEM, "Observation", raw(observation("Patient/none")))
    assert refusal.value.issues[0].expression.startswith("Observation.subject")
    await put(hub, patient(id="p"))
    id = await add(hub, observation("Patient/p"))
    with pytest.raises(FhirError) as conflict:
        await hub.delete(SYSTEM, "Patient", "p")
    assert conflict.value.status == 409
    await hub.delete(SYSTEM, "Observation", id)
    assert (await hub.delete(SYSTEM, "Patient", "p")).versions


async def test_warned_integrity_says_so_and_writes(store: Store) -> None:
    hub = hub_over(store, integrity="warn")
    written = await hub.create(SYSTEM, "Observation", raw(observation("Patient/none")))
    assert [issue.severity for issue in written.issues] == ["warning"]


async def test_the_content_of_a_large_binary_lives_in_the_blob_store_and_comes_back(store: Store) -> None:
    import base64

    hub = hub_over(store, binary_threshold=1000)
    data = base64.b64encode(bytes(range(256)) * 40).decode()
    binary = {"resourceType": "Binary", "contentType": "application/octet-stream", "data": data}
    id = await add(hub, binary)
    kept = await store.read("Binary", id)
    assert kept is not None
    assert len(kept.body or b"") < 1000
    assert (await hub.read_resource(SYSTEM, "Binary", id))["data"] == data
    told = json.loads((await hub.history(SYSTEM, type="Binary", id=id)).body)
    assert told["entry"][0]["resource"]["data"] == data
    body = (kept.body or b"").replace(id.encode(), b"stolen")
    with pytest.raises(Unprocessable):
        await hub.update(SYSTEM, "Binary", "stolen", body)


async def test_listeners_hear_of_every_commit(hub: Hub) -> None:
    heard: list[tuple[str, int]] = []
    hub.on_commit(lambda versions: heard.extend((version.type, version.version) for version in versions))
    await put(hub, patient(id="p"))
    await hub.delete(SYSTEM, "Patient", "p")
    await hub.delete(SYSTEM, "Patient", "p")
    assert heard == [("Patient", 1), ("Patient", 2)]


async def test_save_creates_and_updates_plain_values(hub: Hub) -> None:
    version = await hub.save(SYSTEM, patient())
    resource = await hub.read_resource(SYSTEM, "Patient", version.id)
    resource["active"] = True
    assert (await hub.save(SYSTEM, resource, if_match=1)).version == 2
    with pytest.raises(PreconditionFailed):
        await hub.save(SYSTEM, resource, if_match=1)
    with pytest.raises(PreconditionFailed):
        await hub.save(SYSTEM, resource, if_match=0)
