"""DICOM files among uploads: each leads to the ImagingStudy that it is a part of."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fhir_server.files.multipart import Upload
from fhir_server.files.sniff import Kind
from fhir_server.r4b.outcome import FhirError

if TYPE_CHECKING:
    from fhir_server.hub import Hub

log = logging.getLogger(__name__)


async def studies_of(hub: Hub, files: Sequence[tuple[str, Upload]], settings: Any) -> dict[str, str]:
    """Of (id, upload) pairs: id -> "ImagingStudy/x", made or extended now. A file that is no DICOM object, or whose
    header names no study, leads nowhere."""
    dicom = [(id, upload) for id, upload in files if upload.sniffed.kind is Kind.DICOM]
    if not dicom:
        return {}
    # pydicom is loaded only where there is something for it
    from fhir_server.dicom.headers import HEAD, Unlinkable, read_header
    from fhir_server.dicom.link import Linker
    from fhir_server.dicom.routes import options_of

    instances = {}
    for id, upload in dicom:
        beginning = upload.data or b""
        if upload.blob is not None:
            beginning = b"".join([chunk async for chunk in hub.store.open_blob(upload.blob.id, start=0, end=HEAD)])
        try:
            instances[id] = await asyncio.to_thread(read_header, beginning)
        except Unlinkable:
            log.info("a DICOM file names no study that it could be linked to")
    if not instances:
        return {}
    try:
        linked = await Linker(hub, options_of(settings)).link(instances.values())
    except FhirError as error:
        # the file itself is kept all the same
        log.warning("a study could not be linked: %s", type(error).__name__)
        return {}
    studies = {each.uid: f"ImagingStudy/{each.id}" for each in linked}
    return {id: studies[instance.study_uid] for id, instance in instances.items() if instance.study_uid in studies}
