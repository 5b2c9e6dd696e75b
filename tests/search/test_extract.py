from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.r4b.definitions import definitions
from fhir_server.r4b.times import time_range
from fhir_server.search.entries import CANONICAL_UCUM, MAX_TIME, MIN_TIME, Entries
from fhir_server.search.extract import extract, extract_bytes
from fhir_server.search.numbers import NUMBER_MAX, NUMBER_MIN, sortable
from tests.r4b.examples import examples
from tests.search.matching import BASE

UCUM = "http://unitsofmeasure.org"


def entries(type: str, **elements: Any) -> Entries:
    return extract(type, {"resourceType": type, **elements}, base_urls=(BASE,))


def of(rows: list[Any], param: str) -> list[Any]:
    return [row[1:-1] for row in rows if row[0] == param]


def n(text: str) -> str:
    return sortable(Decimal(text))


def test_a_concept_gives_a_token_for_each_coding_and_its_texts() -> None:
    code = {"coding": [{"system": "s", "code": "1", "display": "Ünit"}, {"code": "2"}], "text": "My Text"}
    found = entries("Condition", code=code)
    assert of(found.tokens, "code") == [("s", "1"), ("", "2")]
    assert of(found.strings, "code:text") == [("unit", "Ünit"), ("my text", "My Text")]


def test_a_concept_with_text_only_is_present_without_a_code() -> None:
    assert of(entries("Condition", code={"text": "x"}).tokens, "code") == [("", "")]


def test_a_code_carries_the_system_that_its_value_set_implies() -> None:
    assert of(entries("Patient", gender="male").tokens, "gender") == [
        ("http://hl7.org/fhir/administrative-gender", "male")
    ]


def test_an_identifier_gives_its_typed_form_too() -> None:
    kind = {"coding": [{"system": "t", "code": "MR"}], "text": "Record number"}
    found = entries("Patient", identifier=[{"system": "s", "value": "1", "type": kind}])
    assert of(found.tokens, "identifier") == [("s", "1")]
    assert of(found.tokens, "identifier:of-type") == [("t", "MR|1")]
    assert of(found.strings, "identifier:text") == [("record number", "Record number")]


def test_contact_points_are_tokens_without_case() -> None:
    found = entries("Patient", telecom=[{"system": "email", "value": "Jo@X.org"}, {"system": "phone", "value": "5"}])
    assert of(found.tokens, "email") == [("email", "jo@x.org")]
    assert of(found.tokens, "phone") == [("phone", "5")]
    assert len(of(found.tokens, "telecom")) == 2


@pytest.mark.parametrize(
    ("elements", "value"),
    [
        ({}, "false"),
        ({"deceasedBoolean": True}, "true"),
        ({"deceasedBoolean": False}, "false"),
        ({"deceasedDateTime": "2020"}, "true"),
    ],
)
def test_deceased_is_true_for_a_date_too(elements: dict[str, Any], value: str) -> None:
    assert [code for _, code in of(entries("Patient", **elements).tokens, "deceased")] == [value]


def test_every_part_of_a_name_and_an_address_is_a_string() -> None:
    found = entries(
        "Patient",
        name=[{"text": "T", "family": "F", "given": ["G", "H"], "prefix": ["Dr."], "suffix": ["II"]}],
        address=[
            {"line": ["1 Main St"], "city": "C", "district": "D", "state": "S", "postalCode": "P", "country": "U"}
        ],
    )
    assert {original for _, original in of(found.strings, "name")} == {"T", "F", "G", "H", "Dr.", "II"}
    assert {original for _, original in of(found.strings, "address")} == {"1 Main St", "C", "D", "S", "P", "U"}
    assert of(found.strings, "address-postalcode") == [("p", "P")]


def test_a_period_with_an_open_end_reaches_without_limit() -> None:
    start, end = time_range("2020"), time_range("2021")
    assert start
    assert end
    assert of(entries("Encounter", period={"start": "2020"}).dates, "date") == [(start[0], MAX_TIME)]
    assert of(entries("Encounter", period={"end": "2021"}).dates, "date") == [(MIN_TIME, end[1])]
    assert of(entries("Encounter", period={}).dates, "date") == []


def test_a_timing_counts_by_its_outer_limits() -> None:
    events = {"event": ["2020-05-01", "2020-01-01"]}
    first, last = time_range("2020-01-01"), time_range("2020-05-01")
    assert first
    assert last
    assert of(entries("ServiceRequest", occurrenceTiming=events).dates, "occurrence") == [(first[0], last[1])]


def test_a_ucum_quantity_has_a_canonical_twin() -> None:
    found = entries(
        "Observation", valueQuantity={"value": Decimal("5.40"), "system": UCUM, "code": "mg/dL", "unit": "mg/dL"}
    )
    assert of(found.quantities, "value-quantity") == [
        (UCUM, "mg/dL", n("5.4"), n("5.4")),
        (CANONICAL_UCUM, "g.m-3", n("54"), n("54")),
    ]


def test_a_unit_text_that_differs_from_the_code_is_found_too() -> None:
    found = entries("Observation", valueQuantity={"value": 1, "system": "s", "code": "c", "unit": "u"})
    assert [row[:2] for row in of(found.quantities, "value-quantity")] == [("s", "c"), ("", "u")]


@pytest.mark.parametrize(("comparator", "lo", "hi"), [("<", NUMBER_MIN, n("5")), (">=", n("5"), NUMBER_MAX)])
def test_a_comparator_opens_an_end(comparator: str, lo: str, hi: str) -> None:
    found = entries("Observation", valueQuantity={"value": 5, "comparator": comparator})
    assert of(found.quantities, "value-quantity") == [("", "", lo, hi)]


def test_money_ranges_and_samples_are_quantities() -> None:
    invoice = entries("Invoice", totalNet={"value": 5, "currency": "EUR"})
    assert of(invoice.quantities, "totalnet") == [("urn:iso:std:iso:4217", "EUR", n("5"), n("5"))]
    condition = entries("Condition", onsetRange={"low": {"value": 3, "unit": "y"}})
    assert of(condition.quantities, "onset-age") == [("", "y", n("3"), NUMBER_MAX)]
    samples = {"origin": {"value": 10, "unit": "mV"}, "period": 1, "dimensions": 1, "factor": 2, "data": "-1 E 4 0"}
    assert of(entries("Observation", valueSampledData=samples).quantities, "value-quantity") == [
        ("", "mV", n("8"), n("18"))
    ]


@pytest.mark.parametrize(
    ("reference", "entry"),
    [
        ("Patient/1", ("Patient", "1")),
        ("Patient/1/_history/3", ("Patient", "1")),
        (f"{BASE}/Patient/1", ("Patient", "1")),
        (f"{BASE}/Patient/1/_history/2", ("Patient", "1")),
        ("http://else.org/fhir/Patient/1", ("", "http://else.org/fhir/Patient/1")),
        ("urn:uuid:c757873d-ec9a-4326-a141-556f43239520", ("", "urn:uuid:c757873d-ec9a-4326-a141-556f43239520")),
        ("#p", ("", "#p")),
    ],
)
def test_a_literal_reference_is_indexed_by_what_it_points_to(reference: str, entry: tuple[str, str]) -> None:
    assert of(entries("Observation", subject={"reference": reference}).references, "subject") == [entry]


def test_a_parameter_for_one_target_type_leaves_the_others_out() -> None:
    found = entries("Observation", subject={"reference": "Group/1"})
    assert of(found.references, "subject") == [("Group", "1")]
    assert of(found.references, "patient") == []


def test_a_logical_reference_is_indexed_by_its_identifier() -> None:
    found = entries("Observation", subject={"identifier": {"system": "s", "value": "v"}})
    assert of(found.tokens, "subject:identifier") == [("s", "v")]
    assert of(found.references, "subject") == [("", "")]


def test_a_canonical_is_a_uri_with_its_version() -> None:
    found = entries("QuestionnaireResponse", questionnaire="http://q|2.0")
    assert of(found.uris, "questionnaire") == [("http://q", "2.0")]


def test_components_of_a_composite_share_the_element() -> None:
    components = [
        {"code": {"coding": [{"code": code}]}, "valueQuantity": {"value": value}}
        for code, value in (("a", 1), ("b", 2))
    ]
    found = entries("Observation", component=components)
    codes = {row[3]: row[2] for row in found.tokens if row[0] == "component-code-value-quantity$0"}
    values = {row[5]: row[3] for row in found.quantities if row[0] == "component-code-value-quantity$1"}
    assert {codes[el]: values[el] for el in codes} == {"a": n("1"), "b": n("2")}


def test_a_composite_without_one_of_its_parts_is_not_indexed() -> None:
    found = entries("Observation", code={"coding": [{"code": "a"}]}, valueString="x")
    assert {row[0] for row in found.tokens if "$" in row[0]} == {"code-value-string$0"}


def test_tags_profiles_and_sources_are_indexed_for_every_type() -> None:
    meta = {"tag": [{"code": "t"}], "security": [{"code": "s"}], "profile": ["http://p"], "source": "http://src"}
    for type in ("Patient", "Binary", "Bundle"):
        found = entries(type, meta=meta)
        assert of(found.tokens, "_tag") == [("", "t")]
        assert of(found.tokens, "_security") == [("", "s")]
        assert of(found.uris, "_profile") == [("http://p", "")]
        assert of(found.uris, "_source") == [("http://src", "")]


def test_id_and_last_updated_are_left_to_the_store() -> None:
    found = entries("Patient", id="1", meta={"lastUpdated": "2020-01-01T00:00:00Z"})
    assert not of(found.tokens, "_id")
    assert not of(found.dates, "_lastUpdated")


def test_a_position_is_two_numbers() -> None:
    found = entries("Location", position={"longitude": Decimal("-83.69"), "latitude": Decimal("42.25")})
    assert of(found.numbers, "near$lat") == [(n("42.25"), n("42.25"))]
    assert of(found.numbers, "near$lon") == [(n("-83.69"), n("-83.69"))]


def test_a_bundle_refers_to_the_composition_that_it_begins_with() -> None:
    found = entries("Bundle", entry=[{"resource": {"resourceType": "Composition", "id": "c"}}])
    assert of(found.references, "composition") == [("Composition", "c")]


def test_equal_entries_are_kept_once() -> None:
    found = entries("Patient", name=[{"family": "A"}, {"family": "A"}])
    assert of(found.strings, "family") == [("a", "A")]


def test_text_is_collected_only_when_asked_for() -> None:
    raw = b'{"resourceType":"Patient","text":{"div":"<div>Jo &amp; <b>Ann</b></div>"},"name":[{"family":"Zed"}]}'
    assert extract_bytes("Patient", raw).narrative == ""
    found = extract_bytes("Patient", raw, text=True)
    assert found.narrative == "Jo & Ann"
    assert "Zed" in found.content
    assert "Ann" not in found.content


def test_every_official_example_can_be_indexed() -> None:
    kinds = set()
    for raw in examples().values():
        data = msgspec.json.decode(raw, type=dict[str, Any])
        if definitions().is_resource(data["resourceType"]):
            found = extract_bytes(data["resourceType"], raw, text=True)
            kinds |= {name for name in Entries.__slots__ if getattr(found, name)}
    assert kinds == set(Entries.__slots__)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("Patient/1"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["coding", "system", "value", "code", "reference", "start", "given", "low"]), inner
        )
    ),
    max_leaves=8,
)


ELEMENTS = ("code", "subject", "name", "telecom", "component", "valueQuantity", "meta", "period", "entry", "position")


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["Observation", "Patient", "Encounter", "Bundle", "Location"]),
    st.dictionaries(st.sampled_from(ELEMENTS), json_values),
)
def test_odd_content_never_raises(type: str, elements: dict[str, Any]) -> None:
    extract(type, {"resourceType": type, **elements})
