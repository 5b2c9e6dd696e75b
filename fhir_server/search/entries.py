"""What a resource contributes to the search index: flat lists of plain tuples, made by `extract`, kept by a store.

`param` is the index name of a search parameter for the resource's type: its code (``"code"``), or derived from it:

- ``"subject:identifier"``   tokens of Reference.identifier, for the :identifier modifier
- ``"code:text"``            strings of CodeableConcept.text, .display, Identifier.type.text, for :text
- ``"identifier:of-type"``   tokens (type system, ``type code|value``), for :of-type
- ``"code-value-quantity$0"``, ``"$1"``  the components of a composite parameter
- ``"$Medication.code"``, ``"medication$Medication.code"``  of contained resources (fhir_server.search.contained)

`el` (last in every tuple) is the ordinal of the element that a composite's components share, or of the contained
resource, and 0 elsewhere.

Times are microseconds since 1970-01-01T00:00Z, both ends inclusive; an open end is MIN_TIME or MAX_TIME.
Numbers are `sortable` strings (fhir_server.search.numbers) whose byte order is their numeric order; NUMBER_MIN and
NUMBER_MAX stand for open ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

MIN_TIME: Final = -(2**62)
MAX_TIME: Final = 2**62

#: The system under which a quantity's UCUM-canonical twin is indexed.
CANONICAL_UCUM: Final = "ucum-canonical"

TokenEntry = tuple[str, str, str, int]
"""(param, system or '', code, el). A value that is present but has no code (text only) is ('param', '', '', el)."""
StringEntry = tuple[str, str, str, int]
"""(param, folded, original, el): folded by fhir_server.search.fold.fold."""
DateEntry = tuple[str, int, int, int]
"""(param, lo, hi, el)"""
NumberEntry = tuple[str, str, str, int]
"""(param, lo, hi, el)"""
QuantityEntry = tuple[str, str, str, str, str, int]
"""(param, system or '', unit code (or unit text when it has none), lo, hi, el); twin: system CANONICAL_UCUM.
A unit text that differs from the code is one more entry with system ''."""
ReferenceEntry = tuple[str, str, str, int]
"""(param, type, id, el) for a resource of this server; (param, '', absolute url, el) for any other literal reference;
(param, '', '#id', el) for a contained one, (param, '', '', el) for one without a literal (identifier or display only):
both count as present for :missing."""
UriEntry = tuple[str, str, str, int]
"""(param, uri, version or '', el): uri parameters and canonical references (split at '|')."""


@dataclass(slots=True)
class Entries:
    """All index entries of one resource. Duplicates are removed; order carries no meaning."""

    tokens: list[TokenEntry] = field(default_factory=list)
    strings: list[StringEntry] = field(default_factory=list)
    dates: list[DateEntry] = field(default_factory=list)
    numbers: list[NumberEntry] = field(default_factory=list)
    quantities: list[QuantityEntry] = field(default_factory=list)
    references: list[ReferenceEntry] = field(default_factory=list)
    uris: list[UriEntry] = field(default_factory=list)
    #: For _text: the narrative without markup. For _content: that, and these other texts. '' when not asked for.
    narrative: str = ""
    content: str = ""
