"""Releases are loaded from the files that their owners publish. The content here is made up, in those formats."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from terminology.loaded import Loaded
from terminology.loading.load import Done, load, recognise
from terminology.loading.source import NothingFound
from terminology.server.systems import System
from terminology.server.translate import translate
from terminology.service import Terminology

SCT = "http://snomed.info/sct"
LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ICD10 = "http://hl7.org/fhir/sid/icd-10"


def tsv(*rows: str) -> str:
    return "".join("\t".join(row.split()).replace("_", " ") + "\r\n" for row in rows)


@pytest.fixture
def rf2(tmp_path: Path) -> Path:
    """Three disorders: 30 is a 20, 20 is a 10; 40 is inactive; a reference set and a map to ICD-10-CM."""
    folder = tmp_path / "rf2" / "Snapshot"
    (folder / "Terminology").mkdir(parents=True)
    (folder / "Refset" / "Language").mkdir(parents=True)
    core, head = "900000000000207008", "id effectiveTime active moduleId"
    concepts = [
        f"{id} 20200101 {active} {core} 900000000000074008" for id, active in ((10, 1), (20, 1), (30, 1), (40, 0))
    ]
    (folder / "Terminology" / "sct2_Concept_Snapshot_INT_20240101.txt").write_text(
        tsv(f"{head} definitionStatusId", *concepts)
    )
    said = f"20200101 1 {core}"
    synonym, full = "900000000000013009", "900000000000003001"
    (folder / "Terminology" / "sct2_Description_Snapshot-en_INT_20240101.txt").write_text(
        tsv(
            f"{head} conceptId languageCode typeId term caseSignificanceId",
            f"101 {said} 10 en {full} Disease_(disorder) 900000000000448009",
            f"102 {said} 10 en {synonym} Disease 900000000000448009",
            f"201 {said} 20 en {full} Heart_disease_(disorder) 900000000000448009",
            f"202 {said} 20 en {synonym} Cardiac_disease 900000000000448009",
            f"203 {said} 20 en {synonym} Heart_disease 900000000000448009",
            f"302 {said} 30 en {synonym} Heart_failure 900000000000448009",
            f"402 {said} 40 en {synonym} Old_disease 900000000000448009",
        )
    )
    isa, inferred, some = "116680003", "900000000000011006", "900000000000451002"
    (folder / "Terminology" / "sct2_Relationship_Snapshot_INT_20240101.txt").write_text(
        tsv(
            f"{head} sourceId destinationId relationshipGroup typeId characteristicTypeId modifierId",
            f"1 {said} 20 10 0 {isa} {inferred} {some}",
            f"2 {said} 30 20 0 {isa} {inferred} {some}",
            f"3 {said} 30 10 1 363698007 {inferred} {some}",
        )
    )
    (folder / "Refset" / "Language" / "der2_cRefset_LanguageSnapshot-en_INT_20240101.txt").write_text(
        tsv(
            f"{head} refsetId referencedComponentId acceptabilityId",
            f"a {said} 900000000000509007 203 900000000000548007",
            f"b {said} 900000000000509007 202 900000000000549004",
        )
    )
    (folder / "Refset" / "der2_Refset_SimpleSnapshot_INT_20240101.txt").write_text(
        tsv(f"{head} refsetId referencedComponentId", f"c {said} 700 20", f"d {said} 700 30")
    )
    (folder / "Refset" / "der2_iisssccRefset_ExtendedMapSnapshot_INT_20240101.txt").write_text(
        tsv(
            f"{head} refsetId referencedComponentId mapGroup mapPriority mapRule mapAdvice mapTarget correlationId"
            " mapCategoryId",
            f"e {said} 6011000124106 30 1 1 IFA_20_ RULE I50.1 447561005 447637006",
            f"f {said} 6011000124106 30 1 2 OTHERWISE_TRUE ALWAYS I50.9 447561005 447637006",
        )
    )
    return tmp_path / "rf2"


def loaded_from(path: Path, cache: Path) -> tuple[Terminology, list[Done]]:
    done = [load(release, Loaded(cache), lambda read, count: None) for release in recognise(path)]
    return Terminology(cache), done


def system(terminology: Terminology, url: str) -> System:
    found = terminology.library().system(url)
    assert found is not None
    return found


def names(found: System, code: str) -> set[str]:
    concept = found.locate(code)
    assert concept is not None
    return {name.value for name in found.designations(concept)}


def test_snomed_has_its_edition_hierarchy_and_names(rf2: Path, tmp_path: Path) -> None:
    terminology, _ = loaded_from(rf2, tmp_path / "cache")
    found = system(terminology, SCT)
    assert found.version == f"{SCT}/900000000000207008/version/20240101"
    assert found.complete
    assert found.ancestors("30") == {"10", "20"}
    concept = found.locate("20")
    assert concept is not None
    assert concept.display == "Heart disease"
    assert names(found, "20") == {"Heart disease", "Cardiac disease", "Heart disease (disorder)"}
    old = found.locate("40")
    assert old is not None
    assert found.inactive(old)


def test_snomed_subsumption_serves_searches(rf2: Path, tmp_path: Path) -> None:
    terminology, _ = loaded_from(rf2, tmp_path / "cache")
    assert terminology.subsumed_by(SCT, "10") == ["10", "20", "30"]
    assert terminology.subsumes(SCT, "30") == ["30", "20", "10"]


@pytest.mark.parametrize(
    ("asked", "codes"),
    [
        ("", {"10", "20", "30", "40"}),
        ("=isa/20", {"20", "30"}),
        ("=refset/700", {"20", "30"}),
        ("=ecl/%3C%2010", {"20", "30"}),
        ("=ecl/%3C%3C%2020%20MINUS%2030", {"20"}),
        ("=ecl/%5E%20700", {"20", "30"}),
        ("=ecl/*%20%3A%20363698007%20%3D%20%3C%3C%2010", {"30"}),
        ("=ecl/%3E%2030%20AND%20%3C%2010", {"20"}),
    ],
)
def test_implied_value_sets_of_snomed(rf2: Path, tmp_path: Path, asked: str, codes: set[str]) -> None:
    terminology, _ = loaded_from(rf2, tmp_path / "cache")
    pairs = terminology.expand(f"{SCT}?fhir_vs{asked}")
    assert pairs is not None
    assert {code for _, code in pairs} == codes


def test_extended_maps_translate_by_their_rules(rf2: Path, tmp_path: Path) -> None:
    terminology, _ = loaded_from(rf2, tmp_path / "cache")
    maps = terminology.library().maps_between(SCT, "http://hl7.org/fhir/sid/icd-10-cm")
    coding = {"system": SCT, "code": "30"}
    assert [match.coding["code"] for match in translate(maps, [coding])] == ["I50.9"]
    known = [("http://snomed.info/id/20", {"system": SCT, "code": "20"})]
    assert [match.coding["code"] for match in translate(maps, [coding], dependencies=known)] == ["I50.1", "I50.9"]
    back = translate(maps, [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "I50.9"}], reverse=True)
    assert [match.coding["code"] for match in back] == ["30"]


def test_loinc_with_hierarchy_answers_and_languages(tmp_path: Path) -> None:
    path = tmp_path / "Loinc_2.77.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "LoincTable/Loinc.csv",
            '"LOINC_NUM","COMPONENT","PROPERTY","CLASS","STATUS","SHORTNAME","LONG_COMMON_NAME","VersionLastChanged"\n'
            '"1-8","Acyclovir","Susc","ABXBACT","ACTIVE","Acyclovir Islt","Acyclovir [Susceptibility]","2.73"\n'
            '"9-9","Old","Prid","CHEM","DEPRECATED","Old","Old test","2.40"\n',
        )
        archive.writestr(
            "AccessoryFiles/ComponentHierarchyBySystem/ComponentHierarchyBySystem.csv",
            '"PATH_TO_ROOT","SEQUENCE","IMMEDIATE_PARENT","CODE","CODE_TEXT"\n'
            '"","1","","LP1-1","Drugs"\n"LP1-1","1","LP1-1","1-8","Acyclovir"\n',
        )
        archive.writestr(
            "AccessoryFiles/AnswerFile/AnswerList.csv",
            '"AnswerListId","AnswerListName","AnswerStringId","DisplayText"\n"LL1-9","Yes or no","LA1-0","Yes"\n',
        )
        archive.writestr(
            "AccessoryFiles/LinguisticVariants/deDE15LinguisticVariant.csv",
            '"LOINC_NUM","COMPONENT","LinguisticVariantDisplayName"\n"1-8","Aciclovir","Aciclovir [Empfindlichkeit]"\n',
        )
    terminology, _ = loaded_from(path, tmp_path / "cache")
    found = system(terminology, LOINC)
    assert found.version == "2.77"
    assert found.ancestors("1-8") == {"LP1-1"}
    assert "Aciclovir [Empfindlichkeit]" in names(found, "1-8")
    old = found.locate("9-9")
    assert old is not None
    assert found.inactive(old)
    assert terminology.expand("http://loinc.org/vs/LL1-9") == {(LOINC, "LA1-0")}
    filtered = {"system": LOINC, "filter": [{"property": "CLASS", "op": "=", "value": "ABXBACT"}]}
    assert terminology.expand_resource({"compose": {"include": [filtered]}}) == {(LOINC, "1-8")}


def test_rxnorm_with_term_types_and_relations(tmp_path: Path) -> None:
    folder = tmp_path / "rrf"
    folder.mkdir()

    def conso(cui: str, tty: str, name: str, suppress: str = "N") -> str:
        return f"{cui}|ENG||||||{cui}1||||RXNORM|{tty}|{cui}|{name}||{suppress}||\n"

    (folder / "RXNCONSO.RRF").write_text(
        conso("161", "IN", "acetaminophen")
        + conso("198440", "SCD", "acetaminophen 500 MG Oral Tablet")
        + conso("198440", "SY", "APAP 500 MG Oral Tablet")
        + "161|ENG||||||9||||MTHSPL|SU|161|ACETAMINOPHEN||N||\n"
    )
    (folder / "RXNREL.RRF").write_text("161||CUI|RO|198440||CUI|has_ingredient|||RXNORM|||||\n")
    (folder / "RXNSAB.RRF").write_text("C|C|RXNORM_20AA|RXNORM|RxNorm|x|20AA_240102F|\n")
    terminology, _ = loaded_from(folder, tmp_path / "cache")
    found = system(terminology, RXNORM)
    assert found.version == "20AA_240102F"
    assert names(found, "198440") == {"acetaminophen 500 MG Oral Tablet", "APAP 500 MG Oral Tablet"}
    filtered = {"system": RXNORM, "filter": [{"property": "has_ingredient", "op": "=", "value": "161"}]}
    assert terminology.expand_resource({"compose": {"include": [filtered]}}) == {(RXNORM, "198440")}


def test_icd10_in_claml(tmp_path: Path) -> None:
    path = tmp_path / "icd10.xml"
    path.write_text(
        '<?xml version="1.0"?><ClaML version="2.0.0"><Title name="ICD-10" version="2019">ICD-10</Title>'
        '<Class code="I50" kind="category"><Rubric kind="preferred"><Label>Heart failure</Label></Rubric></Class>'
        '<Class code="I50.0" kind="category"><SuperClass code="I50"/>'
        '<Rubric kind="preferred"><Label>Congestive heart failure</Label></Rubric></Class></ClaML>'
    )
    terminology, _ = loaded_from(path, tmp_path / "cache")
    found = system(terminology, ICD10)
    assert found.version == "2019"
    assert found.ancestors("I50.0") == {"I50"}


def package(path: Path, version: str, code: str) -> Path:
    code_system = {"resourceType": "CodeSystem", "url": "http://example.org/cs", "version": version}
    code_system |= {"status": "active", "content": "complete", "concept": [{"code": code}]}
    manifest = {"name": "example.terms", "version": version}
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (("package.json", manifest), ("CodeSystem-cs.json", code_system)):
            data = json.dumps(content).encode()
            told = tarfile.TarInfo(f"package/{name}")
            told.size = len(data)
            archive.addfile(told, io.BytesIO(data))
    return path


def test_a_newer_package_takes_the_place_of_the_older(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    loaded_from(package(tmp_path / "one.tgz", "1.0.0", "a"), cache)
    terminology, _ = loaded_from(package(tmp_path / "two.tgz", "2.0.0", "b"), cache)
    assert terminology.library().versions("http://example.org/cs") == ["2.0.0"]
    assert [release.title for release in Loaded(cache).releases()] == ["example.terms 2.0.0"]
    assert len(list((cache / "loaded").glob("*.sqlite"))) == 1


def test_what_is_loaded_already_is_left(tmp_path: Path) -> None:
    path = package(tmp_path / "one.tgz", "1.0.0", "a")
    _, first = loaded_from(path, tmp_path / "cache")
    _, second = loaded_from(path, tmp_path / "cache")
    assert [one.fresh for one in (*first, *second)] == [True, False]


def test_the_old_release_stays_when_loading_the_new_one_fails(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    loaded_from(package(tmp_path / "one.tgz", "1.0.0", "a"), cache)

    def interrupted(read: int, count: int) -> None:
        raise KeyboardInterrupt

    [release] = recognise(package(tmp_path / "two.tgz", "2.0.0", "b"))
    with pytest.raises(KeyboardInterrupt):
        load(release, Loaded(cache), interrupted)
    assert Terminology(cache).library().versions("http://example.org/cs") == ["1.0.0"]
    assert not list((cache / "loaded").glob("*.part"))


def test_what_is_no_terminology_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"resourceType": "Patient"}')
    with pytest.raises(NothingFound):
        recognise(tmp_path)
