"""Read mutated files of every format and run those that are accepted; test_hostile_files.py starts this as a program.

It is a process of its own with a limit on its memory, so that the test notices a crash or a large allocation.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import resource
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from spikewatch.convert.lookup import compile_tokenizer
from spikewatch.simcore import (
    CoreImage,
    Encoder,
    InputError,
    SimcoreError,
    Simulator,
    blank,
    pack_lines,
)
from spikewatch.simcore.exchange.formats import open_network, run_network
from spikewatch.simcore.exchange.ibm_export import write_ibm
from spikewatch.simcore.exchange.ranc_export import write_ranc
from spikewatch.simcore.exchange.spikes import read_outputs, write_events, write_outputs, write_text
from spikewatch.simcore.program.inspection import inspect, picture
from spikewatch.simcore.text.lookup import Lookup, LookupSplitter

if TYPE_CHECKING:
    from collections.abc import Callable

SPARE_MIB = 192
"""Memory that the process may allocate from the moment when it begins to read."""

TOKENS = (
    *(b"-1", b"0", b"1", b"2", b"15", b"16", b"255", b"256", b"300", b"-256", b"65536", b"262144"),
    *(b"524288", b"-524289", b"2147483648", b"4294967296", b"99999999999999999999", b"1e9", b"0.5"),
    *(b"1e999", b"NaN", b"null", b"true", b"{}", b"[]", b"[[]]", b'""', b'"x"', b'"1x99999"'),
    *(b'"0:9999999999"', b'"0:0:9"', b"[0,0,0]", b"{" * 50, b"[" * 50, b'"', b"\\", b"\xff", b"\0"),
)
"""What mutations write in place of numbers, and anywhere else."""


def small_network() -> CoreImage:
    """Make two cores in a grid that drive each other, with input and output lines."""
    rng = np.random.default_rng(3)
    arrays: dict[str, Any] = blank(2)
    arrays["crossbar"][:, :8, 0] = rng.integers(0, 256, (2, 8), dtype=np.uint8)
    arrays["axon_type"][:, :8] = rng.integers(0, 4, (2, 8))
    arrays["weights"][:, :8] = rng.integers(-4, 9, (2, 8, 4))
    arrays["leak"][:, :8] = 1
    arrays["threshold"][:, :8] = 5
    arrays["neg_threshold"][:, :8] = 5
    arrays["target_core"][:, :6] = [[1], [0]]
    arrays["target_axon"][:, :6] = rng.integers(0, 8, (2, 6))
    arrays["target_core"][:, 6:8] = -2
    arrays["target_axon"][:, 6:8] = [0, 1]
    arrays["delay"][:, :8] = rng.integers(1, 16, (2, 8))
    arrays["inputs"] = np.array([[i, i % 2, i] for i in range(4)], dtype=np.int32)
    arrays["outputs"] = np.array([[c, j, j - 6] for c in (0, 1) for j in (6, 7)], dtype=np.int32)
    return CoreImage(**arrays, grid=np.array([[0, 0], [1, 0]], dtype=np.int32)).validate()


def looking_tokenizer() -> bytes:
    """Make a tokenizer whose lookup has every kind of step and instruction."""
    made = Tokenizer(models.WordLevel({"<unk>": 0, "who": 1, "u.s": 2}, unk_token="<unk>"))
    made.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"n\s+'t(?!\p{L})|(?<![0-9])19(?:[0-9]|[.,]){2}"), "<x>"),
        ]
    )
    made.pre_tokenizer = pre_tokenizers.Split(
        Regex(r"\p{L}(?:\.\p{L})+|\p{L}+(?=n't)|[\p{L}\p{M}]+"), "removed", invert=True
    )
    return made.to_str().encode()


def trimmed(data: bytes) -> bytes:
    """Cut the cores of a RANC document down to 8 x 8, so that mutations hit more than the crossbar."""
    document = json.loads(data)
    for core in document["network"]["cores"]:
        core["axons"] = core["axons"][:8]
        core["connections"] = [row[:8] for row in core["connections"][:8]]
        core["neurons"] = core["neurons"][:8]
    return json.dumps(document).encode()


def originals(folder: Path) -> dict[str, bytes]:
    """Write a valid file of every format into the folder, and return their bytes by name."""
    image = small_network()
    spikes = np.eye(12, image.input_lines, k=-1, dtype=np.uint8)
    image.save(folder / "image.safetensors")
    write_ranc(image, spikes, folder / "ranc.json", np.ones((12, 2)))
    write_ibm(image, folder / "ibm.json")
    write_events(folder / "in.sfti", [[t, t % 2, t % 4] for t in range(1, 12)])
    write_outputs(folder / "out.sfci", np.ones((6, 2), dtype=np.uint8))
    write_text(folder / "in.txt", spikes)
    codes = np.arange(12, dtype=np.uint8).reshape(4, 3)
    encoder = Encoder(codes=codes, rows=np.arange(4, dtype=np.int32))
    (folder / "encoder.safetensors").write_bytes(encoder.to_bytes())
    (folder / "lookup.safetensors").write_bytes(compile_tokenizer(looking_tokenizer()).to_bytes())
    ranc = trimmed((folder / "ranc.json").read_bytes())
    (folder / "ranc.json").write_bytes(ranc)
    (folder / "zipped.json.gz").write_bytes(gzip.compress(ranc, mtime=0))
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def mutated(data: bytes, rng: np.random.Generator, header: int) -> bytes:
    """Mutate a file in one to three places; half of the mutations are in its first `header` bytes."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        most = min(len(changed), header) if rng.random() < 0.5 else len(changed)
        at = int(rng.integers(0, max(1, most)))
        token = TOKENS[rng.integers(0, len(TOKENS))]
        match int(rng.integers(0, 8)):
            case 0 if changed:  # flip a bit
                changed[at % len(changed)] ^= 1 << int(rng.integers(0, 8))
            case 1 if changed:  # another byte
                changed[at % len(changed)] = int(rng.integers(0, 256))
            case 2:  # cut short
                del changed[at if rng.random() < 0.3 else len(changed) :]
            case 3:  # delete some bytes
                del changed[at : at + int(rng.integers(1, 40))]
            case 4:  # repeat some bytes
                changed[at:at] = changed[at : at + int(rng.integers(1, 40))]
            case 5:  # insert a token
                changed[at:at] = token
            case _:  # replace a number
                number = re.compile(rb"-?[0-9]+").search(changed, at)
                if number:
                    changed[number.start() : number.end()] = token
    return bytes(changed)


def use(path: Path) -> None:
    """Do with a network file what spikewatch-sim does: read, inspect, draw and run it."""
    network = open_network(path, ticks=20)
    inspect(network.image)
    picture(network.image, 0)
    if network.spikes is not None:
        run_network(network, str(path))
    ticks = np.zeros((20, network.image.input_lines), dtype=np.uint8)
    ticks[::3, :64] = 1
    Simulator(network.image).run(pack_lines(ticks), [0, 20], threads=2)


def use_spikes(image: Path, spikes: Path) -> None:
    """Run a valid image with a file of input spikes."""
    run_network(open_network(image, spikes, ticks=20), str(image))


def use_lookup(path: Path) -> None:
    """Split texts with a lookup; it may refuse those that take too many steps."""
    splitter = LookupSplitter(Lookup.from_bytes(path.read_bytes()))
    for text in ("Who's in the U.S. in 1984?", "A\u030a\uac00\ufdfa " * 9, "n 't" * 40, "\0", ""):
        with contextlib.suppress(InputError):
            splitter.split([text])


def readers(folder: Path) -> dict[str, Callable[[Path], object]]:
    """Return the function that reads and uses each file, by name."""
    image = folder / "good.safetensors"
    small_network().save(image)
    return {
        "encoder.safetensors": lambda path: Encoder.from_bytes(path.read_bytes()),
        "lookup.safetensors": use_lookup,
        "image.safetensors": use,
        "ranc.json": use,
        "zipped.json.gz": use,
        "ibm.json": use,
        "in.sfti": lambda path: use_spikes(image, path),
        "in.txt": lambda path: use_spikes(image, path),
        "out.sfci": lambda path: read_outputs(path, 6, 2),
    }


def limit_memory() -> None:
    """Limit the process to the memory that it has now and `SPARE_MIB`."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + SPARE_MIB * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main(folder: Path, each: int) -> None:
    """Read `each` mutations of every format; print as one JSON object how many were read or refused, and all faults."""
    files, read = originals(folder), readers(folder)
    (folder / "bad").mkdir()
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for name in files:
        read[name](folder / name)
    limit_memory()
    for number, (name, data) in enumerate(files.items()):
        rng = np.random.default_rng(number)
        header = int.from_bytes(data[:8], "little") + 8 if name.endswith("tensors") else len(data)
        if name == "ibm.json":
            header = data.index(b"crossbarTypes")
        path = folder / "bad" / name
        for k in range(each):
            # a file that is truncated and written anew may be synced by the file system
            path.unlink(missing_ok=True)
            if name == "zipped.json.gz" and k % 2:
                plain = mutated(gzip.decompress(data), rng, len(data))
                path.write_bytes(gzip.compress(plain, 1))
            else:
                path.write_bytes(mutated(data, rng, header))
            try:
                read[name](path)
            except SimcoreError as e:
                counts[f"{name} refused"] += 1
                if "\n" in str(e):
                    wrong.append(f"{name} {k}: more than one line: {e!r}")
            except Exception as e:  # noqa: BLE001 - any other error is a fault
                wrong.append(f"{name} {k}: {e!r}")
            else:
                counts[f"{name} read"] += 1
    sys.stdout.write(json.dumps({"counts": counts, "wrong": wrong[:20]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
