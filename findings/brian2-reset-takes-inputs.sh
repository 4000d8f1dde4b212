#!/usr/bin/env bash
# Brian 2.9.0: an integrating neuron (threshold v >= 2, reset v = 0) with one input spike of weight 1 in every step.
#
# Guess: as in an integrate-and-fire chip, two inputs make a spike: it fires in every second step.
# Instead: a step is thresholds, synapses, resets, so the reset also takes the spikes that arrived after the threshold
#   was passed in the same step: every third input is lost. With the reset v -= 2 nothing is lost.
# Seen 2026-11-30: 60 inputs make 20 spikes with the reset to 0, and 29 with the subtraction.
set -euo pipefail

python3 -m venv venv
venv/bin/pip install --quiet Brian2==2.9.0 numpy==2.2.6
venv/bin/python - > seen.txt 2> messages.txt <<'PY'
from brian2 import NeuronGroup, SpikeGeneratorGroup, SpikeMonitor, Synapses, defaultclock, ms, prefs, run

prefs.codegen.target = "numpy"
defaultclock.dt = 1 * ms
for reset in ("v = 0", "v -= 2"):
    source = SpikeGeneratorGroup(1, [0] * 60, list(range(60)) * ms)
    neuron = NeuronGroup(1, "v : 1", threshold="v >= 2", reset=reset)
    synapse = Synapses(source, neuron, on_pre="v += 1")
    synapse.connect()
    monitor = SpikeMonitor(neuron)
    run(60 * ms)
    first = [round(float(t / ms)) for t in monitor.t[:4]]
    print(f"{reset}: {len(monitor.t)} spikes, in steps {first} ...")
PY

cat > expected.txt <<'END'
v = 0: 20 spikes, in steps [2, 5, 8, 11] ...
v -= 2: 29 spikes, in steps [2, 4, 6, 8] ...
END
diff expected.txt seen.txt
