"""A server that answers by a script: well, slowly, brokenly or in part."""

import contextlib
import http.server
import json
import threading
import time

VECTOR = {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": "-1"}]}}
METADATA = {
    "metadata": {
        "signature_def": {
            "signature_def": {"s": {"inputs": {"x": VECTOR}, "outputs": {"y": VECTOR, "z": VECTOR}}}
        }
    }
}
GOOD = b'{"outputs": {"y": [1.0], "z": [2.0]}}'


class Faulty(http.server.BaseHTTPRequestHandler):
    """Answers metadata after `pause`, and posts by `script`, of which the last stays."""

    protocol_version = "HTTP/1.1"
    pause, script, seen = 0.0, (), ()

    def do_GET(self):
        time.sleep(self.pause)
        self.seen.append(("GET", self.headers))
        self.answer(json.dumps(METADATA).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        posts = [method for method, _ in self.seen if method == "POST"]
        self.seen.append(("POST", body))
        part = self.script[min(len(posts), len(self.script) - 1)]
        if callable(part):
            part(self)
        else:
            self.answer(part)

    def answer(self, body, status=200, length=None, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        """Stays off the terminal."""


@contextlib.contextmanager
def faulty_servers():
    """Gives `faulty(*script, pause=0, context=None)` -> (url, what it has seen)."""
    servers = []

    def begin(*script, pause=0.0, context=None):
        seen = []
        handler = type("Handler", (Faulty,), {"script": script, "pause": pause, "seen": seen})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        servers.append(server)
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        scheme = "https" if context else "http"
        return f"{scheme}://127.0.0.1:{server.server_address[1]}", seen

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


def trickle_body(handler):
    handler.answer(b"", length=400)
    trickle(handler)


def trickle_head(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    trickle(handler)


def trickle(handler):
    handler.close_connection = True
    with contextlib.suppress(OSError):
        for _ in range(100):
            handler.wfile.write(b"x")
            time.sleep(0.1)  # the slowness is the fault


def stall(handler):
    handler.answer(b"{", length=400)
    handler.close_connection = True
    time.sleep(5)


def lose(handler):
    handler.answer(b"{", length=400)
    handler.close_connection = True


def redirect(handler):
    handler.answer(b"", 307, Location=handler.path)


def no_gzip(handler):
    handler.answer(GOOD, Content_Encoding="gzip")


def refuse(status, message):
    return lambda handler: handler.answer(json.dumps({"error": message}).encode(), status)
