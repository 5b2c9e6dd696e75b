"""Files that people send: taken in without filling the memory, told apart by content, read as text.

read_form(request, store)      a multipart request -> Form with its Uploads         (multipart.py)
sniff(content)                 what a file is, by its bytes                          (sniff.py)
text_of(content)               a file's text, or FileUnreadable with a reason        (text.py)
keep(hub, upload, id)          an Upload as a Binary; content_of(hub, "Binary/x")    (keep.py)
"""

from __future__ import annotations

from fhir_server.files.multipart import Form, Upload, read_form
from fhir_server.files.sniff import Kind, Sniffed, sniff
from fhir_server.files.text import Extracted, FileUnreadable, text_of

__all__ = ["Extracted", "FileUnreadable", "Form", "Kind", "Sniffed", "Upload", "read_form", "sniff", "text_of"]
