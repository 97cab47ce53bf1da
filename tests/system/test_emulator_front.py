#!/usr/bin/python3
"""The emulator's front: what comes over the wire, good, bad and hostile; starting and stopping."""
import datetime
import glob
import http.client
import json
import os
import signal
import socket
import sqlite3
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import botocore.auth  # noqa: E402
from botocore.awsrequest import AWSRequest  # noqa: E402
from botocore.credentials import Credentials  # noqa: E402
from mh.programs import EMULATOR, MODEL, SHARED, Place, Program, wait_for  # noqa: E402
from mh.tap import check, equal, raises, run, skip, story  # noqa: E402

TYPE = "application/x-amz-json-1.1"
PREFIX = "CodePipeline_20150709."
UUID = "01234567-89ab-cdef-0123-456789abcdef"
OPTIONS = ["--log-level", "debug"]


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    def json(self):
        return json.loads(self.body)

    def code(self):
        """The error's code, told alike by header and body; the shape is always the same."""
        told = self.json()
        equal(sorted(told), ["__type", "message"], "members of an error")
        equal(self.headers["x-amzn-ErrorType"], told["__type"], "x-amzn-ErrorType")
        equal(self.headers["Content-Type"], TYPE, "content type of an error")
        return told["__type"]


class Wire:
    """One keep-alive connection, with nothing of an SDK in between."""

    def __init__(self, emulator):
        self.connection = http.client.HTTPConnection("127.0.0.1", emulator.port, timeout=30)

    def send(self, method, target, body=None, headers=None, **more):
        self.connection.request(method, target, body=body, headers=headers or {}, **more)
        return Answer(self.connection.getresponse())

    def call(self, operation, body, content_type=TYPE, **headers):
        if not isinstance(body, (bytes, type(None))):
            body = json.dumps(body).encode()
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        headers.update({"X-Amz-Target": PREFIX + operation, "Content-Type": content_type})
        return self.send("POST", "/", body, headers)


def raw(emulator, data, half_close=True):
    """Bytes in, all bytes out until the server closes."""
    with socket.create_connection(("127.0.0.1", emulator.port), timeout=30) as s:
        try:
            s.sendall(data)
            if half_close:
                s.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server had enough of it
        got = b""
        while True:
            try:
                piece = s.recv(65536)
            except ConnectionResetError:
                return got
            if not piece:
                return got
            got += piece


def still_well(emulator):
    equal(Wire(emulator).send("GET", "/_millhand/health").json(), {"status": "ok"}, "health")
    check(emulator.alive(), "the emulator is gone")


def ends_well(emulator):
    """A sanitizer's finding, leaks too, is another exit code."""
    still_well(emulator)
    equal(emulator.stop(), 0, "exit code")


def cpu_spent(emulator):
    """In ticks of 10 ms."""
    with open(f"/proc/{emulator.process.pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


# ---- answers ----

@story
def health_is_told_to_get_and_head_alone():
    with Place() as place:
        e = place.emulator(*OPTIONS)
        wire = Wire(e)
        answer = wire.send("GET", "/_millhand/health")
        equal((answer.status, answer.json()), (200, {"status": "ok"}))
        equal(wire.send("HEAD", "/_millhand/health").status, 200)
        equal(wire.send("PUT", "/_millhand/health", b"x").code(), "MethodNotAllowed")
        equal(wire.send("GET", "/_millhand/healthy").status, 404)
        equal(wire.send("GET", "/_millhand/%68ealth").status, 404, "an escaped path is another path")


@story
def success_has_the_services_headers_and_an_empty_body_where_there_is_no_output():
    with Place() as place:
        wire = Wire(place.emulator(*OPTIONS))
        answer = wire.call("ListPipelines", {})
        equal((answer.status, answer.json()), (200, {"pipelines": []}))
        equal(answer.headers["Content-Type"], TYPE)
        check(len(answer.headers["x-amzn-RequestId"]) == 36, "a request id")
        check(answer.headers["Date"].endswith("GMT"), "a date")
        answer = wire.call("DeletePipeline", {"name": "nobody"})
        equal((answer.status, answer.body), (200, b""), "no output shape, no body")
        equal(answer.headers["Content-Type"], TYPE)


@story
def unknown_members_are_ignored_and_nulls_are_absent():
    with Place() as place:
        wire = Wire(place.emulator(*OPTIONS))
        equal(wire.call("ListPipelines", {"maxResults": None, "future": {"x": [1]}, "__type": "T"}).status, 200)
        answer = wire.call("GetPipeline", {"name": None})
        equal(answer.code(), "ValidationException")


# ---- what is wrong on the wire ----

@story
def a_wrong_target_or_content_type_or_method_is_an_unknown_operation():
    with Place() as place:
        wire = Wire(place.emulator(*OPTIONS))
        for target in (PREFIX + "Nonsense", PREFIX, "ListPipelines", "CodePipeline_20150708.ListPipelines",
                       PREFIX + "listPipelines", PREFIX + "ListPipelines ".strip() + ".x", "x" * 5000, "caf\xe9"):
            answer = wire.send("POST", "/", b"{}", {"X-Amz-Target": target, "Content-Type": TYPE})
            equal((answer.status, answer.code()), (400, "UnknownOperationException"), target[:40])
        answer = wire.send("POST", "/", b"{}", {"Content-Type": TYPE})
        equal(answer.code(), "UnknownOperationException")
        check("X-Amz-Target" in answer.json()["message"], "it says which header is missing")
        for content_type in ("application/json", "text/plain", TYPE + "x", "application/x-www-form-urlencoded"):
            answer = wire.call("ListPipelines", {}, content_type)
            equal(answer.code(), "UnknownOperationException", content_type)
            check(TYPE in answer.json()["message"], "it says which type is right")
        for content_type in (TYPE + "; charset=utf-8", TYPE.upper()):
            equal(wire.call("ListPipelines", {}, content_type).status, 200, content_type)
        for method in ("GET", "PUT", "DELETE"):
            answer = wire.send(method, "/", None, {"X-Amz-Target": PREFIX + "ListPipelines", "Content-Type": TYPE})
            equal(answer.code(), "UnknownOperationException", method)


@story
def every_operation_of_the_model_is_there():
    with Place() as place, open(MODEL) as f:
        wire = Wire(place.emulator(*OPTIONS))
        for name in sorted(json.load(f)["operations"]):
            answer = wire.call(name, {"unknown": 1})
            if answer.status == 200:
                continue
            equal((answer.status, answer.code()), (400, "ValidationException"), name)


@story
def malformed_json_is_a_serialization_exception():
    with Place() as place:
        wire = Wire(place.emulator(*OPTIONS))
        for body in (b"", b" ", b"{", b"[]", b"null", b'"x"', b"{}}", b'{"a":1,"a":2}', b"{'a':1}", b'{"a":NaN}',
                     b"\xff\xfe", b'{"a":"\xc0\x80"}', b'{"a":01}', b"{" * 2000, b'{"a":' * 2000, b'{"a":"\x01"}'):
            answer = wire.call("ListPipelines", body)
            equal((answer.status, answer.code()), (400, "SerializationException"), repr(body[:20]))
        equal(wire.call("ListPipelines", {"maxResults": "7"}).code(), "SerializationException", "a wrong type")
        equal(wire.call("ListPipelines", {}).status, 200, "the connection is still good")


@story
def the_json_corpus_is_taken_or_refused_as_it_says():
    names = sorted(glob.glob(os.path.join(SHARED, "data", "json", "*.json")))
    if not names:
        skip("no JSON corpus beside the project")
    with Place() as place:
        e = place.emulator(*OPTIONS)
        wire = Wire(e)
        counts = {"y": 0, "n": 0, "i": 0}
        for name in names:
            kind = os.path.basename(name)[0]
            with open(name, "rb") as f:
                body = f.read()
            # Alone, and as the value of a member that the model does not know.
            alone = wire.call("ListPipelines", body)
            inside = wire.call("ListPipelines", b'{"unknown":' + body + b"}")
            for answer in (alone, inside):
                check(answer.status in (200, 400), f"{name}: {answer.status}")
                if answer.status == 400:
                    equal(answer.code(), "SerializationException", name)
            if kind == "n":
                equal(alone.status, 400, name)
            # A duplicate key is legal JSON, and refused here: the two readers might differ.
            if kind == "y" and "duplicated_key" not in name:
                equal(inside.status, 200, name)
                equal(alone.status, 200 if body.strip().startswith(b"{") else 400, name)
            counts[kind] += 1
        check(counts["y"] > 50 and counts["n"] > 100, f"the corpus is there: {counts}")
        ends_well(e)


@story
def a_body_over_one_mebibyte_is_refused_and_the_server_goes_on():
    with Place() as place:
        e = place.emulator(*OPTIONS)
        limit = 1024 * 1024

        def padded(size):
            return b'{"x":"' + b"a" * (size - 8) + b'"}'

        wire = Wire(e)
        equal(wire.call("ListPipelines", padded(limit)).status, 200, "exactly the limit")
        answer = wire.call("ListPipelines", padded(limit + 1))
        equal((answer.status, answer.code()), (413, "RequestEntityTooLargeException"))
        equal(wire.call("ListPipelines", {}).status, 200, "the connection is still good")
        headers = {"X-Amz-Target": PREFIX + "ListPipelines", "Content-Type": TYPE, "Transfer-Encoding": "chunked"}
        pieces = (b"a" * 65536 for _ in range(40))
        answer = Wire(e).send("POST", "/", pieces, headers, encode_chunked=True)
        equal(answer.status, 413, "chunked")
        head = f"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: {PREFIX}ListPipelines\r\nContent-Type: {TYPE}\r\n"
        got = raw(e, (head + "Content-Length: 2000000\r\nExpect: 100-continue\r\n\r\n").encode(), half_close=False)
        check(got.startswith(b"HTTP/1.1 413"), f"told before the body: {got[:60]!r}")
        got = raw(e, (head + f"Content-Length: {1 << 40}\r\n\r\n").encode(), half_close=False)
        check(got.startswith(b"HTTP/1.1 413"), f"not read to its end: {got[:60]!r}")
        ends_well(e)


@story
def hostile_http_is_refused_and_the_server_goes_on():
    with Place() as place:
        e = place.emulator(*OPTIONS)
        target = f"X-Amz-Target: {PREFIX}ListPipelines\r\nContent-Type: {TYPE}\r\n"
        rows = [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500,  # a TLS greeting
            b"\r\n\r\n\r\n",
            b"GET\r\n\r\n",
            b"POST / HTTP/1.1\r\n" + b"H: " + b"x" * 200000 + b"\r\n\r\n",
            b"GET /" + b"x" * 200000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            f"POST / HTTP/1.1\r\nHost: x\r\n{target}Content-Length: 10\r\n\r\n{{}}".encode(),  # ends early
            f"POST / HTTP/1.1\r\nHost: x\r\n{target}Content-Length: -1\r\n\r\n{{}}".encode(),
            f"POST / HTTP/1.1\r\nHost: x\r\n{target}Content-Length: 2x\r\n\r\n{{}}".encode(),
            f"POST / HTTP/1.1\r\nHost: x\r\n{target}Transfer-Encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n".encode(),
            f"POST / HTTP/1.1\r\nHost: x\r\n{target}".encode(),
            b"POST / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 1000 + target.encode() + b"Content-Length: 2\r\n\r\n{}",
            f"POST /?x=%zz HTTP/1.1\r\nHost: x\r\n{target}Content-Length: 2\r\n\r\n{{}}".encode(),
            f"POST /?x=%00 HTTP/1.1\r\nHost: x\r\n{target}Content-Length: 2\r\n\r\n{{}}".encode(),
        ]
        for row in rows:
            got = raw(e, row)
            check(not got.startswith(b"HTTP/1.1 5") and not got.startswith(b"HTTP/1.1 200"), f"{row[:60]!r}: {got[:80]!r}")
            still_well(e)
        one = f"POST / HTTP/1.1\r\nHost: x\r\n{target}Content-Length: 2\r\n\r\n{{}}".encode()
        equal(raw(e, one * 5).count(b"HTTP/1.1 200 OK"), 5, "pipelined requests")
        got = raw(e, one.replace(b"POST / ", b"POST http://proxy.example/ "))
        check(got.startswith(b"HTTP/1.1 200"), f"a proxy's form: {got[:80]!r}")
        ends_well(e)


@story
def connections_over_the_limit_wait_their_turn_or_are_closed():
    with Place() as place:
        e = place.emulator(*OPTIONS, "--max-connections", "2", "--idle-timeout", "2s")
        first, second = Wire(e), Wire(e)
        for wire in (first, second):
            equal(wire.call("ListPipelines", {}).status, 200)
        try:
            equal(Wire(e).call("ListPipelines", {}).status, 200, "after another was idle too long")
        except (http.client.HTTPException, ConnectionError):
            pass  # closed at once
        first.connection.close()

        def again():
            try:
                return Wire(e).call("ListPipelines", {}).status == 200
            except (http.client.HTTPException, ConnectionError):
                return False

        wait_for(again, what="a free place")
        got = raw(e, b"POST / HTTP/1.1\r\nHost: x\r\n", half_close=False)
        check(got[:12] in (b"", b"HTTP/1.1 408"), f"an idle connection is closed: {got!r}")
        wait_for(again, what="a free place once more")
        equal(e.stop(), 0, "exit code")


@story
def connections_end_before_descriptors_do():
    with Place() as place:
        script = place.path("few-files")
        with open(script, "w") as f:
            f.write(f'#!/bin/sh\nulimit -n "$FILES"\nexec {EMULATOR} "$@"\n')
        os.chmod(script, 0o755)

        def start(files, name):
            port_file = place.path(name + ".port")
            p = Program(place, name, [script, "--listen", "127.0.0.1:0", "--data-dir", place.path(name), "--port-file",
                                      port_file], {"FILES": str(files)})
            place.programs.append(p)
            wait_for(lambda: not p.alive() or os.path.exists(port_file), what="the emulator")
            if p.alive():
                with open(port_file) as f:
                    p.port = int(f.read())
            return p

        p = start(40, "too-few")
        equal(p.wait(), 1, "exit code")
        check("40 open files are allowed" in p.text() and "ulimit -n" in p.text(), p.text())

        p = start(100, "few")
        check("http.few_connections" in p.text(), p.text())
        wire = Wire(p)
        equal(wire.call("ListPipelines", {}).status, 200)
        crowd = [socket.create_connection(("127.0.0.1", p.port)) for _ in range(120)]
        before, quiet = cpu_spent(p), threading.Event()
        quiet.wait(2)
        check(cpu_spent(p) - before <= 10, f"{cpu_spent(p) - before} ticks of CPU in two seconds")
        for path in ("/a-bucket", "/a-bucket/key"):  # which needs files
            wire.connection.request("PUT", path, b"")
            answer = wire.connection.getresponse()
            answer.read()
            equal(answer.status, 200, path)
        for c in crowd:
            c.close()
        equal(p.stop(), 0, "exit code")


@story
def many_clients_at_once_each_get_their_own_answer():
    with Place() as place:
        e = place.emulator(*OPTIONS)
        wrong = []

        def client(number):
            wire = Wire(e)
            for i in range(20):
                name = f"p-{number}-{i}"
                answer = wire.call("GetPipeline", {"name": name})
                if answer.status != 400 or f"'{name}'" not in answer.body.decode():
                    wrong.append((name, answer.body))

        threads = [threading.Thread(target=client, args=(n,)) for n in range(24)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        equal(wrong, [])
        ends_well(e)


# ---- errors as an SDK reads them ----

@story
def boto3_reads_codes_messages_status_and_request_id():
    with Place() as place:
        cp = place.emulator(*OPTIONS).client("codepipeline")
        try:
            cp.get_pipeline(name="nobody")
            raise AssertionError("no error")
        except cp.exceptions.PipelineNotFoundException as error:
            equal(error.response["ResponseMetadata"]["HTTPStatusCode"], 400)
            check(len(error.response["ResponseMetadata"]["RequestId"]) == 36, "the request id")
            check("nobody" in error.response["Error"]["Message"], "the message names the pipeline")
        message = raises("ValidationException", cp.get_pipeline, name="a b")
        equal(message, "1 validation error detected: Value 'a b' at 'name' failed to satisfy constraint: Member must "
                       "satisfy regular expression pattern: [A-Za-z0-9.@\\-_]+")
        message = raises("ValidationException", cp.get_job_details, jobId="x")
        check("at 'jobId' failed to satisfy constraint" in message, message)
        message = raises("ValidationException", cp.list_pipelines, maxResults=0)
        check("Member must have value greater than or equal to 1" in message, message)
        raises("PipelineNotFoundException", cp.rollback_stage, pipelineName="p", stageName="s",
               targetPipelineExecutionId=UUID)


# ---- who may call ----

def with_keys(place):
    path = place.path("keys.conf")
    with open(path, "w") as f:
        f.write('keys = ( { access_key_id = "AKIDGOOD"; secret_access_key = "canary-secret-1"; },\n'
                '         { access_key_id = "AKIDTWO"; secret_access_key = "canary-secret-2"; } );\n')
    return ["--config", path] + OPTIONS


def signed(emulator, key="AKIDGOOD", secret="canary-secret-1", token=None, region="us-east-1", service="codepipeline",
           minutes=0, tamper=None, body=b"{}"):
    """A raw request signed by botocore, its clock off by so many minutes."""
    class Clock(datetime.datetime):
        @classmethod
        def utcnow(cls):
            return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) + \
                datetime.timedelta(minutes=minutes)

    url = f"http://127.0.0.1:{emulator.port}/"
    request = AWSRequest("POST", url, data=body, headers={"X-Amz-Target": PREFIX + "ListPipelines", "Content-Type": TYPE})
    kept, botocore.auth.datetime = botocore.auth.datetime, type("M", (), {"datetime": Clock, "timedelta": None})
    try:
        botocore.auth.SigV4Auth(Credentials(key, secret, token), service, region).add_auth(request)
    finally:
        botocore.auth.datetime = kept
    headers = dict(request.headers)
    if tamper:
        body = tamper(headers) or body
    return Wire(emulator).send("POST", "/", body, headers)


@story
def without_keys_any_credentials_and_none_are_accepted():
    with Place() as place:
        e = place.emulator(*OPTIONS)
        equal(Wire(e).call("ListPipelines", {}).status, 200, "unsigned")
        equal(signed(e, "ANYBODY", "anything", token="token", region="mars-1", minutes=-300).status, 200, "any signature")
        answer = Wire(e).call("ListPipelines", {}, Authorization="AWS4-HMAC-SHA256 Credential=x")
        equal(answer.code(), "IncompleteSignatureException", "a broken header is no credential")


@story
def with_keys_a_signature_must_be_right_and_errors_have_the_services_codes():
    with Place() as place:
        e = place.emulator(*with_keys(place))
        equal(signed(e).status, 200)
        equal(signed(e, "AKIDTWO", "canary-secret-2").status, 200)
        equal(signed(e, minutes=4).status, 200, "a clock 4 minutes ahead")
        equal(signed(e, minutes=-4).status, 200, "a clock 4 minutes behind")
        e.client("codepipeline", "AKIDGOOD", "canary-secret-1").list_pipelines()
        raises("InvalidSignatureException", e.client("codepipeline", "AKIDGOOD", "wrong").list_pipelines)

        def drop(name):
            return lambda headers: headers.pop(name) and None

        rows = [
            ("MissingAuthenticationTokenException", "", dict(tamper=drop("Authorization"))),
            ("UnrecognizedClientException", "security token", dict(key="AKIDOTHER")),
            ("UnrecognizedClientException", "security token", dict(token="a-session-token")),
            ("InvalidSignatureException", "does not match", dict(secret="canary-secret-2")),
            ("InvalidSignatureException", "does not match", dict(tamper=lambda h: b"{ }")),
            ("InvalidSignatureException", "", dict(tamper=lambda h: h.update({"X-Amz-Target": PREFIX + "ListWebhooks"}))),
            ("InvalidSignatureException", "'x-amz-more' must be a 'SignedHeader' in the AWS Authorization.",
             dict(tamper=lambda h: h.update({"x-amz-more": "unsigned"}))),
            ("InvalidSignatureException", "Signature expired:", dict(minutes=-6)),
            ("InvalidSignatureException", "Signature not yet current:", dict(minutes=6)),
            ("InvalidSignatureException", "valid region", dict(region="eu-west-1")),
            ("InvalidSignatureException", "correct service", dict(service="s3")),
            ("IncompleteSignatureException", "", dict(tamper=lambda h: h.update({"Authorization": "AWS4-HMAC-SHA256 x"}))),
            ("IncompleteSignatureException", "", dict(tamper=drop("X-Amz-Date"))),
        ]
        for code, part, how in rows:
            answer = signed(e, **how)
            equal((answer.status, answer.code()), (400, code), str(how))
            check(part in answer.json()["message"], f"{part!r} in {answer.json()['message']!r}")
        equal(Wire(e).call("ListPipelines", {}).code(), "MissingAuthenticationTokenException")
        equal(Wire(e).call("ListPipelines", b"{").code(), "MissingAuthenticationTokenException", "asked before the body")
        ends_well(e)
        check("canary" not in e.text(), "no secret in the log")


# ---- starting and stopping ----

def starts(place, *options, timeout=20):
    return place.run([EMULATOR] + list(options), check=False, timeout=timeout)


@story
def help_and_version_go_to_stdout_and_usage_errors_to_stderr():
    with Place() as place:
        done = starts(place, "--help")
        equal((done.returncode, done.stderr), (0, ""))
        check("--data-dir" in done.stdout and "--ack-timeout" in done.stdout, "the options are listed")
        done = starts(place, "--version")
        equal((done.returncode, done.stdout.split()[0]), (0, "millhand-emulator"))
        for options in (["--nonsense"], ["nonsense"], ["-x"], ["--data-dir"], ["--ack-timeout", "soon", "--data-dir", "d"],
                        ["--listen", "nowhere", "--data-dir", place.path("d")], ["--listen", "127.0.0.1:0"]):
            done = starts(place, *options)
            equal((done.returncode, done.stdout), (2, ""), str(options))
            check(done.stderr.startswith("millhand-emulator: "), done.stderr)
        check(not os.path.exists(place.path("d")), "nothing was made")


@story
def a_wrong_configuration_is_told_with_file_and_line():
    with Place() as place:
        path = place.path("e.conf")
        for line, text in ((2, 'data_dir = "d";\nlisen = "x";\n'), (1, "max_batch = 0;\n"), (3, "\n\nack_timeout = ;\n"),
                           (1, 'log_level = "loud";\n')):
            with open(path, "w") as f:
                f.write(text)
            for wish in ([], ["--check"]):
                done = starts(place, "--config", path, *wish)
                equal((done.returncode, done.stdout), (78, ""), text)
                check(f"{path}:{line}:" in done.stderr, done.stderr)
        done = starts(place, "--config", place.path("missing.conf"))
        equal(done.returncode, 78)
        check("missing.conf" in done.stderr, done.stderr)


@story
def dump_and_sample_are_configuration_files_and_check_starts_nothing():
    with Place() as place:
        path = place.path("e.conf")
        with open(path, "w") as f:
            f.write(f'data_dir = "{place.path("d")}";\nack_timeout = "7s";\n')
        dump = starts(place, "--config", path, "--dump", "--max-batch", "9")
        equal(dump.returncode, 0)
        check("ack_timeout" in dump.stdout and "max_batch = 9" in dump.stdout, dump.stdout)
        with open(path, "w") as f:
            f.write(dump.stdout)
        equal(starts(place, "--config", path, "--dump").stdout, dump.stdout)
        done = starts(place, "--config", path, "--check")
        equal((done.returncode, done.stderr), (0, ""))
        with open(path, "w") as f:
            f.write(starts(place, "--sample").stdout)
        equal(starts(place, "--config", path, "--check", "--data-dir", place.path("d")).returncode, 0)
        check(not os.path.exists(place.path("d")), "nothing was made")


@story
def a_port_in_use_is_one_clear_error():
    with Place() as place:
        e = place.emulator(*OPTIONS)
        done = starts(place, "--listen", f"127.0.0.1:{e.port}", "--data-dir", place.path("other"))
        equal((done.returncode, done.stdout), (1, ""))
        equal(len(done.stderr.splitlines()), 1, done.stderr)
        check(f"127.0.0.1:{e.port}" in done.stderr and "another program has this address" in done.stderr, done.stderr)
        still_well(e)


@story
def paths_that_cannot_be_used_are_told_by_the_options_names():
    with Place() as place:
        with open(place.path("file"), "w"):
            pass
        for options, words in ((["--git-root", place.path("file", "x")], "git root " + place.path("file", "x")),
                               (["--git-root", place.path("file")], "not a directory"),
                               (["--port-file", place.path("none", "port")], "port file " + place.path("none", "port"))):
            done = starts(place, "--listen", "127.0.0.1:0", "--data-dir", place.path("d"), *options)
            equal((done.returncode, done.stdout), (1, ""), str(options))
            equal(len(done.stderr.splitlines()), 1, done.stderr)
            check(words in done.stderr, done.stderr)
        e = place.emulator(*OPTIONS, "--git-root", place.path("none"))
        check("git_root.missing" in e.text() and place.path("none") in e.text(), e.text())


@story
def a_data_directory_that_cannot_be_used_is_one_clear_error():
    with Place() as place:
        e = place.emulator(*OPTIONS)
        done = starts(place, "--listen", "127.0.0.1:0", "--data-dir", e.data_dir)
        equal(done.returncode, 1)
        check(f"process {e.process.pid}" in done.stderr and e.data_dir in done.stderr, done.stderr)
        equal(e.stop(), 0)
        equal(os.stat(e.data_dir).st_mode & 0o777, 0o700, "mode of the data directory")
        for name in os.listdir(e.data_dir):
            equal(os.stat(os.path.join(e.data_dir, name)).st_mode & 0o077, 0, f"others' rights on {name}")

        def change(sql):
            with sqlite3.connect(os.path.join(e.data_dir, "emulator.db")) as db:
                db.execute(sql)
            db.close()

        for sql, part in (("PRAGMA user_version = 99", "newer"), ("PRAGMA application_id = 7", "not a database of")):
            change(sql)
            done = starts(place, "--listen", "127.0.0.1:0", "--data-dir", e.data_dir)
            equal(done.returncode, 1)
            check(part in done.stderr, done.stderr)
        with open(place.path("file"), "w") as f:
            f.write("x")
        done = starts(place, "--listen", "127.0.0.1:0", "--data-dir", place.path("file"))
        equal(done.returncode, 1)
        check(place.path("file") in done.stderr, done.stderr)


@story
def term_and_int_end_it_with_0_and_a_request_under_way_is_answered():
    with Place() as place:
        for number in (signal.SIGTERM, signal.SIGINT):
            e = place.emulator(*OPTIONS, name=f"emulator{int(number)}", data_dir=place.path(f"data{int(number)}"))
            head = f"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: {PREFIX}ListPipelines\r\nContent-Type: {TYPE}\r\n"
            idle = Wire(e)
            idle.call("ListPipelines", {})  # stays open, with nothing under way
            with socket.create_connection(("127.0.0.1", e.port), timeout=30) as s:
                s.sendall((head + "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n").encode())
                check(s.recv(1000).startswith(b"HTTP/1.1 100"), "it is under way")
                e.send(number)
                wait_for(lambda: "emulator.stopping" in e.text(), what="the signal to be seen")
                s.sendall(b"{}")
                check(b'{"pipelines":[]}' in s.recv(10000), "the answer came")
            equal(e.wait(), 0, "exit code")
            check(not os.path.exists(place.path(f"emulator{int(number)}.port")), "the port file went with it")


@story
def what_was_answered_is_there_after_kill_9_and_the_next_start():
    with Place() as place:
        e = place.emulator(*OPTIONS)
        e.client("codepipeline").create_custom_action_type(
            category="Build", provider="Kept", version="1", inputArtifactDetails={"minimumCount": 0, "maximumCount": 1},
            outputArtifactDetails={"minimumCount": 0, "maximumCount": 1})
        e.kill()
        e = place.emulator(*OPTIONS)
        types = e.client("codepipeline").list_action_types(actionOwnerFilter="Custom")["actionTypes"]
        equal([t["id"]["provider"] for t in types], ["Kept"])


@story
def a_kill_before_the_commit_keeps_nothing_and_one_after_it_everything():
    with open(EMULATOR, "rb") as f:
        if b"MILLHAND_KILL_AT" not in f.read():
            skip("built without fault points")
    with Place() as place:
        for point, cut_off_kept in (("writer.before_commit", 0), ("writer.after_commit", 1)):
            # Number 8: the batches of the start are over by then, and nothing but these calls runs.
            name = point.split(".")[1]
            e = place.emulator(*OPTIONS, env={"MILLHAND_KILL_AT": point + ":8"},
                               data_dir=place.path(name), name=name)
            answered = 0
            try:
                for number in range(20):
                    answer = Wire(e).call("CreateCustomActionType",
                                          {"category": "Build", "provider": f"P{number}", "version": "1",
                                           "inputArtifactDetails": {"minimumCount": 0, "maximumCount": 1},
                                           "outputArtifactDetails": {"minimumCount": 0, "maximumCount": 1}})
                    equal(answer.status, 200)
                    answered += 1
            except (http.client.HTTPException, OSError):
                equal(e.wait(), -signal.SIGKILL, f"{point}: killed by itself")
            check(answered in range(1, 8), f"{answered} were answered before {point} was passed 8 times")
            again = place.emulator(*OPTIONS, data_dir=e.data_dir, name=name + "-again")
            types = again.client("codepipeline").list_action_types(actionOwnerFilter="Custom")["actionTypes"]
            equal(len(types), answered + cut_off_kept, f"types after {point}")
            again.stop()


@story
def at_rest_it_uses_no_cpu():
    def wakes(e):
        total = 0
        for task in glob.glob(f"/proc/{e.process.pid}/task/*/status"):
            with open(task) as f:
                total += sum(int(line.split()[1]) for line in f if "ctxt_switches" in line)
        return total

    with open(EMULATOR, "rb") as f:
        if b"__tsan_init" in f.read():
            skip("ThreadSanitizer has a thread of its own that wakes")
    with Place() as place:
        e = place.emulator(*OPTIONS)
        wire = Wire(e)
        wire.call("ListPipelines", {})  # an open connection, with its thread
        before, woken = cpu_spent(e), wakes(e)
        quiet = threading.Event()
        quiet.wait(1.5)
        check(cpu_spent(e) - before <= 1, f"{cpu_spent(e) - before} ticks of CPU")
        check(wakes(e) - woken <= 5, f"{wakes(e) - woken} times on the CPU")
        equal(wire.call("ListPipelines", {}).status, 200)


run()
