"""The terminology operations. Importing the package registers them."""

from __future__ import annotations

from fhir_server.operations.terminology import expand, lookup, subsumes, translate, validate_code

__all__ = ["expand", "lookup", "subsumes", "translate", "validate_code"]
