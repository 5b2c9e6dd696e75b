"""Many at once: nothing lost, nothing doubled. R4B 3.1.0.5.2, 3.1.0.8.1."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
import pytest

from tests.conformance.resources import SYSTEM, create, entry, found, observation, patient, transaction
from tests.conftest import Server


def clients(server: Server) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=server.base + "/",
        headers={**server.headers, "Accept": "application/fhir+json"},
        timeout=60,
        limits=httpx.Limits(max_connections=64),
    )


async def test_fifty_conditional_creates_make_one(server: Server, fhir: httpx.Client, mark: str) -> None:
    condition = {"If-None-Exist": f"identifier={SYSTEM}|{mark}"}
    async with clients(server) as client:
        answers = await asyncio.gather(
            *(client.post("Patient", json=patient(mark), headers=condition) for _ in range(50))
        )
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 49}
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert len(found(fhir, "Patient", {"identifier": mark})) == 1


async def test_conditional_updates_at_once_make_one(server: Server, fhir: httpx.Client, mark: str) -> None:
    async with clients(server) as client:
        answers = await asyncio.gather(
            *(client.put("Patient", params={"identifier": mark}, json=patient(mark)) for _ in range(20))
        )
    assert {answer.status_code for answer in answers} <= {200, 201, 409, 412}
    assert [answer.status_code for answer in answers].count(201) == 1
    assert len(found(fhir, "Patient", {"identifier": mark})) == 1


async def test_transactions_with_the_same_condition_make_one(server: Server, fhir: httpx.Client, mark: str) -> None:
    bundle = transaction(
        entry("POST", "Patient", patient(mark), ifNoneExist=f"identifier={mark}"),
        entry("POST", "Observation", observation(mark)),
    )
    async with clients(server) as client:
        answers = await asyncio.gather(*(client.post("", json=bundle) for _ in range(10)))
    assert [answer.status_code for answer in answers] == [200] * 10
    assert len(found(fhir, "Patient", {"identifier": mark})) == 1
    assert len(found(fhir, "Observation", {"identifier": mark})) == 10


async def test_writers_with_if_match_lose_nothing(server: Server, fhir: httpx.Client, mark: str) -> None:
    """32 writers add 5 names each to 8 resources by read, change, write with If-Match, retry."""
    ids = [create(fhir, patient(mark))["id"] for _ in range(8)]

    async def writer(client: httpx.AsyncClient, number: int) -> None:
        for step in range(5):
            path = f"Patient/{ids[(number + step) % 8]}"
            while True:
                current = await client.get(path)
                body = current.json()
                body.setdefault("name", []).append({"family": f"w{number}-{step}"})
                answer = await client.put(path, json=body, headers={"If-Match": current.headers["ETag"]})
                if answer.status_code == 200:
                    break
                assert answer.status_code == 412, answer.text

    async with clients(server) as client:
        await asyncio.gather(*(writer(client, number) for number in range(32)))
        bodies = [(await client.get(f"Patient/{id}")).json() for id in ids]
    names = []
    for body in bodies:
        names += [name["family"] for name in body["name"]]
        assert int(body["meta"]["versionId"]) == 1 + len(body["name"])
    assert sorted(names) == sorted(f"w{number}-{step}" for number in range(32) for step in range(5))


async def test_writers_without_if_match_each_make_a_version(server: Server, fhir: httpx.Client, mark: str) -> None:
    id = create(fhir, patient(mark))["id"]
    async with clients(server) as client:
        answers = await asyncio.gather(
            *(
                client.put(f"Patient/{id}", json={**patient(mark, name=[{"family": f"n{n}"}]), "id": id})
                for n in range(30)
            )
        )
        listed = await client.get(f"Patient/{id}/_history", params={"_count": "100"})
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(int(answer.headers["ETag"][3:-1]) for answer in answers) == list(range(2, 32))
    assert listed.json()["total"] == 31


async def test_creates_under_one_id_create_once(server: Server, mark: str) -> None:
    async with clients(server) as client:
        answers = await asyncio.gather(
            *(
                client.put(f"Patient/{mark}", json={**patient(mark), "id": mark}, headers={"If-None-Match": "*"})
                for _ in range(20)
            )
        )
    assert Counter(answer.status_code for answer in answers) == {201: 1, 412: 19}


@pytest.mark.parametrize("clients_count", [16])
async def test_a_write_is_found_at_once_by_its_writer(server: Server, mark: str, clients_count: int) -> None:
    async def write_and_find(client: httpx.AsyncClient, number: int) -> None:
        for step in range(5):
            value = f"{mark}-{number}-{step}"
            await client.post("Patient", json=patient(value))
            answer = await client.get("Patient", params={"identifier": value})
            assert len(answer.json().get("entry", [])) == 1

    async with clients(server) as client:
        await asyncio.gather(*(write_and_find(client, number) for number in range(clients_count)))
