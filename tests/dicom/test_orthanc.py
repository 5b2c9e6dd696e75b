"""A real PACS as the source: Orthanc with its DICOMweb plug-in, in a network namespace of its own (some versions of it
listen on all addresses). Runs where Debian's orthanc and orthanc-dicomweb are installed and namespaces may be made."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

from .files import ROOT

ORTHANC = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
INSIDE = """
set -e
ip link set lo up
"{orthanc}" "{config}" >"{log}" 2>&1 &
pacs=$!
trap 'kill $pacs; wait $pacs' EXIT
"{python}" - <<'END'
import sys, time, pathlib, urllib.request
url = "http://127.0.0.1:8042"
for _ in range(200):
    try:
        urllib.request.urlopen(url + "/system", timeout=1).read()
        break
    except OSError:
        time.sleep(0.1)
for path in sorted(pathlib.Path("{files}").rglob("*")):
    if path.is_file():
        request = urllib.request.Request(url + "/instances", data=path.read_bytes(), method="POST")
        try:
            urllib.request.urlopen(request, timeout=10).read()
        except urllib.error.HTTPError:
            pass
END
"{server}" dicom sync --dicomweb http://127.0.0.1:8042/dicom-web --data-dir "{data}"
"{server}" dicom sync --dicomweb http://127.0.0.1:8042/dicom-web --data-dir "{data}"
"{server}" export --out "{out}" --data-dir "{data}"
"""


def can_isolate() -> bool:
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run(["unshare", "-n", "ip", "link", "set", "lo", "up"], capture_output=True).returncode == 0


@pytest.mark.skipif(not Path(ORTHANC).exists() or not PLUGIN.exists(), reason="Orthanc is not installed")
@pytest.mark.skipif(not can_isolate(), reason="no network namespace can be made here")
def test_the_studies_of_orthanc_are_linked(tmp_path: Path) -> None:
    config = {
        "StorageDirectory": str(tmp_path / "pacs"),
        "IndexDirectory": str(tmp_path / "pacs"),
        "Plugins": [str(PLUGIN)],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": False,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (tmp_path / "pacs").mkdir()
    (tmp_path / "orthanc.json").write_text(json.dumps(config))
    files = ROOT / "dicomdirtests"
    script = INSIDE.format(
        orthanc=ORTHANC,
        config=tmp_path / "orthanc.json",
        log=tmp_path / "orthanc.log",
        python=sys.executable,
        files=files,
        server=Path(sys.executable).parent / "fhir-server",
        data=tmp_path / "data",
        out=tmp_path / "out",
    )
    done = subprocess.run(["unshare", "-n", "sh", "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, set[str]] = {}
    for path in files.rglob("*"):
        if path.is_file():
            dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
            if dataset.get("StudyInstanceUID"):
                told.setdefault(str(dataset.StudyInstanceUID), set()).add(str(dataset.SOPInstanceUID))
    assert f"Linked {len(told)} studies" in done.stdout
    assert "; 0 were new or changed" in done.stdout.splitlines()[1]
    lines = [line for path in (tmp_path / "out").glob("ImagingStudy*") for line in path.read_text().splitlines()]
    studies = [json.loads(line) for line in lines]
    linked = {
        study["identifier"][0]["value"].removeprefix("urn:oid:"): {
            instance["uid"] for series in study["series"] for instance in series["instance"]
        }
        for study in studies
    }
    assert linked == told
    assert all(study["endpoint"] and study["subject"]["reference"] for study in studies)
