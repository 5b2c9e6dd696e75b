"""Jobs: a Task in, resources out. The Task in the store is the truth; a broker only wakes workers.

runner = async function (Job) -> Outcome, registered by a dialect for the Task codes it owns
submit -> claim (versioned update, lease) -> run -> outputs and completion in one transaction
"""

from __future__ import annotations

from fhir_server.jobs.job import Job, JobFailed, Outcome, Runner

__all__ = ["Job", "JobFailed", "Outcome", "Runner"]
