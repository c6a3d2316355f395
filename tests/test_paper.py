"""docs/stdo.md runs as it stands, and bench/paper.py's figures of scores."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

from bench.paper import cut_both_ways, error_shares

PAGE = (Path(__file__).parents[1] / "docs" / "stdo.md").read_text()


def test_the_snippets_run_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    snippets, names = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S), {}
    assert len(snippets) == 8
    for snippet in snippets:
        exec(compile(snippet, "docs/stdo.md", "exec"), names)
    assert names["y"].dtype == np.uint8 and os.path.getsize("small.mkv") > 0


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", PAGE):
        assert (Path(__file__).parents[1] / "docs" / target).exists(), target


def test_shares_of_the_error():
    # Two patches of error 9 and 1 per unit, the others without any: the hardest half holds all, an eighth 9 tenths.
    errors = np.array([9.0, 1, 0, 0, 0, 0, 0, 0]) + 1e-12
    assert error_shares(-10 * np.log10(errors)) == pytest.approx([1, 1, 0.9], abs=1e-6)


def test_cuts():
    scores = np.array([30.0, 31, 50, 51, 52, 53])
    assert cut_both_ways(scores, 2) == {"k-means": [50.0], "equal counts": [51.0]}
