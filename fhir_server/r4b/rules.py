"""The invariants of the standard that are cheap to test by hand, on every write. R4B 2.1.0.3 (constraints).

The others, which need FHIRPath, are tested where full validation is asked for. A rule takes the JSON object that the
invariant is stated on; on values of the wrong type it says nothing, because the structure's check does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from fhir_server.r4b.definitions import definitions
from fhir_server.r4b.times import time_range

Object = dict[str, Any]
#: A sentence when the rule is broken, else None.
Rule = Callable[[Object], str | None]
#: True when the rule is broken.
Broken = Callable[[Object], bool]

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_UCUM = "http://unitsofmeasure.org"


def has(value: Object, *names: str) -> bool:
    """Whether any of the elements exists, with a value or only an extension."""
    return any(name in value or "_" + name in value for name in names)


def has_choice(value: Object, name: str) -> bool:
    """Whether a choice element exists with any type."""
    size = len(name)
    return any(
        (n[1:] if n[0] == "_" else n).startswith(name) and n.lstrip("_")[size:][:1].isupper() for n in value if n
    )


def objects(value: Object, name: str) -> Iterable[Object]:
    return (item for item in value.get(name, ()) if isinstance(item, dict))


def coded(value: Object, name: str, system: str, *codes: str) -> bool:
    concept = value.get(name, {})
    return any(c.get("system") == system and c.get("code") in codes for c in objects(concept, "coding"))


def needs(name: str, *others: str) -> Broken:
    """`name` is only allowed together with one of `others`."""
    return lambda v: has(v, name) and not has(v, *others)


def one_of(*names: str) -> Broken:
    """At least one must exist."""
    return lambda v: not has(v, *names)


def not_both(name: str, other: str) -> Broken:
    return lambda v: has(v, name) and has(v, other)


def exactly_one(name: str, other: str) -> Broken:
    return lambda v: has(v, name) == has(v, other)


def _period(v: Object) -> bool:
    start, end = v.get("start"), v.get("end")
    if start is None or end is None:
        return False
    low, high = time_range(start), time_range(end)
    return low is not None and high is not None and low[0] > high[1]


def _range(v: Object) -> bool:
    low, high = v.get("low"), v.get("high")
    if low is None or high is None or "value" not in low or "value" not in high:
        return False
    same = low.get("code") == high.get("code") and low.get("unit") == high.get("unit")
    return same and bool(low["value"] > high["value"])


def _ratio(v: Object) -> bool:
    top, bottom = has(v, "numerator"), has(v, "denominator")
    return top != bottom or (not top and "extension" not in v)


def _measured(v: Object) -> bool:
    return ("value" in v and not has(v, "code")) or ("system" in v and v["system"] != _UCUM)


def _age(v: Object) -> bool:
    return _measured(v) or ("value" in v and v["value"] <= 0)


def _count(v: Object) -> bool:
    whole = "value" not in v or Decimal(v["value"]) == int(v["value"])
    return _measured(v) or v.get("code", "1") != "1" or not whole


def _timing(v: Object) -> bool:
    return "offset" in v and ("when" not in v or any(code in ("C", "CM", "CD", "CV") for code in v["when"]))


def _negative(name: str) -> Broken:
    return lambda v: name in v and v[name] < 0


def _trigger(v: Object) -> bool:
    type_ = v.get("type")
    if type_ == "named-event":
        return not has(v, "name")
    if type_ == "periodic":
        return not has_choice(v, "timing")
    return isinstance(type_, str) and type_.startswith("data-") and not has(v, "data")


def _same_code_as_component(v: Object) -> bool:
    if "component" not in v or "code" not in v or not has_choice(v, "value"):
        return False
    keys = ("system", "version", "code", "display", "userSelected")
    own = {tuple(c.get(k) for k in keys) for c in objects(v["code"], "coding")}
    parts = (c for part in objects(v, "component") for c in objects(part.get("code", {}), "coding"))
    return any(tuple(c.get(k) for k in keys) in own for c in parts)


def _abated(v: Object) -> bool:
    system = _TERMINOLOGY + "condition-clinical"
    return has_choice(v, "abatement") and not coded(v, "clinicalStatus", system, "resolved", "remission", "inactive")


def _in_error(kind: str) -> Broken:
    system = _TERMINOLOGY + kind
    return lambda v: has(v, "clinicalStatus") and coded(v, "verificationStatus", system, "entered-in-error")


def _allergy_status(v: Object) -> bool:
    system = _TERMINOLOGY + "allergyintolerance-verification"
    return not has(v, "clinicalStatus") and not coded(v, "verificationStatus", system, "entered-in-error")


def _home(name: str) -> Broken:
    return lambda v: any(item.get("use") == "home" for item in objects(v, name))


def _appointment(v: Object) -> bool:
    timed = has(v, "start") and has(v, "end")
    return not timed and v.get("status") not in ("proposed", "cancelled", "waitlist")


def _entry_part(part: str, *types: str) -> Broken:
    return lambda v: any(has(e, part) != (v.get("type") in types) for e in objects(v, "entry"))


def _full_urls(v: Object) -> bool:
    if v.get("type") == "history":
        return False
    seen = [
        (e["fullUrl"], e.get("resource", {}).get("meta", {}).get("versionId"))
        for e in objects(v, "entry")
        if "fullUrl" in e
    ]
    return len(set(seen)) < len(seen)


def _first_is(bundle: str, resource: str) -> Broken:
    def broken(v: Object) -> bool:
        if v.get("type") != bundle:
            return False
        first = next(iter(objects(v, "entry")), {})
        return bool(first.get("resource", {}).get("resourceType") != resource)

    return broken


def _document(v: Object) -> bool:
    identifier = v.get("identifier", {})
    return v.get("type") == "document" and not (has(identifier, "system") and has(identifier, "value"))


def _only_when(name: str, other: str, *values: Any) -> Broken:
    """`name` is only allowed when `other` has one of `values`."""
    return lambda v: has(v, name) and v.get(other) not in values


_RULES: Mapping[str, Mapping[str, Broken]] = {
    "Age": {"age-1": _age},
    "AllergyIntolerance": {"ait-1": _allergy_status, "ait-2": _in_error("allergyintolerance-verification")},
    "Appointment": {
        "app-2": lambda v: has(v, "start") != has(v, "end"),
        "app-3": _appointment,
        "app-4": _only_when("cancelationReason", "status", "cancelled", "noshow", "no-show"),
    },
    "Appointment.participant": {"app-1": one_of("type", "actor")},
    "AppointmentResponse": {"apr-1": one_of("participantType", "actor")},
    "Attachment": {"att-1": needs("data", "contentType")},
    "Bundle": {
        "bdl-1": _only_when("total", "type", "searchset", "history"),
        "bdl-2": lambda v: v.get("type") != "searchset" and any(has(e, "search") for e in objects(v, "entry")),
        "bdl-3": _entry_part("request", "batch", "transaction", "history"),
        "bdl-4": _entry_part("response", "batch-response", "transaction-response", "history"),
        "bdl-7": _full_urls,
        "bdl-9": _document,
        "bdl-10": lambda v: v.get("type") == "document" and "timestamp" not in v,
        "bdl-11": _first_is("document", "Composition"),
        "bdl-12": _first_is("message", "MessageHeader"),
    },
    "Bundle.entry": {
        "bdl-5": one_of("resource", "request", "response"),
        "bdl-8": lambda v: "/_history/" in v.get("fullUrl", ""),
    },
    "CapabilityStatement": {
        "cpb-1": one_of("rest", "messaging", "document"),
        "cpb-2": one_of("description", "software", "implementation"),
        "cpb-14": lambda v: v.get("kind") == "instance" and not has(v, "implementation"),
        "cpb-15": lambda v: v.get("kind") == "capability" and (has(v, "implementation") or not has(v, "software")),
        "cpb-16": lambda v: v.get("kind") == "requirements" and has(v, "implementation", "software"),
    },
    "CarePlan.activity": {"cpl-3": not_both("detail", "reference")},
    "Composition.section": {
        "cmp-1": one_of("text", "entry", "section"),
        "cmp-2": not_both("emptyReason", "entry"),
    },
    # Not cmd-1: the concept maps that the standard itself publishes break it.
    "ConceptMap.group.unmapped": {
        "cmd-2": lambda v: v.get("mode") == "fixed" and not has(v, "code"),
        "cmd-3": lambda v: v.get("mode") == "other-map" and not has(v, "url"),
    },
    "Condition": {"con-4": _abated, "con-5": _in_error("condition-ver-status")},
    "Condition.stage": {"con-1": one_of("summary", "assessment")},
    "Condition.evidence": {"con-2": one_of("code", "detail")},
    "Consent": {"ppc-1": one_of("policy", "policyRule")},
    "ContactPoint": {"cpt-2": needs("value", "system")},
    "Count": {"cnt-3": _count},
    "CoverageEligibilityResponse.insurance.item": {"ces-1": exactly_one("category", "productOrService")},
    "DataRequirement.codeFilter": {"drq-1": exactly_one("path", "searchParam")},
    "DataRequirement.dateFilter": {"drq-2": exactly_one("path", "searchParam")},
    "Distance": {"dis-1": _measured},
    "Duration": {"drt-1": lambda v: "value" in v and (v.get("system") != _UCUM or not has(v, "code"))},
    "Expression": {"exp-1": one_of("expression", "reference")},
    "Extension": {"ext-1": lambda v: ("extension" in v) == has_choice(v, "value")},
    "FamilyMemberHistory": {
        "fhs-1": lambda v: has_choice(v, "age") and has_choice(v, "born"),
        "fhs-2": lambda v: has(v, "estimatedAge") and not has_choice(v, "age"),
    },
    "Goal.target": {"gol-1": lambda v: has_choice(v, "detail") and not has(v, "measure")},
    "Group": {"grp-1": lambda v: has(v, "member") and v.get("actual") is not True},
    "Immunization.education": {"imm-1": one_of("documentType", "reference")},
    "ImmunizationRecommendation.recommendation": {"imr-1": one_of("vaccineCode", "targetDisease")},
    "InsurancePlan": {"ipn-1": one_of("identifier", "name")},
    "Linkage": {"lnk-1": lambda v: len(v.get("item", ())) < 2},
    "List": {
        "lst-1": not_both("emptyReason", "entry"),
        "lst-2": lambda v: v.get("mode") != "changes" and any(has(e, "deleted") for e in objects(v, "entry")),
        "lst-3": lambda v: v.get("mode") != "working" and any(has(e, "date") for e in objects(v, "entry")),
    },
    "MeasureReport": {"mrp-1": lambda v: v.get("type") == "data-collection" and has(v, "group")},
    "MedicationAdministration.dosage": {"mad-1": lambda v: not has(v, "dose") and not has_choice(v, "rate")},
    "MolecularSequence": {"msq-3": lambda v: v.get("coordinateSystem", 0) not in (0, 1)},
    "Observation": {
        "obs-6": lambda v: has(v, "dataAbsentReason") and has_choice(v, "value"),
        "obs-7": _same_code_as_component,
    },
    "Observation.referenceRange": {"obs-3": one_of("low", "high", "text")},
    "Organization": {"org-1": one_of("identifier", "name"), "org-2": _home("address"), "org-3": _home("telecom")},
    "Patient.contact": {"pat-1": one_of("name", "telecom", "address", "organization")},
    "Period": {"per-1": _period},
    "Quantity": {"qty-3": needs("code", "system")},
    "QuestionnaireResponse.item": {"qrs-1": not_both("answer", "item")},
    "Range": {"rng-2": _range},
    "Ratio": {"rat-1": _ratio},
    "RequestGroup.action": {"rqg-1": exactly_one("resource", "action")},
    "SearchParameter": {
        "spd-1": needs("xpath", "xpathUsage"),
        "spd-2": _only_when("chain", "type", "reference"),
    },
    "ServiceRequest": {"prr-1": needs("orderDetail", "code")},
    "Timing.repeat": {
        "tim-1": needs("duration", "durationUnit"),
        "tim-2": needs("period", "periodUnit"),
        "tim-4": _negative("duration"),
        "tim-5": _negative("period"),
        "tim-6": needs("periodMax", "period"),
        "tim-7": needs("durationMax", "duration"),
        "tim-8": needs("countMax", "count"),
        "tim-9": _timing,
        "tim-10": not_both("timeOfDay", "when"),
    },
    "TriggerDefinition": {
        "trd-1": lambda v: has(v, "data") and has_choice(v, "timing"),
        "trd-2": needs("condition", "data"),
        "trd-3": _trigger,
    },
}
#: Quantity's own rule holds for what specializes it.
_ALSO: Mapping[str, str] = dict.fromkeys(("Age", "Count", "Distance", "Duration"), "Quantity")
TESTED: frozenset[str] = frozenset(key for rules in _RULES.values() for key in rules)
"""Keys of the invariants that are tested here."""


def rules_of(content: str) -> list[Rule]:
    """The rules of one type or backbone path."""
    named = {**_RULES.get(_ALSO.get(content, ""), {}), **_RULES.get(content, {})}
    return [_rule(content, key, broken) for key, broken in named.items()]


def _rule(content: str, key: str, broken: Broken) -> Rule:
    def rule(value: Object) -> str | None:
        try:
            return _sentence(content, key) if broken(value) else None
        except (TypeError, AttributeError, KeyError, ValueError, ArithmeticError):
            return None

    return rule


@lru_cache(maxsize=512)
def _sentence(content: str, key: str) -> str:
    type_ = content.partition(".")[0]
    for name in (type_, _ALSO.get(type_, type_), "Element"):
        for invariant in definitions().invariants(name):
            if invariant.key == key:
                return f"{invariant.human.strip().rstrip('.')} ({key})."
    return f"The invariant {key} of {content} does not hold."
