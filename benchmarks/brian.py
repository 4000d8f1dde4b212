"""Run the dense core in Brian2; `core.py` starts this in its own virtual environment (Brian2 2.9 needs numpy < 2).

The schedule of a step is: groups (leak), thresholds, resets, then synapses, so leak and threshold see the synaptic
sums only in the next step. Hence step t + 1 is tick t of the core, and V starts at -leak.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from functools import partial

import brian2 as b
import numpy as np
from memory import peak_kib, run_and_watch


def network(workload: dict[str, np.ndarray]) -> tuple[b.Network, b.SpikeMonitor]:
    b.defaultclock.dt = 1 * b.ms
    tick, axon = np.nonzero(workload["spikes"])
    given = b.SpikeGeneratorGroup(256, axon, tick * b.ms)
    core = b.NeuronGroup(256, "v : 1\nleak : 1 (constant)", threshold="v >= 60", reset="v = 0")
    core.leak = workload["leak"]
    core.v = -workload["leak"]
    core.run_regularly("v += leak", when="groups")
    core.run_regularly("v = v * int(v >= -60)", when="resets", order=1)
    synapses = b.Synapses(given, core, "w : 1 (constant)", on_pre="v_post += w")
    synapses.connect()
    synapses.w = workload["weights"].ravel()
    counts = b.SpikeMonitor(core, record=False)
    net = b.Network(given, core, synapses, counts)
    net.schedule = ["start", "groups", "thresholds", "resets", "synapses", "end"]
    return net, counts


def standalone(workload: dict[str, np.ndarray], ticks: int, rounds: int) -> dict[str, object]:
    """Measure the main loop of the compiled program."""
    with tempfile.TemporaryDirectory(prefix="brian-") as folder:
        b.set_device("cpp_standalone", build_on_run=False, directory=folder)
        net, counts = network(workload)
        net.run((ticks + 1) * b.ms)
        b.device.build(directory=folder, run=False)
        seconds = []
        for _ in range(rounds):
            b.device.run(folder)
            seconds.append(b.device._last_run_time)  # noqa: SLF001 - Brian2 has no public name for it
        peak = run_and_watch(["./main"], cwd=folder)
        return {"seconds": seconds, "counts": counts.count[:].tolist(), "peak_kib": peak}


def runtime(
    workload: dict[str, np.ndarray], target: str, ticks: int, rounds: int
) -> dict[str, object]:
    """Measure a run minus a run of one tick, which excludes code generation and compilation."""
    b.prefs.codegen.target = target
    net, counts = network(workload)
    net.store()
    net.run(1 * b.ms)  # generates and compiles the code
    seconds = []
    for _ in range(rounds):
        times = []
        for length in (1, ticks + 1):
            net.restore()
            begin = time.perf_counter()
            net.run(length * b.ms)
            times.append(time.perf_counter() - begin)
        seconds.append(times[1] - times[0])
    return {"seconds": seconds, "counts": counts.count[:].tolist(), "peak_kib": peak_kib()}


if __name__ == "__main__":
    path, target, ticks, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    b.BrianLogger.log_level_error()
    with np.load(path) as file:
        arrays = dict(file)
    timed = {"cpp_standalone": standalone}.get(target, partial(runtime, target=target))
    json.dump(timed(arrays, ticks=ticks, rounds=rounds), sys.stdout)
