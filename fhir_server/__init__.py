"""A FHIR R4B server: everything is FHIR at rest, and every other interface is a dialect spoken at the door."""

__version__ = "0.1.0"
