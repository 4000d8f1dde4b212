"""The command `publish`: it publishes the files of a folder, or refuses in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from registry_support import CREATED, Run, model_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spikewatch.registry import Registry


def test_publish_publishes_the_files_of_a_folder(
    run: Run, registry: Registry, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    (folder / "docs").mkdir(parents=True)
    files = model_files() | {"docs/notes.md": b"# notes"}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    config = tmp_path / "config.json"
    config.write_text('{"architecture": "elman"}')
    arguments = ("publish", "trec", "1.0.0", str(folder), "--alias", "production")
    arguments += ("--created", "2026-01-01T00:00:00Z", "--config", str(config), "--as", "ci")

    found = run(*arguments, "--reason", "first")

    model = registry.load("trec:production")
    assert found == (0, f"published {model.pin}\n", "")
    assert model.files == files
    assert model.config["architecture"] == "elman"
    assert model.pin == registry.publish(
        "trec", "1.0.0", files, created=CREATED, config={"architecture": "elman"}
    )
    assert run(*arguments, "--json").code == 0  # the same bytes again
    assert [change.actor for change in registry.history("trec")] == ["ci", "ci"]
    (folder / "labels.json").write_bytes(b"[]")
    assert run(*arguments).code == 2
    assert registry.load("trec:1.0.0").files == files


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "model: no such folder"),
        (lambda folder: folder.mkdir(), "model: contains no files"),
        (lambda folder: folder.touch(), "model: no such folder"),
        (lambda folder: folder.mkdir() or (folder / "a.json").symlink_to("/x"), "symbolic link"),
        (lambda folder: folder.mkdir() or (folder / "a.pkl").touch(), "'a.pkl'"),
    ],
)
def test_publish_refuses_a_bad_folder_in_one_line(
    run: Run, registry: Registry, tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    make(tmp_path / "model")

    found = run("publish", "trec", "1.0.0", str(tmp_path / "model"))

    assert (found.code, found.out, found.err.count("\n")) == (2, "", 1)
    assert message in found.err
    assert registry.models() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--created", "0001-01-01T00:00:00+14:00"), "is outside the years 1 to 9999"),
        (("--created", "9999-12-31T23:59:59-14:00"), "is outside the years 1 to 9999"),
    ],
)
def test_publish_refuses_a_time_beyond_the_calendar(
    run: Run, registry: Registry, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "labels.json").write_bytes(b"[]")

    found = run("publish", "trec", "1.0.0", str(tmp_path), *arguments)

    assert (found.code, found.out, found.err.count("\n")) == (2, "", 1)
    assert message in found.err
    assert registry.models() == []


def test_a_folder_whose_name_is_too_long_is_one_line(run: Run, registry: Registry) -> None:
    found = run("publish", "trec", "1.0.0", 300 * "a")

    assert (found.code, found.err.count("\n")) == (2, 1)
    assert "File name too long" in found.err
    assert registry.models() == []


def test_publish_refuses_a_config_that_is_not_an_object(
    run: Run, registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "labels.json").write_bytes(b"[]")
    config = tmp_path / "config.json"
    config.write_text("5")

    found = run("publish", "trec", "1.0.0", str(tmp_path / "model"), "--config", str(config))

    assert found == (
        2,
        "",
        f"spikewatch-registry: {config}: is 5, not a JSON object\n",
    )
    assert registry.models() == []
