"""Files that hold no questions as text, whatever their names say."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile

import pytest
from file_support import refusal, texts

PDF = b"%PDF-1.4\n1 0 obj\n<</Type /Catalog>>\nendobj\n%%EOF\n"


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("q.txt")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"Who?\n"))
    return file.getvalue()


def document(*members: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for member in members:
            archive.writestr(member, "<x/>")
    return file.getvalue()


FOREIGN = {
    "a PDF document": PDF,
    "a rich text document": rb"{\rtf1\ansi Who wrote it?\par}",
    "a page of HTML": b"\n<!DOCTYPE html>\n<html><body>404</body></html>\n",
    "XML": b'\xef\xbb\xbf<?xml version="1.0"?>\n<q>Who?</q>\n',
    "a document of old Office": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 99,
    "Parquet": b"PAR1\x15\x04\x15",
    "Arrow": b"ARROW1\0\0",
    "a SQLite database": b"SQLite format 3\0\x10\0",
    "HDF5": b"\x89HDF\r\n\x1a\n",
    "a picture": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "an archive": tar(),
    "a program": b"\x7fELF\x02\x01\x01",
}


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("name", ["q.txt", "q.csv", "q.tsv", "q.json", "q.jsonl", "q.label"])
def test_a_file_of_another_format_is_refused_by_its_content(what: str, name: str) -> None:
    for found in (
        refusal(name, FOREIGN[what]),
        refusal(f"{name}.gz", gzip.compress(FOREIGN[what])),
    ):
        assert found[0] == "other_format"
        assert found[1].startswith(f"it is {what}, whatever its name says: ")


@pytest.mark.parametrize(
    "members",
    [
        ["[Content_Types].xml", "word/document.xml"],
        ["docProps/app.xml", "xl/workbook.xml"],
        ["mimetype", "content.xml"],
    ],
)
@pytest.mark.parametrize("name", ["q.txt", "q.csv", "q.zip"])
def test_a_document_of_an_office_program_is_no_archive_to_unpack(
    members: list[str], name: str
) -> None:
    code, message = refusal(name, document(*members))
    assert code == "other_format"
    assert message == (
        f"it is a document (a zip that begins with {members[0]}), whatever its name says: save a sheet as CSV, other"
        " text as plain text (.txt)"
    )


@pytest.mark.parametrize(
    "text", ["<html> is what?", "%PDF is what?", "PAR1 and PAR2?", "GIF89 or PNG?", "XML?", "7z?"]
)
def test_texts_about_formats_are_texts(text: str) -> None:
    assert texts("q.txt", f"{text}\n") == [(1, text)]


@pytest.mark.parametrize("packing", [".bz2", ".xz", ".zip"])
def test_a_text_with_the_suffix_of_a_compression_is_refused_with_both_ways(packing: str) -> None:
    assert refusal(f"q.txt{packing}", b"Who?\n") == (
        "bad_compression",
        f"it does not begin as a {packing} file: pack it again, or put it here unpacked, without {packing} in its name",
    )
