"""What the vendor's routes write: studies, addenda, external reports. Each is one transaction, decided anew when it
lost a race."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeVar

from starlette.exceptions import HTTPException

from fhir_server.jobs.names import Json
from fhir_server.jobs.runtime import put, same, version_of
from fhir_server.r4b.outcome import Conflict, PreconditionFailed
from fhir_server.security.caller import Caller

from . import metadata, reports, studies
from .ids import EXTERNAL, STUDY, USER, digest
from .patients import described, patient_for
from .reading import Reader

if TYPE_CHECKING:
    from fhir_server.dialects import DialectContext

T = TypeVar("T")
_ROUNDS: Final = 8
SIGNED_LABEL: Final = "signed-label"


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes for one request of the holder of `key`."""

    context: DialectContext
    reader: Reader
    key: Caller

    async def _decided(self, attempt: Callable[[], Awaitable[T]]) -> T:
        for _ in range(_ROUNDS):
            try:
                return await attempt()
            except (PreconditionFailed, Conflict):
                continue
        raise HTTPException(409, "Too many others write to the same study just now; try again.")

    async def _write(self, *resources: Json) -> None:
        """In one transaction; each only if it is still as it was read, or is still not there. Unchanged ones stay."""
        entries = [put(each, if_match=version_of(each) if "meta" in each else 0) for each in resources]
        await self.context.hub.transact(self.reader.caller, entries)

    def _task(self, study: Json) -> Json:
        names, now = self.context.names, self.context.clock()
        return studies.new_task(study, names=names, now=now, key_id=self.key.key_id, key_name=self.key.name)

    # Studies

    async def create_study(
        self, given: Mapping[str, Any], *, external: bool = False, report: Json | None = None
    ) -> Json:
        """The ImagingStudy of a new study. A study that DICOM files or a FHIR client brought is taken over; one that
        came this way before is 409. report: fields of an external study's report."""

        async def attempt() -> Json:
            names, now = self.context.names, self.context.clock()
            uid, about = given["studyInstanceUid"], given["reportMetadata"]
            there = await self.reader.study_with(uid)
            if there is not None and any(each.get("system") == STUDY.system for each in there.get("identifier") or ()):
                raise HTTPException(409, "A study with this studyInstanceUid exists already.")
            patient = await self._patient(there, about, given.get("externalPatientId"))
            if there is None:
                study = studies.new_study(uid, subject=f"Patient/{patient['id']}", external=external, names=names)
            else:
                study = studies.marked(dict(there), external=external, names=names)
                study["identifier"] = [*there["identifier"], STUDY.identifier(str(there["id"]))]
            kept = metadata.projected(metadata.of_study(study, None))
            whole = {**kept, **{name: value for name, value in about.items() if value}}
            study = studies.with_metadata(studies.with_fields(study, given, names), whole, names)
            task = (await self.reader.tasks_of([study])).get(str(study["id"]))
            if task is None:
                task = self._task(study)
            task = studies.with_assignment(task, given, owner=await self._owner(given), now=now)
            made = [patient, study, task]
            if report is not None:
                made.append(self._external_report(None, study, patient, report))
            await self._write(*made)
            return study

        return await self._decided(attempt)

    async def _patient(self, study: Json | None, about: Mapping[str, Any], external: str | None) -> Json:
        reference = reports.local(((study or {}).get("subject") or {}).get("reference"), "Patient")
        known = await self.reader.read(reference)
        if known is None:
            return await patient_for(self.context.hub, self.reader.caller, about, external or None)
        if about.get("mrn") and metadata.mrn_of(known) not in (None, about["mrn"]):
            raise HTTPException(409, "The study with this studyInstanceUid belongs to a patient with another mrn.")
        return described(known, {name: value for name, value in about.items() if value}, external or None)

    async def _owner(self, given: Mapping[str, Any]) -> Json | None:
        """A reference to the user that `assignedTo` names. Raises 404."""
        id = given.get("assignedTo")
        if not id:
            return None
        practitioner = await self.reader.user(id)
        reference: Json = {"reference": f"Practitioner/{practitioner['id']}"}
        name = metadata.name_of(practitioner)
        identifier = {"system": USER.system, "value": id}
        return reference | {"identifier": identifier} | ({"display": name} if name else {})

    async def update_study(self, find: Callable[[], Awaitable[Json]], given: Mapping[str, Any]) -> Json:
        """The ImagingStudy after what `given` has is changed."""

        async def attempt() -> Json:
            names, now = self.context.names, self.context.clock()
            before = await find()
            study = studies.with_fields(before, given, names)
            reference = reports.local((before.get("subject") or {}).get("reference"), "Patient")
            self.reader.forget(reference)
            patient = await self.reader.read(reference)
            changed: list[Json] = []
            about = given.get("reportMetadata")
            if about is not None:
                sources = metadata.of_study(study, patient)
                whole = {**metadata.projected(sources), "age": sources.age, **about}
                study = studies.with_metadata(study, whole, names)
            if patient is not None and (about is not None or "externalPatientId" in given):
                external = given["externalPatientId"] or "" if "externalPatientId" in given else None
                after = described(patient, about or {}, external)
                changed += [after] if not same(after, patient) else []
            if not same(study, before):
                changed.append(study)
            if "severity" in given or "assignedTo" in given:
                task = (await self.reader.tasks_of([study])).get(str(study["id"]))
                if task is None:
                    task = self._task(study)
                changed.append(studies.with_assignment(task, given, owner=await self._owner(given), now=now))
            if changed:
                await self._write(*changed)
            return study

        return await self._decided(attempt)

    async def set_cancelled(self, find: Callable[[], Awaitable[Json]], cancel: bool) -> None:
        """Raises 409 when it is already as it should become."""

        async def attempt() -> None:
            study = await find()
            if studies.is_cancelled(study) == cancel:
                raise HTTPException(409, f"The study is {'already' if cancel else 'not'} cancelled.")
            names, now = self.context.names, self.context.clock()
            await self._write(studies.cancelled(study, names, now) if cancel else studies.restored(study))

        await self._decided(attempt)

    # Addenda

    async def begin_addendum(self, report_id: str) -> Json:
        """A new addendum to a completed report. Raises 409 when it is not completed or has an addendum already."""

        async def attempt() -> Json:
            report, study = await self.reader.report(report_id)
            if reports.status_of(report) != "completed":
                raise HTTPException(409, "An addendum needs a completed report; this one is in progress.")
            others = (await self.reader.reports_of([study]))[str(study["id"])]
            if reports.study_status(others, assigned=False) == "addendum_active":
                raise HTTPException(409, "An addendum is already active on this study.")
            parent = _root(report, {f"DiagnosticReport/{each['id']}": each for each in others})
            parent_id = str(parent["id"])
            view = await self.reader.view(report, study)
            # one id for the n-th addendum: of two requests at once exactly one makes it
            known = {str(each["id"]) for each in others}
            ids = (digest("DiagnosticReport", f"{parent_id}/addendum/{number}") for number in count(1))
            id = next(each for each in ids if each not in known)
            addendum = reports.new_addendum(
                parent, id=id, study=study, snapshot=view.snapshot, names=self.context.names
            )
            await self._write(addendum)
            return addendum

        async with self.context.hub.lock("autoscribe-addendum", report_id):
            return await self._decided(attempt)

    async def cancel_addendum(self, report_id: str) -> None:
        """The active addendum of the report (or the addendum itself) becomes cancelled. Raises 409 when none is."""

        async def attempt() -> None:
            report, study = await self.reader.report(report_id)
            others = (await self.reader.reports_of([study]))[str(study["id"])]
            by_reference = {f"DiagnosticReport/{each['id']}": each for each in others}
            mine = f"DiagnosticReport/{_root(report, by_reference)['id']}"
            for each in others:
                if reports.addendum_of(each) is None or reports.status_of(each) != "in_progress":
                    continue
                if each["id"] == report["id"] or (
                    reports.addendum_of(report) is None and _is_of(each, mine, by_reference)
                ):
                    await self._write(each | {"status": "cancelled"})
                    return
            raise HTTPException(409, "No addendum is active on this report.")

        await self._decided(attempt)

    # External reports

    async def external_report(self, find: Callable[[], Awaitable[Json]], given: Mapping[str, Any]) -> tuple[Json, Json]:
        """The study and its archive report after `given` was added. What is set once is not to be changed: 409."""

        async def attempt() -> tuple[Json, Json]:
            study = await find()
            if studies.study_type(study) != "external":
                raise HTTPException(409, "This is not an external study.")
            there = next(
                (
                    each
                    for each in (await self.reader.reports_of([study]))[str(study["id"])]
                    if studies.is_external_report(each) and reports.status_of(each)
                ),
                None,
            )
            if there is not None and given.get("reportText") and reports.text_form(there) is not None:
                raise HTTPException(409, "The report's text is set; it cannot be edited.")
            if (
                there is not None
                and given.get("reportFile")
                and len(there.get("presentedForm") or ()) > (reports.text_form(there) is not None)
            ):
                raise HTTPException(409, "The report's file is set; it cannot be edited.")
            patient = await self.reader.read(reports.local((study.get("subject") or {}).get("reference"), "Patient"))
            report = self._external_report(there, study, patient, given)
            await self._write(report)
            return study, report

        return await self._decided(attempt)

    def _external_report(self, there: Json | None, study: Json, patient: Json | None, given: Mapping[str, Any]) -> Json:
        names = self.context.names
        if there is None:
            id = digest("DiagnosticReport", f"external/{study['id']}")
            snapshot = metadata.projected(metadata.of_study(study, patient))
            report = reports.new_report(id=id, status="final", study=study, snapshot=snapshot, names=names)
            report["identifier"].append(EXTERNAL.identifier(id))
        else:
            report = dict(there)
        forms = list(report.get("presentedForm") or ())
        if given.get("reportText"):
            forms.insert(0, reports.text_attachment(given["reportText"]))
        if given.get("reportFile"):
            forms.append(given["reportFile"])
        if forms:
            report["presentedForm"] = forms
        if given.get("readerName"):
            report["resultsInterpreter"] = [{"display": given["readerName"]}]
        if given.get("signedAt"):
            label = given["signedAt"]
            end = f"/StructureDefinition/{SIGNED_LABEL}"
            report["extension"] = [each for each in report["extension"] if not str(each.get("url")).endswith(end)]
            report.pop("issued", None)
            if reports.is_instant(label):
                report["issued"] = label
            else:
                report["extension"].append({"url": names.extension(SIGNED_LABEL), "valueString": label})
        return report

    async def delete_external(self, find: Callable[[], Awaitable[Json]]) -> None:
        """The study, its reports and its Task are deleted as FHIR does it: their history stays."""

        async def attempt() -> None:
            study = await find()
            if studies.study_type(study) != "external":
                raise HTTPException(409, "Only an external study can be deleted; cancel this one.")
            found = (await self.reader.reports_of([study]))[str(study["id"])]
            tasks = await self.reader.tasks_of([study])
            gone = [*found, *tasks.values(), study]
            entries = [
                {"request": {"method": "DELETE", "url": f"{each['resourceType']}/{each['id']}"}} for each in gone
            ]
            await self.context.hub.transact(self.reader.caller, entries)

        await self._decided(attempt)


def _root(report: Json, by_reference: Mapping[str, Json]) -> Json:
    """The report that an addendum (of an addendum) belongs to."""
    for _ in range(len(by_reference)):
        parent = by_reference.get(reports.addendum_of(report) or "")
        if parent is None:
            break
        report = parent
    return report


def _is_of(addendum: Json, reference: str, by_reference: Mapping[str, Json]) -> bool:
    root = _root(addendum, by_reference)
    return f"DiagnosticReport/{root['id']}" == reference
