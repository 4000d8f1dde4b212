"""The model that a daemon serves, where it comes from, and what is needed of one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol

from ...registry import Registry, RegistryError, bundled
from ...simcore import Classifier, SimcoreError, golden
from ...simcore.text.splitting import LOOKUP_FILE
from ..errors import ServedModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...registry import Pin
    from ...simcore import Answers

FILES: Final = ("core.safetensors", "encoder.safetensors", "tokenizer.json", "labels.json")
"""What is loaded of a published model, beside its golden questions and its lookup."""

SelfTest = Literal["passed", "none"]


class TextClassifier(Protocol):
    """The classifier as the daemon uses it (`simcore.Classifier` is one)."""

    @property
    def labels(self) -> tuple[str, ...]: ...  # noqa: D102 - documented in simcore
    @property
    def cores(self) -> int: ...  # noqa: D102 - documented in simcore

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
    self_test
        `passed`: it answered its golden questions as when it was published; `none`: it has no such questions.

    """

    classifier: TextClassifier
    pin: str
    self_test: SelfTest = "none"


class ModelSource:
    """Where models come from: a registry, read anew at every call, and a reference in it.

    Parameters
    ----------
    registry
        Its root; None for the bundled one.
    reference
        `name:version`, `name:alias` or `name@sha256:...`.

    """

    def __init__(self, registry: Path | None, reference: str) -> None:
        self._root = registry
        self._reference = reference
        self._opened: Registry | None = None

    def resolve(self) -> Pin:
        """Say what the reference means now; cheap where nothing has changed (0.1 ms, no lock).

        Raises
        ------
        ServedModelError
            The registry or the model is not there or not readable.

        """
        try:
            return self._open().resolve(self._reference)
        except (RegistryError, OSError) as e:
            raise ServedModelError(f"model {self._reference}: {e}") from e

    def load(self, pin: Pin | None = None) -> ServedModel:
        """Load a model, and ask it its golden questions; every byte has passed its digest.

        Parameters
        ----------
        pin
            From `resolve`; None for what the reference means now.

        Raises
        ------
        ServedModelError
            It is not there, not readable or not valid, or does not answer as it did when it was published.

        """
        try:
            wanted = self._reference if pin is None else f"{pin.name}@{pin.digest}"
            model = self._open().load(wanted, names=FILES, optional=(golden.FILE, LOOKUP_FILE))
            classifier = Classifier.from_files(model.files)
            if golden.FILE in model.files:
                golden.verify(classifier, model.files[golden.FILE])
        except (RegistryError, SimcoreError, OSError) as e:
            raise ServedModelError(f"model {self._reference}: {e}") from e
        return ServedModel(
            classifier=classifier,
            pin=str(model.pin),
            self_test="passed" if golden.FILE in model.files else "none",
        )

    def _open(self) -> Registry:
        if self._opened is None:
            self._opened = Registry(Path(bundled()) if self._root is None else self._root)
        return self._opened
