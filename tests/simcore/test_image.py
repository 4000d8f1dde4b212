"""Core images: round trips, every limit, and damaged files."""

from __future__ import annotations

import json
import os
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from images import images, neuron
from support import tiny_image, tiny_network

from spikewatch.simcore import Coding, CoreImage, HostHead, ImageError, blank
from spikewatch.simcore.tensors import pack

if TYPE_CHECKING:
    from numpy.typing import NDArray


def assert_same(a: CoreImage, b: CoreImage) -> None:
    for field in fields(CoreImage):
        expected, found = getattr(a, field.name), getattr(b, field.name)
        if isinstance(expected, np.ndarray):
            np.testing.assert_array_equal(expected, found, err_msg=field.name)
        else:
            assert expected == found, field.name


@settings(max_examples=20, deadline=None)
@given(image=images())
def test_an_image_survives_its_file(image: CoreImage) -> None:
    assert_same(image, CoreImage.from_bytes(image.to_bytes()))


def test_a_classifier_image_survives_its_file_with_its_coding(tmp_path: Path) -> None:
    image = tiny_image(tiny_network())
    image.save(tmp_path / "core.safetensors")
    assert image.coding is not None
    assert_same(image, CoreImage.load(tmp_path / "core.safetensors"))


class TestSaving:
    """A file is replaced as a whole or not at all."""

    def test_a_path_can_be_a_string(self, tmp_path: Path) -> None:
        neuron().save(str(tmp_path / "x"))
        assert_same(neuron(), CoreImage.load(str(tmp_path / "x")))

    @pytest.mark.parametrize("failing", ["fsync", "replace"])
    def test_after_a_failure_the_old_file_is_there_and_nothing_else(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
    ) -> None:
        path = tmp_path / "x"
        neuron().save(path)

        def fail(*_: Any, **__: Any) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, failing, fail)
            with pytest.raises(OSError, match="No space left"):
                neuron(s0=1).save(path)

        assert_same(neuron(), CoreImage.load(path))
        assert list(tmp_path.iterdir()) == [path]

    def test_a_symbolic_link_stays_and_its_target_is_replaced(self, tmp_path: Path) -> None:
        neuron().save(tmp_path / "x")
        (tmp_path / "link").symlink_to("x")
        neuron(s0=1).save(tmp_path / "link")
        assert (tmp_path / "link").is_symlink()
        assert_same(neuron(s0=1), CoreImage.load(tmp_path / "x"))

    def test_a_device_is_written_to_and_not_replaced(self) -> None:
        neuron().save("/dev/null")
        assert Path("/dev/null").is_char_device()

    def test_the_new_file_has_the_permissions_of_any_new_file(self, tmp_path: Path) -> None:
        neuron().save(tmp_path / "x")
        (tmp_path / "y").write_bytes(b"")
        assert (tmp_path / "x").stat().st_mode == (tmp_path / "y").stat().st_mode


def placed(*places: tuple[int, int], target: int = -1) -> CoreImage:
    """Make cores with a grid; neuron 7 of core 0 sends to core `target`."""
    arrays = blank(len(places))
    arrays["target_core"][0, 7] = target
    return CoreImage(**arrays, grid=np.array(places, dtype=np.int32))


def test_a_grid_survives_its_file_and_files_without_one_are_read() -> None:
    image = placed((0, 0), (255, 3), target=1)
    assert_same(image, CoreImage.from_bytes(image.to_bytes()))
    assert CoreImage.from_bytes(neuron().to_bytes()).grid is None


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            placed((0, 0), (256, 0), target=1),
            "core 0, neuron 7: target_core 1 is 256 hops away in x, limits -255..255",
        ),
        (
            placed((9, 300), (1, 2), target=1),
            "core 0, neuron 7: target_core 1 is -298 hops away in y, limits -255..255",
        ),
        (placed((0, 0), (0, -1)), "core 1: grid y is -1, limits 0..65535"),
        (placed((65536, 0), (0, 0)), "core 0: grid x is 65536, limits 0..65535"),
        (placed((0, 5), (3, 3), (0, 5)), "core 2: grid is 0, 5, the position of core 0"),
    ],
)
def test_a_grid_that_no_chip_can_have_is_refused(image: CoreImage, message: str) -> None:
    with pytest.raises(ImageError, match=f"^{re.escape(message)}$"):
        image.validate()


def test_cores_far_apart_that_send_no_spikes_to_each_other_are_allowed() -> None:
    placed((0, 0), (5000, 5000)).validate()


def test_equal_images_give_equal_bytes() -> None:
    first, second = (tiny_image(tiny_network()).to_bytes() for _ in range(2))
    assert first == second


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "axon type": ({"axon_type": 4}, "core 0, axon 0: axon_type is 4, limits 0..3"),
    "weight": ({"weights": 256}, "core 0, neuron 0: weights[0] is 256, limits -255..255"),
    "leak": ({"leak": -256}, "core 0, neuron 0: leak is -256, limits -255..255"),
    "threshold": ({"threshold": 2**18}, "core 0, neuron 0: threshold is 262144, limits 0..262143"),
    "negative threshold": (
        {"neg_threshold": -1},
        "core 0, neuron 0: neg_threshold is -1, limits 0..262143",
    ),
    "reset": ({"reset": 2**19}, "core 0, neuron 0: reset is 524288, limits -524287..524287"),
    "reset mode": ({"reset_mode": 3}, "core 0, neuron 0: reset_mode is 3, limits 0..2"),
    "kappa": ({"kappa": 2}, "core 0, neuron 0: kappa is 2, limits 0..1"),
    "epsilon": ({"epsilon": 2}, "core 0, neuron 0: epsilon is 2, limits 0..1"),
    "stochastic weights": (
        {"stochastic_weights": 16},
        "core 0, neuron 0: stochastic_weights is 16, limits 0..15",
    ),
    "stochastic leak": (
        {"stochastic_leak": 2},
        "core 0, neuron 0: stochastic_leak is 2, limits 0..1",
    ),
    "threshold bits": (
        {"threshold_bits": 16},
        "core 0, neuron 0: threshold_bits is 16, limits 0..15",
    ),
    "potential": (
        {"potential": -(2**19) - 1},
        "core 0, neuron 0: potential is -524289, limits -524288..524287",
    ),
    "no delay": ({"delay": 0}, "core 0, neuron 0: delay is 0, limits 1..15"),
    "delay": ({"delay": 16}, "core 0, neuron 0: delay is 16, limits 1..15"),
    "target core": ({"target_core": 1}, "core 0, neuron 0: target_core is 1, limits -2..0"),
    "target axon": (
        {"target_core": 0, "target_axon": 256},
        "core 0, neuron 0: target_axon 256, limits 0..255 for target_core 0",
    ),
    "target axon without target": (
        {"target_core": -1, "target_axon": 1},
        "core 0, neuron 0: target_axon 1, limits 0..0 for target_core -1",
    ),
    "undeclared output": (
        {"target_core": -1},
        "core 0, neuron 0: target_core -1 but 1 rows in outputs,"
        " expected one row for each neuron with target -2",
    ),
    "output line": ({"target_axon": 7}, "outputs, row 0: line 0 but the neuron's target_axon is 7"),
    "input axon": ({"inputs": 256}, "inputs, row 0: line 256, limits 0..1048575"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_every_limit_is_refused_with_core_neuron_field_value_and_limit(case: str) -> None:
    changes, message = BROKEN[case]
    if case == "input axon":
        table = np.array([[0, 0, 256]], dtype=np.int32)
        broken, message = replace(neuron(), inputs=table), "inputs, row 0: axon 256, limits 0..255"
    else:
        arrays = {}
        for name, value in changes.items():
            arrays[name] = getattr(neuron(), name).copy()
            arrays[name].flat[0] = value
        broken = replace(neuron(), **arrays)
    with pytest.raises(ImageError, match=f"^{re.escape(message)}$"):
        broken.validate()
    with pytest.raises(ImageError):
        broken.to_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"leak": np.zeros((1, 256))}, "leak: element type float64, expected int16"),
        (
            {"leak": np.zeros((2, 256), np.int16)},
            "leak: shape (2, 256), expected length 1 where it has 2",
        ),
        ({"leak": np.zeros(256, np.int16)}, "leak: 1 dimensions, expected 2"),
        ({"leak": np.zeros((256, 1), np.int16).T}, None),
        ({"leak": np.zeros((1, 512), np.int16)[:, ::2]}, "leak: not C-contiguous"),
        ({"leak": [0]}, "leak: element type list, expected int16"),
        ({"leak": None}, "leak: element type NoneType, expected int16"),
    ],
)
def test_arrays_of_another_shape_or_type_are_refused(
    change: dict[str, Any], message: str | None
) -> None:
    image = replace(neuron(), **change)
    if message is None:
        image.validate()
        return
    with pytest.raises(ImageError, match=f"^{re.escape(message)}$"):
        image.validate()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ticks_per_step": 0}, "coding: ticks_per_step is 0, limits 1..255"),
        ({"word_lines": "4"}, "coding: word_lines is '4', limits 1..256"),
        ({"direction": ["reverse"]}, "coding: direction is ['reverse'], not forward or reverse"),
        ({"readout": "sum"}, "coding: readout is 'sum', not last, mean or max"),
        ({"backward_lines": 4}, "coding: backward_lines is 4, limit 3 (word_lines)"),
        ({"gate_line": 2}, "coding: gate_line 2 is one of the 3 word lines"),
    ],
)
def test_a_coding_checks_itself(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ImageError, match=f"^{re.escape(message)}$"):
        Coding(**({"ticks_per_step": 15, "word_lines": 3} | changes))


def with_head(**changes: Any) -> CoreImage:
    """Make a neuron on output line 0 with a head of two classes."""
    head = HostHead(weights=np.ones((2, 1), np.int32), bias=np.zeros(2, np.int32))
    coding = Coding(ticks_per_step=15, word_lines=4, drain_steps=0)
    return replace(neuron(), **({"head": head, "coding": coding} | changes))


def test_a_head_survives_the_file() -> None:
    image = CoreImage.from_bytes(with_head().to_bytes())
    assert image.head == with_head().head
    assert image.classes == 2


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones((2, 3)), "head: 2 classes of 3 lines, but the image has 1 output lines"),
        (np.ones((3, 1)), "head_bias: shape (2,), expected length 3 where it has 2"),
        (np.full((2, 1), -(2**31)), "head: a score could reach 32212254720, limit 2147483647"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(weights: NDArray[Any], message: str) -> None:
    head = HostHead(weights=weights.astype(np.int32), bias=np.zeros(2, np.int32))
    with pytest.raises(ImageError, match=f"^{re.escape(message)}$"):
        with_head(head=head).validate()


def test_a_head_without_a_coding_is_refused() -> None:
    with pytest.raises(
        ImageError, match="^head: the image has no coding, so it is not a classifier$"
    ):
        with_head(coding=None).validate()


@pytest.mark.parametrize("name", ["head_weights", "head_bias"])
def test_a_file_with_half_a_head_is_refused(name: str) -> None:
    tensors, metadata = unpacked(with_head().to_bytes())
    del tensors[name]
    with pytest.raises(
        ImageError, match="^core image: head: one of head_weights and head_bias is missing$"
    ):
        CoreImage.from_bytes(pack(tensors, metadata))


def unpacked(data: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read the arrays and our metadata of a file without any check."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return safetensors.numpy.load(data), json.loads(header["__metadata__"]["spikewatch"])


class TestHostileFiles:
    """The good file, broken one way at a time."""

    good = tiny_image(tiny_network()).to_bytes()
    header = int.from_bytes(good[:8], "little")

    @pytest.mark.parametrize("size", [0, 7, 8, 9, 60, 1000, len(good) - 1])
    def test_a_file_cut_short_is_refused(self, size: int) -> None:
        with pytest.raises(ImageError, match="^core image: "):
            CoreImage.from_bytes(self.good[:size])

    def test_a_header_that_claims_terabytes_is_refused_before_anything_is_allocated(self) -> None:
        with pytest.raises(
            ImageError, match=r"^core image: .*header of 1099511627776 bytes, limit "
        ):
            CoreImage.from_bytes((2**40).to_bytes(8, "little") + self.good[8:])

    def test_a_shape_that_claims_too_many_cores_is_refused(self) -> None:
        broken = self.patched(lambda h: h["leak"].update(shape=[2**40, 256]))
        with pytest.raises(ImageError, match="tensor 'leak': 1099511627776 cores, limit 65536$"):
            CoreImage.from_bytes(broken)

    def test_offsets_outside_the_file_are_refused(self) -> None:
        broken = self.patched(lambda h: h["leak"].update(data_offsets=[0, 2**40]))
        with pytest.raises(ImageError, match="^core image: not a valid safetensors file: "):
            CoreImage.from_bytes(broken)

    @pytest.mark.parametrize("change", [-1, 1, 2**33])
    def test_a_file_of_another_length_than_its_header_says_is_refused_unread(
        self, tmp_path: Path, change: int
    ) -> None:
        path = tmp_path / "m.safetensors"
        path.write_bytes(self.good)
        os.truncate(path, len(self.good) + change)  # a sparse file, which takes no disk space
        message = f"m.safetensors: file of {len(self.good) + change} bytes, its header describes "
        with pytest.raises(ImageError, match=f"{message}{len(self.good)}$"):
            CoreImage.load(path)

    def test_a_missing_and_an_unknown_tensor_are_named(self) -> None:
        def rename(h: dict[str, Any]) -> None:
            h["leek"] = h.pop("leak")

        with pytest.raises(ImageError, match="^core image: tensor 'leak' is missing$"):
            CoreImage.from_bytes(self.patched(rename))

    @pytest.mark.parametrize("field", ["format", "version"])
    def test_another_format_or_version_is_refused(self, field: str) -> None:
        def change(h: dict[str, Any]) -> None:
            metadata = json.loads(h["__metadata__"]["spikewatch"])
            metadata[field] = 99
            h["__metadata__"]["spikewatch"] = json.dumps(metadata)

        with pytest.raises(ImageError, match=f"^core image: .*{field} 99, expected "):
            CoreImage.from_bytes(self.patched(change))

    def patched(self, change: Any) -> bytes:
        """Change the header's JSON and put the file together again."""
        header = json.loads(self.good[8 : 8 + self.header])
        change(header)
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + self.good[8 + self.header :]


def test_an_unreadable_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="none: No such file or directory$"):
        CoreImage.load(tmp_path / "none")
