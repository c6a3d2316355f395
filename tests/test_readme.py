"""The README's commands and code run as they stand, with less training."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stdo_min.algorithm.recipe import Recipe
from stdo_min.commands.encode import encode
from stdo_min.engine.budget import Budget
from stdo_min.video.ffmpeg import ffmpeg_executable

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def folder(clip, tmp_path_factory):
    path = tmp_path_factory.mktemp("readme")
    shutil.copy(clip, path / "film.mp4")
    return path


def write_stdo_with_short_trials(path):
    """The program `stdo`, which trains less where it tries scales, as --steps has it train less for the film."""
    path.write_text(f"#!{sys.executable}\nimport sys\nfrom stdo_min.algorithm import rung\n"
                    "from stdo_min.cli import main\nif __name__ == '__main__':\n"
                    "    rung.STEPS = rung.MORE_STEPS = 20\n    sys.exit(main())\n")
    path.chmod(0o755)
    return path


def test_the_commands_run(folder, tmp_path):
    use = README.partition("\n## Use\n")[2].partition("\n## ")[0]
    commands = re.findall(r"^stdo .*?(?=\s+#|$)", use, re.M)
    assert len(commands) == 5
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("STDO_FFPROBE", None)
    encoder = write_stdo_with_short_trials(tmp_path / "stdo")
    for command in commands:
        if command.startswith("stdo play"):
            continue  # wants a display
        command = re.sub("^stdo encode", f"{shlex.quote(str(encoder))} encode", command)
        command = re.sub(r"--budget \w+", "--steps 20", command).replace("| mpv -", "| wc -c")
        done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True,
                              check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        assert done.stdout
    assert {path.name for path in folder.iterdir()} == {"film.mp4", "film.mkv", "film-hr.mp4", "gain.png"}


@pytest.mark.skipif(not shutil.which("make"), reason="no make")
def test_the_commands_of_the_c_player_run(folder, tmp_path, copy_build):
    """With another prefix, and a stream that goes to wc in place of mpv."""
    install, play = re.findall(r"^(?:make lib|ffmpeg) .*$", README, re.M)
    environment = {**os.environ, "BUILD": str(tmp_path / "build")}
    copy_build(tmp_path / "build")
    done = subprocess.run(install.replace("/usr/local", str(tmp_path)), shell=True, cwd=ROOT, env=environment,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    recipe = Recipe(budget=Budget(steps=10), channels=(4,), patch=16)
    made = encode(folder / "film.mp4", tmp_path / "low.mp4", 2, recipe)
    play = play.replace("ffmpeg", f"{ffmpeg_executable()} -v error", 1).replace("stdo-y4m", "bin/stdo-y4m")
    done = subprocess.run(play.replace("| mpv -", "| wc -c"), shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and int(done.stdout) > made.frames * 160 * 90, done.stderr


def test_the_code_runs(clip, tmp_path, monkeypatch):
    encode(clip, tmp_path / "film.mkv", 2, Recipe(budget=Budget(steps=10), channels=(4,), patch=16))
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    names = {}
    exec(code, names)
    assert names["shown"].hr.y.shape == (90, 160)


def help_of(*verb):
    command = [sys.executable, "-m", "stdo_min", *verb, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_every_verb_and_option_is_there():
    said = help_of()
    verbs = re.findall(r"^\| `(\w+)[ `]", README, re.M)
    assert len(verbs) == 10
    for verb in verbs:
        assert re.search(rf"^ +{verb} ", said, re.M), verb
    listed = help_of("encode")
    options = re.findall(r"`(--[a-z]+)", README.partition("`stdo VERB --help`")[2].partition("\n\n")[0])
    assert len(options) >= 8
    for option in options:
        assert option in listed, option


def test_its_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"make (demo|test)", README))
    assert targets == {"demo", "test"}
    for target in targets:
        assert f"\n{target}: " in makefile


def test_the_lines_of_the_example_are_as_told():
    lines = (ROOT / "examples" / "stdo_from_scratch.py").read_text().count("\n")
    for name in ("README.md", "CHANGELOG.md"):
        (told,) = re.findall(r"in (\d+) lines of NumPy", (ROOT / name).read_text())
        assert int(told) == round(lines, -1), name


def test_it_stays_short():
    assert README.count("\n") < 120
