"""Describe the C extension `stdo_min._stdo` to cffi; setup.py builds it. Importing this file does nothing else."""

from pathlib import Path

from cffi import FFI

ffibuilder = FFI()
ffibuilder.cdef((Path(__file__).parent / "csrc" / "stdo_cdef.h").read_text())
ffibuilder.set_source(
    "stdo_min._stdo",
    '#include "stdo.h"',
    sources=[f"csrc/{name}.c" for name in ("sidecar", "map", "upscale", "kernels_c", "status")],
    depends=[f"csrc/{name}.h" for name in ("stdo", "stdo_cdef", "sidecar", "kernels")],
    include_dirs=["csrc"],
    extra_compile_args=["-O3", "-std=c11"],
)
