"""Who is asking, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass, field

from fhir_server.r4b.outcome import Forbidden


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a key. `scopes`: resource type (or '*') -> letters of "cruds" (SMART v2: create, read, update,
    delete, search). `admin` opens what no clinical scope does ($expunge, _explain). key_id '' is the server itself.
    priority: Task.priority of the jobs that this key asks for; None is routine."""

    key_id: str
    name: str = ""
    dialect: str = "fhir"
    scopes: dict[str, str] = field(default_factory=dict)
    subject: str | None = None
    admin: bool = False
    token_limit: int | None = None
    priority: str | None = None

    def allows(self, type: str, letter: str) -> bool:
        return letter in self.scopes.get(type, "") or letter in self.scopes.get("*", "")

    def require(self, type: str, letter: str) -> None:
        """Raises Forbidden unless the interaction (one of c r u d s) on `type` is within the scopes."""
        if not self.allows(type, letter):
            raise Forbidden(f"This key has no scope for '{letter}' on {type}; it needs system/{type}.{letter}.")


#: The server itself: jobs, import, dialects' own lookups.
SYSTEM = Caller(key_id="", name="system", scopes={"*": "cruds"}, admin=True)
#: Everyone, under --auth none.
ANONYMOUS = Caller(key_id="anonymous", name="anonymous", scopes={"*": "cruds"}, admin=True)
