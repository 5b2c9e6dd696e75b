"""Which files an import takes, in which order, and how it reads them."""

import bz2
import gzip
from pathlib import Path

import pytest

from fhir_server.commands.sources import CHUNK_LINES, find_files, open_file, pieces


def put(path: Path, content: bytes = b"{}") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_prerequisites_come_first_and_numbers_count(tmp_path: Path) -> None:
    for name in ("part-10.json", "b.json", "part-2.json", "0-hospitals.json", "00-terms.json"):
        put(tmp_path / name)
    names = [file.name for file in find_files([str(tmp_path)])]
    assert names == ["0-hospitals.json", "00-terms.json", "b.json", "part-2.json", "part-10.json"]


def test_a_folder_gives_only_what_looks_like_data(tmp_path: Path) -> None:
    for name in ("a.json", "b.ndjson.gz", "c.jsonl", "d.json.bz2", "notes.txt", "manifest.json"):
        put(tmp_path / "deep" / name)
    assert {file.name for file in find_files([str(tmp_path)])} == {"a.json", "b.ndjson.gz", "c.jsonl", "d.json.bz2"}


def test_a_named_file_is_taken_whatever_its_name(tmp_path: Path) -> None:
    assert find_files([str(put(tmp_path / "patients.txt"))]) == [tmp_path / "patients.txt"]


def test_a_file_that_is_named_twice_is_taken_once(tmp_path: Path) -> None:
    put(tmp_path / "a.json")
    assert len(find_files([str(tmp_path / "a.json"), str(tmp_path), str(tmp_path / "*.json")])) == 1


def test_a_path_that_names_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\*"):
        find_files([str(tmp_path / "nowhere*")])


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
def test_the_packing_is_known_by_the_content(tmp_path: Path, pack: type) -> None:
    with open_file(put(tmp_path / "any-name", pack(b"content"))) as file:
        assert file.read() == b"content"


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
def test_ndjson_comes_in_pieces_that_know_their_lines(tmp_path: Path, pack: type) -> None:
    lines = [b'{"n":%d}' % number for number in range(CHUNK_LINES + 3)]
    path = put(tmp_path / "x.ndjson", pack(b"\n".join(lines) + b"\n\n"))
    found = list(pieces(path))
    assert [number for piece in found for number, _ in piece.lines or ()] == list(range(1, len(lines) + 1))
    assert [line for piece in found for _, line in piece.lines or ()] == lines
    assert sum(piece.weight for piece in found) == path.stat().st_size


def test_ndjson_is_known_by_its_content_too(tmp_path: Path) -> None:
    (piece,) = pieces(put(tmp_path / "x.json", b'{"a":1}\n{"a":2}\n'))
    assert piece.lines == ((1, b'{"a":1}'), (2, b'{"a":2}'))


def test_indented_json_is_one_piece(tmp_path: Path) -> None:
    (piece,) = pieces(put(tmp_path / "x.json", b'{\n  "a": 1\n}\n'))
    assert piece.lines is None


def test_empty_lines_and_a_byte_order_mark_are_skipped(tmp_path: Path) -> None:
    (piece,) = pieces(put(tmp_path / "x.ndjson", b'\xef\xbb\xbf{"a":1}\r\n\r\n{"a":2}'))
    assert piece.lines == ((1, b'{"a":1}'), (3, b'{"a":2}'))
