"""A batch or transaction Bundle as entries, each resource a slice of the client's bytes. R4B 3.1.0.11, Bundle.

The Bundle around the resources is checked as strictly as any resource, but each resource is parsed once only, later.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from fhir_server.interactions.values import BundleEntry
from fhir_server.r4b import codec
from fhir_server.r4b.codec import Draft
from fhir_server.r4b.outcome import BadRequest, FhirError, Issue, TooLarge
from fhir_server.r4b.validate import validate

if TYPE_CHECKING:
    from fhir_server.hub import Hub

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
#: Stands for each resource while the Bundle around it is checked.
_STAND_IN: Final = b'{"resourceType":"Parameters"}'
_INSIDE: Final = re.compile(r"Bundle\.entry\[(\d+)\]\.")
_NO_RESOURCE: Final = re.compile(rb'\A\s*(?:"|\[|[0-9tfn-])')


class _Entry(msgspec.Struct):
    resource: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Bundle(msgspec.Struct):
    entry: list[_Entry] | msgspec.UnsetType = msgspec.UNSET


_bundle = msgspec.json.Decoder(_Bundle)


def read(hub: Hub, body: bytes | Draft) -> tuple[str, list[BundleEntry]]:
    """(Bundle.type, entries). Raises BadRequest for what is not a batch or transaction, TooLarge, Unprocessable."""
    raw = body.raw if isinstance(body, Draft) else body
    limits = hub.options.limits
    if len(raw) > limits.size:
        raise TooLarge(f"The body has {len(raw):,} bytes; the most that is taken is {limits.size:,}.")
    skeleton, slices = _skeleton(_compact(raw))
    draft = codec.parse(skeleton, limits=limits)
    if draft.type != "Bundle":
        raise BadRequest(f"The base takes a Bundle, not a {draft.type}; send it to {draft.type}.", expression="Bundle")
    kind = draft.data.get("type")
    if kind not in ("batch", "transaction"):
        raise BadRequest(
            f"The base takes a Bundle of type batch or transaction, not {str(kind)[:64]!r}.",
            code="value",
            expression="Bundle.type",
        )
    problems = [issue for issue in validate(draft.data) if issue.severity in ("error", "fatal")]
    of_entries: dict[int, list[Issue]] | None = None
    if kind == "batch":
        problems, of_entries = _apart(problems)
    if problems:
        raise BadRequest(issues=problems)
    items = draft.data.get("entry") or []
    if len(items) > hub.options.max_entries:
        raise TooLarge(f"The Bundle has {len(items):,} entries; the most that is taken is {hub.options.max_entries:,}.")
    return kind, _entries(items, slices, of_entries)


def _apart(problems: Sequence[Issue]) -> tuple[list[Issue], dict[int, list[Issue]]]:
    """The problems of the Bundle, and those of single entries: in a batch they are nobody else's. R4B 3.1.0.11.1."""
    of_bundle: list[Issue] = []
    of_entries: dict[int, list[Issue]] = {}
    for issue in problems:
        inside = _INSIDE.match(issue.expression)
        if inside is not None:
            of_entries.setdefault(int(inside[1]), []).append(issue)
        elif "(bdl-3)" not in issue.diagnostics:  # told of each entry that has no request
            of_bundle.append(issue)
    return of_bundle, of_entries


def _compact(raw: bytes) -> bytes:
    """Without insignificant whitespace, so that no entry has to be made compact alone."""
    if b"\n" not in raw[:4096] and b'": ' not in raw[:4096]:
        return raw
    try:
        return msgspec.json.format(raw, indent=-1)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return raw


def _skeleton(raw: bytes) -> tuple[bytes, list[bytes | None]]:
    """The Bundle with a stand-in for each resource, and the resources. Bytes that cannot be cut come back whole."""
    try:
        entries = _bundle.decode(raw).entry
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return raw, []
    if entries is msgspec.UNSET:
        return raw, []
    parts: list[bytes] = []
    slices: list[bytes | None] = []
    at = 0
    for entry in entries:
        if entry.resource is msgspec.UNSET or _NO_RESOURCE.match(memoryview(entry.resource)[:8]):
            slices.append(None)
            continue
        resource = bytes(entry.resource)
        start = raw.find(resource, at)
        parts += (raw[at:start], _STAND_IN)
        at = start + len(resource)
        slices.append(resource)
    parts.append(raw[at:])
    return b"".join(parts), slices


def _entries(
    items: Sequence[dict[str, Any]], slices: Sequence[bytes | None], of_entries: Mapping[int, Sequence[Issue]] | None
) -> list[BundleEntry]:
    """of_entries: the known problems of entries that are refused alone (a batch's); None: all are raised together."""
    entries: list[BundleEntry] = []
    problems: list[Issue] = []
    for index, item in enumerate(items):
        found = item.get("request")
        request = found if isinstance(found, dict) else {}
        wrong = list((of_entries or {}).get(index, ()))
        where = f"Bundle.entry[{index}]"
        if not wrong and (not request.get("url") or request.get("method") not in _METHODS):
            text = "Each entry of a batch or transaction needs request.method and request.url."
            wrong.append(Issue("error", "required", text, f"{where}.request"))
        if wrong:
            problems += wrong
            entries.append(BundleEntry("", "", problems=tuple(wrong)))
            continue
        entries.append(
            BundleEntry(
                request["method"],
                request["url"],
                slices[index] if index < len(slices) else None,
                item.get("fullUrl"),
                request.get("ifMatch"),
                request.get("ifNoneMatch"),
                request.get("ifModifiedSince"),
                request.get("ifNoneExist"),
            )
        )
    # Of a batch in which no entry is well-formed there is nothing to answer one by one.
    if problems and (of_entries is None or all(entry.problems for entry in entries)):
        raise BadRequest(issues=problems)
    return entries


def entry_of(item: dict[str, Any]) -> BundleEntry:
    """A Bundle.entry that the server itself has built."""
    request, resource = item["request"], item.get("resource")
    return BundleEntry(
        request["method"],
        request["url"],
        None if resource is None else codec.encode(resource),
        item.get("fullUrl"),
        request.get("ifMatch"),
        request.get("ifNoneMatch"),
        request.get("ifModifiedSince"),
        request.get("ifNoneExist"),
    )


def located(error: FhirError, index: int) -> FhirError:
    """The same refusal, its issues located in the Bundle (``Bundle.entry[3].resource.name[0]``)."""
    if error.issues and error.issues[0].expression.startswith("Bundle.entry["):
        return error
    where = f"Bundle.entry[{index}]"
    issues = []
    for issue in error.issues:
        _, dot, inside = issue.expression.partition(".")
        expression = f"{where}.resource.{inside}" if dot else where
        issues.append(replace(issue, expression=expression))
    return type(error)(issues=issues, headers=error.headers)
