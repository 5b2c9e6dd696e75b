"""Text of RTF (Rich Text Format 1.9.1): control words, groups, code pages, Unicode escapes."""

from __future__ import annotations

import codecs
import re
from typing import Final

from fhir_server.files.text import FileUnreadable, Read

_TOKEN: Final = re.compile(
    rb"\\([a-z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-f]{2})|\\([^a-z])|([{}])|[\r\n]+|([^\\{}\r\n]+)", re.I | re.S
)
#: Groups whose text is not the document's.
_SKIPPED: Final = frozenset(
    b"fonttbl colortbl datastore themedata stylesheet info pict object objdata generator listtable listoverridetable "
    b"rsidtbl revtbl filetbl fldinst xmlnstbl latentstyles header headerl headerr headerf footer footerl footerr "
    b"footerf nonshppict shppict blipuid bkmkstart bkmkend mmathpr userprops xe tc comment atnid atnauthor".split()
)
_SPACES: Final = {
    b"par": "\n",
    b"line": "\n",
    b"sect": "\n\n",
    b"page": "\n",
    b"row": "\n",
    b"cell": "\t",
    b"nestcell": "\t",
    b"tab": "\t",
    b"emdash": "—",
    b"endash": "–",
    b"emspace": " ",
    b"enspace": " ",
    b"bullet": "•",
    b"lquote": "‘",
    b"rquote": "’",
    b"ldblquote": "“",
    b"rdblquote": "”",
}
MAX_GROUPS: Final = 5_000


def read(content: bytes) -> Read:
    if not content.startswith(b"{\\rtf"):
        raise FileUnreadable("broken", "It is not an RTF file.")
    return Read(_text(content))


def _text(content: bytes) -> str:
    out: list[str] = []
    encoding = "cp1252"
    pending = bytearray()  # bytes of the code page, decoded together because of two-byte characters
    skipping, unicode_skip, to_skip = False, 1, 0
    stack: list[tuple[bool, int]] = []

    def flush() -> None:
        if pending:
            out.append(pending.decode(encoding, "replace"))
            pending.clear()

    for token in _TOKEN.finditer(content):
        word, number, hexed, symbol, brace, plain = token.groups()
        if hexed is None and plain is None:
            flush()
        if brace == b"{":
            if len(stack) >= MAX_GROUPS:
                raise FileUnreadable("broken", "It is nested too deeply.")
            stack.append((skipping, unicode_skip))
            to_skip = 0
        elif brace == b"}":
            if stack:
                skipping, unicode_skip = stack.pop()
            to_skip = 0
        elif word is not None:
            word = word.lower()
            value = int(number) if number else None
            if word in _SKIPPED:
                skipping = True
            elif word == b"bin" and value:
                raise FileUnreadable("unsupported", "It holds binary data that cannot be read.")
            elif word == b"ansicpg" and value is not None:
                encoding = _codec(value)
            elif word == b"uc" and value is not None:
                unicode_skip = max(0, value)
            elif word == b"u" and value is not None:
                if not skipping:
                    out.append(chr(value % 65536))
                to_skip = unicode_skip
            elif not skipping and word in _SPACES:
                out.append(_SPACES[word])
        elif symbol is not None:
            if symbol == b"*":
                skipping = True
            elif not skipping:
                out.append({b"~": "\u00a0", b"_": "-", b"\n": "\n", b"\r": "\n"}.get(symbol, ""))
                if symbol in b"\\{}":
                    out.append(symbol.decode("ascii"))
        elif hexed is not None:
            if to_skip:
                to_skip -= 1
            elif not skipping:
                pending.append(int(hexed, 16))
        elif plain is not None:
            kept = plain[to_skip:]
            to_skip = max(0, to_skip - len(plain))
            if not skipping:
                pending.extend(kept)
    flush()
    # \u writes characters beyond the first plane as two halves
    return "".join(out).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _codec(page: int) -> str:
    for name in (f"cp{page}", {65001: "utf-8", 10000: "mac-roman"}.get(page, "")):
        try:
            if name:
                return codecs.lookup(name).name
        except LookupError:
            continue
    return "cp1252"
