"""HL7's terminology ecosystem tests, when they are here."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import pytest

from tests.tx.__main__ import DATA, find_tests, run

#: How R4B differs from what two of the tests ask for: see docs/terminology/README.md.
KNOWN = {"metadata", "translate-reverse"}


@pytest.mark.slow
def test_the_general_tests_pass(tmp_path: Path) -> None:
    folder = find_tests(DATA, tmp_path)
    if folder is None:
        pytest.skip(f"HL7's terminology ecosystem tests are not in {DATA}")
    given = argparse.Namespace(url=None, key=None, suite=None, test=None, modes="general", verbose=False)
    results = asyncio.run(run(given, folder))
    assert {one.test for one in results if one.wrong is not None} <= KNOWN
    assert len(results) >= 597
