"""Conformance beyond the base: invariants of the standard, and profiles from packages or StructureDefinitions."""
