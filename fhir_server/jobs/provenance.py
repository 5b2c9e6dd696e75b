"""Who made what a job wrote: the AIAST label, the engine as a Device, and a Provenance.

R4B Provenance; v3 ObservationValue AIAST ("Artificial Intelligence asserted"), as the guide AI Transparency on FHIR.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from fhir_server.jobs.job import Outcome
from fhir_server.jobs.names import Json, Names
from fhir_server.jobs.states import instant

AIAST: Final = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "AIAST",
    "display": "Artificial Intelligence asserted",
}


def labelled(resource: Json) -> Json:
    """The resource with the AIAST label in meta.security, once."""
    meta: dict[str, Any] = dict(resource.get("meta") or {})
    security = list(meta.get("security") or ())
    if not any(label.get("code") == "AIAST" and label.get("system") == AIAST["system"] for label in security):
        security.append(dict(AIAST))
    meta["security"] = security
    return {"resourceType": resource["resourceType"], "id": resource["id"], "meta": meta} | {
        name: value for name, value in resource.items() if name not in ("resourceType", "id", "meta")
    }


def engine_device(engine: str, version: str, names: Names) -> Json:
    """The Device that stands for one version of an engine; its id is made of both."""
    id = re.sub(r"[^A-Za-z0-9\-.]", "-", f"engine-{engine}-{version}" if version else f"engine-{engine}")[:64]
    device: Json = {
        "resourceType": "Device",
        "id": id,
        "identifier": [{"system": names.identifiers("engine"), "value": engine}],
        "status": "active",
        "deviceName": [{"name": engine, "type": "model-name"}],
        "type": {"text": "Processing engine"},
    }
    if version:
        device["version"] = [{"value": version}]
    return device


def provenance(task: Json, outcome: Outcome, targets: Sequence[str], *, device: str, now: datetime) -> Json:
    """What `targets` ("Condition/x") were made from and by what; the Task itself when the job made nothing else."""
    return {
        "resourceType": "Provenance",
        "id": str(uuid5(NAMESPACE_URL, f"{task['id']}/provenance")),
        "target": [{"reference": target} for target in targets] or [{"reference": f"Task/{task['id']}"}],
        "recorded": instant(now),
        "activity": {
            "coding": [
                {"system": "http://terminology.hl7.org/CodeSystem/v3-DataOperation", "code": "CREATE"},
            ]
        },
        "agent": [
            {
                "type": {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
                            "code": "assembler",
                            "display": "Assembler",
                        }
                    ]
                },
                "who": {"reference": device, "display": f"{outcome.engine} {outcome.version}".strip()},
            }
        ],
        "entity": [{"role": "source", "what": {"reference": source}} for source in outcome.derived_from]
        + [{"role": "source", "what": {"reference": f"Task/{task['id']}"}}],
    }
