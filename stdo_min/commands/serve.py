"""`stdo serve`: the upscaled video for a player or browser on the same device, for where `stdo play` has no window.

A live fragmented MP4 over HTTP: H.264 and AAC, coded by ffmpeg while it is watched. Only the loopback address is
bound. Every other program on the device can reach that too, so the path begins with a random token. A client that does
not know it gets 404 and learns nothing.
"""

from __future__ import annotations

import argparse
import hmac
import secrets
import socket
import socketserver
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import closing, suppress
from fractions import Fraction
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from stdo_min.commands import options
from stdo_min.commands.pipe import pipe
from stdo_min.player import open_video
from stdo_min.video.ffmpeg import Address, VideoError, ffmpeg_encoders, ffmpeg_process, input_arguments
from stdo_min.video.read import tag_filters
from stdo_min.video.stretch import beside, stretch_between

CODERS = ("h264_mediacodec", "libx264")
STREAMS = 2  # at once: players open a second one before they close the first
CONNECTIONS = 16
REQUEST_SECONDS = 10  # to show the token; watching has no limit
BLOCK = 1 << 16
Times = tuple[Fraction | None, Fraction | None]

_PAGE = """<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{name}</title><style>body{{margin:0;background:#000}}video{{width:100vw;height:100vh}}</style>
<video src="video.mp4" controls autoplay playsinline></video>
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    options.played(parser)
    options.stretch(parser)
    options.network(parser)
    parser.add_argument("--port", type=options.whole(0, 65535), default=8080, metavar="N",
                        help="port of 127.0.0.1, 0 for any that is free; default %(default)s")
    parser.add_argument("--coder", choices=CODERS,
                        help="what codes the H.264; by default the first of these that ffmpeg has")


def run(a: argparse.Namespace) -> None:
    """Print where to look, and serve until Ctrl-C."""
    def report(line):
        print(f"stdo: {line}", file=sys.stderr, flush=True)

    server = Server(a.video, a.sidecar, a.port, a.threads, a.coder, report, (a.start, a.end))
    try:
        print(f"{server.url}\nopen this on this device (in Termux: termux-open-url {server.url}); Ctrl-C ends it",
              flush=True)
        with suppress(KeyboardInterrupt):  # the way to end it
            server.serve_forever()
    finally:
        server.server_close()


class Server(ThreadingHTTPServer):
    """An HTTP server for one lr video and its sidecar; `url` is where to look. serve_forever() runs it, shutdown() and
    server_close() end it and all its streams."""

    daemon_threads = True

    def __init__(self, path: Path | Address, sidecar: Path | None = None, port: int = 0, threads: int = 1,
                 coder: str | None = None, report: Callable[[str], None] = lambda line: None,
                 times: Times = (None, None)):
        """Check that the video can be played, and listen; port 0 takes any that is free.

        report gets a line where a stream fails. times: as for stream. Raises VideoError for a video that cannot be
        played, or a port that cannot be had.
        """
        video = open_video(path, sidecar)
        stretch_between(video.info, video.upscaler.frames, *times)
        _coder(coder, video.upscaler.hr_width, video.upscaler.hr_height)
        self.video, self.report = (path, sidecar, threads, coder, times), report
        self.token = secrets.token_urlsafe(16)
        # Connections that have not shown the token yet, and those that watch the video; the oldest first.
        self._asking, self._watching, self._lock = deque(), deque(), threading.Lock()
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise VideoError(f"port {port}: {error.strerror}; choose another with --port") from None
        self.url = f"http://127.0.0.1:{self.server_port}/{self.token}/"

    def server_bind(self):
        """Bind the address without asking a resolver for its name, as HTTPServer would."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address

    def process_request_thread(self, request, client_address):
        """Serve one connection, which has REQUEST_SECONDS in all to show the token."""
        self._enter(self._asking, request, CONNECTIONS)
        deadline = threading.Timer(REQUEST_SECONDS, self._hang_up_asking, [request])
        deadline.daemon = True
        deadline.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            deadline.cancel()
            self.leave(request)

    def handle_error(self, request, client_address):
        """Say nothing: clients leave when they like."""

    def server_close(self):
        """Stop listening, and end the streams."""
        super().server_close()
        with self._lock:
            for connection in [*self._asking, *self._watching]:
                _hang_up(connection)

    def trust(self, connection: socket.socket, watching: bool) -> None:
        """Take note that a connection has shown the token, and whether it is to be shown the video."""
        self.leave(connection)
        if watching:
            self._enter(self._watching, connection, STREAMS)

    def leave(self, connection: socket.socket) -> None:
        """Forget a connection."""
        with self._lock:
            for group in (self._asking, self._watching):
                with suppress(ValueError):
                    group.remove(connection)

    def _enter(self, group, connection, most):
        # Of too many the oldest is ended, so that a client that stalls keeps nobody out.
        with self._lock:
            group.append(connection)
            if len(group) > most:
                _hang_up(group.popleft())

    def _hang_up_asking(self, connection):
        with self._lock:
            if connection in self._asking:
                _hang_up(connection)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer(with_body=True)

    def do_HEAD(self):
        self._answer(with_body=False)

    def send_error(self, code, message=None, explain=None):
        """Answer every error with the same 404, which does not tell what server this is."""
        self.close_connection = True
        with suppress(OSError):
            self.wfile.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def handle_expect_100(self):
        """Send no 100 Continue: a client without the token gets the 404 and nothing else."""
        return True

    def log_message(self, *_):
        pass

    def _answer(self, with_body):
        _, token, *name = self.path.split("?")[0].split("/", 2) if self.path.startswith("/") else ("", "", "")
        if not hmac.compare_digest(token.encode(), self.server.token.encode()) or name not in ([""], ["video.mp4"]):
            self.send_error(404)
            return
        self.close_connection = True
        self.server.trust(self.connection, watching=with_body and name == ["video.mp4"])
        if name == [""]:
            page = _PAGE.format(name=escape(Path(self.server.video[0]).name)).encode()
            self._head("text/html; charset=utf-8", f"Content-Length: {len(page)}")
            if with_body:
                self.wfile.write(page)
            return
        self._head("video/mp4", "Accept-Ranges: none")
        if with_body:
            self._stream()

    def _head(self, kind, more):
        lines = ["HTTP/1.1 200 OK", f"Content-Type: {kind}", more, "Cache-Control: no-store", "Connection: close",
                 "X-Content-Type-Options: nosniff", "Referrer-Policy: no-referrer"]
        self.wfile.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    def _stream(self):
        try:
            with closing(stream(*self.server.video)) as blocks:
                for block in blocks:
                    self.connection.sendall(block)
        except OSError:  # the client has left, or was hung up on
            pass
        except Exception as error:  # of any kind: it ends this stream, and the next may play
            self.server.report(f"{error or type(error).__name__}")


def stream(path: Path | Address, sidecar: Path | None = None, threads: int = 1, coder: str | None = None,
           times: Times = (None, None)):
    """Yield the bytes of a live fragmented MP4 of the upscaled video, with its sound.

    Frames are only upscaled as fast as the bytes are taken. coder is one of CODERS, by default the first that ffmpeg
    has. times: start and end, as for stretch_between. Closing the generator ends ffmpeg. Raises VideoError.
    """
    video = open_video(path, sidecar)
    stretch = stretch_between(video.info, video.upscaler.frames, *times)
    step = beside(video.info, stretch)
    info, size = video.info, (video.upscaler.hr_width, video.upscaler.hr_height)
    even = ":".join(str(side + side % 2) for side in size)  # phones decode 4:2:0 of even size only
    arguments = ["-f", "yuv4mpegpipe", *step.frames, "-i", "pipe:0", *step.others, *input_arguments(info.path),
                 "-map", "0:v", "-map", "1:a?", "-vf", f"scale={even},{tag_filters(info)}", "-fps_mode", "passthrough",
                 "-c:v", *_coder(coder, *size), "-pix_fmt", "yuv420p", "-g", str(max(1, round(info.rate))),
                 "-c:a", "aac", "-ac", "2", "-movflags", "frag_keyframe+empty_moov+default_base_moof",
                 *step.out, "-f", "mp4", "pipe:1"]
    failures = []

    def feed(process):
        try:
            pipe(video, process.stdin, threads, stretch)
            process.stdin.close()
        except OSError:  # ffmpeg has ended, and says why itself
            pass
        except BaseException as error:  # of any kind: ffmpeg would wait for ever
            failures.append(error)
            process.kill()

    with ffmpeg_process(arguments, info.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        feeder = threading.Thread(target=feed, args=(process,), daemon=True)
        feeder.start()
        try:
            while block := process.stdout.read1(BLOCK):
                yield block
        except BaseException:
            process.kill()
            raise
        finally:
            feeder.join()
        if failures:
            raise failures[0]


def _coder(wanted, width, height):
    has = ffmpeg_encoders()
    found = next((name for name in ([wanted] if wanted else CODERS) if name in has), None)
    if found is None:
        raise VideoError(f"{wanted or ' and '.join(CODERS)}: not in this ffmpeg; install one that has it")
    # The phone's own coder takes a bit rate only: here 8 bits a second for each pixel of a frame.
    quality = ["-b:v", str(8 * width * height)] if found == CODERS[0] else ["-preset", "ultrafast", "-crf", "18"]
    return [found, *quality]


def _hang_up(connection):
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
