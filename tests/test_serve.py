"""stdo serve with real clients: ffmpeg, sockets that misbehave, and a browser."""

import http.client
import socket
import subprocess
import threading
import time
import urllib.request
from contextlib import contextmanager

import pytest
from browser import browser, needs_browser

from stdo_min.algorithm.recipe import Recipe
from stdo_min.commands import serve
from stdo_min.commands.demo import write_demo
from stdo_min.commands.encode import encode
from stdo_min.commands.serve import Server, stream
from stdo_min.engine.budget import Budget
from stdo_min.video.ffmpeg import VideoError, ffmpeg_executable
from stdo_min.video.probe import probe


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """An encoded clip with sound, of odd hr size."""
    folder = tmp_path_factory.mktemp("film")
    write_demo(folder / "source.mp4", 162, 90, 2, 12)
    out = folder / "a <film>.mkv"
    encode(folder / "source.mp4", out, 2, Recipe(budget=Budget(steps=20), channels=(4,), patch=16, mode="stdo"))
    return out


@contextmanager
def serving(path, **options):
    server = Server(path, **options)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.fixture(scope="module")
def server(film):
    with serving(film) as running:
        yield running


def request(server, path, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    connection.request(method, path)
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


def test_ffmpeg_plays_it(server, tmp_path):
    copy = tmp_path / "copy.mp4"
    subprocess.run([ffmpeg_executable(), "-v", "error", "-i", server.url + "video.mp4", "-c", "copy", copy], check=True)
    info = probe(copy)
    assert (info.width, info.height, info.has_audio) == (162, 90, True)
    counted = subprocess.run([ffmpeg_executable(), "-i", copy, "-map", "0:v", "-f", "null", "-"], capture_output=True,
                             check=True)
    assert b"frame=   24" in counted.stderr


def test_the_page(server):
    status, headers, page = request(server, f"/{server.token}/")
    assert status == 200 and headers["Content-Type"].startswith("text/html")
    assert b'<video src="video.mp4"' in page and b"a &lt;film&gt;.mkv" in page
    status, headers, body = request(server, f"/{server.token}/video.mp4", "HEAD")
    assert (status, headers["Content-Type"], body) == (200, "video/mp4", b"")


@pytest.mark.parametrize("path", ["/", "/wrong/", "/wrong/video.mp4", "/{}", "/{}/../", "/{}/lr.mkv", "/{}x/",
                                  "/%2e%2e/", "/é/", "{}"])  # fmt: skip
def test_whoever_does_not_know_learns_nothing(server, path):
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as client:
        client.sendall(f"GET {path.format(server.token)} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        answer = client.makefile("rb").read()
    assert answer == b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("said", [
    b"POST / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
    b"nonsense\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n",
])
def test_what_is_no_request(server, said):
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as client:
        client.sendall(said)
        answer = client.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n") and b"Python" not in answer


def test_only_the_loopback_hears(server):
    assert server.server_address[0] == "127.0.0.1"
    assert len(server.token) >= 20 and server.token in server.url


def test_clients_that_stall_or_leave(film):
    """More of them than streams there may be; the next one is served all the same."""
    with serving(film) as server:
        ask = f"GET /{server.token}/video.mp4 HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        stalled = []
        for number in range(5):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.connect(("127.0.0.1", server.server_port))
            client.sendall(ask)
            client.recv(100)
            if number % 2:
                client.close()
            else:
                stalled.append(client)
        with urllib.request.urlopen(server.url + "video.mp4", timeout=30) as answer:
            whole = answer.read()
        assert len(whole) > 10_000 and whole[4:8] == b"ftyp"
        for client in stalled:
            client.close()


def test_silent_connections_keep_nobody_out(film):
    with serving(film) as server:
        silent = [socket.create_connection(("127.0.0.1", server.server_port)) for _ in range(2 * serve.CONNECTIONS)]
        for _ in range(3):
            assert request(server, f"/{server.token}/")[0] == 200
        for client in silent:
            client.close()


def test_a_request_that_drips(film, monkeypatch):
    """The deadline is for all of it, however often a byte comes."""
    monkeypatch.setattr(serve, "REQUEST_SECONDS", 1)
    with serving(film) as server, socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as client:
        begun = time.monotonic()
        with pytest.raises(OSError):  # noqa: PT012
            while time.monotonic() < begun + 15:
                client.sendall(b"G")
                time.sleep(0.1)
        assert time.monotonic() - begun < 5


def test_a_failure_that_nobody_thought_of(film, monkeypatch):
    """The stream ends, with a report, in place of waiting for frames for ever."""
    def fail(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(serve, "pipe", fail)
    reports = []
    with serving(film, report=reports.append) as server:
        assert request(server, f"/{server.token}/video.mp4")[0] == 200
    assert reports == ["can't start new thread"]


def test_a_stream_is_made_as_it_is_watched(film):
    """Closing it early ends ffmpeg and the threads."""
    before = threading.active_count()
    blocks = stream(film)
    assert next(blocks)[4:8] == b"ftyp"
    blocks.close()
    assert threading.active_count() <= before


def test_a_video_that_fails_while_it_is_watched(film, tmp_path):
    """Frames that are not those of the sidecar: the stream ends, the server says why and lives on."""
    other = tmp_path / "other.mkv"
    subprocess.run([ffmpeg_executable(), "-v", "error", "-i", film, "-map", "0", "-vf", "negate", "-c:v", "libx264",
                    "-c:a", "copy", other], check=True)
    reports = []
    with serving(other, report=reports.append) as server:
        assert request(server, f"/{server.token}/video.mp4")[0] == 200
        assert request(server, f"/{server.token}/")[0] == 200
    assert len(reports) == 1 and "not those the sidecar was made" in reports[0]


def test_what_cannot_be_served(film, tmp_path, server):
    with pytest.raises(VideoError, match="no such file"):
        Server(tmp_path / "no.mkv")
    with pytest.raises(VideoError, match=r"port \d+: Address already in use; choose another with --port"):
        Server(film, port=server.server_port)
    with pytest.raises(VideoError, match="h264_mediacodec: not in this ffmpeg"):
        Server(film, coder="h264_mediacodec")


@needs_browser
def test_a_browser_plays_the_page(server, tmp_path):
    with browser(tmp_path) as session:
        session.post("/url", url=server.url)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            at, width, height, error = session.run(
                "const v = document.querySelector('video');"
                "return [v.currentTime, v.videoWidth, v.videoHeight, v.error && v.error.message];")
            assert error is None
            if at > 1:
                break
            time.sleep(0.2)
        assert at > 1 and (width, height) == (162, 90)
