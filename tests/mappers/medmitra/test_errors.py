"""Bad input, on every route: the vendor's own form and status, never a list, never an OperationOutcome, never a 500."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from fhir_server.r4b.outcome import Unauthorized
from fhir_server.security.tokens import JwkSet, Tokens

from .conftest import CSV, FILES, FORM, SECRET, Site, token

UUID = "123e4567-e89b-12d3-a456-426614174000"
ROUTES = [
    ("POST", "/cases/create_case"),
    ("POST", "/cases"),
    ("POST", "/api/v1/cases"),
    ("GET", "/cases/all_cases"),
    ("GET", "/cases/cases"),
    ("GET", "/cases"),
    ("GET", f"/cases/cases/{UUID}"),
    ("GET", f"/cases/{UUID}"),
    ("PUT", f"/cases/cases/{UUID}"),
    ("PUT", f"/cases/{UUID}"),
    ("PATCH", f"/cases/{UUID}"),
    ("DELETE", f"/cases/cases/{UUID}"),
    ("DELETE", f"/cases/{UUID}"),
    ("POST", f"/cases/analyze/{UUID}"),
    ("POST", "/cases/upload"),
    ("GET", f"/cases/files/{UUID}"),
    ("GET", f"/cases/file/{UUID}"),
    ("DELETE", f"/cases/file/{UUID}"),
]
Form = dict[str, Any]


def refused(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"detail"}
    assert isinstance(body["detail"], str)
    return str(body["detail"])


def form(**changes: Any) -> list[tuple[str, Any]]:
    return [(name, (None, value)) for name, value in (FORM | changes).items() if value is not None]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_without_a_token_401(site: Site, method: str, path: str) -> None:
    refused(await site.client.request(method, path, content=b"not json"), 401)


BAD_TOKENS = {
    "garbage": "zzz",
    "three-parts": "a.b.c",
    "unknown-key": "fsk_000000000000_xyz",
    "expired": token(exp=int(time.time()) - 10),
    "no-expiry": token(exp=None),
    "no-audience": token(aud=None),
    "other-audience": token(aud="other"),
    "no-subject": token(sub=None),
    "empty-subject": token(sub=" "),
    "not-yet": token(nbf=int(time.time()) + 600),
    "other-secret": jwt.encode({"sub": "asha", "aud": "authenticated", "exp": 4e9}, b"x" * 40, algorithm="HS256"),
    "unsigned": jwt.encode({"sub": "asha", "aud": "authenticated", "exp": 4e9}, None, algorithm="none"),
    "of-this-server-but-unknown": token(iss="fhir-server", jti="000000000000"),
    "cut-off": token()[:-4],
    "huge": "a." + "b" * 5000 + ".c",
}


@pytest.mark.parametrize("bad", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
async def test_with_a_bad_token_401(site: Site, bad: str) -> None:
    for method, path in (("GET", "/cases"), ("POST", "/cases/create_case")):
        refused(await site.client.request(method, path, headers={"Authorization": f"Bearer {bad}"}), 401)


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer", "Bearer  ", "", "zzz"])
async def test_with_another_kind_of_authorization_401(site: Site, header: str) -> None:
    refused(await site.client.get("/cases", headers={"Authorization": header}), 401)


async def test_another_dialects_key_and_a_readers_key_are_401(site: Site) -> None:
    for options in ({"dialect": "sporo"}, {"scopes": ("system/*.rs",)}, {"dialect": "medmitra", "active": False}):
        _, text = await site.keys.create(name="x", **options)  # type: ignore[arg-type]
        refused(await site.client.get("/cases", headers={"Authorization": f"Bearer {text}"}), 401)


async def test_a_minted_token_is_good_until_it_is_revoked(site: Site) -> None:
    key, _ = await site.keys.create(name="Asha", dialect="medmitra", subject="asha")
    text = Tokens(SECRET, "authenticated").mint("asha", id=key.id, expires=time.time() + 60, now=time.time())
    headers = {"Authorization": f"Bearer {text}"}
    assert (await site.client.get("/cases", headers=headers)).status_code == 200
    await site.keys.revoke(key.id)
    refused(await site.client.get("/cases", headers=headers), 401)


@pytest.mark.parametrize("path", ["/cases/cases/{}", "/cases/{}", "/cases/files/{}"])
@pytest.mark.parametrize("id", [UUID, "abc123", "a%20b", "%00", "x" * 300, "é", "%ff"])
async def test_an_unknown_or_malformed_case_is_404(site: Site, path: str, id: str) -> None:
    assert "not found" in refused(await site.call("GET", path.format(id)), 404)


async def test_an_unknown_case_is_told_in_the_vendors_words(site: Site) -> None:
    assert refused(await site.call("GET", "/cases/cases/abc123"), 404) == "Case with ID abc123 not found"
    assert refused(await site.call("DELETE", "/cases/cases/abc123"), 404) == "Case not found"
    assert refused(await site.call("GET", "/cases/file/abc123"), 404) == "File not found"
    assert refused(await site.call("DELETE", "/cases/file/abc123"), 404) == "File not found"
    refused(await site.call("PUT", "/cases/cases/abc123", json={"patient_age": 1}), 404)
    refused(await site.call("POST", "/cases/analyze/abc123"), 404)


async def test_another_kind_of_task_or_document_is_404(site: Site) -> None:
    task = await site.save({"resourceType": "Task", "status": "requested", "intent": "order", "code": {"text": "x"}})
    document = await site.save(
        {"resourceType": "DocumentReference", "status": "current", "content": [{"attachment": {"title": "x"}}]}
    )
    refused(await site.call("GET", f"/cases/{task['id']}"), 404)
    refused(await site.call("GET", f"/cases/file/{document['id']}"), 404)


@pytest.mark.parametrize("path", ["/cases/a/b/c", "/cases/analyze", "/cases/file/a/b", "/api/v1/cases/a/b"])
async def test_an_unknown_path_is_404(site: Site, path: str) -> None:
    refused(
        await site.call("POST" if path.endswith("analyze") else "GET", path), 405 if path.endswith("analyze") else 404
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/cases/create_case"),
        ("DELETE", "/cases"),
        ("POST", f"/cases/files/{UUID}"),
        ("PUT", f"/cases/file/{UUID}"),
    ],
)
async def test_a_wrong_method_is_405_or_no_such_case(site: Site, method: str, path: str) -> None:
    response = await site.call(method, path, json={})
    refused(response, 404 if path == "/cases/create_case" else 405)


@pytest.mark.parametrize("missing", ["user_id", "patient_name", "patient_age", "patient_gender"])
async def test_a_missing_field_is_400(site: Site, missing: str) -> None:
    assert missing in refused(await site.call("POST", "/cases", files=form(**{missing: None})), 400)


@pytest.mark.parametrize(
    "change",
    [
        {"user_id": ""},
        {"patient_name": " "},
        {"patient_name": "x" * 300},
        {"patient_name": "a\0b"},
        {"patient_age": "old"},
        {"patient_age": ""},
        {"patient_age": "-1"},
        {"patient_age": "151"},
        {"patient_age": "4.5"},
        {"patient_age": "٤٥"},
        {"patient_age": "9" * 400},
        {"patient_gender": ""},
        {"patient_gender": "7"},
        {"patient_gender": "x" * 60},
        {"case_summary": "x" * 200_000},
    ],
    ids=lambda change: f"{next(iter(change))}-{str(next(iter(change.values())))[:8]!r}",
)
async def test_bad_input_is_400_with_one_sentence(site: Site, change: dict[str, str]) -> None:
    assert next(iter(change)) in refused(await site.call("POST", "/cases/create_case", files=form(**change)), 400)
    assert (await site.get("/cases")) == {"cases": []}


BAD_FILES = {
    "empty": ("lab_files", ("a.csv", b"", "text/csv")),
    "too-large": ("lab_files", ("a.csv", b"a,b\n" * 3000, "text/csv")),
    "too-large-radiology": ("radiology_files", ("a.png", FILES[1][1][1] + b"\0" * 20_000, "image/png")),
    "program": ("lab_files", ("a.pdf", b"\x7fELF" + bytes(200), "application/pdf")),
    "archive": ("lab_files", ("a.zip", b"PK\x03\x04" + bytes(100), "application/zip")),
    "audio": ("radiology_files", ("a.wav", b"RIFF\0\0\0\0WAVEfmt " + bytes(50), "audio/wav")),
    "dicom-as-lab": ("lab_files", ("a.dcm", bytes(128) + b"DICM" + bytes(50), "application/dicom")),
    "other-field": ("documents", ("a.csv", CSV, "text/csv")),
}


@pytest.mark.parametrize("file", BAD_FILES.values(), ids=BAD_FILES.keys())
async def test_a_bad_file_is_400_and_makes_no_case(site: Site, file: Any) -> None:
    refused(await site.call("POST", "/cases/create_case", files=[*form(), file]), 400)
    assert (await site.get("/cases")) == {"cases": []}


async def test_a_file_of_the_largest_size_is_taken(site: Site) -> None:
    await site.create(files=[("lab_files", ("a.csv", b"a" * 10_000, "text/csv"))])


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "C:\\x\\y.csv", "a\r\nb.csv", "x" * 600 + ".csv", "\u202ecsv.exe", "<script>.csv"]
)
async def test_a_hostile_file_name_is_made_harmless(site: Site, name: str) -> None:
    made = await site.create(files=[("lab_files", (name, CSV, "text/csv"))])
    shown = made["uploaded_files"][0]["file_name"]
    assert shown
    assert len(shown) <= 200
    assert not set(shown) & set("/\\\r\n\u202e")


@pytest.mark.parametrize("path", ["/cases/create_case", "/cases", "/cases/upload"])
@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("application/json", b"{}"),
        ("text/plain", b"x"),
        ("application/x-www-form-urlencoded", b"patient_name=a"),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=abc", b"not a form"),
        ("multipart/form-data; boundary=abc", b"--abc\r\nContent-Disposition: form-data\r\n\r\nx"),
        ("", b""),
    ],
)
async def test_a_body_that_is_no_such_form_is_400(site: Site, path: str, media: str, body: bytes) -> None:
    refused(await site.call("POST", path, content=body, headers={"Content-Type": media}), 400)


async def test_a_form_of_ten_thousand_fields_is_400(site: Site) -> None:
    fields = [*form(), *((f"f{n}", (None, "x")) for n in range(10_000))]
    refused(await site.call("POST", "/cases/create_case", files=fields), 400)


async def test_a_huge_request_is_400(site: Site) -> None:
    headers = {"Content-Length": str(10 << 30), "Content-Type": "multipart/form-data; boundary=a"}
    refused(await site.call("POST", "/cases/create_case", content=b"x", headers=headers), 400)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b'"x"',
        b"null",
        b"\xff\xfe",
        b"[" * 9999,
        b'{"patient_age": 1' + b" " * (5 << 20) + b"}",
    ],
    ids=lambda body: str(body[:10]),
)
async def test_a_change_that_is_no_json_object_is_400(site: Site, body: bytes) -> None:
    case_id = (await site.create())["case"]["case_id"]
    headers = {"Content-Type": "application/json"}
    refused(await site.call("PUT", f"/cases/{case_id}", content=body, headers=headers), 400)


@pytest.mark.parametrize(
    "change",
    [
        {"patient_name": ""},
        {"patient_name": 7},
        {"patient_name": ["a"]},
        {"patient_age": "old"},
        {"patient_age": 151},
        {"patient_age": True},
        {"patient_age": 1.5},
        {"patient_gender": 1},
        {"case_summary": {}},
        {"status": "done"},
        {"status": 1},
        {"patient_name": "\ud800"},
    ],
    ids=str,
)
async def test_a_bad_change_is_400_and_changes_nothing(site: Site, change: dict[str, Any]) -> None:
    made = (await site.create())["case"]
    assert next(iter(change)) in refused(
        await site.call("PUT", f"/cases/{made['case_id']}", content=json.dumps(change)), 400
    )
    assert (await site.get(f"/cases/{made['case_id']}"))["case"] == made


async def test_a_wrong_content_type_of_a_change_is_400(site: Site) -> None:
    case_id = (await site.create())["case"]["case_id"]
    for method, path in (("PUT", f"/cases/{case_id}"), ("POST", f"/cases/analyze/{case_id}")):
        refused(await site.call(method, path, content=b"{}", headers={"Content-Type": "text/plain"}), 400)


@pytest.mark.parametrize(
    "results",
    [
        7,
        {"zzz": 1},
        {"soap_note": "text"},
        {"soap_note": {"confidence_score": 7}},
        {"soap_note": {"confidence_score": "0.5"}},
        {"primary_diagnosis": {}},
        {"primary_diagnosis": {"primary_diagnosis": "x", "icd_code": "zzz"}},
    ],
    ids=str,
)
async def test_results_in_another_form_are_400(site: Site, results: Any) -> None:
    case_id = (await site.create())["case"]["case_id"]
    refused(await site.call("POST", f"/cases/analyze/{case_id}", json={"analysis_results": results}), 400)


@pytest.mark.parametrize(
    "query",
    [
        {"page": "0"},
        {"page": "x"},
        {"limit": "0"},
        {"limit": "1001"},
        {"status": "done"},
        {"start_date": "yesterday"},
        {"end_date": "2025-02-30"},
        {"min_age": "-1"},
        {"max_age": "x"},
        {"sort_by": "zzz"},
        {"sort_order": "up"},
    ],
    ids=str,
)
async def test_a_bad_query_is_400(site: Site, query: dict[str, str]) -> None:
    for path in ("/cases", "/cases/all_cases"):
        assert next(iter(query)) in refused(await site.call("GET", path, params=query), 400)


async def test_an_upload_without_a_case_a_file_or_with_a_bad_category_is_400(site: Site) -> None:
    case_id = (await site.create())["case"]["case_id"]
    file = ("file", ("a.csv", CSV, "text/csv"))
    case = ("case_id", (None, case_id))
    for parts in (
        [file],
        [case],
        [case, ("category", (None, "x")), file],
        [case, ("other", ("a.csv", CSV, "text/csv"))],
    ):
        refused(await site.call("POST", "/cases/upload", files=parts), 400)
    refused(await site.call("POST", "/cases/upload", files=[("case_id", (None, "zzz")), file]), 404)


async def test_a_break_inside_is_500_without_its_words(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    case_id = (await site.create())["case"]["case_id"]

    async def breaks(*_: object, **__: object) -> None:
        raise RuntimeError("John Smith")

    monkeypatch.setattr(site.hub, "read_resource", breaks)
    assert "Smith" not in refused(await site.call("GET", f"/cases/{case_id}"), 500)


async def test_the_api_says_that_it_runs(site: Site) -> None:
    response = await site.client.get("/")
    assert (response.status_code, response.json()) == (200, {"message": "MedMitra Backend API is running!"})
    refused(await site.client.post("/"), 405)


# Tokens of an identity provider


def jwks_of(key: rsa.RSAPrivateKey, kid: str = "k1") -> dict[str, Any]:
    public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {"keys": [public | {"kid": kid, "use": "sig"}]}


@pytest.fixture(scope="module")
def signer() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def signed(key: rsa.RSAPrivateKey, kid: str | None = "k1", **claims: Any) -> str:
    given = {"sub": "asha", "aud": "authenticated", "exp": int(time.time()) + 60} | claims
    return jwt.encode(given, key, algorithm="RS256", headers={"kid": kid} if kid else None)


async def test_a_key_of_the_jwk_set_is_good(signer: rsa.RSAPrivateKey, tmp_path: Any) -> None:
    source = tmp_path / "jwks.json"
    source.write_text(json.dumps(jwks_of(signer)))
    tokens = Tokens(SECRET, "authenticated", jwks=JwkSet(str(source)))
    assert (await tokens.authenticate(signed(signer))).subject == "asha"
    assert (await tokens.authenticate(signed(signer, kid=None))).subject == "asha"
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for bad in (signed(other), signed(signer, kid="k2"), signed(signer, aud="x"), signed(signer, exp=1)):
        with pytest.raises(Unauthorized):
            await tokens.authenticate(bad)
    # a public key is no secret: a token that is signed with its text is not good
    with pytest.raises(Unauthorized):
        await tokens.authenticate(signed(signer, iss="fhir-server"))


async def test_a_jwk_set_that_changes_is_read_again(signer: rsa.RSAPrivateKey, tmp_path: Any) -> None:
    source = tmp_path / "jwks.json"
    source.write_text(json.dumps({"keys": []}))
    tokens = Tokens(SECRET, "authenticated", jwks=JwkSet(str(source)))
    with pytest.raises(Unauthorized):
        await tokens.authenticate(signed(signer))
    source.write_text(json.dumps(jwks_of(signer)))
    os.utime(source, ns=(1, 1))
    assert (await tokens.authenticate(signed(signer))).subject == "asha"


async def test_a_jwk_set_that_cannot_be_read_lets_nobody_in(signer: rsa.RSAPrivateKey) -> None:
    for source in ("/nowhere/jwks.json", "http://127.0.0.1:9/jwks.json"):
        with pytest.raises(Unauthorized):
            await Tokens(SECRET, "authenticated", jwks=JwkSet(source)).authenticate(signed(signer))


async def test_an_issuer_can_be_asked_for() -> None:
    tokens = Tokens(SECRET, "authenticated", issuer="https://id.test")
    assert (await tokens.authenticate(token(iss="https://id.test"))).subject == "asha"
    for bad in (token(), token(iss="https://other.test")):
        with pytest.raises(Unauthorized):
            await tokens.authenticate(bad)
