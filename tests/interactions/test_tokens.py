from __future__ import annotations

import pytest

from fhir_server.interactions.tokens import Sealer
from fhir_server.r4b.outcome import BadRequest, Gone


def test_what_is_sealed_opens_again_in_another_process_with_the_same_secret() -> None:
    token = Sealer(b"s", 60).seal("search", {"c": [1, "a", None]})
    assert Sealer(b"s", 60).open("search", token) == {"c": [1, "a", None]}
    assert all(character.isalnum() or character in "-_" for character in token)


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1], lambda t: "A" + t[1:], lambda t: "", lambda t: "é", lambda t: t + "%"]
)
def test_a_changed_token_is_refused(change) -> None:  # type: ignore[no-untyped-def]
    sealer = Sealer(b"s", 60)
    token = sealer.seal("search", 1)
    with pytest.raises(BadRequest):
        sealer.open("search", change(token) if change(token) != token else token + "x")


def test_a_token_of_another_secret_or_kind_is_refused() -> None:
    token = Sealer(b"s", 60).seal("search", 1)
    with pytest.raises(BadRequest):
        Sealer(b"other", 60).open("search", token)
    with pytest.raises(BadRequest):
        Sealer(b"s", 60).open("history", token)


def test_an_expired_token_is_gone() -> None:
    sealer = Sealer(b"s", -1)
    with pytest.raises(Gone):
        sealer.open("search", sealer.seal("search", 1))
