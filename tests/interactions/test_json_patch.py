"""JSON Patch, RFC 6902: its own examples, and what must be refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.interactions.json_patch import apply, equal, pointer
from fhir_server.r4b.outcome import BadRequest, Unprocessable


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
        ({"foo": ["a", "c"]}, [{"op": "add", "path": "/foo/1", "value": "b"}], {"foo": ["a", "b", "c"]}),
        ({"foo": ["a"]}, [{"op": "add", "path": "/foo/-", "value": ["b"]}], {"foo": ["a", ["b"]]}),
        ({"baz": 1, "foo": 2}, [{"op": "remove", "path": "/baz"}], {"foo": 2}),
        ({"foo": ["a", "b", "c"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["a", "c"]}),
        ({"foo": 1}, [{"op": "replace", "path": "/foo", "value": None}], {"foo": None}),
        ({"a": {"b": 1}, "c": {}}, [{"op": "move", "from": "/a/b", "path": "/c/d"}], {"a": {}, "c": {"d": 1}}),
        ({"f": ["a", "b", "c"]}, [{"op": "move", "from": "/f/0", "path": "/f/2"}], {"f": ["b", "c", "a"]}),
        ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1], "b": [1]}),
        ({"a/b": 1, "m~n": 2}, [{"op": "remove", "path": "/a~1b"}, {"op": "remove", "path": "/m~0n"}], {}),
        ({"": 1}, [{"op": "replace", "path": "/", "value": 2}], {"": 2}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": [1]}], [1]),
        ({"a": {"b": 1}}, [{"op": "move", "from": "/a", "path": "/a"}], {"a": {"b": 1}}),
    ],
)
def test_operations_do_what_the_rfc_says(document: Any, patch: Any, result: Any) -> None:
    assert apply(document, patch) == result


@pytest.mark.parametrize(
    "patch",
    [
        [{"op": "remove", "path": "/nothing"}],
        [{"op": "replace", "path": "/nothing", "value": 1}],
        [{"op": "add", "path": "/nothing/deeper", "value": 1}],
        [{"op": "add", "path": "/list/3", "value": 1}],
        [{"op": "add", "path": "/list/01", "value": 1}],
        [{"op": "remove", "path": "/list/-"}],
        [{"op": "remove", "path": "/list/-1"}],
        [{"op": "remove", "path": ""}],
        [{"op": "add", "path": "/text/x", "value": 1}],
        [{"op": "test", "path": "/text", "value": "other"}],
        [{"op": "test", "path": "/one", "value": True}],
        [{"op": "copy", "from": "/nothing", "path": "/x"}],
    ],
)
def test_what_cannot_be_done_on_this_document_is_unprocessable(patch: Any) -> None:
    document = {"list": [1, 2], "text": "t", "one": 1}
    with pytest.raises(Unprocessable):
        apply(document, patch)
    assert document == {"list": [1, 2], "text": "t", "one": 1}


@pytest.mark.parametrize(
    "patch",
    [
        {"op": "remove", "path": "/a"},
        ["remove"],
        [{"op": "erase", "path": "/a"}],
        [{"op": "add", "path": "/a"}],
        [{"op": "add", "value": 1}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "add", "path": "/a~2", "value": 1}],
        [{"op": "add", "path": None, "value": 1}],
        [{"op": "move", "from": "/a", "path": "/a/b"}],
        [{"op": ["add"], "path": "/a", "value": 1}],
    ],
)
def test_what_is_no_json_patch_is_a_bad_request(patch: Any) -> None:
    with pytest.raises(BadRequest):
        apply({"a": {"b": 1}}, patch)


def test_numbers_are_equal_by_value_and_truth_is_not_a_number() -> None:
    assert equal(Decimal("1.50"), Decimal("1.5"))
    assert equal(1, Decimal("1.0"))
    assert not equal(1, True)
    assert not equal({"a": 0}, {"a": False})


def test_decimals_keep_their_digits() -> None:
    result = apply({"v": Decimal("170.50"), "x": 1}, [{"op": "remove", "path": "/x"}])
    assert str(result["v"]) == "170.50"


def test_a_copied_value_is_not_shared() -> None:
    result = apply({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}, {"op": "add", "path": "/b/-", "value": 2}])
    assert result == {"a": [1], "b": [1, 2]}


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def _paths(value: Any, path: str = "") -> list[str]:
    found = [path]
    if isinstance(value, dict):
        for name, inner in value.items():
            found += _paths(inner, f"{path}/{name.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += _paths(inner, f"{path}/{index}")
    return found


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(_json, st.data())
def test_every_path_tests_equal_to_itself_and_replacing_it_shows(document: Any, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(_paths(document)))
    value = document
    for token in pointer(path):
        value = value[int(token)] if isinstance(value, list) else value[token]
    assert apply(document, [{"op": "test", "path": path, "value": value}]) == document
    replaced = apply(document, [{"op": "replace", "path": path, "value": {"new": 1}}])
    apply(replaced, [{"op": "test", "path": path, "value": {"new": 1}}])
