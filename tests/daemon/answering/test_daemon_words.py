"""Words that a network does not read as words: unknown ones, padding, and those that it skips."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from daemon_support import bench
from support import TINY_LABELS, tiny_model_files

from spikewatch.registry import Registry
from spikewatch.simcore import Encoder

if TYPE_CHECKING:
    from pathlib import Path


def test_a_question_that_the_model_has_no_words_for_gets_an_error_of_its_own(
    spool: Path, tmp_path: Path
) -> None:
    # no unknown token; "of" is padding at the end to the network, and "far" is skipped
    files = tiny_model_files()
    tokenizer = json.loads(files["tokenizer.json"])
    tokenizer["model"] |= {"unk_token": "<nothing>"}
    ids = [tokenizer["model"]["vocab"][word] for word in ("far", "of")]
    encoder = replace(
        Encoder.from_bytes(files["encoder.safetensors"]), skipped=(ids[0],), unusable=(ids[1],)
    )
    files |= {
        "tokenizer.json": json.dumps(tokenizer).encode(),
        "encoder.safetensors": encoder.to_bytes(),
    }
    Registry.init(tmp_path / "registry").publish("tiny", "1.0.0", files)
    with bench(spool, tmp_path / "registry") as hand:
        hand.drop("q.txt", "who wrote hamlet\nwho wrote the zebra\nwho is of it\nhow far\nhow")
        hand.run()
        found = hand.out("q.txt.jsonl")
    unknown = {
        "code": "unknown_word",
        "message": "the text holds a word that the model does not know",
    }
    assert [r.get("error") for r in found] == [None, unknown, unknown, None, None]
    assert found[3]["scores"] == found[4]["scores"]
    assert found[0]["label"] in TINY_LABELS
