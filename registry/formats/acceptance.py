"""Check that manifests from other sources are such as `publish`, `attach` or `sign` could have made.

`import` and `pull` make these checks before they write anything. Sizes and digests are checked where bytes are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import BadInput, BadReference, Corrupt
from ..references import check_version
from .attachments import parse_attachment
from .dsse import read_envelope
from .file_checks import check_file
from .json_documents import canonical, parse_json
from .manifest import check_kind, parse_config, parse_manifest

if TYPE_CHECKING:
    from collections.abc import Callable

    from .attachments import Attachment
    from .json_documents import Descriptor
    from .manifest import Manifest

__all__ = ["accept_attachment", "accept_content", "accept_files", "accept_manifest"]


def accept_manifest(data: bytes, *, what: str) -> tuple[str, Manifest]:
    """Parse and check the manifest of a version; return the version and the manifest.

    Parameters
    ----------
    data
        The manifest's bytes.
    what
        Where they come from, for the error's text.

    Raises
    ------
    Corrupt
        `publish` could not have made this manifest.

    """
    manifest = parse_manifest(data, what=f"{what}: manifest")
    if not manifest.layers:
        raise Corrupt(f"{what}: has no files")
    _check_canonical(manifest, what)
    try:
        for layer in manifest.layers:
            check_kind(layer.path, layer.media_type)
        return check_version(manifest.version or ""), manifest
    except (BadInput, BadReference) as e:
        raise Corrupt(f"{what}: {e}") from None


def _check_canonical(manifest: Manifest | Attachment, what: str) -> None:
    # In another serialisation, the same manifest would have another digest: a version could then have two.
    try:
        if canonical(manifest.document) != manifest.data:
            raise Corrupt(f"{what}: the manifest is not in canonical form")
    except BadInput as e:
        raise Corrupt(f"{what}: {e}") from None


def accept_files(
    manifest: Manifest, read: Callable[[Descriptor, str], bytes], *, what: str
) -> None:
    """Check the config and the files of a version.

    Parameters
    ----------
    manifest
        The version's manifest.
    read
        Returns a blob, whose size and digest it has checked; its second argument says what needs the blob, for the
        error's text. Called once for each file, so that no more than one need be in memory.
    what
        Where the version comes from, for the error's text.

    Raises
    ------
    Corrupt
        The config does not describe these files, or a file does not have the format that its name promises.

    """
    parse_config(read(manifest.config, what), manifest, what=f"{what}: config")
    for path, blob in manifest.files.items():
        data = read(blob, f"{what}: {path}")
        try:
            check_file(path, data)
        except Corrupt as e:
            raise Corrupt(f"{what}: {e}") from None


def accept_attachment(data: bytes, *, what: str) -> Attachment:
    """Parse and check the manifest of an attachment.

    Parameters
    ----------
    data
        The manifest's bytes.
    what
        Where they come from, for the error's text.

    Raises
    ------
    Corrupt
        `attach` or `sign` could not have made this manifest.

    """
    attachment = parse_attachment(data, what=f"{what}: manifest")
    _check_canonical(attachment, what)
    return attachment


def accept_content(attachment: Attachment, content: bytes, *, what: str) -> None:
    """Check an attached evaluation or signature.

    A signature's statement must name the version that the manifest names. The signature itself is not verified, because
    that needs a public key (see `Verifier`).

    Parameters
    ----------
    attachment
        The attachment's manifest.
    content
        Its content.
    what
        Where it comes from, for the error's text.

    Raises
    ------
    Corrupt
        The content is not an evaluation, or not a signature of this version.

    """
    if attachment.kind == "sig":
        read_envelope(content, attachment.subject.digest, what=what)
    elif not isinstance(parse_json(content, what=what), dict):
        raise Corrupt(f"{what}: the evaluation is not a JSON object")
