"""Real rounds of quicknet, and a server that answers as drand's do, or not."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROUND = 657_413
SIGNATURE = bytes.fromhex(
    "b713718a38ae728dfd477991af2822e08d2f305e47718cef9f7848ce4050e7be41076862b98fad56e91a6b85b89cd97b"
)

Answer = Callable[[BaseHTTPRequestHandler], object]


def answer_round(handler: BaseHTTPRequestHandler, signature: bytes = SIGNATURE) -> None:
    """Answer as drand does."""
    number = int(handler.path.rpartition("/")[2])
    answer_text(handler, json.dumps({"round": number, "signature": signature.hex()}))


def answer_text(handler: BaseHTTPRequestHandler, text: str, status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(text)))
    handler.end_headers()
    handler.wfile.write(text.encode())


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """A server of the beacon. Yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.socket.close()
