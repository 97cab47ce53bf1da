"""Asks an agent how it is: Status(agent) finds the port in its log (metrics_listen with port 0)."""
import http.client
import json
import re
import socket

from mh.exposition import parsed
from mh.programs import wait_for

LISTEN = {"metrics_listen": "127.0.0.1:0"}


class Status:
    def __init__(self, agent):
        found = wait_for(lambda: re.search(r"status\.listening .* port=(\d+)", agent.text()), what="the status server")
        self.port = int(found[1])

    def get(self, path, method="GET", **headers):
        """(status, headers, text)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()
        finally:
            connection.close()

    def metrics(self):
        status, headers, text = self.get("/metrics")
        assert status == 200 and headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8", headers
        return parsed(text)

    def json(self, path):
        """(status, value)"""
        status, headers, text = self.get(path, Accept="application/json")
        assert headers["Content-Type"] == "application/json", headers
        return status, json.loads(text)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def raw(self, data):
        """What comes back for these bytes until the connection ends; b"" when it is cut."""
        with self.connect() as s:
            got = b""
            try:
                s.sendall(data)
                while chunk := s.recv(65536):
                    got += chunk
            except ConnectionError:
                pass
            return got
