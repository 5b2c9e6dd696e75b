"""Text of HTML."""

from __future__ import annotations

import re
from typing import Final

from fhir_server.files.plain import decoded
from fhir_server.files.text import Read
from fhir_server.files.xmls import lines_of, parsed_html

_CHARSET: Final = re.compile(
    rb"<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)\s*=\s*[\"']?([A-Za-z0-9_\-]{2,30})", re.I
)


def read(content: bytes) -> Read:
    said = _CHARSET.search(content[:4096])
    text = decoded(content, said[1].decode("ascii") if said else "")
    return Read(lines_of(parsed_html(text)))
