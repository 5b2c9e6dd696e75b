"""DICOM files of a case: each leads to the ImagingStudy that it is a part of."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fhir_server.dicom.headers import HEAD, Instance, Unlinkable, read_header
from fhir_server.dicom.link import Linker
from fhir_server.dicom.routes import options_of
from fhir_server.files.multipart import Upload
from fhir_server.files.sniff import Kind
from fhir_server.r4b.outcome import FhirError

from .translate import NewFile

if TYPE_CHECKING:
    from fhir_server.hub import Hub

log = logging.getLogger(__name__)


async def studies_of(hub: Hub, files: Sequence[tuple[NewFile, Upload]], settings: Any) -> dict[str, str]:
    """File id -> "ImagingStudy/x", made or extended now. A file whose header names no study leads nowhere."""
    instances: dict[str, Instance] = {}
    for file, upload in files:
        if upload.sniffed.kind is Kind.DICOM:
            try:
                instances[file.file_id] = await asyncio.to_thread(read_header, await _beginning(hub, upload))
            except Unlinkable:
                log.info("a DICOM file of a case names no study that it could be linked to")
    if not instances:
        return {}
    try:
        linked = await Linker(hub, options_of(settings)).link(instances.values())
    except FhirError as error:
        # the file itself is kept all the same
        log.warning("a study could not be linked: %s", type(error).__name__)
        return {}
    studies = {each.uid: f"ImagingStudy/{each.id}" for each in linked}
    return {
        file_id: studies[instance.study_uid] for file_id, instance in instances.items() if instance.study_uid in studies
    }


async def _beginning(hub: Hub, upload: Upload) -> bytes:
    if upload.blob is None:
        return upload.data or b""
    return b"".join([chunk async for chunk in hub.store.open_blob(upload.blob.id, start=0, end=HEAD)])
