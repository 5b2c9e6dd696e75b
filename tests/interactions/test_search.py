"""search: what is in the Bundle, its links and pages, includes, compartments."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest

from fhir_server.hub import Hub, SearchSet
from fhir_server.r4b.outcome import BadRequest, Forbidden, NotImplementedHere
from fhir_server.security.caller import SYSTEM, Caller
from fhir_server.store.protocol import Store
from tests.interactions.conftest import BASE, add, hub_over, identified, link, names, observation, page_of, patient, put


async def numbered(hub: Hub, count: int) -> list[str]:
    return [
        f"Patient/{(await put(hub, patient(id=f'p{number:02}', name=[{'family': 'Many'}])))['id']}"
        for number in range(count)
    ]


async def walk(hub: Hub, parameters: list[tuple[str, str]], types: tuple[str, ...] = ("Patient",)) -> list[SearchSet]:
    """All pages by their next links."""
    pages = [await hub.search(SYSTEM, types, parameters)]
    while (following := link(pages[-1].body, "next")) is not None:
        pages.append(await hub.search(SYSTEM, types, page_of(following)))
    return pages


async def test_a_searchset_holds_the_stored_resources_with_their_full_urls(hub: Hub) -> None:
    id = await add(hub, identified("1"))
    found = await hub.search(SYSTEM, ("Patient",), [("identifier", "http://ids|1")])
    bundle = json.loads(found.body)
    assert (bundle["type"], bundle["total"]) == ("searchset", 1)
    assert bundle["entry"][0]["fullUrl"] == f"{BASE}/Patient/{id}"
    assert bundle["entry"][0]["search"] == {"mode": "match"}
    assert (await hub.read(SYSTEM, "Patient", id)).body in found.body  # type: ignore[operator]


async def test_no_match_gives_a_bundle_without_entries(hub: Hub) -> None:
    bundle = json.loads((await hub.search(SYSTEM, ("Patient",), [("family", "none")])).body)
    assert bundle["total"] == 0
    assert "entry" not in bundle


async def test_pages_together_are_the_whole_and_nothing_twice(hub: Hub) -> None:
    everyone = await numbered(hub, 23)
    pages = await walk(hub, [("family", "Many"), ("_count", "5"), ("_total", "accurate")])
    assert [len(page.matches) for page in pages] == [5, 5, 5, 5, 3]
    assert [name for page in pages for name in names(page.body)] == everyone
    assert {page.total for page in pages} == {23}


async def test_pages_stay_exact_while_others_write(hub: Hub) -> None:
    everyone = await numbered(hub, 9)
    first = await hub.search(SYSTEM, ("Patient",), [("family", "Many"), ("_count", "4"), ("_sort", "-_lastUpdated")])
    await put(hub, patient(id="late", name=[{"family": "Many"}]))
    seen = names(first.body)
    page = first
    while (following := link(page.body, "next")) is not None:
        page = await hub.search(SYSTEM, ("Patient",), page_of(following))
        seen += names(page.body)
    assert sorted(seen) == sorted(everyone)


async def test_previous_links_lead_back_page_by_page(hub: Hub) -> None:
    await numbered(hub, 12)
    pages = await walk(hub, [("family", "Many"), ("_count", "4"), ("_sort", "-_id")])
    back = await hub.search(SYSTEM, ("Patient",), page_of(link(pages[2].body, "previous") or ""))
    assert names(back.body) == names(pages[1].body)
    assert link(back.body, "next") is not None
    start = await hub.search(SYSTEM, ("Patient",), page_of(link(back.body, "previous") or ""))
    assert names(start.body) == names(pages[0].body)
    assert link(start.body, "previous") is None
    again = await hub.search(SYSTEM, ("Patient",), page_of(link(start.body, "next") or ""))
    assert names(again.body) == names(pages[1].body)


async def test_a_page_link_outlives_the_process(hub: Hub, store: Store) -> None:
    await numbered(hub, 5)
    first = await hub.search(SYSTEM, ("Patient",), [("_count", "2")])
    restarted = hub_over(store)
    second = await restarted.search(SYSTEM, ("Patient",), page_of(link(first.body, "next") or ""))
    assert len(second.matches) == 2
    with pytest.raises(BadRequest):
        await restarted.search(SYSTEM, ("Observation",), page_of(link(first.body, "next") or ""))


async def test_the_self_link_says_what_was_applied(hub: Hub) -> None:
    found = await hub.search(SYSTEM, ("Patient",), [("family", "A b&c"), ("nonsense", "1"), ("_count", "3")])
    url = link(found.body, "self") or ""
    assert urlsplit(url).query == "family=A%20b%26c&_count=3"


async def test_an_unknown_parameter_is_a_warning_in_the_bundle_or_an_error_when_strict(hub: Hub) -> None:
    found = await hub.search(SYSTEM, ("Patient",), [("nonsense", "1")])
    (outcome,) = [entry for entry in json.loads(found.body)["entry"] if entry["search"]["mode"] == "outcome"]
    assert "nonsense" in outcome["resource"]["issue"][0]["diagnostics"]
    with pytest.raises(BadRequest):
        await hub.search(SYSTEM, ("Patient",), [("nonsense", "1")], strict=True)


async def test_a_bad_value_is_refused(hub: Hub) -> None:
    with pytest.raises(BadRequest):
        await hub.search(SYSTEM, ("Patient",), [("birthdate", "yesterday")])


async def test_counting_only_gives_no_entries(hub: Hub) -> None:
    await numbered(hub, 3)
    for parameters in ([("_summary", "count")], [("_count", "0")]):
        bundle = json.loads((await hub.search(SYSTEM, ("Patient",), parameters)).body)
        assert bundle["total"] == 3
        assert "entry" not in bundle


async def test_subsets_are_tagged(hub: Hub) -> None:
    await put(hub, patient(id="p", gender="male", birthDate="2000-01-01"))
    found = json.loads((await hub.search(SYSTEM, ("Patient",), [("_elements", "gender")])).body)
    resource = found["entry"][0]["resource"]
    assert resource["gender"] == "male"
    assert "birthDate" not in resource
    assert resource["meta"]["tag"][0]["code"] == "SUBSETTED"


async def test_includes_follow_references_and_are_not_counted(hub: Hub) -> None:
    await put(hub, patient(id="p"))
    await put(hub, observation("Patient/p", id="o"))
    await put(hub, observation(f"{BASE}/Patient/p", id="o2"))
    found = await hub.search(SYSTEM, ("Observation",), [("_include", "Observation:subject")])
    assert sorted(names(found.body)) == ["Observation/o", "Observation/o2"]
    assert names(found.body, "include") == ["Patient/p"]
    assert found.total == 2
    typed = await hub.search(SYSTEM, ("Observation",), [("_include", "Observation:subject:Group")])
    assert names(typed.body, "include") == []
    every = await hub.search(SYSTEM, ("Observation",), [("_include", "*")])
    assert names(every.body, "include") == ["Patient/p"]


async def test_revincludes_and_iterated_includes(hub: Hub) -> None:
    await put(hub, {"resourceType": "Organization", "id": "parent", "name": "P"})
    await put(
        hub, {"resourceType": "Organization", "id": "org", "name": "O", "partOf": {"reference": "Organization/parent"}}
    )
    await put(hub, patient(id="p", managingOrganization={"reference": "Organization/org"}))
    await put(hub, observation("Patient/p", id="o"))
    found = await hub.search(SYSTEM, ("Patient",), [("_revinclude", "Observation:subject")])
    assert names(found.body, "include") == ["Observation/o"]
    chain = [("_include", "Patient:organization"), ("_include:iterate", "Organization:partof")]
    found = await hub.search(SYSTEM, ("Patient",), chain)
    assert names(found.body, "include") == ["Organization/org", "Organization/parent"]


async def test_included_resources_are_capped_and_the_bundle_says_so(store: Store) -> None:
    hub = hub_over(store, max_includes=3)
    await put(hub, patient(id="p"))
    for number in range(5):
        await put(hub, observation("Patient/p", id=f"o{number}"))
    found = await hub.search(SYSTEM, ("Patient",), [("_revinclude", "Observation:patient")])
    assert len(found.included) == 3
    assert any(issue.code == "incomplete" for issue in found.issues)


async def test_what_a_key_may_not_read_is_not_included(hub: Hub) -> None:
    await put(hub, patient(id="p"))
    await put(hub, observation("Patient/p", id="o"))
    caller = Caller("k", scopes={"Observation": "rs"})
    found = await hub.search(caller, ("Observation",), [("_include", "Observation:subject")])
    assert names(found.body, "include") == []
    assert any(issue.code == "suppressed" for issue in found.issues)


async def test_chains_need_the_scope_for_what_they_lead_to(hub: Hub) -> None:
    await put(hub, patient(id="p", name=[{"family": "Secret"}]))
    await put(hub, observation("Patient/p", id="o"))
    narrow = Caller("k", scopes={"Observation": "rs"})
    for parameter in (("patient.family", "Secret"), ("subject:Patient.family", "Secret")):
        assert names((await hub.search(SYSTEM, ("Observation",), [parameter])).body) == ["Observation/o"]
        with pytest.raises(Forbidden):
            await hub.search(narrow, ("Observation",), [parameter])
    with pytest.raises(Forbidden):
        await hub.search(
            Caller("k", scopes={"Patient": "rs"}), ("Patient",), [("_has:Observation:patient:code", "8302-2")]
        )


async def test_text_search_without_an_index_is_refused_loudly(hub: Hub) -> None:
    with pytest.raises(NotImplementedHere):
        await hub.search(SYSTEM, ("Patient",), [("_content", "x")])


async def test_search_across_types(hub: Hub) -> None:
    await put(hub, patient(id="x"))
    await put(hub, observation("Patient/x", id="x"))
    await put(hub, {"resourceType": "Basic", "id": "x", "code": {"text": "b"}})
    found = await hub.search(SYSTEM, (), [("_id", "x")])
    assert sorted(names(found.body)) == ["Basic/x", "Observation/x", "Patient/x"]
    found = await hub.search(SYSTEM, (), [("_id", "x"), ("_type", "Patient,Basic")])
    assert sorted(names(found.body)) == ["Basic/x", "Patient/x"]
    limited = Caller("k", scopes={"Patient": "rs"})
    assert names((await hub.search(limited, (), [("_id", "x")])).body) == ["Patient/x"]
    with pytest.raises(Forbidden):
        await hub.search(limited, (), [("_id", "x"), ("_type", "Basic")])


async def test_a_compartment_holds_what_its_definition_links(hub: Hub) -> None:
    for id in ("a", "b"):
        await put(hub, patient(id=id))
        for number in range(3):
            await put(hub, observation(f"Patient/{id}", id=f"{id}{number}"))
    performed = observation("Patient/b", id="by-a", performer=[{"reference": "Patient/a"}])
    await put(hub, performed)
    found = await hub.search_compartment(SYSTEM, "Patient", "a", "Observation", [("code", "8302-2")])
    assert sorted(names(found.body)) == ["Observation/a0", "Observation/a1", "Observation/a2", "Observation/by-a"]
    every, page = [], await hub.search_compartment(SYSTEM, "Patient", "a", "*", [("_count", "2")])
    while True:
        every += names(page.body)
        following = link(page.body, "next")
        if following is None:
            break
        page = await hub.search_compartment(SYSTEM, "Patient", "a", "*", page_of(following))
    assert sorted(every) == ["Observation/a0", "Observation/a1", "Observation/a2", "Observation/by-a", "Patient/a"]


async def test_lists_select_their_members(hub: Hub) -> None:
    for id in ("a", "b"):
        await put(hub, patient(id=id))
    await put(
        hub,
        {
            "resourceType": "List",
            "id": "l",
            "status": "current",
            "mode": "working",
            "entry": [{"item": {"reference": "Patient/a"}}],
        },
    )
    assert names((await hub.search(SYSTEM, ("Patient",), [("_list", "l")])).body) == ["Patient/a"]


async def test_a_custom_parameter_is_used_when_it_is_indexed(hub: Hub) -> None:
    await put(hub, patient(id="p", extension=[{"url": "http://x/shoe", "valueString": "Big"}]))
    parameter = {
        "resourceType": "SearchParameter",
        "id": "shoe",
        "url": "http://x/SearchParameter/shoe",
        "name": "shoe",
        "status": "active",
        "description": "shoe size",
        "code": "shoe",
        "base": ["Patient"],
        "type": "string",
        "expression": "Patient.extension.where(url='http://x/shoe').value.as(string)",
    }
    await put(hub, parameter)
    for _ in range(100):
        found = await hub.search(SYSTEM, ("Patient",), [("shoe", "big")])
        if not found.issues:
            break
        import asyncio

        await asyncio.sleep(0.05)
    assert names(found.body) == ["Patient/p"]
    await hub.delete(SYSTEM, "SearchParameter", "shoe")
    await asyncio.sleep(0.1)
    assert (await hub.search(SYSTEM, ("Patient",), [("shoe", "big")])).issues


@pytest.mark.parametrize(("asked", "total"), [(None, 5), ("accurate", 5), ("estimate", 5), ("none", None)])
async def test_a_total_is_told_unless_nobody_wants_it(hub: Hub, asked: str | None, total: int | None) -> None:
    await numbered(hub, 5)
    parameters = [("_count", "2")] + ([("_total", asked)] if asked else [])
    assert [page.total for page in await walk(hub, parameters)] == [total] * 3
