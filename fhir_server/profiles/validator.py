"""Validation against profiles (R4B profiling.html, validation.html): StructureDefinitions over a resource's elements.

What the standard itself demands is checked by fhir_server.r4b.validate and fhir_server.profiles.invariants; here it is
what a profile adds: cardinality, types, fixed and pattern values, slicing, bindings, invariants, extensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from fhir_server.fhirpath import Context, FhirPathError
from fhir_server.fhirpath.model import member
from fhir_server.fhirpath.types import ancestors
from fhir_server.fhirpath.values import Node, compare
from fhir_server.profiles.invariants import constraint_issue
from fhir_server.profiles.matching import conforms, constant, equals
from fhir_server.profiles.profile import ElementNode, Profile
from fhir_server.profiles.slicing import Surroundings, matches
from fhir_server.r4b.definitions import Invariant
from fhir_server.r4b.outcome import Issue

_STANDARD = "http://hl7.org/fhir/StructureDefinition/"


class Knowledge(Protocol):
    """What a validator may ask. Answers come at once; what is not known is remembered by who answers."""

    def profile(self, url: str) -> Profile | None:
        """By canonical URL, a version allowed."""
        ...

    def member_of(self, value_set: str, codings: Sequence[tuple[str | None, str]]) -> bool | None:
        """True when one of the (system, code) is in the value set; None when the value set is not known.
        A system of None is a code without one (an element of type code)."""
        ...


@dataclass(slots=True)
class _Run:
    knowledge: Knowledge
    context: Context
    issues: list[Issue] = field(default_factory=list)
    depth: int = 0

    def error(self, code: str, text: str, path: str) -> None:
        self.issues.append(Issue("error", code, text, path))


def validate_profile(node: Node, profile: Profile, knowledge: Knowledge, context: Context) -> list[Issue]:
    """What `profile` finds wrong with the element or resource `node`."""
    run = _Run(knowledge, context)
    if profile.type not in ancestors(node.type):
        run.error("structure", f"The profile {profile.url} is for {profile.type}, not for {node.type}.", node.path)
    else:
        _element(node, profile.root, run)
    return run.issues


def _element(node: Node, definition: ElementNode, run: _Run) -> None:
    _values(node, definition, run)
    _binding(node, definition, run)
    _constraints(node, definition, run)
    for child in definition.children.values():
        found: list[Any] = []
        member(node, child.name, found)
        _group(node, child, found, run)


def _group(parent: Node, definition: ElementNode, found: list[Node], run: _Run) -> None:
    """All elements of one name under one parent."""
    path = f"{parent.path}.{definition.name}"
    _count(len(found), definition, path, run)
    for node in found:
        _types(node, definition, run)
        _element(node, definition, run)
    if definition.slices:
        _slices(parent, definition, found, run)


def _count(number: int, definition: ElementNode, path: str, run: _Run, name: str = "") -> None:
    what = f"slice '{name}' of {path}" if name else path
    if definition.definition and number < definition.min:
        run.error("required", f"The profile needs at least {definition.min} of {what}; there are {number}.", path)
    most = definition.max
    if most is not None and number > most:
        run.error("structure", f"The profile allows at most {most} of {what}; there are {number}.", path)


def _slices(parent: Node, definition: ElementNode, found: list[Node], run: _Run) -> None:
    slicing = definition.definition.get("slicing", {})
    discriminators = slicing.get("discriminator", ())
    around = _surroundings(run)
    assigned: dict[str, list[Node]] = {name: [] for name in definition.slices}
    order = list(definition.slices)
    unmatched: list[Node] = []
    last = -1
    for node in found:
        name = next((name for name in order if _in_slice(node, definition.slices[name], discriminators, around)), None)
        if name is None:
            unmatched.append(node)
            continue
        assigned[name].append(node)
        place = order.index(name)
        if slicing.get("ordered") and place < last:
            run.error("structure", f"The slice '{name}' is out of order; the profile orders them.", node.path)
        last = max(last, place)
    path = f"{parent.path}.{definition.name}"
    if slicing.get("rules") == "closed":
        for node in unmatched:
            run.error("structure", f"{node.path} matches none of the profile's slices, and they are closed.", node.path)
    for name, nodes in assigned.items():
        slice = definition.slices[name]
        _count(len(nodes), slice, path, run, name)
        for node in nodes:
            _types(node, slice, run)
            _element(node, slice, run)
        if slice.slices:
            _slices(parent, slice, nodes, run)


def _in_slice(
    node: Node, slice: ElementNode, discriminators: Sequence[Mapping[str, str]], around: Surroundings
) -> bool:
    if discriminators:
        return matches(node, slice, discriminators, around)
    # A type slice (value[x]:valueQuantity) needs no discriminator to be told apart.
    return bool(slice.types) and any(type["code"] in ancestors(node.type) for type in slice.types)


def _surroundings(run: _Run) -> Surroundings:
    def conforms_to(node: Node, url: str) -> bool | None:
        profile = run.knowledge.profile(url)
        if profile is None:
            return node.type == url.rsplit("/", 1)[-1] if url.startswith(_STANDARD) else None
        return not _inner(node, profile, run)

    return Surroundings(run.context, run.knowledge.profile, conforms_to, lambda node, url: _member(node, url, run))


def _inner(node: Node, profile: Profile, run: _Run) -> list[Issue]:
    """Errors of another profile on the same element, not reported yet."""
    if run.depth > 8:
        return []
    inner = _Run(run.knowledge, run.context, depth=run.depth + 1)
    if profile.type not in ancestors(node.type):
        return [Issue("error", "structure", f"{node.path} is not a {profile.type}.", node.path)]
    _element(node, profile.root, inner)
    return [issue for issue in inner.issues if issue.severity == "error"]


def _types(node: Node, definition: ElementNode, run: _Run) -> None:
    types = definition.types
    if not types or node.type == "string" or any(type["code"].startswith("http:") for type in types):
        return
    lineage = ancestors(node.type)
    fitting = [type for type in types if type["code"] in lineage or "." in node.type]
    if not fitting:
        allowed = ", ".join(sorted({type["code"] for type in types}))
        run.error("structure", f"The profile does not allow {node.type} here; it allows {allowed}.", node.path)
        return
    urls = [url for type in fitting for url in type.get("profile", ())]
    known = [(url, profile) for url in urls if (profile := run.knowledge.profile(url)) is not None]
    if len(known) == len(urls) and known:
        failures = [_inner(node, profile, run) for _, profile in known]
        if all(failures):
            run.issues.extend(sorted(failures, key=len)[0])
    for type in fitting:
        if type["code"] == "Reference" and type.get("targetProfile"):
            _reference(node, type["targetProfile"], run)


def _reference(node: Node, targets: Sequence[str], run: _Run) -> None:
    """A literal reference must be to a type that some target profile is for."""
    value = node.value if isinstance(node.value, dict) else {}
    text = value.get("reference")
    if not isinstance(text, str):
        return
    profiles = [(url, run.knowledge.profile(url)) for url in targets]
    wanted = {profile.type if profile else url.rsplit("/", 1)[-1].partition("|")[0] for url, profile in profiles}
    if any(profile is None and not url.startswith(_STANDARD) for url, profile in profiles) or "Resource" in wanted:
        return
    type = value.get("type") or _literal_type(text)
    if type is not None and type not in wanted:
        names = ", ".join(sorted(wanted))
        run.error("value", f"The profile does not allow a reference to {type} here; it allows {names}.", node.path)


def _literal_type(reference: str) -> str | None:
    parts = reference.split("/_history/")[0].split("/")
    return parts[-2] if len(parts) >= 2 and parts[-2][:1].isupper() else None


def _values(node: Node, definition: ElementNode, run: _Run) -> None:
    given, wanted = constant(definition.definition, "fixed")
    if given and not equals(node.value, wanted):
        run.error("value", f"The profile fixes this value to {_short(wanted)}.", node.path)
    given, wanted = constant(definition.definition, "pattern")
    if given and not conforms(node.value, wanted):
        run.error("value", f"The profile needs this value to contain {_short(wanted)}.", node.path)
    longest = definition.definition.get("maxLength")
    if longest is not None and isinstance(node.value, str) and len(node.value) > int(longest):
        run.error("value", f"The profile allows at most {longest} characters here.", node.path)
    for kind, sign in (("minValue", 1), ("maxValue", -1)):
        given, end = constant(definition.definition, kind)
        if given and _outside(node.value, end, sign):
            run.error("value", f"The value is outside what the profile allows ({kind} {_short(end)}).", node.path)


def _outside(value: Any, end: Any, sign: int) -> bool:
    if isinstance(value, bool) or isinstance(end, (dict, bool)):
        return False
    try:
        order = compare(value, end)
    except FhirPathError:
        return False
    return order == -sign


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _binding(node: Node, definition: ElementNode, run: _Run) -> None:
    binding = definition.definition.get("binding")
    if not binding or binding.get("strength") not in ("required", "extensible"):
        return
    value_set = str(binding.get("valueSet", "")).partition("|")[0]
    answer = _member(node, value_set, run)
    if answer is False:
        required = binding["strength"] == "required"
        how = "must" if required else "should (where one fits)"
        text = f"None of the codes is in the value set {value_set}; one {how} be."
        run.issues.append(Issue("error" if required else "warning", "code-invalid", text, node.path))
    elif answer is None and value_set:
        text = f"The value set {value_set} is not known here; the binding was not checked."
        run.issues.append(Issue("information", "not-supported", text, node.path))


def _member(node: Node, value_set: str, run: _Run) -> bool | None:
    """None as well where the element has no code to look at and the binding asks for none."""
    if not value_set:
        return None
    codings = _codings(node)
    if codings is None:
        return True
    if not codings:
        # Text alone never satisfies a binding by code.
        return False
    return run.knowledge.member_of(value_set, codings)


def _codings(node: Node) -> list[tuple[str | None, str]] | None:
    value = node.value
    if isinstance(value, str):
        return [(None, value)] if node.type in ("code", "string", "uri", "url", "canonical", "id") else None
    if not isinstance(value, dict):
        return None
    if node.type == "CodeableConcept":
        return [
            (coding.get("system", ""), coding["code"])
            for coding in value.get("coding", ())
            if isinstance(coding, dict) and isinstance(coding.get("code"), str)
        ]
    code = value.get("code")
    return [(value.get("system", ""), code)] if isinstance(code, str) else None


def _constraints(node: Node, definition: ElementNode, run: _Run) -> None:
    for one in definition.definition.get("constraint", ()):
        source = str(one.get("source", ""))
        if "expression" not in one or (source.startswith(_STANDARD) and "-" not in source.rsplit("/", 1)[-1]):
            continue
        invariant = Invariant(one["key"], one["severity"], str(one.get("human", "")), one["expression"], node.path)
        issue = constraint_issue(invariant, node, _within(run.context, node))
        if issue is not None:
            run.issues.append(issue)


def _within(context: Context, node: Node) -> Context:
    return replace(context, resource=node) if "." not in node.path else context
