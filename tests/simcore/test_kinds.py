"""Files that are no network: `spikewatch-sim` says what they are."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import shutil
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import safetensors.numpy
from images import neuron
from sim_support import tiny_lookup
from support import tiny_model_files, tiny_tokenizer

from spikewatch.simcore.exchange.ranc_export import write_ranc

if TYPE_CHECKING:
    from pathlib import Path

    from sim_support import Program

NOT_READ = "not a network of a format that is read (.safetensors, RANC or IBM .json)"


def archive(**members: bytes) -> bytes:
    """Make a zip archive; __ in a name is a /."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        for name, data in members.items():
            zipped.writestr(name.replace("__", "/"), data)
    return file.getvalue()


def tar(*names: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as packed:
        for name in names:
            packed.addfile(tarfile.TarInfo(name))
    return file.getvalue()


def saved(*arrays: str) -> bytes:
    file = io.BytesIO()
    np.savez(file, **{name: np.zeros(2) for name in arrays})
    return file.getvalue()


def as_json(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


WEIGHTS = safetensors.numpy.save({f"rnn.{i}": np.zeros(2, np.float32) for i in range(4)})
HDF5 = b"\x89HDF\r\n\x1a\n\0\0\0\0"

FILES: dict[str, tuple[bytes, str]] = {
    "graph.nir": (HDF5 + b"HEAP nodes edges", "a NIR graph (HDF5), ~; NIR is written, not read"),
    "table.h5": (HDF5 + b"table", "an HDF5 file, ~; NIR is written, not read"),
    "net.h5": (HDF5 + b"keras_version", "Keras weights (HDF5), ~; export the network to ONNX for"),
    "net.keras": (
        archive(**{"config.json": b"{}", "model.weights.h5": HDF5}),
        "a Keras model, ~; export it to ONNX for spikewatch-convert",
    ),
    "net.onnx": (
        b"\x08\x0a\x12\x07pytorch:\x80\x01",
        "an ONNX model, ~; `spikewatch-convert publish` puts it on a core",
    ),
    "saved_model.pb": (
        b"\x08\x01\x12\x80\x01\x0a",
        "a TensorFlow model (SavedModel), ~; export it",
    ),
    "camera.aedat4": (b"#!AER-DAT4.0\r\n\xb4\x02", "events of a camera (AEDAT), ~"),
    "camera.raw": (b"% evt 3.0\n% end\n\x06\x00", "events of a camera (EVT), ~"),
    "net.pt": (
        archive(**{"net__data.pkl": b"", "net__data__0": b""}),
        "a PyTorch file, ~; export the network by torch.onnx for spikewatch-convert",
    ),
    "old.pth": (
        pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2) + b"\x80\x02M\xe9\x03.",
        "PyTorch weights (a pickle, which is never opened), ~",
    ),
    "any.pkl": (
        pickle.dumps({"a": 1}),
        "a Python pickle, which is never opened because it can run code, ~",
    ),
    "a.npz": (saved("w"), "NumPy arrays (.npz), ~"),
    "a.npy": (b"\x93NUMPY\x01\0v\0", "a NumPy array, ~"),
    "a.zip": (archive(readme=b"x"), "a zip archive, ~"),
    "a.tar": (tar("a.txt"), "a tar archive, ~"),
    "model.tar": (
        tar("oci-layout", "index.json"),
        "an OCI archive, ~; `spikewatch-registry import`",
    ),
    "a.tar.gz": (gzip.compress(tar("a.txt")), "compressed by gzip, inside a tar archive, ~"),
    "damaged.json.gz": (b"\x1f\x8b\x08\0\xff\xff", "compressed by gzip, inside an empty file, ~"),
    "net.json.zst": (b"(\xb5/\xfd\x04\0", "compressed by zstd, ~; unpack it first (zstd -d)"),
    "weights.safetensors": (
        WEIGHTS,
        "weights of another program (safetensors, 4 tensors, first 'rnn.0'), ~",
    ),
    "tokenizer.json": (
        tiny_tokenizer(),
        "a tokenizer (JSON of the tokenizers library), ~",
    ),
    "tokenizer_config.json": (
        as_json(tokenizer_class="BertTokenizer"),
        "the settings of a tokenizer (JSON of transformers), ~",
    ),
    "config.json": (
        as_json(model_type="bert"),
        "the configuration of a model (JSON of transformers), ~",
    ),
    "ranc.json": (
        as_json(num_axons=4, num_cores_x=1),
        'the config of a RANC network (JSON), ~; put both into one file, {"config": ..., "netw',
    ),
    "package.json": (as_json(name="a", version="1", scripts={}), "a package (JSON of npm), ~"),
    "labels.json": (b'["LOC", "NUM"]', "a JSON list, ~"),
    "empty.json": (b"{}", "a JSON object without fields, ~"),
    "other.json": (
        as_json(**{"a: b": {"network": 1}, "b": "}", "c": 1, "d": 2, "e": 3}),
        "a JSON object with the fields a: b, b, c, d, ..., ~",
    ),
    "in.sfti": (
        b'{"spike":{"srcTime":0,"destCore":0,"destAxon":0}}\n',
        "spikes (JSON of IBM's tools), ~; give them as --spikes",
    ),
    "in.txt": (b"# tick line\n0 1\n5 0\n", "spikes as text, ~; give them as --spikes"),
    "page.json": (b"<!DOCTYPE html><html>", "a web page (HTML), ~; perhaps the download failed"),
    "lfs.safetensors": (
        b"version https://git-lfs.github.com/spec/v1\n",
        "a Git LFS pointer, ~; get the file itself by `git lfs pull`",
    ),
    "pyproject.toml": (b'[project]\nname = "x"\n', "text, ~"),
    "README.md": ("# Größe\n".encode(), "text, ~"),
    "wide.txt": ("0 1\n".encode("utf-16"), "text in UTF-16, ~"),
    "blank.json": (b" \n", "a file of blanks, ~"),
    "nothing.safetensors": (b"", "an empty file, ~"),
    "noise.bin": (b"\0\x01\xff" * 9, "a file of unknown content, ~"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_network_is_named(program: Program, tmp_path: Path, name: str) -> None:
    data, what = FILES[name]
    (tmp_path / name).write_bytes(data)
    for command in ("inspect", "run"):
        code, _, printed = program(command, tmp_path / name)
        (line,) = printed.splitlines()
        assert code == 2
        assert line.startswith(f"spikewatch-sim: {tmp_path / name}: {what.replace('~', NOT_READ)}")


def test_parts_of_a_published_model_say_where_its_network_is(
    program: Program, tmp_path: Path
) -> None:
    for name, data in tiny_model_files().items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "lookup.safetensors").write_bytes(tiny_lookup().to_bytes())
    for name, what in (
        ("encoder.safetensors", "the word codes (encoder) of a published model"),
        ("lookup.safetensors", "the compiled tokenizer (lookup) of a published model"),
    ):
        assert program("inspect", tmp_path / name)[2] == (
            f"spikewatch-sim: {tmp_path / name}: {what}, {NOT_READ}; its network is core.safetensors\n"
        )
    assert program("inspect", tmp_path)[2] == (
        f"spikewatch-sim: {tmp_path}: a folder; its core image is {tmp_path / 'core.safetensors'}\n"
    )


def test_a_folder_of_a_registry_says_how_to_name_a_model(program: Program, tmp_path: Path) -> None:
    model = tmp_path / "root" / "trec"
    model.mkdir(parents=True)
    assert program("inspect", model)[2] == f"spikewatch-sim: {model}: a folder, {NOT_READ}\n"
    (model / "oci-layout").write_text("{}")
    assert program("inspect", model)[2] == (
        f"spikewatch-sim: {model}: a model in a registry; name it trec:VERSION,"
        f" with --registry {model.parent}\n"
    )
    assert program("inspect", model.parent)[2] == (
        f"spikewatch-sim: {model.parent}: a registry; name a model in it, as NAME:VERSION"
        f" with --registry {model.parent}\n"
    )


def test_a_network_is_read_whatever_its_name(
    program: Program, counter: Path, ranc: Path, tmp_path: Path
) -> None:
    """Names may lie, and people give files the names that they like."""
    for path, name in ((counter, "counter.json"), (ranc, "counter.nfg")):
        shutil.copy(path, tmp_path / f"copy-{name}")
        code, shown, _ = program("inspect", tmp_path / f"copy-{name}", "--json")
        assert code == 0
        assert json.loads(shown)["format"] == ("image" if path == counter else "ranc")
    write_ranc(neuron(), np.zeros((1, 4)), tmp_path / "zipped.json.gz")
    shutil.move(tmp_path / "zipped.json.gz", tmp_path / "zipped.json")
    assert program("inspect", tmp_path / "zipped.json")[0] == 0


def test_spikes_that_are_none_are_named(program: Program, counter: Path, tmp_path: Path) -> None:
    for name, data in (("in.txt", "a NumPy array"), ("in.sfti", "a NumPy array")):
        np.save(tmp_path / "x.npy", np.zeros(3))
        shutil.copy(tmp_path / "x.npy", tmp_path / name)
        code, _, line = program("run", counter, "--spikes", tmp_path / name)
        assert (code, line) == (
            2,
            f"spikewatch-sim: {tmp_path / name}: {data}, not spikes (.sfti, .txt)\n",
        )
