from __future__ import annotations

import threading
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection

from fhir_server.jobs.files import SCHEME


def connection(folder: Path) -> Connection:
    return Connection(f"{SCHEME}://", transport_options={"folder": str(folder)})


def test_messages_come_out_in_the_order_they_went_in(tmp_path: Path) -> None:
    with connection(tmp_path) as there, connection(tmp_path) as here:
        sender, receiver = there.SimpleQueue("q"), here.SimpleQueue("q")
        for number in range(20):
            sender.put(number)
        assert [receiver.get_nowait().payload for _ in range(20)] == list(range(20))
        with pytest.raises(Empty):
            receiver.get_nowait()


def test_a_file_that_is_no_message_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "00000000000000000001-x.q.msg").write_bytes(b"")
    (tmp_path / "00000000000000000002-x.q.msg").write_bytes(b"\xff{")
    (tmp_path / "00000000000000000003-x.q.msg.part").write_bytes(b"{")
    with connection(tmp_path) as there:
        queue = there.SimpleQueue("q")
        queue.put("good")
        assert queue.get_nowait().payload == "good"


def test_every_message_goes_to_one_consumer(tmp_path: Path) -> None:
    got: list[Any] = []

    def consume() -> None:
        with connection(tmp_path) as here:
            queue = here.SimpleQueue("q")
            while True:
                try:
                    message = queue.get(timeout=0.3)
                except Empty:
                    return
                message.ack()
                got.append(message.payload)

    consumers = [threading.Thread(target=consume) for _ in range(4)]
    for consumer in consumers:
        consumer.start()
    with connection(tmp_path) as there:
        queue = there.SimpleQueue("q")
        for number in range(200):
            queue.put(number)
    for consumer in consumers:
        consumer.join()
    assert sorted(got) == list(range(200))
