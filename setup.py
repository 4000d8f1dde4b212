import platform
import runpy
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

# One source (the .pyx, .pxi and .h files) for each instruction set; simcore/chip/_dispatch.py chooses at run time.
VARIANTS = {"base": []}
if platform.machine() in {"x86_64", "AMD64"}:
    VARIANTS["avx2"] = ["-mavx2"]
    VARIANTS["avx512"] = ["-mavx2", "-mavx512f", "-mavx512bw", "-mavx512vl"]

# -g0: debug information made three quarters of the wheel's compiled code
# -falign-functions: without it, a function's place in its file changes a kernel's speed by up to a tenth
COMPILE = ["-O3", "-g0", "-falign-functions=64"]

# Numbers that Python and the kernels share are written in these modules, and are macros in C.
SHARED = ["simcore/limits.py", "simcore/chip/constants.py"]
MACROS = [
    (name, str(value))
    for file in SHARED
    for name, value in runpy.run_path(file).items()
    if type(value) is int
]


def sources(pattern: str) -> list[str]:
    """List the sources of an extension: as its `depends`, they also go into the sdist."""
    return sorted(
        str(file) for end in ("pyx", "pxi", "h") for file in Path().glob(f"{pattern}.{end}")
    )


setup(
    ext_modules=cythonize(
        [
            Extension(
                f"spikewatch.simcore.chip._kernel_{name}",
                [f"simcore/chip/_kernel_{name}.pyx"],
                depends=[*sources("simcore/chip/_*"), *SHARED],
                define_macros=MACROS,
                # -fwrapv: lanes of a vector whose result is not used may overflow
                extra_compile_args=[*COMPILE, "-fwrapv", *flags],
            )
            for name, flags in VARIANTS.items()
        ]
        + [
            Extension(
                "spikewatch.simcore.text._lookup",
                ["simcore/text/_lookup.pyx"],
                depends=sources("simcore/text/_*"),
                extra_compile_args=COMPILE,
            ),
            Extension(
                "spikewatch.daemon.files._calls",
                ["daemon/files/_calls.pyx"],
                depends=sources("daemon/files/_*"),
                extra_compile_args=COMPILE,
            ),
        ],
        compiler_directives={"language_level": "3"},
    ),
    options={"build_ext": {"parallel": True}},  # compile on all processors
)
