"""ConceptMap/$translate (R4B 4.10.15.1), in both directions and with dependencies; and $closure (4.10.15.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from terminology.server.library import maps_systems
from terminology.server.session import Session, canonical_of

Json = dict[str, Any]


@runtime_checkable
class Filed(Protocol):
    """A ConceptMap whose elements are read as they are needed."""

    def groups_for(self, code: str, *, reverse: bool) -> list[dict[str, Any]]: ...


_NO_MATCH: Final = frozenset(("unmatched", "disjoint"))


@dataclass(frozen=True, slots=True)
class Match:
    """One translation. equivalence: of the target as seen from the source; source: the code it was found from, when
    translating backwards."""

    equivalence: str
    coding: Json
    map: str
    products: tuple[Json, ...] = ()
    source: Json | None = None
    comment: str | None = None


def translate(
    maps: Sequence[Json],
    codings: Sequence[Json],
    *,
    target: str | None = None,
    dependencies: Sequence[tuple[str, Json]] = (),
    reverse: bool = False,
) -> list[Match]:
    """What the maps say of the codings; the best known first. target: only codes of this system.

    dependencies: (property, value as Coding with system and code) that are known of the patient or the context."""
    found: list[Match] = []
    for resource in maps:
        for coding in codings:
            for group in _groups(resource, coding, reverse):
                one = _reverse(resource, group, coding) if reverse else _forward(resource, group, coding, dependencies)
                for match in one:
                    if target in (None, match.coding.get("system")) and match not in found:
                        found.append(match)
    return found


def _groups(resource: Json, coding: Json, reverse: bool) -> Sequence[Json]:
    if isinstance(resource, Filed):
        return resource.groups_for(str(coding.get("code", "")), reverse=reverse)
    return resource.get("group") or ()


def _forward(resource: Json, group: Json, coding: Json, dependencies: Sequence[tuple[str, Json]]) -> list[Match]:
    if group.get("source") not in (None, coding.get("system")):
        return []
    versions = (group.get("sourceVersion"), coding.get("version"))
    if all(versions) and versions[0] != versions[1]:
        return []
    found: list[Match] = []
    mapped = False
    for element in group.get("element") or ():
        if element.get("code") != coding.get("code"):
            continue
        mapped = True
        for target in element.get("target") or ():
            if not _holds(target.get("dependsOn") or (), dependencies):
                continue
            found.append(_match(resource, group, target))
    if not mapped:
        found += _unmapped(resource, group, coding)
    return found


def _match(resource: Json, group: Json, target: Json) -> Match:
    coding = {"system": group.get("target"), "version": group.get("targetVersion")}
    coding |= {"code": target.get("code"), "display": target.get("display")}
    products = tuple(
        {
            "element": item["property"],
            "concept": {k: v for k, v in (("system", item.get("system")), ("code", item.get("value"))) if v},
        }
        for item in target.get("product") or ()
    )
    return Match(
        target.get("equivalence", "relatedto"),
        {key: value for key, value in coding.items() if value is not None},
        canonical_of(resource),
        products,
        comment=target.get("comment"),
    )


def _holds(needs: Sequence[Json], dependencies: Sequence[tuple[str, Json]]) -> bool:
    """True when every dependsOn of a target is among what is known."""
    for need in needs:
        wanted = (need.get("property"), need.get("system"), str(need.get("value")))
        if not any(
            wanted[0] == name and wanted[1] in (None, value.get("system")) and wanted[2] == str(value.get("code"))
            for name, value in dependencies
        ):
            return False
    return True


def _unmapped(resource: Json, group: Json, coding: Json) -> list[Match]:
    rule = group.get("unmapped") or {}
    mode = rule.get("mode")
    if mode == "provided":
        code, display = coding.get("code"), coding.get("display")
    elif mode == "fixed":
        code, display = rule.get("code"), rule.get("display")
    else:
        return []
    target = {"system": group.get("target"), "code": code, "display": display}
    found = {key: value for key, value in target.items() if value is not None}
    return [Match("equal" if mode == "provided" else "relatedto", found, canonical_of(resource))]


#: What is wider one way is narrower the other.
_BACK: Final = {"wider": "narrower", "narrower": "wider", "subsumes": "specializes", "specializes": "subsumes"}


def _reverse(resource: Json, group: Json, coding: Json) -> list[Match]:
    """From a target's code to the sources that have it."""
    if group.get("target") not in (None, coding.get("system")):
        return []
    found = []
    for element in group.get("element") or ():
        for target in element.get("target") or ():
            if target.get("code") != coding.get("code"):
                continue
            back = {"system": group.get("source"), "version": group.get("sourceVersion"), "code": element.get("code")}
            back["display"] = element.get("display")
            equivalence = target.get("equivalence", "relatedto")
            found.append(
                Match(
                    _BACK.get(equivalence, equivalence),
                    {key: value for key, value in back.items() if value is not None},
                    canonical_of(resource),
                    comment=target.get("comment"),
                )
            )
    return found


def maps_for(
    session: Session,
    codings: Sequence[Json],
    target: str | None,
    source_set: str | None,
    target_set: str | None,
    *,
    reverse: bool,
) -> list[Json]:
    """The ConceptMaps that may translate: by their groups' systems, and by the value sets they are for."""
    found: dict[int, Json] = {}
    for coding in codings:
        system = coding.get("system")
        pair = (target, system) if reverse else (system, target)
        for one in session.library.maps_between(*pair):
            if _fits(one, source_set, "source") and _fits(one, target_set, "target"):
                found.setdefault(id(one), one)
    return list(found.values())


def _fits(resource: Json, value_set: str | None, side: str) -> bool:
    stated = resource.get(f"{side}Uri") or resource.get(f"{side}Canonical")
    return value_set is None or stated is None or stated.partition("|")[0] == value_set.partition("|")[0]


def answer(matches: Sequence[Match], *, sources: Sequence[Json] | None = None) -> Json:
    """The Parameters of $translate."""
    good = [match for match in matches if match.equivalence not in _NO_MATCH]
    parameters: list[Json] = [{"name": "result", "valueBoolean": bool(good)}]
    if not good:
        text = "No translation is known for this code."
        if matches:
            text = "The map says that this code has no equivalent."
        parameters.append({"name": "message", "valueString": text})
    for match in matches:
        parts: list[Json] = [{"name": "equivalence", "valueCode": match.equivalence}]
        if match.coding.get("code"):
            parts.append({"name": "concept", "valueCoding": match.coding})
        for product in match.products:
            parts.append(
                {
                    "name": "product",
                    "part": [
                        {"name": "element", "valueUri": product["element"]},
                        {"name": "concept", "valueCoding": product["concept"]},
                    ],
                }
            )
        if match.map:
            parts.append({"name": "source", "valueUri": match.map})
        parameters.append({"name": "match", "part": parts})
    return {"resourceType": "Parameters", "parameter": parameters}


__all__ = ["Match", "answer", "maps_for", "maps_systems", "translate"]
