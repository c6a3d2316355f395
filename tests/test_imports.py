"""The player needs little: what may not be imported by it is not."""

import json
import subprocess
import sys

import pytest


def loaded(statement):
    code = f"import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))"
    return json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)


@pytest.mark.parametrize("statement", ["import stdo_min.play", "import stdo_min.info", "import stdo_min.cli"])
def test_the_player_imports_no_training(statement):
    modules = loaded(statement)
    assert "stdo_min" in modules
    for name in ("numba", "scipy", "tqdm", "threadpoolctl", "stdo_min.autograd", "stdo_min.nets", "stdo_min.training"):
        assert name not in modules, name


def test_the_trap_works():
    assert "numba" in loaded("import stdo_min.scoring")


def test_a_missing_extra_names_its_remedy(tmp_path):
    """Numba hidden: encode says what to install, and info works without."""
    code = ("import sys; sys.modules['numba'] = None; from stdo_min.cli import main; "
            f"sys.exit(main(['encode', 'a.mp4', {str(tmp_path / 'b.mkv')!r}]))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert done.returncode == 1
    assert done.stderr == ("stdo: numba is not installed, which this command needs: pip install 'stdo-min[train]'\n")
