"""The in-process terminology service knows the shipped code systems and value sets, and says what it does not know."""

from __future__ import annotations

from pathlib import Path

import pytest

from terminology.expand import Unknown
from terminology.service import Terminology

ICD = "http://hl7.org/fhir/sid/icd-10-cm"
GENDER = "http://hl7.org/fhir/ValueSet/administrative-gender"
GENDERS = "http://hl7.org/fhir/administrative-gender"
ACTS = "http://terminology.hl7.org/CodeSystem/v3-ActCode"


@pytest.fixture(scope="module")
def terminology(tmp_path_factory: pytest.TempPathFactory) -> Terminology:
    return Terminology(tmp_path_factory.mktemp("terminology"))


def test_a_value_set_expands_to_its_codes(terminology: Terminology) -> None:
    assert terminology.expand(GENDER) == {(GENDERS, c) for c in ("male", "female", "other", "unknown")}


def test_a_version_that_is_not_here_is_unknown(terminology: Terminology) -> None:
    assert terminology.expand(f"{GENDER}|4.3.0") is not None
    assert terminology.expand(f"{GENDER}|9.9.9") is None


def test_a_value_set_that_is_not_here_is_unknown(terminology: Terminology) -> None:
    assert terminology.expand("http://example.org/ValueSet/none") is None


def test_most_shipped_value_sets_expand(terminology: Terminology) -> None:
    urls = list(terminology.index.value_set_urls())
    assert sum(terminology.expand(url) is not None for url in urls[::20]) / len(urls[::20]) > 0.9


@pytest.mark.parametrize(
    ("code", "below"),
    [("E11.2", ["E11.2", "E11.21", "E11.22", "E11.29"]), ("E11.9", ["E11.9"]), ("T78.2XXA", ["T78.2XXA"])],
)
def test_icd10cm_codes_lie_below_their_category(terminology: Terminology, code: str, below: list[str]) -> None:
    assert sorted(terminology.subsumed_by(ICD, code) or ()) == below


def test_seventh_characters_lie_below_the_code_they_complete(terminology: Terminology) -> None:
    assert "T78.2XXA" in (terminology.subsumed_by(ICD, "T78") or ())
    assert list(terminology.subsumes(ICD, "T78.2XXA") or ()) == ["T78.2XXA", "T78.2", "T78"]


def test_a_fhir_code_systems_tree_is_its_hierarchy(terminology: Terminology) -> None:
    assert {"AMB", "EMER"} <= set(terminology.subsumed_by(ACTS, "_ActEncounterCode") or ())
    assert "_ActEncounterCode" in (terminology.subsumes(ACTS, "AMB") or ())


def test_snomed_without_its_hierarchy_says_so(terminology: Terminology) -> None:
    assert terminology.subsumed_by("http://snomed.info/sct", "38341003") is None


def test_lookup_gives_display_and_relations(terminology: Terminology) -> None:
    found = terminology.lookup(ICD, "I50.2")
    assert found is not None
    assert found.display == "Systolic (congestive) heart failure"
    assert ("parent", "I50") in found.properties
    assert ("child", "I50.21") in found.properties


def test_lookup_of_what_is_not_there_is_none(terminology: Terminology) -> None:
    assert terminology.lookup(ICD, "I50.99") is None
    assert terminology.lookup("http://example.org/none", "a") is None


@pytest.mark.parametrize(
    ("system", "code", "display", "result"),
    [
        (GENDERS, "male", None, True),
        (GENDERS, "male", "Male", True),
        (GENDERS, "male", "Man", False),
        (GENDERS, "man", None, False),
        (ICD, "S52.501A", None, True),
        (ICD, "S52.501Z", None, False),
    ],
)
def test_codes_are_validated_with_their_display(
    terminology: Terminology, system: str, code: str, display: str | None, result: bool
) -> None:
    validation = terminology.validate_code(system, code, display)
    assert validation is not None
    assert validation.result is result
    assert (validation.message is None) is result


def test_a_code_outside_a_fragment_is_neither_right_nor_wrong(terminology: Terminology) -> None:
    assert terminology.validate_code("http://snomed.info/sct", "999999999") is None


def test_membership_is_validated(terminology: Terminology) -> None:
    assert terminology.validate_member(GENDER, GENDERS, "male").result
    assert not terminology.validate_member(GENDER, None, "man").result
    with pytest.raises(Unknown):
        terminology.validate_member("http://example.org/none", None, "a")


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"property": "concept", "op": "is-a", "value": "E11.2"}, {"E11.2", "E11.21", "E11.22", "E11.29"}),
        ({"property": "concept", "op": "descendent-of", "value": "E11.2"}, {"E11.21", "E11.22", "E11.29"}),
        ({"property": "concept", "op": "generalizes", "value": "E11.21"}, {"E11.21", "E11.2", "E11"}),
        ({"property": "code", "op": "in", "value": "I10,E11.9"}, {"I10", "E11.9"}),
        ({"property": "parent", "op": "=", "value": "E11.2"}, {"E11.21", "E11.22", "E11.29"}),
        ({"property": "code", "op": "regex", "value": r"E11\.2\d"}, {"E11.21", "E11.22", "E11.29"}),
    ],
)
def test_filters_of_a_definition(terminology: Terminology, item: dict[str, str], expected: set[str]) -> None:
    value_set = {"resourceType": "ValueSet", "compose": {"include": [{"system": ICD, "filter": [item]}]}}
    assert {code for _, code in terminology.expand_resource(value_set) or ()} == expected


def test_exclusions_and_nested_value_sets(terminology: Terminology) -> None:
    value_set = {
        "compose": {
            "include": [{"valueSet": [GENDER]}],
            "exclude": [{"system": GENDERS, "concept": [{"code": "unknown"}]}],
        }
    }
    assert {code for _, code in terminology.expand_resource(value_set) or ()} == {"male", "female", "other"}


def test_the_index_is_unpacked_once(tmp_path: Path) -> None:
    for _ in range(2):
        assert Terminology(tmp_path).expand(GENDER)
    assert len(list(tmp_path.iterdir())) == 1
