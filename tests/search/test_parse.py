from collections.abc import Collection
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.r4b.outcome import BadRequest
from fhir_server.search import query as q
from fhir_server.search.parse import Include, Need, parse_search
from fhir_server.search.registry import Registry, default_registry
from tests.search.matching import parse, where


@pytest.mark.parametrize(
    ("type", "criterion"),
    [
        ("Patient", "birthdate=xx2020"),
        ("Patient", "birthdate=2020-13"),
        ("Patient", "birthdate=2020-02-30"),
        ("Patient", "birthdate=gt"),
        ("Patient", "name="),
        ("Patient", "name= "),
        ("Patient", "name=a,,b"),
        ("Patient", "name=,"),
        ("Patient", "gender=a|b|c"),
        ("Patient", "gender=|"),
        ("Patient", "gender:missing=maybe"),
        ("Patient", "general-practitioner:Patient=1"),
        ("Patient", "general-practitioner=a b"),
        ("Patient", "identifier:of-type=a|b"),
        ("Patient", "_lastUpdated=yesterday"),
        ("Patient", "_id="),
        ("Patient", "_count=x"),
        ("Patient", "_count=-1"),
        ("Patient", "_count="),
        ("Patient", "_total=some"),
        ("Patient", "_summary=all"),
        ("Patient", "_sort=-"),
        ("Patient", "_include=Patient"),
        ("Patient", "_type=Foo"),
        ("Patient", "_has:Observation:patient=x"),
        ("Patient", "_text=+"),
        ("Observation", "value-quantity=five"),
        ("Observation", "value-quantity=5|mg"),
        ("Observation", "value-quantity=gt|s|c"),
        ("Observation", "code-value-quantity=a"),
        ("Observation", "code-value-quantity=a$"),
        ("Observation", "code-value-quantity=a$1$2"),
        ("Observation", "subject:Patient.birthdate=x"),
        ("Observation", "patient:Practitioner.name=x"),
        ("RiskAssessment", "probability=zz1"),
        ("RiskAssessment", "probability=1e99999999999"),
        ("Location", "near=91|0|1|km"),
        ("Location", "near=1|1|1|kg"),
        ("Location", "near=1"),
        ("Observation", "code:below=nothing"),
        ("Observation", "code:below=s|c"),
        ("Observation", "value-date=lt2020-1"),
    ],
)
def test_a_bad_value_is_a_400_that_names_the_parameter(type: str, criterion: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        parse(type, criterion)
    name = criterion.partition("=")[0]
    assert refusal.value.issues[0].expression == name
    assert name in refusal.value.issues[0].diagnostics


@pytest.mark.parametrize(
    "criterion",
    [
        "foo=1",
        "_foo=1",
        "subject=x",
        "name.family=x",
        "general-practitioner.foo=1",
        "general-practitioner:Foo.name=1",
        "_has:Foo:patient:code=1",
        "_has:Observation:foo:code=1",
        "_has:Observation:code:code=1",
        "_has:Encounter:location:status=1",
        "_sort=foo",
        "_sort=gender.name",
        "_include=Foo:bar",
        "_include=Patient:foo",
        "_include=Patient:name",
        "_include=Patient:organization:Patient",
        "_query=foo",
        "_list=$current-problems",
    ],
)
def test_what_does_not_exist_is_reported_and_not_applied(criterion: str) -> None:
    parsed = parse("Patient", criterion, "gender=male")
    assert [name for name, _ in parsed.unknown] == [criterion.partition("=")[0]]
    assert parsed.unknown[0][1]
    assert parsed.query.where == q.Token("gender", None, "male")
    assert parsed.applied == (("gender", "male"),)
    assert not parsed.query.sort
    assert not parsed.includes


@pytest.mark.parametrize(
    "criterion",
    [
        "name:bar=1",
        "gender:exact=male",
        "birthdate:contains=2",
        "name:not=x",
        "general-practitioner:Foo=1",
        "general-practitioner.name:bar=1",
        "_include:foo=Patient:organization",
        "_count:exact=1",
    ],
)
def test_a_modifier_that_does_not_exist_is_refused(criterion: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        parse("Patient", criterion)
    assert refusal.value.issues[0].expression == criterion.partition("=")[0]
    assert refusal.value.issues[0].code == "not-supported"


@pytest.mark.parametrize(
    "text",
    [
        "name",
        "name eq",
        "name foo x",
        "foo eq x",
        "name eq x and",
        "name eq x or or name eq y",
        "(name eq x",
        "name eq x)",
        "not name eq x",
        'name eq "x',
        "gender gt male",
        "birthdate co 2020",
        "birthdate eq x",
        "general-practitioner[name eq x]",
        "name.family eq x",
        "_id co x",
        "code sb x",
        "active pr maybe",
        "(" * 100 + "name eq x" + ")" * 100,
    ],
)
def test_a_filter_that_is_wrong_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        parse("Patient", f"_filter={text}")


def test_the_shape_of_the_result() -> None:
    parsed = parse(
        "Patient",
        "_sort=-birthdate,name,_lastUpdated",
        "_count=10",
        "_total=accurate",
        "_summary=text",
        "_elements=name,gender",
        "_include=Patient:organization",
        "_include:iterate=Organization:partof:Organization",
        "_include=*",
        "_revinclude=Provenance:target",
        "_revinclude=Observation:*",
        "_contained=both",
        "_containedType=contained",
        "_format=json",
    )
    assert not parsed.unknown
    assert parsed.query.sort == (
        q.Sort("birthdate", "date", True),
        q.Sort("name", "string"),
        q.Sort("_lastUpdated", "last_updated"),
    )
    assert (parsed.count, parsed.total, parsed.summary) == (10, "accurate", "text")
    assert parsed.elements == ("name", "gender")
    assert parsed.includes == (
        Include("Patient", "organization"),
        Include("Organization", "partof", "Organization", True),
        Include("*", "*"),
    )
    assert parsed.revincludes == (Include("Provenance", "target"), Include("Observation", "*"))
    assert (parsed.contained, parsed.contained_type) == ("both", "contained")
    assert "_format" not in dict(parsed.applied)


def test_a_search_of_all_types_takes_only_what_all_have() -> None:
    parsed = parse((), "_tag=x", "_lastUpdated=gt2020", "name=x")
    assert [name for name, _ in parsed.unknown] == ["name"]
    assert parsed.query.types == ()


def test_types_narrow_a_search_and_their_common_parameters_work() -> None:
    parsed = parse((), "_type=Observation,Condition", "patient=Patient/1", "patient.name=x")
    assert parsed.query.types == ("Observation", "Condition")
    assert not parsed.unknown


def test_a_type_that_is_not_searched_finds_nothing() -> None:
    assert where("Patient", "_type=Observation") == q.Nothing()


class Codes:
    """A terminology with one value set and one hierarchy."""

    def expand(self, value_set: str) -> Collection[tuple[str, str]] | None:
        return {"http://vs": [("s", "a"), ("s", "b")], "http://empty": []}.get(value_set)

    def subsumed_by(self, system: str, code: str) -> Collection[str] | None:
        return ["a1", "a2"] if system == "s" else None

    def subsumes(self, system: str, code: str) -> Collection[str] | None:
        return ["top"] if system == "s" else None


def test_in_a_value_set() -> None:
    pairs = frozenset({("s", "a"), ("s", "b")})
    assert where("Condition", "code:in=http://vs", terminology=Codes()) == q.TokenIn("code", pairs)
    assert where("Condition", "code:not-in=http://vs", terminology=Codes()) == q.Not(q.TokenIn("code", pairs))
    assert where("Condition", "code:in=http://empty", terminology=Codes()) == q.Nothing()


def test_above_and_below_a_code() -> None:
    below = q.TokenIn("code", frozenset({("s", "a"), ("s", "a1"), ("s", "a2")}))
    above = q.TokenIn("code", frozenset({("s", "a"), ("s", "top")}))
    assert where("Condition", "code:below=s|a", terminology=Codes()) == below
    assert where("Condition", "code:above=s|a", terminology=Codes()) == above
    assert where("Condition", "_filter=code sb s|a", terminology=Codes()) == below
    with pytest.raises(BadRequest):
        where("Condition", "code:below=unknown|a", terminology=Codes())


def test_a_value_set_that_is_kept_here_is_fetched_first() -> None:
    parsed = parse("Condition", "code:in=ValueSet/1")
    need = Need("value_set", "ValueSet/1")
    assert parsed.needs == (need,)
    assert parse("Condition", "code:in=ValueSet/1", known={need: [("s", "a")]}).query.where == q.TokenIn(
        "code", frozenset({("s", "a")})
    )
    with pytest.raises(BadRequest):
        parse("Condition", "code:in=ValueSet/1", known={need: None})


def test_a_list_gives_the_ids_of_its_members() -> None:
    need = Need("list", "42")
    assert parse("Patient", "_list=42").needs == (need,)
    members = [("Patient", "1"), ("Observation", "2")]
    assert where("Patient", "_list=42", known={need: members}) == q.Id(("1",))
    assert where("Patient", "_list=42", known={need: []}) == q.Nothing()


def test_a_hierarchy_of_places_is_fetched_first() -> None:
    need = Need("below", "Location/1", "partof")
    assert parse("Procedure", "location:below=Location/1").needs == (need,)
    node = where("Procedure", "location:below=1", known={need: [("Location", "2")]})
    assert node == q.Or((q.Reference("location", "Location", "1"), q.Reference("location", "Location", "2")))


def test_the_same_search_is_parsed_once() -> None:
    assert parse("Patient", "name=x") is parse("Patient", "name=x")
    assert parse("Patient", "birthdate=ap2000", now=1) is not parse("Patient", "birthdate=ap2000", now=10**15)


def test_a_named_query_stands_for_its_parameters() -> None:
    registry = Registry()
    registry.named_queries["men"] = lambda given: [*given, ("gender", "male")]
    parsed = parse("Patient", "_query=men", "name=x", registry=registry)
    assert parsed.applied == (("name", "x"), ("gender", "male"))


def test_very_long_chains_are_refused() -> None:
    with pytest.raises(BadRequest):
        parse("Patient", "link" + ".link" * 100 + "=x")


NAMES = [
    "name",
    "code",
    "_has:Observation:patient:code",
    "subject.name",
    "value-quantity",
    "birthdate",
    "near",
    "_filter",
    "code-value-quantity",
    "_sort",
    "_include",
    "_id",
    "_list",
    "_text",
    "url",
    "subject:identifier",
    "_query",
    "_type",
]


@given(
    st.sampled_from(["Patient", "Observation", "Location", "Bundle"]),
    st.sampled_from(NAMES),
    st.text(alphabet="abc12|$,\\:.-_/ []()\"'eqgt\x00é", max_size=25),
)
def test_no_value_whatever_is_a_crash(type: str, name: str, value: str) -> None:
    with suppress(BadRequest):
        parse_search((type,), [(name, value)], registry=default_registry())


@given(st.text(max_size=30), st.text(max_size=10))
def test_no_name_whatever_is_a_crash(name: str, value: str) -> None:
    with suppress(BadRequest):
        parse_search(("Patient",), [(name, value)], registry=default_registry())
