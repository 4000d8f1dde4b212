"""Small networks with the outputs of RANC's own simulator, in `ranc_vectors.json`.

`python tests/simcore/ranc_vectors.py RANC_SIM` writes that file anew; RANC_SIM is the program of UA-RCL/RANC 08ae4bd,
`simulator/`, built by cmake.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_suffix(".json")

CORE, BUS, EMPTY = [0, 0], [0, 1], [1, 0]
ABSOLUTE = {"negative_threshold": -2, "reset_potential": -1, "positive_threshold": 2}
LINEAR = {"negative_threshold": -2, "positive_threshold": 4, "reset_mode": 1}
"""Neurons that come to exactly their negative thresholds, so that both types of reset give different spikes."""

QUIET = {
    "weights": [1, 0, 0, -2],
    "leak": 0,
    "positive_threshold": 1,
    "negative_threshold": 0,
    "reset_potential": 0,
    "reset_mode": 0,
    "current_potential": 0,
    "destination_core_offset": BUS,
    "destination_axon": 0,
    "destination_tick": 0,
}


def packet(axon: int = 0, tick: int = 0, core: list[int] = CORE) -> dict[str, Any]:
    """Make an input spike."""
    return {"destination_core": core, "destination_axon": axon, "destination_tick": tick}


def network(
    packets: list[Any],
    *neurons: dict[str, Any],
    kind: int = 0,
    rows: list[list[int]] | None = None,
    ticks: int = 24,
) -> dict[str, Any]:
    """Make a core of four axons; neuron j has the given fields, and row j of the crossbar (default: axon j)."""
    config = {"num_neurons": 4, "num_axons": 4, "num_cores_x": 2, "num_cores_y": 2}
    config |= {"num_weights": 4, "max_tick_offset": 16, "neuron_reset_type": kind}
    config |= dict.fromkeys(
        (
            "neuron_block_trace_verbosity",
            "core_controller_trace_verbosity",
            "scheduler_trace_verbosity",
        ),
        0,
    )
    core = {
        "axons": [0, 0, 0, 3],
        "neurons": [QUIET | {"destination_axon": j} | fields for j, fields in enumerate(neurons)],
        "connections": rows or [[int(a == j) for a in range(4)] for j in range(len(neurons))],
        "coordinates": CORE,
    }
    bus = {"coordinates": BUS, "num_outputs": 4}
    return {
        "config": config,
        "network": {"packets": packets, "output_bus": bus, "cores": [core]},
        "ticks": ticks,
    }


def drawn(seed: int) -> dict[str, Any]:
    """Draw a network of four neurons over the range of everything that a file states."""
    rng = random.Random(seed)
    neurons = [
        {
            "weights": [rng.randint(-3, 3) for _ in range(4)],
            "leak": rng.choice([0, 0, -1, 1, 2]),
            "positive_threshold": rng.randint(0, 6),
            "negative_threshold": rng.randint(-5, 0),
            "reset_potential": rng.choice([0, 0, -5, -2, 3]),
            "reset_mode": seed % 2 and rng.randint(0, 1),
            "current_potential": rng.randint(-6, 6),
            "destination_core_offset": rng.choice([CORE, BUS, BUS, EMPTY]),
            "destination_axon": rng.randint(0, 3),
            "destination_tick": rng.choice([0, 1, 14, 15, rng.randint(0, 15)]),
        }
        for _ in range(4)
    ]
    for neuron in neurons[seed % 2 :]:
        # an absolute reset to 0 at the threshold 0 is the same for both types
        neuron["reset_potential"] *= neuron["negative_threshold"] < 0
    packets = [
        [packet(rng.randint(0, 3), rng.choice([0, 0, 1, 14, 15])) for _ in range(rng.randint(0, 3))]
        for _ in range(40)
    ]
    rows = [[rng.randint(0, 1) for _ in range(4)] for _ in range(4)]
    return network(packets, *neurons, kind=1 - seed % 2, rows=rows, ticks=40)


def networks() -> dict[str, dict[str, Any]]:
    """Make all networks, by what each is about."""
    once = [[packet()]]
    up_and_down = [[packet(0)] if t % 5 < 3 else [packet(3)] for t in range(40)]
    both = [[1, 0, 0, 1]]
    absolute, linear = ({"weights": [3, 0, 0, w]} | f for w, f in ((-3, ABSOLUTE), (-2, LINEAR)))
    relay = {"destination_core_offset": CORE, "destination_axon": 1}
    lost = {"destination_core_offset": EMPTY}
    found = {
        "packets of tick 14 and 15": network([[packet(0, 14), packet(1, 15)], [packet(0, 15)]], {}, {}),
        "a neuron of tick 14": network(once, relay | {"destination_tick": 14}, {}),
        "a neuron of tick 15": network(once, relay | {"destination_tick": 15}, {}),
        "a neuron of tick 15 at the bus": network(once, {"destination_tick": 15}),
        "one axon twice in a tick": network([[packet(0, 1), packet(0, 1)], [packet()]], {"positive_threshold": 2}),
        "one bus line twice in a tick": network([[packet(0), packet(1)]], {}, {"destination_axon": 0}),
        "places without a core": network([[packet(0, 0, EMPTY)], [packet(), packet(1)]], lost, {}),
        "more packets than ticks": network([[packet(0, 1)]] * 9, {}, ticks=5),
        "type 0, absolute": network(up_and_down, absolute, rows=both, ticks=40),
        "type 1, absolute": network(up_and_down, absolute, kind=1, rows=both, ticks=40),
        "type 0, linear": network(up_and_down, linear, rows=both, ticks=40),
        "type 1, linear to 0": network(up_and_down, linear | {"negative_threshold": 0}, kind=1, rows=both, ticks=40),
        "type 1, never so low": network(up_and_down, linear, kind=1, ticks=40),
    }  # fmt: skip
    return found | {f"drawn {seed}": drawn(seed) for seed in (0, 1, 2, 3, 5, 6, 8, 9)}


def run(program: str, document: dict[str, Any]) -> list[str]:
    """Run a network by RANC; return what its output bus printed, a line for each tick."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "c.json").write_text(json.dumps(document["config"]))
        (folder / "n.json").write_text(json.dumps(document["network"]))
        files = ["-i", folder / "n.json", "-c", folder / "c.json", "-o", folder / "o.txt"]
        command = [program, *map(str, files), "--ticks", str(document["ticks"])]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return (folder / "o.txt").read_text(encoding="utf-8-sig").splitlines()


if __name__ == "__main__":
    made = {name: each | {"output": run(sys.argv[1], each)} for name, each in networks().items()}
    lines = [f"{json.dumps(name)}: {json.dumps(each)}" for name, each in made.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
