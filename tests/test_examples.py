"""The pages of examples/ run as they stand, with less training."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from clips import ffmpeg

from stdo_min.player import frames, open_video
from stdo_min.video.ffmpeg import ffmpeg_executable
from stdo_min.video.png import read_png

FOLDER = Path(__file__).parents[1] / "examples"


def pieces(page):
    """The languages and texts of the blocks of a page, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", (FOLDER / page).read_text(), re.M | re.S)


def shell(text, folder):
    """Run commands with few steps of training; `play` wants a display. Gives what they printed."""
    bin = folder / "bin"
    bin.mkdir(exist_ok=True)
    if not (bin / "ffmpeg").exists():
        (bin / "ffmpeg").symlink_to(ffmpeg_executable())
    path = os.pathsep.join((str(bin), str(Path(sys.executable).parent), os.environ["PATH"]))
    said = ""
    for command in text.replace("\\\n", "").splitlines():
        if command.startswith("stdo play"):
            continue
        command = re.sub(r"--budget \w+", "--steps 30", command).replace("ffmpeg ", "ffmpeg -v error ")
        done = subprocess.run(command, shell=True, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True,
                              text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        said += done.stdout
    return said


@pytest.fixture
def folder(clip, tmp_path, monkeypatch):
    shutil.copy(clip, tmp_path / "film.mp4")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_page_is_listed():
    listed = set(re.findall(r"\]\((\S+)\)", (FOLDER / "README.md").read_text()))
    assert listed == {path.name for path in FOLDER.iterdir() if path.suffix in (".md", ".py")} - {"README.md"}


def test_restore(folder):
    for language, text in pieces("restore.md"):
        assert language == "sh"
        shell(text, folder)
    assert open_video(folder / "film.mkv").upscaler.scale == 1
    assert all((folder / name).exists() for name in ("gain.png", "film.html", "restored.mp4"))


def test_ladder(folder, clip):
    ffmpeg("-i", clip, "-vf", "crop=160:88", folder / "film.mp4")  # half of which x264 takes
    made, played, info = (shell(text, folder) for _, text in pieces("ladder.md"))
    assert "rung.stdo" in made and "dB" in played and re.search(r"^scale +2$", info, re.M)


def test_frames(folder, capsys):
    names = {}
    for language, text in pieces("frames.md"):
        if language == "sh":
            shell(text, folder)
        else:
            exec(compile(text, "examples/frames.md", "exec"), names)
    wanted = [shown.hr.y.copy() for shown in frames(open_video(folder / "film.mkv"), first=9, count=1)]
    assert np.array_equal(names["kept"], wanted[0])
    assert np.array_equal(read_png(folder / "tenth.png")[..., 0], wanted[0])
    assert "frames, mean luma" in capsys.readouterr().out


@pytest.mark.skipif(not shutil.which("make") or not shutil.which("cc"), reason="no make or no C compiler")
def test_embed(folder, monkeypatch, copy_build):
    (folder / "stdo").symlink_to(FOLDER.parent)
    copy_build(folder / "build")
    monkeypatch.setenv("BUILD", str(folder / "build"))
    commands = [text for language, text in pieces("embed.md") if language == "sh"]
    for text in commands:
        shell(text, folder)
    wanted = b"".join(np.ascontiguousarray(plane).tobytes() for shown in frames(open_video(folder / "low.mp4"))
                      for plane in shown.hr)
    assert (folder / "hr.yuv").read_bytes() == wanted


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_the_snippets_of_embed_compile(tmp_path):
    snippets = [text for language, text in pieces("embed.md") if language == "c"]
    functions = [f"stdo_status part_{number}(const uint8_t *bytes, size_t size, size_t so_far);\n"
                 f"stdo_status part_{number}(const uint8_t *bytes, size_t size, size_t so_far)\n"
                 f"{{ stdo_sidecar *sidecar; (void)size; (void)so_far;\n{text} return status; }}\n"
                 for number, text in enumerate(snippets)]
    (tmp_path / "snippets.c").write_text("#include <stdo/stdo.h>\n" + "".join(functions))
    subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-I", FOLDER.parent / "csrc" / "include", "-c",
                    tmp_path / "snippets.c", "-o", tmp_path / "snippets.o"], check=True)
    assert len(snippets) == 2
