"""Publish an unchanged model again, with the files that newer versions of spikewatch add."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...registry import Reference
from ...registry.preflight import check_publication
from ...simcore import Classifier, Encoder, golden
from ...simcore.text.splitting import TOKENIZER_FILE
from ..errors import DataError, ModelFileError
from ..lookup import lookup_file
from ..words.question_files import AS_USUAL, for_model, read_questions
from .conversion import golden_questions
from .publish import DESCRIPTION

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from ...registry import Pin, Registry
    from ...simcore.question_files import ReadOptions


def renew(
    reference: str,
    *,
    registry: Registry,
    version: str,
    calibrate: Path,
    reading: ReadOptions = AS_USUAL,
    alias: str | None = None,
    created: datetime | None = None,
    actor: str | None = None,
    reason: str = "",
    note: Callable[[str], None] = lambda _: None,
) -> Pin:
    """Publish the same network, tokenizer and figures as a new version that has a lookup and golden questions.

    Parameters
    ----------
    reference
        The model to publish again.
    registry
        The registry of the model, which the new version is added to.
    version
        The new version.
    calibrate
        Questions to check the lookup with, and to choose the golden questions from.
    alias, created, actor, reason, note
        See `publish.publish`.

    Raises
    ------
    ConvertError, SimcoreError, RegistryError
        The model or the questions cannot be used, or the new version cannot be published; the registry is unchanged.

    """
    name = Reference.parse(reference).name
    higher = check_publication(
        registry.root, name, version, created=created, alias=alias, actor=actor, reason=reason
    )
    if higher is not None:
        note(f"{name}:{version} is lower than {higher}, which is published already")
    model = registry.load(reference)
    reading = for_model(reading, model.files)
    texts = [q.text for q in read_questions(calibrate, labelled=False, reading=reading)]
    files = dict(model.files)
    for file in (TOKENIZER_FILE, "encoder.safetensors"):
        if file not in files:
            raise ModelFileError(f"{model.pin}: {file} is missing")
    # first, because the golden answers must come from the lookup that the edge will use
    encoder = Encoder.from_bytes(files["encoder.safetensors"])
    files |= lookup_file(
        files[TOKENIZER_FILE], texts, note, model_words_only=encoder.model_words_only
    )
    classifier = Classifier.from_files(files)
    worded = [text for text, ids in zip(texts, classifier.word_ids(texts), strict=True) if ids]
    if not worded:
        raise DataError(f"{calibrate}: no question has a word that the model knows")
    files[golden.FILE] = golden.make(classifier, golden_questions(worded))
    # of all files that stay, only the first line of the model card names the version
    card, old = (
        files.get("MODEL_CARD.md", b""),
        f"# {model.pin.name} {model.pin.version}\n".encode(),
    )
    if card.startswith(old):
        files["MODEL_CARD.md"] = f"# {model.pin.name} {version}\n".encode() + card[len(old) :]
    note(f"publishing {model.pin.name}:{version}")
    return registry.publish(
        model.pin.name,
        version,
        files,
        created=created,
        alias=alias,
        actor=actor,
        reason=reason,
        config=model.config,
        annotations={k: v for k, v in model.annotations.items() if k == DESCRIPTION},
    )
