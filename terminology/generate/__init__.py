"""Builders of the committed content in ``terminology/data`` from its published sources. Not imported by the server.

Run ``python -m terminology.generate.content --help``. Sources, versions and licences: ``terminology/data/README.md``.
"""
