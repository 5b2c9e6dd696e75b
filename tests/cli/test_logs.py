"""Logs: structured, and without anything of a patient."""

import json
import logging
import os
import sys
import time

import pytest

from fhir_server.logs import AccessLog, Formatter, Sink


def record(name: str, message: str, *args: object, error: Exception | None = None) -> logging.LogRecord:
    info = None
    if error is not None:
        try:
            raise error
        except Exception:
            info = sys.exc_info()
    return logging.LogRecord(name, logging.ERROR, __file__, 1, message, args, info)


def test_a_line_is_one_json_object_with_its_extra_fields() -> None:
    given = record("fhir_server.x", "took %d", 3)
    given.request_id = "r1"
    line = json.loads(Formatter("json").format(given))
    assert (line["level"], line["logger"], line["message"], line["request_id"]) == (
        "error",
        "fhir_server.x",
        "took 3",
        "r1",
    )


@pytest.mark.parametrize("kind", ["json", "text"])
def test_an_exception_is_told_by_its_class_and_place_never_by_its_text(kind: str) -> None:
    line = Formatter(kind).format(record("fhir_server.x", "failed", error=ValueError("Jane Doe, born 1970")))
    assert "ValueError" in line
    assert "test_logs.py" in line
    assert "Jane" not in line


def test_another_librarys_sentence_is_told_without_what_it_was_given() -> None:
    line = Formatter("json").format(record("some.library", "cannot parse %r", "Jane Doe"))
    assert "cannot parse" in line
    assert "Jane" not in line
    assert "Jane" not in Formatter("json").format(record("some.library", "cannot parse Jane Doe"))


def test_a_reader_that_does_not_read_holds_nobody_up() -> None:
    reading, writing = os.pipe()
    access = AccessLog(Sink(writing), "json")
    started = time.monotonic()
    for number in range(20_000):
        access(str(number), "GET", "/fhir/Patient/{id}", 200, 0.001, "key")
    assert time.monotonic() - started < 2
    os.close(reading)


def test_lines_come_out_whole_and_in_order() -> None:
    reading, writing = os.pipe()
    sink = Sink(writing)
    for number in range(100):
        sink.write(b"%d\n" % number)
    sink.flush()
    time.sleep(0.3)
    assert os.read(reading, 65536).splitlines() == [b"%d" % number for number in range(100)]
    os.close(reading)
    os.close(writing)
