"""Load the model that a daemon serves from the registry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from ...registry import Registry, RegistryError, bundled
from ...simcore import Classifier, SimcoreError, golden
from ...simcore.classifier import NEEDED
from ...simcore.text.splitting import LOOKUP_FILE
from ..errors import ServedModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...registry import Pin
    from ...simcore import Answers

SelfTest = Literal["passed", "none"]


class TextClassifier(Protocol):
    """The part of a classifier's interface that the daemon uses; tests pass their own."""

    @property
    def labels(self) -> tuple[str, ...]: ...  # noqa: D102 - documented in simcore
    @property
    def cores(self) -> int: ...  # noqa: D102 - documented in simcore

    def classify(self, texts: Sequence[str]) -> Answers:
        """Classify a batch of texts; answer i is for text i."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedModel:
    """A loaded model and its permanent name.

    Attributes
    ----------
    classifier
        Ready to answer.
    pin
        `name:version@sha256:...`, as in every request event.
    self_test
        `passed`: it answered its golden questions as when it was published; `none`: it has no golden questions.

    """

    classifier: TextClassifier
    pin: str
    self_test: SelfTest = "none"


class ModelSource:
    """A reference in a registry; every call reads the registry again.

    Parameters
    ----------
    registry
        The registry's root; None for the bundled one.
    reference
        `name:version`, `name:alias` or `name@sha256:...`.

    """

    def __init__(self, registry: Path | None, reference: str) -> None:
        self._root = registry
        self._reference = reference
        self._opened: Registry | None = None

    def resolve(self) -> Pin:
        """Return the pin of the model that the reference points to now; cheap if nothing has changed (0.1 ms, no lock).

        Raises
        ------
        ServedModelError
            The registry or the model does not exist or is not readable.

        """
        try:
            return self._open().resolve(self._reference)
        except (RegistryError, OSError) as e:
            raise ServedModelError(f"model {self._reference}: {e}") from e

    def load(self, pin: Pin | None = None) -> ServedModel:
        """Load a model whose bytes match their digests, and test it on its golden questions.

        Parameters
        ----------
        pin
            From `resolve`; None for the model that the reference points to now.

        Raises
        ------
        ServedModelError
            It does not exist, is not readable or not valid, or does not answer as it did when it was published.

        """
        try:
            # By digest: the reference may have moved on since `resolve`.
            wanted = self._reference if pin is None else f"{pin.name}@{pin.digest}"
            model = self._open().load(wanted, names=NEEDED, optional=(golden.FILE, LOOKUP_FILE))
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
