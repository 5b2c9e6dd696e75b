"""A list of cases, filtered, sorted and cut into pages as was asked. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from fhir_server.jobs.names import Json

from .models import ListQuery

_PAGE = 20


def listed(cases: Sequence[Json], query: ListQuery) -> Json:
    """{cases}, and total, page and limit when a page was asked for."""
    found = [case for case in cases if _matches(case, query)]
    if (query.sort_by, query.sort_order) != ("created_at", "desc"):
        known = [case for case in found if case[query.sort_by] is not None]
        # what has no value comes last, whichever way it is sorted
        unknown = [case for case in found if case[query.sort_by] is None]
        known.sort(key=lambda case: _sortable(case[query.sort_by]), reverse=query.sort_order == "desc")
        found = known + unknown
    if query.page is None and query.limit is None:
        return {"cases": found}
    page, limit = query.page or 1, query.limit or _PAGE
    return {"cases": found[(page - 1) * limit : page * limit], "total": len(found), "page": page, "limit": limit}


def _matches(case: Json, query: ListQuery) -> bool:
    created = (case["created_at"] or "")[:10]
    age = case["patient_age"]
    if query.status is not None and case["status"] != query.status:
        return False
    if query.search is not None:
        wanted = query.search.strip().casefold()
        if not any(wanted in str(case[name] or "").casefold() for name in ("patient_name", "case_summary", "case_id")):
            return False
    if query.start_date is not None and created < query.start_date.isoformat():
        return False
    if query.end_date is not None and (not created or created > query.end_date.isoformat()):
        return False
    if query.min_age is not None and (age is None or age < query.min_age):
        return False
    return query.max_age is None or (age is not None and age <= query.max_age)


def _sortable(value: object) -> tuple[int, int, str]:
    return (0, value, "") if isinstance(value, int) else (1, 0, str(value).casefold())
