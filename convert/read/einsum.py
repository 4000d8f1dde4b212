"""Einsum on affine expressions: a matrix product with constants, whatever the order of its axes."""

from __future__ import annotations

from string import ascii_letters
from typing import TYPE_CHECKING, Any

import numpy as np

from .affine import Affine, Unsupported, matmul, total
from .operators import attribute, weight

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from .operators import Frame


def einsum(_frame: Frame, node: onnx.NodeProto, values: list[Any]) -> list[Any]:
    """Apply the operator to one tensor of expressions and any number of constants."""
    expressions = [i for i, v in enumerate(values) if isinstance(v, Affine)]
    if len(expressions) != 1:
        raise Unsupported(
            "multiplies two values that both depend on the question's words, as a gate or attention does"
        )
    at = expressions[0]
    terms, result = _terms(attribute(node, "equation").decode(), [len(v.shape) for v in values])
    x, letters = _without_repeats(values[at], terms[at])
    constants = [(terms[i], weight(node, i, values)) for i in range(len(values)) if i != at]
    kept = "".join(dict.fromkeys(c for t, _ in constants for c in t if c in letters + result))
    factor = np.ones(())
    if constants:
        inputs = ",".join(t for t, _ in constants)
        factor = np.einsum(f"{inputs}->{kept}", *(c for _, c in constants), optimize=True)
    x, letters, factor, kept = _broadcast(x, letters, factor, kept)
    alone = tuple(i for i, c in enumerate(letters) if c not in kept + result)
    x = total(x, alone, keepdims=False)
    letters = "".join(c for i, c in enumerate(letters) if i not in alone)
    product, found = _product(x, letters, factor, kept, result)
    return [product.rearranged(np.transpose(product.index, [found.index(c) for c in result]))]


def _terms(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """Return a letter for each axis of each input and of the result."""
    left, arrow, result = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    # the dots stand for the last of these axes, as many as an input has beyond its letters
    spare = "".join(c for c in ascii_letters if c not in equation)
    widest = 0
    for i, (term, rank) in enumerate(zip(terms, ranks, strict=True)):
        if "..." in term:
            n = rank - (len(term) - 3)
            widest = max(widest, n)
            terms[i] = term.replace("...", spare[26 - n : 26])
    dots = spare[26 - widest : 26]
    if arrow:
        return terms, result.replace("...", dots)
    joined = "".join(terms)
    return terms, dots + "".join(
        c for c in sorted(set(joined)) if joined.count(c) == 1 and c not in dots
    )


def _without_repeats(x: Affine, term: str) -> tuple[Affine, str]:
    """Return the diagonal along axes of the same letter."""
    letters = "".join(dict.fromkeys(term))
    if len(letters) == len(term):
        return x, term
    return x.rearranged(np.einsum(f"{term}->{letters}", x.index)), letters


def _broadcast(
    x: Affine, letters: str, factor: NDArray[np.float64], kept: str
) -> tuple[Affine, str, NDArray[np.float64], str]:
    """Leave out axes of size 1 that are longer in the other operand."""
    sizes, others = (
        dict(zip(letters, x.shape, strict=True)),
        dict(zip(kept, factor.shape, strict=True)),
    )
    short = [c for c in letters if sizes[c] == 1 < others.get(c, 1)]
    if short:
        x = x.rearranged(np.squeeze(x.index, tuple(letters.index(c) for c in short)))
    thin = [c for c in kept if others[c] == 1 < sizes.get(c, 1)]
    factor = np.squeeze(factor, tuple(kept.index(c) for c in thin))
    return (
        x,
        "".join(c for c in letters if c not in short),
        factor,
        "".join(c for c in kept if c not in thin),
    )


def _product(
    x: Affine, letters: str, factor: NDArray[np.float64], kept: str, result: str
) -> tuple[Affine, str]:
    """Return the product, and the letters of its axes in their order."""
    both = [c for c in letters if c in kept and c in result]
    inner = [c for c in letters if c in kept and c not in result]
    rows = [c for c in letters if c not in kept]
    columns = [c for c in kept if c not in letters]
    sizes = dict(zip(kept, factor.shape, strict=True)) | dict(zip(letters, x.shape, strict=True))

    def count(names: list[str]) -> int:
        return int(np.prod([sizes[c] for c in names], dtype=np.int64))

    left = np.transpose(x.index, [letters.index(c) for c in both + rows + inner])
    right = np.transpose(factor, [kept.index(c) for c in both + inner + columns])
    product = matmul(
        x.rearranged(left.reshape(count(both), count(rows), count(inner))),
        right.reshape(count(both), count(inner), count(columns)),
    )
    found = both + rows + columns
    return product.rearranged(product.index.reshape([sizes[c] for c in found])), "".join(found)
