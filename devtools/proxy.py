"""A reverse proxy that demands a header, as stands before a Chroma server that has no authentication of its own."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOP = {"connection", "host", "keep-alive", "transfer-encoding"}


@contextlib.contextmanager
def authenticating_proxy(target: str, name: str, value: str, refusal: int = 401) -> Iterator[str]:
    """Serve a server to those who send a header.

    Args:
        target: address of the server behind.
        name: of the header.
        value: what it must be.
        refusal: status for all others, whose body repeats what they sent, as careless servers do.

    Yields:
        The proxy's address.
    """
    behind = urlsplit(target).netloc

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get(name) != value:
                self._answer(refusal, "text/plain", f"refused: {self.headers.get(name)}".encode())
                return
            connection = http.client.HTTPConnection(behind)
            headers = {key: told for key, told in self.headers.items() if key.lower() not in _HOP}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            self._answer(answer.status, answer.getheader("Content-Type") or "", answer.read())
            connection.close()

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _forward  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
