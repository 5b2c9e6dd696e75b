"""Measurements against floors in the same run: ``make bench``, ``make bench-quick``."""
