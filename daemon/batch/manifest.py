"""The manifest of a finished batch: its inputs, their partitions and the digests of both."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ...simcore.power import METHODS
from ..answering.results import SPIKES, Tally
from ..spool import names
from .work import FORMAT

if TYPE_CHECKING:
    from .parts import Scan
    from .work import BatchInput, Failure

NAME: Final = "manifest.json"


@dataclass(kw_only=True, slots=True)
class InputState:
    """One input and its progress.

    Attributes
    ----------
    source
        The input.
    scan
        The result of its scan; None before the scan, and if it failed.
    partitions
        Summaries of the finished parts, by number.
    failure
        Why the input has no result; None if it has not failed.

    """

    source: BatchInput
    scan: Scan | None = None
    partitions: dict[int, dict[str, Any]] = field(default_factory=dict)
    failure: Failure | None = None

    @property
    def parts(self) -> int:
        """Number of its parts; 0 before the scan."""
        return 0 if self.scan is None else len(self.scan.parts)

    def entry(self) -> dict[str, Any]:
        """Return its entry in the manifest."""
        shown: dict[str, Any] = {"input": names.printable(self.source.url)}
        if self.scan is not None:
            shown |= {"sha256": self.scan.sha256, "size_bytes": self.scan.size}
        if self.failure is not None:
            error = {"code": self.failure.code, "message": self.failure.message}
            return shown | {"status": "error", "error": error}
        kept = ("partition", "sha256", "size_bytes", "questions", "questions_failed")
        return shown | {
            "status": "ok",
            "partitions": [
                {name: facts[name] for name in kept} for _, facts in sorted(self.partitions.items())
            ],
        }


def manifest(inputs: list[InputState], *, pin: str, cores: int, labels: tuple[str, ...]) -> bytes:
    """Return the manifest; it depends on inputs and model alone, not on when, where and by whom they were answered.

    Parameters
    ----------
    inputs
        All inputs, in order.
    pin, cores, labels
        Properties of the model.

    """
    tally = total(inputs, labels)
    document = {
        "schema": FORMAT,
        "model": pin,
        **tally.figures(cores=cores),
        # The same notes as in a summary of the daemon: nobody should take the figures for measurements.
        "power_is": "an estimate for the chip, not a measurement of this machine",
        "power_methods": METHODS,
        "labels": {label: tally.labels[i] for i, label in enumerate(labels)},
        "inputs_ok": sum(each.failure is None for each in inputs),
        "inputs_failed": sum(each.failure is not None for each in inputs),
        "inputs": [each.entry() for each in inputs],
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def total(inputs: list[InputState], labels: tuple[str, ...]) -> Tally:
    """Add up the partitions of the inputs that did not fail."""
    counted: Counter[str] = Counter()
    by_label: Counter[int] = Counter()
    for each in inputs:
        if each.failure is not None:
            continue
        for facts in each.partitions.values():
            for name in ("questions_ok", "questions_failed", "synaptic_events", "ticks"):
                counted[name] += facts[name]
            for name in SPIKES:
                counted[name] += facts["spikes"][name]
            for i, label in enumerate(labels):
                by_label[i] += facts["labels"][label]
    return Tally(
        ok=counted["questions_ok"],
        failed=counted["questions_failed"],
        input_spikes=counted["input"],
        hidden_spikes=counted["hidden"],
        output_spikes=counted["output"],
        synaptic_events=counted["synaptic_events"],
        ticks=counted["ticks"],
        labels=by_label,
    )
