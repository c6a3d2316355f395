"""Names are names of files, and nothing is fetched unless --allow-network says so."""

import io
import re
import shutil
import socket
import subprocess
import threading
import time
from contextlib import closing, contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from clips import ffmpeg

from stdo_min.algorithm.recipe import Recipe
from stdo_min.cli import main
from stdo_min.commands.encode import encode
from stdo_min.commands.pipe import pipe
from stdo_min.engine.budget import Budget
from stdo_min.player import open_video
from stdo_min.video import ffmpeg as video
from stdo_min.video.ffmpeg import Address, VideoError, ffmpeg_executable
from stdo_min.video.probe import probe
from stdo_min.video.read import read_source

NAMES = ["-i.mp4", "--force.mp4", "a;rm -rf x $(touch x) it's \"quoted\" on\ntwo lines.mp4",
         "pipe:0.mp4", "concat:a|b.mp4", "%d*?.mp4", "http:/127.0.0.1/x.mp4"]
FAST = ["--scale", "2", "--steps", "10", "--net", "4", "--patch", "16", "-q"]


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


class Impatient(ThreadingHTTPServer):
    """A server of one file that hangs up on who does not read for a second; `asked` are the first bytes asked for.

    ranges: whether it can begin in the middle; True, False, or "claimed": it says so and begins at the start."""

    def __init__(self, path, ranges):
        self.data, self.ranges, self.asked = path.read_bytes(), ranges, []
        super().__init__(("127.0.0.1", 0), _Sender)
        self.url = Address(f"http://127.0.0.1:{self.server_port}/{path.name}")

    def server_bind(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        super().server_bind()


class _Sender(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        data, first = self.server.data, re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        begin = int(first[1]) if first else 0
        self.server.asked.append(begin)
        self.close_connection = True
        if self.server.ranges is True and first:
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
            data = data[begin:]
        else:
            self.send_response(200)
        if self.server.ranges:
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.connection.settimeout(1)
        with suppress(OSError):
            for at in range(0, len(data), 1 << 16):  # the timeout is that of a whole call
                self.connection.sendall(data[at:at + (1 << 16)])

    def log_message(self, *_):
        pass


@contextmanager
def impatient(path, ranges):
    with Impatient(path, ranges) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def large(once):
    """A video that no buffer on the way holds: 30 seconds, 300 frames, some 10 MB."""
    def draw(folder):
        ffmpeg("-f", "lavfi", "-i", "testsrc2=size=192x128:rate=10:duration=30,noise=alls=90:allf=t", "-pix_fmt",
               "yuv420p", "-c:v", "ffv1", folder / "large.mkv")

    path = once("large", draw) / "large.mkv"
    assert path.stat().st_size > 8 << 20
    return path


@pytest.fixture(scope="module")
def large_mp4(large, once):
    """The same in an .mp4, whose demuxer takes an end that comes too early for damage."""
    return once("large-mp4", lambda folder: ffmpeg(
        "-i", large, "-c:v", "libx264", "-preset", "ultrafast", "-qp", "5", "-movflags", "+faststart",
        folder / "large.mp4")) / "large.mp4"


def read_with_a_pause(info, seconds=2.5):
    """The luma of the first frames, and after a pause of the others."""
    with closing(read_source(info)) as frames:
        found = [next(frames).y.tobytes() for _ in range(3)]
        time.sleep(seconds)
        return found + [frame.y.tobytes() for frame in frames]


@pytest.mark.parametrize("kind", ["large", "large_mp4"])
def test_a_reader_that_pauses_goes_on_where_it_was(request, kind):
    path = request.getfixturevalue(kind)
    with impatient(path, ranges=True) as server:
        found = read_with_a_pause(probe(server.url))
        assert any(begin > 1 << 16 for begin in server.asked), "it was hung up on, and asked for the rest"
    assert found == [frame.y.tobytes() for frame in read_source(probe(path))]


@pytest.mark.parametrize("ranges", [False, "claimed"])
@pytest.mark.parametrize("kind", ["large", "large_mp4"])
def test_a_server_that_cannot_go_on_is_named_with_the_remedy(request, kind, ranges):
    with impatient(request.getfixturevalue(kind), ranges) as server:
        info = probe(server.url)
        with pytest.raises(VideoError, match="hung up.*download the file"):
            read_with_a_pause(info)
        assert sum(1 for _ in read_source(info)) == 300, "who does not pause gets all"


@pytest.mark.parametrize("kind", ["large", "large_mp4"])
def test_a_server_that_is_gone_ends_the_reading(request, kind):
    with impatient(request.getfixturevalue(kind), ranges=True) as server:
        info = probe(server.url)
        with closing(read_source(info)) as frames:
            next(frames)
            server.shutdown()
            server.server_close()
            time.sleep(2)
            begun = time.monotonic()
            with pytest.raises(VideoError, match="hung up, and is gone"):
                list(frames)
            assert time.monotonic() - begun < 15


def test_segments_from_a_server_that_hangs_up(large, tmp_path):
    """Every pass is idle while a segment trains, longer than the server waits; the result is that of the file."""
    recipe = Recipe(budget=Budget(steps=6), channels=(2,), patch=32, mode="stdo", chunks=2, refine=0)

    def rest(stage, done, psnr):
        nonlocal segment
        if int(done * 3) > segment:
            segment = int(done * 3)
            time.sleep(1.5)

    with impatient(large, ranges=True) as server:
        segment = -1
        encode(server.url, tmp_path / "far.mp4", 2, recipe, segment=10.0, progress=rest)
        assert segment >= 2
        assert sum(begin > 1 << 16 for begin in server.asked) > 2
    encode(large, tmp_path / "near.mp4", 2, recipe, segment=10.0)
    assert (tmp_path / "far.stdo").read_bytes() == (tmp_path / "near.stdo").read_bytes()


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
