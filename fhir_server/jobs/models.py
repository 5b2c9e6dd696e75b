"""fhir.resources' R4B models, as the second opinion on what a job is about to write.

Imported on first use (0.3 s, 20 MB): in a worker, never in the process that answers requests. A model's own dump
rewrites decimals and instants, so the resource that was checked is what is written, not the dump.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fhir_server.jobs.names import Json


def checked(resource: Json) -> Json:
    """The resource, which the model of its type accepts. Raises ValueError when it does not."""
    model(resource["resourceType"]).model_validate(resource)
    return resource


def model(type: str) -> Any:
    """The model class of a resource type."""
    return getattr(import_module(f"fhir.resources.R4B.{type.lower()}"), type)
