"""The process in which the heavy detectors run; `process.py` starts it and speaks to it in frames (`child.py`).

`L` loads `[[kind, options], …]` and answers `R`, or `E` with what is missing. `Q` asks about a JSON list of texts and
answers `V` with one `[score, start, end]` per text, the highest of all detectors, or `E`. An error's text never
quotes what was asked about. Where all detectors are local ones, the process has no network from then on.
"""

from __future__ import annotations

import json
import logging
import os
import warnings

from agentflow.child import serve
from agentflow.guard.detectors.plugins import load
from agentflow.guard.detectors.port import LOCAL, DetectorFailed, DetectorUnavailable, HeavyDetector, Judgement, Spec
from agentflow.guard.offline import forbid


class Worker:
    """The detectors that were loaded, asked together."""

    def __init__(self) -> None:
        self._detectors: list[HeavyDetector] = []

    def answer(self, kind: bytes, body: bytes) -> tuple[bytes, bytes]:
        """Answer one frame."""
        try:
            if kind == b"L":
                self._load([Spec(*each) for each in json.loads(body)])
                return b"R", b""
            return b"V", json.dumps(self._judge(json.loads(body))).encode()
        except (DetectorUnavailable, DetectorFailed) as error:
            return b"E", str(error).encode("utf-8", "replace")
        except Exception as error:  # whatever a detector raises, the parent refuses the message
            words = str(error) if type(error) is ValueError and kind == b"L" else type(error).__name__
            return b"E", words.encode("utf-8", "replace")

    def _load(self, specs: list[Spec]) -> None:
        if all(spec.kind in LOCAL for spec in specs):
            forbid()
        self._detectors = [load(spec) for spec in specs]

    def _judge(self, texts: list[str]) -> list[Judgement]:
        opinions = [detector.judge(texts) for detector in self._detectors]
        if not all(0 <= one.score <= 1 for opinion in opinions for one in opinion):
            raise DetectorFailed("it answered with a score that is none")
        return [max(of_one) for of_one in zip(*opinions, strict=True)]


def main() -> None:
    """Serve frames on the pipes; whatever a library prints goes to stderr."""
    logging.disable()  # what libraries log may quote what is judged, and grows without end
    warnings.simplefilter("ignore")
    sink = os.dup(1)
    os.dup2(2, 1)
    serve(Worker().answer, sink=sink)


if __name__ == "__main__":
    main()
