#!/usr/bin/env bash
# libsonata 0.2.2, spikes of a SONATA file read by time: SpikePopulation.get(tstart=a, tstop=b).
#
# Guess: the window is half open, a <= t < b, so a recording that is read in adjoining windows gives each spike once.
# Instead: both ends belong to it, so a spike on a border is in two windows. Simulators with a fixed step put every
#   spike on such a border.
# Seen 2026-11-30: four spikes at 1, 2, 3 and 4 ms, read in three windows of 1 ms, are six.
set -euo pipefail

python3 -m venv venv
venv/bin/pip install --quiet libsonata==0.2.2 h5py==3.16.0 numpy==2.4.6
venv/bin/python - > seen.txt <<'PY'
import h5py
import libsonata
import numpy as np

with h5py.File("spikes.h5", "w") as file:
    group = file.create_group("spikes/cells")
    order = h5py.enum_dtype({"none": 0, "by_id": 1, "by_time": 2}, basetype="u1")
    group.attrs.create("sorting", 2, dtype=order)
    group["timestamps"] = np.array([1.0, 2.0, 3.0, 4.0])
    group["timestamps"].attrs["units"] = "ms"
    group["node_ids"] = np.arange(4, dtype=np.uint64)

cells = libsonata.SpikeReader("spikes.h5")["cells"]
print("all:", len(cells.get()))
for start in (1.0, 2.0, 3.0):
    print(f"{start} to {start + 1}:", [t for _, t in cells.get(tstart=start, tstop=start + 1)])
PY

cat > expected.txt <<'END'
all: 4
1.0 to 2.0: [1.0, 2.0]
2.0 to 3.0: [2.0, 3.0]
3.0 to 4.0: [3.0, 4.0]
END
diff expected.txt seen.txt
