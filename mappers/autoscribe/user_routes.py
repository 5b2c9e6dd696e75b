"""Users, as far as studies and reports need them: to invite, list and read. Each is a Practitioner."""

# no postponed annotations here: FastAPI evaluates those of the handlers
from typing import Annotated, Any, Final, Literal
from uuid import uuid4

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from fhir_server.jobs.names import Json, Names, own_extension, value_of
from fhir_server.jobs.runtime import put

from .answers import Desk, Query, answer, body_of
from .ids import USER
from .models import Text
from .paging import limit_of, page
from .reading import Reader, user_reference

NPI: Final = "http://hl7.org/fhir/sid/us-npi"
_FLAGS: Final = (
    ("canCreateReports", "user-can-create-reports", True),
    ("canManageStudies", "user-can-manage-studies", False),
    ("hasDashboardAccess", "user-has-dashboard-access", False),
)
_ROLE: Final = (("clinicRole", "user-clinic-role", "radiologist"), ("level", "user-level", "member"))
Required = Annotated[Text, Field(min_length=1)]


class UserInvite(BaseModel):
    """POST /users"""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, strict=True)

    can_create_reports: bool
    can_manage_studies: bool
    clinic_role: Required
    email: Annotated[Text, Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=320)]
    first_name: Required
    has_dashboard_access: bool
    last_name: Required
    level: Literal["admin", "member"]
    middle_name: Text | None = None
    npi_number: Annotated[str, Field(pattern=r"^[0-9]{10}$")] | None = None
    phone_number: Text | None = None
    suffix1: Text | None = None
    suffix2: Text | None = None


def user_routes(api: APIRouter, desk: Desk, Key: Any) -> None:
    names = desk.context.names

    @api.post("/users", summary="Invite a user")
    async def invite(request: Request, caller: Key) -> JSONResponse:
        """A new user: a Practitioner. 409 when there is one with this e-mail address."""
        given, snake = await body_of(request, UserInvite)
        reader = desk.reader(caller)
        practitioner = new_practitioner(given.model_dump(by_alias=True, exclude_none=True), names)
        email = given.email
        async with desk.context.hub.lock("autoscribe-user", email.casefold()):
            if await desk.context.hub.find(reader.caller, "Practitioner", [("email", email)], limit=1):
                raise HTTPException(409, "A user with this email exists already.")
            await desk.context.hub.transact(reader.caller, [put(practitioner, if_match=0)])
        return answer(await shown(desk.reader(caller), f"Practitioner/{practitioner['id']}"), snake=snake)

    async def shown(reader: Reader, reference: str) -> Json:
        practitioner = await reader.read(reference)
        return user_json(practitioner or {}, await reader.created(practitioner or {}))

    @api.get("/users", summary="List users")
    async def listed(request: Request, caller: Key) -> JSONResponse:
        query = Query(request, "cursor", "limit", "email", "firstName", "lastName")
        reader = desk.reader(caller)
        criteria = [("identifier", f"{USER.system}|")]
        for name, parameter in (("email", "email"), ("firstName", "given"), ("lastName", "family")):
            said = query.get(name)
            if said:
                criteria.append((parameter, said.replace("\\", "\\\\").replace(",", "\\,")))

        async def project(found: list[Json]) -> list[Json | None]:
            return [user_json(each, await reader.created(each)) for each in found]

        found, cursor = await page(
            desk.context.hub,
            reader.caller,
            "Practitioner",
            criteria,
            cursor=query.get("cursor"),
            limit=limit_of(query.get("limit")),
            project=project,
        )
        body: Json = {"users": found, "hasMore": cursor is not None}
        return answer(body | ({"cursor": cursor} if cursor else {}), snake=query.snake)

    @api.get("/users/{userId}", summary="Retrieve a user")
    async def retrieve(userId: str, caller: Key) -> JSONResponse:
        reader = desk.reader(caller)
        practitioner = await reader.user(userId)
        return answer(user_json(practitioner, await reader.created(practitioner)))


def new_practitioner(given: Json, names: Names) -> Json:
    """The Practitioner of an invited user."""
    id = uuid4().hex
    name: Json = {"family": given["lastName"], "given": [given["firstName"]]}
    if given.get("middleName"):
        name["given"].append(given["middleName"])
    suffixes = [given[each] for each in ("suffix1", "suffix2") if given.get(each)]
    if suffixes:
        name["suffix"] = suffixes
    telecom = [{"system": "email", "value": given["email"]}]
    if given.get("phoneNumber"):
        telecom.append({"system": "phone", "value": given["phoneNumber"]})
    identifiers = [USER.identifier(id)]
    if given.get("npiNumber"):
        identifiers.append({"system": NPI, "value": given["npiNumber"]})
    extensions = [{"url": names.extension(url), "valueBoolean": given[field]} for field, url, _ in _FLAGS]
    extensions += [{"url": names.extension(url), "valueString": given[field]} for field, url, _ in _ROLE]
    return {
        "resourceType": "Practitioner",
        "id": id,
        "extension": extensions,
        "identifier": identifiers,
        "active": True,
        "name": [name],
        "telecom": telecom,
    }


def user_json(practitioner: Json, created: str | None) -> Json:
    """A user, as every route that gives one shows it."""
    reference = user_reference(practitioner)
    shown: Json = {
        "createdAt": created,
        "email": reference["email"],
        "firstName": reference.get("firstName", ""),
        "invitedSource": "api",
        "lastLoginAt": None,
        "lastName": reference.get("lastName", ""),
        "userId": reference["userId"],
    }
    for field, url, default in (*_FLAGS, *_ROLE):
        said = own_extension(practitioner, url)
        shown[field] = value_of(said) if said is not None else default
    optional: Json = {name: reference[name] for name in ("middleName", "suffix1", "suffix2") if name in reference}
    for each in practitioner.get("telecom") or ():
        if each.get("system") == "phone" and each.get("value"):
            optional.setdefault("phoneNumber", each["value"])
    for each in practitioner.get("identifier") or ():
        if each.get("system") == NPI:
            optional["npiNumber"] = each.get("value")
    return shown | optional
