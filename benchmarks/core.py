"""Compare the kernels with NumPy, Brian2 and the RANC simulator on one dense core, tick by tick.

256 axons x 256 neurons, all synapses set, axon types uniform, weights -8..8, leak -3..3, thresholds +-60, 51 axons
active per tick, 2000 ticks, seed 7 (`dense_core`). Every implementation runs in its own processes, which take turns, on
one thread, and must count the same spikes for every neuron.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.memory import peak_kib, run_and_watch
from benchmarks.tables import print_table
from spikewatch.simcore import CoreImage, Simulator, pack_lines
from spikewatch.simcore.chip._dispatch import kernels
from spikewatch.simcore.exchange.ranc_export import write_ranc
from spikewatch.simcore.program.bench import TICKS, dense_core

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
ROUNDS = 5
"""Number of turns of each implementation."""
REPEATS = 5
"""Measured runs per turn, after one warm-up run."""
BRIAN = ("numpy", "cython", "cpp_standalone")
VENV = ROOT / "build" / "brian2"
PACKAGES = ("brian2>=2.9,<3", "numpy<2", "setuptools<80")


def numpy_per_tick(image: CoreImage, spikes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Run the workload in plain NumPy: one float32 matrix-vector product per tick, which is exact for these values."""
    weight = image.weights[0].T[image.axon_type[0]].astype(np.float32)
    leak = image.leak[0].astype(np.float32)
    V = np.zeros(256, dtype=np.float32)
    counts = np.zeros(256, dtype=np.int64)
    for row in spikes.astype(np.float32):
        V += row @ weight
        V += leak
        fired = V >= 60
        low = V < -60
        V[fired | low] = 0
        counts += fired
    return counts


def kernel_counts(simulator: Simulator, raster: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Run the workload on a compiled kernel."""
    return simulator.run(raster, [0, TICKS]).counts[0]


def turn(way: str) -> dict[str, Any]:
    """Measure NumPy or a kernel in this process."""
    image, spikes = dense_core()
    run: Callable[[], NDArray[Any]] = partial(numpy_per_tick, image, spikes)
    if way != "numpy":
        run = partial(kernel_counts, Simulator(image, way), pack_lines(spikes))
    counts, seconds = run(), []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return {"seconds": seconds, "counts": counts.tolist(), "peak_kib": peak_kib()}


def ask(command: list[str | Path]) -> dict[str, Any]:
    """Run a process on one thread; return the figures that it prints as JSON."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    # compilers may print before the figures
    return json.loads(done.stdout[done.stdout.index('{"seconds"') :])


def brian_python() -> Path:
    """Return the interpreter of Brian2's virtual environment (numpy < 2), which is created if it is missing."""
    python = VENV / "bin" / "python"
    if not (VENV / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True, capture_output=True)
        ask_pip = [python, "-m", "pip", "install", "--quiet", *PACKAGES]
        subprocess.run(ask_pip, check=True, capture_output=True, text=True)
        (VENV / "ready").touch()
    return python


def save_workload(path: Path) -> None:
    """Write the workload for Brian2: spikes (ticks, axons), leak (neurons), weights (axons, neurons)."""
    image, spikes = dense_core()
    weights = image.weights[0].T[image.axon_type[0]]
    np.savez(path, spikes=spikes, leak=image.leak[0], weights=weights)


def ranc(binary: str, folder: Path) -> dict[str, Any]:
    """Measure the RANC simulator: the difference of a long and a short run, which excludes loading."""
    image, spikes = dense_core()
    whole, out = folder / "whole.json", folder / "out.txt"
    write_ranc(image, spikes, whole)
    document = json.loads(whole.read_text())
    (folder / "input.json").write_text(json.dumps(document["network"]))
    (folder / "config.json").write_text(json.dumps(document["config"]))
    files = [str(folder / "input.json"), str(out), str(folder / "config.json")]
    seconds, peak = [], 0
    for _ in range(REPEATS):
        times = []
        # the output bus prints a spike one tick late, so run one more tick
        for ticks in (1, TICKS + 1):
            begin = time.perf_counter()
            used = run_and_watch(
                [binary, "-i", files[0], "-o", files[1], "-c", files[2], "--ticks", str(ticks)]
            )
            times.append(time.perf_counter() - begin)
            peak = max(peak, used)
        if times[1] <= times[0]:
            raise RuntimeError(f"{binary}: {TICKS} ticks took no longer than one")
        seconds.append(times[1] - times[0])
    rows = out.read_text(encoding="utf-8-sig").splitlines()[1 : TICKS + 1]
    counts = np.array([row.split() for row in rows], dtype=np.int64).sum(axis=0)
    return {"seconds": seconds, "counts": counts.tolist(), "peak_kib": peak}


def peers(
    ranc_path: str | None, folder: Path
) -> tuple[dict[str, Callable[[], dict[str, Any]]], list[str]]:
    """Return the other simulators that can run here, and the reasons why the rest cannot."""
    found: dict[str, Callable[[], dict[str, Any]]] = {}
    missing = []
    try:
        python = brian_python()
    except (OSError, subprocess.CalledProcessError) as e:
        reason = (getattr(e, "stderr", None) or str(e)).strip().splitlines()[-1]
        missing.append(f"Brian2: cannot be installed ({reason})")
    else:
        save_workload(folder / "workload.npz")
        for target in BRIAN:
            options = (folder / "workload.npz", target, str(TICKS), str(REPEATS))
            command = [python, ROOT / "benchmarks" / "brian.py", *options]
            found[f"Brian2, {target}"] = partial(ask, command)
    if ranc_path is None:
        missing.append("RANC simulator: no --ranc PATH to its binary is given")
    else:
        found["RANC simulator"] = partial(ranc, ranc_path, folder)
    return found, missing


def main(ranc_path: str | None = None) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="spikewatch-core-") as folder:
        compare(ranc_path, Path(folder))


def compare(ranc_path: str | None, folder: Path) -> None:
    """Run all implementations in turns, and print their speeds."""
    image, spikes = dense_core()
    wanted = numpy_per_tick(image, spikes).tolist()
    me = [sys.executable, "-m", "benchmarks.core"]
    ours: dict[str, Callable[[], dict[str, Any]]] = {
        "NumPy, one product per tick": partial(ask, [*me, "numpy"])
    }
    for name in kernels():
        ours[f"kernel {name}"] = partial(ask, [*me, name])
    others, missing = peers(ranc_path, folder)
    seconds: dict[str, list[float]] = {}
    peak: dict[str, int] = {}
    for number in range(ROUNDS):
        # the other simulators run only once, in the middle round, because they compile for long
        for way, run in (ours | others if number == ROUNDS // 2 else ours).items():
            try:
                given = run()
            except (RuntimeError, OSError) as e:
                missing.append(f"{way}: {e}")
                continue
            if given["counts"] != wanted:
                missing.append(f"{way}: its spike counts differ, so its speed means nothing")
                continue
            seconds.setdefault(way, []).extend(given["seconds"])
            peak[way] = max(peak.get(way, 0), given["peak_kib"])
    plain = seconds["NumPy, one product per tick"]
    rows = []
    for way, times in seconds.items():
        median = statistics.median(times)
        rows.append(
            [
                way,
                f"{TICKS / median:,.0f}",
                f"{TICKS / min(times):,.0f}",
                f"{statistics.median(plain) / median:.2f}",
                f"{min(plain) / min(times):.2f}",
                f"{peak[way] / 1024:,.0f}",
            ]
        )
    head = ["way", "ticks/s, median", "best", "x NumPy", "best x best", "peak memory, MiB"]
    print_table("One dense core, one thread", head, rows)
    print(
        "\nSame spikes of every neuron in all rows. Memory is of the whole process, Python and NumPy"
    )
    print(
        "(or the compiled program alone) included; code generation and loading are not in the times."
    )
    for line in missing:
        print(f"Left out: {line}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Measure one way in this process (used by the table)."
    )
    parser.add_argument("way", choices=["numpy", *kernels()])
    json.dump(turn(parser.parse_args().way), sys.stdout)
