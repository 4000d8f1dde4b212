"""Tensors whose elements are affine expressions of unknowns, and the linear operators on them.

A graph is read by running it once with unknowns in place of the words.  Every component of a word vector and every
hidden activation is an unknown with its own column, and every element of a tensor is a row of coefficients over these
columns (column 0 is the constant term).  Whichever order of MatMul, Transpose, Slice or Reshape an exporter chose, the
rows that arrive at an activation are W, U and b.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy import sparse

from ..errors import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    I64 = NDArray[np.int64]
    F64 = NDArray[np.float64]

CONSTANT: Final = 0
"""Column of the constant term."""


class Unsupported(Exception):
    """An operator computes something that no Elman network computes; the interpreter adds the node's name."""


class WrongLayout(ModelFileError):
    """The graph does not fit the assumed axes of its inputs; it may fit if batch and time are swapped."""


class TooLarge(ModelFileError):
    """A tensor of the graph takes more memory than there is for it; onnxruntime need not be asked about it."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Affine:
    """A tensor of affine expressions.

    Attributes
    ----------
    index : int64, the tensor's shape
        Row of `rows` of each element.  Operators that only move elements change nothing but the index.
    rows : sparse float64 (expressions, columns)
        Coefficients.  There may be fewer columns than unknowns: those missing at the end are zero.

    """

    index: I64
    rows: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.index.shape

    def rearranged(self, index: I64) -> Affine:
        """Return the tensor with the same rows and another index."""
        return Affine(index=np.asarray(index, dtype=np.int64), rows=self.rows)

    def flat(self) -> Any:
        """Return the rows of the elements in C order."""
        return self.rows[self.index.reshape(-1)]


def constant(values: NDArray[Any]) -> Affine:
    """Return numbers as expressions without unknowns."""
    flat = np.asarray(values, dtype=np.float64).reshape(-1, 1)
    return Affine(
        index=np.arange(flat.size, dtype=np.int64).reshape(np.shape(values)),
        rows=sparse.csr_array(flat),
    )


def unknowns(columns: I64) -> Affine:
    """Return the tensor whose elements are the unknowns of these columns."""
    distinct, index = np.unique(columns, return_inverse=True)
    n = len(distinct)
    rows = sparse.csr_array(
        (np.ones(n), distinct, np.arange(n + 1)), shape=(n, int(distinct.max(initial=0)) + 1)
    )
    return Affine(index=index.reshape(columns.shape).astype(np.int64), rows=rows)


def stack(values: Sequence[Affine]) -> list[Affine]:
    """Return the same tensors with one shared table of rows."""
    width = max(v.rows.shape[1] for v in values)
    rows = sparse.vstack([with_width(v.rows, width) for v in values], format="csr")
    starts = np.cumsum([0, *[v.rows.shape[0] for v in values]])
    return [
        Affine(index=v.index + start, rows=rows)
        for v, start in zip(values, starts[:-1], strict=True)
    ]


def with_width(rows: Any, width: int) -> Any:
    """Append zero columns until there are `width`."""
    if rows.shape[1] == width:
        return rows
    return sparse.csr_array((rows.data, rows.indices, rows.indptr), shape=(rows.shape[0], width))


def _tensor(rows: Any, shape: tuple[int, ...]) -> Affine:
    rows = sparse.csr_array(rows)
    rows.eliminate_zeros()  # `single_columns` recognises a single unknown by its one stored coefficient
    return Affine(index=np.arange(rows.shape[0], dtype=np.int64).reshape(shape), rows=rows)


def add(a: Affine, b: Affine, sign: float = 1.0) -> Affine:
    """Return a + sign b, broadcast."""
    i, j = np.broadcast_arrays(a.index, b.index)
    width = max(a.rows.shape[1], b.rows.shape[1])
    left = with_width(a.rows, width)[i.reshape(-1)]
    right = with_width(b.rows, width)[j.reshape(-1)]
    return _tensor(left + right * sign, i.shape)


def scale(a: Affine, factor: NDArray[Any]) -> Affine:
    """Return a times `factor`, broadcast."""
    index, by = np.broadcast_arrays(a.index, np.asarray(factor, dtype=np.float64))
    # a product with a diagonal matrix multiplies rows without making them dense
    return _tensor(sparse.diags_array(by.reshape(-1)) @ a.rows[index.reshape(-1)], index.shape)


def multiply_right(a: Affine, weight: F64) -> Affine:
    """Return a @ weight for a weight of two dimensions; `a` has at least one."""
    lead, k = a.shape[:-1], a.shape[-1]
    if weight.shape[0] != k:
        raise Unsupported(f"multiplies {k} values by a weight of shape {weight.shape}")
    n = int(np.prod(lead, dtype=np.int64))
    # all rows at once: one diagonal block of the weight for each vector along the last axis
    mix = sparse.kron(sparse.eye_array(n), sparse.csr_array(weight.T), format="csr")
    return _tensor(mix @ a.flat(), (*lead, weight.shape[1]))


def matmul(a: Affine, weight: F64) -> Affine:
    """Return a @ weight as NumPy defines it, for weights of any number of dimensions."""
    if weight.ndim == 1:
        result = multiply_right(a, weight[:, None])
        return result.rearranged(result.index[..., 0])
    lead = weight.shape[:-2]
    if np.prod(lead, dtype=np.int64) == 1:  # one weight for all, as exporters write a plain product
        result = multiply_right(a, weight.reshape(weight.shape[-2:]))
        missing = len(lead) - (len(result.shape) - 2)
        return result.rearranged(result.index[(None,) * max(missing, 0)])
    if len(a.shape) < 2:
        raise Unsupported(f"multiplies a vector by a stack of weights of shape {weight.shape}")
    batch = np.broadcast_shapes(a.shape[:-2], lead)
    index = np.broadcast_to(a.index, (*batch, *a.shape[-2:]))
    weights = np.broadcast_to(weight, (*batch, *weight.shape[-2:]))
    parts = stack([multiply_right(a.rearranged(index[b]), weights[b]) for b in np.ndindex(*batch)])
    return parts[0].rearranged(
        np.stack([p.index for p in parts]).reshape((*batch, a.shape[-2], weight.shape[-1]))
    )


def total(a: Affine, axes: tuple[int, ...], *, keepdims: bool) -> Affine:
    """Return the sum over some axes."""
    kept = [i for i in range(a.index.ndim) if i not in axes]
    moved = np.transpose(a.index, [*kept, *axes])
    outer = [a.shape[i] for i in kept]
    groups = moved.reshape(int(np.prod(outer, dtype=np.int64)), -1)
    n, m = groups.shape
    # row i of `add_up` has a one for each member of group i
    add_up = sparse.csr_array(
        (np.ones(n * m), np.arange(n * m), m * np.arange(n + 1)), shape=(n, n * m)
    )
    shape = tuple(1 if i in axes else s for i, s in enumerate(a.shape))
    return _tensor(add_up @ a.rows[groups.reshape(-1)], shape if keepdims else tuple(outer))
