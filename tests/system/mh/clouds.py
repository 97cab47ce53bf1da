"""Small servers of the shape that credentials come from: an instance's metadata service (version 2),
a container's endpoint, the token service (STS). They share no code with the product.

    with Metadata() as m, TokenService() as sts:
        env = {"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": m.endpoint}

Every set of keys they hand out is new; `sets` holds them, and `secrets` what signs with them.
"""
import http.server
import json
import socket
import threading
import time
import uuid
from email.utils import formatdate
from urllib.parse import parse_qs

import botocore.auth
import botocore.awsrequest
import botocore.credentials


def iso(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


class _Server6(_Server):
    address_family = socket.AF_INET6


class Cloud:
    """What the three have in common: a server in a thread, keys made up, faults."""

    prefix = "ASIACLOUD"

    def __init__(self, ipv6=False):
        self.lock = threading.RLock()
        self.life_s = 3600
        self.offset_s = 0  # this server's clock is ahead by so much
        self.sets, self.secrets = [], {}
        self.requests = []  # "METHOD path"
        self.body = None  # bytes to answer in place of credentials
        self.status = None  # a status to answer in place of everything
        self.hang = None  # an Event: answers wait for it
        self.server = (_Server6 if ipv6 else _Server)(("::1" if ipv6 else "127.0.0.1", 0), _Handler)
        self.server.cloud = self
        self.endpoint = f"http://{'[::1]' if ipv6 else '127.0.0.1'}:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.hang:
            self.hang.set()
        self.server.shutdown()
        self.server.server_close()

    def now(self):
        return time.time() + self.offset_s

    def make(self):
        """A new set of keys, as (id, secret, token, expiration)."""
        with self.lock:
            n = len(self.sets) + 1
            made = (f"{self.prefix}{n}", "S3cretC4nary" + uuid.uuid4().hex, "T0kenC4nary" + uuid.uuid4().hex,
                    iso(self.now() + self.life_s))
            self.sets.append(made)
            self.secrets[made[0]] = made[1]
            return made

    def json_set(self, code=False):
        key, secret, token, expiration = self.make()
        out = {"AccessKeyId": key, "SecretAccessKey": secret, "Token": token, "Expiration": expiration}
        if code:
            out.update(Code="Success", Type="AWS-HMAC", LastUpdated=iso(self.now()))
        return json.dumps(out).encode()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def date_time_string(self, timestamp=None):
        return formatdate(self.server.cloud.now(), usegmt=True)

    def answer(self, status, body=b"", kind="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def serve(self):
        cloud = self.server.cloud
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with cloud.lock:
            cloud.requests.append(f"{self.command} {self.path}")
        if cloud.hang:
            cloud.hang.wait(60)
        if cloud.status:
            return self.answer(cloud.status, b"<html>no</html>", "text/html")
        return cloud.serve(self, body)

    do_GET = do_PUT = do_POST = serve


class Metadata(Cloud):
    """IMDSv2 alone: a token by PUT, which every GET must bring. hop_limit_hit: the token's
    answer never arrives, as behind one router too many."""

    prefix = "ASIAINSTANCE"
    role = "worker role"

    def __init__(self, **options):
        super().__init__(**options)
        self.tokens = set()
        self.hop_limit_hit = threading.Event()
        self.hop_limit_hit.set()

    def serve(self, h, body):
        base = "/latest/meta-data/iam/security-credentials/"
        if h.command == "PUT" and h.path == "/latest/api/token":
            self.hop_limit_hit.wait(30)
            ttl = h.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
            if not ttl.isdigit() or not 1 <= int(ttl) <= 21600:
                return h.answer(400)
            token = "imds-" + uuid.uuid4().hex
            self.tokens.add(token)
            return h.answer(200, token.encode())
        if h.headers.get("X-aws-ec2-metadata-token") not in self.tokens:
            return h.answer(401)
        if h.path == base:
            return h.answer(200, self.role.encode()) if self.role else h.answer(404)
        if h.path == base + "worker%20role":
            return h.answer(200, self.body if self.body is not None else self.json_set(code=True), "text/plain")
        return h.answer(404)


class Container(Cloud):
    prefix = "ASIACONTAINER"
    authorization = None
    path = "/v2/credentials/x?id=1"

    def serve(self, h, body):
        if h.path != self.path:
            return h.answer(404)
        if self.authorization is not None and h.headers.get("Authorization") != self.authorization:
            return h.answer(403, b'{"code":"Denied"}')
        return h.answer(200, self.body if self.body is not None else self.json_set(), "application/json")


class TokenService(Cloud):
    """AssumeRole with the keys in `callers` (id: secret), AssumeRoleWithWebIdentity with `web_token`."""

    prefix = "ASIAROLE"

    def __init__(self, callers=None, **options):
        super().__init__(**options)
        self.callers = dict(callers or {})
        self.web_token = None
        self.forms = []
        self.bad = []
        self.tolerance_s = 300

    def refuse(self, h, status, code, message="no"):
        self.bad.append(code)
        return h.answer(status, f"<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender"
                                f"</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>r</RequestId>"
                                f"</ErrorResponse>".encode(), "text/xml")

    def signed_by(self, h, body):
        """The caller's key id when the signature is right, by botocore."""
        claim = h.headers.get("Authorization", "")
        key = claim.partition("Credential=")[2].partition("/")[0]
        if key not in self.callers or f"/us-east-1/sts/aws4_request" not in claim:
            return None
        request = botocore.awsrequest.AWSRequest("POST", self.endpoint + h.path, data=body)
        for name in claim.split("SignedHeaders=")[1].split(",")[0].split(";"):
            request.headers[name] = h.headers[name]
        request.context["timestamp"] = h.headers["X-Amz-Date"]
        signer = botocore.auth.SigV4Auth(botocore.credentials.Credentials(key, self.callers[key]), "sts", "us-east-1")
        signer.headers_to_sign = lambda r: _lower(request.headers)
        text = signer.string_to_sign(request, signer.canonical_request(request))
        return key if claim.endswith("Signature=" + signer.signature(text, request)) else None

    def serve(self, h, body):
        form = {k: v[0] for k, v in parse_qs(body.decode(), keep_blank_values=True).items()}
        with self.lock:
            self.forms.append(form)
        action = form.get("Action")
        if action == "AssumeRole":
            stamp = h.headers.get("X-Amz-Date", "19700101T000000Z")
            sent = time.mktime(time.strptime(stamp, "%Y%m%dT%H%M%SZ")) - time.timezone
            if abs(sent - self.now()) > self.tolerance_s:
                return self.refuse(h, 403, "SignatureDoesNotMatch", "Signature expired: it is old")
            if not self.signed_by(h, body):
                return self.refuse(h, 403, "SignatureDoesNotMatch")
        elif form.get("WebIdentityToken") != self.web_token or "Authorization" in h.headers:
            return self.refuse(h, 400, "InvalidIdentityToken")
        if self.body is not None:
            return h.answer(200, self.body, "text/xml")
        key, secret, token, expiration = self.make()
        self.callers[key] = secret
        return h.answer(200, f"""<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <{action}Result>
    <AssumedRoleUser><AssumedRoleId>AROA:x</AssumedRoleId><Arn>{form["RoleArn"]}</Arn></AssumedRoleUser>
    <Credentials>
      <AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>
      <SessionToken>{token}&amp;</SessionToken><Expiration>{expiration}</Expiration>
    </Credentials>
  </{action}Result>
  <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>
</{action}Response>""".encode(), "text/xml")


def _lower(headers):
    from botocore.compat import HTTPHeaders

    out = HTTPHeaders()
    for name in headers.keys():
        out[name.lower()] = headers[name]
    return out
