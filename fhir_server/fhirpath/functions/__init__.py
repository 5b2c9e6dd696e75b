"""Every function that an expression may call, by name. Each module is one section of the specification."""

from __future__ import annotations

from typing import Final

from fhir_server.fhirpath.functions import (
    combining,
    conversion,
    existence,
    fhir,
    filtering,
    mathematics,
    strings,
    subsetting,
    tree,
)
from fhir_server.fhirpath.functions.function import Function

FUNCTIONS: Final[dict[str, Function]] = {
    **existence.FUNCTIONS,
    **filtering.FUNCTIONS,
    **subsetting.FUNCTIONS,
    **combining.FUNCTIONS,
    **conversion.FUNCTIONS,
    **strings.FUNCTIONS,
    **mathematics.FUNCTIONS,
    **tree.FUNCTIONS,
    **fhir.FUNCTIONS,
}
