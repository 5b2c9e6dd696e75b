from __future__ import annotations

import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.r4b.codec import Limits, draft_of, encode, instant, parse, parse_json, pretty
from fhir_server.r4b.outcome import BadRequest, TooLarge
from tests.r4b.examples import examples

NOW = 1_767_225_600_123_456


def without_stamp(raw: bytes) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """(members without id and meta, members of meta without the two stamped values), each as its own bytes."""
    members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    meta = msgspec.json.decode(members.pop("meta", b"{}"), type=dict[str, msgspec.Raw])
    members.pop("id", None)
    stamped = ("versionId", "lastUpdated", "_versionId", "_lastUpdated")
    return (
        {name: bytes(value) for name, value in members.items()},
        {name: bytes(value) for name, value in meta.items() if name not in stamped},
    )


@pytest.mark.parametrize("name", sorted(examples()))
def test_an_official_example_is_kept_byte_for_byte_except_id_and_meta(name: str) -> None:
    compact = msgspec.json.format(examples()[name], indent=-1)
    rendered = parse(examples()[name]).render("new", 7, NOW)
    assert without_stamp(rendered) == without_stamp(compact)
    assert list(without_stamp(rendered)[0]) == list(without_stamp(compact)[0])
    written = json.loads(rendered)
    assert written["id"] == "new"
    assert written["meta"]["versionId"] == "7"
    assert written["meta"]["lastUpdated"] == "2026-01-01T00:00:00.123Z"


def test_rendering_again_what_was_rendered_changes_nothing() -> None:
    for raw in examples().values():
        once = parse(raw).render("a", 1, NOW)
        assert parse(once).render("a", 1, NOW) == once


texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)
numbers = st.from_regex(r"\A-?(0|[1-9][0-9]{0,12})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?\Z")
spaces = st.sampled_from(["", " ", "\n", "\t ", "\r\n  "])


@st.composite
def json_texts(draw: st.DrawFn, depth: int = 0) -> tuple[str, str]:
    """(JSON with random white space, the same without), made of tokens as clients may write them."""
    kinds = ["string", "number", "word"] + (["object", "array"] if depth < 3 else [])
    match draw(st.sampled_from(kinds)):
        case "string":
            token = json.dumps(draw(texts), ensure_ascii=draw(st.booleans()))
            return token, token
        case "number":
            token = draw(numbers)
            return token, token
        case "word":
            token = draw(st.sampled_from(["true", "false", "null"]))
            return token, token
        case "array":
            items = draw(st.lists(json_texts(depth=depth + 1), max_size=4))
            gap = draw(spaces)
            loose = "[" + gap + f"{gap},{gap}".join(item[0] for item in items) + gap + "]"
            return loose, "[" + ",".join(item[1] for item in items) + "]"
        case _:
            names = draw(st.lists(texts, unique=True, max_size=4))
            values = [draw(json_texts(depth=depth + 1)) for _ in names]
            gap = draw(spaces)
            keys = [json.dumps(name, ensure_ascii=False) for name in names]
            loose = [f"{key}{gap}:{gap}{value[0]}" for key, value in zip(keys, values, strict=True)]
            tight = [f"{key}:{value[1]}" for key, value in zip(keys, values, strict=True)]
            return "{" + gap + f"{gap},{gap}".join(loose) + gap + "}", "{" + ",".join(tight) + "}"


@settings(deadline=None, max_examples=200)
@given(st.lists(json_texts(), max_size=5), spaces)
def test_any_tokens_of_a_client_survive(values: list[tuple[str, str]], gap: str) -> None:
    loose = "".join(f'{gap},{gap}"x{i}"{gap}:{gap}{value[0]}' for i, value in enumerate(values))
    tight = "".join(f',"x{i}":{value[1]}' for i, value in enumerate(values))
    rendered = parse(f'{{{gap}"resourceType"{gap}:"Basic"{loose}{gap}}}'.encode()).render("i", 1, NOW)
    stamp = '"id":"i","meta":{"versionId":"1","lastUpdated":"2026-01-01T00:00:00.123Z"}'
    assert rendered.decode() == f'{{"resourceType":"Basic",{stamp}{tight}}}'


def test_id_and_meta_stay_where_the_client_had_them() -> None:
    raw = b'{"meta":{"tag":[{"code":"a"}],"versionId":"9"},"active":true,"id":"x","resourceType":"Patient"}'
    assert parse(raw).render("y", 2, 0) == (
        b'{"meta":{"versionId":"2","lastUpdated":"1970-01-01T00:00:00.000Z","tag":[{"code":"a"}]},'
        b'"active":true,"id":"y","resourceType":"Patient"}'
    )


def test_extensions_of_replaced_meta_values_go_with_them() -> None:
    raw = b'{"resourceType":"Patient","meta":{"_lastUpdated":{"id":"a"},"source":"urn:x"}}'
    assert b"_lastUpdated" not in parse(raw).render("y", 1, 0)


def test_a_draft_of_our_own_keeps_the_digits_of_decimals() -> None:
    data = {"resourceType": "Observation", "valueQuantity": {"value": Decimal("1.10")}}
    assert draft_of(data).raw == b'{"resourceType":"Observation","valueQuantity":{"value":1.10}}'


def test_fractions_are_read_as_decimals_with_all_their_digits() -> None:
    data = parse(b'{"resourceType":"Observation","valueQuantity":{"value":0.12345678901234567890}}').data
    assert str(data["valueQuantity"]["value"]) == "0.12345678901234567890"


BAD = {
    "nothing": b"",
    "white space": b" \n",
    "no JSON": b"<Patient/>",
    "single quotes": b"{'resourceType':'Patient'}",
    "a byte order mark": b'\xef\xbb\xbf{"resourceType":"Patient"}',
    "UTF-16": '{"resourceType":"Patient"}'.encode("utf-16"),
    "a cut body": b'{"resourceType":"Patient"',
    "something behind": b'{"resourceType":"Patient"} x',
    "two values": b'{"resourceType":"Patient"}{}',
    "a trailing comma": b'{"resourceType":"Patient",}',
    "a comment": b'{"resourceType":"Patient"/*x*/}',
    "an array": b"[]",
    "a string": b'"Patient"',
    "no resourceType": b'{"id":"a"}',
    "an unknown resourceType": b'{"resourceType":"Pacient"}',
    "an abstract resourceType": b'{"resourceType":"DomainResource"}',
    "a data type": b'{"resourceType":"HumanName"}',
    "a number for resourceType": b'{"resourceType":1}',
    "a duplicate key": b'{"resourceType":"Patient","active":true,"active":true}',
    "a duplicate resourceType": b'{"resourceType":"Patient","resourceType":"Patient"}',
    "a deep duplicate key": b'{"resourceType":"Patient","name":[{"family":"a","family":"b"}]}',
    "an escaped duplicate key": b'{"resourceType":"Patient","a":1,"\\u0061":1}',
    "a duplicate key in a loose body": b'{ "resourceType": "Patient", "a": 1.5e2, "a": 2 }',
    "NaN": b'{"resourceType":"Patient","a":NaN}',
    "Infinity": b'{"resourceType":"Patient","a":-Infinity}',
    "a leading zero": b'{"resourceType":"Patient","a":01}',
    "a bare fraction": b'{"resourceType":"Patient","a":.5}',
    "an endless integer": b'{"resourceType":"Patient","a":' + b"1" * 10000 + b"}",
    "an impossible exponent": b'{"resourceType":"Patient","a":1e99999999999999999999}',
    "bad UTF-8": b'{"resourceType":"Patient","a":"\xff"}',
    "overlong UTF-8": b'{"resourceType":"Patient","a":"\xc0\xaf"}',
    "an encoded surrogate": b'{"resourceType":"Patient","a":"\xed\xa0\x80"}',
    "a lone high surrogate": b'{"resourceType":"Patient","a":"\\ud800"}',
    "a lone low surrogate": b'{"resourceType":"Patient","a":"\\udc00"}',
    "a raw control character": b'{"resourceType":"Patient","a":"\x01"}',
    "depth": b'{"resourceType":"Patient","a":' + b"[" * 80 + b"1" + b"]" * 80 + b"}",
    "bottomless depth": b'{"resourceType":"Patient","a":' + b"[" * 100000,
    "a string for meta": b'{"resourceType":"Patient","meta":"x"}',
}


@pytest.mark.parametrize("name", BAD)
def test_refuses(name: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(BAD[name])
    assert caught.value.issues[0].diagnostics.endswith((".", "?"))


def test_says_where_the_json_breaks() -> None:
    with pytest.raises(BadRequest, match="line 2, column 12"):
        parse(b'{"resourceType":"Patient",\n "active": yes}')


def test_depth_at_the_limit_is_taken() -> None:
    limits = Limits(depth=5)
    parse(b'{"resourceType":"Patient","a":[[[[1]]]]}', limits=limits)
    with pytest.raises(BadRequest, match="5 levels"):
        parse(b'{"resourceType":"Patient","a":[[[[[1]]]]]}', limits=limits)


def test_too_many_bytes_are_413() -> None:
    with pytest.raises(TooLarge):
        parse(b'{"resourceType":"Patient"}', limits=Limits(size=10))


def test_too_many_items_are_413() -> None:
    with pytest.raises(TooLarge):
        parse(b'{"resourceType":"Patient","a":[1,2,3,4]}', limits=Limits(array=3))


def test_commas_in_other_places_do_not_count_as_items() -> None:
    parse(b'{"resourceType":"Patient","a":[1,2,3],"b":"1,2,3,4,5","c":[1,2,3]}', limits=Limits(array=3))


def test_any_json_is_read_under_the_same_rules() -> None:
    assert parse_json(b'[{"op":"remove","path":"/a"}]') == [{"op": "remove", "path": "/a"}]
    with pytest.raises(BadRequest):
        parse_json(b'[{"op":1,"op":2}]')


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_an_instant_has_milliseconds_and_utc(us: int) -> None:
    text = instant(us)
    assert len(text) == 24
    assert text.endswith("Z")


def test_pretty_keeps_number_and_string_text() -> None:
    raw = b'{"a":1.10e-7,"b":"\\u00e9\\/"}'
    assert pretty(raw) == b'{\n  "a": 1.10e-7,\n  "b": "\\u00e9\\/"\n}'


def test_encoding_writes_decimals_as_numbers() -> None:
    assert encode({"a": Decimal("170.50")}) == b'{"a":170.50}'
