"""Published models come from any registry that is installed as an entry point of the group `spikewatch.models`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from spikewatch.simcore import ModelError
from spikewatch.simcore.published import GROUP, model_files

if TYPE_CHECKING:
    from collections.abc import Callable


class Installed(NamedTuple):
    """An entry point, as importlib.metadata has it."""

    function: Callable[..., Any]

    def load(self) -> Callable[..., Any]:
        return self.function


def install(monkeypatch: pytest.MonkeyPatch, *functions: Callable[..., Any]) -> None:
    points = {GROUP: [Installed(function) for function in functions]}
    monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: points[group])


def without_models(*_: object) -> dict[str, bytes]:
    raise LookupError("this one has no models")


def test_registries_are_tried_until_one_has_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[object, ...]] = []

    def has_it(*arguments: object) -> dict[str, bytes]:
        calls.append(arguments)
        return {"a": b"1"}

    def never_called(*_: object) -> dict[str, bytes]:
        raise AssertionError

    install(monkeypatch, without_models, has_it, never_called)
    assert model_files("x:1.0.0", "models", ["a"], ["b"]) == {"a": b"1"}
    assert calls == [("x:1.0.0", Path("models"), ["a"], ["b"])]


def test_the_reasons_of_all_registries_are_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_this_one(reference: str, *_: object) -> dict[str, bytes]:
        raise LookupError(f"no {reference}")

    install(monkeypatch, without_models, without_this_one)
    with pytest.raises(LookupError) as caught:
        model_files("x:1.0.0", None, ["a"])
    assert caught.value.args == ("no registry has this model: this one has no models; no x:1.0.0",)


@pytest.mark.parametrize("fault", [ValueError("a digest differs"), OSError("a digest differs")])
def test_a_model_that_cannot_be_read_is_not_looked_for_elsewhere(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def damaged(*_: object) -> dict[str, bytes]:
        raise fault

    def another(*_: object) -> dict[str, bytes]:
        return {"a": b"an older one"}

    install(monkeypatch, damaged, another)
    with pytest.raises(ModelError, match="^x:1.0.0: a digest differs$"):
        model_files("x:1.0.0", None, ["a"])


def test_the_package_is_imported_without_what_only_some_callers_need() -> None:
    """A slow import would delay the start of every program; these are loaded at their first use."""
    script = (
        "import sys, spikewatch.simcore\n"
        "late = ('importlib.metadata', 'tokenizers', 'typer', 'spikewatch.registry',"
        " 'spikewatch.simcore.exchange.formats', 'spikewatch.simcore.program.bench')\n"
        "print([name for name in late if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
