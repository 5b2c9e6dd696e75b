"""``ConceptMap/$translate``: a code in terms of another code system (R4B conceptmap-operation-translate)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_server.operations.registry import Operation, OperationRequest, OperationResult, register
from fhir_server.operations.terminology.requests import Values, ask, bad, refused, values_in
from fhir_server.r4b.codec import encode
from fhir_server.security.caller import Caller
from terminology.server.problems import Problem, Refused
from terminology.server.session import Session
from terminology.server.translate import answer, maps_for, translate

if TYPE_CHECKING:
    from fhir_server.hub import Hub

Json = dict[str, Any]


async def handle(hub: Hub, caller: Caller, request: OperationRequest) -> OperationResult:
    """code and system, coding or codeableConcept, through the map with this url (or instance), or through every map
    between the systems. reverse, or R5's targetCode and targetCoding: from the target's side."""
    caller.require("ConceptMap", "r")
    values = values_in(request)
    resource = await hub.read_resource(caller, "ConceptMap", request.id) if request.id else None
    try:
        return OperationResult(encode(await ask(hub, request, values, lambda s: _answer(s, values, resource))))
    except Refused as error:
        return refused(error)


def _answer(session: Session, values: Values, resource: Json | None) -> Json:
    codings, reverse = _codings(values)
    target = values.text("targetsystem", "targetSystem")
    if reverse and ("targetCode" in values or "targetCoding" in values or "targetCodeableConcept" in values):
        target = values.text("sourceSystem", "system")
    source_set, target_set = values.text("source", "sourceScope"), values.text("target", "targetScope")
    if reverse:
        source_set, target_set = target_set, source_set
    resource = resource or values.object("conceptMap")
    url, version = values.text("url"), values.text("conceptMapVersion")
    if resource is not None:
        maps = [resource]
    elif url is not None:
        found = session.library.map(url, version)
        if found is None:
            text = f"The concept map {url}{f'|{version}' if version else ''} is not known here."
            raise Refused(Problem("error", "not-found", text, "not-found"), status=404)
        maps = [found]
    else:
        maps = maps_for(session, codings, target, source_set, target_set, reverse=reverse)
    dependencies = [one for part in values.all("dependency") for one in _dependency(part)]
    return answer(translate(maps, codings, target=target, dependencies=dependencies, reverse=reverse))


def _codings(values: Values) -> tuple[list[Json], bool]:
    """(the codings to translate, they are on the target's side)."""
    reverse = values.flag("reverse")
    concept = values.object("codeableConcept", "sourceCodeableConcept")
    coding = values.object("coding", "sourceCoding")
    code = values.text("code", "sourceCode")
    if concept is not None:
        return list(concept.get("coding") or ()), reverse
    if coding is not None:
        return [coding], reverse
    if code is not None:
        system = values.text("system", "sourceSystem")
        if system is None:
            raise bad("$translate needs system beside code.", "required")
        version = values.text("version", "sourceVersion")
        return [{"system": system, "code": code, **({"version": version} if version else {})}], reverse
    concept = values.object("targetCodeableConcept")
    coding = values.object("targetCoding")
    code = values.text("targetCode")
    if concept is not None:
        return list(concept.get("coding") or ()), True
    if coding is not None:
        return [coding], True
    if code is not None:
        system = values.text("targetSystem", "targetsystem")
        if system is None:
            raise bad("$translate needs targetSystem beside targetCode.", "required")
        return [{"system": system, "code": code}], True
    raise bad("$translate needs code and system, coding or codeableConcept.", "required")


def _dependency(part: Any) -> list[tuple[str, Json]]:
    """(element, coding) of one dependency parameter."""
    if not isinstance(part, list):
        raise bad("A dependency has the parts element and concept.")
    element, codings = "", []
    for item in part:
        if item.get("name") in ("element", "attribute"):
            element = next((item[key] for key in item if key.startswith("value")), "")
        elif item.get("name") in ("concept", "value"):
            value = next((item[key] for key in item if key.startswith("value")), None)
            if isinstance(value, dict):
                codings += value.get("coding", [value])
            elif value is not None:
                codings.append({"code": value})
    return [(element, coding) for coding in codings]


register(
    Operation(
        name="translate",
        levels=("type", "instance"),
        types=("ConceptMap",),
        affects_state=False,
        handler=handle,
        definition="http://hl7.org/fhir/OperationDefinition/ConceptMap-translate",
        documentation="A code in terms of another code system, in both directions.",
    )
)
