import platform
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

# One source (the .pyx, .pxi and .h files) for each instruction set; simcore/_dispatch.py chooses at run time.
VARIANTS = {"base": []}
if platform.machine() in {"x86_64", "AMD64"}:
    VARIANTS["avx2"] = ["-mavx2"]
    VARIANTS["avx512"] = ["-mavx2", "-mavx512f", "-mavx512bw", "-mavx512vl"]

# -g0: debug information made three quarters of the wheel's compiled code
COMPILE = ["-O3", "-g0"]

SOURCES = sorted(
    str(file) for end in ("pyx", "pxi", "h") for file in Path("simcore").glob(f"_*.{end}")
)

setup(
    ext_modules=cythonize(
        [
            Extension(
                f"spikewatch.simcore._kernel_{name}",
                [f"simcore/_kernel_{name}.pyx"],
                depends=SOURCES,
                # -fwrapv: lanes of a vector whose result is not used may overflow
                extra_compile_args=[*COMPILE, "-fwrapv", *flags],
            )
            for name, flags in VARIANTS.items()
        ]
        + [
            Extension(
                "spikewatch.simcore._lookup",
                ["simcore/_lookup.pyx"],
                depends=[*map(str, sorted(Path("simcore").glob("_lookup*.h")))],
                extra_compile_args=COMPILE,
            ),
            Extension(
                "spikewatch.daemon._calls",
                ["daemon/_calls.pyx"],
                depends=["daemon/_calls.pyx", "daemon/_calls.h"],  # all of them go into the sdist
                extra_compile_args=COMPILE,
            ),
        ],
        compiler_directives={"language_level": "3"},
    ),
    options={"build_ext": {"parallel": True}},  # compile on all processors
)
