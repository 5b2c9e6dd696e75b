"""read and vread, and what is shown of a resource. R4B 3.1.0.4, 3.1.0.5, 3.1.1.5.8."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_server.interactions import binaries, subjects
from fhir_server.interactions.etags import etag
from fhir_server.r4b import subset
from fhir_server.r4b.outcome import BadRequest, Gone, NotFound
from fhir_server.store.protocol import Version

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.interactions.values import Parameters
    from fhir_server.security.caller import Caller

_LARGEST = 2**63 - 1


def missing(type: str, id: str) -> NotFound:
    return NotFound(f"{type}/{id} is not known here.")


def gone(version: Version) -> Gone:
    return Gone(
        f"{version.type}/{version.id} was deleted; its last version is {version.version - 1}.",
        headers={"ETag": etag(version.version)},
    )


async def vread(hub: Hub, caller: Caller, type: str, id: str, version: str) -> Version:
    caller.require(type, "r")
    # 01 is not a version, although it is a number.
    number = int(version) if version.isascii() and version.isdecimal() and version[0] != "0" else 0
    found = await hub.store.read_version(type, id, number) if 0 < number <= _LARGEST else None
    if found is None:
        raise NotFound(f"{type}/{id} has no version {version[:64]}.")
    if found.body is None:
        raise gone(found)
    if caller.subject is not None:
        subjects.require_inside(hub, caller, found)
    return await binaries.complete(hub, found)


def view(version: Version, parameters: Parameters, strict: bool) -> bytes:
    body = version.body
    assert body is not None
    summary, elements = None, None
    for name, value in parameters:
        if name == "_summary" and summary is None:
            summary = value
        elif name == "_elements":
            elements = [*(elements or ()), *(part.strip() for part in value.split(","))]
        elif strict or name in ("_summary",):
            raise BadRequest(f"The parameter '{name[:64]}' means nothing on a read.", code="not-supported")
    if summary is not None and elements is not None:
        raise BadRequest("Give _summary or _elements, not both.")
    if elements is not None:
        return shown(body, version.type, None, tuple(filter(None, elements)))
    if summary in (None, "false"):
        return body
    if summary not in ("true", "text", "data"):
        raise BadRequest("_summary on a read is true, text, data or false.")
    return shown(body, version.type, summary, ())


def shown(body: bytes, type: str, summary: str | None, elements: tuple[str, ...]) -> bytes:
    """A resource under _summary (true, text, data) or _elements, tagged SUBSETTED; all of it when neither is given."""
    if elements:
        return subset.select_elements(body, type, elements)
    if summary == "true":
        return subset.summarize(body, "true")
    if summary == "text":
        return subset.summarize(body, "text")
    if summary == "data":
        return subset.summarize(body, "data")
    return body
