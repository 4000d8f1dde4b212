"""The grammar of names, versions, aliases, digests and references."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from spikewatch.registry import BadReference, Reference, RegistryError
from spikewatch.registry.references import (
    check_alias,
    check_digest,
    check_model,
    check_version,
    is_version,
    version_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable

DIGEST = "sha256:" + "0123456789abcdef" * 4

MODELS = ["trec", "t", "9", "a.b_c-d", "team-1.model_2", "a" * 64]
BAD_MODELS = [
    "", "Trec", "tréc", "a b", "a..b", "a__b", "a--b", "-a", "a-", ".a", "a/b", "..", "a\n",
    "a:b", "a@b", "a\x00", "a" * 65, "\N{ARABIC-INDIC DIGIT ONE}",
]  # fmt: skip
VERSIONS = [
    "0.0.0", "1.0.0", "10.20.30", "1.0.0-rc.1", "1.0.0-alpha", "1.0.0-0", "1.0.0-x.7.z.92",
    "1.0.0-x--y", "1.0.0-0a", "1.2.3-" + "a" * 122,
]  # fmt: skip
BAD_VERSIONS = [
    "", "1", "1.0", "1.0.0.0", "v1.0.0", "01.0.0", "1.00.0", "1.0.0-", "1.0.0-01", "1.0.0-a..b",
    "1.0.0+build", "1.0.0-rc.1+b", "1.0.0 ", "1.0.0\n", " 1.0.0", "1.0.0-a_b", "1.0.0-é",
    "1.0.0-x---y", "1.0.0-x-", "1.0.0-x-.y", "1.2.3-" + "a" * 123,
    "\N{ARABIC-INDIC DIGIT ONE}.0.0",
]  # fmt: skip
ALIASES = ["production", "p", "stage-2", "latest", "a" * 64, "vault", "canary-eu-1"]
BAD_ALIASES = [
    "", "Production", "2nd", "v1", "v1-0", "v2beta", "sha256-" + "a" * 8, "a--b", "-a", "a-",
    "a_b", "a.b", "a b", "a/b", "a\n", "prod\x00", "é", "a" * 65,
]  # fmt: skip
BAD_DIGESTS = [
    "", "sha256:", "sha256:abc", DIGEST.upper(), DIGEST + "0", DIGEST[:-1], DIGEST + "\n",
    "md5:" + "0" * 32, "sha512:" + "0" * 128, "sha256:" + "g" * 64, "0" * 64,
    "sha256:../../../../etc/passwd",
]  # fmt: skip


@pytest.mark.parametrize(
    ("check", "good"),
    [
        *((check_model, text) for text in MODELS),
        *((check_version, text) for text in VERSIONS),
        *((check_alias, text) for text in ALIASES),
        (check_digest, DIGEST),
    ],
)
def test_a_valid_name_is_returned_unchanged(check: Callable[[str], str], good: str) -> None:
    assert check(good) == good


@pytest.mark.parametrize(
    ("check", "bad"),
    [
        *((check_model, text) for text in BAD_MODELS),
        *((check_version, text) for text in BAD_VERSIONS),
        *((check_alias, text) for text in BAD_ALIASES),
        *((check_digest, text) for text in BAD_DIGESTS),
    ],
)
def test_an_invalid_name_is_refused_in_one_line(check: Callable[[str], str], bad: str) -> None:
    with pytest.raises(BadReference) as caught:
        check(bad)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("text", "tag", "digest"),
    [
        ("trec:1.0.0", "1.0.0", None),
        ("trec:production", "production", None),
        (f"trec@{DIGEST}", None, DIGEST),
        (f"trec:1.0.0@{DIGEST}", "1.0.0", DIGEST),
    ],
)
def test_a_reference_is_parsed_and_printed(text: str, tag: str | None, digest: str | None) -> None:
    reference = Reference.parse(text)
    assert (reference.name, reference.tag, reference.digest) == ("trec", tag, digest)
    assert str(reference) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "trec",
            "reference 'trec': needs a version, an alias or a digest, such as model:1.0.0",
        ),
        (
            "trec:1.0.0+b",
            (
                "reference 'trec:1.0.0+b': version '1.0.0+b': '+' is not allowed, "
                "no OCI registry accepts it in a tag"
            ),
        ),
        (
            "trec@sha256:12",
            (
                "reference 'trec@sha256:12': digest 'sha256:12': must be 'sha256:' and "
                "64 lower-case hexadecimal digits"
            ),
        ),
        (
            "../x:1.0.0",
            (
                "reference '../x:1.0.0': model name '../x': must be 1 to 64 lower-case letters and "
                "digits, in parts joined by one of '.', '_', '-'"
            ),
        ),
        (
            "trec:Prod",
            (
                "reference 'trec:Prod': alias 'Prod': must be 1 to 64 lower-case letters and digits "
                "in parts joined by '-', begin with a letter, and look neither like a version (v1) "
                "nor like a digest (sha256-)"
            ),
        ),
        (
            "trec:1.0",
            (
                "reference 'trec:1.0': version '1.0': must be SemVer such as 1.2.3 or 1.2.3-rc.1, at most "
                "128 characters, no '---', no '-' before a '.' or at the end"
            ),
        ),
    ],
)
def test_a_bad_reference_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(BadReference, match=f"^{re.escape(message)}$"):
        Reference.parse(text)


@pytest.mark.parametrize(
    "text",
    ["", ":", "@", "trec:", "trec@", ":1.0.0", "trec::1.0.0", "a:b:c", "t@@", f"t@{DIGEST}@x"],
)
def test_a_reference_with_empty_or_repeated_parts_is_refused(text: str) -> None:
    with pytest.raises(BadReference):
        Reference.parse(text)


def test_versions_sort_by_semver() -> None:
    # The example of https://semver.org, section 11, and numbers that sort wrongly as text.
    ordered = [
        "0.9.9", "1.0.0-1", "1.0.0-2", "1.0.0-11", "1.0.0-alpha", "1.0.0-alpha.1",
        "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0",
        "1.0.1-a", "1.0.1", "1.2.0", "1.10.0", "2.0.0",
    ]  # fmt: skip
    mixed = ordered.copy()
    random.Random(1).shuffle(mixed)
    assert sorted(mixed, key=version_key) == ordered


def test_an_alias_has_no_version_key() -> None:
    with pytest.raises(BadReference, match="not SemVer"):
        version_key("production")


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except RegistryError:
        return
    assert str(reference) == text


@given(st.from_regex(r"[a-z0-9.:@+_-]{0,30}", fullmatch=True))
def test_any_text_like_a_reference_is_parsed_or_refused(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except RegistryError:
        return
    assert str(reference) == text


@given(
    st.tuples(*[st.integers(0, 10**6)] * 3),
    st.lists(st.from_regex(r"0|[1-9][0-9]{0,3}|[a-z][a-z0-9]{0,5}", fullmatch=True), max_size=4),
)
def test_every_plain_semver_is_a_version(core: tuple[int, int, int], pre: list[str]) -> None:
    version = ".".join(map(str, core)) + ("-" + ".".join(pre) if pre else "")
    assert is_version(version)
    assert Reference.parse(f"trec:{version}").tag == version


@given(st.from_regex(r"1\.0\.0-[0-9a-z.-]{1,12}", fullmatch=True))
def test_every_version_is_a_tag_and_a_layout_reference_to_other_tools(version: str) -> None:
    """Check versions against OCI's grammar of tags and skopeo's grammar of references in a layout."""
    tag = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
    layout = re.compile(r"[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*")
    assume(is_version(version))
    assert tag.fullmatch(version)
    assert layout.fullmatch(version)


def test_a_reference_must_be_a_str() -> None:
    with pytest.raises(
        BadReference, match=r"^reference 7: expected a str, such as 'model:1\.0\.0'$"
    ):
        Reference.parse(7)  # type: ignore[arg-type]
