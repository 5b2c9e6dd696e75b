"""Where a webhook may go, and where never."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from fhir_server.jobs.egress import Policy, Refused, Undelivered, post

ANYWHERE = Policy(allow_private=True, allow_http=True)


@dataclass
class Receiver:
    """Answers every request with `answer`, and keeps them."""

    port: int = 0
    answer: bytes = b"HTTP/1.1 204 No Content\r\n\r\n"
    requests: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def receiving(answer: bytes = b"HTTP/1.1 204 No Content\r\n\r\n") -> AsyncIterator[Receiver]:
    receiver = Receiver(answer=answer)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(
            next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")).split()[1]
        )
        receiver.requests.append(head + await reader.readexactly(length))
        writer.write(receiver.answer)
        await writer.drain()
        if receiver.answer:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()


async def named(*addresses: str) -> list[str]:
    return list(addresses)


async def test_the_body_and_headers_arrive() -> None:
    async with receiving() as receiver:
        url = f"http://127.0.0.1:{receiver.port}/hook/é?c=1"
        status = await post(url, b'{"x":1}', {"webhook-id": "msg_1"}, policy=Policy(allow_private=True))
    assert status == 204
    [request] = receiver.requests
    assert request.startswith(b"POST /hook/%C3%A9?c=1 HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nwebhook-id: msg_1\r\n" in request
    assert request.endswith(b'\r\n\r\n{"x":1}')


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[fc00::1]",
        "224.0.0.1",
        "168.63.129.16",
    ],
)
async def test_nothing_but_public_addresses(host: str) -> None:
    async with receiving() as receiver:
        with pytest.raises((Refused, Undelivered)):
            await post(f"https://{host}:{receiver.port}/", b"", {}, policy=Policy(), seconds=2)
        with pytest.raises((Refused, Undelivered)):
            await post(f"http://{host}:{receiver.port}/", b"", {}, policy=Policy(), seconds=2)
    assert receiver.requests == []


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "224.0.0.1", "0.0.0.0", "[::ffff:169.254.169.254]"])
async def test_link_local_and_metadata_are_refused_even_on_a_private_network(host: str) -> None:
    with pytest.raises(Refused):
        await post(f"http://{host}/", b"", {}, policy=ANYWHERE, seconds=2)


@pytest.mark.parametrize(
    "url",
    ["ftp://example.org/", "file:///etc/passwd", "//x", "x", "https://u:p@example.org/", "https://exa mple.org/", ""],
)
async def test_what_is_no_plain_address_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        await post(url, b"", {}, policy=ANYWHERE, resolve=lambda host, port: named("8.8.8.8"))


async def test_http_is_refused_outside_this_machine() -> None:
    with pytest.raises(Refused, match="not https"):
        await post(
            "http://example.org/",
            b"",
            {},
            policy=Policy(allow_private=True),
            resolve=lambda h, p: named("93.184.216.34"),
        )


async def test_one_private_address_among_public_ones_is_refused() -> None:
    with pytest.raises(Refused):
        await post(
            "https://example.org/", b"", {}, policy=Policy(), resolve=lambda h, p: named("93.184.216.34", "127.0.0.1")
        )


async def test_a_name_is_resolved_once_and_the_checked_address_is_called() -> None:
    asked = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    async with receiving() as receiver:
        url = f"http://hooks.example.org:{receiver.port}/"
        assert await post(url, b"x", {}, policy=Policy(allow_private=True), resolve=rebinding) == 204
    assert asked == ["hooks.example.org"]
    assert b"Host: hooks.example.org:" in receiver.requests[0]


async def test_redirects_are_not_followed() -> None:
    async with receiving() as target, receiving() as receiver:
        receiver.answer = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{target.port}/\r\n\r\n".encode()
        assert await post(f"http://127.0.0.1:{receiver.port}/", b"x", {}, policy=Policy(True)) == 302
    assert target.requests == []


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n", b"\r\n"])
async def test_an_answer_that_is_no_http_is_no_delivery(answer: bytes) -> None:
    async with receiving(answer) as receiver:
        with pytest.raises(Undelivered):
            await post(f"http://127.0.0.1:{receiver.port}/", b"x", {}, policy=Policy(True))


async def test_a_receiver_that_never_answers_is_given_up() -> None:
    async with receiving(b"") as receiver:
        with pytest.raises(Undelivered, match="no answer"):
            await post(f"http://127.0.0.1:{receiver.port}/", b"x", {}, policy=Policy(True), seconds=0.2)


async def test_nobody_listening_is_no_delivery() -> None:
    async with receiving() as receiver:
        port = receiver.port
    with pytest.raises(Undelivered):
        await post(f"http://127.0.0.1:{port}/", b"x", {}, policy=Policy(True))


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with receiving() as receiver:
        assert await post(f"http://127.0.0.1:{receiver.port}/", b"x", {}, policy=Policy(True)) == 204
