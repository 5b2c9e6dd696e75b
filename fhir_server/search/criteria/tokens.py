"""Token parameters: codes, identifiers, booleans. R4B 3.1.1.4.10."""

from __future__ import annotations

from fhir_server.r4b.references import parse_reference
from fhir_server.search.criteria.context import Context, Field, Need, Pairs, UnsupportedModifier, any_of, bad
from fhir_server.search.criteria.escapes import split, unescape
from fhir_server.search.fold import fold
from fhir_server.search.query import Node, Not, Nothing, String, Token, TokenIn


def token(field: Field, modifier: str, value: str, context: Context) -> Node:
    match modifier:
        case "":
            return plain(field, field.param, value)
        case "text":
            return String(f"{field.param}:text", "starts", fold(unescape(value)))
        case "of-type":
            return _of_type(field, value)
        case "in" | "not-in":
            return _in(field, modifier, unescape(value), context)
        case "below" | "above":
            return _hierarchy(field, modifier, value, context)
        case _:
            raise UnsupportedModifier(
                f"the modifier ':{modifier}' is not defined for token parameters such as '{field.param}'"
            )


def plain(field: Field, param: str, value: str) -> Node:
    """``code``, ``system|code``, ``|code`` or ``system|``."""
    parts = split(value, "|")
    if len(parts) > 2:
        raise bad(field.name, f"'{value}' has more than one '|'; write \\| for one that belongs to the value")
    code = unescape(parts[-1])
    folded = field.shape.folded
    if folded:
        code = code.casefold()
    if len(parts) == 1:
        return Token(param, None, code)
    system = unescape(parts[0])
    if not system:
        if not code:
            raise bad(field.name, "'|' alone says nothing; give a system, a code, or both")
        if folded:
            return Token(param, None, code)
        # A code element has no system of its own, yet is indexed with the one that its value set implies.
        return any_of([Token(param, each, code) for each in ("", *field.shape.implied)])
    return Token(param, system, code or None)


def _of_type(field: Field, value: str) -> Node:
    if "Identifier" not in field.shape.types:
        raise UnsupportedModifier(f"the modifier ':of-type' is for identifiers, and '{field.param}' is none")
    parts = [unescape(part) for part in split(value, "|")]
    if len(parts) != 3 or not parts[1] or not parts[2]:
        raise bad(field.name, f"'{value}' is not type system|type code|identifier value")
    return Token(f"{field.param}:of-type", parts[0] or None, f"{parts[1]}|{parts[2]}")


def _in(field: Field, modifier: str, value_set: str, context: Context) -> Node:
    pairs = _expansion(field, value_set, context)
    if pairs is None:
        return Nothing()
    node: Node = TokenIn(field.param, frozenset(pairs)) if pairs else Nothing()
    return Not(node) if modifier == "not-in" else node


def _expansion(field: Field, value_set: str, context: Context) -> Pairs | None:
    """The codes of a value set; None when they have to be fetched first."""
    reference = parse_reference(value_set, context.base_urls)
    local = reference.kind == "local"
    if local and reference.type != "ValueSet":
        raise bad(field.name, f"'{value_set}' is not a ValueSet")
    need = Need("value_set", f"ValueSet/{reference.id}" if local else value_set)
    context.lasting = False
    if need not in context.known and not local and context.terminology is not None:
        pairs = context.terminology.expand(value_set)
        if pairs is not None:
            return pairs
    there, pairs = context.answer(need)
    if there and pairs is None:
        raise bad(field.name, f"the value set '{value_set}' is not known here, or cannot be expanded")
    return pairs


def _hierarchy(field: Field, modifier: str, value: str, context: Context) -> Node:
    parts = [unescape(part) for part in split(value, "|")]
    if len(parts) != 2 or not all(parts):
        raise bad(field.name, f"'{value}' is not system|code, which :{modifier} needs")
    return subsumption(field, modifier, parts[0], parts[1], context)


def subsumption(field: Field, direction: str, system: str, code: str, context: Context) -> Node:
    """direction: below (subsumed by code) or above (subsumes code); the code itself is always in."""
    context.lasting = False
    terminology = context.terminology
    if terminology is None:
        raise bad(field.name, f":{direction} needs a terminology service, and none is set up")
    codes = terminology.subsumed_by(system, code) if direction == "below" else terminology.subsumes(system, code)
    if codes is None:
        raise bad(field.name, f"no hierarchy is known here for '{code}' in the code system '{system}'")
    return TokenIn(field.param, frozenset({(system, each) for each in codes} | {(system, code)}))
