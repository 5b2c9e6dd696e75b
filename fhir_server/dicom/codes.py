"""DICOM's codes as FHIR codings. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from fhir_server.dicom.headers import Code

DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
SNOMED: Final = "http://snomed.info/sct"
_SCHEMES: Final = {
    "SCT": SNOMED,
    "SRT": "http://snomed.info/srt",
    "SNM3": "http://snomed.info/srt",
    "99SDM": "http://snomed.info/srt",
    "DCM": DCM,
    "LN": "http://loinc.org",
    "RADLEX": "http://radlex.org",
    "CPT": "http://www.ama-assn.org/go/cpt",
    "I10": "http://hl7.org/fhir/sid/icd-10",
    "I9C": "http://hl7.org/fhir/sid/icd-9-cm",
}
#: Body Part Examined (PS3.16 Annex L) -> SNOMED CT
_BODY_PARTS: Final = {
    "ABDOMEN": ("818981001", "Abdomen"),
    "ANKLE": ("70258002", "Ankle joint"),
    "BRAIN": ("12738006", "Brain"),
    "BREAST": ("76752008", "Breast"),
    "CHEST": ("51185008", "Chest"),
    "CSPINE": ("122494005", "Cervical spine"),
    "ELBOW": ("16953009", "Elbow joint"),
    "FOOT": ("56459004", "Foot"),
    "HAND": ("85562004", "Hand"),
    "HEAD": ("69536005", "Head"),
    "HEART": ("80891009", "Heart"),
    "HIP": ("24136001", "Hip joint"),
    "KIDNEY": ("64033007", "Kidney"),
    "KNEE": ("72696002", "Knee"),
    "LIVER": ("10200004", "Liver"),
    "LSPINE": ("122496007", "Lumbar spine"),
    "NECK": ("45048000", "Neck"),
    "PELVIS": ("816092008", "Pelvis"),
    "SHOULDER": ("16982005", "Shoulder"),
    "SKULL": ("89546000", "Skull"),
    "SPINE": ("421060004", "Spine"),
    "TSPINE": ("122495006", "Thoracic spine"),
    "WHOLEBODY": ("38266002", "Entire body"),
    "WRIST": ("74670003", "Wrist joint"),
}
_SIDES: Final = {"L": ("7771000", "Left"), "R": ("24028007", "Right"), "B": ("51440002", "Right and left")}
_CODE: Final = re.compile(r"[^\s]+( [^\s]+)*")


def modality(text: str) -> dict[str, Any]:
    """A series' modality; OT (other) when it says none."""
    return {"system": DCM, "code": text or "OT"}


def sop_class(uid: str) -> dict[str, Any]:
    return {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{uid}"}


def coding(code: Code) -> dict[str, Any]:
    """The Coding of a coded concept; without a system when its scheme is a local one."""
    found: dict[str, Any] = {}
    system = _SCHEMES.get(code.scheme.upper())
    if system:
        found["system"] = system
    found["code"] = code.value
    if code.meaning:
        found["display"] = code.meaning
    return found


def body_site(anatomy: Code | None, body_part: str) -> dict[str, Any] | None:
    """Where a series looked: the coded region, else the usual word for it with its SNOMED CT code."""
    if anatomy is not None:
        return coding(anatomy)
    word = body_part.upper().replace(" ", "").replace("_", "")
    if word in _BODY_PARTS:
        code, display = _BODY_PARTS[word]
        return {"system": SNOMED, "code": code, "display": display}
    return {"display": body_part} if body_part else None


def laterality(text: str) -> dict[str, Any] | None:
    found = _SIDES.get(text.upper())
    return {"system": SNOMED, "code": found[0], "display": found[1]} if found else None
