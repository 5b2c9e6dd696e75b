"""FHIR XML: to and from the JSON that is kept. R4B 2.6.1 (XML representation)."""

from fhir_server.r4b.xml_read import from_xml, parse_xml
from fhir_server.r4b.xml_write import to_xml

__all__ = ["from_xml", "parse_xml", "to_xml"]
