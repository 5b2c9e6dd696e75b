"""What a concept is called, in which languages and for which use; and which name to show or to accept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from terminology.server.languages import FULL, LANGUAGE, REGION, Languages, allows, any_allows, same

Json = dict[str, Any]

DISPLAY: Json = {
    "system": "http://terminology.hl7.org/CodeSystem/hl7TermMaintInfra",
    "code": "preferredForLanguage",
    "display": "Preferred For Language",
}
_SNOMED = "http://snomed.info/sct"
PREFERRED_TERM, SYNONYM, FULLY_SPECIFIED = "900000000000548007", "900000000000013009", "900000000000003001"
STANDARDS_STATUS = "http://hl7.org/fhir/StructureDefinition/structuredefinition-standards-status"
#: Extensions of a designation that an expansion repeats.
_REPEATED = frozenset(
    "http://hl7.org/fhir/StructureDefinition/" + name
    for name in (
        "coding-sctdescid",
        "rendering-style",
        "rendering-xhtml",
        "structuredefinition-standards-status",
        "codesystem-alternate",
    )
)


@dataclass(frozen=True, slots=True)
class Designation:
    """One name. display: it is (one of) the concept's displays. source: canonical url of the supplement it is from."""

    value: str
    language: str | None = None
    use: Json | None = None
    display: bool = False
    status: str = "active"
    extension: tuple[Json, ...] = ()
    source: str | None = None

    @property
    def active(self) -> bool:
        return self.status not in ("withdrawn", "inactive")

    @property
    def shows(self) -> bool:
        """It may stand for the concept: it has no particular use, or the use is to be shown."""
        return self.use is None or self.display or self._snomed(PREFERRED_TERM)

    @property
    def preferred(self) -> bool:
        return self.shows or self._snomed(SYNONYM)

    def _snomed(self, code: str) -> bool:
        return self.use is not None and self.use.get("system") == _SNOMED and self.use.get("code") == code

    def as_json(self) -> Json:
        """As in ValueSet.expansion.contains.designation."""
        found: Json = {}
        extension = [one for one in self.extension if one.get("url") in _REPEATED]
        if extension:
            found["extension"] = extension
        if self.language:
            found["language"] = self.language
        if self.use is not None:
            found["use"] = self.use
        found["value"] = self.value
        return found


def of_json(item: Json, source: str | None = None) -> Designation:
    """A designation of a CodeSystem or ValueSet resource."""
    extension = tuple(item.get("extension") or ())
    status = next((str(e.get("valueCode") or "") for e in extension if e.get("url") == STANDARDS_STATUS), "")
    return Designation(
        str(item.get("value", "")).strip(),
        item.get("language"),
        item.get("use"),
        status=status or "active",
        extension=extension,
        source=source,
    )


def preferred(names: Sequence[Designation], languages: Languages | None) -> Designation | None:
    """The name to show in these languages; None when they rule every name out."""
    if not names:
        return None
    if not languages:
        for test in (_preferred_active, _shown_active, _shown, _preferred):
            for name in names:
                if test(name):
                    return name
        return names[0]
    for wanted in languages:
        if wanted.quality <= 0:
            continue
        for active in (True, False):
            for depth in (FULL, REGION, LANGUAGE):
                fitting = [n for n in names if allows(wanted, n.language, depth) and (n.active or not active)]
                for test in (_preferred, _shown, _any):
                    for name in fitting:
                        if test(name):
                            return name
    return next((name for name in names if name.language is None and name.shows), None)


def _preferred(name: Designation) -> bool:
    return name.preferred


def _shown(name: Designation) -> bool:
    return name.shows


def _any(name: Designation) -> bool:
    return True


def _preferred_active(name: Designation) -> bool:
    return name.preferred and name.active


def _shown_active(name: Designation) -> bool:
    return name.shows and name.active


def _open_to(name: Designation, languages: Languages | None, default: str | None, depth: int = LANGUAGE) -> bool:
    if default is not None and name.language is not None and same(default, name.language, LANGUAGE):
        return True
    return any_allows(languages, name.language, depth)


def _spaced(text: str) -> str:
    return " ".join(text.split())


def accepts(
    names: Iterable[Designation], languages: Languages | None, default: str | None, value: str, *, active: bool = False
) -> tuple[bool, bool]:
    """(value is a name in these languages, it would be but for white space). Case does not matter."""
    wanted = value.lower()
    open_names = [n for n in names if n.value and _open_to(n, languages, default) and (n.active or not active)]
    if any(name.value.lower() == wanted for name in open_names):
        return True, False
    spaced = _spaced(wanted)
    return False, any(_spaced(name.value.lower()) == spaced for name in open_names)


def count(names: Iterable[Designation], languages: Languages | None, *, shown_only: bool) -> int:
    """How many names there are in these languages, as near to them as there are any."""
    candidates = [name for name in names if name.value and (name.shows or not shown_only)]
    for depth in (FULL, REGION, LANGUAGE):
        found = sum(_open_to(name, languages, None, depth) for name in candidates)
        if found:
            return found
    return 0


def presented(names: Iterable[Designation], languages: Languages | None) -> str:
    """Displays for a message: ``'Display 1' (en) or 'Anzeige 1' (de)``; all of them when none is in the languages."""
    candidates = [name for name in names if name.value and name.shows]
    chosen = [name for name in candidates if _open_to(name, languages, None)] or candidates
    texts = [f"'{name.value}' ({name.language})" if name.language else f"'{name.value}'" for name in chosen]
    if len(texts) <= 2:
        return " or ".join(texts)
    return f"{', '.join(texts[:-1])} or {texts[-1]}"
