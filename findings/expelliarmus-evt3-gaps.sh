#!/usr/bin/env bash
# expelliarmus 1.1.12, events of an event camera saved as EVT3.
#
# Guess: what it writes it reads back, times included: EVT3 has 12 low bits of the time in TIME_LOW words and 12 high
#   bits in TIME_HIGH words, so the writer sends a TIME_HIGH word whenever the high bits change.
# Instead: it writes one TIME_HIGH word at the start and none after it. A gap of 4,096 us or more shrinks to its
#   remainder, so a quiet recording is squeezed in time, without any message. DAT and EVT2 of the same events are
#   exact.
# Seen 2026-11-30: four events at 100, 200, 5000 and 20,000,000 us come back at 100, 200, 904 and 3328 us.
set -euo pipefail

python3 -m venv venv
venv/bin/pip install --quiet expelliarmus==1.1.12 numpy==2.4.6
venv/bin/python - > seen.txt <<'PY'
import numpy as np
from expelliarmus import Wizard

times = [100, 200, 5_000, 20_000_000]
fields = [("t", np.int64), ("x", np.int16), ("y", np.int16), ("p", np.uint8)]
events = np.array([(t, 5, 6, 1) for t in times], dtype=fields)
for encoding, name in [("dat", "a.dat"), ("evt2", "a2.raw"), ("evt3", "a3.raw")]:
    Wizard(encoding=encoding).save(fpath=name, arr=events)
    print(encoding, Wizard(encoding=encoding).read(name)["t"].tolist())

data = open("a3.raw", "rb").read()
start = 0
while data[start : start + 1] == b"%":
    start = data.index(b"\n", start) + 1
words = np.frombuffer(data[start:], "<u2")
print("TIME_HIGH words:", int((words >> 12 == 8).sum()))
PY

cat > expected.txt <<'END'
dat [100, 200, 5000, 20000000]
evt2 [100, 200, 5000, 20000000]
evt3 [100, 200, 904, 3328]
TIME_HIGH words: 1
END
diff expected.txt seen.txt
