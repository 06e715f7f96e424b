"""A model made up: an OpenAI-compatible server that says what it is told to.

usage: upstream.py TEXT [TOKENS_PER_SECOND [SECONDS]]

It listens on a free port of 127.0.0.1, prints it, and answers every chat with TEXT, streamed word
by word if asked, after SECONDS as a model takes to read a prompt. It ends with the process that started it, or on a signal.
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TEXT = sys.argv[1]
RATE = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
READING = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
WORDS = [word + " " for word in TEXT.split()]
HEAD = {"id": "chatcmpl-1", "created": 1, "model": "made-up"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, body, kind="application/json"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        models = [{"id": "made-up", "object": "model", "created": 1, "owned_by": "nobody"}]
        self.answer(json.dumps({"object": "list", "data": models}).encode())

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not asked.get("stream"):
            message = {"role": "assistant", "content": TEXT}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            body = {**HEAD, "object": "chat.completion", "choices": choices, "usage": usage}
            self.answer(json.dumps(body).encode())
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        time.sleep(READING)
        start = time.monotonic()
        self.event({"role": "assistant", "content": ""}, None)
        for number, word in enumerate(WORDS, 1):
            if RATE:
                time.sleep(max(0.0, start + number / RATE - time.monotonic()))
            self.event({"content": word}, None)
        self.event({}, "stop")
        self.chunk(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def event(self, delta, finish):
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
        chunk = {**HEAD, "object": "chat.completion.chunk", "choices": choices}
        self.chunk(f"data: {json.dumps(chunk)}\n\n".encode())

    def chunk(self, body):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
        self.wfile.flush()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A guard that cuts a stream hangs up: that is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*_)


server = Server(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
