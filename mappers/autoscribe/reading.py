"""What the vendor's routes read of FHIR, through the hub, with the rights of the caller."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from starlette.exceptions import HTTPException

from fhir_server.dicom import uids
from fhir_server.files.keep import content_of
from fhir_server.jobs.names import Json
from fhir_server.r4b.codec import instant
from fhir_server.r4b.outcome import BadRequest
from fhir_server.security.caller import Caller

from . import reports
from .ids import REPORT, STUDY, USER, Index, Kind, read
from .metadata import name_of
from .reports import View
from .studies import READ_STUDY, StudyView, owner_of

if TYPE_CHECKING:
    from fhir_server.hub import Hub

_BATCH: Final = 50


def checked(kind: Kind, id: str) -> str:
    """A vendor id in its form. Raises 400 for anything else."""
    if not kind.is_valid(id):
        raise HTTPException(
            400, f"Invalid {kind.word} id: it must have the form {kind.prefix}_ and 32 hexadecimal digits."
        )
    return id


def checked_uid(uid: str) -> str:
    if not uids.is_uid(uid):
        raise HTTPException(400, "Invalid studyInstanceUid: it must be a valid DICOM UID.")
    return uid


@dataclass(slots=True)
class Reader:
    """Reads for one request. default_user: the vendor id of who signs reports that name nobody."""

    hub: Hub
    caller: Caller
    index: Index
    default_user: str
    _read: dict[str, Json | None] = field(default_factory=dict)

    async def read(self, reference: str | None) -> Json | None:
        """The resource of "Type/id", once per request."""
        if reference is None:
            return None
        if reference not in self._read:
            type, _, id = reference.partition("/")
            self._read[reference] = await read(self.hub, self.caller, type, id)
        return self._read[reference]

    def forget(self, reference: str | None) -> None:
        """Read it again when it is asked for again: the last attempt to write it lost a race."""
        self._read.pop(reference or "", None)

    async def study(self, id: str | None, uid: str | None) -> Json:
        """The study of either id. Raises 400 for ids that cannot be or do not agree, 404 when there is none."""
        if not id and not uid:
            raise HTTPException(400, "Must provide either studyId or studyInstanceUid.")
        if uid:
            checked_uid(uid)
        found = None
        if id:
            found = await self.index.find(self.caller, STUDY, checked(STUDY, id))
            if found is None or found.get("status") == "entered-in-error":
                raise HTTPException(404, "Study not found.")
            if uid and uids.study_uid(found) != uid:
                raise HTTPException(400, "studyId and studyInstanceUid do not name the same study.")
        elif uid:
            found = await self.study_with(uid)
        if found is None:
            raise HTTPException(404, "Study not found.")
        return found

    async def study_with(self, uid: str) -> Json | None:
        """The study with this Study Instance UID."""
        found = await self.hub.find(self.caller, "ImagingStudy", uids.criteria(uid), limit=10)
        return next((each for each in found if each.get("status") != "entered-in-error"), None)

    async def report(self, id: str) -> tuple[Json, Json]:
        """A report that the vendor shows, and its study. Raises 400, 404."""
        found = await self.index.find(self.caller, REPORT, checked(REPORT, id))
        if found is None or reports.status_of(found) is None:
            raise HTTPException(404, "Report not found.")
        study = await self.study_of(found)
        if study is None:
            raise HTTPException(404, "Report not found: it belongs to no study.")
        return found, study

    async def study_of(self, report: Mapping[str, Any]) -> Json | None:
        """The study that a report is on."""
        for reference in report.get("imagingStudy") or ():
            study = await self.read(reports.local(reference.get("reference"), "ImagingStudy"))
            if study is None and reference.get("identifier"):
                uid = uids.uid_in([reference["identifier"]])
                study = await self.study_with(uid) if uid else None
            if study is not None:
                return study
        return None

    async def reports_of(self, studies: Sequence[Mapping[str, Any]]) -> dict[str, list[Json]]:
        """ImagingStudy id -> its DiagnosticReports of any status, oldest first."""
        found: dict[str, list[Json]] = {str(study["id"]): [] for study in studies}
        by_uid = {uid: str(study["id"]) for study in studies if (uid := uids.study_uid(study)) is not None}
        for start in range(0, len(studies), _BATCH):
            known: dict[str, Json] = {}
            for report in await self._reports(studies[start : start + _BATCH]):
                known.setdefault(str(report["id"]), report)
            for report in known.values():
                for reference in report.get("imagingStudy") or ():
                    id = (reports.local(reference.get("reference"), "ImagingStudy") or "/").partition("/")[2]
                    id = id or by_uid.get(uids.uid_in([reference.get("identifier") or {}]) or "", "")
                    if id in found and report not in found[id]:
                        found[id].append(report)
        return found

    async def _reports(self, studies: Sequence[Mapping[str, Any]]) -> list[Json]:
        by_reference = ",".join(f"ImagingStudy/{study['id']}" for study in studies)
        by_uid = ",".join(
            f"{uids.SYSTEM}|{prefix}{uid}"
            for study in studies
            if (uid := uids.study_uid(study)) is not None
            for prefix in ("urn:oid:", "")
        )
        searches = [[("imaging-study", by_reference)]]
        if by_uid:
            searches.append([("imaging-study:identifier", by_uid)])
        try:
            sets = await asyncio.gather(*(self.hub.find(self.caller, "DiagnosticReport", each) for each in searches))
        except BadRequest:
            # the server is new: its parameter imaging-study is not indexed yet
            subjects = {str((study.get("subject") or {}).get("reference", "")) for study in studies} - {""}
            if not subjects:
                return []
            sets = [await self.hub.find(self.caller, "DiagnosticReport", [("subject", ",".join(sorted(subjects)))])]
        return [report for found in sets for report in found]

    async def views(self, found: Iterable[Mapping[str, Any]], study: Mapping[str, Any]) -> list[View]:
        """The reports that the vendor shows, oldest first."""
        shown = [report for report in found if reports.status_of(report) is not None]
        views = await asyncio.gather(*(self.view(report, study) for report in shown))
        return sorted(views, key=lambda view: (view.created or "", str(view.report["id"])))

    async def view(self, report: Mapping[str, Any], study: Mapping[str, Any]) -> View:
        patient_of = report.get("subject") or study.get("subject") or {}
        patient, user, created, text = await asyncio.gather(
            self.read(reports.local(patient_of.get("reference"), "Patient")),
            self._user_of(report),
            self.created(report),
            self._text_of(report),
        )
        return View(report, study, patient, user, created, text)

    async def _text_of(self, report: Mapping[str, Any]) -> str | None:
        """The text of a report that keeps it in a Binary."""
        reference = reports.form_reference(report, "text/plain")
        if reference is None or reports.text_form(report) is not None:
            return None
        binary = await self.read(reference)
        if binary is None:
            return None
        content = await content_of(self.hub, reference.partition("/")[2])
        return content.decode("utf-8", "replace") if content is not None else None

    async def _user_of(self, report: Mapping[str, Any]) -> str:
        """The vendor id of the radiologist."""
        for reference in [*(report.get("resultsInterpreter") or ()), *(report.get("performer") or ())]:
            found = await self._practitioner(reference)
            if found is not None:
                return found
        return self.default_user

    async def _practitioner(self, reference: Mapping[str, Any]) -> str | None:
        identifier = reference.get("identifier") or {}
        if identifier.get("system") == USER.system and USER.is_valid(str(identifier.get("value", ""))):
            return str(identifier["value"])
        role = reports.local(reference.get("reference"), "PractitionerRole")
        if role is not None:
            reference = (await self.read(role) or {}).get("practitioner") or {}
        local = reports.local(reference.get("reference"), "Practitioner")
        if local is None:
            return None
        practitioner = await self.read(local)
        return USER.of(practitioner) if practitioner is not None else USER.of_id(local.partition("/")[2])

    async def created(self, resource: Mapping[str, Any]) -> str | None:
        """The instant of a resource's first version."""
        meta = resource.get("meta") or {}
        if meta.get("versionId") == "1":
            return meta.get("lastUpdated")
        first = await self.hub.store.read_version(str(resource["resourceType"]), str(resource["id"]), 1)
        return instant(first.last_updated) if first is not None else None

    async def study_views(self, studies: Sequence[Mapping[str, Any]]) -> list[StudyView]:
        """All that the projection of these studies needs."""
        found, tasks = await asyncio.gather(self.reports_of(studies), self.tasks_of(studies))
        return await asyncio.gather(
            *(self._study_view(study, tasks.get(str(study["id"])), found[str(study["id"])]) for study in studies)
        )

    async def _study_view(
        self, study: Mapping[str, Any], task: Mapping[str, Any] | None, found: Sequence[Mapping[str, Any]]
    ) -> StudyView:
        patient, created, users = await asyncio.gather(
            self.read(reports.local((study.get("subject") or {}).get("reference"), "Patient")),
            self.created(study),
            self._users(owner_of(task)),
        )
        ordered = sorted(found, key=lambda each: str((each.get("meta") or {}).get("lastUpdated")))
        return StudyView(study, task, patient, ordered, created, users)

    async def _users(self, reference: str | None) -> dict[str, Json]:
        practitioner = await self.read(reference)
        return {reference: user_reference(practitioner)} if reference is not None and practitioner is not None else {}

    async def tasks_of(self, studies: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        """ImagingStudy id -> the Task of reading it, the newest where there are several."""
        found: dict[str, Json] = {}
        for start in range(0, len(studies), _BATCH):
            focus = ",".join(f"ImagingStudy/{study['id']}" for study in studies[start : start + _BATCH])
            for task in await self.hub.find(self.caller, "Task", [("focus", focus), ("code", READ_STUDY)]):
                id = (reports.local((task.get("focus") or {}).get("reference"), "ImagingStudy") or "/").partition("/")[
                    2
                ]
                if str(task.get("status")) not in ("cancelled", "entered-in-error", "rejected"):
                    found[id] = task
        return found

    async def user(self, id: str) -> Json:
        """The Practitioner of a user's id. Raises 404."""
        found = await self.index.find(self.caller, USER, checked(USER, id))
        if found is None:
            raise HTTPException(404, "User not found.")
        return found


def user_reference(practitioner: Mapping[str, Any]) -> Json:
    """The vendor's UserReference."""
    name: Mapping[str, Any] = next(iter(practitioner.get("name") or ()), {})
    given, suffixes = name.get("given") or [], name.get("suffix") or []
    emails = (each.get("value") for each in practitioner.get("telecom") or () if each.get("system") == "email")
    shown: Json = {"email": next((str(each) for each in emails if each), ""), "userId": USER.of(practitioner)}
    first = given[0] if given else (name_of(practitioner) if not name.get("family") else None)
    optional = {
        "firstName": first,
        "middleName": " ".join(given[1:]) or None,
        "lastName": name.get("family"),
        "suffix1": suffixes[0] if suffixes else None,
        "suffix2": suffixes[1] if len(suffixes) > 1 else None,
    }
    return shown | {key: value for key, value in optional.items() if value}
