from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from spikewatch.convert.errors import DataError
from spikewatch.convert.words.vectors import read_vectors

GOOD = b"3 2\ncat 0.5 -1\ndog 1e-3 2\nhound 0.5 -1\n"
SHARED = Path(__file__).parents[4] / "shared" / "vectors" / "en_core_web_md.vec.gz"


def written(folder: Path, content: bytes, name: str = "v.vec") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


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
            (b"", ":1: header '' is not 'words dimensions'"),
            (b"cat 0.5 -1\n", ":1: header 'cat 0.5 -1' is not 'words dimensions'"),
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

    def test_refuses_a_file_that_is_absent(self, tmp_path: Path) -> None:
        with pytest.raises(DataError) as caught:
            read_vectors(tmp_path / "v.vec")

        assert str(caught.value) == f"{tmp_path / 'v.vec'}: No such file or directory"

    @pytest.mark.skipif(not SHARED.exists(), reason=f"{SHARED} is absent")
    def test_reads_the_vectors_of_the_bundled_model(self) -> None:
        vectors = read_vectors(SHARED)

        assert len(vectors.words) == 80_717
        assert vectors.matrix.shape == (5897, 300)
        row = dict(zip(vectors.words, vectors.rows.tolist(), strict=True))
        # This is why training gives frequent words their own corrections:
        assert row["what"] == row["when"] == row["where"] == row["how"]
