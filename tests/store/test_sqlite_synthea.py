"""The whole way on real data: what it costs on disk, and that the index is what extraction gives."""

from __future__ import annotations

import bz2
import json
from pathlib import Path

import pytest

from fhir_server.search.extract import extract_bytes
from fhir_server.search.query import Everything, Query
from fhir_server.store.protocol import Commit, Put
from fhir_server.store.sqlite import open_store

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "synthea"


@pytest.mark.skipif(not DATA.is_dir(), reason="the Synthea bundles are not here")
async def test_disk_use_is_within_three_times_the_raw_json(tmp_path: Path) -> None:
    store = await open_store(data_dir=tmp_path)
    raw = count = 0
    # The middle of the sizes; the largest bundles would take the whole suite's time.
    for path in sorted(DATA.glob("[1-9a-f]*.json.bz2"), key=lambda path: path.stat().st_size)[10:18]:
        resources = [entry["resource"] for entry in json.loads(bz2.decompress(path.read_bytes()))["entry"]]
        writes = []
        for resource in resources:
            body = json.dumps(resource, ensure_ascii=False, separators=(",", ":")).encode()
            raw += len(body)
            type = resource["resourceType"]
            writes.append(Put(type, resource["id"], lambda version, at, body=body: body, extract_bytes(type, body)))  # type: ignore[misc]
        await store.commit(Commit(writes))
        count += len(writes)
    assert await store.count(Query((), Everything())) == count
    assert await store.check(extract_bytes) == []
    await store.close()
    size = (tmp_path / "fhir.sqlite").stat().st_size
    print(f"{count} resources: {raw / 1e6:.1f} MB of JSON take {size / 1e6:.1f} MB, {size / raw:.2f} times")
    assert size < 3 * raw
