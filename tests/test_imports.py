"""The player needs little: what may not be imported by it is not."""

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


@pytest.mark.parametrize("statement", [
    f"import stdo_min.{name}" for name in ("player", "commands.info", "commands.bench", "cli")])
def test_the_player_imports_no_training(statement):
    modules = loaded(statement)
    assert "stdo_min" in modules
    for name in ("numba", "scipy", "tqdm", "threadpoolctl", "stdo_min.engine", "stdo_min.algorithm"):
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


def test_imports_run_one_way():
    """Every file imports only from rows of HACKING.md's map below its own, or what its own row names."""
    table = (ROOT / "HACKING.md").read_text().partition("\n## Map\n")[2].partition("\n## ")[0]
    rows = [re.findall(r"`(\w+)\.py`", line.split("|")[1]) for line in table.splitlines() if line.startswith("| `")]
    row_of = {name: number for number, row in enumerate(rows) for name in row}
    modules = {path.stem: path for path in (ROOT / "stdo_min").glob("*.py") if not path.stem.startswith("_")}
    assert set(row_of) == set(modules)
    for name, path in modules.items():
        for found in re.finditer(r"^ *from stdo_min(?:\.(\w+))? import (.+)$", path.read_text(), re.M):
            for used in [found[1]] if found[1] else re.findall(r"\w+", found[2]):
                if used in row_of:
                    assert row_of[used] >= row_of[name], f"{name} imports {used}, which stands above it"
                    assert used != name
