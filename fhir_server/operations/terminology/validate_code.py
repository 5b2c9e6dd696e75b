"""``$validate-code`` on ValueSet and CodeSystem (R4B valueset- and codesystem-operation-validate-code), and
``ValueSet/$batch-validate-code`` of the terminology ecosystem: many of them in one request."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fhir_server.operations.registry import Operation, OperationRequest, OperationResult, register
from fhir_server.operations.terminology.requests import Values, ask, bad, refused, values_in
from fhir_server.r4b.codec import encode
from fhir_server.r4b.outcome import BadRequest
from fhir_server.security.caller import Caller
from terminology.server import messages
from terminology.server.asked import values_of
from terminology.server.listed import Listed
from terminology.server.membership import absolute, path_to
from terminology.server.problems import Problem, Refused, outcome
from terminology.server.session import Session, canonical_of
from terminology.server.systems import System
from terminology.server.validate import Coded, refused_answer, validate_in_system, validate_in_value_set
from terminology.server.versions import listed

if TYPE_CHECKING:
    from fhir_server.hub import Hub

Json = dict[str, Any]


async def handle(hub: Hub, caller: Caller, request: OperationRequest) -> OperationResult:
    """Parameters with result, message and itemised issues; an error only when the question cannot be answered."""
    caller.require(request.type, "r")
    values = values_in(request)
    resource = await hub.read_resource(caller, request.type, request.id) if request.id else None
    try:
        return OperationResult(encode(await answer(hub, request, values, resource)))
    except Refused as error:
        return refused(error)


async def answer(hub: Hub, request: OperationRequest, values: Values, resource: Json | None) -> Json:
    """The Parameters of one validation. Raises Refused."""
    if request.type == "CodeSystem":
        return await ask(hub, request, values, lambda session: _in_system(session, values, resource), validating=True)
    return await ask(hub, request, values, lambda session: _in_value_set(session, values, resource), validating=True)


def coded_in(values: Values, *, of_system: bool) -> Coded | None:
    """What is to be validated: codeableConcept, coding, or code with what goes with it; None when there is none."""
    concept = values.object("codeableConcept")
    if concept is not None:
        return Coded("codeableConcept", list(concept.get("coding") or ()), concept)
    coding = values.object("coding")
    if coding is not None:
        return Coded("coding", [coding])
    code = values.text("code")
    if code is None:
        return None
    if of_system:
        system, version = values.text("url", "system"), values.text("version")
    else:
        system, version = values.text("system"), values.text("systemVersion")
        if system is None and "inferSystem" not in values:
            return None
    made = {"system": system, "version": version, "code": code, "display": values.text("display")}
    return Coded("code", [{key: value for key, value in made.items() if value}])


def _in_value_set(session: Session, values: Values, resource: Json | None) -> Json:
    value_set = resource or values.object("valueSet")
    url, version = values.text("url"), values.text("valueSetVersion")
    if value_set is None:
        if url is None:
            raise bad("$validate-code needs a value set: url, or the parameter valueSet.", "required")
        canonical = f"{url}|{version}" if version and "|" not in url else url
        value_set = session.value_set(canonical)
        if value_set is None:
            text = messages.unknown_value_set(session.pinned(canonical))
            raise Refused(Problem("error", "not-found", text, "not-found", "Unable_to_resolve_value_Set_"))
    coded = coded_in(values, of_system=False)
    if coded is None:
        text = "Unable to find code to validate"
        text += " (looked for coding | codeableConcept | code+system | code+inferSystem in parameters"
        raise Refused(Problem("error", "invalid", text), status=400)
    if coded.mode != "code":
        session.asked.infer_system = False
    return validate_in_value_set(session, value_set, coded)


def _in_system(session: Session, values: Values, resource: Json | None) -> Json:
    coded = coded_in(values, of_system=True)
    if coded is None:
        text = "Unable to find code to validate (looked for coding | codeableConcept | code in parameters)"
        raise Refused(Problem("error", "invalid", text), status=400)
    session.asked.infer_system = False
    resource = resource or values.object("codeSystem")
    if resource is not None:
        for coding in coded.codings:
            coding.setdefault("system", resource.get("url"))
        return validate_in_system(session, Listed(resource), coded)
    try:
        system = _system(session, values, coded)
    except Refused as error:
        if not error.in_answer:
            raise
        return refused_answer(session, error, coded)
    for coding in coded.codings:
        if coded.mode == "code":
            coding.setdefault("system", system.url)
    return validate_in_system(session, system, coded)


def _system(session: Session, values: Values, coded: Coded) -> System:
    """The code system to validate in. Raises Refused, in_answer for what the answer says."""
    first = coded.codings[0] if coded.codings else {}
    path = coded.path(0)
    url, version = values.text("url"), values.text("version")
    if url is None:
        url, version = first.get("system"), version or first.get("version")
    if not url:
        id = "Coding_has_no_system__cannot_validate"
        raise Refused(Problem("warning", "invalid", messages.no_system(), "invalid-data", id, path), in_answer=True)
    where = path_to(path, "system")
    found = session.system(url, version)
    if found is not None:
        return found
    supplement = session.library.supplement(url, version)
    if supplement is not None:
        text, id = messages.system_is_supplement(canonical_of(supplement)), "CODESYSTEM_CS_NO_SUPPLEMENT"
        raise Refused(Problem("error", "invalid", text, "invalid-data", id, where), in_answer=True)
    if session.library.value_set(url) is not None:
        text, id = messages.system_is_value_set(url), "Terminology_TX_System_ValueSet2"
        raise Refused(Problem("error", "invalid", text, "invalid-data", id, where), in_answer=True)
    decided = session.asked.version_of(url, version)
    known = listed(session.library.versions(url))
    id = (
        "UNKNOWN_CODESYSTEM"
        if not decided
        else "UNKNOWN_CODESYSTEM_VERSION"
        if known
        else "UNKNOWN_CODESYSTEM_VERSION_NONE"
    )
    problems = [Problem("error", "not-found", messages.unknown_system(url, decided, known), "not-found", id, where)]
    if not absolute(url):
        id = "Terminology_TX_System_Relative"
        problems.append(Problem("error", "invalid", messages.system_is_relative(), "invalid-data", id, where))
    name = f"{url}|{decided}" if decided and known else url
    raise Refused(*problems, unknown=name, in_answer=True)


async def handle_batch(hub: Hub, caller: Caller, request: OperationRequest) -> OperationResult:
    """validation: Parameters of one $validate-code each; what is given beside them holds for all that do not say
    otherwise. The answers are in the same order: Parameters, or the OperationOutcome of what was refused."""
    caller.require(request.type, "r")
    values = values_in(request)
    common = [(name, value) for name, value in values.values if name != "validation"]
    parameters: list[Json] = []
    for one in values.all("validation"):
        if not isinstance(one, dict) or one.get("resourceType") != "Parameters":
            raise BadRequest("A validation is a Parameters resource.")
        own = values_of(one)
        names = {name for name, _ in own}
        together = Values([*own, *((n, v) for n, v in common if n == "tx-resource" or n not in names)])
        result: Json
        try:
            result = await answer(hub, replace(request, body=b"", parameters=()), together, None)
        except Refused as error:
            result = outcome(error.problems)
        parameters.append({"name": "validation", "resource": result})
    return OperationResult(encode({"resourceType": "Parameters", "parameter": parameters}))


for _type in ("CodeSystem", "ValueSet"):
    register(
        Operation(
            name="validate-code",
            levels=("type", "instance"),
            types=(_type,),
            affects_state=False,
            handler=handle,
            definition=f"http://hl7.org/fhir/OperationDefinition/{_type}-validate-code",
            documentation="Whether a code is there, and its display right; what is wrong is itemised.",
        )
    )
register(
    Operation(
        name="batch-validate-code",
        levels=("type",),
        types=("CodeSystem", "ValueSet"),
        affects_state=False,
        handler=handle_batch,
        definition="OperationDefinition/batch-validate-code",
        documentation="Many $validate-code in one request.",
    )
)
