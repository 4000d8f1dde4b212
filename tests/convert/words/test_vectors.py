from __future__ import annotations

import bz2
import gzip
import lzma
import pickle
import zipfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import safetensors.numpy

from spikewatch.convert.errors import ConvertError, DataError
from spikewatch.convert.words.vectors import read_vectors

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

GOOD = b"3 2\ncat 0.5 -1\ndog 1e-3 2\nhound 0.5 -1\n"
SHARED = Path(__file__).parents[4] / "shared" / "vectors" / "en_core_web_md.vec.gz"
CASES = Path(__file__).parents[4] / "shared" / "cases" / "vectors-as-people-have-them"

EXPECTED = (
    "'words dimensions' nor a word and its numbers; expected word vectors as text (word2vec, fastText .vec, GloVe) or"
    " in word2vec's binary form"
)


def written(folder: Path, content: bytes, name: str = "v.vec") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


NUMBERS = np.float32([[0.5, -1.25], [1e-3, 2.7], [0.5, -1.25]])


def binary(
    line_feed: bytes = b"",
    *,
    words: tuple[str, ...] = ("cat", "köter", "hound"),
    numbers: NDArray[np.float32] = NUMBERS,
) -> bytes:
    """Return a file as word2vec (with a line feed behind each vector) or gensim writes it."""
    rows = (
        word.encode() + b" " + row.astype("<f4").tobytes() + line_feed
        for word, row in zip(words, numbers, strict=True)
    )
    return b"%d %d\n" % numbers.shape + b"".join(rows)


def array(values: NDArray[np.floating[Any]]) -> bytes:
    file = BytesIO()
    np.save(file, values)
    return file.getvalue()


def archive(*members: str | bytes) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in zip(members[::2], members[1::2], strict=True):
            packed.writestr(str(name), content)
    return file.getvalue()


class Opens:
    """Creates a file when its pickle is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


class TestReadVectors:
    def test_gives_words_that_share_a_vector_one_row(self, tmp_path: Path) -> None:
        vectors = read_vectors(written(tmp_path, GOOD))

        assert vectors.words == ("cat", "dog", "hound")
        assert vectors.rows.tolist() == [0, 1, 0]
        assert vectors.matrix.dtype == np.float32
        np.testing.assert_array_equal(vectors.matrix, np.float32([[0.5, -1], [1e-3, 2]]))

    def test_reads_gzip_alike(self, tmp_path: Path) -> None:
        plain = read_vectors(written(tmp_path, GOOD))
        packed = read_vectors(written(tmp_path, gzip.compress(GOOD), "v.vec.gz"))

        assert packed.words == plain.words
        np.testing.assert_array_equal(packed.matrix, plain.matrix)

    def test_reads_bzip2_xz_and_a_zip_of_one_file_alike(self, tmp_path: Path) -> None:
        packed = {
            "v.vec.bz2": bz2.compress(GOOD),
            "v.vec.xz": lzma.compress(GOOD),
            "v.zip": archive("glove.vec", GOOD),
        }

        for name, content in packed.items():
            assert read_vectors(written(tmp_path, content, name)).words == ("cat", "dog", "hound")

    def test_reads_gloves_text_without_a_header(self, tmp_path: Path) -> None:
        vectors = read_vectors(written(tmp_path, b"the 0.5 -1\n, 1 2\n", "glove.txt"))

        assert vectors.words == ("the", ",")
        assert vectors.matrix.tolist() == [[0.5, -1], [1, 2]]

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"cat\t0.5\t-1\ndog\t1\t2\n", ("cat", "dog")),
            (b"2\t2\ncat\t0.5\t-1\n \t1\t2\n", ("cat", " ")),
            (b"2 2\n\t\t0.5\t-1\ndog\t1\t2\n", ("\t", "dog")),
            (b"cat\t0.5 -1\ndog\t1 2\n", ("cat", "dog")),
            (b"2 2\r\ncat 0.5 -1\r\ndog 1 2\r\n", ("cat", "dog")),
            (b"\xef\xbb\xbf2 2\ncat 0.5 -1\ndog 1 2\n", ("cat", "dog")),
            (b"a 0.5 -1\n  1 2\n", ("a", " ")),
            (b"2 2\n  0.5 -1\na 1 2\n", (" ", "a")),
            (b"2 2\n\t 0.5 -1\na 1 2\n", ("\t", "a")),
            (b"2 2\n 0.5 -1\na 1 2\n", ("", "a")),
            (b"2 2\nthe 0.5 -1\n the 1 2\n", ("the", " the")),
            (b"the 0.5 -1\nthe  1 2\n", ("the", "the ")),
            (b"a 0.5 -1\n. . . 1 2\n", ("a", ". . .")),
            (b"a 0.5 -1\nat name@domain.com 1 2\n", ("a", "at name@domain.com")),
            (b"5 0.5 -1\n3.14 1 2\n", ("5", "3.14")),
            (b"cat    0.5 -1\nhound  1 2\n", ("cat", "hound")),
            (b"  cat  0.5  -1\nhound  1.0   2\n", ("cat", "hound")),
            (b"a   0.5  -1\n    1.0   2\n", ("a", " ")),
        ],
    )
    def test_takes_the_last_fields_for_the_numbers_and_the_rest_for_the_word(
        self, tmp_path: Path, content: bytes, words: tuple[str, ...]
    ) -> None:
        vectors = read_vectors(written(tmp_path, content))

        assert vectors.words == words
        assert vectors.matrix[vectors.rows].tolist() == [[0.5, -1], [1, 2]]

    def test_takes_fasttexts_trailing_space_and_a_missing_last_line_end(
        self, tmp_path: Path
    ) -> None:
        vectors = read_vectors(written(tmp_path, b"2 2\ncat 0.5 -1 \ndog 1 2 "))

        assert vectors.matrix.tolist() == [[0.5, -1], [1, 2]]

    def test_keeps_the_first_of_a_repeated_word(self, tmp_path: Path) -> None:
        vectors = read_vectors(written(tmp_path, b"2 1\ncat 1\ncat 2\n"))

        assert vectors.words == ("cat",)
        assert vectors.matrix[vectors.rows].tolist() == [[1.0]]

    def test_accepts_a_word_that_is_not_utf8(self, tmp_path: Path) -> None:
        vectors = read_vectors(written(tmp_path, b"2 1\nc\xff 1\ndog 2\n"))

        assert vectors.words == ("c\ufffd", "dog")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", f":1: '' is neither the header {EXPECTED}"),
            (b"\n\n", f":1: '' is neither the header {EXPECTED}"),
            (b"Who wrote Hamlet?\n", f":1: 'Who wrote Hamlet?' is neither the header {EXPECTED}"),
            (b"word,0.5,-1\n", f":1: 'word,0.5,-1' is neither the header {EXPECTED}"),
            (b"cat 0.5 -1\ndog 1\nhound 0.5 -1\n", ":2: 1 numbers, expected 2"),
            (b"cat 0.5 -1\ndog 1 2 3\nhound 0.5 -1\n", ":2: 3 numbers, expected 2"),
            (b"cat 0.5 -1\n\ndog 1 2\n", ":2: empty, expected a word and 2 numbers"),
            (b"cat 0.5 -1\ndog 1 1e39\n", ":2: '1e39' is not a finite number"),
            (b"cat 0.5 -1\ndog 1_0 2\n", ":2: '1_0' is not a finite number"),
            (b"cat\t0.5\t-1\ndog\t1\n", ":2: 1 numbers, expected 2"),
            (b"0 2\n", ":1: the header says 0 words of 2 dimensions, expected at least 1 of each"),
            (b"2 2\ncat 0.5 -1\n", ": 1 vectors, but the header says 2"),
            (b"1 2\ncat 0.5 -1\ndog 1 2\n", ": 2 vectors, but the header says 1"),
            (b"2 2\ncat 0.5 -1\ndog 1\n", ":3: 1 numbers, expected 2"),
            (b"2 2\ncat 0.5 -1 3\ndog 1 2\n", ":2: 3 numbers, expected 2"),
            (b"2 2\ncat 0.5 -1\ndog 1 x\n", ":3: 'x' is not a finite number"),
            (b"2 2\ncat 0.5 nan\ndog 1 2\n", ":2: 'nan' is not a finite number"),
            (b"2 2\ncat 0.5 -1\ndog 1 1e999\n", ":3: '1e999' is not a finite number"),
            (b"2 2\ncat 0.5 -1\n\xff\xff 1 \xff\n", r":3: '�' is not a finite number"),
        ],
    )
    def test_names_the_malformed_line(self, tmp_path: Path, content: bytes, message: str) -> None:
        path = written(tmp_path, content)

        with pytest.raises(DataError) as caught:
            read_vectors(path)

        assert str(caught.value) == f"{path}{message}"

    def test_refuses_gzip_cut_anywhere(self, tmp_path: Path) -> None:
        whole = gzip.compress(GOOD)
        for end in range(len(whole)):
            path = written(tmp_path, whole[:end], "v.vec.gz")
            with pytest.raises(DataError, match=r"v\.vec\.gz"):
                read_vectors(path)

    def test_refuses_text_cut_anywhere_but_inside_its_last_number(self, tmp_path: Path) -> None:
        for end in range(len(GOOD.rstrip()) - 1):
            with pytest.raises(DataError):
                read_vectors(written(tmp_path, GOOD[:end]))

    def test_reads_nothing_but_the_beginning_of_a_file_of_holes(self, tmp_path: Path) -> None:
        path = tmp_path / "vectors.txt"
        with path.open("wb") as file:
            file.truncate(2**42)
        with pytest.raises(DataError, match=rf"^{path}: binary data of another form; "):
            read_vectors(path)

    def test_refuses_more_than_any_table_of_vectors_has(self, tmp_path: Path) -> None:
        path = tmp_path / "vectors.txt"
        with path.open("wb") as file:
            file.write(b"a 1 2\n" * 200_000)
            file.truncate(2**42)
        with pytest.raises(ConvertError, match=rf"^{path}: {2**42} bytes, limit {2**33}$"):
            read_vectors(path)

    def test_refuses_a_file_that_is_absent(self, tmp_path: Path) -> None:
        with pytest.raises(DataError) as caught:
            read_vectors(tmp_path / "v.vec")

        assert str(caught.value) == f"{tmp_path / 'v.vec'}: No such file or directory"

    @pytest.mark.parametrize("line_feed", [b"", b"\n"], ids=["gensim", "word2vec"])
    @pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
    def test_reads_word2vecs_binary_form(
        self, tmp_path: Path, line_feed: bytes, pack: Callable[[bytes], bytes]
    ) -> None:
        vectors = read_vectors(written(tmp_path, pack(binary(line_feed)), "v.bin"))

        assert vectors.words == ("cat", "köter", "hound")
        np.testing.assert_array_equal(vectors.matrix[vectors.rows], NUMBERS)
        assert vectors.rows.tolist() == [0, 1, 0]

    def test_refuses_the_binary_form_cut_anywhere(self, tmp_path: Path) -> None:
        whole = binary()
        for end in range(len(whole)):
            with pytest.raises(DataError, match=r"v\.bin"):
                read_vectors(written(tmp_path, whole[:end], "v.bin"))

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (binary()[:-1], ": ends in vector 3, but the header says 3"),
            (binary() + b"xyz", ": 3 bytes after the 3 vectors of its header"),
            (
                binary(numbers=np.float32([[1, 2], [1, np.nan], [1, 2]])),
                ": the vector of 'köter' has a number that is not finite",
            ),
            (
                binary(words=("a", "b", "a"), numbers=np.float32([[1, 2], [3, 4], [1, np.inf]])),
                ": the vector of a repeated word has a number that is not finite",
            ),
            (
                binary(words=("cat", "", "hound")),
                ": vector 2 has no word, or one with a space, which word2vec's binary form cannot hold: write the file"
                " as text",
            ),
            (
                binary(words=("New York", "cat", "hound")),
                ": vector 2 has no word, or one with a space, which word2vec's binary form cannot hold: write the file"
                " as text",
            ),
        ],
    )
    def test_names_what_is_wrong_in_the_binary_form(
        self, tmp_path: Path, content: bytes, message: str
    ) -> None:
        path = written(tmp_path, content, "v.bin")

        with pytest.raises(DataError) as caught:
            read_vectors(path)

        assert str(caught.value) == f"{path}{message}"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (array(np.zeros((3, 2), np.float32)), "a NumPy array (.npy), which has no words: "),
            (archive("arr_0.npy", array(np.zeros(3))), "an archive of NumPy arrays (.npz): "),
            (archive("m/data.pkl", b""), "a PyTorch file (.pt): load it in PyTorch, and "),
            (
                b"\xba\x16\x4f\x2f\x0c\0\0\0\x64",
                "a fastText model (.bin, .ftz): use the .vec file ",
            ),
            (pickle.dumps({"cat": [0.5, -1]}), "a pickle of Python objects, which is not loaded: "),
            (
                b"\x80\x04\x95\xb0\0\0\0\0\0\0\0\x8c\x1agensim.models.keyedvectors\x94\x8c\x0cKeyedVectors\x94\x93",
                "a file of gensim (.kv or .model): load it in gensim, and ",
            ),
            (
                safetensors.numpy.save({"a": np.zeros((3, 2), np.float32)}),
                "a safetensors file, which has no words: ",
            ),
            (b'{"cat": [0.5, -1]}\n', "JSON: write each word and its numbers"),
            (b"\x89HDF\r\n\x1a\n\0\0", "an HDF5 file: "),
            ("2 2\ncat 1 2\n".encode("utf-16"), "UTF-16 text: write it as UTF-8"),
            (np.arange(6, dtype="<f8").tobytes(), "binary data of another form; expected "),
            (gzip.compress(array(np.zeros(3))), "a NumPy array (.npy), which has no words: "),
            (
                archive("a.txt", GOOD, "b.txt", GOOD),
                "it holds a.txt and b.txt: unpack it",
            ),
        ],
    )
    def test_says_what_a_file_is_that_holds_vectors_in_another_form(
        self, tmp_path: Path, content: bytes, message: str
    ) -> None:
        path = written(tmp_path, content, "vectors.dat")

        with pytest.raises(DataError) as caught:
            read_vectors(path)

        assert str(caught.value).startswith(f"{path}: {message}")
        assert "\n" not in str(caught.value)

    def test_loads_no_pickle(self, tmp_path: Path) -> None:
        mark = tmp_path / "mark"

        with pytest.raises(DataError, match="a pickle of Python objects"):
            read_vectors(written(tmp_path, pickle.dumps(Opens(mark)), "v.kv"))

        assert not mark.exists()

    @pytest.mark.skipif(not CASES.exists(), reason=f"{CASES} is absent")
    @pytest.mark.parametrize(
        ("name", "words", "dimensions"),
        [("glove8.txt", 41, 8), ("w8_tab.vec", 41, 8), ("char.vec", 57, 57)],
    )
    def test_reads_tables_as_people_have_them(self, name: str, words: int, dimensions: int) -> None:
        vectors = read_vectors(CASES / name)

        assert len(vectors.words) == words
        assert vectors.matrix.shape[1] == dimensions
        assert (name == "char.vec") == (" " in vectors.words)

    @pytest.mark.skipif(not SHARED.exists(), reason=f"{SHARED} is absent")
    def test_reads_the_vectors_of_the_bundled_model(self) -> None:
        vectors = read_vectors(SHARED)

        assert len(vectors.words) == 80_717
        assert vectors.matrix.shape == (5897, 300)
        row = dict(zip(vectors.words, vectors.rows.tolist(), strict=True))
        # This is why training gives frequent words their own corrections:
        assert row["what"] == row["when"] == row["where"] == row["how"]
