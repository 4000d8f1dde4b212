import platform

from Cython.Build import cythonize
from setuptools import Extension, setup

# One source (_kernel.pxi) for each instruction set; simcore/_dispatch.py chooses at run time.
VARIANTS = {"base": []}
if platform.machine() in {"x86_64", "AMD64"}:
    VARIANTS["avx2"] = ["-mavx2"]
    VARIANTS["avx512"] = ["-mavx2", "-mavx512f", "-mavx512bw", "-mavx512vl"]

setup(
    ext_modules=cythonize(
        [
            Extension(
                f"spikewatch.simcore._kernel_{name}",
                [f"simcore/_kernel_{name}.pyx"],
                depends=["simcore/_kernel.pxi", "simcore/_program.pxi", "simcore/_program.h"],
                extra_compile_args=["-O3", *flags],
            )
            for name, flags in VARIANTS.items()
        ],
        compiler_directives={"language_level": "3"},
    ),
)
