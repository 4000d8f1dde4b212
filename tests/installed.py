"""Answer one question with the installed package; `make dist` and cibuildwheel run this with the base install."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path


def main() -> None:
    """Check the installed modules, and answer a file with the bundled model."""
    files = importlib.metadata.files("spikewatch") or []
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    kernels = {f.name.removesuffix(suffix) for f in files if f.name.endswith(suffix)}
    expected = {"_calls", "_kernel_base", "_lookup"}
    if platform.machine() in {"x86_64", "AMD64"}:
        expected |= {"_kernel_avx2", "_kernel_avx512"}
    if kernels != expected:
        sys.exit(f"compiled modules in the wheel: {sorted(kernels)}, expected {sorted(expected)}")
    extras = {d.name for d in importlib.metadata.distributions()} & {"torch", "onnx", "dask"}
    if extras:
        sys.exit(f"more than the base install: {sorted(extras)}")
    program = Path(sysconfig.get_path("scripts"), "spikewatchd")
    with tempfile.TemporaryDirectory() as folder:
        spool, file = Path(folder, "spool"), Path(folder, "questions.txt")
        file.write_text("Who wrote Hamlet?\n")
        subprocess.run([program, "put", "--create", "--spool", spool, file], check=True)
        subprocess.run([program, "run", "--spool", spool, "--once"], check=True)
        answer = json.loads((spool / "out" / "questions.txt.jsonl").read_text())
    if answer["label"] != "HUM":
        sys.exit(f"answered {answer}, expected HUM")
    version = importlib.metadata.version("spikewatch")
    print(f"spikewatch {version}: {', '.join(sorted(kernels))}; {answer['text']} {answer['label']}")  # noqa: T201 - a program


if __name__ == "__main__":
    main()
