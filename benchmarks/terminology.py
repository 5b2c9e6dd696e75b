"""Terminology operations over HTTP against a bare Starlette route that gives answers of the same size.

python -m benchmarks.terminology [--seconds 4] [--clients 16]
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path
from urllib.parse import quote

from benchmarks import loader
from benchmarks.floors import bare_starlette
from benchmarks.servers import Running, fhir_server
from terminology.content import ICD10CM, rows

#: Work -> the share of the bare route's rate that it is to reach.
FLOORS = {
    "$lookup": 0.12,
    "$validate-code (CodeSystem)": 0.12,
    "$validate-code (ValueSet)": 0.12,
    "$expand by text": 0.04,
}
_TEXTS = (
    "heart failure", "diab", "type 2 diabetes", "fracture femur", "asthma", "pneumonia", "migraine", "low back pain",
    "hypertension", "chronic kidney", "depress", "burn hand", "otitis media", "malignant neoplasm breast", "copd",
    "atrial fib", "anemia", "gout", "sprain ankle", "cataract",
)  # fmt: skip


def requests(headers: dict[str, str]) -> dict[str, list[bytes]]:
    """Work -> prepared requests."""
    codes = [row[1] for row in rows("icd10cm.tsv.gz") if row[0] == "code"]
    random.Random(7).shuffle(codes)
    system = quote(ICD10CM, safe="")
    genders = quote("http://hl7.org/fhir/administrative-gender", safe="")
    gender = quote("http://hl7.org/fhir/ValueSet/administrative-gender", safe="")
    every = quote(f"{ICD10CM}?fhir_vs", safe="")

    def gets(paths: list[str]) -> list[bytes]:
        return [loader.raw_request("GET", f"/fhir/{path}", headers=headers) for path in paths]

    return {
        "$lookup": gets([f"CodeSystem/$lookup?system={system}&code={code}" for code in codes[:1000]]),
        "$validate-code (CodeSystem)": gets(
            [f"CodeSystem/$validate-code?url={system}&code={code}" for code in codes[:1000]]
        ),
        "$validate-code (ValueSet)": gets(
            [
                f"ValueSet/$validate-code?url={gender}&system={genders}&code={code}"
                for code in ("male", "female", "other", "unknown")
            ]
        ),
        "$expand by text": gets([f"ValueSet/$expand?url={every}&filter={quote(text)}&count=20" for text in _TEXTS]),
    }


def size_of(server: Running, request: bytes) -> int:
    path = request.split(b" ", 2)[1].decode()
    status, body = server.ask("GET", path)
    assert status == 200, (path, body[:500])
    return len(body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--clients", type=int, default=16)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, fhir_server(Path(folder), cpu=0) as (server, _):
        for work, prepared in requests(server.headers).items():
            size = size_of(server, prepared[0])
            for request in prepared[:20]:
                size_of(server, request)
            result = loader.run(server.port, prepared, clients=given.clients, seconds=given.seconds)
            with bare_starlette(0) as bare:
                floor_requests = [loader.raw_request("GET", f"/{size}")]
                floor = loader.run(bare.port, floor_requests, clients=given.clients, seconds=2)
            share = result.rate / floor.rate
            verdict = "" if share >= FLOORS[work] else f"  BELOW {FLOORS[work]:.0%}"
            print(
                f"{work:28} {result.rate:7.0f}/s  p95 {result.p95:6.1f} ms  {share:6.1%} of {floor.rate:.0f}/s"
                f"  ({size} bytes, {result.errors} errors){verdict}"
            )


if __name__ == "__main__":
    main()
