"""A DICOMweb server as a source: QIDO-RS asked for studies, series and instances. DICOM PS3.18 section 10.6."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from fhir_server.dicom import uids
from fhir_server.dicom.headers import Code, Instance, clean, entity_system

_PAGE: Final = 100
_MOST: Final = 64 << 20
_STUDY_FIELDS: Final = ("00081030", "00080201", "00080021", "00100021", "00100024", "00100040", "00100030", "00401012")
_SERIES_FIELDS: Final = ("0008103E", "00180015", "00082218", "00200060", "00080021", "00080031", "00081050")
_TEXTS: Final[Mapping[str, str]] = {
    "study_date": "00080020",
    "study_time": "00080030",
    "accession": "00080050",
    "referrer": "00080090",
    "offset": "00080201",
    "institution": "00080080",
    "description": "00081030",
    "procedure_text": "00321060",
    "reason": "00401002",
    "patient_name": "00100010",
    "patient_id": "00100020",
    "issuer": "00100021",
    "birth_date": "00100030",
    "sex": "00100040",
}

Json = Mapping[str, Any]


class SourceFailed(Exception):
    """The DICOMweb server cannot be asked, or does not answer as one. str() is a sentence for people."""


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Credentials are for the server that was named."""


class Source:
    """QIDO-RS at `url` (``https://pacs.example/dicom-web``). headers go with each request. For a thread: it blocks."""

    def __init__(self, url: str, *, headers: Mapping[str, str] | None = None, timeout: float = 30.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SourceFailed(f"{url} is not the URL of a DICOMweb server.")
        self.url = url.rstrip("/")
        self._headers = {"Accept": "application/dicom+json"} | dict(headers or {})
        self._timeout = timeout
        self._opener = build_opener(_NoRedirect(), HTTPSHandler(context=ssl.create_default_context()))

    def studies(self, filters: Mapping[str, str] | None = None) -> Iterator[Instance]:
        """Every study, as an Instance that tells only of the study. What has no valid UID is left out."""
        for found in self._all("/studies", {**(filters or {}), "includefield": ",".join(_STUDY_FIELDS)}, "0020000D"):
            uid = _text(found, "0020000D")
            if uids.is_uid(uid):
                yield study_of(found, uid)

    def instances(self, study: Instance, *, each: bool = True) -> list[Instance]:
        """All series of a study and, with `each`, their instances; the study itself when it has none."""
        path = f"/studies/{quote(study.study_uid)}"
        series = {
            uid: series_of(found, study, uid)
            for found in self._all(f"{path}/series", {"includefield": ",".join(_SERIES_FIELDS)}, "0020000E")
            if uids.is_uid(uid := _text(found, "0020000E"))
        }
        told: list[Instance] = list(series.values())
        if each:
            for found in self._all(f"{path}/instances", {}, "00080018"):
                uid, sop_class = _text(found, "00080018"), _text(found, "00080016")
                its = series.get(_text(found, "0020000E"))
                if its is not None and uids.is_uid(uid) and uids.is_uid(sop_class):
                    told.append(instance_of(found, its, uid, sop_class))
        return [study, *told]

    def _all(self, path: str, query: Mapping[str, str], key: str) -> Iterator[Json]:
        """Every match of a query, over as many pages as it takes; each once."""
        seen: set[str] = set()
        offset = 0
        while True:
            page = self._get(path, {**query, "limit": str(_PAGE), "offset": str(offset)})
            new = [each for each in page if isinstance(each, Mapping) and _text(each, key) not in seen]
            # a server that knows no paging gives the same again
            if not new:
                return
            seen.update(_text(each, key) for each in new)
            yield from new
            offset += len(page)

    def _get(self, path: str, query: Mapping[str, str]) -> Sequence[Any]:
        url = f"{self.url}{path}?{urlencode(query, safe=',')}"
        try:
            with self._opener.open(Request(url, headers=self._headers), timeout=self._timeout) as response:  # noqa: S310
                body = response.read(_MOST + 1) if response.status != 204 else b"[]"
        except HTTPError as error:
            raise SourceFailed(f"{self.url}{path} answers {error.code} {error.reason}.") from None
        except (URLError, OSError, http.client.HTTPException) as error:
            raise SourceFailed(f"{self.url} cannot be asked: {getattr(error, 'reason', error)}.") from None
        if len(body) > _MOST:
            raise SourceFailed(f"{self.url}{path} answers more than {_MOST:,} bytes at once.")
        try:
            found = json.loads(body or b"[]")
        except ValueError:
            raise SourceFailed(f"{self.url}{path} does not answer with DICOM JSON.") from None
        if not isinstance(found, list):
            raise SourceFailed(f"{self.url}{path} does not answer with DICOM JSON.")
        return found


def basic(user: str) -> str:
    """The value of an Authorization header for NAME:PASSWORD."""
    return f"Basic {base64.b64encode(user.encode()).decode('ascii')}"


def study_of(found: Json, uid: str) -> Instance:
    """A study of an answer."""
    texts: dict[str, Any] = {name: _text(found, tag) for name, tag in _TEXTS.items()}
    system = ""
    for item in _values(found, "00100024"):
        if isinstance(item, Mapping):
            system = entity_system(_text(item, "00400032"), _text(item, "00400033"))
    told = Instance(
        study_uid=uid,
        modalities=tuple(_texts(found, "00080061")),
        procedure=_code(found, "00081032"),
        study_series=_number(found, "00201206"),
        study_instances=_number(found, "00201208"),
        issuer_system=system,
    )
    return replace(told, **texts)


def series_of(found: Json, study: Instance, uid: str) -> Instance:
    """A series of an answer."""
    return Instance(
        study_uid=study.study_uid,
        series_uid=uid,
        modality=_text(found, "00080060"),
        series_number=_number(found, "00200011"),
        series_description=_text(found, "0008103E"),
        series_date=_text(found, "00080021"),
        series_time=_text(found, "00080031"),
        offset=study.offset,
        body_part=_text(found, "00180015"),
        anatomy=_code(found, "00082218"),
        laterality=_text(found, "00200060"),
        performers=tuple(_texts(found, "00081050")),
        series_instances=_number(found, "00201209"),
        patient_id=study.patient_id,
        issuer=study.issuer,
        issuer_system=study.issuer_system,
        patient_name=study.patient_name,
    )


def instance_of(found: Json, series: Instance, uid: str, sop_class: str) -> Instance:
    """An instance of an answer."""
    return Instance(
        study_uid=series.study_uid,
        series_uid=series.series_uid,
        instance_uid=uid,
        sop_class=sop_class,
        number=_number(found, "00200013"),
        modality=series.modality,
        patient_id=series.patient_id,
        issuer=series.issuer,
        issuer_system=series.issuer_system,
        patient_name=series.patient_name,
    )


def _values(found: Json, tag: str) -> list[Any]:
    attribute = found.get(tag)
    values = attribute.get("Value") if isinstance(attribute, Mapping) else None
    return values if isinstance(values, list) else []


def _texts(found: Json, tag: str) -> list[str]:
    texts = []
    for value in _values(found, tag):
        if isinstance(value, Mapping):
            value = value.get("Alphabetic") or value.get("Ideographic") or ""
        if isinstance(value, str | int | float):
            texts.append(clean(value))
    return [text for text in texts if text]


def _text(found: Json, tag: str) -> str:
    return next(iter(_texts(found, tag)), "")


def _number(found: Json, tag: str) -> int | None:
    try:
        value = int(float(_text(found, tag)))
    except (ValueError, OverflowError):
        return None
    return value if 0 <= value <= 2**31 - 1 else None


def _code(found: Json, tag: str) -> Code | None:
    for item in _values(found, tag):
        if isinstance(item, Mapping) and _text(item, "00080100"):
            return Code(_text(item, "00080100"), _text(item, "00080102"), _text(item, "00080104"))
    return None
