"""One HTTP POST out of this house, to an address that anyone may have named: server-side request forgery is refused.

The name is resolved once, every address it has is checked, and the connection goes to a checked address (so that a
second answer of the name server changes nothing); redirects are not followed, proxies of the environment not used.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]

#: Where clouds keep the credentials of a machine; never anybody's receiver.
_METADATA: Final = frozenset(
    ipaddress.ip_address(text)
    for text in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")
)
_NAT64: Final = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")
_HEADER: Final = re.compile(r"[ -~]*")


class Refused(Exception):
    """The address must not be called, now or later."""


class Undelivered(Exception):
    """It was called, or should have been, and nothing came of it; later it may."""


@dataclass(frozen=True, slots=True)
class Policy:
    """allow_private: this machine and private networks too. allow_http: http without TLS to other machines too."""

    allow_private: bool = False
    allow_http: bool = False


async def system_resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, as the system knows them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


async def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    policy: Policy,
    seconds: float = 10.0,
    resolve: Resolve = system_resolve,
    tls: ssl.SSLContext | None = None,
) -> int:
    """POST `body`, and the status of the answer (the answer itself is not read). Raises Refused and Undelivered.

    seconds: for all of it together."""
    parts, host, port = checked_url(url)
    try:
        async with asyncio.timeout(seconds):
            addresses = await _addresses(host, port, parts.scheme, policy, resolve)
            secure = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
            return await _post(addresses, parts, host, port, body, headers, secure)
    except TimeoutError:
        raise Undelivered(f"no answer within {seconds:g} seconds") from None
    except ssl.SSLError:
        raise Undelivered("the certificate is not valid, or TLS failed") from None
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        raise Undelivered(f"the connection failed ({type(error).__name__})") from None


def checked_url(url: str) -> tuple[SplitResult, str, int]:
    """(parts, host, port) of an absolute http or https URL without a password in it. Raises Refused."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Refused("it is not a URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise Refused("it is not an absolute http or https URL")
    if parts.username is not None or parts.password is not None:
        raise Refused("it has a user name or a password in it")
    if re.search(r"[\s\x00-\x1f\x7f\\]", url):
        raise Refused("it has characters that a URL cannot have")
    try:
        host = host.encode("idna").decode("ascii") if ":" not in host else host.partition("%")[0]
    except UnicodeError:
        raise Refused("its host is not a name") from None
    return parts, host, port or (443 if parts.scheme == "https" else 80)


async def _addresses(host: str, port: int, scheme: str, policy: Policy, resolve: Resolve) -> list[Address]:
    """The addresses of the host. One bad one among them spoils all: the name is not to be trusted."""
    try:
        found = [ipaddress.ip_address(text.partition("%")[0]) for text in await resolve(host, port)]
    except OSError:
        raise Undelivered("the host is not known") from None
    if not found:
        raise Undelivered("the host has no address")
    for address in found:
        reason = refusal(address, scheme, policy)
        if reason:
            raise Refused(reason)
    return found


def refusal(address: Address, scheme: str, policy: Policy) -> str | None:
    """Why an address must not be called; None when it may."""
    real = _inside(address)
    if real in _METADATA or real.is_link_local or real.is_multicast or real.is_unspecified:
        return "its address is not one that a receiver can have"
    if real.is_loopback:
        return None if policy.allow_private else "its address is this machine's own"
    if not real.is_global:
        private = real.is_private or real in ipaddress.ip_network("100.64.0.0/10" if real.version == 4 else "fc00::/7")
        if real.is_reserved or not private:
            return "its address is not one that a receiver can have"
        if not policy.allow_private:
            return "its address is in a private network"
    if scheme == "http" and not policy.allow_http:
        return "it is not https"
    return None


def _inside(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, else the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address.teredo is not None:
            return address.teredo[1]
        if any(address in network for network in _NAT64):
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if int(address) >> 32 == 0 and int(address) > 1:  # ::a.b.c.d, long deprecated
            return ipaddress.IPv4Address(int(address))
    return address


async def _post(
    addresses: list[Address],
    parts: SplitResult,
    host: str,
    port: int,
    body: bytes,
    headers: Mapping[str, str],
    secure: ssl.SSLContext | None,
) -> int:
    reader, writer = await _connected(addresses, host, port, secure)
    try:
        named = f"[{host}]" if ":" in host else host
        standard = port == (443 if parts.scheme == "https" else 80)
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        query = f"?{quote(parts.query, safe='/%:@!$&()*+,;=~-._?')}" if parts.query else ""
        lines = [f"POST {path}{query} HTTP/1.1", f"Host: {named if standard else f'{named}:{port}'}"]
        for name, value in {**headers, "Content-Length": str(len(body)), "Connection": "close"}.items():
            if not _HEADER.fullmatch(value):
                raise ValueError("a header has characters that it cannot have")
            lines.append(f"{name}: {value}")
        writer.write("\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body)
        await writer.drain()
        while True:
            found = _STATUS.match(await reader.readuntil(b"\n"))
            if found is None:
                raise Undelivered("the answer is not HTTP")
            status = int(found[1])
            if status >= 200:
                return status
            while (await reader.readuntil(b"\n")).strip():
                pass
    finally:
        writer.close()


async def _connected(
    addresses: list[Address], host: str, port: int, secure: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the first address that takes one. The certificate must be the name's, not the address's."""
    failure: OSError | None = None
    for address in addresses:
        try:
            return await asyncio.open_connection(
                str(address), port, ssl=secure, server_hostname=host if secure else None, limit=65_536
            )
        except ssl.SSLError:
            raise
        except OSError as error:
            failure = error
    raise failure or OSError("no address")
