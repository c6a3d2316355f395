"""Describe the C extension `stdo_min._stdo` to cffi; setup.py builds it. Importing this file does nothing else."""

from pathlib import Path

from cffi import FFI

CSRC = Path(__file__).parent / "csrc"

ffibuilder = FFI()
for header in ("stdo_cdef.h", "train/train_cdef.h"):
    ffibuilder.cdef((CSRC / header).read_text())
ffibuilder.set_source(
    "stdo_min._stdo",
    '#include "stdo.h"\n#include "train/train_cdef.h"',
    # Files of other architectures compile to nothing.
    sources=sorted(f"csrc/{path.relative_to(CSRC).as_posix()}" for path in CSRC.rglob("*.c")),
    depends=sorted(f"csrc/{path.relative_to(CSRC).as_posix()}" for path in CSRC.rglob("*.h")),
    include_dirs=["csrc"],
    libraries=["m"],
    extra_compile_args=["-O3", "-std=c11", "-ffp-contract=off"],
)
