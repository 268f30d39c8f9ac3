"""Models of transformers small enough to be made by a test, in the files that real ones come in."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

HARMLESS = (
    "rain", "sun", "the", "train", "leaves", "at", "ten", "from", "platform", "four", "and", "we", "met", "our",
    "friends", "in", "town", "for", "tea", "on", "monday",
)  # fmt: skip
ATTACK = ("obey", "override", "exfiltrate")
PEOPLE = ("zaphod", "trillian", "ford")
PLACES = ("betelgeuse", "islington")
WINDOW = 64  # tokens


def _tokenizer(folder: Path, longest: int | None) -> Any:
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *HARMLESS, *ATTACK, *PEOPLE, *PLACES, "person", "town"]
    inner = Tokenizer(models.WordLevel({word: at for at, word in enumerate(dict.fromkeys(words))}, unk_token="[UNK]"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        **({"model_max_length": longest} if longest else {}),
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def _sentences(seed: int, count: int, special: tuple[str, ...]) -> list[list[str]]:
    chance = random.Random(seed)
    found = []
    for at in range(count):
        words = [chance.choice(HARMLESS) for _ in range(chance.randint(3, WINDOW - 4))]
        if at % 2:
            words[chance.randrange(len(words))] = chance.choice(special)
        found.append(words)
    return found


def _fit(model: Any, batches: list[dict[str, Any]]) -> None:
    import torch

    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    model.train()
    for batch in batches:
        model(**batch).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    model.eval()


def classifier(folder: Path, names: tuple[str, ...] = ("LABEL_0", "LABEL_1"), attack: int = 1) -> Path:
    """A DeBERTa (v2, as Prompt Guard 2 and ProtectAI's are) that knows the words of `ATTACK`, in windows of 64."""
    import torch
    import transformers

    torch.manual_seed(7)
    tokenizer = _tokenizer(folder, WINDOW)
    config = transformers.DebertaV2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=WINDOW,
        relative_attention=True,
        position_buckets=16,
        pos_att_type=["p2c", "c2p"],
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pooler_hidden_size=32,
        pooler_dropout=0.0,
        type_vocab_size=0,
        num_labels=len(names),
        id2label=dict(enumerate(names)),
        label2id={name: at for at, name in enumerate(names)},
    )
    model = transformers.DebertaV2ForSequenceClassification(config)
    sentences = _sentences(7, 1600, ATTACK)
    batches = []
    for at in range(0, len(sentences), 16):
        rows = [" ".join(words) for words in sentences[at : at + 16]]
        read = tokenizer(rows, padding=True, return_tensors="pt", return_token_type_ids=False)
        answers = [attack if n % 2 else 1 - attack for n in range(len(rows))]
        batches.append({**read, "labels": torch.tensor(answers)})
    _fit(model, batches)
    model.save_pretrained(folder)
    return folder


def tagger(folder: Path, person: str = "PER", place: str = "LOC", longest: int | None = None) -> Path:
    """A BERT that tags the words of `PEOPLE` and `PLACES`; without `longest` its tokenizer knows no limit."""
    import torch
    import transformers

    torch.manual_seed(7)
    tokenizer = _tokenizer(folder, longest)
    names = ("O", f"B-{person}", f"I-{person}", f"B-{place}", f"I-{place}")
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=WINDOW,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        id2label=dict(enumerate(names)),
        label2id={name: at for at, name in enumerate(names)},
    )
    model = transformers.BertForTokenClassification(config)
    sentences = _sentences(7, 2400, PEOPLE + PLACES)
    batches = []
    for at in range(0, len(sentences), 16):
        rows = sentences[at : at + 16]
        read = tokenizer([" ".join(words) for words in rows], padding=True, return_tensors="pt")
        answers = torch.full(read["input_ids"].shape, -100)
        for row, words in enumerate(rows):
            for place_at, word in enumerate(words):
                answers[row, place_at + 1] = 1 if word in PEOPLE else 3 if word in PLACES else 0
        batches.append({**read, "labels": answers})
    _fit(model, batches)
    model.save_pretrained(folder)
    return folder


def gliner(folder: Path) -> Path:
    """A GLiNER over a BERT that finds the words of `PEOPLE` when it is asked for `person`."""
    import torch
    import transformers
    from gliner import GLiNER, GLiNERConfig
    from gliner.data_processing.collator import UniEncoderSpanDataCollator

    torch.manual_seed(3)
    tokenizer = _tokenizer(folder / "encoder", 512)
    encoder = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=512,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    transformers.BertModel(encoder).save_pretrained(folder / "encoder")
    config = GLiNERConfig(
        model_name=str(folder / "encoder"), hidden_size=32, max_width=2, dropout=0.0, max_len=384, max_types=2
    )
    model = GLiNER.from_config(config)
    gather = UniEncoderSpanDataCollator(model.config, data_processor=model.data_processor, prepare_labels=True)
    rows = [
        {
            "tokenized_text": words,
            "ner": [[at, at, "person"] for at, word in enumerate(words) if word in PEOPLE],
            "ner_labels": ["person"],
        }
        for words in _sentences(5, 2400, PEOPLE)
    ]
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    model.train()
    for at in range(0, len(rows), 16):
        model(**gather(rows[at : at + 16])).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    model.eval()
    model.save_pretrained(folder / "model")
    return folder / "model"


def stanza(folder: Path) -> Path:
    """Stanza's tokenizer and tagger, trained by its own commands; the folder that its resources lie in."""
    from stanza.models.common.pretrain import Pretrain

    chance = random.Random(1)
    sentences = []
    for _ in range(300):
        words = [chance.choice(HARMLESS) for _ in range(chance.randint(3, 8))]
        words[chance.randrange(len(words))] = chance.choice(PEOPLE).title()
        sentences.append([*words, "."])
    tagged = [[{"text": word, "ner": "S-PERSON" if word.istitle() else "O"} for word in words] for words in sentences]
    (folder / "ner.json").write_text(json.dumps(tagged))
    texts, marks = [], []
    for at in range(0, len(sentences), 4):
        texts.append(" ".join(" ".join(words[:-1]) + "." for words in sentences[at : at + 4]))
        ends = [["0" * (len(word) - 1) + "1" for word in words[:-1]] for words in sentences[at : at + 4]]
        marks.append("0".join("0".join(words) + "2" for words in ends))
    (folder / "text").write_text("\n\n".join(texts) + "\n")
    (folder / "marks").write_text("\n\n".join(marks) + "\n")
    (folder / "words.json").write_text("{}")
    rows = []
    for words in sentences:
        for at, word in enumerate(words, 1):
            glued = "SpaceAfter=No" if at == len(words) - 1 else "_"
            rows.append("\t".join((str(at), word, *"____", str(at - 1), "_", "_", glued)))
        rows.append("")
    (folder / "gold.conllu").write_text("\n".join(rows) + "\n")
    known = sorted({word for words in sentences for word in words})
    vectors = [" ".join((word, *(f"{chance.uniform(-1, 1):.3f}" for _ in range(16)))) for word in known]
    (folder / "vectors.txt").write_text(f"{len(known)} 16\n" + "\n".join(vectors) + "\n")
    for part in ("tokenize", "ner", "pretrain"):
        (folder / "en" / part).mkdir(parents=True)
    Pretrain(str(folder / "en/pretrain/tiny.pt"), str(folder / "vectors.txt")).load()
    small = "--shorthand en_tiny --save_name tiny.pt --hidden_dim 16 --cpu --mode train"
    for module, arguments in (
        (
            "tokenizer",
            "--txt_file text --label_file marks --dev_txt_file text --dev_label_file marks "
            "--dev_conll_gold gold.conllu --mwt_json_file words.json --lang en --save_dir en/tokenize "
            "--steps 150 --eval_steps 150 --emb_dim 16 "
            "--dropout 0 --unit_dropout 0 --feat_dropout 0 --tok_noise 0",
        ),
        (
            "ner_tagger",
            "--train_file ner.json --eval_file ner.json --wordvec_pretrain_file en/pretrain/tiny.pt --save_dir en/ner "
            "--max_steps 150 --eval_interval 150 --char_hidden_dim 8 --char_emb_dim 8 --word_emb_dim 16",
        ),
    ):
        command = [sys.executable, "-m", f"stanza.models.{module}", *small.split(), *arguments.split()]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=600)
    parts = {"tokenize": {"tiny": {}}, "pretrain": {"tiny": {}}}
    tagger_ = {"ner": {"tiny": {"dependencies": [{"model": "pretrain", "package": "tiny"}]}}}
    packages = {"packages": {"default": {"tokenize": "tiny", "ner": "tiny"}}, "default_dependencies": {}}
    (folder / "resources.json").write_text(json.dumps({"en": {"lang_name": "English", **parts, **tagger_, **packages}}))
    return folder
