"""``fhir-server import`` and ``export``: what goes in comes out; what is bad is told; nothing is made twice."""

import bz2
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run

PATIENT = {"resourceType": "Patient", "id": "p1", "birthDate": "1970-05-01", "name": [{"family": "Doe"}]}
OBSERVATION = {
    "resourceType": "Observation",
    "id": "o1",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "8302-2"}]},
    "subject": {"reference": "Patient/p1"},
}
#: A decimal that a float would spoil.
OBSERVATION_TEXT = json.dumps(OBSERVATION)[:-1] + ', "valueQuantity": {"value": 170.50, "unit": "cm"}}'
OTHER = {**PATIENT, "id": "p2", "name": [{"family": "Roe"}]}


def bundle(type: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": type, "entry": list(entries)}


def write(path: Path, *documents: Any) -> str:
    path.write_text("\n".join(each if isinstance(each, str) else json.dumps(each) for each in documents))
    return str(path)


def exported(run: Run, tmp_path: Path, *arguments: str) -> dict[str, list[dict[str, Any]]]:
    """Resources by type, without the server's own conformance resources."""
    out = tmp_path / "out"
    run("export", "--out", str(out), *arguments)
    manifest = json.loads((out / "manifest.json").read_text())
    found = {}
    for item in manifest["output"]:
        raw = (out / item["url"]).read_bytes()
        lines = (gzip.decompress(raw) if item["url"].endswith(".gz") else raw).splitlines()
        assert len(lines) == item["count"]
        found[item["type"]] = [json.loads(line) for line in lines]
    assert {file.name for file in out.iterdir()} == {"manifest.json", *(item["url"] for item in manifest["output"])}
    return found


def errors(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "import-errors.ndjson").read_text().splitlines()]


def ids(found: dict[str, list[dict[str, Any]]], type: str = "Patient") -> set[str]:
    return {resource["id"] for resource in found.get(type, [])}


def test_ndjson_goes_in_and_comes_out_byte_for_byte(fhir_server: Run, tmp_path: Path) -> None:
    done = fhir_server("import", write(tmp_path / "x.ndjson", PATIENT, OBSERVATION_TEXT))
    assert "Imported 2 resources from 1 file" in done.stdout
    fhir_server("export", "--out", str(tmp_path / "out"))
    assert b'"value":170.50' in (tmp_path / "out" / "Observation.ndjson").read_bytes()
    assert not (tmp_path / "import-errors.ndjson").exists()


def test_export_then_import_into_an_empty_server_gives_the_same_resources(fhir_server: Run, tmp_path: Path) -> None:
    fhir_server("import", write(tmp_path / "x.ndjson", PATIENT, OTHER, OBSERVATION_TEXT))
    first = exported(fhir_server, tmp_path)
    second_dir = {"FHIR_SERVER_DATA_DIR": str(tmp_path / "second")}
    fhir_server("import", str(tmp_path / "out"), **second_dir)
    fhir_server("export", "--out", str(tmp_path / "out2"), **second_dir)
    for type, resources in first.items():
        again = [json.loads(line) for line in (tmp_path / "out2" / f"{type}.ndjson").read_text().splitlines()]
        for resource in (*resources, *again):
            del resource["meta"]
        key = json.dumps
        assert sorted(map(key, again)) == sorted(map(key, resources))


@pytest.mark.parametrize("type", ["collection", "document", "searchset"])
def test_resources_of_a_bundle_keep_their_ids(fhir_server: Run, tmp_path: Path, type: str) -> None:
    path = write(tmp_path / "x.json", bundle(type, {"resource": PATIENT}, {"resource": OTHER}))
    fhir_server("import", path)
    assert ids(exported(fhir_server, tmp_path)) == {"p1", "p2"}


def test_a_transaction_is_carried_out(fhir_server: Run, tmp_path: Path) -> None:
    patient = {name: value for name, value in PATIENT.items() if name != "id"}
    observation = {**OBSERVATION, "subject": {"reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"}}
    fhir_server(
        "import",
        write(
            tmp_path / "x.json",
            bundle(
                "transaction",
                {
                    "fullUrl": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0",
                    "resource": patient,
                    "request": {"method": "POST", "url": "Patient"},
                },
                {"resource": observation, "request": {"method": "PUT", "url": "Observation/o1"}},
            ),
        ),
    )
    found = exported(fhir_server, tmp_path)
    assert found["Observation"][0]["subject"]["reference"] == f"Patient/{found['Patient'][0]['id']}"


def test_a_second_run_makes_no_duplicates_of_conditional_creates(fhir_server: Run, tmp_path: Path) -> None:
    organization = {
        "resourceType": "Organization",
        "identifier": [{"system": "http://example.org/ids", "value": "1"}],
        "name": "Hospital",
    }
    request = {
        "method": "POST",
        "url": "Organization",
        "ifNoneExist": "identifier=http://example.org/ids|1",
    }
    for type in ("batch", "transaction"):
        path = write(tmp_path / f"{type}.json", bundle(type, {"resource": organization, "request": request}))
        fhir_server("import", path)
        fhir_server("import", path)
    assert len(exported(fhir_server, tmp_path)["Organization"]) == 1


def test_what_others_refer_to_may_come_in_any_file(fhir_server: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    organization = {
        "resourceType": "Organization",
        "identifier": [{"system": "http://example.org/ids", "value": "1"}],
        "name": "Hospital",
    }
    referring = {
        "resourceType": "Patient",
        "managingOrganization": {"reference": "Organization?identifier=http://example.org/ids|1"},
    }
    write(
        folder / "a.json",
        bundle("transaction", {"resource": referring, "request": {"method": "POST", "url": "Patient"}}),
    )
    write(folder / "z.json", organization)
    assert "Imported 2 resources" in fhir_server("import", str(folder)).stdout
    found = exported(fhir_server, tmp_path)
    assert found["Patient"][0]["managingOrganization"]["reference"] == f"Organization/{found['Organization'][0]['id']}"


def test_one_bad_line_is_told_and_the_others_go_in(fhir_server: Run, tmp_path: Path) -> None:
    path = write(
        tmp_path / "x.ndjson",
        PATIENT,
        '{"resourceType": "Patient", "gender"',
        {**PATIENT, "id": "p3", "gender": "zzz"},
        OTHER,
    )
    done = fhir_server("import", path, status=1)
    assert "Imported 2 resources" in done.stdout
    assert "2 could not be imported" in done.stderr
    told = errors(tmp_path)
    assert [(error["file"], error["line"]) for error in told] == [(path, 2), (path, 3)]
    assert all(error["outcome"]["resourceType"] == "OperationOutcome" for error in told)
    assert "gender" in json.dumps(told[1]["outcome"])
    assert ids(exported(fhir_server, tmp_path)) == {"p1", "p2"}


def test_the_problem_of_a_line_is_located_in_its_resource(fhir_server: Run, tmp_path: Path) -> None:
    fhir_server("import", write(tmp_path / "x.ndjson", PATIENT, {**OBSERVATION, "status": "odd"}), status=1)
    (told,) = errors(tmp_path)
    assert told["line"] == 2
    assert told["outcome"]["issue"][0]["expression"] == ["Observation.status"]


def test_one_bad_entry_of_a_collection_is_told_and_the_others_go_in(fhir_server: Run, tmp_path: Path) -> None:
    bad = {**PATIENT, "id": "p3", "unknown": True}
    fhir_server(
        "import",
        write(tmp_path / "x.json", bundle("collection", *({"resource": each} for each in (PATIENT, bad, OTHER)))),
        status=1,
    )
    (told,) = errors(tmp_path)
    assert told["entry"] == 1
    assert ids(exported(fhir_server, tmp_path)) == {"p1", "p2"}


def test_a_transaction_that_is_refused_leaves_nothing(fhir_server: Run, tmp_path: Path) -> None:
    request = {"method": "POST", "url": "Patient"}
    done = fhir_server(
        "import",
        write(
            tmp_path / "x.json",
            bundle(
                "transaction",
                {"resource": {"resourceType": "Patient"}, "request": request},
                {"resource": {"resourceType": "Patient", "gender": "zzz"}, "request": request},
            ),
        ),
        status=1,
    )
    assert "Imported 0 resources" in done.stdout
    assert "Patient" not in exported(fhir_server, tmp_path)


def test_a_history_bundle_is_refused_clearly(fhir_server: Run, tmp_path: Path) -> None:
    fhir_server("import", write(tmp_path / "x.json", bundle("history", {"resource": PATIENT})), status=1)
    assert "history" in errors(tmp_path)[0]["outcome"]["issue"][0]["diagnostics"]


def test_a_bundle_that_was_stored_comes_back_as_one(fhir_server: Run, tmp_path: Path) -> None:
    stored = {"id": "b1", **bundle("collection", {"resource": PATIENT})}
    kept = {"id": "p9", "resourceType": "Parameters", "parameter": [{"name": "a", "resource": stored}]}
    (tmp_path / "first").mkdir()
    write(tmp_path / "first" / "Bundle.ndjson", stored, kept)
    output = [{"type": "Bundle", "url": "Bundle.ndjson", "count": 2}]
    (tmp_path / "first" / "manifest.json").write_text(json.dumps({"output": output}))
    fhir_server("import", str(tmp_path / "first" / "*"))
    found = exported(fhir_server, tmp_path)
    assert set(found) == {"Bundle", "Parameters"}
    assert found["Bundle"][0]["entry"] == [{"resource": PATIENT}]


@pytest.mark.parametrize(
    ("pack", "name"), [(gzip.compress, "x.json.gz"), (bz2.compress, "x.json.bz2"), (gzip.compress, "x.json")]
)
def test_packed_files_are_unpacked_whatever_their_name(fhir_server: Run, tmp_path: Path, pack: Any, name: str) -> None:
    (tmp_path / name).write_bytes(pack(json.dumps(PATIENT).encode()))
    fhir_server("import", str(tmp_path / name))
    assert ids(exported(fhir_server, tmp_path)) == {"p1"}


def test_a_broken_archive_is_told(fhir_server: Run, tmp_path: Path) -> None:
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(json.dumps(PATIENT).encode())[:-9])
    write(tmp_path / "y.json", OTHER)
    fhir_server("import", str(tmp_path / "x.json.gz"), str(tmp_path / "y.json"), status=1)
    assert errors(tmp_path)[0]["file"].endswith("x.json.gz")
    assert ids(exported(fhir_server, tmp_path)) == {"p2"}


def test_a_path_that_names_nothing_is_a_usage_error(fhir_server: Run) -> None:
    assert "nowhere" in fhir_server("import", "nowhere", status=2).stderr


def test_several_processes_load_what_one_would(fhir_server: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for part in range(4):
        write(
            folder / f"{part}.ndjson",
            *({**PATIENT, "id": f"p{part}-{n}", "name": [{"text": "x" * 200}]} for n in range(150)),
        )
    assert "Imported 600 resources from 4 files" in fhir_server("import", str(folder), "--jobs", "2").stdout
    assert len(exported(fhir_server, tmp_path)["Patient"]) == 600
    assert "All is well: 600" in fhir_server("check").stdout


def test_export_takes_some_types_only(fhir_server: Run, tmp_path: Path) -> None:
    fhir_server("import", write(tmp_path / "x.ndjson", PATIENT, OBSERVATION))
    assert set(exported(fhir_server, tmp_path, "--type", "Observation")) == {"Observation"}
    fhir_server("export", "--out", str(tmp_path / "no"), "--type", "Observatio", status=2)


def test_export_takes_one_patients_compartment(fhir_server: Run, tmp_path: Path) -> None:
    elsewhere = {**OBSERVATION, "id": "o2", "subject": {"reference": "Patient/p2"}}
    fhir_server("import", write(tmp_path / "x.ndjson", PATIENT, OTHER, OBSERVATION, elsewhere))
    found = exported(fhir_server, tmp_path, "--patient", "p1")
    assert (ids(found), ids(found, "Observation")) == ({"p1"}, {"o1"})
    assert "p9" in fhir_server("export", "--out", str(tmp_path / "no"), "--patient", "p9", status=1).stderr


def test_export_takes_what_is_new(fhir_server: Run, tmp_path: Path) -> None:
    fhir_server("import", write(tmp_path / "x.ndjson", PATIENT))
    assert ids(exported(fhir_server, tmp_path, "--since", "2020-01-01")) == {"p1"}
    assert exported(fhir_server, tmp_path, "--since", "2100-01-01T00:00:00Z") == {}
    fhir_server("export", "--out", str(tmp_path / "no"), "--since", "yesterday", status=2)


def test_export_can_pack(fhir_server: Run, tmp_path: Path) -> None:
    fhir_server("import", write(tmp_path / "x.ndjson", PATIENT))
    assert ids(exported(fhir_server, tmp_path, "--gzip")) == {"p1"}


def test_a_large_binary_comes_out_whole(fhir_server: Run, tmp_path: Path) -> None:
    binary = {"resourceType": "Binary", "id": "b1", "contentType": "text/plain", "data": "QUJD" * 150_000}
    fhir_server("import", write(tmp_path / "x.ndjson", binary))
    (found,) = exported(fhir_server, tmp_path)["Binary"]
    assert found["data"] == binary["data"]


def test_reindex_leaves_an_index_that_checks(fhir_server: Run, tmp_path: Path) -> None:
    fhir_server("import", write(tmp_path / "x.ndjson", PATIENT, OBSERVATION))
    assert "Reindexed 2 resources" in fhir_server("reindex").stdout
    assert "All is well: 2" in fhir_server("check").stdout
    assert "Reindexed 1 resources" in fhir_server("reindex", "--type", "Patient").stdout
