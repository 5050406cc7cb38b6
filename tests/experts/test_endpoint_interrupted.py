"""Who interrupts a program does not wait for a slow server."""

import subprocess
import sys

HANGING = """
import os, signal, sys, threading
from uec_retriever.experts.endpoint import EndpointEmbedding
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started this in the background
embedding = EndpointEmbedding("tiny", base_url=sys.argv[1])
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    list(embedding.embed(["a b"] * 8, "document", batch_size=2))
except KeyboardInterrupt:
    print("interrupted")
"""


def test_whoever_interrupts_does_not_wait_for_a_slow_server(serve):
    server = serve(delay=60.0)
    done = subprocess.run(
        [sys.executable, "-c", HANGING, server.url], capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stdout == "interrupted\n", done.stderr
