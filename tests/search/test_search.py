"""What searches find, over resources in memory: parsing, indexing and the contract between them."""

from typing import Any

import pytest

from fhir_server.search.fold import fold
from tests.search.matching import BASE, World

UCUM = "http://unitsofmeasure.org"


def patient(id: str, **elements: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id, **elements}


def resource(type_: str, id: str, **elements: Any) -> dict[str, Any]:
    return {"resourceType": type_, "id": id, **elements}


def measured(id: str, value: object, unit: str = "mg/dL", **elements: Any) -> dict[str, Any]:
    quantity = {"value": value, "system": UCUM, "code": unit, "unit": unit}
    return {"resourceType": "Observation", "id": id, "valueQuantity": quantity, **elements}


# --- tokens


PEOPLE = World(
    patient("m", gender="male", active=True, identifier=[{"system": "s", "value": "1"}]),
    patient("f", gender="female", identifier=[{"value": "1"}], telecom=[{"system": "email", "value": "Ann@X.org"}]),
    patient("u", identifier=[{"system": "s", "value": "2", "type": {"coding": [{"system": "t", "code": "MR"}]}}]),
)


@pytest.mark.parametrize(
    ("criterion", "found"),
    [
        ("identifier=1", "mf"),
        ("identifier=s|1", "m"),
        ("identifier=|1", "f"),
        ("identifier=s|", "mu"),
        ("identifier=s|1,s|2", "mu"),
        ("identifier:of-type=t|MR|2", "u"),
        ("identifier:of-type=t|MR|1", ""),
        ("gender=male", "m"),
        ("gender=|male", "m"),
        ("gender=http://hl7.org/fhir/administrative-gender|male", "m"),
        ("gender=http://other|male", ""),
        ("gender:not=male", "fu"),
        ("gender:not=male,female", "u"),
        ("gender:missing=true", "u"),
        ("gender:missing=false", "mf"),
        ("active=true", "m"),
        ("active:not=true", "fu"),
        ("email=ann@x.org", "f"),
        ("email=ANN@X.ORG", "f"),
        ("telecom=email|ann@x.org", "f"),
        ("_id=m,u", "mu"),
        ("_id:not=m", "fu"),
        ("deceased=false", "mfu"),
    ],
)
def test_tokens(criterion: str, found: str) -> None:
    assert PEOPLE.find("Patient", criterion) == list(found)


def test_repeated_parameters_must_all_hold() -> None:
    assert PEOPLE.find("Patient", "identifier=1", "gender=male") == ["m"]


# --- strings


NAMES = World(
    patient("a", name=[{"family": "Müller", "given": ["Jürgen"]}]),
    patient("b", name=[{"family": "O'Brien-Smith"}], address=[{"city": "New York"}]),
    patient("c", name=[{"family": "Smith, Jones"}]),
)


@pytest.mark.parametrize(
    ("criterion", "found"),
    [
        ("family=mull", "a"),
        ("family=MÜLL", "a"),
        ("name=jurgen", "a"),
        ("family=obrien", "b"),
        ("family=O’Brien", "b"),
        ("family=smith", "c"),
        ("family:contains=smith", "bc"),
        ("family:exact=Müller", "a"),
        ("family:exact=müller", ""),
        ("family:exact=Muller", ""),
        ("family:exact=Smith\\, Jones", "c"),
        ("family=smith\\, j", "c"),
        ("family=mull,obri", "ab"),
        ("address-city=new  york", "b"),
        ("address=york", ""),
        ("address:contains=york", "b"),
    ],
)
def test_strings(criterion: str, found: str) -> None:
    assert NAMES.find("Patient", criterion) == list(found)


# --- dates


TIMES = World(
    patient("year", birthDate="2013"),
    patient("month", birthDate="2013-01"),
    patient("day", birthDate="2013-01-14"),
    patient("next", birthDate="2014-06-01"),
)


@pytest.mark.parametrize(
    ("criterion", "found"),
    [
        ("2013", ["year", "month", "day"]),
        ("eq2013-01", ["month", "day"]),
        ("2013-01-14", ["day"]),
        ("ne2013-01-14", ["year", "month", "next"]),
        ("gt2013-01-14", ["year", "month", "next"]),
        ("lt2013-01-14", ["year", "month"]),
        ("ge2013-01-14", ["year", "month", "day", "next"]),
        ("le2013-01-14", ["year", "month", "day"]),
        ("sa2013-01", ["next"]),
        ("eb2013-02", ["month", "day"]),
        ("ge2013-03", ["year", "next"]),
        ("gt2013", ["next"]),
    ],
)
def test_dates(criterion: str, found: list[str]) -> None:
    assert TIMES.find("Patient", f"birthdate={criterion}") == found


PERIODS = World(
    resource("Encounter", "open", period={"start": "2020-01-10"}),
    resource("Encounter", "jan", period={"start": "2020-01-05", "end": "2020-01-20"}),
    {
        "resourceType": "Encounter",
        "id": "zone",
        "period": {"start": "2020-03-01T23:30:00-05:00", "end": "2020-03-02T05:00:00Z"},
    },
)


@pytest.mark.parametrize(
    ("criterion", "found"),
    [
        ("2020", ["jan", "zone"]),
        ("2020-03-02", ["zone"]),
        ("gt2021", ["open"]),
        ("sa2020-01-07", ["open", "zone"]),
        ("eb2020-02", ["jan"]),
        ("lt2020-01-08", ["jan"]),
        ("ge2020-03-02T04:30:00Z", ["open", "zone"]),
        ("ge2020-03-02T10:00:00 05:00", ["open"]),
    ],
)
def test_periods(criterion: str, found: list[str]) -> None:
    assert PERIODS.find("Encounter", f"date={criterion}") == found


def test_approximate_dates_widen_with_distance_from_now() -> None:
    now = 1_577_836_800_000_000  # 2020-01-01
    assert TIMES.find("Patient", "birthdate=ap2014-01-01", now=now) == ["year", "next"]
    assert TIMES.find("Patient", "birthdate=ap2016-01-01", now=now) == []


# --- numbers and quantities


RISKS = World(
    *(
        {"resourceType": "RiskAssessment", "id": str(value), "prediction": [{"probabilityDecimal": value}]}
        for value in (99.4, 99.5, 100, 100.4, 100.5)
    )
)


@pytest.mark.parametrize(
    ("criterion", "found"),
    [
        ("100", ["99.5", "100", "100.4"]),
        ("100.0", ["100"]),
        ("1e2", ["99.4", "99.5", "100", "100.4", "100.5"]),
        ("ne100", ["99.4", "100.5"]),
        ("gt100", ["100.4", "100.5"]),
        ("ge100", ["100", "100.4", "100.5"]),
        ("lt100", ["99.4", "99.5"]),
        ("le100.4", ["99.4", "99.5", "100", "100.4"]),
        ("sa100", ["100.4", "100.5"]),
        ("eb100", ["99.4", "99.5"]),
        ("ap109", ["99.4", "99.5", "100", "100.4", "100.5"]),
        ("ap120", []),
    ],
)
def test_numbers(criterion: str, found: list[str]) -> None:
    assert RISKS.find("RiskAssessment", f"probability={criterion}") == found


LABS = World(
    measured("low", 5.3),
    measured("same", 0.054, "g/L"),
    measured("high", 0.06, "g/L"),
    measured("odd", 5.4, "mmol/L"),
    resource("Observation", "plain", valueQuantity={"value": 5.4, "unit": "mg"}),
    resource("Observation", "below", valueQuantity={"value": 5, "comparator": "<", "unit": "mg"}),
)


@pytest.mark.parametrize(
    ("criterion", "found"),
    [
        (f"gt5.4|{UCUM}|mg/dL", ["high"]),
        (f"ge5.4|{UCUM}|mg/dL", ["same", "high"]),
        (f"5.4|{UCUM}|mg/dL", ["same"]),
        (f"54|{UCUM}|mg/L", ["same"]),
        ("5.4", ["odd", "plain"]),
        ("5.4||mg", ["plain"]),
        ("lt5||mg", ["below"]),
        ("gt5||mg", ["plain"]),
        ("0.054||g/L", ["same"]),
        (f"5.4|{UCUM}|", ["odd"]),
        ("54", []),
    ],
)
def test_quantities(criterion: str, found: list[str]) -> None:
    assert LABS.find("Observation", f"value-quantity={criterion}") == found


# --- references, chains


LINKED = World(
    patient("1", name=[{"family": "Smith"}], managingOrganization={"reference": "Organization/o"}),
    patient("2", name=[{"family": "Jones"}]),
    resource("Group", "1", type="person", actual=True),
    resource("Organization", "o", name="Acme"),
    {
        "resourceType": "Observation",
        "id": "a",
        "subject": {"reference": "Patient/1"},
        "code": {"coding": [{"code": "x"}]},
    },
    resource("Observation", "b", subject={"reference": f"{BASE}/Patient/2"}),
    resource("Observation", "c", subject={"reference": "Group/1"}),
    resource("Observation", "d", subject={"reference": "http://else.org/Patient/1"}),
    resource("Observation", "e", subject={"identifier": {"system": "s", "value": "v"}}),
    resource("Observation", "f"),
    {
        "resourceType": "AuditEvent",
        "id": "z",
        "entity": [{"what": {"reference": "Observation/a"}}],
        "type": {"code": "t"},
    },
    resource("Questionnaire", "q", url="http://q", title="Sleep"),
    resource("QuestionnaireResponse", "r", questionnaire="http://q|1"),
)


@pytest.mark.parametrize(
    ("criterion", "found"),
    [
        ("subject=Patient/1", "a"),
        ("subject=1", "ac"),
        ("subject:Patient=1", "a"),
        ("patient=1", "a"),
        (f"subject={BASE}/Patient/1", "a"),
        ("subject=Patient/2/_history/1", "b"),
        ("subject=http://else.org/Patient/1", "d"),
        ("subject:identifier=s|v", "e"),
        ("subject:missing=true", "f"),
        ("subject=Patient/1,Patient/2", "ab"),
        ("subject:Patient.name=smith", "a"),
        ("patient.name=smith,jones", "ab"),
        ("patient.organization.name=acme", "a"),
        ("subject.organization.name=acme", "a"),
        ("subject.type=person", "c"),
        ("_has:AuditEvent:entity:type=t", "a"),
        ("patient._has:Observation:patient:code=x", "a"),
    ],
)
def test_references_and_chains(criterion: str, found: str) -> None:
    assert LINKED.find("Observation", criterion) == list(found)


@pytest.mark.parametrize(
    ("criterion", "found"),
    [
        ("_has:Observation:patient:code=x", ["1"]),
        ("_has:Observation:patient:code:missing=true", ["2"]),
        ("_has:Observation:patient:_has:AuditEvent:entity:type=t", ["1"]),
        ("_has:Observation:subject:patient.name=jones", ["2"]),
    ],
)
def test_reverse_chains(criterion: str, found: list[str]) -> None:
    assert LINKED.find("Patient", criterion) == found


def test_a_chain_goes_through_a_canonical_reference() -> None:
    assert LINKED.find("QuestionnaireResponse", "questionnaire.title=sleep") == ["r"]
    assert LINKED.find("QuestionnaireResponse", "questionnaire=http://q") == ["r"]
    assert LINKED.find("QuestionnaireResponse", "questionnaire=http://q|2") == []


# --- uris, composites, places


SETS = World(
    *(
        {"resourceType": "ValueSet", "id": str(number), "url": url, "meta": {"profile": ["http://p|1"]}}
        for number, url in enumerate(["http://a.org/x", "http://a.org/x/y", "http://a.org/xy", "urn:oid:1.2"])
    )
)


@pytest.mark.parametrize(
    ("criterion", "found"),
    [
        ("url=http://a.org/x", ["0"]),
        ("url:below=http://a.org/x", ["0", "1"]),
        ("url:above=http://a.org/x/y/z", ["0", "1"]),
        ("url=urn:oid:1.2", ["3"]),
        ("url=http://A.org/x", []),
        ("_profile=http://p", ["0", "1", "2", "3"]),
        ("_profile=http://p|1", ["0", "1", "2", "3"]),
        ("_profile=http://p|2", []),
    ],
)
def test_uris(criterion: str, found: list[str]) -> None:
    assert SETS.find("ValueSet", criterion) == found


def part(code: str, value: int) -> dict[str, Any]:
    return {"code": {"coding": [{"system": "s", "code": code}]}, "valueQuantity": {"value": value, "unit": "u"}}


def test_both_parts_of_a_composite_hold_on_one_element() -> None:
    world = World({"resourceType": "Observation", "id": "1", "component": [part("a", 1), part("b", 2)]})
    for criterion, found in {"s|a$1": ["1"], "s|b$gt1": ["1"], "s|a$2": [], "a$2,b$2": ["1"], "s|a$gt1": []}.items():
        assert world.find("Observation", f"component-code-value-quantity={criterion}") == found
        assert world.find("Observation", f"combo-code-value-quantity={criterion}") == found


def test_places_within_a_distance() -> None:
    def place(id: str, latitude: float, longitude: float) -> dict[str, Any]:
        return {"resourceType": "Location", "id": id, "position": {"latitude": latitude, "longitude": longitude}}

    world = World(
        place("here", 42.25, -83.69),
        place("9km", 42.33, -83.69),
        place("12km", 42.25, -83.545),
        place("far", -42, 179.99),
    )
    assert world.find("Location", "near=42.25|-83.69|11|km") == ["here", "9km"]
    assert world.find("Location", "near=42.25|-83.69|12000|m") == ["here", "9km", "12km"]
    assert world.find("Location", "near=42.25|-83.69|0|km") == ["here"]
    assert world.find("Location", "near=42.25|-83.69") == ["here", "9km", "12km"]
    assert world.find("Location", "near=-42|-179.99|5|km") == ["far"]
    assert world.find("Location", "near=0|0|20100|km") == ["here", "9km", "12km", "far"]


# --- text of codes


def test_text_modifier_matches_display_and_text() -> None:
    code = {"coding": [{"system": "s", "code": "1", "display": "Blood Pressure"}], "text": "BP"}
    world = World({"resourceType": "Observation", "id": "1", "code": code})
    assert world.find("Observation", "code:text=blood") == ["1"]
    assert world.find("Observation", "code:text=bp") == ["1"]
    assert world.find("Observation", "code:text=pressure") == []


# --- filters


FILTERED = World(
    patient("1", name=[{"family": "Smith", "given": ["Peter"]}], birthDate="2014-10-11", gender="male", active=True),
    patient("2", name=[{"family": "Smythe", "given": ["Petra"]}], birthDate="2014-01-01", gender="female"),
    {
        "resourceType": "Observation",
        "id": "a",
        "subject": {"reference": "Patient/1"},
        "code": {"coding": [{"system": "s", "code": "x"}]},
    },
    {
        "resourceType": "Observation",
        "id": "b",
        "subject": {"reference": "Patient/2"},
        "valueQuantity": {"value": 6, "unit": "u"},
    },
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('given eq "peter" and birthdate ge 2014-10-10', "1"),
        ("given eq pete", ""),
        ("given ne peter", "2"),
        ("family co my", "2"),
        ("family sw smi", "1"),
        ("family ew the", "2"),
        ("gender eq male or birthdate lt 2014-02-01", "12"),
        ("not (gender eq male)", "2"),
        ("not(gender eq male) and active pr true", ""),
        ("active pr false", "2"),
        ("gender ne male", "2"),
        ("gender eq male or gender eq female and active pr true", "1"),
        ("(gender eq male or gender eq female) and active pr false", "2"),
        ("birthdate po 2014-10", "1"),
        ("birthdate eq 2014", "12"),
        ("_id eq 1", "1"),
        ("_id ne 1", "2"),
    ],
)
def test_filters(text: str, found: str) -> None:
    assert FILTERED.find("Patient", f"_filter={text}") == list(found)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('patient.name co "pet"', "ab"),
        ("subject:Patient.gender eq male", "a"),
        ("subject[gender eq male].family sw smi", "a"),
        ("subject[gender eq female].family sw smi", ""),
        ("code eq s|x", "a"),
        ("code eq s|x or value-quantity gt 5||u", "ab"),
        ("subject re Patient/2", "b"),
        ("patient.gender eq female and value-quantity gt 5", "b"),
    ],
)
def test_filters_through_references(text: str, found: str) -> None:
    assert FILTERED.find("Observation", f"_filter={text}") == list(found)


def test_folded_empty_values_do_not_match_everything() -> None:
    assert fold("'") == "'"
    assert NAMES.find("Patient", "family='") == []
