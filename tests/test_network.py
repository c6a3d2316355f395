"""Names are names of files, and nothing is fetched unless --allow-network says so."""

import io
import shutil
import socket
import subprocess
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from stdo_min.cli import main
from stdo_min.commands.pipe import pipe
from stdo_min.player import open_video
from stdo_min.video import ffmpeg as video
from stdo_min.video.ffmpeg import Address, VideoError, ffmpeg_executable, probe

NAMES = ["-i.mp4", "--force.mp4", "a;rm -rf x.mp4", "$(touch x).mp4", "it's \"quoted\".mp4", "two\nlines.mp4",
         "pipe:0.mp4", "concat:a|b.mp4", "%d.mp4", "*?.mp4", "http:/127.0.0.1/x.mp4"]
FAST = ["--steps", "10", "--net", "4", "--patch", "16", "-q"]


@pytest.fixture
def web(tmp_path):
    """A web server over tmp_path/web; `asked` lists the paths that were asked for."""

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_):
            pass

    asked, folder = [], tmp_path / "web"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    server.asked, server.folder, server.url = asked, folder, f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def copied(clip, path):
    subprocess.run([ffmpeg_executable(), "-v", "error", "-i", clip, "-c", "copy", path], check=True)


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_are_files(clip, tmp_path, monkeypatch, capsysbinary, name):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / name
    source.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(clip, source)
    out = source.with_name(source.name.replace(".mp4", ".mkv"))
    before = sorted(tmp_path.rglob("*"))
    guard = ["--"]
    assert main(["encode", *FAST, *guard, name, str(out.relative_to(tmp_path))]) == 0
    assert main(["decode", "-q", *guard, str(out.relative_to(tmp_path)), str(tmp_path / "hr.y4m")]) == 0
    stream = io.BytesIO()
    pipe(open_video(out), stream)
    assert (tmp_path / "hr.y4m").read_bytes() == stream.getvalue()
    assert sorted(tmp_path.rglob("*")) == sorted([*before, out, tmp_path / "hr.y4m"])


def test_an_address_is_opened_when_allowed_only(clip, web, tmp_path, capsys):
    copied(clip, web.folder / "a.mkv")  # this server cannot seek, which an .mp4 needs
    url, out = f"{web.url}/a.mkv", str(tmp_path / "out.mkv")
    assert main(["encode", *FAST, url, out]) == 1
    assert "add --allow-network to open an address" in capsys.readouterr().err and not web.asked
    assert main(["encode", *FAST, "--allow-network", url, out]) == 0
    assert "/a.mkv" in web.asked
    shutil.copy(out, web.folder / "lr.mkv")
    assert main(["decode", "-q", "--allow-network", f"{web.url}/lr.mkv", str(tmp_path / "hr.y4m")]) == 0
    assert main(["decode", "-q", out, str(tmp_path / "same.y4m")]) == 0
    assert (tmp_path / "hr.y4m").read_bytes() == (tmp_path / "same.y4m").read_bytes()
    assert main(["pipe", "--allow-network", str(tmp_path / "no.mkv")]) == 1, "a file's name stays one"


@pytest.mark.parametrize("playlist", [
    "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:2,\n{url}/a.ts\n#EXT-X-ENDLIST\n",
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT2S" '
    'profiles="urn:mpeg:dash:profile:isoff-main:2011"><Period><AdaptationSet mimeType="video/mp4"><Representation '
    'id="1" bandwidth="1"><BaseURL>{url}/a.ts</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
], ids=["hls", "dash", "sdp"])
def test_a_file_that_names_addresses_fetches_nothing(clip, web, tmp_path, playlist):
    copied(clip, web.folder / "a.ts")
    path = tmp_path / "list.m3u8"
    path.write_text(playlist.format(url=web.url))
    with pytest.raises(VideoError) as refused:
        probe(path)
    assert not web.asked
    assert "whitelist" in str(refused.value)


def test_an_address_that_names_files_opens_none(clip, web, tmp_path):
    copied(clip, tmp_path / "secret.ts")
    (web.folder / "list.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:2,\nfile://{tmp_path}/secret.ts\n"
        "#EXT-X-ENDLIST\n")
    with pytest.raises(VideoError):
        probe(Address(f"{web.url}/list.m3u8"))


def test_a_source_that_stalls(monkeypatch):
    """It is given up after a time, so that no ffmpeg waits for ever."""
    monkeypatch.setattr(video, "STALLED", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        with pytest.raises(VideoError):
            probe(Address(f"http://127.0.0.1:{silent.getsockname()[1]}/a.mkv"))
    assert time.monotonic() - begun < 20


def test_the_trap_works(clip, web, tmp_path):
    """The same hls playlist is followed as an address: what the test above rests on."""
    copied(clip, web.folder / "a.ts")
    (web.folder / "list.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:2,\n{web.url}/a.ts\n#EXT-X-ENDLIST\n")
    assert probe(Address(f"{web.url}/list.m3u8")).width == 160
    assert "/a.ts" in web.asked
