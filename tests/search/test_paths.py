import re
from decimal import Decimal

import msgspec
import pytest

from fhir_server.r4b.definitions import definitions
from fhir_server.search.paths import ExpressionError, compile_expression, leaves_of
from tests.r4b.examples import examples

PATIENT = {
    "resourceType": "Patient",
    "name": [{"family": "A", "given": ["B", None, "C"]}, {"family": "D"}],
    "telecom": [{"system": "phone", "value": "1"}, {"system": "email", "value": "2"}],
    "deceasedBoolean": False,
    "birthDate": "2000",
    "_birthDate": {"extension": [{"url": "http://t", "valueTime": "12:00:00"}]},
    "extension": [
        {"url": "http://x", "valueCode": "c"},
        {"url": "http://y", "valueQuantity": {"value": 1}},
        {"url": "http://z", "extension": [{"url": "in", "valueString": "deep"}]},
    ],
    "generalPractitioner": [{"reference": "Practitioner/1"}, {"reference": "#o"}],
    "contained": [{"resourceType": "Organization", "id": "o"}],
    "contact": [{"period": {"start": "2001"}}],
}


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("Patient.name.family", ["A", "D"]),
        ("name.given", ["B", "C"]),
        ("Patient.name.given | Patient.name.family", ["B", "C", "A", "D"]),
        ("Patient.telecom.where(system='email').value", ["2"]),
        ("Patient.telecom.where(system = 'fax' or system = 'phone').value", ["1"]),
        ("Patient.name[1].family", ["D"]),
        ("Patient.name.first().family", ["A"]),
        ("Patient.deceased.exists() and Patient.deceased != false", [False]),
        ("(Patient.deceased as boolean)", [False]),
        ("Patient.deceased.as(dateTime)", []),
        ("Patient.deceased.ofType(boolean)", [False]),
        ("Patient.deceased", [False]),
        ("Patient.extension.where(url='http://x').value", ["c"]),
        ("Patient.extension('http://y').value.as(Quantity).value", [1]),
        ("Patient.extension('http://z').extension('in').value", ["deep"]),
        ("Patient.birthDate.extension('http://t').value", ["12:00:00"]),
        ("Patient.generalPractitioner.where(resolve() is Practitioner)", [{"reference": "Practitioner/1"}]),
        ("Patient.generalPractitioner.where(resolve() is Organization)", [{"reference": "#o"}]),
        ("Observation.code", []),
        ("Patient.contact.where(name.exists().not()).period.start", ["2001"]),
        ("DomainResource.birthDate", ["2000"]),
        ("Patient.photo.url", []),
    ],
)
def test_an_expression_finds_its_values(expression: str, values: list[object]) -> None:
    assert compile_expression(expression, "Patient")(PATIENT) == values


@pytest.mark.parametrize(
    "expression",
    [
        "Patient.nmae",
        "Patient.name.family.foo",
        "Patient.name.",
        "Patient.name.where(",
        "Patient.name.select(family)",
        "Patient.name.family.matches('a')",
        "Patient.name[x]",
        "Patient.name + 1",
        "'text'",
        "",
        "(" * 200,
    ],
)
def test_an_expression_that_is_not_supported_is_refused(expression: str) -> None:
    with pytest.raises(ExpressionError, match=r"\w"):
        compile_expression(expression, "Patient")


def test_every_expression_of_the_standard_compiles_and_leads_somewhere() -> None:
    empty = [
        (type, parameter.code)
        for type in definitions().types
        for parameter in definitions().search_parameters(type).values()
        if parameter.expression and not leaves_of(parameter.expression, type)
    ]
    assert empty == []


def test_values_agree_with_fhirpathpy_on_the_official_examples() -> None:
    fhirpathpy = pytest.importorskip("fhirpathpy")
    models = pytest.importorskip("fhirpathpy.models").models
    seen: dict[str, int] = {}
    compared, refused, different = 0, 0, []
    for raw in examples().values():
        data = msgspec.json.decode(raw)
        type = data["resourceType"]
        seen[type] = seen.get(type, 0) + 1
        if seen[type] > 2 or type == "Bundle":
            continue
        for parameter in definitions().search_parameters(type).values():
            # fhirpathpy has no resolve(), no supertype Resource, and no use for other types' alternatives.
            parts = [part for part in parameter.expression.split(" | ") if re.match(rf"\(?{type}\b", part)]
            if not parts or parameter.type == "composite" or "resolve()" in parameter.expression:
                continue
            try:
                expected = fhirpathpy.evaluate(data, " | ".join(parts), model=models["r4"])
            except Exception:
                # It refuses (list as Type), which the standard's own parameters use.
                refused += 1
                continue
            found = compile_expression(parameter.expression, type)(data)
            compared += 1
            if len(expected) != len({repr(value) for value in found}) and len(expected) != len(found):
                different.append((type, parameter.code, len(expected), len(found)))
    assert different == []
    assert compared > 1500
    assert refused < 50


def test_decimals_stay_as_they_are() -> None:
    resource = {"resourceType": "RiskAssessment", "prediction": [{"probabilityDecimal": Decimal("0.10")}]}
    assert str(compile_expression("RiskAssessment.prediction.probability", "RiskAssessment")(resource)[0]) == "0.10"
