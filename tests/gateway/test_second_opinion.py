"""A heavy detector that the configuration names is asked by a running gateway, and its failure refuses the message."""

from __future__ import annotations

from pathlib import Path

from faults.conftest import evil
from gateway_process import running_gateway

TEXT = "The parcel left the depot this morning and should reach the customer by noon."


def served(folder: Path, detector: dict[str, object]) -> dict[str, object]:
    guard = {"injection": {"detectors": [detector], "doubtful_from": 0, "timeout": 60}}
    with running_gateway({"mcpServers": {"web": evil()}, "guard": guard}, folder) as gateway:
        gateway.wait_for_tools("web__echo")
        answer: dict[str, object] = gateway.call("web__echo", {"text": TEXT})
        return answer


def test_the_configured_detector_is_asked(tmp_path: Path) -> None:
    answer = served(tmp_path, {"kind": "stackone"})
    assert "parcel" in str(answer["result"])


def test_one_that_cannot_be_loaded_refuses_the_message_and_says_what_is_missing(tmp_path: Path) -> None:
    answer = served(tmp_path, {"kind": "no_such_module:Detector"})
    assert "not installed" in str(answer["error"])
