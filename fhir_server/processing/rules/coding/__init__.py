"""ICD-10-CM coding the way a coder works: Alphabetic Index, then the tabular list, then the guidelines."""
