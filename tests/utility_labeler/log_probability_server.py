"""A real HTTP server with the two calls that return log-probabilities of prompts, computed by a real model."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch


class LogProbabilityServer(ThreadingHTTPServer):
    """Speaks as vLLM (`prompt_logprobs`) or as OpenAI's old completions (`echo`).

    Attributes:
        failures: status codes to answer first, before it works.
        seen: bodies, paths and headers of requests.
    """

    daemon_threads = True

    def __init__(self, judge, *, protocols=("prompt_logprobs", "echo"), key=None, broken=None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.judge, self.protocols, self.key, self.broken = judge, protocols, key, broken
        self.failures, self.seen = [], []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    @torch.inference_mode()
    def log_probabilities(self, ids):
        return self.judge.model(torch.tensor([ids])).logits[0].log_softmax(-1)


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self.reply(200, {"data": [{"id": "tiny", "max_model_len": 123}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        server.seen.append((self.path, body, dict(self.headers)))
        if server.failures:
            return self.reply(server.failures.pop(0), {"error": "busy"})
        if server.key and self.headers.get("Authorization") != f"Bearer {server.key}":
            return self.reply(401, {"error": "no key"})
        choices = [self.choice(i, ids, body) for i, ids in enumerate(body["prompt"])]
        self.reply(200, {"choices": choices[::-1]})  # in any order: the index counts

    def choice(self, index, ids, body):
        server, choice = self.server, {"index": index, "text": ""}
        table = server.log_probabilities(ids)
        found = [None] + [table[i - 1, ids[i]].item() for i in range(1, len(ids))]
        if server.broken == "short":
            found = found[:-1]
        if server.broken == "nan":
            found[-1] = None
        if "prompt_logprobs" in body and "prompt_logprobs" in server.protocols:
            choice["prompt_logprobs"] = [
                None
                if value is None
                else {str(i): {"logprob": value, "rank": 1}, "0": {"logprob": -0.5, "rank": 2}}
                if i
                else {"0": {"logprob": value}}
                for i, value in zip(ids, found, strict=False)
            ]
        elif body.get("echo") and "echo" in server.protocols:
            choice["logprobs"] = {"token_logprobs": found}
        elif not body.get("echo") and body["max_tokens"] > 1:
            choice["text"] = server.judge.generate([ids], body["max_tokens"])[0]
        return choice

    def reply(self, code, body):
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
