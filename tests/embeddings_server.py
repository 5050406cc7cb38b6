"""A real HTTP server that speaks OpenAI's `POST /v1/embeddings` over any function of texts, and fails as it is told.

For the tests of experts, engines, the command line and the frameworks alike: `with EmbeddingServer() as server:
Expert.load("openai:tiny", base_url=server.url)`.
"""

import base64
import contextlib
import json
import socket
import threading
import zlib
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np


def bag_of_words(texts, dimension=16):
    """`[n, D]` sums of a random vector for each word: cheap, and texts that share words are near each other."""
    vectors = np.zeros((len(texts), dimension), dtype=np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().split():
            vectors[row] += np.random.RandomState(zlib.crc32(word.encode())).standard_normal(dimension)
    return vectors


def of_model(model):
    """What a sentence-transformers model makes of texts, as a function; one text at a time, as on a busy GPU."""
    lock = threading.Lock()

    def embed(texts):
        with lock:
            return model.encode(list(texts), convert_to_numpy=True, show_progress_bar=False)

    return embed


def raw(status, body=b"", **headers):
    """The bytes of an answer, for `failures`; `_` in names of headers stands for `-`."""
    body = body.encode() if isinstance(body, str) else body
    lines = [
        f"HTTP/1.1 {status} told",
        *(f"{name.replace('_', '-')}: {told}" for name, told in headers.items()),
    ]
    if "Transfer_Encoding" not in headers and "Content_Length" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


class EmbeddingServer(ThreadingHTTPServer):
    """Serves until its `with` block ends.

    Args:
        embed: n texts -> `[n, D]`.
        model: the only name that it answers to; 404 for others.
        key: that it demands as a bearer token, 401 without; the refusal repeats what was sent, as careless servers do.
        longest: characters of a text, 400 above.
        most: texts in one request, `refusal` above.
        refusal: status for too many texts: 413, 422 or 400.
        noise: length of random vectors that are added to unit embeddings, which are rounded to float16 then.
        formats: of `float` and `base64`, those that it heeds; `float` is what it sends else.
        shuffled: send embeddings in another order; the index counts.
        broken: what is wrong with each answer: `half`, `dimension`, `nan`, `null`, `zero` or `missing`.
        delay: seconds before each answer.
        host: to listen at, `::1` for IPv6.

    Attributes:
        failures: what the next requests get, one each, before it works: a status, bytes as they are (see `raw`), `cut`
            for half of an answer, or seconds (float) to wait before a right one.
        embedded: Counter of the texts that it embedded.
        requests: bodies; `headers` and `paths` go with them.
        most_at_once: requests that were under way together.
    """

    daemon_threads = True

    def __init__(
        self,
        embed=bag_of_words,
        *,
        model="tiny",
        key=None,
        longest=None,
        most=None,
        refusal=413,
        noise=0.0,
        formats=("float", "base64"),
        shuffled=False,
        broken=None,
        delay=0.0,
        host="127.0.0.1",
    ):
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, 0), _Handler)
        self.embed, self.model, self.key, self.longest, self.most = embed, model, key, longest, most
        self.refusal, self.noise, self.formats, self.shuffled = refusal, noise, formats, shuffled
        self.broken, self.delay, self.host = broken, delay, host
        self.failures, self.embedded, self.requests, self.headers, self.paths = [], Counter(), [], [], []
        self.lock, self.at_once, self.most_at_once = threading.Lock(), 0, 0
        self.random = np.random.default_rng(0)
        self.connections = []
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()

    @property
    def url(self):
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_port}/v1"

    def __exit__(self, *error):
        self.stop()

    def stop(self):
        """From now on nobody is there, for connections that are open neither."""
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def get_request(self):
        """A connection, which is remembered."""
        connection, address = super().get_request()
        self.connections.append(connection)
        return connection, address

    def handle_error(self, request, client_address):
        """Clients hang up; that is no news."""

    def vectors(self, texts):
        """What it says of texts, with the noise that it is told to have."""
        with self.lock:
            self.embedded.update(texts)
            noise = self.random.standard_normal
            vectors = np.asarray(self.embed(texts), dtype=np.float32)
            if self.noise:
                vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
                added = noise(vectors.shape)
                vectors = vectors + self.noise * added / np.linalg.norm(added, axis=1, keepdims=True)
                vectors = vectors.astype(np.float16).astype(np.float32)
            return vectors


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *arguments):
        pass

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.requests.append(body)
            server.headers.append(dict(self.headers))
            server.paths.append(self.path)
            failure = server.failures.pop(0) if server.failures else None
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            self.wait(failure if isinstance(failure, float) else server.delay)
            self.answer(body, failure)
        finally:
            with server.lock:
                server.at_once -= 1

    def wait(self, seconds):
        threading.Event().wait(seconds)  # tests put something else in the place of time.sleep

    do_GET = do_POST  # what a redirect makes of it

    def answer(self, body, failure):
        server, texts = self.server, body["input"]
        if isinstance(failure, bytes):
            self.wfile.write(failure)
            self.close_connection = True
        elif isinstance(failure, int):
            self.refuse(failure, "busy")
        elif self.path != "/v1/embeddings":
            self.refuse(404, "Not Found")
        elif server.key and self.headers.get("Authorization") != f"Bearer {server.key}":
            self.refuse(401, f"wrong key: {self.headers.get('Authorization')}")
        elif body["model"] != server.model:
            self.refuse(404, f"the model {body['model']} does not exist")
        elif server.most and len(texts) > server.most:
            self.refuse(server.refusal, f"batch size {len(texts)} > maximum allowed batch size {server.most}")
        elif server.longest and max(map(len, texts)) > server.longest:
            self.refuse(400, f"maximum context length is {server.longest}")
        else:
            told = json.dumps({"object": "list", "data": self.entries(body, texts), "model": server.model})
            self.send(200, told.encode(), cut=failure == "cut")

    def entries(self, body, texts):
        server = self.server
        vectors = server.vectors(texts)[:, : body.get("dimensions")]
        if server.broken == "dimension":
            vectors = vectors[:, : vectors.shape[1] - 1]
        if server.broken in ("nan", "zero"):
            vectors[-1] = np.nan if server.broken == "nan" else 0
        coded = "base64" in server.formats and body.get("encoding_format") == "base64"
        entries = [
            {
                "object": "embedding",
                "index": i,
                "embedding": base64.b64encode(vector.astype("<f4").tobytes()).decode()
                if coded
                else vector.tolist(),
            }
            for i, vector in enumerate(vectors)
        ]
        if server.broken == "null":
            entries[-1]["embedding"] = None
        if server.broken == "missing":
            del entries[-1]["embedding"]
        if server.broken == "half":
            entries = entries[: len(entries) // 2]
        return entries[::-1] if server.shuffled else entries

    def refuse(self, status, message):
        self.send(status, json.dumps({"error": {"message": message, "code": status}}).encode())

    def send(self, status, data, cut=False):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self.close_connection = True
