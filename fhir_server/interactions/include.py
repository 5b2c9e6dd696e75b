"""_include and _revinclude. R4B 3.1.1.5.5."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from fhir_server.interactions import subjects
from fhir_server.r4b import codec
from fhir_server.r4b.definitions import SearchParameter
from fhir_server.r4b.outcome import Issue
from fhir_server.r4b.references import parse_reference
from fhir_server.search.parse import Include
from fhir_server.search.paths import compile_expression
from fhir_server.search.query import Node, Or, Query, Reference, Uri
from fhir_server.store.protocol import Version

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.security.caller import Caller

Key = tuple[str, str]
#: How often :iterate goes on from what it found.
_ROUNDS = 16

_compiled: dict[tuple[str, str], Callable[[dict[str, Any]], list[Any]]] = {}


class Includer:
    """Collects what belongs to one page of matches. `found` in order; `issues` say what was left out and why."""

    def __init__(self, hub: Hub, caller: Caller, matches: Sequence[Version]) -> None:
        self._hub, self._caller = hub, caller
        self._cap = hub.options.max_includes
        self._seen: set[Key] = {(match.type, match.id) for match in matches}
        self._data: dict[Key, dict[str, Any]] = {}
        self._refused: set[str] = set()
        self.found: list[Version] = []
        self.issues: list[Issue] = []

    async def collect(
        self, matches: Sequence[Version], includes: Sequence[Include], revincludes: Sequence[Include]
    ) -> None:
        frontier: Sequence[Version] = matches
        for turn in range(_ROUNDS):
            fresh: list[Version] = []
            for include in includes:
                if turn == 0 or include.iterate:
                    fresh += await self._forward(frontier, include)
            for include in revincludes:
                if turn == 0 or include.iterate:
                    fresh += await self._reverse(frontier, include)
            if not fresh or self._full:
                break
            frontier = fresh
        if self._full:
            text = f"More than {self._cap} resources would be included; the rest is left out. Ask for smaller pages."
            self.issues.append(Issue("warning", "incomplete", text))
        for type in sorted(self._refused):
            text = f"{type} resources are left out: this key may not read them."
            self.issues.append(Issue("warning", "suppressed", text))

    @property
    def _full(self) -> bool:
        return len(self.found) >= self._cap

    def _take(self, versions: Iterable[Version | None]) -> list[Version]:
        taken = []
        for version in versions:
            if version is None or version.body is None or (version.type, version.id) in self._seen:
                continue
            if not self._caller.allows(version.type, "r") or (
                self._caller.subject is not None and not subjects.holds(self._hub, self._caller, version)
            ):
                self._refused.add(version.type)
                continue
            if self._full:
                break
            self._seen.add((version.type, version.id))
            self.found.append(version)
            taken.append(version)
        return taken

    async def _forward(self, frontier: Sequence[Version], include: Include) -> list[Version]:
        keys: dict[Key, None] = {}
        canonicals: dict[str, tuple[str, ...]] = {}
        for version in frontier:
            if include.source not in ("*", version.type):
                continue
            for parameter in self._parameters(version.type, include.param):
                for text in self._targets(version, parameter):
                    reference = parse_reference(text, self._hub.base_urls)
                    if reference.kind == "local" and reference.type and reference.id:
                        if include.target in (None, reference.type):
                            keys[(reference.type, reference.id)] = None
                    elif reference.kind in ("other", "urn", "remote"):
                        types = (include.target,) if include.target else parameter.targets
                        canonicals[text] = types
        wanted = [key for key in keys if key not in self._seen][: self._cap + 1]
        taken = self._take(await self._hub.store.read_many(wanted)) if wanted else []
        for text, types in canonicals.items():
            taken += await self._canonical(text, types)
        return taken

    async def _canonical(self, text: str, types: tuple[str, ...]) -> list[Version]:
        url, _, version = text.partition("#")[0].partition("|")
        found: list[Version] = []
        for type in types:
            if self._hub.registry.get(type, "url") is None:
                continue
            page = await self._hub.run(Query((type,), Uri("url", "exact", url)), limit=20)
            chosen = [m for m in page.matches if not version or codec.decode(m.body or b"{}").get("version") == version]
            found += self._take(chosen)
        return found

    def _parameters(self, type: str, code: str) -> list[SearchParameter]:
        if code != "*":
            parameter = self._hub.registry.get(type, code)
            return [parameter] if parameter is not None and parameter.type == "reference" else []
        return [p for p in self._hub.registry.parameters(type).values() if p.type == "reference"]

    def _targets(self, version: Version, parameter: SearchParameter) -> list[str]:
        key = (version.type, version.id)
        data = self._data.get(key)
        if data is None:
            data = self._data[key] = codec.decode(version.body or b"{}")
        return reference_texts(version.type, parameter, data)

    async def _reverse(self, frontier: Sequence[Version], include: Include) -> list[Version]:
        by_source: dict[str, list[Node]] = {}
        for version in frontier:
            if include.target not in (None, version.type):
                continue
            for source, parameter in self._hub.registry.referencing(version.type):
                if include.source in ("*", source) and include.param in ("*", parameter.code):
                    by_source.setdefault(source, []).append(Reference(parameter.code, version.type, version.id))
        taken: list[Version] = []
        for source, nodes in by_source.items():
            if not self._caller.allows(source, "r"):
                self._refused.add(source)
                continue
            query = Query((source,), nodes[0] if len(nodes) == 1 else Or(tuple(dict.fromkeys(nodes))))
            limit = self._cap - len(self.found) + 1
            page = await self._hub.run(query, limit=max(limit, 1))
            taken += self._take(page.matches)
            if self._full:
                break
        return taken


def reference_texts(type: str, parameter: SearchParameter, data: dict[str, Any]) -> list[str]:
    """The literal references and canonicals that `parameter` finds in a resource of `type`."""
    key = (type, parameter.expression)
    find = _compiled.get(key)
    if find is None:
        find = _compiled[key] = compile_expression(parameter.expression, type)
    texts = []
    for value in find(data):
        text = value.get("reference") if isinstance(value, dict) else value
        if isinstance(text, str):
            texts.append(text)
    return texts
