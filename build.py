"""Describe the C extension `stdo_min._stdo` to cffi; setup.py builds it. Importing this file does nothing else."""

import sysconfig
from pathlib import Path

from cffi import FFI

CSRC = Path(__file__).parent / "csrc"
PARTS = [CSRC, *(CSRC / part for part in ("x86", "arm", "float", "train", "measure"))]  # csrc/ has programs too
HEADERS = ("include/stdo/stdo.h", "float/float_net.h", "train/train.h", "measure/squared_errors.h",
           "measure/cut_patches.h", "measure/judge.h")
MSVC = sysconfig.get_platform().startswith("win")


def files(*endings: str) -> list[str]:
    """Paths of the extension's files with these endings, from the project's root."""
    folders = [*PARTS, CSRC / "include" / "stdo"]
    return sorted(f"csrc/{path.relative_to(CSRC).as_posix()}"
                  for folder in folders for ending in endings for path in folder.glob(f"*{ending}"))


def declarations(header: str) -> str:
    """The part of a header that cffi, which knows no macros, can read: between two comments."""
    text = (CSRC / header).read_text()
    text = text.partition("/* ---- cffi reads from here")[2].partition("\n")[2]
    return text.partition("/* ---- cffi reads to here")[0].replace("STDO_API ", "")


ffibuilder = FFI()
for header in HEADERS:
    ffibuilder.cdef(declarations(header))
ffibuilder.set_source(
    "stdo_min._stdo",
    "".join(f'#include "{header.removeprefix("include/")}"\n' for header in HEADERS),
    # Files of other architectures compile to nothing.
    sources=files(".c"),
    depends=files(".h", ".inc"),
    include_dirs=["csrc", "csrc/include"],
    libraries=[] if MSVC else ["m"],
    extra_compile_args=["/O2", "/std:c11", "/fp:precise"] if MSVC else ["-O3", "-std=c11", "-ffp-contract=off"],
)
