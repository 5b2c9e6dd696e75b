"""Large contents as files named by their SHA-256: ``ab/abcd…``. Written beside, synced, then renamed into place."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from fhir_server.store.protocol import Blob

_CHUNK: Final = 256 * 1024
_ID: Final = re.compile(r"[0-9a-f]{64}")


class Blobs:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, id: str) -> Path:
        """KeyError when it cannot be the id of a blob."""
        if not _ID.fullmatch(id):
            raise KeyError(id)
        return self.folder / id[:2] / id

    async def put(self, chunks: AsyncIterator[bytes]) -> Blob:
        await asyncio.to_thread(self.folder.mkdir, parents=True, exist_ok=True)
        temporary = self.folder / f"new-{secrets.token_hex(8)}"
        digest, size = hashlib.sha256(), 0
        file = await asyncio.to_thread(open, temporary, "xb")
        try:
            async for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                await asyncio.to_thread(file.write, chunk)
            blob = Blob(digest.hexdigest(), size)
            await asyncio.to_thread(self._keep, file, temporary, self.path(blob.id))
            return blob
        except BaseException:
            file.close()
            temporary.unlink(missing_ok=True)
            raise

    def _keep(self, file: object, temporary: Path, final: Path) -> None:
        file.flush()  # type: ignore[attr-defined]
        os.fsync(file.fileno())  # type: ignore[attr-defined]
        file.close()  # type: ignore[attr-defined]
        made = not final.parent.exists()
        final.parent.mkdir(exist_ok=True)
        os.replace(temporary, final)
        _sync_folder(final.parent)
        if made:
            _sync_folder(self.folder)

    async def open(self, id: str, start: int, end: int | None) -> AsyncIterator[bytes]:
        try:
            file = await asyncio.to_thread(open, self.path(id), "rb")
        except FileNotFoundError:
            raise KeyError(id) from None
        try:
            await asyncio.to_thread(file.seek, start)
            left = None if end is None else max(0, end - start)
            while left is None or left > 0:
                chunk = await asyncio.to_thread(file.read, _CHUNK if left is None else min(_CHUNK, left))
                if not chunk:
                    return
                if left is not None:
                    left -= len(chunk)
                yield chunk
        finally:
            file.close()

    async def size(self, id: str) -> int | None:
        try:
            return (await asyncio.to_thread(self.path(id).stat)).st_size
        except (FileNotFoundError, KeyError):
            return None

    async def delete(self, id: str) -> None:
        try:
            await asyncio.to_thread(self.path(id).unlink)
        except (FileNotFoundError, KeyError):
            return


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
