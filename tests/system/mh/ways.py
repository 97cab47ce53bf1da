"""Ways to a server of a story: a proxy as companies have them, and another address.

    ways = ForwardProxy({"api.example": stub.port, "store.example": emulator.port})
    ... http_proxy=ways.url https_proxy=ways.url ...; ways.asked: [("GET", "store.example"), ("CONNECT", ...)]
    relay = Relay(stub.port)            the same server at http://[::1]:relay.port; skips where there is no IPv6

Whatever host a request names, it ends at a port of this host, or nowhere.
"""
import socket
import threading
from urllib.parse import urlsplit

from mh.tap import skip


def _pump(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    for s in (source, target):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def _join(one, other):
    """Until either ends."""
    back = threading.Thread(target=_pump, args=(other, one), daemon=True)
    back.start()
    _pump(one, other)
    back.join()
    one.close()
    other.close()


class _Listener:
    def __init__(self, family, address):
        self.listener = socket.create_server((address, 0), family=family, backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_quietly, args=(client,), daemon=True).start()

    def _serve_quietly(self, client):
        try:
            self.serve(client)
        except (OSError, KeyError, ValueError):
            client.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()


class Relay(_Listener):
    def __init__(self, port):
        self.target = port
        try:
            super().__init__(socket.AF_INET6, "::1")
        except OSError as e:
            skip(f"no IPv6 here: {e}")
        self.endpoint = f"http://[::1]:{self.port}"

    def serve(self, client):
        _join(client, socket.create_connection(("127.0.0.1", self.target)))


class ForwardProxy(_Listener):
    def __init__(self, hosts):
        self.hosts, self.asked = hosts, []
        super().__init__(socket.AF_INET, "127.0.0.1")
        self.url = f"http://127.0.0.1:{self.port}"

    def _reach(self, method, authority):
        host = urlsplit(f"//{authority}").hostname
        self.asked.append((method, host))
        return socket.create_connection(("127.0.0.1", self.hosts[host]))

    def serve(self, client):
        """One connection: a tunnel, or one request after the other, each in absolute form."""
        rest = b""
        while True:
            while b"\r\n\r\n" not in rest:
                data = client.recv(65536)
                if not data:
                    client.close()
                    return
                rest += data
            head, rest = rest.split(b"\r\n\r\n", 1)
            method, target, version = head.split(b"\r\n")[0].decode().split(" ")
            if method == "CONNECT":
                upstream = self._reach(method, target)
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                _join(client, upstream)
                return
            rest = self._pass_on(client, method, target, version, head, rest)

    def _pass_on(self, client, method, target, version, head, rest):
        """Answers what came behind the request."""
        where = urlsplit(target)
        if where.scheme != "http":
            raise ValueError(f"not in absolute form: {target}")
        path = (where.path or "/") + (f"?{where.query}" if where.query else "")
        lines = [line for line in head.split(b"\r\n")[1:] if not line.lower().startswith(b"proxy-")]
        size = sum(int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:"))
        with self._reach(method, where.netloc) as upstream:
            upstream.sendall(b"\r\n".join([f"{method} {path} {version}".encode(), *lines, b"Connection: close", b"", b""]))
            body, rest = rest[:size], rest[size:]
            upstream.sendall(body)
            left = size - len(body)
            while left > 0 and (data := client.recv(min(left, 65536))):
                upstream.sendall(data)
                left -= len(data)
            while data := upstream.recv(65536):
                client.sendall(data)
        client.close()  # the answer said so: Connection: close was asked for
        raise OSError
