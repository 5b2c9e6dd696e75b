"""Plain text in whatever encoding it came."""

from __future__ import annotations

from typing import Final

from fhir_server.files.text import Read

_MARKS: Final = (
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def read(content: bytes) -> Read:
    return Read(decoded(content))


def decoded(content: bytes, said: str = "") -> str:
    """The text: by its byte order mark, else by the encoding that it says itself, else UTF-8, else UTF-16 without a
    mark, else Windows-1252 (in which every file can be read, be it rightly or not)."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    for encoding in (said, "utf-8"):
        if encoding:
            try:
                return content.decode(encoding)
            except (UnicodeDecodeError, LookupError, ValueError):
                continue
    even, odd = content[0:4000:2].count(0), content[1:4000:2].count(0)
    if max(even, odd) > 0.3 * min(len(content), 4000) / 2 and min(even, odd) == 0:
        return content.decode("utf-16-be" if even > odd else "utf-16-le", "replace")
    return content.decode("cp1252", "replace") if not _undefined(content) else content.decode("latin-1")


def _undefined(content: bytes) -> bool:
    return any(byte in content for byte in b"\x81\x8d\x8f\x90\x9d")
