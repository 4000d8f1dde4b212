"""Recognise files that hold word vectors in a form that is not read, and say what to do with each."""

from __future__ import annotations

import zipfile
from io import BytesIO
from typing import Final

_GENSIM: Final = "load it in gensim, and write KeyedVectors.save_word2vec_format('vectors.txt')"

_AS_TEXT: Final = "write each word and its numbers, separated by spaces, as a line of text"

_MAGIC: Final = (
    (b"\x93NUMPY", f"a NumPy array (.npy), which has no words: {_AS_TEXT}"),
    (
        b"\xba\x16\x4f\x2f",
        "a fastText model (.bin, .ftz): use the .vec file that was written with it, or write each of its words and"
        " get_word_vector(word) as a line of text",
    ),
    (b"\x89HDF\r\n", f"an HDF5 file: {_AS_TEXT}"),
    (b"SQLite format 3", f"a SQLite database (.magnitude): {_AS_TEXT}"),
    (b"PAR1", f"a Parquet file: {_AS_TEXT}"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it, and name the file of vectors"),
    (b"Rar!", "a RAR archive: unpack it, and name the file of vectors"),
    (b"\xff\xfe", "UTF-16 text: write it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text: write it as UTF-8"),
)

_PICKLES: Final = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")

_PICKLED: Final = 4096
"""Bytes at the start of a pickle in which the name of its library stands."""


def foreign(content: bytes) -> str | None:
    """Return what a file is and what to do with it; None if it may be text, word2vec's binary form, or packed."""
    what = next((what for magic, what in _MAGIC if content.startswith(magic)), None)
    if content.startswith(b"PK\x03\x04"):
        what = _zipped(content)
    elif content.startswith(b"ustar", 257):
        what = "a tar archive: unpack it, and name the file of vectors"
    elif content.startswith(_PICKLES):
        what = _pickled(content[:_PICKLED])
    elif content[8:9] == b"{" and int.from_bytes(content[:8], "little") < len(content):
        what = f"a safetensors file, which has no words: {_AS_TEXT}"
    elif content.startswith((b"{", b"[")) and content[-8:].rstrip().endswith((b"}", b"]")):
        what = f"JSON: {_AS_TEXT}"
    return what


def _zipped(content: bytes) -> str | None:
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None
    if any(name.endswith("data.pkl") for name in names):
        return f"a PyTorch file (.pt): load it in PyTorch, and {_AS_TEXT}"
    if names and all(name.endswith(".npy") for name in names):
        return f"an archive of NumPy arrays (.npz): {_AS_TEXT}"
    if any(name.endswith(".weights.h5") for name in names):
        return f"a Keras model (.keras): load it in Keras, and {_AS_TEXT}"
    return None


def _pickled(start: bytes) -> str:
    if b"gensim" in start:
        return f"a file of gensim (.kv or .model): {_GENSIM}"
    # PyTorch before 1.6 wrote this number as the first pickle.
    if b"torch" in start or b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19" in start:
        return f"a PyTorch file (.pt): load it in PyTorch, and {_AS_TEXT}"
    return f"a pickle of Python objects, which is not loaded: {_AS_TEXT}"
