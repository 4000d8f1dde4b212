"""Compare lookups with the tokenizers library for tokenizers with special tokens, as its trainers make them."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from benchmarks.daemon import TREC, questions
from benchmarks.tables import print_table
from spikewatch.convert.lookup import compile_tokenizer
from spikewatch.simcore.text.lookup import Lookup, LookupSplitter
from spikewatch.simcore.text.splitting import LibrarySplitter, read_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from spikewatch.simcore.text.splitting import Splitter

ROUNDS = 9
BATCH = 64
VOCABULARIES = (8_000, 30_000)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
FRAME = processors.TemplateProcessing(
    single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
)

Metaspace, ByteLevel = pre_tokenizers.Metaspace, pre_tokenizers.ByteLevel
MADE: dict[str, tuple[Any, Any, Any, Callable[..., Any], dict[str, Any]]] = {
    "WordLevel": (
        models.WordLevel(unk_token="[UNK]"),
        normalizers.Lowercase(),
        pre_tokenizers.Whitespace(),
        trainers.WordLevelTrainer,
        {},
    ),
    "WordPiece, as BERT's": (
        models.WordPiece(unk_token="[UNK]"),
        normalizers.BertNormalizer(),
        pre_tokenizers.BertPreTokenizer(),
        trainers.WordPieceTrainer,
        {},
    ),
    "BPE of bytes, as GPT-2's": (
        models.BPE(),
        None,
        ByteLevel(add_prefix_space=False),
        trainers.BpeTrainer,
        {"initial_alphabet": ByteLevel.alphabet()},
    ),
    "Unigram, as T5's": (
        models.Unigram(),
        normalizers.NFKC(),
        Metaspace(),
        trainers.UnigramTrainer,
        {"unk_token": "[UNK]"},
    ),
}
"""Model, normalizer, pre-tokenizer, trainer and its further arguments."""

LOADS = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from benchmarks.memory import peak_kib
from spikewatch.simcore.text.splitting import read_splitter
files = {{p.name: p.read_bytes() for p in Path({folder!r}).iterdir()}}
if {library}:
    del files["lookup.safetensors"]
before = peak_kib()
splitter = read_splitter(files)
splitter.split(["Who was the first woman in space ?"])
print(peak_kib() - before)
"""


def corpus() -> list[str]:
    """Return all questions at hand to train on."""
    texts = list(dict.fromkeys(questions()[1]))
    for file in sorted((TREC.parents[1] / "questions").glob("*.txt")):
        texts += file.read_text().splitlines()
    return texts


def trained(name: str, size: int, texts: list[str]) -> bytes:
    """Return the tokenizer.json of a tokenizer with special tokens around every text, which are at most 64 words."""
    model, normalizer, splitter, trainer, more = MADE[name]
    made = Tokenizer(model)
    if normalizer is not None:
        made.normalizer = normalizer
    made.pre_tokenizer = splitter
    settings = {"vocab_size": size, "special_tokens": SPECIAL, "show_progress": False} | more
    made.train_from_iterator(texts, trainer(**settings))
    made.post_processor = FRAME
    made.enable_truncation(64)
    return bytes(made.to_str(), "utf-8")


def seconds(splitter: Splitter, texts: list[str]) -> float:
    """Return the time of one pass in batches."""
    begin = time.perf_counter()
    for i in range(0, len(texts), BATCH):
        splitter.split(texts[i : i + BATCH])
    return time.perf_counter() - begin


def speeds(library: Splitter, lookup: Splitter, texts: list[str]) -> tuple[float, float]:
    """Return the median numbers of questions per second of library and lookup, measured in turns."""
    assert all(map(np.array_equal, library.split(texts), lookup.split(texts)))
    taken = [(seconds(library, texts), seconds(lookup, texts)) for _ in range(ROUNDS)]
    first, second = (len(texts) / statistics.median(times) for times in zip(*taken, strict=True))
    return first, second


def loading(data: bytes) -> float:
    """Return the median time to read a lookup file and build its tables, in milliseconds."""
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        LookupSplitter(Lookup.from_bytes(data))
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1000


def memory(files: dict[str, bytes], *, library: bool) -> float:
    """Return how much a process's peak memory grows when it reads a tokenizer and splits a question, in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        program = LOADS.format(root=str(Path(__file__).parents[1]), folder=folder, library=library)
        run = [sys.executable, "-c", program]
        done = subprocess.run(run, check=True, capture_output=True, text=True)
    return int(done.stdout) / 1024


def main() -> None:
    """Print the tables."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    source, texts = questions()
    trained_on = corpus()
    speed, cost = [], []
    for size in VOCABULARIES:
        for name in MADE:
            data = trained(name, size, trained_on)
            tokenizer = read_tokenizer(data)
            packed = compile_tokenizer(data).to_bytes()
            lookup = LookupSplitter(Lookup.from_bytes(packed))
            first, second = speeds(LibrarySplitter(tokenizer), lookup, texts)
            words = f"{tokenizer.get_vocab_size():,}"
            speed.append([name, words, f"{first:,.0f}", f"{second:,.0f}", f"{second / first:.1f}"])
            files = {"tokenizer.json": data, "lookup.safetensors": packed}
            cost.append(
                [
                    *(name, words, f"{len(data) / 1024:,.0f}", f"{len(packed) / 1024:,.0f}"),
                    f"{loading(packed):.1f}",
                    f"{memory(files, library=False):.1f}",
                    f"{memory(files, library=True):.1f}",
                ]
            )
    head = ["tokenizer", "vocabulary", "library, questions/s", "lookup, questions/s", "x library"]
    print_table(f"Lookups of {len(texts):,} questions ({source}), one thread, medians", head, speed)
    print(
        f"Every text gets two special tokens, and is cut to 64 words; batches of {BATCH}. Trained on"
        f" {len(trained_on):,} questions, so that a vocabulary may be smaller than asked for."
    )
    head = ["tokenizer", "vocabulary", "tokenizer.json, KiB", "lookup, KiB", "load, ms"]
    print_table("Size of a lookup", [*head, "lookup, MiB more", "library, MiB more"], cost)
    print("Memory is what a process's peak grows by when it reads the file and splits a question.")
