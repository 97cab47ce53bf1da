#!/usr/bin/python3
"""The emulator beyond loopback: TLS, with certificates of an authority that the story makes."""
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from botocore.exceptions import SSLError  # noqa: E402
from mh.programs import EMULATOR, Place, wait_for  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402
from mh.worker import FAST, Marks, action, names_in, zip_of  # noqa: E402

warnings.simplefilter("ignore")  # about the old versions and unverified requests that stories are about
OPENSSL = "/usr/bin/openssl"
ROLE = "arn:aws:iam::000000000000:role/r"


class Authority:
    """A certificate authority in the story's directory."""

    def __init__(self, place, name="ca"):
        if not os.access(OPENSSL, os.X_OK):
            skip(f"there is no {OPENSSL}")
        self.place, self.name = place, name
        self.cert, self.key = place.path(f"{name}.crt"), place.path(f"{name}.key")
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                     "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.cert)

    def openssl(self, *args):
        subprocess.run([OPENSSL, *args], check=True, capture_output=True, cwd=self.place.dir)

    def issue(self, name="server", names="IP:127.0.0.1,DNS:localhost", days="2"):
        """Options for the emulator: a certificate for these names."""
        cert, key, request, more = (self.place.path(f"{name}.{ext}") for ext in ("crt", "key", "csr", "ext"))
        with open(more, "w") as f:
            f.write(f"subjectAltName={names}\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                     "-keyout", key, "-out", request)
        self.openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial",
                     "-days", days, "-extfile", more, "-out", cert)
        os.chmod(key, 0o600)
        return ["--tls-cert", cert, "--tls-key", key]


def released(place, ca, emulator):
    """A pipeline with an S3 source and a custom build, worked by the agent; what the build made."""
    cp, s3 = (emulator.client(service, verify=ca.cert) for service in ("codepipeline", "s3"))
    for bucket in ("uploads", "artifacts"):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket="uploads", Key="src.zip", Body=zip_of({"text": b"over tls\n"}))
    cp.create_custom_action_type(category="Build", provider="Make", version="1",
                                 inputArtifactDetails={"minimumCount": 1, "maximumCount": 1},
                                 outputArtifactDetails={"minimumCount": 1, "maximumCount": 1})
    cp.create_pipeline(pipeline={"name": "p", "roleArn": ROLE, "artifactStore": {"type": "S3", "location": "artifacts"},
                                 "stages": [
        {"name": "Source", "actions": [{
            "name": "S", "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"},
            "configuration": {"S3Bucket": "uploads", "S3ObjectKey": "src.zip"}, "outputArtifacts": [{"name": "Src"}]}]},
        {"name": "Build", "actions": [{
            "name": "B", "actionTypeId": {"category": "Build", "owner": "Custom", "provider": "Make", "version": "1"},
            "inputArtifacts": [{"name": "Src"}], "outputArtifacts": [{"name": "Out"}]}]}]})

    def built():
        details = cp.list_action_executions(pipelineName="p")["actionExecutionDetails"]
        return [d for d in details if d["actionName"] == "B" and d["status"] == "Succeeded"]

    where = wait_for(built, 30, "the build to succeed")[0]["output"]["outputArtifacts"][0]["s3location"]
    return s3.get_object(Bucket=where["bucket"], Key=where["key"])["Body"].read()


@story
def a_job_with_its_artifacts_goes_over_tls_alone():
    with Place() as place:
        ca = Authority(place)
        emulator = place.emulator(*ca.issue())
        check(emulator.endpoint.startswith("https://"), emulator.endpoint)
        agent = place.agent(place.agent_conf(emulator.endpoint, [
            action(place, "cat text > made", inputs=[1, 1], outputs=[1, 1], config={"output": "made"})],
            ca_file=ca.cert, **FAST))
        equal(names_in(released(place, ca, emulator)), {"made": b"over tls\n"})
        wait_for(lambda: "wait.on" in agent.text(), what="the agent to wait, over TLS too")
        emulator.client("s3", verify=ca.cert, s3={"addressing_style": "path", "payload_signing_enabled": True}).put_object(
            Bucket="uploads", Key="big", Body=b"x" * 5_000_000)
        equal(emulator.client("s3", verify=ca.cert).head_object(Bucket="uploads", Key="big")["ContentLength"], 5_000_000)
        equal(agent.stop(), 0, "the agent's exit code")
        equal(emulator.stop(), 0, "the emulator's exit code")


@story
def an_authority_that_is_not_trusted_is_refused_with_a_clear_error():
    with Place() as place:
        ca, other = Authority(place), Authority(place, "other")
        emulator = place.emulator(*ca.issue())
        for trusted in (other.cert, None):
            more = {"ca_file": trusted} if trusted else {}
            name = f"agent-{bool(trusted)}"
            agent = place.agent(place.agent_conf(emulator.endpoint, [action(place, "true")], name=name, **more, **FAST),
                                name=name)
            wait_for(lambda: "poll.failed" in agent.text(), what="a failing poll")
            line = [text for text in agent.text().splitlines() if "poll.failed" in text][0]
            print(f"# {line}", flush=True)
            check("certificate" in line.lower() and emulator.endpoint in line, line)
            check("wait.on" not in agent.text(), "nothing is believed")
            equal(agent.stop(), 0, "exit code")
        try:
            emulator.client("codepipeline", verify=other.cert).list_pipelines()
            check(False, "boto3 believed it")
        except SSLError as e:
            check("CERTIFICATE_VERIFY_FAILED" in str(e), str(e))
        equal(emulator.client("codepipeline", verify=ca.cert).list_pipelines()["pipelines"], [])


@story
def a_certificate_for_another_name_or_an_expired_one_is_refused():
    with Place() as place:
        ca = Authority(place)
        for name, options, word in (("elsewhere", ca.issue("elsewhere", "DNS:elsewhere.example"), ("name", "address", "match")),
                                    ("old", ca.issue("old", days="-1"), ("expired",))):
            emulator = place.emulator(*options, data_dir=place.path(f"data-{name}"), name=name)
            agent = place.agent(place.agent_conf(emulator.endpoint, [action(place, "true")], name=f"agent-{name}",
                                                 ca_file=ca.cert, **FAST), name=f"agent-{name}")
            wait_for(lambda: "poll.failed" in agent.text(), what="a failing poll")
            line = [text for text in agent.text().splitlines() if "poll.failed" in text][0]
            check(any(w in line.lower() for w in word), line)
            check(("tls.expired" in emulator.text()) == (name == "old"), "the emulator says when it has expired")


@story
def what_is_no_tls_is_closed_and_the_server_goes_on():
    with Place() as place:
        ca = Authority(place)
        emulator = place.emulator(*ca.issue(), "--idle-timeout", "2s")

        def say(data):
            with socket.create_connection(("127.0.0.1", emulator.port), timeout=20) as s:
                try:
                    s.sendall(data)
                    s.shutdown(socket.SHUT_WR)
                except OSError:
                    pass  # the server had enough of it
                check(len(until_closed(s)) < 1000, "an alert at most")

        for data in (b"GET /_millhand/health HTTP/1.1\r\nHost: x\r\n\r\n", b"", b"\x16\x03\x01", b"\x16\x03\x01\xff\xff" + b"x" * 70000,
                     os.urandom(2000), b"\x15\x03\x03\x00\x02\x02\x28"):
            say(data)
        slow = socket.create_connection(("127.0.0.1", emulator.port), timeout=20)
        slow.sendall(b"\x16\x03\x01\x02")  # and never more
        check(len(until_closed(slow)) < 100, "a handshake that never ends is ended, with an alert at most")
        equal(emulator.client("codepipeline", verify=ca.cert).list_pipelines()["pipelines"], [])
        equal(emulator.stop(), 0, "exit code")


def until_closed(s):
    """All that comes until the server closes."""
    s.settimeout(20)
    got = b""
    try:
        while piece := s.recv(65536):
            got += piece
    except ConnectionResetError:
        pass
    return got


@story
def tls_1_2_and_1_3_are_spoken_and_nothing_older():
    with Place() as place:
        ca = Authority(place)
        emulator = place.emulator(*ca.issue())
        for version, spoken in ((ssl.TLSVersion.TLSv1_3, "TLSv1.3"), (ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
                                (ssl.TLSVersion.TLSv1_1, None)):
            context = ssl.create_default_context(cafile=ca.cert)
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = version
            connection = http.client.HTTPSConnection("localhost" if socket.gethostbyname("localhost") == "127.0.0.1"
                                                     else "127.0.0.1", emulator.port, context=context, timeout=20)
            try:
                connection.request("GET", "/_millhand/health")
                equal(connection.sock.version(), spoken, "version")
                equal(connection.getresponse().status, 200)
            except (ssl.SSLError, ConnectionError):
                equal(spoken, None, f"{version}")
            finally:
                connection.close()


@story
def what_is_wrong_with_the_files_is_one_clear_error():
    with Place() as place:
        ca = Authority(place)
        _, cert, _, key = ca.issue()
        _, other_cert, _, other_key = ca.issue("other")
        text, secret = place.path("text"), place.path("secret.key")
        with open(text, "w") as f:
            f.write("no PEM\n")
        ca.openssl("ec", "-in", key, "-aes256", "-passout", "pass:secret", "-out", secret)
        usage, start = 2, 1
        for options, code, words in (
                (["--tls-cert", cert], usage, ["tls_key is missing"]),
                (["--tls-key", key], usage, ["tls_cert is missing"]),
                (["--tls-cert", place.path("none"), "--tls-key", key], start, ["tls_cert", place.path("none")]),
                (["--tls-cert", cert, "--tls-key", place.path("none")], start, ["tls_key", place.path("none")]),
                (["--tls-cert", text, "--tls-key", key], start, ["tls_cert", text, "no certificate"]),
                (["--tls-cert", cert, "--tls-key", text], start, ["tls_key", text, "no private key"]),
                (["--tls-cert", cert, "--tls-key", secret], start, ["tls_key", secret, "passphrase"]),
                (["--tls-cert", cert, "--tls-key", other_key], start, ["tls_key", other_key, "is not the key"]),
                (["--tls-cert", place.dir, "--tls-key", key], start, ["tls_cert", place.dir])):
            done = place.run([EMULATOR, "--listen", "127.0.0.1:0", "--data-dir", place.path("data")] + options, check=False)
            equal(done.returncode, code, f"exit code of {options}: {done.stderr}")
            wrong = [line for line in done.stderr.splitlines() if "tls_" in line]
            equal(len(wrong), 1, f"lines about it: {done.stderr}")
            for word in words:
                check(word in wrong[0], f"{word!r} in {wrong[0]!r}")
            checked = place.run([EMULATOR, "--data-dir", place.path("data"), "--check"] + options, check=False)
            check(checked.returncode in (usage, 78), f"--check: {checked.returncode} {checked.stderr}")
        fine = place.run([EMULATOR, "--data-dir", place.path("data"), "--check", "--tls-cert", cert, "--tls-key", key])
        check("fine" in fine.stdout, fine.stdout)
        with open(key) as f:
            check(f.read().splitlines()[1] not in done.stderr, "no key in any message")


@story
def an_agent_beyond_loopback_wants_tls_and_gets_it():
    """http:// off loopback is refused by the agent; https:// with a name is checked against the certificate"""
    with Place() as place:
        ca = Authority(place)
        emulator = place.emulator(*ca.issue(names="DNS:localhost"))
        marks = Marks(place)
        plain = place.agent(place.agent_conf("http://192.0.2.1:4599", [action(place, "true")], name="plain"), name="plain")
        equal(plain.wait(), 78, "exit code")
        check("allow_plain_http" in plain.text(), plain.text())
        agent = place.agent(place.agent_conf(f"https://localhost:{emulator.port}", [action(place, marks.command())],
                                             ca_file=ca.cert, **FAST))
        cp = emulator.client("codepipeline", verify=False)
        cp.create_custom_action_type(category="Build", provider="Make", version="1",
                                     inputArtifactDetails={"minimumCount": 0, "maximumCount": 1},
                                     outputArtifactDetails={"minimumCount": 0, "maximumCount": 1})
        wait_for(lambda: "poll.recovered" in agent.text() or "wait.on" in agent.text(), what="polls to work by name")
        agent.send(signal.SIGTERM)
        equal(agent.wait(), 0, "exit code")


run()
