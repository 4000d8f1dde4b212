#!/usr/bin/env bash
# faery 0.7.1, events of an event camera saved as EVT3, whose 24-bit time wraps every 16.8 s.
#
# Guess: its reader gives the times that its writer was given, as with EVT2, however far the events are apart.
# Instead: the words in the file are right (decoded below: a TIME_HIGH that falls is a wrap), but its own reader
#   notices a wrap only if events are so dense that TIME_HIGH takes its last value before. With an event every 50 ms it
#   does not, and all that follows comes back on the wrong lap, without any message.
# Seen 2026-11-30: 264 of 600 events of 30 s are wrong, the first at 16.8 s comes back at 16.750848 s.
set -euo pipefail

python3 -m venv venv
venv/bin/pip install --quiet faery==0.7.1 numpy==2.4.6
venv/bin/python - > seen.txt <<'PY'
from pathlib import Path

import faery
import numpy as np


def decoded(path):
    """Return the times of the events by the words of the file."""
    data, start = path.read_bytes(), 0
    while data[start : start + 1] == b"%":
        start = data.index(b"\n", start) + 1
    times, high, low, wraps = [], 0, 0, 0
    for word in np.frombuffer(data[start:], "<u2").tolist():
        kind, value = word >> 12, word & 0xFFF
        if kind == 8:
            wraps += value < high
            high = value
        elif kind == 6:
            low = value
        elif kind == 2:
            times.append((wraps << 24) + (high << 12) + low)
    return times


for step in (1, 50):
    times = list(range(0, 30_000_000, step * 1000))
    events = np.array([(t, 5, 6, True) for t in times], dtype=faery.EVENTS_DTYPE)
    for version in ("evt2", "evt3"):
        path = Path(f"{version}.raw")
        faery.events_stream_from_array(events, dimensions=(640, 480)).to_file(path, version=version)
        read = faery.events_stream_from_file(path).to_array()["t"].tolist()
        wrong = [pair for pair in zip(times, read, strict=True) if pair[0] != pair[1]]
        print(f"{version}, every {step} ms: {len(wrong)} of {len(times)} wrong", *wrong[:1])
    print("words of evt3 right:", decoded(path) == times)
PY

cat > expected.txt <<'END'
evt2, every 1 ms: 0 of 30000 wrong
evt3, every 1 ms: 0 of 30000 wrong
words of evt3 right: True
evt2, every 50 ms: 0 of 600 wrong
evt3, every 50 ms: 264 of 600 wrong (16800000, 16750848)
words of evt3 right: True
END
diff expected.txt seen.txt
