"""What can go wrong with a FHIRPath expression."""

from __future__ import annotations


class FhirPathError(ValueError):
    """The expression cannot be read, or evaluation ends with an error (FHIRPath N1)."""
