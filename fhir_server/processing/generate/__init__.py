"""Builds the learned tables of processing from open data; run by hand, never at run time."""
