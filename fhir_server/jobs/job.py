"""What a runner gets and gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fhir_server.jobs.names import Json, Names

if TYPE_CHECKING:
    from fhir_server.hub import Hub


class JobFailed(Exception):
    """The job cannot be done, however often it is tried. `code` is of the own code system error-code; `reason` is a
    sentence for the client, without anything of the patient or of the machine."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt at a Task. `hub` for what the runner has to read; it writes nothing itself but gives an Outcome.

    progress(sentence): shows in Task.businessStatus and prolongs the lease.
    """

    task: Json
    attempt: int
    hub: Hub
    names: Names
    settings: Any
    clock: Callable[[], datetime]
    progress: Callable[[str], Awaitable[None]]

    @property
    def id(self) -> str:
        return str(self.task["id"])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job made: written in one transaction with the completion of its Task.

    resources: what the engine made, each with an `id` that is the same at every attempt; labelled as an AI's work.
    attached: what belongs to it but is no AI's work (a note that only stood in the Task). outputs: Task.output items.
    derived_from: references to what it was made from (Provenance.entity). engine, version: what made it (the agent
    Device). focus: reference for Task.focus, when the Task has none. updated: resources that were there before, as
    they were read but for what the job changes in them; they are written if nobody else has changed them since, else
    the job is tried again. business_status: for Task.businessStatus of the completed Task.
    """

    engine: str
    version: str
    resources: Sequence[Json] = ()
    attached: Sequence[Json] = ()
    outputs: Sequence[Json] = ()
    derived_from: Sequence[str] = ()
    focus: str | None = None
    updated: Sequence[Json] = ()
    business_status: Json | None = None


Runner = Callable[[Job], Coroutine[Any, Any, Outcome]]
