"""The model that a daemon serves, and what it needs of one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from .errors import ServedModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..simcore import Answers
    from .settings import Settings

FILES: Final = ("core.safetensors", "encoder.safetensors", "tokenizer.json", "labels.json")
"""What is loaded of a published model."""


class Answering(Protocol):
    """The classifier as the daemon uses it (`simcore.Classifier` is one)."""

    @property
    def labels(self) -> tuple[str, ...]: ...  # noqa: D102 - documented in simcore
    @property
    def cores(self) -> int: ...  # noqa: D102 - likewise

    def classify(self, texts: Sequence[str]) -> Answers:
        """Answer a batch of texts in order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedModel:
    """A loaded model and what it is called for good.

    Attributes
    ----------
    classifier
        Ready to answer.
    pin
        `name:version@sha256:...`, as it stands on every request event.

    """

    classifier: Answering
    pin: str


def load(settings: Settings) -> ServedModel:
    """Load the model that the settings name; every byte has passed its digest.

    Raises
    ------
    ServedModelError
        The registry or the model is not there, not readable or not valid.

    """
    from ..registry import Registry, RegistryError, bundled  # noqa: PLC0415 - put and status need no registry
    from ..simcore import Classifier, SimcoreError  # noqa: PLC0415 - nor numpy and tokenizers

    root = Path(bundled()) if settings.registry is None else settings.registry
    try:
        model = Registry(root).load(settings.model, names=FILES)
        classifier = Classifier.from_files(model.files)
    except (RegistryError, SimcoreError, OSError) as e:
        raise ServedModelError(f"model {settings.model}: {e}") from e
    return ServedModel(classifier=classifier, pin=str(model.pin))
