"""Detectors of others that run here: StackOne's, LLM Guard's, and text classifiers of transformers.

They promise that every part of a text is read (in windows as long as the model takes, by its own tokenizer where it
has one), that a score means an attack whatever the model calls its classes, and that nothing is downloaded. They
refuse, when they are built, a model whose classes say nothing or whose classifier was never trained: such a one would
answer all the same.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from agentflow.guard.detectors.port import BLOCK, FLAG, DetectorFailed, DetectorUnavailable, Judgement, located, scaled

_BATCH: Final = 8
_LONGEST: Final = 512  # tokens of a window, if the model takes as many
# What makers of such models call the class of harmless text; `LABEL_0` is Prompt Guard 2's.
_HARMLESS: Final = frozenset(
    {"benign", "safe", "legit", "legitimate", "clean", "harmless", "normal", "negative", "no_injection", "label_0"}
)


class StackOne:
    """`stackone-defender[onnx]`: its patterns and its MiniLM, by its own verdict.

    It reads the first 10,000 characters of a text with its model, so it is given windows of fewer.
    """

    _WINDOW: Final = 9000
    _OVERLAP: Final = 500
    _EMPTY: Final = ("All strings skipped by classifier", "No strings")  # nothing in it that a model could read

    def __init__(self) -> None:
        module = importlib.import_module("stackone_defender")
        importlib.import_module("onnxruntime")
        importlib.import_module("tokenizers")
        self._defence: Any = module.create_prompt_defense(enable_tier2=True, block_high_risk=True, require_tier2=True)
        try:
            self._defence.warmup_tier2()
        except RuntimeError as error:
            raise DetectorUnavailable("detector stackone: its model cannot be loaded") from error

    def judge(self, texts: Sequence[str]) -> list[Judgement]:
        """See `HeavyDetector.judge`."""
        return [_highest(text, self._windows(text)) for text in texts]

    def _windows(self, text: str) -> Iterator[Judgement]:
        for at, piece in windows(text, self._WINDOW, self._OVERLAP):
            result = self._defence.defend_tool_result({"text": piece}, "tool")
            if result.tier2_score is None and not (result.tier2_skip_reason or "").startswith(self._EMPTY):
                raise DetectorFailed("its model did not answer")
            score = float(result.tier2_score or 0.0)
            score = BLOCK + (1 - BLOCK) * score if not result.allowed else min(score, 1.0) * (BLOCK - 0.01)
            found = located(piece, result.max_sentence or "", score)
            yield Judgement(score, at + found.start, at + found.end)


class PromptGuard:
    """A text classifier of transformers, such as Llama Prompt Guard 2, from disk.

    Args:
        model: folder with the weights, or the name of a model in transformers' cache.
        label: name of the class that means an attack; by default every class but the one whose name says harmless.
        threshold: probability from which it flags.
    """

    def __init__(self, model: str, label: str = "", threshold: float = 0.5) -> None:
        os.environ["HF_HUB_OFFLINE"] = "1"
        transformers = importlib.import_module("transformers")
        self._torch: Any = importlib.import_module("torch")
        with _loading("prompt_guard", model):
            self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(model, local_files_only=True)
            self._model, report = transformers.AutoModelForSequenceClassification.from_pretrained(
                model, local_files_only=True, output_loading_info=True
            )
        if report["missing_keys"]:
            raise DetectorUnavailable(f"detector prompt_guard: {model} holds no classifier, only the model below one")
        if not self._tokenizer.is_fast:
            raise DetectorUnavailable(f"detector prompt_guard: {model} has no tokenizer.json")
        config = self._model.config
        self._attack = _attack(config.id2label, label, "prompt_guard")
        places = getattr(config, "max_position_embeddings", None) or _LONGEST
        self._longest = max(16, min(_LONGEST, self._tokenizer.model_max_length, places))
        self._threshold = threshold
        self._model.eval()

    def judge(self, texts: Sequence[str]) -> list[Judgement]:
        """See `HeavyDetector.judge`."""
        best = [Judgement(0.0, 0, len(text)) for text in texts]
        if not texts:
            return best
        read = self._tokenizer(
            list(texts),
            truncation=True,
            max_length=self._longest,
            stride=self._longest // 4,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        owners, offsets = read.pop("overflow_to_sample_mapping"), read.pop("offset_mapping")
        for at in range(0, len(owners), _BATCH):
            batch = {name: rows[at : at + _BATCH] for name, rows in read.items()}
            chances = self._chances(self._tokenizer.pad(batch, return_tensors="pt"))
            for owner, places, chance in zip(owners[at:], offsets[at:], chances, strict=False):
                score = scaled(chance, self._threshold)
                if score > best[owner].score:
                    starts = [start for start, end in places if end > start]
                    best[owner] = Judgement(score, min(starts, default=0), max((end for _, end in places), default=0))
        return best

    def _chances(self, batch: Any) -> list[float]:
        with self._torch.inference_mode():
            logits = self._model(**batch).logits.float()
        spread = logits.sigmoid() if logits.shape[-1] == 1 else logits.softmax(-1)
        chances: list[float] = spread[:, self._attack].sum(-1).tolist()
        if any(chance != chance for chance in chances):
            raise DetectorFailed("the model answered with no number")
        return chances


class LlmGuard:
    """`llm-guard`'s PromptInjection scanner, window by window: it says nothing of where, and stops at the first hit.

    Args:
        model: folder of the model; by default llm-guard's own, from transformers' cache.
        threshold: probability from which it flags.
    """

    _WINDOW: Final = 1500  # characters; fewer where they are more tokens than the model takes
    _OVERLAP: Final = 200

    def __init__(self, model: str = "", threshold: float = 0.92) -> None:
        os.environ["HF_HUB_OFFLINE"] = "1"
        kinds = importlib.import_module("llm_guard.input_scanners.prompt_injection")
        own: dict[str, Any] = {}
        if model:
            settings = {"return_token_type_ids": False, "max_length": _LONGEST, "truncation": True}
            own["model"] = importlib.import_module("llm_guard.model").Model(path=model, pipeline_kwargs=settings)
        # It writes a line for every text, to a file that nobody reads.
        importlib.import_module("llm_guard.util").configure_logger("CRITICAL")
        with _loading("llm_guard", model or kinds.V2_MODEL.path):
            self._scanner: Any = kinds.PromptInjection(threshold=threshold, match_type=kinds.MatchType.FULL, **own)
        pipeline = self._scanner._pipeline
        if "INJECTION" not in pipeline.model.config.id2label.values():
            raise DetectorUnavailable("detector llm_guard: the model has no class INJECTION; use prompt_guard for it")
        self._tokenizer = pipeline.tokenizer
        self._longest = min(_LONGEST, self._tokenizer.model_max_length)
        self._threshold = threshold

    def judge(self, texts: Sequence[str]) -> list[Judgement]:
        """See `HeavyDetector.judge`."""
        return [_highest(text, self._windows(text)) for text in texts]

    def _windows(self, text: str) -> Iterator[Judgement]:
        for at, piece in windows(text, self._WINDOW, self._OVERLAP, self._fits):
            _, harmless, risk = self._scanner.scan(piece)
            # The risk is -1 to 0 below its threshold and 0 to 1 above.
            chance = self._threshold * (1 + risk) if harmless else self._threshold + (1 - self._threshold) * risk
            score = scaled(min(max(chance, 0.0), 1.0), self._threshold)
            score = min(score, FLAG - 0.01) if harmless else max(score, FLAG)
            yield Judgement(score, at, at + len(piece))

    def _fits(self, text: str) -> bool:
        return bool(len(self._tokenizer(text)["input_ids"]) <= self._longest)


def windows(text: str, size: int, overlap: int, fits: Callable[[str], bool] | None = None) -> Iterator[tuple[int, str]]:
    """Yield `(offset, window)` of at most `size` characters, halved until one `fits`; together they are the text."""
    for at in range(0, max(1, len(text) - overlap), size - overlap):
        piece = text[at : at + size]
        if fits is None or len(piece) < 16 or fits(piece):
            yield at, piece
            continue
        half = (len(piece) + 1) // 2
        shared = half // 4
        for inner, found in windows(piece, half + shared, 2 * shared, fits):
            yield at + inner, found


def _highest(text: str, found: Iterator[Judgement]) -> Judgement:
    return max(found, key=lambda one: one.score, default=Judgement(0.0, 0, len(text)))


def _attack(names: dict[int, str], label: str, kind: str) -> list[int]:
    """The classes that mean an attack."""
    known = ", ".join(names.values())
    if label:
        if label not in names.values():
            raise DetectorUnavailable(f"detector {kind}: no class {label!r} among {known}")
        return [index for index, name in names.items() if name == label]
    attack = [index for index, name in names.items() if name.lower().replace("-", "_") not in _HARMLESS]
    if len(names) == 1:
        return [0]
    if len(attack) != len(names) - 1:
        raise DetectorUnavailable(f"detector {kind}: say with `label` which class means an attack: {known}")
    return attack


@contextlib.contextmanager
def _loading(kind: str, model: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = f"{model} holds no usable model, nor does transformers' cache ({type(error).__name__})"
        raise DetectorUnavailable(f"detector {kind}: {reason}") from error
