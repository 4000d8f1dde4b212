#!/usr/bin/env bash
# tonic 1.7.0, ToFrame(n_time_bins=n): a recording as n frames.
#
# Guess: the frames cover the recording, so their sum is the number of events; at most the last event is on the far
#   edge.
# Instead: a bin is the whole number of time units in duration / n, and what is left over at the end of the recording
#   is dropped, without any message. With times in ms, or bins of a few us, that is up to half of the events.
# Seen 2026-11-30: 200 events, one in each unit of time, are 190 events in 10 frames, 180 in 30, and 100 in 100.
set -euo pipefail

python3 -m venv venv
venv/bin/pip install --quiet tonic==1.7.0 numpy==2.4.6
venv/bin/python - > seen.txt <<'PY'
import numpy as np
from tonic.transforms import ToFrame

fields = [("t", np.int64), ("x", np.int16), ("y", np.int16), ("p", np.int8)]
events = np.zeros(200, dtype=fields)
events["t"] = np.arange(200)
for bins in (10, 30, 100, 199):
    frames = ToFrame(sensor_size=(1, 1, 2), n_time_bins=bins)(events)
    print(f"{len(frames)} frames, {frames.sum()} events")
events["t"] *= 1000
frames = ToFrame(sensor_size=(1, 1, 2), n_time_bins=100)(events)
print(f"{len(frames)} frames, {frames.sum()} events, in units a thousand times finer")
PY

cat > expected.txt <<'END'
10 frames, 190 events
30 frames, 180 events
100 frames, 100 events
199 frames, 199 events
100 frames, 199 events, in units a thousand times finer
END
diff expected.txt seen.txt
