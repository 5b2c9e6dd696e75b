"""Notices: made once, delivered at least once, signed, tried again, given up, and to be read afterwards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from fhir_server.jobs.egress import Policy, Refused, Undelivered
from fhir_server.jobs.models import model
from fhir_server.jobs.secrets import OVERLAP, Secrets
from fhir_server.jobs.webhooks import RETRY_SECONDS, Deliveries, Notice, announce, delivery_of
from tests.jobs.memory_hub import MemoryHub

Json = dict[str, Any]
NOW = datetime.now(UTC)
URL = "https://hooks.example.org/notify"


class Announcing:
    """A dialect whose Tasks have one code and one address."""

    runners: Mapping[str, Any] = {"test": None}

    async def notice(self, hub: Any, task: Json) -> Notice | None:
        url = next((item["valueUrl"] for item in task.get("input", ()) if "valueUrl" in item), None)
        if url is None:
            return None
        return Notice(f"test.{task['status']}", url, {"id": task["id"], "words": task.get("description")}, "key1")


class Site:
    """Deliveries over a hub in memory, with a clock and a receiver of its own."""

    def __init__(self, tmp_path: Path, *answers: int | BaseException) -> None:
        self.hub, self.now, self.answers = MemoryHub(), NOW, list(answers)
        self.sent: list[tuple[str, bytes, dict[str, str]]] = []
        self.secrets = Secrets(self.hub.store, b"pepper")  # type: ignore[arg-type]
        self.lock = tmp_path / "lock"
        self.deliveries = self.anew()

    def anew(self) -> Deliveries:
        """As after a restart."""
        return Deliveries(
            self.hub,  # type: ignore[arg-type]
            [Announcing()],  # type: ignore[list-item]
            self.secrets,
            policy=Policy(),
            lock=self.lock,
            clock=lambda: self.now,
            send=self._send,
        )

    async def _send(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self.sent.append((url, body, dict(headers)))
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def task(self, status: str = "completed", **more: Any) -> Json:
        task = {
            "resourceType": "Task",
            "id": "t1",
            "status": status,
            "intent": "order",
            "code": {"coding": [{"code": "test"}]},
            "input": [{"type": {"text": "webhook_url"}, "valueUrl": URL}],
        } | more
        await self.hub.save(None, task)
        return task

    async def step(self, seconds: float = 0.0) -> None:
        self.now += timedelta(seconds=seconds)
        await self.deliveries.step()
        await self.deliveries.settle()
        await self.deliveries.step()
        await self.deliveries.settle()

    @property
    def log(self) -> Json:
        [communication] = self.hub.of("Communication")
        return communication


@pytest.fixture
async def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    # the versions of the hub in memory are dated 1970; a cursor says that this store knows webhooks
    await made.hub.store.put_record("webhooks", "cursor", {"seq": 0})
    await made.deliveries.begin()
    return made


async def test_a_task_that_ends_is_told(site: Site) -> None:
    await site.task("in-progress")
    await site.step()
    assert site.sent == []
    await site.task("completed", description="done")
    await site.step()
    [(url, body, headers)] = site.sent
    assert url == URL
    assert json.loads(body) == {"id": "t1", "words": "done"}
    assert headers["Content-Type"] == "application/json"


async def test_it_is_told_once_however_often_it_is_written(site: Site) -> None:
    for words in ("a", "b", "c"):
        await site.task(description=words)
        await site.step()
    await site.task("failed")
    await site.step(100)
    assert len(site.sent) == 1


async def test_a_task_without_an_address_is_not_told(site: Site) -> None:
    await site.task(input=[{"type": {"text": "webhook"}, "valueString": "x"}])
    await site.step()
    assert site.sent == []
    assert site.hub.of("Communication") == []


async def test_the_signature_is_that_of_standard_webhooks(site: Site) -> None:
    await site.task()
    await site.step()
    [(_, body, headers)] = site.sent
    [secret] = await site.secrets.of("key1", site.now)
    assert Webhook(secret).verify(body, headers) == {"id": "t1", "words": None}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + b" ", headers)
    [other] = await site.secrets.of("key2", site.now)
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(body, headers)


async def test_after_a_rotation_both_secrets_sign_for_a_while(site: Site) -> None:
    [old] = await site.secrets.of("key1", site.now)
    new = await site.secrets.rotate("key1", site.now)
    await site.task()
    await site.step()
    [(_, body, headers)] = site.sent
    Webhook(old).verify(body, headers)
    Webhook(new).verify(body, headers)
    assert await site.secrets.of("key1", site.now + OVERLAP) == [new]


async def test_a_failure_is_tried_again_later_with_the_same_id(site: Site) -> None:
    site.answers = [500, Undelivered("the connection failed"), 200]
    await site.task()
    await site.step()
    await site.step()
    assert len(site.sent) == 1
    await site.step(3)
    assert len(site.sent) == 2
    await site.step(7)
    assert len(site.sent) == 3
    assert len({headers["webhook-id"] for _, _, headers in site.sent}) == 1
    assert site.log["status"] == "completed"
    assert [note["text"] for note in site.log["note"]] == [
        "Attempt 1: the receiver answered 500.",
        "Attempt 2: the connection failed.",
        "Attempt 3: the receiver answered 200.",
    ]


async def test_it_is_tried_for_hours_and_then_given_up(site: Site) -> None:
    site.answers = [503] * 50
    await site.task()
    await site.step()
    for pause in RETRY_SECONDS:
        await site.step(pause * 1.3)
    assert len(site.sent) == len(RETRY_SECONDS) + 1
    assert sum(RETRY_SECONDS) > 20 * 3600
    assert site.log["status"] == "stopped"
    assert site.log["statusReason"]["text"] == "the receiver answered 503"
    await site.step(100_000)
    assert len(site.sent) == len(RETRY_SECONDS) + 1


async def test_what_is_refused_is_not_tried_again(site: Site) -> None:
    site.answers = [Refused("its address is in a private network")]
    await site.task()
    await site.step()
    await site.step(100_000)
    assert len(site.sent) == 1
    assert site.log["status"] == "not-done"
    assert "private network" in site.log["statusReason"]["text"]


async def test_a_redirect_is_no_delivery(site: Site) -> None:
    site.answers = [302]
    await site.task()
    await site.step()
    assert site.log["status"] == "in-progress"
    assert "redirects are not followed" in site.log["note"][0]["text"]


async def test_a_receiver_that_is_gone_for_good_is_believed(site: Site) -> None:
    site.answers = [410]
    await site.task()
    await site.step()
    await site.step(100_000)
    assert len(site.sent) == 1


async def test_a_restart_loses_nothing(site: Site) -> None:
    site.answers = [500]
    await site.task()
    await site.step()
    site.deliveries = site.anew()
    await site.deliveries.begin()
    await site.step(10)
    assert len(site.sent) == 2
    assert site.log["status"] == "completed"


async def test_a_worker_killed_while_it_sends_tells_again(site: Site) -> None:
    site.answers = [asyncio.CancelledError()]
    await site.task()
    await site.deliveries.step()
    await site.deliveries.settle()
    assert site.log["status"] in ("preparation", "in-progress")
    site.deliveries = site.anew()
    await site.deliveries.begin()
    await site.step(61)
    assert site.log["status"] == "completed"


async def test_two_workers_do_not_tell_twice(site: Site) -> None:
    other = site.anew()
    await other.begin()
    await site.task()
    await site.deliveries.step()
    await other.step()
    await site.step()
    await other.step()
    await other.settle()
    assert len(site.sent) == 1


async def test_the_present_state_of_the_task_is_told(site: Site) -> None:
    site.answers = [500]
    await site.task(description="first")
    await site.step()
    await site.task(description="corrected")
    await site.step(10)
    assert json.loads(site.sent[-1][1])["words"] == "corrected"


async def test_a_notice_of_something_else_keeps_its_body(site: Site) -> None:
    notice = Notice("report.delivered", URL, {"reportId": "rep_1"}, "")
    assert await announce(site.hub, notice, about="DiagnosticReport/1", now=site.now)  # type: ignore[arg-type]
    assert not await announce(site.hub, notice, about="DiagnosticReport/1", now=site.now)  # type: ignore[arg-type]
    await site.step()
    [(_, body, headers)] = site.sent
    [secret] = await site.secrets.of("", site.now)
    assert Webhook(secret).verify(body, headers) == {"reportId": "rep_1"}


async def test_the_log_is_valid_fhir(site: Site) -> None:
    site.answers = [500]
    await site.task()
    await site.step()
    model("Communication").model_validate(site.log)
    delivery = delivery_of(site.log)
    assert delivery is not None
    assert (delivery.url, delivery.event, delivery.attempt) == (URL, "test.completed", 1)
    assert site.log["basedOn"] == [{"reference": "Task/t1"}]


async def test_attempts_are_counted(site: Site) -> None:
    site.answers = [500]
    await site.task()
    await site.step()
    await site.step(10)
    assert site.hub.store.counters == {"webhooks/not-delivered": 1, "webhooks/delivered": 1}


async def test_history_is_not_told_on_a_store_that_knew_no_webhooks(tmp_path: Path) -> None:
    site = Site(tmp_path)
    await site.task()
    await site.deliveries.begin()
    await site.step()
    assert site.sent == []
