"""The shape of every type as a tree of closures, compiled from the tables when first needed. R4B 2.6.2, 2.24, 2.28.

A check gives None when all is well (the usual case, so nothing is built for it), else a list of problems whose paths
are relative; every level above puts its own step in front.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, NamedTuple

from fhir_server.r4b.bindings import code_test, concept_problem, concept_test
from fhir_server.r4b.definitions import Element, TypeRef, definitions
from fhir_server.r4b.links import reference_problem, target_problem
from fhir_server.r4b.primitives import TESTS, Test, kind, show, string
from fhir_server.r4b.rules import Rule, rules_of


class Problem(NamedTuple):
    """path: relative FHIRPath with its leading dot, '' for the element itself; code: IssueType; text: a sentence."""

    path: str
    code: str
    text: str


@dataclass(slots=True)
class Context:
    """What a check must know of its surroundings. contained: id -> type of the root's contained
    resources; inside: the value
    is within a contained resource; conditional: references may be searches (``Patient?identifier=x``)."""

    contained: Mapping[str, str]
    inside: bool
    conditional: bool


Problems = list[Problem] | None
Check = Callable[[Any, Context], Problems]
#: Takes the property's value and the object that it is in.
Handler = Callable[[Any, dict[str, Any], Context], Problems]

_BOUND = frozenset(("CodeableConcept", "Coding", "CodeableReference", "Quantity"))


def under(step: str, problems: list[Problem]) -> list[Problem]:
    """The same problems, one step further from the root."""
    return [Problem(step + path, code, text) for path, code, text in problems]


@lru_cache(maxsize=4096)
def object_check(content: str, valued: bool = False) -> Check:
    """The check for a JSON object of a resource type, data type or backbone path.

    valued: the object stands beside a primitive value, so an id alone is enough."""
    handlers: dict[str, Handler] = {}
    required: list[tuple[str, str]] = []
    choices: list[tuple[Element, frozenset[str]]] = []
    rules: list[Rule] = []
    is_resource = definitions().is_resource(content)

    def fill() -> None:
        for element in definitions().elements(content).values():
            if element.max == 0:
                continue
            if element.choice:
                names = frozenset(n for name in element.json_names for n in (name, "_" + name))
                choices.append((element, names))
            elif element.min:
                required.append((element.name, "_" + element.name))
            for name, type_ in element.json_names.items():
                _add_handlers(handlers, element, name, type_, content)
        if is_resource:
            handlers["resourceType"] = _no_problem
        rules.extend(rules_of(content))

    def check(value: Any, context: Context) -> Problems:
        if not handlers:
            fill()
        if type(value) is not dict:
            return [Problem("", "structure", _not_an_object(value))]
        problems: list[Problem] = []
        for name, member in value.items():
            handler = handlers.get(name)
            if handler is None:
                problems.append(_unknown(name, content, handlers))
            else:
                found = handler(member, value, context)
                if found:
                    problems += found
        for name, sibling in required:
            if name not in value and sibling not in value:
                text = f"{content.rpartition('.')[2]}.{name} is required; add it."
                problems.append(Problem(f".{name}", "required", text))
        for element, names in choices:
            present = names.intersection(value)
            if len(present) != 1:
                problems += _choice_problems(element, present)
        for rule in rules:
            text_or_none = rule(value)
            if text_or_none:
                problems.append(Problem("", "invariant", text_or_none))
        if not is_resource and (not value or (len(value) == 1 and "id" in value and not valued)):
            problems.append(Problem("", "invariant", "An element must have a value or children (ele-1); leave it out."))
        return problems or None

    return check


def _no_problem(_value: Any, _parent: dict[str, Any], _context: Context) -> Problems:
    return None


def resource_check(value: Any, context: Context) -> Problems:
    """The check for an element that holds any resource."""
    if type(value) is not dict:
        return [Problem("", "structure", _not_an_object(value))]
    type_ = value.get("resourceType")
    if type(type_) is not str or not definitions().is_resource(type_):
        if type_ is None:
            return [Problem("", "structure", "A resource needs a resourceType; add it.")]
        return [Problem("", "structure", f"{show(type_)} is not a resource type of FHIR R4B.")]
    return root_check(type_, value, context.conditional)


def root_check(type_: str, value: dict[str, Any], conditional: bool) -> Problems:
    """The check for a resource with its contained ones."""
    contained = value.get("contained")
    if contained is None:
        return object_check(type_)(value, Context({}, False, conditional))
    listed = contained if type(contained) is list else []
    ids = {
        item["id"]: str(item.get("resourceType"))
        for item in listed
        if type(item) is dict and type(item.get("id")) is str
    }
    problems = object_check(type_)(value, Context(ids, False, conditional)) or []
    if len(ids) < len(listed) and not any(p.path.startswith(".contained") for p in problems):
        seen: set[str] = set()
        for index, item in enumerate(listed):
            id_ = item.get("id")
            if id_ is None:
                continue
            if id_ in seen:
                text = f"Two contained resources have the id {show(id_)}; give each its own."
                problems.append(Problem(f".contained[{index}].id", "invariant", text))
            seen.add(id_)
    links = _local_links(value)
    for index, item in enumerate(listed):
        if type(item) is dict and f"#{item.get('id')}" not in links and "#" not in _local_links(item):
            text = "A contained resource must be referred to from the resource that holds it (dom-3)."
            problems.append(Problem(f".contained[{index}]", "invariant", text))
    return problems or None


def _local_links(value: Any) -> set[str]:
    """Every string that starts with '#'."""
    links: set[str] = set()
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if type(item) is str:
            if item.startswith("#"):
                links.add(item)
        elif type(item) is dict:
            waiting.extend(item.values())
        elif type(item) is list:
            waiting.extend(item)
    return links


def contained_check(value: Any, context: Context) -> Problems:
    """The check for one contained resource: dom-2, dom-4, dom-5 and everything else."""
    if type(value) is not dict or not definitions().is_resource(str(value.get("resourceType"))):
        return resource_check(value, context)
    inner = Context(context.contained, True, context.conditional)
    problems = object_check(value["resourceType"])(value, inner) or []
    if "contained" in value:
        text = "A contained resource must not contain others (dom-2); put them beside it."
        problems.append(Problem(".contained", "invariant", text))
    meta = value.get("meta")
    if type(meta) is dict:
        for name, key in (("versionId", "dom-4"), ("lastUpdated", "dom-4"), ("security", "dom-5")):
            if name in meta:
                text = f"A contained resource must not have meta.{name} ({key}); remove it."
                problems.append(Problem(f".meta.{name}", "invariant", text))
    return problems or None


def _add_handlers(handlers: dict[str, Handler], element: Element, name: str, type_: TypeRef, content: str) -> None:
    code = type_.code
    if element.content is None and definitions().is_primitive(code):
        test = _primitive_test(element, type_, content)
        if element.max == 1:
            handlers[name] = _scalar(element.name, test)
        else:
            handlers[name] = _primitive_list(element, "_" + name, test)
        attribute = (element.name == "id" and not definitions().is_resource(content)) or (
            content == "Extension" and element.name == "url"
        )
        if not attribute and code != "xhtml":
            handlers["_" + name] = _sibling(element.name, name) if element.max == 1 else _sibling_list(element, name)
        return
    check = _complex_check(element, type_, content)
    handlers[name] = _one(element.name, check) if element.max == 1 else _many(element, check)


def _primitive_test(element: Element, type_: TypeRef, content: str) -> Test:
    if element.name == "id" and not definitions().is_resource(content):
        return string
    if type_.code in ("code", "string", "uri"):
        bound = code_test(element)
        if bound is not None:
            return bound
    return TESTS[type_.code]


def _complex_check(element: Element, type_: TypeRef, content: str) -> Check:
    if element.content is not None:
        return object_check(element.content)
    code = type_.code
    if code == "Resource":
        return contained_check if element.name == "contained" else resource_check
    check = object_check(code)
    if code == "Reference":
        return _reference(check, type_.targets)
    codes = concept_test(element) if code in _BOUND else None
    simple = code == "Quantity" and "SimpleQuantity" in type_.targets
    if codes is None and not simple:
        return check

    def bound(value: Any, context: Context) -> Problems:
        problems = check(value, context)
        if codes is not None:
            text = concept_problem(code, value, codes)
            if text:
                problems = [*(problems or ()), Problem("", "code-invalid", text)]
        if simple and type(value) is dict and "comparator" in value:
            text = "A comparator is not allowed on this quantity (sqty-1); remove it."
            problems = [*(problems or ()), Problem(".comparator", "invariant", text)]
        return problems

    return bound


def _reference(check: Check, targets: tuple[str, ...]) -> Check:
    def reference(value: Any, context: Context) -> Problems:
        problems = check(value, context)
        if type(value) is dict:
            text = value.get("reference")
            if type(text) is str and text:
                why = reference_problem(text, context.contained, context.inside, context.conditional)
                if why:
                    problems = [*(problems or ()), Problem(".reference", "value", why)]
            why = target_problem(text, value.get("type"), targets, context.contained)
            if why:
                problems = [*(problems or ()), Problem(".reference" if text else ".type", "value", why)]
        return problems

    return reference


def _scalar(label: str, test: Test) -> Handler:
    step = "." + label

    def handler(value: Any, _parent: dict[str, Any], _context: Context) -> Problems:
        wrong = test(value)
        return None if wrong is None else [Problem(step, *wrong)]

    return handler


def _one(label: str, check: Check) -> Handler:
    step = "." + label

    def handler(value: Any, _parent: dict[str, Any], context: Context) -> Problems:
        problems = check(value, context)
        return None if problems is None else under(step, problems)

    return handler


def _not_a_list(element: Element, value: Any) -> Problems:
    """A problem when the value of a repeating element is not an array of the right length."""
    if type(value) is not list:
        if value is None:
            return [Problem(f".{element.name}", "structure", "null is not allowed here; leave the element out.")]
        text = f"This element repeats; give an array, even for one value, not {kind(value)}."
        return [Problem(f".{element.name}", "structure", text)]
    if not value:
        return [Problem(f".{element.name}", "structure", "An array must not be empty; leave the element out.")]
    if element.max is not None and len(value) > element.max:
        return [Problem(f".{element.name}", "structure", f"There may be at most {element.max} of these.")]
    return None


def _many(element: Element, check: Check) -> Handler:
    def handler(value: Any, _parent: dict[str, Any], context: Context) -> Problems:
        if type(value) is not list or not value or element.max is not None:
            wrong = _not_a_list(element, value)
            if wrong:
                return wrong
        problems: Problems = None
        for index, item in enumerate(value):
            found = check(item, context)
            if found is not None:
                problems = [*(problems or ()), *under(f".{element.name}[{index}]", found)]
        return problems

    return handler


def _primitive_list(element: Element, sibling: str, test: Test) -> Handler:
    def handler(value: Any, parent: dict[str, Any], _context: Context) -> Problems:
        wrong = _not_a_list(element, value)
        if wrong:
            return wrong
        problems: list[Problem] = []
        others = parent.get(sibling)
        for index, item in enumerate(value):
            if item is None:
                if type(others) is list and index < len(others) and others[index] is not None:
                    continue
                text = f"null stands for a value that only has an extension, but {sibling}[{index}] has none."
                problems.append(Problem(f".{element.name}[{index}]", "structure", text))
            elif (why := test(item)) is not None:
                problems.append(Problem(f".{element.name}[{index}]", *why))
        return problems or None

    return handler


def _sibling(label: str, name: str) -> Handler:
    """For ``_birthDate``: the id and extensions of a primitive."""
    alone, beside = _one(label, object_check("Element")), _one(label, object_check("Element", valued=True))

    def handler(value: Any, parent: dict[str, Any], context: Context) -> Problems:
        return (beside if name in parent else alone)(value, parent, context)

    return handler


def _sibling_list(element: Element, name: str) -> Handler:
    alone, beside = object_check("Element"), object_check("Element", valued=True)

    def handler(value: Any, parent: dict[str, Any], context: Context) -> Problems:
        wrong = _not_a_list(element, value)
        if wrong:
            return wrong
        problems: list[Problem] = []
        others = parent.get(name)
        if type(others) is list and len(others) != len(value):
            text = f"{name} and _{name} must have the same number of items; fill up with null."
            problems.append(Problem(f".{element.name}", "structure", text))
        for index, item in enumerate(value):
            if item is not None:
                valued = type(others) is list and index < len(others) and others[index] is not None
                found = (beside if valued else alone)(item, context)
                if found:
                    problems += under(f".{element.name}[{index}]", found)
            elif type(others) is not list:
                text = f"null is only allowed where {name}[{index}] has a value."
                problems.append(Problem(f".{element.name}[{index}]", "structure", text))
        return problems or None

    return handler


def _not_an_object(value: Any) -> str:
    if value is None:
        return "null is not allowed here; leave the element out."
    if type(value) is list:
        return "This element does not repeat; give an object, not an array."
    return f"This must be an object, but it is {kind(value)}."


def _unknown(name: str, content: str, handlers: dict[str, Handler]) -> Problem:
    near = get_close_matches(name[:60], handlers, 1, 0.75)
    more = f"did you mean {near[0]}?" if near else "remove it or use an extension."
    return Problem(f".{name[:60]}", "structure", f"{content} has no element {show(name)}; {more}")


def _choice_problems(element: Element, present: frozenset[str]) -> list[Problem]:
    plain = {name.removeprefix("_") for name in present}
    if len(plain) > 1:
        text = f"Only one of {', '.join(sorted(plain))} may be given."
        return [Problem(f".{element.name}", "structure", text)]
    if not plain and element.min:
        names = list(element.json_names)
        some = ", ".join(names[:6]) + (" ..." if len(names) > 6 else "")
        return [Problem(f".{element.name}", "required", f"One of {some} is required; add it.")]
    return []
