"""The tags that move and go: aliases, and versions that are withdrawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import BadReference
from .layout.changes import ABSENT, Signature, move, removal, rollback, withdrawal
from .layout.files import storage
from .layout.find import complete, find
from .reader import Reader
from .references import Digest, Reference, check_alias, check_digest, check_model, check_version
from .values import Pin

if TYPE_CHECKING:
    from .layout.journal import Change, ModelState

__all__ = ["Tagger"]


class Tagger(Reader):
    """Read a registry, and change what its tags mean; see `Registry`."""

    def set_alias(
        self,
        name: str,
        alias: str,
        ref: str,
        *,
        expect: str | None = None,
        actor: str | None = None,
        reason: str = "",
    ) -> Pin:
        """Let an alias point to a version whose every byte is sound.

        Parameters
        ----------
        name, alias
            The alias is made when it is absent.
        ref
            What it shall mean: a reference to the same model, or just ``1.0.0``, another alias,
            or ``sha256:...``.
        expect
            The digest that it must mean now, or ABSENT; None for whatever it means.
        actor, reason
            Who and why, for the journal.

        Raises
        ------
        Conflict
            When the alias does not mean what was expected; nothing was changed.
        NotFound
            When the reference means nothing.
        Corrupt
            When a file of the version is damaged; the alias stays where it was.
        """
        check_model(name)
        check_alias(alias)
        _check_expected(expect)
        signature = Signature.of(actor, reason)
        reference = Reference.parse(complete(name, ref))
        if reference.name != name:
            raise BadReference(f"alias {name}:{alias}: cannot point to another model, {ref}")
        layout = self._layout(name)

        def decide(state: ModelState) -> Change | None:
            target = find(layout, state, reference)
            return move(layout, alias, target, expect, signature)(state)

        with storage(f"setting {name}:{alias} in {self.root}"):
            state = layout.commit(decide)
        digest = state.tags[alias].digest
        return Pin(name=name, version=state.version_of(digest), digest=digest)

    def remove_alias(
        self,
        name: str,
        alias: str,
        *,
        expect: str | None = None,
        actor: str | None = None,
        reason: str = "",
    ) -> Digest:
        """Remove an alias; give the digest that it meant.

        Raises
        ------
        NotFound
            When there is no such alias.
        Conflict
            When it does not mean what was expected; nothing was changed.
        """
        check_alias(alias)
        _check_expected(expect)
        signature = Signature.of(actor, reason)
        layout = self._layout(check_model(name))
        removed: list[Digest] = []
        with storage(f"removing {name}:{alias} from {self.root}"):
            layout.commit(removal(layout, alias, expect, signature, removed.append))
        return removed[-1]

    def rollback(
        self,
        name: str,
        alias: str,
        *,
        expect: str | None = None,
        actor: str | None = None,
        reason: str = "",
    ) -> Pin:
        """Let an alias mean again what it meant before; once more goes one step further back.

        Parameters
        ----------
        name, alias
            Which.
        expect
            The digest that it must mean now; None for whatever it means.
        actor, reason
            Who and why, for the journal.

        Raises
        ------
        NotFound
            When it meant nothing before.
        Conflict
            When it does not mean what was expected, or what it meant has been withdrawn; nothing
            was changed.
        Corrupt
            When a file of that version is damaged; the alias stays where it was.
        """
        check_alias(alias)
        _check_expected(expect)
        signature = Signature.of(actor, reason)
        layout = self._layout(check_model(name))
        with storage(f"rolling back {name}:{alias} in {self.root}"):
            state = layout.commit(rollback(layout, alias, expect, signature))
        digest = state.tags[alias].digest
        return Pin(name=name, version=state.version_of(digest), digest=digest)

    def withdraw(
        self, name: str, version: str, *, actor: str | None = None, reason: str = ""
    ) -> Digest:
        """Take a version out of use, for good; give its digest.

        The name stays taken: only the same bytes can be published under it again. Its files go
        with the next gc, unless an alias meant it lately.

        Raises
        ------
        NotFound
            When there is no such version.
        Conflict
            When an alias means it; nothing was changed.
        """
        check_version(version)
        signature = Signature.of(actor, reason)
        layout = self._layout(check_model(name))
        with storage(f"withdrawing {name}:{version} from {self.root}"):
            state = layout.commit(withdrawal(layout, version, signature))
        return state.withdrawn[version]


def _check_expected(expect: str | None) -> None:
    """Check what an alias is expected to mean: a digest, ABSENT, or None for anything."""
    if expect is not None and expect != ABSENT:
        check_digest(expect)
