from __future__ import annotations

import json
import sys

import pytest

from gait3dlib import _optional, doctor


@pytest.fixture(scope="module")
def findings() -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in doctor.check()}


def test_everything_the_tests_need_works_here(findings: dict[str, doctor.Finding]) -> None:
    """The environment of the tests has every extra but smplx, whose licence is not ours to accept; a library
    of the system may be lacking."""
    aside = ("weights", "disk", "smplx")
    ill = {name: f.remedy for name, f in findings.items() if not f.ok and name not in aside}
    assert [remedy for remedy in ill.values() if "apt install" not in remedy] == []
    assert set(ill) <= {"ouster"}, "what else the tests need comes through pip"
    assert {"python", "h5py", "torch", "cuda", "cv2", "pose models", "ray casting", "libusb"} <= set(findings)
    assert findings["torch"].version.startswith("2.")


def test_findings_are_plain_values(findings: dict[str, doctor.Finding]) -> None:
    text = json.dumps([finding.to_dict() for finding in findings.values()])
    assert json.loads(text)[0]["name"] == "python"


def test_a_missing_extra_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("embreex", "embreex.rtcore_scene", "torch", "libusb_package"):
        monkeypatch.setitem(sys.modules, module, None)  # what an import then raises is a real ImportError
    monkeypatch.delitem(_optional.EXTRAS, "mediapipe")  # takes a second and is not looked at here
    found = {finding.name: finding for finding in doctor.check()}
    assert not found["embreex"].ok
    assert "gait3dlib[simulation]" in found["embreex"].remedy
    assert "ray casting" not in found, "a part is not tried when its package is missing"
    assert "gait3dlib[model]" in found["torch"].remedy
    assert "gait3dlib[usb]" in found["libusb"].remedy


def test_a_broken_binary_does_not_stop_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(module: str) -> None:
        raise OSError(f"{module}: undefined symbol")

    monkeypatch.setattr(_optional, "require", broken)
    found = {finding.name: finding for finding in doctor.check()}
    assert found["torch"] == doctor.Finding("torch", False, "", "torch: undefined symbol")


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "FREE_DISK", 2**80)
    monkeypatch.setattr(_optional, "EXTRAS", {})
    (disk,) = (finding for finding in doctor.check() if finding.name == "disk")
    assert not disk.ok
    assert "GiB free" in disk.version
