"""Makes the tables in ``fhir_server/r4b/data`` from HL7's npm packages; never imported by the running server."""
