"""Publish a trained network; evaluate a published model."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...registry import Pin, Registry, bundled
from ...registry.preflight import check_publication
from ...simcore import CoreImage, Encoder
from ..constraining.recipe import check_recipe
from ..errors import ConvertError, ModelFileError
from ..evaluation.model_card import CORES
from ..evaluation.stages import describe_data, evaluate_stages
from ..network.constrained import CONSTRAINED_FILE, ConstrainedStages
from ..progress import silent
from ..read import read_model_bytes
from ..words.question_files import AS_USUAL, for_model, read_questions
from .conversion import Converted, check_readout, convert
from .cores import check_cores
from .source import Source

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ...registry import Model
    from ...simcore.question_files import ReadOptions
    from ..progress import OnProgress

REGISTRY_VARIABLE: Final = "SPIKEWATCH_REGISTRY"
"""Environment variable that names the registry's folder where none is given."""

MAX_SEED: Final = 2**32

DESCRIPTION: Final = "org.opencontainers.image.description"
"""Annotation of a manifest that describes the model in one line."""


def publish(
    source: Source,
    name: str,
    version: str,
    *,
    registry: str | Path | None = None,
    recipe: str | None = None,
    readout: str = "core",
    seed: int = 0,
    student: bool | None = None,
    keep_teacher: bool = False,
    cores: int | str = 1,
    alias: str | None = None,
    created: datetime | None = None,
    actor: str | None = None,
    reason: str = "",
    note: Callable[[str], None] | None = None,
    progress: OnProgress | None = None,
) -> Pin:
    """Convert a trained network and publish it as a version of a model.

    This takes a minute or two of one CPU core with `distill`, and seconds with `closed-form`.

    Parameters
    ----------
    source
        The files that the model is made from.
    name, version
        Name of the model, and the new version (SemVer).
    registry
        Folder of the registry, created if it does not exist; None: the folder that the environment variable
        `SPIKEWATCH_REGISTRY` names, as for the command.
    recipe
        `"closed-form"`; `"distill"`, to the float network's answers (needs torch); or `"labels"`, to those and the
        calibration questions' labels. None: `"distill"` if torch is installed, otherwise `"closed-form"`.
    readout
        Where the head is computed: `"core"`, by neurons of the core, or `"host"`, by the daemon, from the hidden
        units' spikes.
    seed
        Seed of the distillation, 0..2**32; equal files and an equal seed give equal bytes.
    student
        True: publish a student, an Elman network that is taught to answer as the file does, whatever network is in it;
        False: never; None: only if the file holds no Elman network that fits a core (needs torch).
    keep_teacher
        Whether the file that taught a student is published with it, as `teacher.onnx`.
    cores
        Cores of a student: 1 to 8; or `"auto"`, the fewest of 1, 2 and 4 that agree with the file within half a point
        of the best.
    alias
        Alias to move to the new version, such as `production`.
    created
        Time written into the manifest; part of the digest. None: now.
    actor, reason
        Who publishes and why, for the registry's journal; the actor is user@host if None.
    note
        Called with one line of text before each step; None: nothing is reported.
    progress
        Called as `progress(stage="distilling", done=3, total=25)` after each part of a long step; None: not called.

    Returns
    -------
    Pin
        Name, version and digest of what was published; `str(pin)` is a reference to it.

    Raises
    ------
    TypeError
        `source` is not a `Source`.
    ConvertError
        A file, the network or an option is not supported; the message names it. Nothing was published.
    SimcoreError
        The tokenizer or the labels are not valid. Nothing was published.
    RegistryError
        A name, the version or the alias is not valid, the version exists with other bytes, or the registry cannot be
        written. All but a difference in bytes alone is found before the conversion begins.

    """
    pin, _ = convert_and_publish(
        source,
        name,
        version,
        registry=registry,
        recipe=recipe,
        readout=readout,
        seed=seed,
        student=student,
        keep_teacher=keep_teacher,
        cores=cores,
        alias=alias,
        created=created,
        actor=actor,
        reason=reason,
        note=note,
        progress=progress,
    )
    return pin


def convert_and_publish(
    source: Source,
    name: str,
    version: str,
    *,
    registry: str | Path | None = None,
    recipe: str | None = None,
    readout: str = "core",
    seed: int = 0,
    student: bool | None = None,
    keep_teacher: bool = False,
    cores: int | str = 1,
    alias: str | None = None,
    created: datetime | None = None,
    actor: str | None = None,
    reason: str = "",
    note: Callable[[str], None] | None = None,
    progress: OnProgress | None = None,
) -> tuple[Pin, Converted]:
    """Publish (see `publish`); return the converted model with its figures as well."""
    if not isinstance(source, Source):
        raise TypeError(f"source: expected a Source, got {source!r}")
    root = _folder(registry)
    if recipe is not None:
        check_recipe(recipe)
    check_readout(readout)
    check_cores(cores, student=student)
    if not 0 <= seed <= MAX_SEED:
        raise ConvertError(f"seed {seed}: expected 0..{MAX_SEED}")
    report = note or _ignore
    higher = check_publication(
        root, name, version, created=created, alias=alias, actor=actor, reason=reason
    )
    if higher is not None:
        report(f"{name}:{version} is lower than {higher}, which is published already")
    converted = convert(
        source,
        title=f"{name} {version}",
        recipe=recipe,
        readout=readout,
        seed=seed,
        student=student,
        keep_teacher=keep_teacher,
        cores=cores,
        note=report,
        progress=progress or silent,
    )
    report(f"publishing {name}:{version}")
    # the registry is created only now, so that a failed conversion leaves nothing behind
    pin = Registry.init(root).publish(
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
        annotations={DESCRIPTION: _description(converted)},
    )
    return pin, converted


def _description(converted: Converted) -> str:
    """Describe the model in one line, for the registry's lists."""
    network = converted.evaluation["network"]
    sizes = f"{network['input_lines']}-{network['hidden_units']}-{network['classes']}"
    on_host = ", its head on the host" if converted.evaluation["head"] == "host" else ""
    teacher = converted.evaluation.get("teacher")
    taught = ""
    if teacher is not None:
        taught = f", taught by {teacher['file']} (sha256 {teacher['sha256'][:12]})"
    return f"Elman RNN {sizes} on {CORES[network['cores']]}{on_host}{taught}"


def _folder(registry: str | Path | None) -> Path:
    """Return the registry's folder; raise if none is named, or if it is not a folder."""
    found = os.environ.get(REGISTRY_VARIABLE) if registry is None else registry
    if not found:
        raise ConvertError(f"registry: no folder given; pass registry or set {REGISTRY_VARIABLE}")
    root = Path(found)
    if root.exists() and not root.is_dir():
        raise ConvertError(f"registry {root}: not a folder")
    return root


def _ignore(_line: str) -> None:
    """Discard a progress line."""


def evaluate(
    reference: str | Pin,
    data: str | Path,
    *,
    registry: str | Path | None = None,
    reading: ReadOptions = AS_USUAL,
) -> dict[str, Any]:
    """Count how every stage of a published model answers a file of questions.

    Parameters
    ----------
    reference
        The model: `model:version`, `model:alias`, `model@digest`, or the pin that `publish` returned.
    data
        Questions (docs/question-files.md). Accuracies are counted if all have labels.
    registry
        Folder of the registry; None: the folder that the environment variable `SPIKEWATCH_REGISTRY` names, or else the
        bundled registry.
    reading
        Encoding of `data` and names of its columns.

    Returns
    -------
    dict
        As `evaluate_stages`, with `model` (the pin) and `data` (name and SHA-256 of the file).  Shares are in 0..1.

    Raises
    ------
    ConvertError
        The data cannot be read, holds a label that the model does not know, or the model lacks its earlier stages.
    SimcoreError
        A file of the model is not valid.
    RegistryError
        There is no such model or registry, or a file's digest is wrong.

    """
    if registry is None:
        registry = os.environ.get(REGISTRY_VARIABLE) or bundled()
    return evaluate_model(Registry(Path(registry)).load(str(reference)), Path(data), reading)


def evaluate_model(model: Model, data: Path, reading: ReadOptions = AS_USUAL) -> dict[str, Any]:
    """Count how every stage of a loaded model answers a file of questions (see `evaluate`)."""
    questions = read_questions(data, labelled=False, reading=for_model(reading, model.files))
    for name in ("core.safetensors", "encoder.safetensors", "model.onnx", CONSTRAINED_FILE):
        if name not in model.files:
            raise ModelFileError(
                f"{model.pin}: {name} is missing, so its earlier stages cannot run"
            )
    network, float_model = read_model_bytes(
        model.files["model.onnx"],
        what=f"{model.pin}: model.onnx",
        words=len(Encoder.from_bytes(model.files["encoder.safetensors"]).rows),
    )
    image = CoreImage.from_bytes(model.files["core.safetensors"])
    # the ONNX file does not say where the head was placed, the image does
    network = replace(network, head="core" if image.head is None else "host")
    evaluation = evaluate_stages(
        questions=questions,
        files=model.files,
        float_model=float_model,
        constrained=ConstrainedStages.from_bytes(model.files[CONSTRAINED_FILE], network),
        student=_is_student(model),
    )
    return {"model": str(model.pin), "data": describe_data(data), **evaluation}


def _is_student(model: Model) -> bool:
    """Return whether a model's network was taught to answer as another one; its eval.json may hold anything."""
    try:
        found = json.loads(model.files.get("eval.json", b"{}"))
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and "teacher" in found
