"""``$validate``: is a resource valid, and could it be created, updated or deleted (R4B resource-operation-validate)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from fhir_server.fhirpath import Context, root_node
from fhir_server.interactions.criteria import value_set_codes
from fhir_server.interactions.values import Parameters
from fhir_server.operations.arguments import arguments
from fhir_server.operations.registry import Operation, OperationRequest, OperationResult, register
from fhir_server.profiles.extensions import extension_issues
from fhir_server.profiles.invariants import invariant_issues
from fhir_server.profiles.validator import validate_profile
from fhir_server.r4b.codec import encode
from fhir_server.r4b.outcome import BadRequest, Issue, operation_outcome
from fhir_server.r4b.rules import TESTED
from fhir_server.r4b.validate import validate
from fhir_server.security.caller import SYSTEM, Caller

if TYPE_CHECKING:
    from fhir_server.hub import Hub

_MODES: Final = ("create", "update", "delete", "profile")
_ROUNDS: Final = 12


async def handle(hub: Hub, caller: Caller, request: OperationRequest) -> OperationResult:
    """200 with an OperationOutcome whatever it finds; BadRequest when it was not asked properly."""
    resource, mode, profiles = _arguments(request)
    if mode == "delete":
        issues = await _delete_issues(hub, caller, request)
    else:
        if resource is None:
            if not request.id:
                raise BadRequest("$validate needs a resource: send one, or Parameters with a parameter 'resource'.")
            resource = await hub.read_resource(caller, request.type, request.id)
        issues = _identity_issues(resource, mode, request)
        issues += await resource_issues(hub, resource, profiles)
    if not any(issue.severity in ("error", "fatal") for issue in issues):
        issues.append(Issue("information", "informational", "The resource is valid." if mode != "delete" else "OK."))
    return OperationResult(encode(operation_outcome(issues)))


def _arguments(request: OperationRequest) -> tuple[dict[str, Any] | None, str, list[str]]:
    given = arguments(request, ("resource", "mode", "profile", "usageContext"), resource_as="resource")
    mode = given.text("mode") or ""
    if mode and mode not in _MODES:
        raise BadRequest(f"'{mode}' is not a mode; use one of {', '.join(_MODES)}.")
    return given.resource("resource"), mode, [url for url in given.all("profile") if isinstance(url, str)]


async def _delete_issues(hub: Hub, caller: Caller, request: OperationRequest) -> list[Issue]:
    if not request.id:
        raise BadRequest("Mode 'delete' works on one resource: [type]/[id]/$validate?mode=delete.")
    if not caller.allows(request.type, "d"):
        return [Issue("error", "forbidden", f"This key may not delete {request.type}.")]
    await hub.read(caller, request.type, request.id)
    return []


def _identity_issues(resource: dict[str, Any], mode: str, request: OperationRequest) -> list[Issue]:
    type, id = resource.get("resourceType"), resource.get("id")
    issues = []
    if request.type and type != request.type:
        issues.append(Issue("error", "invalid", f"The resource is a {type}, but {request.type} was asked about.", ""))
    if mode == "update" and request.id and id != request.id:
        text = f"An update of {request.type}/{request.id} must carry the id '{request.id}'."
        issues.append(Issue("error", "invalid", text, f"{type}.id"))
    if mode == "create" and request.id:
        issues.append(Issue("error", "invalid", "Mode 'create' works on a type, not on an instance."))
    return issues


async def resource_issues(hub: Hub, resource: dict[str, Any], profiles: list[str]) -> list[Issue]:
    """Everything wrong with a resource: the base, the standard's invariants, its extensions, and each profile asked for
    or declared in meta.profile."""
    base = validate(resource)
    if any(issue.severity == "fatal" for issue in base) or "resourceType" not in resource:
        return base
    node = root_node(resource)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    library = await hub.shelf.library()
    context = Context(
        resource=node,
        root=node,
        now=now,
        member_of=lambda item, url: library.member_of(url, [(None, str(getattr(item, "value", item)))]),
    )
    declared = resource.get("meta", {}).get("profile", ()) if isinstance(resource.get("meta"), dict) else ()
    wanted = dict.fromkeys([*profiles, *(url for url in declared if isinstance(url, str))])
    structure_is_sound = not any(issue.severity == "error" and issue.code == "structure" for issue in base)
    issues: list[Issue] = []
    for _ in range(_ROUNDS):
        issues = invariant_issues(resource, context, told=TESTED) if structure_is_sound else []
        issues += extension_issues(node, library, context) if structure_is_sound else []
        for url in wanted:
            profile = library.profile(url)
            if profile is not None:
                issues += validate_profile(node, profile, library, context)
            elif url in library.broken:
                issues.append(Issue("error", "processing", f"The profile {url} cannot be used: {library.broken[url]}"))
            elif url in profiles:
                issues.append(Issue("error", "not-found", f"The profile {url} is not known here; install its package."))
            else:
                text = f"The profile {url} is not known here, so it was not checked."
                issues.append(Issue("warning", "not-found", text, f"{node.type}.meta.profile"))
        if not library.missing and not library.missing_value_sets:
            break
        for url in sorted(library.missing):
            library.add(url, await _structure(hub, url))
        for url in sorted(library.missing_value_sets):
            library.add_value_set(url, await value_set_codes(hub, url))
    return _distinct([*base, *issues])


async def _structure(hub: Hub, url: str) -> dict[str, Any] | None:
    parameters: Parameters = [("url", url), ("_sort", "-_lastUpdated"), ("_count", "1")]
    found = await hub.find(SYSTEM, "StructureDefinition", parameters, limit=1)
    return found[0] if found else None


def _distinct(issues: list[Issue]) -> list[Issue]:
    """The base and an invariant may say the same of the same element."""
    seen: set[tuple[str, str]] = set()
    result = []
    for issue in issues:
        key = (issue.expression.replace("[0]", ""), issue.diagnostics[:200])
        if key not in seen:
            seen.add(key)
            result.append(issue)
    return result


register(
    Operation(
        name="validate",
        levels=("system", "type", "instance"),
        types=(),
        affects_state=False,
        handler=handle,
        definition="http://hl7.org/fhir/OperationDefinition/Resource-validate",
        documentation="Validates a resource against the standard, its invariants and profiles.",
    )
)
