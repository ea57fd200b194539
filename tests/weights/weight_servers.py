"""A local HTTP server that misbehaves on order, and small caffemodels to serve."""

import contextlib
import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

MODIFIED = "Sat, 05 Nov 2016 10:00:00 GMT"


@dataclass
class Server:
    """files: path -> bytes. plan: what to do with the requests to come, one function each; then files are served well.

    log: (path, Range header or None, status) of each request.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    plan: list[Callable] = field(default_factory=list)
    log: list[tuple[str, str | None, int]] = field(default_factory=list)
    ranges: bool = True
    lengths: bool = True
    etag: str | None = "strong"

    def tag(self, body: bytes) -> str | None:
        digest = hashlib.md5(body).hexdigest()
        return {"strong": f'"{digest}"', "weak": f'W/"{digest}"', None: None}[self.etag]


class _Handler(http.server.BaseHTTPRequestHandler):
    server_state: Server
    protocol_version = "HTTP/1.0"  # a connection a request

    def do_GET(self):
        state = self.server_state
        (state.plan.pop(0) if state.plan else serve)(self, state)

    def send_response(self, code, message=None):
        self.server_state.log.append((self.path, self.headers.get("Range"), code))
        super().send_response(code, message)

    def log_message(self, *args):
        pass


def serve(handler, state, limit: int | None = None, **headers: str) -> None:
    """The file as asked for, all of it or a range of it; of that, the first ``limit`` bytes only."""
    body = state.files.get(handler.path.partition("?")[0])
    if body is None:
        return answer(404, b"nothing here")(handler, state)
    start, wanted = 0, handler.headers.get("Range")
    known = (state.tag(body), MODIFIED)
    if wanted and state.ranges and handler.headers.get("If-Range") in known:
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
    handler.send_response(206 if start else 200)
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
    if state.lengths:
        handler.send_header("Content-Length", str(len(body) - start))
    if state.tag(body):
        handler.send_header("ETag", state.tag(body))
        handler.send_header("Last-Modified", MODIFIED)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body[start:] if limit is None else body[start : start + limit])
    return None


def cut(limit: int) -> Callable:
    """Hangs up after ``limit`` bytes of what it promised."""
    return lambda handler, state: serve(handler, state, limit)


def stall(limit: int) -> Callable:
    """Sends ``limit`` bytes, then nothing until the other side hangs up. A header says so, for ``time_out_at_once``."""

    def act(handler, state):
        serve(handler, state, limit, Stalls_After=str(limit))
        handler.wfile.flush()
        with contextlib.suppress(OSError):
            handler.connection.recv(1)

    return act


def time_out_at_once(read1: Callable) -> Callable:
    """HTTPResponse.read1 that times out where ``stall`` would keep it waiting, and nowhere else: no clock is asked, so
    that a good server that is slow is not taken for a stalled one."""

    def read(response, amount: int = -1) -> bytes:
        limit, came = response.headers.get("Stalls-After"), getattr(response, "came", 0)
        if limit is not None and came >= int(limit):
            raise TimeoutError("timed out")
        data = read1(response, amount)
        response.came = came + len(data)
        return data

    return read


def answer(code: int, body: bytes = b"", **headers: str) -> Callable:
    """This answer, whatever was asked for."""

    def act(handler, state):
        handler.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return act


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    state = Server()
    handler = type("Handler", (_Handler,), {"server_state": state})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield state
        finally:
            server.shutdown()
