#!/usr/bin/env bash
# norse 1.1.0 with nir 1.0.8 and nirtorch 2.6: a leaky neuron (LIFBoxCell) written as NIR, and read again by norse.
#
# Guess: NIR's tau is the neuron's time constant in seconds, 1 / tau_mem_inv, and the neuron that is read spikes as
#   before.
# Instead: to_nir writes tau = dt / tau_mem_inv, and from_nir reads tau_mem_inv = 1 / tau. Both take dt to be 1 ms, so
#   each round shortens the time constant a thousandfold, without any message: the neuron no longer integrates.
# Seen 2026-11-30: 5 ms becomes 5 us, and 80 spikes in 400 steps become 400.
set -euo pipefail

python3 -m venv venv
venv/bin/pip install --quiet norse==1.1.0 nir==1.0.8 nirtorch==2.6 torch==2.13.0 numpy==2.4.6
venv/bin/python - > seen.txt 2> messages.txt <<'PY'
import norse.torch as nt
import torch
from norse.torch.utils.export_nir import to_nir

parameters = nt.LIFBoxParameters(tau_mem_inv=torch.tensor(200.0), v_th=torch.tensor(1.0))
network = nt.SequentialState(torch.nn.Linear(1, 1, bias=False), nt.LIFBoxCell(parameters))
network[0].weight.data[:] = 1.6


def spikes(model):
    """Return how often the neuron fires in 400 steps of constant input."""
    fired, state = 0, None
    for _ in range(400):
        x = torch.ones(1, 1)
        y, state = model(x) if state is None else model(x, state)
        fired += int(y.item())
    return fired


graph = to_nir(network, torch.ones(1, 1))
print(f"tau in the file: {float(graph.nodes['1'].tau):.6f} s")
print(f"spikes: {spikes(network)}, after NIR: {spikes(nt.from_nir(graph))}")
PY

cat > expected.txt <<'END'
tau in the file: 0.000005 s
spikes: 80, after NIR: 400
END
diff expected.txt seen.txt
