"""A proxy that spoils answers: cuts, stalls and corrupts them where a story says.

    proxy = Proxy(stub.port, choose)          or Proxy(emulator.port), and proxy.fault(...)
    agent of proxy.endpoint ...

It speaks enough HTTP to know where one request and one answer end, and shares no code
with the product. choose(request) answers a fault, or None to pass the answer on whole;
without it, faults are queued by operation: proxy.fault("AcknowledgeJob", cut("body middle")).

A fault is a function of (wire, answer); these make some:
    cut(where), reset(where), stall(where), garble(where, byte), say(bytes), flood(head, size)
where: one of PLACES, or a number of bytes of the answer. instead(fault): the upstream never
sees the request. proxy.heard = f: f(request, answer) for every answer of the upstream.
"""
import json
import socket
import ssl
import struct
import threading
from collections import defaultdict

TARGET = b"CodePipeline_20150709."
PLACES = ("status line", "header name", "header value", "between", "body start", "body middle", "body end")


class Request:
    def __init__(self, head, body):
        self.head, self.body = head, body
        line = head.split(b"\r\n", 1)[0].split(b" ")
        self.method, self.target = line[0].decode(), line[1].decode("latin-1")
        target = self.header(b"x-amz-target")
        self.operation = target[len(TARGET):].decode() if target else f"S3 {self.method}"
        if self.target.startswith("/_millhand/"):
            self.operation = "wait"

    def header(self, name):
        return header(self.head, name)

    def json(self):
        return json.loads(self.body)


def header(head, name):
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    return None


class Answer:
    """The whole answer of the upstream: raw == head + body."""

    def __init__(self, head, body):
        self.head, self.body, self.raw = head, body, head + body

    def at(self, where):
        """The offset of a byte of that class; a number is itself."""
        if isinstance(where, int):
            return min(where, len(self.raw))
        headers = self.head.index(b"\r\n") + 2
        # The header that matters most: the length, else whichever comes first.
        field = self.head.lower().find(b"\r\ncontent-length:", headers - 2)
        field = field + 2 if field >= 0 else headers
        colon = self.head.index(b":", field)
        return {
            "status line": 10,
            "header name": (field + colon) // 2,
            "header value": colon + 2,
            "between": len(self.head) - 2,
            "body start": len(self.head),
            "body middle": len(self.head) + len(self.body) // 2,
            "body end": len(self.raw) - 1,
        }[where]


# ---- faults ----

def cut(where):
    """The bytes before it, then an orderly end of the connection."""
    def play(wire, answer):
        wire.send(answer.raw[:answer.at(where)])
    return play


def reset(where):
    """The bytes before it, then the connection is torn down."""
    def play(wire, answer):
        wire.send(answer.raw[:answer.at(where)])
        wire.tear()
    return play


def stall(where):
    """The bytes before it, then nothing until the client gives up."""
    def play(wire, answer):
        wire.send(answer.raw[:answer.at(where)])
        wire.wait_for_client()
    return play


def garble(where, byte):
    """That byte is another one; the end of the connection follows."""
    def play(wire, answer):
        at = answer.at(where)
        value = byte if byte != answer.raw[at:at + 1] else b"~"
        wire.send(answer.raw[:at] + value + answer.raw[at + 1:])
    return play


def say(raw):
    """These bytes instead, then the end of the connection."""
    def play(wire, answer):
        wire.send(raw)
    return play


def body(data, status="200 OK", more=""):
    """Another body in a sound answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/x-amz-json-1.1\r\n{more}Content-Length: {len(data)}\r\n\r\n"
    return say(head.encode() + data)


def flood(head, size, piece=b"x" * 65536):
    """That head, then so many bytes, as long as the client takes them."""
    def play(wire, answer):
        wire.send(head)
        for _ in range(size // len(piece)):
            wire.send(piece)
    return play


def drip(where, piece, seconds):
    """The bytes before it, then a piece every so many seconds for as long as the client listens."""
    def play(wire, answer):
        wire.send(answer.raw[:answer.at(where)])
        while not wire.gone(seconds):
            wire.send(piece)
    return play


def instead(fault):
    """That fault, and nothing happens upstream."""
    def play(wire, answer):
        fault(wire, answer)
    play.instead = True
    return play


class _Gone(Exception):
    """The client or the upstream closed."""


class _Wire:
    """One connection of a client."""

    def __init__(self, proxy, client):
        self.proxy, self.client, self.upstream = proxy, client, None
        self.received = b""

    def send(self, data):
        try:
            self.client.sendall(data)
        except OSError:
            raise _Gone() from None

    def tear(self):
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def gone(self, seconds):
        """Whether the client closed within so long."""
        self.client.settimeout(seconds)
        try:
            return not self.client.recv(1) or self.proxy.closing.is_set()
        except TimeoutError:
            return self.proxy.closing.is_set()
        except OSError:
            return True
        finally:
            self.client.settimeout(None)

    def wait_for_client(self):
        while not self.gone(0.2):
            pass

    def serve(self):
        while True:
            request = self.read_request()
            fault = self.proxy.pick(request)
            answer = None if getattr(fault, "instead", False) else self.forward(request)
            if answer and self.proxy.heard:
                self.proxy.heard(request, answer)
            if fault:
                fault(self, answer)
                return
            self.send(answer.raw)

    def read_request(self):
        head, rest = _until_head(self.client, self.received)
        size = int(header(head, b"content-length") or 0)
        body_bytes, self.received = _exactly(self.client, rest, size)
        return Request(head, body_bytes)

    def forward(self, request):
        for attempt in (1, 2):  # a kept-alive upstream may have closed meanwhile
            try:
                if not self.upstream:
                    self.upstream = socket.create_connection(("127.0.0.1", self.proxy.upstream_port), timeout=60)
                self.upstream.sendall(request.head + request.body)
                return self.read_answer(request)
            except (OSError, _Gone):
                if self.upstream:
                    self.upstream.close()
                self.upstream = None
                if attempt == 2:
                    raise _Gone() from None
        return None

    def read_answer(self, request):
        head, rest = _until_head(self.upstream, b"")
        status = int(head.split(b" ", 2)[1])
        size = int(header(head, b"content-length") or 0)
        if request.method == "HEAD" or status in (204, 304):
            size = 0
        body_bytes, _ = _exactly(self.upstream, rest, size)
        return Answer(head, body_bytes)

    def hang_up(self):
        """From another thread: ours sees the end."""
        try:
            self.client.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self):
        for s in (self.client, self.upstream):
            if s:
                try:
                    s.close()
                except OSError:
                    pass


def _until_head(sock, data):
    while b"\r\n\r\n" not in data:
        piece = _receive(sock)
        data += piece
    end = data.index(b"\r\n\r\n") + 4
    return data[:end], data[end:]


def _exactly(sock, data, size):
    while len(data) < size:
        data += _receive(sock)
    return data[:size], data[size:]


def _receive(sock):
    try:
        piece = sock.recv(65536)
    except OSError:
        raise _Gone() from None
    if not piece:
        raise _Gone()
    return piece


class Proxy:
    """tls: an ssl.SSLContext to answer with, or None."""

    def __init__(self, upstream_port, choose=None, tls=None, port=0):
        self.upstream_port, self.choose, self.tls = upstream_port, choose, tls
        self.lock = threading.Lock()
        self.queues = defaultdict(list)
        self.requests = []  # in order, before the upstream sees them
        self.wires = set()  # the connections that are open
        self.tls_errors = []
        self.heard = None
        self.closing = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        """No new connections, and the end of all there are."""
        self.closing.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        with self.lock:
            wires = list(self.wires)
        for wire in wires:
            wire.hang_up()

    def fault(self, operation, *faults):
        with self.lock:
            self.queues[operation].extend(faults)

    def left(self, operation=None):
        """Faults that nobody ran into yet."""
        with self.lock:
            return sum(len(q) for name, q in self.queues.items() if operation in (None, name))

    def seen(self, operation):
        with self.lock:
            return [r for r in self.requests if r.operation == operation]

    def pick(self, request):
        with self.lock:
            self.requests.append(request)
            queue = self.queues[request.operation]
            if queue:
                return queue.pop(0)
        if request.operation == "wait":
            return None  # the agent's question whether the endpoint lets it wait: the stub says no
        return self.choose(request) if self.choose else None

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        if self.tls:
            try:
                client = self.tls.wrap_socket(client, server_side=True)
            except (OSError, ssl.SSLError) as e:
                self.tls_errors.append(str(e))
                client.close()
                return
        wire = _Wire(self, client)
        with self.lock:
            self.wires.add(wire)
        try:
            wire.serve()
        except _Gone:
            pass
        finally:
            with self.lock:
                self.wires.discard(wire)
            wire.close()
