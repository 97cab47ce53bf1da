"""A certificate authority for a story, made by the openssl program.

    ca = Authority(place.path("ca"))          ca.file is the bundle to trust
    context = ca.server("good", "IP:127.0.0.1")        an ssl.SSLContext for a server
    cert, key = ca.issue("old", "IP:127.0.0.1", days=-1)    files, here of an expired one
"""
import os
import shutil
import ssl
import subprocess

from mh.tap import skip


class Authority:
    def __init__(self, directory):
        if not shutil.which("openssl"):
            skip("no openssl program to make certificates with")
        os.makedirs(directory)
        self.dir = directory
        self.file, self.key = self._path("ca.pem"), self._path("ca.key")
        self._openssl("req", "-x509", *self._new_key(self.key), "-days", "2", "-subj", "/CN=a story's authority",
                      "-out", self.file)

    def _path(self, name):
        return os.path.join(self.dir, name)

    @staticmethod
    def _new_key(path):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path]

    @staticmethod
    def _openssl(*words):
        done = subprocess.run(["openssl", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(f"openssl {words[0]}: {done.stderr}")

    def issue(self, name, san, days=1):
        """(certificate, key) for that subjectAltName: IP:127.0.0.1, DNS:other.example."""
        cert, key, request, extensions = (self._path(f"{name}.{e}") for e in ("pem", "key", "csr", "ext"))
        with open(extensions, "w") as f:
            f.write(f"subjectAltName={san}\n")
        self._openssl("req", *self._new_key(key), "-subj", f"/CN={name}", "-out", request)
        self._openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.key, "-set_serial",
                      str(int.from_bytes(os.urandom(8), "big") >> 1), "-days", str(days), "-extfile", extensions,
                      "-out", cert)
        return cert, key

    def server(self, name, san, days=1):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(name, san, days))
        return context
