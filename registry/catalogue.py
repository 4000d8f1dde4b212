"""Find the models in a registry's directory, and the versions that references point to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import Corrupt, NotFound, shown
from .layout.files import storage
from .layout.find import find
from .layout.layout import Layout
from .references import Reference, is_model
from .values import Pin

if TYPE_CHECKING:
    from .formats.json_documents import Descriptor
    from .formats.manifest import Manifest
    from .layout.journal import ModelState

__all__ = ["Catalogue", "FoundVersion"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundVersion:
    """A version that a reference points to, with the state it was found in: a command reads the state only once.

    Attributes
    ----------
    layout
        The model.
    state
        The model's state.
    target
        The version's manifest.
    pin
        The version.

    """

    layout: Layout
    state: ModelState
    target: Descriptor
    pin: Pin

    def manifest(self) -> Manifest:
        """Return the version's manifest, verified and parsed.

        Raises
        ------
        Corrupt
            Its bytes or its content are wrong, or it is the manifest of another version.

        """
        manifest = self.layout.manifest(self.target, what=str(self.pin))
        # Another tool may have pointed the version's tag to the intact manifest of another version.
        if self.pin.version not in {None, manifest.version}:
            raise Corrupt(f"{self.pin}: the manifest is of version {shown(manifest.version)}")
        return manifest


class Catalogue:
    """Finds models below a registry's directory; writes nothing and takes no lock.

    Parameters
    ----------
    root
        The directory; each model is a directory below it.

    Raises
    ------
    NotFound
        The directory does not exist.

    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._layouts: dict[str, Layout] = {}
        with storage(f"opening registry {self.root}"):
            exists, is_folder = self.root.exists(), self.root.is_dir()
        if not is_folder:
            raise NotFound(
                f"registry {self.root}: {'not a directory' if exists else 'no such directory'}"
            )

    def names(self) -> list[str]:
        """Return the names of the models, sorted."""
        with storage(f"reading {self.root}"):
            return sorted(
                path.name
                for path in self.root.iterdir()
                if is_model(path.name) and Layout(path).exists
            )

    def layout(self, name: str) -> Layout:
        """Return the directory of a model that need not exist.

        It is the same object at every call, because it caches the model's index.
        """
        return self._layouts.setdefault(name, Layout(self.root / name))

    def model(self, name: str) -> Layout:
        """Return the directory of a model.

        Raises
        ------
        NotFound
            The model does not exist.

        """
        layout = self.layout(name)
        with storage(f"reading {layout.path}"):
            exists = layout.exists
        if not exists:
            raise NotFound(f"registry {self.root}: no model {name!r}")
        return layout

    def find(self, ref: str) -> FoundVersion:
        """Return the version that a reference points to.

        Raises
        ------
        BadReference
            The text is not a reference.
        NotFound
            The reference points to nothing.
        Conflict
            Tag and digest do not agree.
        Corrupt
            The model's index or journal is damaged.

        """
        reference = Reference.parse(ref)
        layout = self.model(reference.name)
        return _find(layout, layout.state(), reference)

    def find_both(self, left: str, right: str) -> tuple[FoundVersion, FoundVersion]:
        """Return the versions that two references point to; if both are of one model, its state is read once.

        Raises
        ------
        BadReference, NotFound, Conflict, Corrupt
            As for `find`.

        """
        first, reference = self.find(left), Reference.parse(right)
        if reference.name != first.layout.name:
            return first, self.find(right)
        return first, _find(first.layout, first.state, reference)


def _find(layout: Layout, state: ModelState, reference: Reference) -> FoundVersion:
    target = find(layout, state, reference)
    version = state.version_of(target.digest)
    pin = Pin(name=layout.name, version=version, digest=target.digest)
    return FoundVersion(layout=layout, state=state, target=target, pin=pin)
