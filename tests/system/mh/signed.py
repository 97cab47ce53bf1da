"""Requests to the artifact store that are signed by hand: any part of them can be wrong."""
import datetime
import hashlib
import hmac
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request

from .programs import REGION
from .tap import equal

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def strict(place, *options):
    conf = place.path("emulator.conf")
    with open(conf, "w") as f:
        f.write('keys = ( { access_key_id = "%s"; secret_access_key = "%s"; } );\n' % (KEY, SECRET))
    os.chmod(conf, 0o600)
    return place.emulator("--config", conf, *options)


def sign_key(secret, date, service="s3", region=REGION):
    key = ("AWS4" + secret).encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


class Signed:
    """A request signed by hand: any of its parts can be wrong."""

    def __init__(self, emulator, method, path, body=b"", key=KEY, secret=SECRET, token=None, age_s=0, headers=(),
                 payload=None, service="s3", region=REGION):
        now = datetime.datetime.utcnow() - datetime.timedelta(seconds=age_s)
        self.stamp, self.scope = now.strftime("%Y%m%dT%H%M%SZ"), f"{now:%Y%m%d}/{region}/{service}/aws4_request"
        self.key = sign_key(secret, f"{now:%Y%m%d}", service, region)
        self.emulator, self.method, self.path, self.body = emulator, method, path, body
        self.headers = {"host": f"127.0.0.1:{emulator.port}", "x-amz-date": self.stamp,
                        "x-amz-content-sha256": payload or hashlib.sha256(body).hexdigest()}
        if token:
            self.headers["x-amz-security-token"] = token
        self.headers.update(headers)
        signed = ";".join(sorted(self.headers))
        target, _, query = path.partition("?")
        canonical = "\n".join([method, target, query] + [f"{n}:{self.headers[n]}" for n in sorted(self.headers)] +
                              ["", signed, self.headers["x-amz-content-sha256"]])
        self.signature = self.mac("AWS4-HMAC-SHA256", hashlib.sha256(canonical.encode()).hexdigest())
        self.headers["Authorization"] = (f"AWS4-HMAC-SHA256 Credential={key}/{self.scope}, SignedHeaders={signed}, "
                                         f"Signature={self.signature}")

    def mac(self, *parts):
        text = "\n".join((parts[0], self.stamp, self.scope) + parts[1:])
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()

    def send(self):
        """Status, error code ("" for none), body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.emulator.port, timeout=30)
        try:
            connection.putrequest(self.method, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            if self.body or self.method in ("PUT", "POST"):
                connection.putheader("Content-Length", str(len(self.body)))
            connection.endheaders(self.body or None)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        return answer.status, body.decode("utf-8", "replace").partition("<Code>")[2].partition("</Code>")[0], body


def refused(request, status, code):
    equal(request.send()[:2], (status, code), "status and code")


def fetch(url):
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode().partition("<Code>")[2].partition("</Code>")[0]
