"""Outputs appear whole or not at all."""

import os
import stat

import pytest

from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.output import output_file


def test_output_appears_whole(tmp_path):
    target = tmp_path / "out.mp4"
    with output_file(target) as temporary:
        temporary.write_bytes(b"new")
        assert temporary.suffix == ".mp4" and temporary.parent == tmp_path and not target.exists()
    assert target.read_bytes() == b"new" and os.listdir(tmp_path) == ["out.mp4"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("error", [VideoError, KeyboardInterrupt, BrokenPipeError])
def test_a_failure_leaves_what_was_there(tmp_path, error):
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")
    with pytest.raises(error), output_file(target, force=True) as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert target.read_bytes() == b"old" and os.listdir(tmp_path) == ["out.mp4"]


def test_existing_output_needs_force(tmp_path):
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")
    with pytest.raises(VideoError, match="--force"), output_file(target):
        pass
    with output_file(target, force=True) as temporary:
        temporary.write_bytes(b"new")
    assert target.read_bytes() == b"new"


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "real.mp4", tmp_path / "link.mp4"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with output_file(link, force=True) as temporary:
        temporary.write_bytes(b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"


@pytest.mark.parametrize("name,reason", [
    ("", "a directory"), ("no/out.mp4", "no directory"), ("f/out.mp4", "no directory")])
def test_places_that_cannot_be_written(tmp_path, name, reason):
    (tmp_path / "f").touch()
    with pytest.raises(VideoError, match=reason), output_file(tmp_path / name, force=True):
        pass


def test_a_device_is_never_replaced():
    with pytest.raises(VideoError, match="not a regular file"), output_file("/dev/null", force=True):
        pass


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_refuses(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(VideoError, match="cannot be written"), output_file(tmp_path / "out.mp4"):
        pass
