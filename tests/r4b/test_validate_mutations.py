"""Official examples, broken at random: what an independent model refuses, we refuse, and nothing makes us stumble."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from fhir_server.r4b.codec import decode
from fhir_server.r4b.outcome import Issue
from fhir_server.r4b.validate import validate
from tests.r4b.examples import INVALID, examples

NAMES = sorted(name for name, raw in examples().items() if name not in INVALID and len(raw) < 12_000)
GARBAGE: list[Any] = [
    None, True, 0, -1, Decimal("1.5"), "", "x", "a b", "\x00", [], {}, [None], [[]], [{}], {"x": 1}, ["x", "y"], [1],
    {"resourceType": "Patient"}, {"reference": "#x"}, {"coding": 1}, {"coding": [1]}, {"value": {}}, 10**30,
]  # fmt: skip


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) below."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(pairs):
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


def broken(data: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """A copy with one random change."""
    data = copy.deepcopy(data)
    container, key = chance.choice([place for place in places(data) if place[1] != "resourceType"])
    match chance.randrange(5):
        case 0:
            del container[key]
        case 1:
            container[key] = chance.choice(GARBAGE)
        case 2:
            container[key] = [container[key]]
        case 3 if isinstance(container, dict):
            container[f"{key}X"] = container.pop(key)
        case _:
            container[key] = copy.deepcopy(chance.choice(list(places(data)))[0])
    return data


@pytest.mark.parametrize("seed", range(8))
def test_no_change_makes_validation_stumble(seed: int) -> None:
    chance = random.Random(seed)
    for name in chance.sample(NAMES, 150):
        data = decode(examples()[name])
        for _ in range(4):
            data = broken(data, chance)
            assert all(isinstance(issue, Issue) and issue.diagnostics for issue in validate(data))


@pytest.mark.parametrize("seed", range(6))
def test_what_fhir_resources_refuses_is_refused(seed: int) -> None:
    models = pytest.importorskip("fhir.resources.R4B")
    chance = random.Random(100 + seed)
    for name in chance.sample(NAMES, 60):
        original = decode(examples()[name])
        for _ in range(4):
            data = broken(original, chance)
            try:
                models.get_fhir_model_class(data["resourceType"]).model_validate_json(json.dumps(data, default=float))
                refused = ""
            except Exception as error:  # it raises KeyError and others as well
                refused = str(error)
            if refused:
                assert validate(data), (name, refused, data)
