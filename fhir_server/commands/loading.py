"""What an import does with one document: a Bundle of any kind that can be loaded, or a single resource."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from fhir_server.interactions.values import BundleEntry
from fhir_server.r4b.outcome import BadRequest, FhirError, Issue, Unprocessable, operation_outcome
from fhir_server.security.caller import SYSTEM

if TYPE_CHECKING:
    from fhir_server.hub import Hub

_REFUSED: Final = {
    "history": "A history Bundle is a record of the past, not something to write; import a collection instead.",
    "message": "A message Bundle asks for processing; send it to a server that has $process-message.",
    "transaction-response": "This is the answer to a transaction, not a transaction.",
    "batch-response": "This is the answer to a batch, not a batch.",
}
_ENTRY: Final = re.compile(r"Bundle\.entry\[(\d+)\]")
_ABSOLUTE_LOCAL: Final = re.compile(r"^urn:(uuid|oid):")


class _Resource(msgspec.Struct):
    resourceType: str = ""
    id: str | None = None


class _Search(msgspec.Struct):
    mode: str = ""


class _Entry(msgspec.Struct):
    fullUrl: str | None = None
    resource: msgspec.Raw = msgspec.Raw()
    search: _Search | None = None


class _Bundle(msgspec.Struct):
    resourceType: str = ""
    type: str = ""
    entry: list[_Entry] = []


class _Response(msgspec.Struct):
    status: str = ""
    outcome: Any = None


class _Answer(msgspec.Struct):
    response: _Response | None = None


class _Answers(msgspec.Struct):
    entry: list[_Answer] = []


_resource = msgspec.json.Decoder(_Resource)
_bundle = msgspec.json.Decoder(_Bundle)
_answers = msgspec.json.Decoder(_Answers)


@dataclass(slots=True)
class Failure:
    """outcome: OperationOutcome. entry: position in the Bundle from 0; line: in the NDJSON file from 1."""

    outcome: dict[str, Any]
    entry: int | None = None
    line: int | None = None


@dataclass(slots=True)
class Loaded:
    """count: resources that are in the store now. again: nothing was written and a later try may go better."""

    count: int = 0
    failures: list[Failure] = field(default_factory=list)
    again: bool = False


async def load_document(hub: Hub, raw: bytes) -> Loaded:
    """Write one JSON document. Never raises for what is wrong with the document."""
    raw = raw.strip().removeprefix(b"\xef\xbb\xbf")
    try:
        head = _resource.decode(raw)
        if head.resourceType != "Bundle":
            return await _put_all(hub, [_entry_of(raw, head)], [Failure({})])
        bundle = _bundle.decode(raw)
    except msgspec.MsgspecError:
        return Loaded(failures=[Failure(_why(raw))])
    if bundle.type == "transaction":
        return await _transaction(hub, raw)
    if bundle.type == "batch":
        return await _batch(hub, raw)
    if bundle.type in _REFUSED or bundle.type not in ("collection", "document", "searchset"):
        words = _REFUSED.get(bundle.type, f"'{bundle.type}' is not a type of Bundle that can be imported.")
        return Loaded(failures=[Failure(operation_outcome([Issue("error", "not-supported", words, "Bundle.type")]))])
    return await _collection(hub, bundle)


async def load_lines(hub: Hub, lines: Sequence[tuple[int, bytes]], *, exported: bool = False) -> Loaded:
    """Write lines of an NDJSON file: resources many at a time, Bundles one by one. exported: a Bundle is a resource
    like any other."""
    result = Loaded()
    entries: list[BundleEntry] = []
    places: list[Failure] = []
    seen: set[str] = set()

    async def write() -> None:
        _add(result, await _put_all(hub, entries, places))
        entries.clear()
        places.clear()
        seen.clear()

    for number, line in lines:
        try:
            head = _resource.decode(line)
        except msgspec.MsgspecError:
            result.failures.append(Failure(_why(line), line=number))
            continue
        if head.resourceType == "Bundle" and not exported:
            await write()
            loaded = await load_document(hub, line)
            for failure in loaded.failures:
                failure.line = number
            _add(result, loaded)
            continue
        entry = _entry_of(line, head)
        if entry.method == "PUT" and entry.url in seen:
            # The same resource twice in one file: the later line is the later version.
            await write()
        seen.add(entry.url)
        entries.append(entry)
        places.append(Failure({}, line=number))
    await write()
    result.failures.sort(key=lambda failure: failure.line or 0)
    return result


def _add(total: Loaded, part: Loaded) -> None:
    total.count += part.count
    total.failures += part.failures


def _entry_of(raw: bytes, head: _Resource, full_url: str | None = None) -> BundleEntry:
    if head.id:
        return BundleEntry("PUT", f"{head.resourceType}/{head.id}", raw, full_url)
    return BundleEntry("POST", head.resourceType, raw, full_url)


async def _collection(hub: Hub, bundle: _Bundle) -> Loaded:
    entries: list[BundleEntry] = []
    places: list[Failure] = []
    for index, entry in enumerate(bundle.entry):
        raw = bytes(entry.resource)
        if raw in (b"", b"null") or (entry.search is not None and entry.search.mode == "outcome"):
            continue
        local = entry.fullUrl if entry.fullUrl and _ABSOLUTE_LOCAL.match(entry.fullUrl) else None
        entries.append(_entry_of(raw, _resource.decode(raw), local))
        places.append(Failure({}, entry=index))
    return await _put_all(hub, entries, places)


async def _put_all(hub: Hub, entries: Sequence[BundleEntry], places: Sequence[Failure]) -> Loaded:
    """Write as many of the entries as can be, in as few commits as can be; `places` says where each came from."""
    result = Loaded()
    left = [(entry, place) for entry, place in zip(entries, places, strict=True)]
    while left:
        try:
            await hub.transact_entries(SYSTEM, [entry for entry, _ in left])
        except FhirError as error:
            if len(left) == 1:
                entry, place = left[0]
                place.outcome = operation_outcome(_placed(error.issues, entry, place))
                result.failures.append(place)
                return result
            bad = _by_entry(error)
            if bad:
                for index, issues in bad.items():
                    if index < len(left):
                        entry, place = left[index]
                        place.outcome = operation_outcome(_placed(issues, entry, place))
                        result.failures.append(place)
                left = [pair for index, pair in enumerate(left) if index not in bad]
                continue
            middle = len(left) // 2
            for half in (left[:middle], left[middle:]):
                _add(result, await _put_all(hub, [entry for entry, _ in half], [place for _, place in half]))
            return result
        result.count += len(left)
        break
    return result


def _placed(issues: Iterable[Issue], entry: BundleEntry, place: Failure) -> list[Issue]:
    """The issues, located where the resource was read: in its Bundle, or by itself when it was a line."""
    where = entry.url.partition("/")[0] if place.entry is None else f"Bundle.entry[{place.entry}]"
    found = []
    for issue in issues:
        match = _ENTRY.match(issue.expression)
        inside = issue.expression[match.end() :] if match is not None else ""
        if place.entry is None:
            inside = inside.removeprefix(".resource")
        found.append(issue if match is None else replace(issue, expression=where + inside))
    return found


def _by_entry(error: FhirError) -> dict[int, list[Issue]]:
    """The issues of a refused transaction by the entry they are about; {} when one of them names none."""
    found: dict[int, list[Issue]] = {}
    for issue in error.issues:
        match = _ENTRY.match(issue.expression)
        if match is not None:
            found.setdefault(int(match[1]), []).append(issue)
        elif issue.severity in ("error", "fatal"):
            return {}
    return {index: issues for index, issues in found.items() if any(i.severity in ("error", "fatal") for i in issues)}


async def _transaction(hub: Hub, raw: bytes) -> Loaded:
    try:
        results = await hub.transact_bundle(SYSTEM, raw)
    except FhirError as error:
        named = sorted(_by_entry(error))
        again = not isinstance(error, BadRequest | Unprocessable) or any(
            issue.code in ("not-found", "multiple-matches", "conflict") for issue in error.issues
        )
        return Loaded(failures=[Failure(error.outcome(), named[0] if named else None)], again=again)
    return Loaded(sum(result.version is not None and result.version.body is not None for result in results))


async def _batch(hub: Hub, raw: bytes) -> Loaded:
    try:
        answer = _answers.decode(await hub.bundle(SYSTEM, raw))
    except FhirError as error:
        return Loaded(failures=[Failure(error.outcome())])
    result = Loaded()
    for index, entry in enumerate(answer.entry):
        response = entry.response or _Response()
        if response.status[:1] == "2":
            result.count += 1
        else:
            outcome = response.outcome or operation_outcome([Issue("error", "processing", f"HTTP {response.status}")])
            result.failures.append(Failure(outcome, entry=index))
    return result


def _why(raw: bytes) -> dict[str, Any]:
    """The OperationOutcome for bytes that are not a JSON document of FHIR."""
    from fhir_server.r4b import codec

    try:
        codec.parse(raw)
    except FhirError as error:
        return error.outcome()
    return operation_outcome([Issue("error", "structure", "This is JSON, but its shape is not a FHIR resource's.")])
