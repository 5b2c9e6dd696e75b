"""A process of its own that writes to a store: ``python -m tests.store.worker FOLDER NAME load|conditional COUNT``.

load: transactions without end, each acknowledged on standard output. conditional: COUNT identifiers, each created only
when nobody has it yet."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from fhir_server.search.query import Everything, Query, Token
from fhir_server.store import open_store
from fhir_server.store.protocol import Commit, Delete, Guard, GuardFailed, Put, Store
from tests.store.building import entries, put


async def load(store: Store, name: str, lane: int) -> None:
    rng = random.Random(f"{name}-{lane}")
    number = 0
    while True:
        number += 1
        key = f"{name}-{lane}-{number}"
        of = entries(
            tokens=[("transaction", "s", key, 0), ("status", "t", rng.choice("abc"), 0)],
            strings=[("name", f"name{rng.randrange(50)}", "N", 0)],
            dates=[("when", number, number + 10, 0)],
            references=[("subject", "Patient", f"{key}-{(part + 1) % 3}", 0) for part in range(3)],
        )
        writes = [put("Patient", f"{key}-{part}", of) for part in range(3)]
        # Also changes and deletions of what is there.
        extra: list[Put | Delete] = [
            put("Group", f"{name}-{lane}", of),
            *([Delete("Group", f"{name}-{lane}-x")] if number % 3 else []),
        ]
        if not number % 3:
            extra.append(put("Group", f"{name}-{lane}-x", of))
        versions = await store.commit(Commit([*writes, *extra]))
        assert versions[3] is not None
        os.write(1, f"{key} {versions[3].version}\n".encode())


async def conditional(store: Store, name: str, count: int) -> int:
    won = 0
    for number in range(count):
        of = entries(tokens=[("identifier", "s", str(number), 0)])
        guard = Guard(Query(("Patient",), Token("identifier", "s", str(number))), frozenset())
        try:
            await store.commit(Commit([put("Patient", f"{name}-{number}", of)], [guard]))
            won += 1
        except GuardFailed:
            pass
        await store.add_counter("tried", 1)
        if not number % 10:
            await store.search(Query(("Patient",), Everything()), limit=5)
    return won


async def main(folder: str, name: str, what: str, count: str) -> None:
    store = await open_store(data_dir=Path(folder))
    if what == "load":
        await asyncio.gather(*(load(store, name, lane) for lane in range(int(count))))
    else:
        print(await conditional(store, name, int(count)), flush=True)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
