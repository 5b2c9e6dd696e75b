"""Loads what an operator brings: FHIR packages and resources, LOINC, SNOMED CT, RxNorm and ICD-10 in the files that
their owners publish. Each release becomes an index file of its own (terminology.loaded)."""
