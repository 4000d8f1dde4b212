"""Publish a trained network; evaluate what was published."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...registry import Pin, Registry
from ...registry.references import check_alias, check_model, check_version
from ...simcore import CoreImage
from ..errors import ModelFileError
from ..evaluation.model_card import CORES
from ..evaluation.stages import FILE, Constrained, describe_data, evaluate_stages
from ..read import read_model_bytes
from ..words.question_files import read_questions
from .conversion import Converted, Source, convert

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from ...registry import Model


def publish(
    source: Source,
    *,
    registry: Path,
    name: str,
    version: str,
    recipe: str | None = None,
    readout: str = "core",
    seed: int = 0,
    alias: str | None = None,
    created: datetime | None = None,
    actor: str | None = None,
    reason: str = "",
    note: Callable[[str], None] = lambda _: None,
) -> tuple[Pin, Converted]:
    """Convert a trained network and publish it as a version of a model.

    Parameters
    ----------
    source
        Where everything is.
    registry, name, version
        Where it goes: the registry's folder, made when it is missing; a version is published once.
    recipe, readout, seed
        See `convert`.
    alias
        Alias to move to the new version.
    created
        Time written into the manifest; equal files and an equal time give an equal digest.
    actor, reason
        Who and why, for the registry's journal; the actor is user@host when not given.
    note
        Called with one line before each step.

    Raises
    ------
    ConvertError, SimcoreError, RegistryError
        Something does not fit; the registry is untouched.

    """
    check_model(name)
    check_version(version)
    if alias is not None:
        check_alias(alias)
    converted = convert(
        source,
        title=f"{name} {version}",
        recipe=recipe,
        readout=readout,
        seed=seed,
        note=note,
    )
    note(f"publishing {name}:{version}")
    network = converted.evaluation["network"]
    pin = Registry.init(registry).publish(
        name,
        version,
        converted.files,
        created=created,
        alias=alias,
        actor=actor,
        reason=reason,
        config={
            "architecture": "elman-rnn",
            "format": "safetensors",
            "precision": "int4",
            "capabilities": {"inputTypes": ["text"], "outputTypes": ["text"]},
        },
        annotations={
            "org.opencontainers.image.description": (
                f"Elman RNN {network['input_lines']}-{network['hidden_units']}-{network['classes']}"
                f" on {CORES[network['cores']]}"
                + (", its head on the host" if converted.evaluation["head"] == "host" else "")
            ),
        },
    )
    return pin, converted


def evaluate(reference: str, *, registry: Registry, data: Path) -> dict[str, Any]:
    """Evaluate every stage of a published model on a file of questions.

    Returns
    -------
    dict
        As `evaluate_stages`, with `model` (the pin) and `data`.

    Raises
    ------
    ConvertError, SimcoreError, RegistryError
        The model or the data cannot be read.

    """
    return evaluate_model(registry.load(reference), data)


def evaluate_model(model: Model, data: Path) -> dict[str, Any]:
    """Evaluate every stage of a loaded model (see `evaluate`)."""
    questions = read_questions(data, labelled=False)
    for name in ("core.safetensors", "model.onnx", FILE):
        if name not in model.files:
            raise ModelFileError(
                f"{model.pin}: {name} is missing, its earlier stages cannot be run"
            )
    network, float_model = read_model_bytes(
        model.files["model.onnx"], what=f"{model.pin}: model.onnx"
    )
    image = CoreImage.from_bytes(model.files["core.safetensors"])
    network = replace(network, head="core" if image.head_bias is None else "host")
    evaluation = evaluate_stages(
        questions=questions,
        files=model.files,
        float_model=float_model,
        constrained=Constrained.from_bytes(model.files[FILE], network),
    )
    return {"model": str(model.pin), "data": describe_data(data), **evaluation}
