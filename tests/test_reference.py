"""The reference is built without a warning, and has every module with what it says."""

import ast
import html
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "stdo_min").rglob("[!_]*.py"))


def build(folder, script=None):
    return subprocess.run([sys.executable, script or ROOT / "docs" / "reference.py", folder], capture_output=True,
                          text=True, check=False)


def words(text):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split())


def test_every_module_and_what_it_says(tmp_path):
    done = build(tmp_path)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    for path in MODULES:
        page = tmp_path / path.relative_to(ROOT).with_suffix(".html")
        tree = ast.parse(path.read_text())
        told = [tree, *(node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef)))]
        said = words(page.read_text())
        for node in told:
            if not getattr(node, "name", "").startswith("_") and (text := ast.get_docstring(node)):
                first = " ".join(text.partition("\n\n")[0].replace("`", "").split())
                assert first in said, f"{path.name}: {first}"


@pytest.mark.parametrize("wrong", ['warnings.warn("a bad reference")', 'import nothing_of_this_name'])
def test_a_warning_and_a_module_that_fails_end_it(tmp_path, wrong):
    script = tmp_path / "reference.py"
    whole = (ROOT / "docs" / "reference.py").read_text()
    script.write_text(whole.replace("    resolve_named_tuples()\n    pdoc.doc", f"    {wrong}\n    pdoc.doc")
                      .replace("Path(__file__).parents[1]", f"Path({str(ROOT)!r})"))
    done = build(tmp_path / "out", script)
    assert done.returncode != 0 and re.search("bad reference|nothing_of_this_name", done.stderr)
