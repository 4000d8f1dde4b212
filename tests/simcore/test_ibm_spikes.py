"""Spike files of IBM's TrueNorth tools."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from images import neuron

from spikewatch.simcore import InputError
from spikewatch.simcore.exchange.spikes import (
    axon_raster,
    line_raster,
    read_events,
    read_outputs,
    read_text,
    write_events,
    write_outputs,
    write_text,
)

HEADER = '{"version":"sfti1.0","defaultDestinationDelay":3}'


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["no"], "line 1: not a JSON object"),
        (["7"], "line 1: not a JSON object"),
        (['{"encoding":"RAWI3"}'], "line 1: encoding 'RAWI3', only TEXT is read"),
        (['{"version":"sfti9"}'], "line 1: version 'sfti9', expected sfti1.0"),
        (['{"defaultDestinationDelay":0}'], r"line 1: defaultDestinationDelay 0, limits 1\.\.15"),
        (['{"colour":1}'], "line 1: unknown field colour"),
        (['{"spike":{"srcTime":0,"destCore":0}}'], r"line 1: destAxon None, limits 0\.\.255"),
        (['{"spike":{"srcTime":-1,"destCore":0,"destAxon":0}}'], "line 1: srcTime -1"),
        (['{"spike":{"srcTime":1,"destCore":0,"destAxon":0,"w":1}}'], "line 1: unknown field w"),
        (['{"spike":{"srcTime":1,"destCore":0,"destAxon":0}}', HEADER], "line 2: a header after"),
        (['{"spike":1}'], "line 1: not one spike"),
    ],
)
def test_spike_files_with_anything_else_are_refused(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    file = tmp_path / "s.sfti"
    file.write_text("\n".join(lines))
    with pytest.raises(InputError, match=f"s.sfti, {message}"):
        read_events(file)


def test_the_header_gives_the_delay_from_source_to_axon(tmp_path: Path) -> None:
    file = tmp_path / "s.sfti"
    file.write_text(f'{HEADER}\n\n{{"spike":{{"srcTime":4,"destCore":2,"destAxon":9}}}}\n')
    assert read_events(file).tolist() == [[7, 2, 9]]
    assert read_events(file, delivered=False).tolist() == [[4, 2, 9]]


def test_an_input_spike_at_tick_0_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="input spike at tick 0, core 0, axon 3: spikes of an sfti file arrive"
    ):
        write_events(tmp_path / "s.sfti", [[0, 0, 3]])


def test_spikes_that_no_line_of_the_image_produces_are_refused() -> None:
    image = replace(neuron(), inputs=np.array([[0, 0, 0], [0, 0, 1], [1, 0, 1]], dtype=np.int32))
    both = axon_raster(image, np.array([[2, 0, 0], [2, 0, 1], [3, 0, 1]]), 4)
    assert both.tolist() == [[0, 0], [0, 0], [1, 1], [0, 1]]
    with pytest.raises(
        InputError, match="tick 1, core 0, axon 0: no input line of the image produces it"
    ):
        axon_raster(image, np.array([[1, 0, 0]]), 4)
    with pytest.raises(InputError, match=r"limits 0\.\.4194304 ticks for that many lines"):
        axon_raster(image, np.zeros((0, 3), dtype=np.int64), 10**12)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 2**31), st.integers(0, 4095), st.integers(0, 255))),
    st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), max_size=8),
)
def test_spike_files_of_every_kind_come_back(
    events: list[tuple[int, int, int]], counts: list[list[int]]
) -> None:
    raster = np.array(counts, dtype=np.uint16).reshape(-1, 5)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spikes"
        write_events(path, np.array(events, dtype=np.int64).reshape(-1, 3))
        assert read_events(path).tolist() == [list(event) for event in sorted(set(events))]
        write_outputs(path, raster)
        np.testing.assert_array_equal(read_outputs(path, len(raster), 5), raster)
        write_text(path, raster)
        again = np.zeros_like(raster)
        np.add.at(again, tuple(read_text(path).T), 1)
        np.testing.assert_array_equal(again, raster)


def test_plain_text_spikes_come_back(tmp_path: Path) -> None:
    raster = np.array([[0, 2], [1, 0]])
    write_text(tmp_path / "s.txt", raster)
    events = read_text(tmp_path / "s.txt")
    assert events.tolist() == [[0, 1], [0, 1], [1, 0]]
    assert line_raster(events, 2, 2).tolist() == [[0, 1], [1, 0]]
    with pytest.raises(InputError, match="input spike on line 1, limits 0..0"):
        line_raster(events, 2, 1)
    (tmp_path / "s.txt").write_text("1 2 # fine\n1\n")
    with pytest.raises(InputError, match=r"s.txt, line 2: '1', expected `tick line`"):
        read_text(tmp_path / "s.txt")
