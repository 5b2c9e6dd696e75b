"""Studies linked into the store: Instances -> ImagingStudy, Patient and Endpoint, safe when they arrive in parallel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fhir_server.dicom import matching, study, uids
from fhir_server.dicom.headers import Instance, Unlinkable, read_header
from fhir_server.jobs.names import Json, Names
from fhir_server.jobs.runtime import put, same, version_of
from fhir_server.r4b.outcome import Conflict, FhirError, PreconditionFailed
from fhir_server.security.caller import SYSTEM

if TYPE_CHECKING:
    from fhir_server.hub import Hub

_ROUNDS: Final = 30
_CHUNK: Final = 512
_AT_ONCE: Final = 16
_CONNECTION: Final = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
_PAYLOAD: Final = "http://terminology.hl7.org/CodeSystem/endpoint-payload-type"


@dataclass(frozen=True, slots=True)
class Options:
    """endpoint: DICOMweb base URL (WADO-RS) where the pixels are, '' when nowhere on the network. zone: the site's time
    zone, for files that say none."""

    endpoint: str = ""
    zone: tzinfo | None = None


@dataclass(frozen=True, slots=True)
class Linked:
    """A study after it was linked. id: of its ImagingStudy; written: False when nothing was new."""

    uid: str
    id: str
    subject: str
    written: bool
    created: bool


@dataclass(slots=True)
class Summary:
    """What became of many files: how many were linked, in which studies; refused ones with the reason."""

    files: int = 0
    studies: dict[str, Linked] = field(default_factory=dict)
    refused: list[tuple[Path, str]] = field(default_factory=list)


def endpoint_id(url: str) -> str:
    return matching.digest(f"Endpoint/{url}")


def endpoint(url: str) -> Json:
    """The Endpoint resource of a DICOMweb server. R4B Endpoint."""
    return {
        "resourceType": "Endpoint",
        "id": endpoint_id(url),
        "status": "active",
        "connectionType": {"system": _CONNECTION, "code": "dicom-wado-rs"},
        "name": "DICOMweb",
        "payloadType": [{"coding": [{"system": _PAYLOAD, "code": "any"}], "text": "DICOM"}],
        "payloadMimeType": ["application/dicom"],
        "address": url,
    }


class Linker:
    """Links instances into one hub. Those that arrive for a study while it is being written are written together."""

    def __init__(self, hub: Hub, options: Options | None = None) -> None:
        self._hub, self._options = hub, options or Options()
        self._names = Names(hub.base_url)
        self._waiting: dict[str, list[tuple[Sequence[Instance], asyncio.Future[Linked]]]] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._has_endpoint = False
        self._writing: set[asyncio.Task[None]] = set()

    async def link(self, instances: Iterable[Instance]) -> list[Linked]:
        """Each study of the instances once, made or extended. Raises what the hub raises."""
        grouped: dict[str, list[Instance]] = {}
        for instance in instances:
            grouped.setdefault(instance.study_uid, []).append(instance)
        await self._publish_endpoint()
        return list(await asyncio.gather(*(self._queued(uid, its) for uid, its in grouped.items())))

    async def _publish_endpoint(self) -> None:
        url = self._options.endpoint
        if url and not self._has_endpoint:
            if (await self._hub.store.read("Endpoint", endpoint_id(url))) is None:
                await self._hub.transact(SYSTEM, [put(endpoint(url))])
            self._has_endpoint = True

    async def _queued(self, uid: str, instances: Sequence[Instance]) -> Linked:
        future: asyncio.Future[Linked] = asyncio.get_running_loop().create_future()
        first = uid not in self._waiting
        self._waiting.setdefault(uid, []).append((instances, future))
        if first:
            # a task of its own: whoever comes first may go away while others rely on it
            task = asyncio.create_task(self._write(uid))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)
        return await future

    async def _write(self, uid: str) -> None:
        async with self._hub.lock("dicom-study", uid), self._slots:
            await self._write_waiting(uid)

    async def _write_waiting(self, uid: str) -> None:
        """Everything that waits for this study, in one write; who comes later finds nobody waiting and queues anew."""
        waiting = self._waiting.pop(uid)
        try:
            linked = await self._study(uid, [each for instances, _ in waiting for each in instances])
        except BaseException as error:
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # who waits sees it; a future nobody waits for any more is no reason for noise
            if not isinstance(error, Exception):
                raise
        else:
            for _, future in waiting:
                if not future.done():
                    future.set_result(linked)

    async def _study(self, uid: str, instances: Sequence[Instance]) -> Linked:
        for attempt in range(_ROUNDS):
            try:
                return await self._once(uid, instances)
            except (PreconditionFailed, Conflict):
                await asyncio.sleep(0.002 * attempt)
        raise Conflict("Too many others write to the same study just now; try again.")

    async def _once(self, uid: str, instances: Sequence[Instance]) -> Linked:
        hub = self._hub
        found = await hub.find(SYSTEM, "ImagingStudy", uids.criteria(uid), limit=10)
        there = next((each for each in found if each.get("status") != "entered-in-error"), None)
        if there is None:
            patient_id = await matching.patient_for(hub, instances)
            before: Json = {
                "resourceType": "ImagingStudy",
                "id": matching.digest(f"ImagingStudy/{uid}"),
                "status": "registered",
                "subject": {"reference": f"Patient/{patient_id}"},
            }
        else:
            before = there
            patient_id = str((there.get("subject") or {}).get("reference", "")).rpartition("/")[2]
        after = study.merged(before, instances, self._names, zone=self._options.zone)
        await self._ordered(after, instances)
        if self._options.endpoint:
            reference = {"reference": f"Endpoint/{endpoint_id(self._options.endpoint)}"}
            if reference not in (after.get("endpoint") or ()):
                after["endpoint"] = [*(after.get("endpoint") or ()), reference]
        writes = await self._patient(patient_id, instances)
        if there is None or not same(there, after):
            writes.append(put(after, if_match=version_of(there) if there is not None else 0))
        if writes:
            await hub.transact(SYSTEM, writes)
        return Linked(uid, str(after["id"]), f"Patient/{patient_id}", bool(writes), there is None)

    async def _ordered(self, after: Json, instances: Sequence[Instance]) -> None:
        if after.get("basedOn"):
            return
        subject = str((after.get("subject") or {}).get("reference", ""))
        order = await matching.order_for(self._hub, instances, subject)
        if order is not None:
            after["basedOn"] = [{"reference": order}]

    async def _patient(self, id: str, instances: Sequence[Instance]) -> list[Json]:
        """The write of a Patient that files have made; nobody else's is touched."""
        if id != matching.own_id(matching.representative(instances)):
            return []
        version = await self._hub.store.read("Patient", id)
        there = None
        if version is not None and version.body is not None:
            there = await self._hub.read_resource(SYSTEM, "Patient", id)
        after = matching.described(there, instances, id)
        if there is not None and same(there, after):
            return []
        return [put(after, if_match=version_of(there) if there is not None else 0)]


async def link(hub: Hub, instances: Iterable[Instance], options: Options | None = None) -> list[Linked]:
    """Each study of the instances, made or extended."""
    return await Linker(hub, options).link(instances)


async def link_files(
    hub: Hub,
    paths: Iterable[Path],
    options: Options | None = None,
    *,
    progress: Callable[[int], Awaitable[None] | None] | None = None,
) -> Summary:
    """Link DICOM files (several hundred a second): their headers are read in a thread, some hundred files at a time are
    written together. progress(count) is called with the number of files that are done."""
    linker, summary = Linker(hub, options), Summary()
    chunk: list[Path] = []

    async def flush() -> None:
        read = await asyncio.to_thread(_read_all, chunk)
        chunk.clear()
        instances = []
        for path, result in read:
            if isinstance(result, Instance):
                instances.append((path, result))
            else:
                summary.refused.append((path, result))
        await _flush_instances(linker, instances, summary)
        if progress is not None:
            waiting = progress(summary.files + len(summary.refused))
            if waiting is not None:
                await waiting

    for path in paths:
        chunk.append(path)
        if len(chunk) >= _CHUNK:
            await flush()
    if chunk:
        await flush()
    return summary


async def _flush_instances(linker: Linker, found: Sequence[tuple[Path, Instance]], summary: Summary) -> None:
    by_study: dict[str, list[tuple[Path, Instance]]] = {}
    for path, instance in found:
        by_study.setdefault(instance.study_uid, []).append((path, instance))

    async def one(its: Sequence[tuple[Path, Instance]]) -> None:
        try:
            for linked in await linker.link([instance for _, instance in its]):
                before: Linked | None = summary.studies.get(linked.uid)
                summary.studies[linked.uid] = before if before is not None and before.created else linked
            summary.files += len(its)
        except FhirError as error:
            summary.refused += [(path, str(error)) for path, _ in its]

    await asyncio.gather(*(one(its) for its in by_study.values()))


def _read_all(paths: Sequence[Path]) -> list[tuple[Path, Instance | str]]:
    found: list[tuple[Path, Instance | str]] = []
    for path in paths:
        try:
            found.append((path, read_header(path)))
        except Unlinkable as error:
            found.append((path, str(error)))
        except OSError as error:
            found.append((path, f"The file cannot be read: {error.strerror}."))
    return found


def as_json(linked: Linked) -> Mapping[str, Any]:
    """One study of an answer."""
    return {
        "studyInstanceUid": linked.uid,
        "imagingStudy": f"ImagingStudy/{linked.id}",
        "patient": linked.subject,
        "created": linked.created,
    }
