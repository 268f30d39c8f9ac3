"""The neural stage: a small transformer (MiniLM, int8) that reads doubtful windows token by token.

It promises a score per text, the highest moving average of eight tokens' probabilities over windows of 128
wordpieces, mapped to the scale of the always-on detectors by the calibration that was measured after quantisation,
and the characters that scored highest. It reads a folder that `agentflow guard train --neural` wrote, from disk only.
Needs the extra `neural` (onnxruntime, tokenizers, numpy).
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from agentflow.guard.detectors.port import DetectorUnavailable, Judgement

WINDOW: Final = 128  # wordpieces, [CLS] and [SEP] among them
STRIDE: Final = 96
SMOOTHING: Final = 8  # tokens of the moving average
_BATCH: Final = 16
FILES: Final = ("model.onnx", "tokenizer.json", "calibration.json")


class NeuralDetector:
    """A loaded model.

    Args:
        folder: holds `model.onnx`, `tokenizer.json` and `calibration.json`.
        threads: of the runtime.

    Raises:
        DetectorUnavailable: a package or a file is missing.
    """

    def __init__(self, folder: str | Path, threads: int = 1) -> None:
        folder = Path(folder)
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise DetectorUnavailable(
                f"{folder} lacks {', '.join(missing)}: make it with `agentflow guard train --neural --out {folder}`"
            )
        try:
            runtime = importlib.import_module("onnxruntime")
            self._np: Any = importlib.import_module("numpy")
            tokenizers = importlib.import_module("tokenizers")
        except ImportError as error:
            raise DetectorUnavailable(
                f"the neural stage needs {error.name}: pip install 'agentflow-gateway[neural]'"
            ) from error
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = runtime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(WINDOW, stride=WINDOW - 2 - STRIDE)
        calibration = json.loads((folder / "calibration.json").read_text("utf-8"))
        self._points: list[tuple[float, float]] = [(float(x), float(y)) for x, y in calibration["points"]]

    def judge(self, texts: Sequence[str]) -> list[Judgement]:
        """See `HeavyDetector.judge`."""
        return [Judgement(self.scaled(raw), start, end) for raw, start, end in self.raw(texts)]

    def raw(self, texts: Sequence[str]) -> list[tuple[float, int, int]]:
        """Return `(logit, start, end)` of each text, before calibration."""
        windows = []
        for index, encoding in enumerate(self._tokenizer.encode_batch(list(texts))):
            windows += [(index, piece) for piece in (encoding, *encoding.overflowing)]
        windows.sort(key=lambda window: len(window[1].ids))  # equal lengths together: little padding
        best: list[tuple[float, int, int]] = [(-20.0, 0, 0)] * len(texts)
        for at in range(0, len(windows), _BATCH):
            batch = windows[at : at + _BATCH]
            for (index, piece), row in zip(batch, self._logits([piece for _, piece in batch]), strict=True):
                found = self._peak(row[: len(piece.ids)], piece.offsets)
                if found[0] > best[index][0]:
                    best[index] = found
        return best

    def scaled(self, logit: float) -> float:
        """Return a logit on the scale where 0.4 flags and 0.8 blocks: linear between the calibrated points."""
        points = self._points
        if logit <= points[0][0]:
            return points[0][1]
        for (x0, y0), (x1, y1) in pairwise(points):
            if logit <= x1:
                return y0 + (y1 - y0) * (logit - x0) / (x1 - x0)
        return points[-1][1]

    def _logits(self, pieces: list[Any]) -> Any:
        np = self._np
        longest = max(len(piece.ids) for piece in pieces)
        ids = np.zeros((len(pieces), longest), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, piece in enumerate(pieces):
            ids[row, : len(piece.ids)] = piece.ids
            mask[row, : len(piece.ids)] = 1
        return self._session.run(None, {"input_ids": ids, "attention_mask": mask})[0]

    def _peak(self, row: Any, offsets: list[tuple[int, int]]) -> tuple[float, int, int]:
        """The highest moving average between [CLS] and [SEP], and the characters under it."""
        np = self._np
        values = row[1:-1]
        if not len(values):
            return -20.0, 0, 0
        width = min(SMOOTHING, len(values))
        sums = np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))
        means = (sums[width:] - sums[:-width]) / width
        at = int(means.argmax())
        first, last = at, at + width - 1
        while first > 0 and values[first - 1] > 0:  # the run of tokens that look the same
            first -= 1
        while last + 1 < len(values) and values[last + 1] > 0:
            last += 1
        return float(means[at]), offsets[first + 1][0], offsets[last + 1][1]
