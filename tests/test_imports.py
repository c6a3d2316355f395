"""The player needs little: what may not be imported by it is not."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def loaded(statement):
    code = f"import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))"
    return json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)


PLAYS = [f"commands.{verb}" for verb in ("decode", "pipe", "play", "serve", "eval", "info", "bench", "demo")]


@pytest.mark.parametrize("name", ["cli", "player", *PLAYS])
def test_the_player_imports_no_training(name):
    modules = loaded(f"import stdo_min.{name}")
    assert "stdo_min" in modules
    for name in ("numba", "scipy", "tqdm", "threadpoolctl", "imageio", "PIL", "stdo_min.engine", "stdo_min.algorithm"):
        assert name not in modules, name


def test_the_trap_works():
    assert "numba" in loaded("import stdo_min.algorithm.chunk")


def test_a_missing_extra_names_its_remedy(tmp_path):
    """Numba hidden: encode says what to install, and info works without."""
    code = ("import sys; sys.modules['numba'] = None; from stdo_min.cli import main; "
            f"sys.exit(main(['encode', 'a.mp4', {str(tmp_path / 'b.mkv')!r}]))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert done.returncode == 1
    assert done.stderr == ("stdo: numba is not installed, which this command needs: pip install 'stdo-min[train]'\n")


# ---- HACKING.md's map ----


def listed():
    """The modules of the map in its order, such as 'algorithm.chunk'."""
    table = (ROOT / "HACKING.md").read_text().partition("\n## Map\n")[2].partition("\nIn `csrc/`")[0]
    room, found = "", []
    for line in table.splitlines():
        cell = line.split("|")[1] if line.startswith("| ") else ""
        if new := re.search(r"\*\*`(\w+)/`\*\*", cell):
            room = f"{new[1]}."
        for name in re.findall(r"`(\w+)\.py`", cell):
            found.append(name if (ROOT / "stdo_min" / f"{name}.py").exists() else room + name)
    return found


def modules():
    """Every module of the package and its path."""
    package = ROOT / "stdo_min"
    return {".".join(path.relative_to(package).with_suffix("").parts): path
            for path in package.rglob("*.py") if not path.stem.startswith("__")}


def imported(path, known):
    """The modules that a file imports, at its top or within a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports are not followed"
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [node.module]
        else:
            continue
        for name in names:
            module = name.removeprefix("stdo_min.")
            rooms = {other.partition(".")[0] for other in known if "." in other}
            if isinstance(node, ast.ImportFrom) and name != node.module:
                assert module not in rooms, f"{path} imports the room {name}; import its files"
            if module in known:
                yield module


def test_the_map_lists_every_file_once():
    names = listed()
    assert len(names) == len(set(names))
    assert set(names) == set(modules())


def test_imports_run_down_the_map():
    """So no circle can be, within a room or between rooms."""
    names, arrows = listed(), 0
    for name, path in modules().items():
        for other in imported(path, modules()):
            assert names.index(name) < names.index(other), f"{name} imports {other}, which does not stand after it"
            arrows += 1
    assert arrows > 100


def test_no_import_hides_from_the_map():
    """Rooms have empty faces, and only cli.py imports by a name that is made as it runs: the verb's."""
    package = ROOT / "stdo_min"
    assert [path.read_text() for path in package.glob("*/__init__.py")] == [""] * 5
    hidden = [path.name for path in package.rglob("*.py") if re.search("import_module|__import__", path.read_text())]
    assert hidden == ["cli.py"]


def test_what_plays_needs_nothing_that_trains():
    known = modules()
    plays = [name for name in known if name.startswith(("format.", "video."))] + ["player", *PLAYS]
    reached, left = set(), list(plays)
    while left:
        name = left.pop()
        if name not in reached:
            reached.add(name)
            left += imported(known[name], known)
    assert not [name for name in reached if name.startswith(("algorithm.", "engine."))]
    trained = set(imported(known["commands.encode"], known))
    assert {"algorithm.film", "algorithm.tasks"} <= trained  # imports within functions are seen too
