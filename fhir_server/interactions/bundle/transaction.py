"""transaction: all entries or none, in the standard's order, as one commit. R4B 3.1.0.11."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from fhir_server.interactions import binaries, conditional, criteria, integrity, pending, required
from fhir_server.interactions.bundle import patches
from fhir_server.interactions.bundle.actions import Action, action_of
from fhir_server.interactions.bundle.fetch import fetch
from fhir_server.interactions.bundle.reading import located
from fhir_server.interactions.bundle.resolve import resolve
from fhir_server.interactions.bundle.rewrite import Links, base_of, conditional_references
from fhir_server.interactions.patch import changed, document
from fhir_server.interactions.prepare import Prepared, indexed, parsed
from fhir_server.interactions.read import gone, missing
from fhir_server.interactions.update import alive, lost
from fhir_server.interactions.values import BundleEntry, EntryResult
from fhir_server.operations.registry import find as find_operation
from fhir_server.operations.registry import operation_of
from fhir_server.r4b.codec import Draft
from fhir_server.r4b.outcome import BadRequest, FhirError, Issue, NotImplementedHere, PreconditionFailed
from fhir_server.r4b.references import parse_reference
from fhir_server.store.protocol import Delete, Guard, GuardFailed, Method, Put, Version, VersionMismatch

if TYPE_CHECKING:
    from fhir_server.hub import Hub
    from fhir_server.security.caller import Caller

#: So many resources are prepared before others get their turn.
_STRIDE: Final = 16
_LETTERS: Final = {"create": "c", "delete": "d", "conditional-delete": "d"}


async def transact(
    hub: Hub, caller: Caller, entries: Sequence[BundleEntry], strict: bool = False
) -> tuple[list[Action], list[EntryResult]]:
    """Raises FhirError, located at the entry that failed; then nothing has happened."""
    actions: list[Action] = []
    problems: list[Issue] = []
    for index, entry in enumerate(entries):
        try:
            actions.append(action_of(index, entry, hub.base_urls))
        except FhirError as error:
            problems += error.issues
    if problems:
        raise BadRequest(issues=problems)
    for action in actions:
        _authorise(caller, action)
    for _ in hub.attempts():
        attempt = _Attempt(hub, caller, [Action(a.index, a.entry, a.address) for a in actions], strict)
        try:
            return attempt.actions, await attempt.run()
        except GuardFailed:
            continue
        except VersionMismatch as mismatch:
            attempt.refuse_if_asked(mismatch)
            continue
    raise hub.busy()


def _authorise(caller: Caller, action: Action) -> None:
    where = action.address
    if where.interaction == "operation":
        declared = find_operation(where.operation, where.type, where.id)
        if declared is not None and declared.affects_state:
            text = f"${where.operation} changes things by itself; send it alone or in a batch."
            raise located(NotImplementedHere(text), action.index)
    if action.writes:
        try:
            caller.require(action.type, _LETTERS.get(action.interaction, "u"))
        except FhirError as error:
            raise located(error, action.index) from None


class _Attempt:
    """One try, from what the store holds now."""

    def __init__(self, hub: Hub, caller: Caller, actions: list[Action], strict: bool) -> None:
        self.hub, self.caller, self.actions, self.strict = hub, caller, actions, strict

    async def run(self) -> list[EntryResult]:
        hub = self.hub
        twins = await resolve(hub, self.caller, self.actions)
        for index, twin in twins.items():
            self.actions[index].id = twin.id
        writing = [
            action for action in self.actions if action.writes and action.settled is None and action.index not in twins
        ]
        # A delete of what is not there is done already, and still may not meet another entry.
        self._refuse_overlap(
            [*writing, *(each for each in self.actions if each.settled is not None and each.id and not each.puts)]
        )
        links = Links(self._targets())
        putting = [action for action in writing if action.puts]
        await self._prepare(putting, links)
        await self._checks(putting, writing)
        writing.sort(key=lambda action: action.order)
        await self._precheck(writing)
        results = await self._commit(writing)
        for index, twin in twins.items():
            found = results[twin.index]
            results[index] = EntryResult(200, found.version, issues=found.issues)
        for action in self.actions:
            if not action.writes:
                try:
                    results[action.index] = await fetch(hub, self.caller, action, self.strict)
                except FhirError as error:
                    # Gone in the moment since it was checked: the writes stand, so this entry says what it found.
                    results[action.index] = EntryResult(error.status, issues=error.issues)
        return [results[action.index] for action in self.actions]

    def _refuse_overlap(self, writing: Sequence[Action]) -> None:
        """One resource may be written by one entry only. R4B 3.1.0.11.1."""
        seen: dict[tuple[str, str], int] = {}
        problems = []
        for action in writing:
            key = (action.type, action.id)
            if key in seen:
                text = f"Entries {seen[key]} and {action.index} both act on {action.type}/{action.id}; keep one."
                problems.append(Issue("error", "duplicate", text, f"Bundle.entry[{action.index}]"))
            seen.setdefault(key, action.index)
        if problems:
            raise BadRequest(issues=problems)

    def _targets(self) -> dict[str, str]:
        targets: dict[str, str] = {}
        for action in self.actions:
            if not action.puts or not action.entry.full_url:
                continue
            url, target = action.entry.full_url, f"{action.type}/{action.id}"
            if targets.setdefault(url, target) != target:
                where = f"Bundle.entry[{action.index}].fullUrl"
                raise BadRequest(issues=[Issue("error", "duplicate", f"Two entries have the fullUrl {url}.", where)])
        return targets

    async def _prepare(self, putting: Sequence[Action], links: Links) -> None:
        """Rewrite, parse, validate and index every resource; those with conditional references last, because these may
        name what the others make."""
        problems: list[FhirError] = []
        waiting: list[tuple[Action, set[str]]] = []
        for number, action in enumerate(putting):
            if number % _STRIDE == _STRIDE - 1:
                await asyncio.sleep(0)
            texts = conditional_references(action.entry.resource or b"")
            if texts:
                waiting.append((action, texts))
                continue
            await self._one(action, links, problems)
        if waiting:
            wanted = {text: action for action, texts in reversed(waiting) for text in texts}
            links.add_conditional(await self._conditional(wanted, putting))
            for number, (action, _) in enumerate(waiting):
                if number % _STRIDE == _STRIDE - 1:
                    await asyncio.sleep(0)
                await self._one(action, links, problems)
        if problems:
            _raise_all(problems)

    async def _one(self, action: Action, links: Links, problems: list[FhirError]) -> None:
        try:
            action.ready = await self._ready(action, links)
        except FhirError as error:
            problems.append(located(error, action.index))

    async def _ready(self, action: Action, links: Links) -> Prepared:
        hub, type = self.hub, action.type
        base = base_of(action.entry.full_url)
        raw = action.entry.resource or b""
        body: bytes | Draft
        if action.interaction.endswith("patch"):
            assert action.existing is not None
            existing = await binaries.complete(hub, action.existing)
            change = document(hub, *patches.content(hub, raw))
            draft = changed(hub, existing.body or b"", existing, change)
            body = links.rewrite(draft.raw, base, hub.options.limits)
        else:
            body = links.rewrite(raw, base, hub.options.limits)
        named = action.id if action.interaction == "update" else None
        draft, issues = parsed(hub, type, body, id=named)
        if type in hub.special:
            issues = (*issues, *await hub.special[type].before_write(hub, draft))
        ready = indexed(hub, self.caller, draft, action.id, issues)
        if type in hub.options.required_profiles:
            ready = await required.checked(hub, ready)
        if type == "Binary":
            ready = Prepared(await binaries.offload(hub, draft), ready.entries, ready.issues)
        return ready

    async def _conditional(self, wanted: dict[str, Action], putting: Sequence[Action]) -> dict[str, str]:
        """What each conditional reference names: exactly one resource, as it is after this transaction's writes."""
        found: dict[str, str] = {}
        touched = {(action.type, action.id) for action in self.actions if action.writes and action.settled is None}
        for text, action in wanted.items():
            reference = parse_reference(text, self.hub.base_urls)
            type = reference.type or ""
            try:
                parameters = conditional.parameters_of(reference.query or "", "A conditional reference")
                query = await conditional.query_of(self.hub, self.caller, type, parameters)
                page = await self.hub.run(query, limit=len(touched) + 2 if len(touched) < 50 else 50)
                keys = {(match.type, match.id) for match in page.matches} - touched
                keys |= {
                    (type, other.id)
                    for other in putting
                    if other.type == type
                    and other.ready is not None
                    and pending.matches(query, type, other.id, other.ready.entries)
                }
                if len(keys) != 1:
                    many = "no" if not keys else "several"
                    raise PreconditionFailed(
                        f"The reference {text[:200]} matches {many} {type} resources; it must match exactly one.",
                        code="not-found" if not keys else "multiple-matches",
                    )
            except FhirError as error:
                raise located(error, action.index) from None
            ((_, id),) = keys
            found[text] = f"{type}/{id}"
        return found

    async def _checks(self, putting: Sequence[Action], writing: Sequence[Action]) -> None:
        """Referential integrity of the whole, and what special types ask before they are deleted."""
        hub = self.hub
        deletes = [action for action in writing if not action.puts]
        for action in deletes:
            if action.type in hub.special and action.existing is not None:
                await hub.special[action.type].before_delete(hub, action.existing)
        if hub.options.integrity == "off":
            return
        gone_keys = {(action.type, action.id) for action in deletes}
        drafts = [(action.ready.draft, action.id) for action in putting if action.ready is not None]
        issues = await integrity.check(hub, drafts, deleted=gone_keys)
        if issues and putting:
            first = putting[0]
            assert first.ready is not None
            first.ready = Prepared(first.ready.draft, first.ready.entries, (*first.ready.issues, *issues))
        if deletes:
            written = [(action.type, action.id) for action in putting]
            deletes[0].guards += await integrity.unreferenced(hub, sorted(gone_keys), written=written)

    async def _precheck(self, writing: Sequence[Action]) -> None:
        """Reads that cannot succeed fail the transaction while it still can."""
        after = {(action.type, action.id): action.puts for action in writing}
        for action in self.actions:
            if action.writes:
                continue
            where = action.address
            try:
                if where.interaction == "read":
                    self.caller.require(where.type, "r")
                    key = (where.type, where.id)
                    if key in after:
                        if not after[key]:
                            raise missing(*key)
                        continue
                    version = await self.hub.store.read(*key)
                    if version is None:
                        raise missing(*key)
                    if version.body is None:
                        raise gone(version)
                elif where.interaction == "search" and all(name != "_page" for name, _ in where.parameters):
                    self.caller.require(where.type or "*", "s")
                    await criteria.parse(self.hub, self.caller, (where.type,) if where.type else (), where.parameters)
                elif where.interaction == "operation":
                    operation_of(where.operation, where.type, where.id)
            except FhirError as error:
                raise located(error, action.index) from None

    async def _commit(self, writing: Sequence[Action]) -> dict[int, EntryResult]:
        results = {action.index: action.settled for action in self.actions if action.settled is not None}
        if not writing:
            return results
        writes: list[Put | Delete] = []
        guards: list[Guard] = []
        for action in self.actions:
            guards += action.guards
        for action in writing:
            if action.puts:
                assert action.ready is not None
                writes.append(action.ready.put(action.id, _method(action), action.expect))
            else:
                writes.append(Delete(action.type, action.id, action.expect))
        versions = await self.hub.commit(writes, guards)
        for action, version in zip(writing, versions, strict=True):
            results[action.index] = _result(action, version)
        return results

    def refuse_if_asked(self, mismatch: VersionMismatch) -> None:
        """Raises PreconditionFailed when the client itself named the version that is no more."""
        for action in self.actions:
            asked = action.entry.if_match is not None or action.entry.if_none_match is not None
            if asked and (action.type, action.id) == (mismatch.type, mismatch.id):
                raise located(lost(mismatch.type, mismatch.id, mismatch.current), action.index) from None


def _method(action: Action) -> Method:
    if action.interaction == "create":
        return "POST"
    return "PATCH" if action.interaction.endswith("patch") else "PUT"


def _result(action: Action, version: Version | None) -> EntryResult:
    issues = action.ready.issues if action.ready is not None else ()
    if not action.puts:
        return EntryResult(204, version)
    created = action.interaction == "create"
    if not created and version is not None and not alive(action.existing):
        created = version.version == (action.existing.version if action.existing is not None else 0) + 1
    return EntryResult(201 if created else 200, version, issues=issues)


def _raise_all(problems: Sequence[FhirError]) -> None:
    """One refusal that holds every problem; its status is the first one's."""
    first = problems[0]
    raise type(first)(issues=[issue for problem in problems for issue in problem.issues], headers=first.headers)
