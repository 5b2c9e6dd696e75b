"""Metrics: counted per process, summed over processes, written as Prometheus reads them."""

import re
from pathlib import Path

from fhir_server.metrics import Metrics, prepare


def value(text: str, line: str) -> float:
    found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
    assert found, text
    return float(found[1])


def test_requests_are_counted_by_interaction_and_status() -> None:
    metrics = Metrics()
    metrics.observe("read", 200, 0.002)
    metrics.observe("read", 200, 0.2)
    metrics.observe("read", 404, 0.001)
    text = metrics.render().decode()
    assert value(text, 'fhir_server_requests_total{interaction="read",status="200"}') == 2
    assert value(text, 'fhir_server_requests_total{interaction="read",status="404"}') == 1


def test_the_histogram_is_cumulative() -> None:
    metrics = Metrics()
    for seconds in (0.0005, 0.001, 0.2, 99.0):
        metrics.observe("read", 200, seconds)
    text = metrics.render().decode()
    assert value(text, 'fhir_server_request_seconds_bucket{interaction="read",le="0.001"}') == 2
    assert value(text, 'fhir_server_request_seconds_bucket{interaction="read",le="0.25"}') == 3
    assert value(text, 'fhir_server_request_seconds_bucket{interaction="read",le="+Inf"}') == 4
    assert value(text, 'fhir_server_request_seconds_count{interaction="read"}') == 4


def test_what_other_processes_counted_is_added(tmp_path: Path) -> None:
    prepare(tmp_path)
    mine, other = Metrics(tmp_path), Metrics(tmp_path)
    other._file = tmp_path / "another-process.json"
    other.observe("read", 200, 0.1)
    other.save()
    mine.observe("read", 200, 0.1)
    mine.save()
    assert value(mine.render().decode(), 'fhir_server_requests_total{interaction="read",status="200"}') == 2


def test_a_new_start_forgets_the_counts_of_the_last_one(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    metrics.observe("read", 200, 0.1)
    metrics.save()
    prepare(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_labels_are_escaped() -> None:
    text = Metrics().render([("x", "X.", {(("type", 'a"b\\c\nd'),): 1.0})]).decode()
    assert r'x{type="a\"b\\c\nd"} 1' in text
