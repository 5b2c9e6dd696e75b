"""What a GraphQL query selects: elements of resources, resolved references, lists and connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fhir_server.fhirpath import Context, FhirPathError, evaluate, holds, root_node
from fhir_server.fhirpath.model import member
from fhir_server.fhirpath.types import ancestors
from fhir_server.fhirpath.values import Collection, Node, is_primitive
from fhir_server.operations.graphql.document import Document, Field, Fragment, Selection
from fhir_server.r4b.codec import decode
from fhir_server.r4b.definitions import definitions
from fhir_server.r4b.outcome import BadRequest, FhirError
from fhir_server.r4b.references import parse_reference
from fhir_server.security.caller import Caller

if TYPE_CHECKING:
    from fhir_server.hub import Hub

Json = dict[str, Any]
#: Resources that one query may bring in.
_MOST: Final = 5_000
_NOT_FILTERS: Final = frozenset({"fhirpath", "_count", "_offset"})


class Selector:
    """One query's answer. problems: GraphQL errors for parts that could not be answered."""

    def __init__(self, hub: Hub, caller: Caller, document: Document) -> None:
        self.hub, self.caller, self.document = hub, caller, document
        self.problems: list[Json] = []
        self._brought = 0

    async def of_resource(self, resource: Json) -> Json:
        answer: Json = {}
        await self._select(root_node(resource), self.document.selections, answer, flat=False)
        return answer

    async def of_system(self) -> Json:
        answer: Json = {}
        for selection in self.document.selections:
            for field in selection.selections if isinstance(selection, Fragment) else (selection,):
                if isinstance(field, Field):
                    answer[field.key] = await self._root_field(field)
        return answer

    async def _root_field(self, field: Field) -> Any:
        types = definitions()
        for ending, method in (("Connection", self._connection), ("List", self._list)):
            type = field.name.removesuffix(ending)
            if field.name.endswith(ending) and types.is_resource(type):
                return await method(field, type, None)
        if not types.is_resource(field.name):
            raise BadRequest(f"There is no field '{field.name}' here: use a type, [type]List or [type]Connection.")
        id = field.arguments.get("id") or field.arguments.get("_id")
        if not isinstance(id, str):
            raise BadRequest(f"{field.name} needs the argument id.")
        try:
            resource = await self.hub.read_resource(self.caller, field.name, id)
        except FhirError as error:
            self._problem(str(error), field)
            return None
        return await self._object(root_node(resource), field)

    def _problem(self, message: str, field: Field) -> None:
        self.problems.append({"message": message, "path": [field.key]})

    def _bring(self, number: int) -> None:
        self._brought += number
        if self._brought > _MOST:
            raise BadRequest(f"The query brings in more than {_MOST} resources; ask for fewer.", code="too-costly")

    async def _object(self, node: Node, field: Field) -> Json:
        answer: Json = {}
        await self._select(node, field.selections, answer, flat=False)
        return answer

    async def _select(self, node: Node, selections: tuple[Selection, ...], into: Json, *, flat: bool) -> None:
        for selection in selections:
            if isinstance(selection, Fragment):
                if selection.type in ancestors(node.type):
                    await self._select(node, selection.selections, into, flat=flat)
            else:
                await self._field(node, selection, into, flat=flat)

    async def _field(self, node: Node, field: Field, into: Json, *, flat: bool) -> None:
        name = field.name
        if name == "__typename" or (name == "resourceType" and "." not in node.path):
            into[field.key] = node.type
            return
        if name == "resource" and node.type == "Reference":
            await self._reference(node, field, into, flat=flat)
            return
        for ending, method in (("Connection", self._connection), ("List", self._list)):
            type = name.removesuffix(ending)
            if name.endswith(ending) and definitions().is_resource(type) and isinstance(node.value, dict):
                found = await method(field, type, node)
                await self._place_many(found, field, into, flat)
                return
        elements = self._elements(node, field)
        if elements is None:
            raise BadRequest(f"{node.type} has no element '{name}'.")
        items, repeats = elements
        await self._emit(items, field, into, flat=flat, repeats=repeats)

    async def _place_many(self, found: Any, field: Field, into: Json, flat: bool) -> None:
        if flat and isinstance(found, list):
            into.setdefault(field.key, []).extend(found)
        else:
            into[field.key] = found

    def _elements(self, node: Node, field: Field) -> tuple[Collection, bool] | None:
        """(children, whether the element repeats); None when the type has no such element."""
        name = field.name.removeprefix("_")
        try:
            elements = definitions().elements(node.type)
        except KeyError:
            return None
        element = elements.get(name)
        if element is None:
            element = next((one for one in elements.values() if one.choice and name in one.json_names), None)
        if element is None:
            return None
        items: Collection = []
        member(node, name, items)
        items = [item for item in items if self._fits(item, field)]
        start = int(field.arguments.get("_offset") or 0)
        count = field.arguments.get("_count")
        items = items[start : start + int(count)] if count is not None else items[start:]
        return (items[:1] if field.first else items), element.max != 1

    def _fits(self, item: Node, field: Field) -> bool:
        for name, wanted in field.arguments.items():
            if name == "fhirpath":
                try:
                    if not holds(str(wanted), item):
                        return False
                except FhirPathError as error:
                    raise BadRequest(f"The fhirpath of '{field.name}' cannot be evaluated: {error}") from None
            elif name not in _NOT_FILTERS:
                found: Collection = []
                member(item, name, found)
                if not any(str(one.value).lower() == str(wanted).lower() for one in found):
                    return False
        return True

    async def _emit(self, items: Collection, field: Field, into: Json, *, flat: bool, repeats: bool) -> None:
        single = field.singleton or (not flat and (field.first or not repeats))
        for place, item in enumerate(items):
            if field.flatten:
                await self._select(item, field.selections, into, flat=True)
                continue
            value = await self._value(item, field)
            key = field.key if field.slice is None else f"{field.key}.{self._suffix(item, field, place)}"
            if single or field.slice is not None:
                into.setdefault(key, value)
            else:
                into.setdefault(key, []).append(value)

    def _suffix(self, item: Node, field: Field, place: int) -> str:
        try:
            values = evaluate(field.slice or "", item, Context(index=place))
        except FhirPathError as error:
            raise BadRequest(f"The path of @slice on '{field.name}' cannot be evaluated: {error}") from None
        return str(values[0]) if values else str(place)

    async def _value(self, item: Node, field: Field) -> Any:
        if field.name.startswith("_"):
            return item.extra
        if is_primitive(item.type):
            if field.selections:
                raise BadRequest(f"'{field.name}' is a {item.type}; nothing can be selected inside it.")
            return item.value
        if not field.selections:
            raise BadRequest(f"'{field.name}' is a {item.type}; select what you need inside it.")
        return await self._object(item, field)

    async def _reference(self, node: Node, field: Field, into: Json, *, flat: bool) -> None:
        """The target of a Reference; ``optional: true`` accepts one that is not there, ``type`` asks for one type."""
        target = await self._target(node)
        wanted = field.arguments.get("type")
        if target is not None and wanted and target.type != wanted:
            target = None
            if not field.arguments.get("optional"):
                return
        elif target is None and not field.arguments.get("optional"):
            text = node.value.get("reference", "") if isinstance(node.value, dict) else ""
            self._problem(f"The reference '{text}' at {node.path} does not lead to a resource here.", field)
        if target is not None:
            await self._emit([target], field, into, flat=flat, repeats=False)

    async def _target(self, node: Node) -> Node | None:
        text = node.value.get("reference") if isinstance(node.value, dict) else None
        if not isinstance(text, str):
            return None
        if text.startswith("#"):
            root = node
            while root.parent is not None:
                root = root.parent
            for one in root.value.get("contained", ()):
                if one.get("id") == text[1:]:
                    return root_node(one)
            return None
        parsed = parse_reference(text, (self.hub.base_url,))
        if parsed.kind != "local" or not parsed.type or not parsed.id:
            return None
        self._bring(1)
        try:
            return root_node(await self.hub.read_resource(self.caller, parsed.type, parsed.id))
        except FhirError:
            return None

    async def _list(self, field: Field, type: str, of: Node | None) -> list[Json]:
        found = await self.hub.search(self.caller, (type,), self._search(field, type, of), strict=True)
        self._bring(len(found.matches))
        return [
            await self._object(root_node(decode(version.body)), field)
            for version in found.matches
            if version.body is not None
        ]

    async def _connection(self, field: Field, type: str, of: Node | None) -> Json:
        """R4B graphql.html, "Connection": the page with its edges and where other pages are."""
        parameters = self._search(field, type, of)
        if not any(name == "_total" for name, _ in parameters):
            parameters.append(("_total", "accurate"))
        found = await self.hub.search(self.caller, (type,), parameters, strict=True)
        self._bring(len(found.matches))
        links = {relation: url.rpartition("_page=")[2] or None for relation, url in found.links.items()}
        answer: Json = {}
        for selection in field.selections:
            if not isinstance(selection, Field):
                continue
            match selection.name:
                case "count":
                    value: Any = found.total
                case "pagesize":
                    value = len(found.matches)
                case "offset":
                    value = 0
                case "first" | "previous" | "next" | "last":
                    value = links.get(selection.name) if selection.name in found.links else None
                case "edges":
                    value = [await self._edge(version.body, selection) for version in found.matches if version.body]
                case _:
                    raise BadRequest(f"A connection has no field '{selection.name}'.")
            answer[selection.key] = value
        return answer

    async def _edge(self, body: bytes, field: Field) -> Json:
        answer: Json = {}
        for selection in field.selections:
            if isinstance(selection, Field):
                if selection.name == "resource":
                    answer[selection.key] = await self._object(root_node(decode(body)), selection)
                elif selection.name in ("mode", "score"):
                    answer[selection.key] = "match" if selection.name == "mode" else 1
                else:
                    raise BadRequest(f"An edge has no field '{selection.name}'.")
        return answer

    def _search(self, field: Field, type: str, of: Node | None) -> list[tuple[str, str]]:
        """Arguments as search parameters: ``_`` stands for ``-``, a list is repeated values that must all hold."""
        known = definitions().search_parameters(type)
        parameters: list[tuple[str, str]] = []
        for name, value in field.arguments.items():
            if name == "_reference":
                if of is None:
                    raise BadRequest("_reference needs a resource around the list.")
                parameters.append((_code(str(value), known), f"{of.type}/{of.value.get('id', '')}"))
                continue
            code = {"_cursor": "_page"}.get(name) or _code(name, known)
            for one in value if isinstance(value, list) else [value]:
                if one is not None:
                    parameters.append((code, str(one).lower() if isinstance(one, bool) else str(one)))
        if of is not None and "_reference" not in field.arguments:
            raise BadRequest(f"'{field.name}' inside a resource needs the argument _reference.")
        return parameters


def _code(name: str, known: Any) -> str:
    if name in known or name.startswith("_"):
        return name
    return name.replace("_", "-")
