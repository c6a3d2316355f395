"""The C sources as they are written: headers that stand alone, short lists of parameters, rows without divisions."""

import re
import shutil
import subprocess

import pytest
from samples import CSRC, INCLUDE, LIBRARY

COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
HEADERS = sorted(CSRC.rglob("*.h"))
SOURCES = sorted(path for path in CSRC.rglob("*") if path.suffix in (".c", ".h", ".inc"))


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("header", HEADERS, ids=lambda path: path.relative_to(CSRC).as_posix())
def test_header_stands_alone(tmp_path, compiler, header):
    """What may only be included in the middle of a file is not called .h but .inc."""
    source = tmp_path / "alone.c"
    # ISO C wants a declaration in every file; a header may be of macros alone.
    source.write_text(f'#include "{header.relative_to(CSRC).as_posix().removeprefix("include/")}"\ntypedef int none;\n')
    done = subprocess.run([compiler, "-std=c11", "-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Werror", *INCLUDE,
                           source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def without_noise(text):
    """A source without comments, strings, preprocessor lines and `extern "C"`."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(r"\\\n", " ", text)
    text = re.sub(r"^[ \t]*#.*$", "", text, flags=re.M)
    return re.sub(r'extern "C" \{|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])+\'', " ", text)


def parameters(text):
    """Yield (name, count) of every function that is declared or defined outside of bodies, and of pointers to some."""
    braces, lists = 0, []
    for at, c in enumerate(text):
        braces += (c == "{") - (c == "}")
        if c == "(":
            lists.append([at, 1])
        elif c == "," and lists:
            lists[-1][1] += 1
        elif c == ")":
            begin, count = lists.pop()
            name = re.search(r"(\w+\)?)\s*$", text[:begin])
            pointer = name and name[1].endswith(")")
            if name and (braces <= 0 or pointer):
                yield name[1].strip(")"), count
    assert not lists


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(CSRC).as_posix())
def test_no_function_has_more_than_8_parameters(path):
    many = [(name, count) for name, count in parameters(without_noise(path.read_text())) if count > 8]
    assert not many


def test_the_parameters_are_counted():
    text = "int f(int a, int (*g)(int, int), int c);\nstruct s { void (*h)(int, int, int); };\nint k(void) { x(1, 2); }"
    assert [found for found in parameters(text) if found[0] in "fghkx"] == [("g", 2), ("f", 3), ("h", 3), ("k", 1)]


# ---- Rows divide nothing: sizes are computed when a sidecar is opened ----

# What is done once, when a sidecar is opened.
WHEN_OPENED = {"check_header", "extent_ok", "stdo_open_float", "plane_of", "stdo_net_measure", "shape_of",
               "pack_block", "weight_at", "stdo_arm_weight", "pack_weights", "pack_narrow", "narrow_taps",
               "stdo_range_bits", "place_of"}  # fmt: skip


def dividing_functions(folder, flags):
    found = set()
    for source in LIBRARY:
        if source.parent.name in ("train", "measure"):
            continue
        target = folder / f"{source.stem}.o"
        subprocess.run([*flags, "-std=c11", *INCLUDE, "-c", source, "-o", target], check=True)
        objdump = "aarch64-linux-gnu-objdump" if "aarch64" in flags[0] else "objdump"
        said = subprocess.run([objdump, "-d", "--no-show-raw-insn", target], capture_output=True, text=True, check=True)
        name = None
        for line in said.stdout.splitlines():
            if begin := re.match(r"[0-9a-f]+ <([\w.]+)>:", line):
                name = begin[1].partition(".")[0]
            elif re.search(r"\t([iu]?div[lqw]?|sdiv)\s", line):
                found.add(name)
    return found


@pytest.mark.parametrize("compiler", ["gcc", "aarch64-linux-gnu-gcc"])
def test_rows_divide_nothing(tmp_path, compiler):
    if not shutil.which(compiler) or not shutil.which("objdump"):
        pytest.skip(f"no {compiler} or objdump")
    # Without optimisation every function stays, and each division is one.
    dividing = dividing_functions(tmp_path, [compiler, "-O0"])
    assert "check_header" in dividing, "divisions are found"
    assert dividing <= WHEN_OPENED
