"""The functions that FHIR adds (R4B fhirpath.html "Additional functions"), and reflection."""

from __future__ import annotations

from typing import Any, Final

from fhir_server.fhirpath.compile import Context, Evaluate
from fhir_server.fhirpath.functions.function import Function, plain, typed
from fhir_server.fhirpath.model import member, root_node
from fhir_server.fhirpath.values import Collection, Item, Node, is_primitive, system, system_type
from fhir_server.r4b.narrative import narrative_problem


def _extension(url: Evaluate) -> Evaluate:
    def evaluate(context: Context, focus: Collection) -> Collection:
        wanted = typed(url(context, focus), str, "extension()")
        found: Collection = []
        for item in focus:
            if isinstance(item, Node):
                member(item, "extension", found)
        return [item for item in found if item.value.get("url") == wanted]

    return evaluate


def _has_value(focus: Collection) -> Collection:
    return [len(focus) == 1 and (not isinstance(focus[0], Node) or _primitive_value(focus[0]) is not None)]


def _primitive_value(node: Node) -> Any:
    return node.value if is_primitive(node.type) and not isinstance(node.value, dict) else None


def _get_value(focus: Collection) -> Collection:
    return [system(focus[0])] if _has_value(focus) == [True] else []


def _resolve() -> Evaluate:
    def evaluate(context: Context, focus: Collection) -> Collection:
        found: Collection = []
        for item in focus:
            reference = _reference_text(item)
            if not reference:
                continue
            if reference.startswith("#"):
                target = contained(context, reference[1:])
            else:
                target = context.resolve(reference, context.root) if context.resolve is not None else None
            if target is not None:
                found.append(target)
        return found

    return evaluate


def _reference_text(item: Item) -> str | None:
    has_fields = isinstance(item, Node) and isinstance(item.value, dict)
    text = item.value.get("reference") if has_fields else system(item)
    return text if isinstance(text, str) else None


def contained(context: Context, id: str) -> Node | None:
    """The resource inside %rootResource with that id; '' is the root itself."""
    root = context.root or context.resource
    if root is None or id == "":
        return root
    found: Collection = []
    member(root, "contained", found)
    for node in found:
        if node.value.get("id") == id:
            return Node(node.value, root_node(node.value).type, node.path, None, root, "contained", node.index)
    return None


def _member_of(value_set: Evaluate) -> Evaluate:
    def evaluate(context: Context, focus: Collection) -> Collection:
        url = typed(value_set(context, focus), str, "memberOf()")
        if len(focus) != 1 or url is None or context.member_of is None:
            return []
        answer = context.member_of(focus[0], url)
        return [] if answer is None else [answer]

    return evaluate


def _conforms_to(profile: Evaluate) -> Evaluate:
    def evaluate(context: Context, focus: Collection) -> Collection:
        url = typed(profile(context, focus), str, "conformsTo()")
        if len(focus) != 1 or url is None or context.conforms_to is None:
            return []
        answer = context.conforms_to(focus[0], url)
        return [] if answer is None else [answer]

    return evaluate


def _subsumption(other: Evaluate, *, swapped: bool) -> Evaluate:
    def evaluate(context: Context, focus: Collection) -> Collection:
        right = other(context, focus)
        if len(focus) != 1 or len(right) != 1 or context.subsumes is None:
            return []
        pair = (right[0], focus[0]) if swapped else (focus[0], right[0])
        answer = context.subsumes(*pair)
        return [] if answer is None else [answer]

    return evaluate


def _html_checks(focus: Collection) -> Collection:
    return [narrative_problem(item.value) is None for item in focus if isinstance(item, Node)][:1]


def _type(focus: Collection) -> Collection:
    return [{"namespace": space, "name": name} for space, name in map(system_type, focus)]


FUNCTIONS: Final[dict[str, Function]] = {
    "extension": Function(_extension, 1, 1),
    "hasValue": plain(_has_value),
    "getValue": plain(_get_value),
    "resolve": Function(_resolve),
    "memberOf": Function(_member_of, 1, 1),
    "conformsTo": Function(_conforms_to, 1, 1),
    "subsumes": Function(lambda other: _subsumption(other, swapped=False), 1, 1),
    "subsumedBy": Function(lambda other: _subsumption(other, swapped=True), 1, 1),
    "htmlChecks": plain(_html_checks),
    "type": plain(_type),
}
