"""Describe the C extension `stdo_min._stdo` to cffi; setup.py builds it. Importing this file does nothing else."""

from pathlib import Path

from cffi import FFI

CSRC = Path(__file__).parent / "csrc"
PARTS = [CSRC, CSRC / "x86", CSRC / "arm", CSRC / "train"]  # the library; csrc/ has programs too


def files(ending: str) -> list[str]:
    """Paths of the library's files with an ending, from the project's root."""
    return sorted(f"csrc/{path.relative_to(CSRC).as_posix()}" for part in PARTS for path in part.glob(f"*{ending}"))


ffibuilder = FFI()
for header in ("stdo_cdef.h", "train/train_cdef.h"):
    ffibuilder.cdef((CSRC / header).read_text())
ffibuilder.set_source(
    "stdo_min._stdo",
    '#include "stdo.h"\n#include "train/train_cdef.h"',
    # Files of other architectures compile to nothing.
    sources=files(".c"),
    depends=files(".h"),
    include_dirs=["csrc"],
    libraries=["m"],
    extra_compile_args=["-O3", "-std=c11", "-ffp-contract=off"],
)
