"""Explain an answer: what the core reads at every word, which spikes it sends, and the evidence for each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...simcore import CoreImage, Course, Encoder, Energy, estimate, follow
from ...simcore.classifier import NEEDED, Classifier
from ...simcore.text.splitting import read_tokenizer
from ..errors import ConstraintError, DataError, ModelFileError
from ..network.place import unit_neurons

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A token of the question, as the model's tokenizer produces it.

    Attributes
    ----------
    word : str
        The token.
    text : str
        The part of the question that the token comes from; empty for special tokens and padding.
    id : int
        Its word id.

    """

    word: str
    text: str
    id: int

    def __str__(self) -> str:
        """Return the token, followed by its text in the question if they differ (`<number> (1999)`)."""
        same = self.text.lower() in {"", self.word}
        shown = self.word if same else f"{self.word} ({self.text})"
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Explanation:
    """The run of one question on the simulated core.

    Attributes
    ----------
    question : str
    tokens : tuple of Token
        In text order.
    labels : tuple of str
        Class names.
    image : CoreImage
        The core.
    course : Course
        Spikes and evidence of the run, tick by tick.
    units : intp (units, 2) or None
        Core and first neuron of each hidden unit; None if spikewatch-convert did not place the core.
    energy : Energy
        Estimate for the whole question.

    """

    question: str
    tokens: tuple[Token, ...]
    labels: tuple[str, ...]
    image: CoreImage
    course: Course
    units: NDArray[np.intp] | None
    energy: Energy

    @property
    def label(self) -> int:
        """Index of the answered class: the first one with the largest score."""
        return int(self.course.evidence[-1].argmax())

    @property
    def ticks_per_step(self) -> int:
        """Number of ticks per step."""
        return len(self.course.lines) // len(self.course.spikes)

    @property
    def unit_spikes(self) -> NDArray[np.bool_] | None:
        """Spikes of each hidden unit in each tick, bool (ticks, units)."""
        return (
            None if self.units is None else self.course.fired[:, self.units[:, 0], self.units[:, 1]]
        )

    @property
    def hidden(self) -> NDArray[np.int64] | None:
        """Spikes of each hidden unit in each step, int64 (steps, units)."""
        fired = self.unit_spikes
        if fired is None:
            return None
        steps = len(self.course.spikes)
        in_steps = fired.reshape(steps, self.ticks_per_step, -1)
        return np.asarray(in_steps.sum(axis=1), dtype=np.int64)

    @property
    def head(self) -> str:
        """Where the answer is computed: "core" or "host"."""
        return "core" if self.image.head is None else "host"

    @property
    def bidirectional(self) -> bool:
        """Whether every step reads one word from each end of the question."""
        return self.image.coding is not None and self.image.coding.backward_lines > 0

    def read(self, step: int) -> tuple[Token, ...]:
        """Return the words read in a step: one, two for a bidirectional network, none in a drain step."""
        order = self.course.order
        if step >= len(order):
            return ()
        first = self.tokens[order[step]]
        # the second direction reads the words in the opposite order
        return (first, self.tokens[order[::-1][step]]) if self.bidirectional else (first,)

    def heading(self, step: int) -> str:
        """Return the words of a step as a table heading, or `(drain)`."""
        return " + ".join(map(str, self.read(step))) or "(drain)"

    def as_json(self) -> dict[str, Any]:
        """Return the explanation as a JSON object."""
        course, hidden = self.course, self.hidden
        scores = [dict(zip(self.labels, row, strict=True)) for row in course.evidence.tolist()]
        steps = []
        for s, spikes in enumerate(course.spikes.tolist()):
            words = [{"word": t.word, "text": t.text, "id": t.id} for t in self.read(s)]
            spoken = s < len(course.order)
            steps.append(
                {
                    "words": words,
                    "code": course.codes[s].tolist() if spoken else None,
                    "spikes": dict(zip(("input", "hidden", "output"), spikes, strict=True)),
                    "hidden_units": None if hidden is None else hidden[s].tolist(),
                    "synaptic_events": int(course.synaptic_events[s]),
                    "evidence": scores[s] if spoken else None,
                    "label": self.labels[course.evidence[s].argmax()] if spoken else None,
                }
            )
        total = course.spikes.sum(axis=0).tolist()
        return {
            "question": self.question,
            "label": self.labels[self.label],
            "scores": scores[-1],
            "head": self.head,
            "words": len(self.tokens),
            "ticks": len(course.lines),
            "spikes": dict(zip(("input", "hidden", "output"), total, strict=True)),
            "synaptic_events": int(course.synaptic_events.sum()),
            "power_uw": self.energy.power_uw,
            "energy_uj": self.energy.energy_uj,
            "steps": steps,
        }


def explain(files: Mapping[str, bytes], question: str) -> Explanation:
    """Run one question through a published model, and record every tick.

    Parameters
    ----------
    files
        The model's files; the four that `Classifier.from_files` reads suffice.
    question
        Any text.

    Raises
    ------
    DataError
        If the question is empty, or the tokenizer finds no word in it.
    ModelFileError, SimcoreError
        If the model lacks a file that a classifier needs, or the question has too many words.

    """
    for name in NEEDED:
        if name not in files:
            raise ModelFileError(f"model: {name} is missing, so the model cannot answer questions")
    if not question.strip():
        raise DataError("question: it is empty, expected a text with at least one word")
    classifier = Classifier.from_files(files)
    image = CoreImage.from_bytes(files["core.safetensors"])
    encoder = Encoder.from_bytes(files["encoder.safetensors"])
    ids = classifier.word_ids([question])[0]
    if not ids:
        raise DataError(f"question {question[:60]!r}: the model's tokenizer finds no word in it")
    course = follow(image, encoder, ids)
    tokenizer = read_tokenizer(files["tokenizer.json"], model_words_only=encoder.model_words_only)
    encoding = tokenizer.encode(question)
    tokens = tuple(
        Token(word=word, text=question[start:end], id=number)
        for word, (start, end), number in zip(
            encoding.tokens, encoding.offsets, encoding.ids, strict=True
        )
        if number not in encoder.skipped
    )
    return Explanation(
        question=question,
        tokens=tokens,
        labels=classifier.labels,
        image=image,
        course=course,
        units=_units(image),
        energy=estimate(
            cores=image.cores,
            ticks=len(course.lines),
            synaptic_events=int(course.synaptic_events.sum()),
        ),
    )


def _units(image: CoreImage) -> NDArray[np.intp] | None:
    """Return core and first neuron of every hidden unit; None if spikewatch-convert did not place the core."""
    try:
        found = [(c, n) for c in range(image.cores) for n in unit_neurons(image, c).tolist()]
    except ConstraintError:
        return None
    return np.array(found, dtype=np.intp)
