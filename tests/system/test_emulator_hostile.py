#!/usr/bin/python3
"""The emulator before clients that are broken, hostile, slow or many: each is refused, nobody else notices."""
import glob
import http.client
import json
import os
import random
import resource
import socket
import sqlite3
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import EMULATOR, SHARED, Place, sanitized, wait_for  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402

SEED = int(os.environ.get("MH_SEED", "7"))
ROUNDS = 5000 if os.environ.get("MH_SOAK") else 1500
TYPE = "application/x-amz-json-1.1"
TARGET = "CodePipeline_20150709."
UUID = "01234567-89ab-cdef-0123-456789abcdef"


def exchange(port, data, seconds=5):
    """Sends it, says that no more comes, and answers all that comes back until the end."""
    got = b""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as s:
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while True:
                piece = s.recv(65536)
                if not piece:
                    return got
                got += piece
        except (ConnectionError, BrokenPipeError):
            return got


class Wire:
    """One kept-alive connection."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def call(self, operation, data):
        self.connection.request("POST", "/", data, {"X-Amz-Target": TARGET + operation, "Content-Type": TYPE})
        return self.answer()

    def send(self, method, path, data=b"", **headers):
        self.connection.request(method, path, data, headers)
        return self.answer()

    def answer(self):
        response = self.connection.getresponse()
        return response.status, response.read()


def still_well(emulator):
    check(emulator.alive(), f"the emulator is gone: {emulator.text()[-500:]}")
    equal(Wire(emulator.port).send("GET", "/_millhand/health"), (200, b'{"status":"ok"}'), "health")


def ends_well(emulator):
    """A sanitizer's finding is another exit code."""
    still_well(emulator)
    check("api.failed" not in emulator.text() and "s3.failed" not in emulator.text(), "nothing failed inside")
    equal(emulator.stop(), 0, "exit code")


def memory_is_told():
    """Not by a sanitizer's build, which keeps freed memory back."""
    return not sanitized(EMULATOR)


def memory_kb(emulator):
    with open(f"/proc/{emulator.process.pid}/status") as f:
        return int([line for line in f if line.startswith("VmRSS:")][0].split()[1])


# ---- raw HTTP, spoilt at random ----

def request(method, path, headers, data=b""):
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers)
    return head.encode("latin-1") + b"\r\n" + data


def chunks(*pieces, end=b"0\r\n\r\n"):
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + end


def seeds():
    call = [("X-Amz-Target", TARGET + "ListPipelines"), ("Content-Type", TYPE)]
    signed = ("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/codepipeline/aws4_request, "
                               "SignedHeaders=host;x-amz-date, Signature=" + "0" * 64)
    trailer = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
    many = "<Delete>" + "<Object><Key>k</Key></Object>" * 3 + "</Delete>"
    return [
        request("POST", "/", call + [("Content-Length", "2")], b"{}"),
        request("POST", "/", call + [("Transfer-Encoding", "chunked")], chunks(b"{", b"}")),
        request("POST", "/", call + [("Content-Length", "2"), signed, ("X-Amz-Date", "20260101T000000Z")], b"{}"),
        request("POST", "/", [("X-Amz-Target", TARGET + "GetPipeline"), ("Content-Type", TYPE), ("Content-Length", "12")],
                b'{"name":"p"}'),
        request("GET", "/_millhand/health", []),
        request("PUT", "/fuzz/key", [("Content-Length", "5"), ("Content-MD5", "XUFAKrxLKna5cZ2REBfFkg==")], b"hello"),
        request("PUT", "/fuzz/chunked", [("Transfer-Encoding", "chunked")], chunks(b"hello", b"world")),
        request("PUT", "/fuzz/aws", [("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"), ("Content-Encoding", "aws-chunked"),
                                     ("x-amz-decoded-content-length", "5"), ("x-amz-trailer", "x-amz-checksum-crc32"),
                                     ("Content-Length", str(len(trailer)))], trailer),
        request("GET", "/fuzz/key", [("Range", "bytes=1-3"), ("If-Match", '"x"')]),
        request("GET", "/fuzz?list-type=2&prefix=k&max-keys=3&continuation-token=x", []),
        request("HEAD", "/fuzz/key", []),
        request("POST", "/fuzz?delete", [("Content-Length", str(len(many)))], many.encode()),
        request("POST", "/fuzz/key?uploads", [("Content-Length", "0")]),
        request("DELETE", "/fuzz/key?versionId=null", []),
        request("GET", "/_millhand/wait?types=Build/Custom/X/1&seconds=0", []),
    ]


NOISE = [b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"%", b"%00", b"%zz", b"/../", b"?", b"&", b"=", b"\xff\xfe", b"\xc3\x28",
         b"-1", b"99999999999999999999", b"0x10", b"chunked", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n",
         b"Transfer-Encoding: gzip\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Upgrade: h2c\r\n", b"HTTP/1.0", b"HTTP/3",
         b"A" * 3000, b"X: y\r\n" * 200, b"Range: bytes=9-1,3-,-\r\n", b"Host: evil\r\n", b"http://evil/", b"*", b";x=y", b"<!DOCTYPE x>"]


def spoil(dice, data, all_seeds):
    """One to four small damages."""
    for _ in range(dice.randint(1, 4)):
        at, to = sorted((dice.randint(0, len(data)), dice.randint(0, len(data))))
        how = dice.randint(0, 7)
        if how == 0:
            data = data[:at]  # half a request
        elif how == 1:
            data = data[:at] + dice.choice(NOISE) + data[at:]
        elif how == 2:
            data = data[:at] + data[min(to, at + 40):]
        elif how == 3:
            data = data[:at] + data[at:to] * 3 + data[to:]
        elif how == 4:
            data = data[:at] + bytes([dice.randrange(256)]) + data[at + 1:]
        elif how == 5:
            data = data + dice.choice(all_seeds)  # pipelined
        elif how == 6:
            data = data[:at] + dice.choice(all_seeds)[to:] + data[at:]
        else:
            lines = data.split(b"\r\n")
            i, k = dice.randrange(len(lines)), dice.randrange(len(lines))
            lines[i], lines[k] = lines[k], lines[i]
            data = b"\r\n".join(lines)
    return data[:300000]


@story
def no_spoilt_request_makes_the_server_fail():
    dice = random.Random(SEED)
    print(f"# seed {SEED} (MH_SEED), {ROUNDS} requests", flush=True)
    with Place() as place:
        e = place.emulator("--log-level", "info", "--idle-timeout", "3s")
        equal(Wire(e.port).send("PUT", "/fuzz")[0], 200, "a bucket")
        rows = seeds()
        for row in rows:
            equal(exchange(e.port, row)[:9], b"HTTP/1.1 ", f"an answer to {row[:60]!r}")
        answers = {}
        for number in range(ROUNDS):
            data = spoil(dice, dice.choice(rows), rows)
            got = exchange(e.port, data)
            check(not got or got.startswith(b"HTTP/1."), f"number {number}: {data!r}: {got[:100]!r}")
            check(not got.startswith(b"HTTP/1.1 5") or got.startswith((b"HTTP/1.1 501", b"HTTP/1.1 505")),
                  f"number {number}: {data!r}: {got[:300]!r}")
            answers[got[9:12]] = answers.get(got[9:12], 0) + 1
            if number % 50 == 0:
                still_well(e)
        print(f"# {dict(sorted(answers.items()))}", flush=True)
        ends_well(e)


@story
def half_a_request_is_never_an_operation():
    # Each beginning of a request that creates something, then the end of the connection.
    with Place() as place:
        e = place.emulator("--idle-timeout", "3s")
        text = json.dumps({"category": "Build", "provider": "Half", "version": "1",
                           "inputArtifactDetails": {"minimumCount": 0, "maximumCount": 1},
                           "outputArtifactDetails": {"minimumCount": 0, "maximumCount": 1}}).encode()
        whole = request("POST", "/", [("X-Amz-Target", TARGET + "CreateCustomActionType"), ("Content-Type", TYPE),
                                      ("Content-Length", str(len(text)))], text)
        for cut in range(0, len(whole)):
            exchange(e.port, whole[:cut])
        status, answer = Wire(e.port).call("ListActionTypes", b'{"actionOwnerFilter":"Custom"}')
        equal((status, json.loads(answer)["actionTypes"]), (200, []))
        check(b"200 OK" in exchange(e.port, whole), "the whole one")
        ends_well(e)


# ---- JSON that is not what was asked for ----

BODIES = {
    "CreatePipeline": b'{"pipeline":%s}',
    "CreateCustomActionType": b'{"category":"Build","provider":"X","version":"1","inputArtifactDetails":%s,"outputArtifactDetails":%s}',
    "PollForJobs": b'{"actionTypeId":{"category":"Build","owner":"Custom","provider":"X","version":"1"},"maxBatchSize":%s,"queryParam":%s}',
    "AcknowledgeJob": b'{"jobId":"' + UUID.encode() + b'","nonce":%s}',
    "PutJobSuccessResult": b'{"jobId":"' + UUID.encode() + b'","outputVariables":%s,"executionDetails":%s}',
    "PutApprovalResult": b'{"pipelineName":"p","stageName":"s","actionName":"a","token":"t","result":%s}',
    "StartPipelineExecution": b'{"name":"p","variables":%s,"clientRequestToken":%s}',
    "TagResource": b'{"resourceArn":"arn:aws:codepipeline:us-east-1:000000000000:p","tags":%s}',
    "ListPipelineExecutions": b'{"pipelineName":"p","maxResults":%s,"filter":%s}',
}


@story
def the_json_corpus_in_the_members_of_operations_is_never_a_failure_inside():
    names = sorted(glob.glob(os.path.join(SHARED, "data", "json", "*.json")))
    if not names:
        skip("no JSON corpus beside the project")
    with Place() as place:
        e = place.emulator()
        wire = Wire(e.port)
        count = 0
        for name in names:
            with open(name, "rb") as f:
                value = f.read()
            for operation, text in BODIES.items():
                status, answer = wire.call(operation, text.replace(b"%s", value))
                told = json.loads(answer)
                check(status in (200, 400), f"{operation} {os.path.basename(name)}: {status} {answer[:200]!r}")
                if status == 400:
                    equal(sorted(told), ["__type", "message"], f"{operation} {os.path.basename(name)}")
                if os.path.basename(name).startswith("n_") and value.strip():
                    check(told.get("__type") in ("SerializationException", "UnknownOperationException"),
                          f"{operation} {os.path.basename(name)}: {told}")
                count += 1
        print(f"# {count} requests", flush=True)
        ends_well(e)


# ---- far too much ----

@story
def the_stores_xml_is_read_with_limits():
    with Place() as place:
        e = place.emulator()
        wire = Wire(e.port)
        equal(wire.send("PUT", "/bucket")[0], 200)
        laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "ha"}">' for i in range(12))
        key = "<Object><Key>%s</Key></Object>"
        rows = {
            "entities": f"<!DOCTYPE d [{laughs}]><Delete>{key % '&l11;'}</Delete>",
            "an entity from outside": f'<!DOCTYPE d [<!ENTITY f SYSTEM "file:///etc/passwd">]><Delete>{key % "&f;"}</Delete>',
            "depth": "<Delete>" + "<Object>" * 100000 + "</Object>" * 100000 + "</Delete>",
            "too many keys": "<Delete>" + key % "k" * 1001 + "</Delete>",
            "a long key": f"<Delete>{key % ('k' * 100000)}</Delete>",
            "attributes": "<Delete " + " ".join(f'a{i}="b"' for i in range(20000)) + "/>",
            "another root": "<html><body/></html>",
            "not closed": "<Delete><Object>",
            "nothing": "",
            "not UTF-8": "<Delete><Object><Key>\udcff</Key></Object></Delete>",
        }
        before = memory_kb(e)
        for title, text in rows.items():
            status, answer = wire.send("POST", "/bucket?delete", text.encode("utf-8", "surrogateescape"))
            check(400 <= status < 500, f"{title}: {status} {answer[:200]!r}")
            check(b"root:" not in answer, title)
        status, answer = wire.send("POST", "/bucket/k?uploads")
        upload = answer.split(b"<UploadId>")[1].split(b"<")[0].decode()
        for title in ("entities", "depth", "nothing"):
            text = rows[title].replace("Delete", "CompleteMultipartUpload")
            status, answer = wire.send("POST", f"/bucket/k?uploadId={upload}", text.encode())
            check(400 <= status < 500, f"{title}: {status} {answer[:200]!r}")
        check(not memory_is_told() or memory_kb(e) - before < 20000, f"memory grew by {memory_kb(e) - before} kB")
        ends_well(e)


@story
def far_too_much_is_refused_and_takes_no_memory():
    with Place() as place:
        e = place.emulator("--max-object", "1M")
        before = memory_kb(e)
        head = f"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: {TARGET}ListPipelines\r\nContent-Type: {TYPE}\r\n".encode()
        floods = {
            "a request line": (b"GET /", b"a" * 65536, b"HTTP/1.1 4"),
            "a query": (b"GET /?x=", b"%41" * 20000, b"HTTP/1.1 4"),
            "one header": (head + b"X: ", b"a" * 65536, b"HTTP/1.1 4"),
            "headers": (head, b"X: y\r\n" * 10000, b"HTTP/1.1 4"),
            "a body": (head + b"Content-Length: 60000000\r\n\r\n", b" " * 65536, b"HTTP/1.1 413"),
            "chunks of one byte": (head + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 10000, b""),
            "a chunk's extension": (head + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 65536, b""),
            "a trailer": (head + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 10000, b""),
            "an object": (b"PUT /none/k HTTP/1.1\r\nHost: x\r\nContent-Length: 60000000\r\n\r\n", b"o" * 65536, b"HTTP/1.1 4"),
        }
        for title, (start, piece, want) in floods.items():
            with socket.create_connection(("127.0.0.1", e.port), timeout=10) as s:
                got = b""
                try:
                    s.sendall(start)
                    for _ in range(60_000_000 // len(piece)):
                        s.sendall(piece)
                except OSError:
                    pass  # the server had enough
                try:
                    s.shutdown(socket.SHUT_WR)
                    got = s.recv(1000)
                except OSError:
                    pass
                check(got.startswith(want) or not got, f"{title}: {got[:100]!r}")
                check(not got.startswith(b"HTTP/1.1 200"), f"{title}: {got[:100]!r}")
            grown = memory_kb(e) - before
            check(not memory_is_told() or grown < 16 * 1024, f"{title}: memory grew by {grown} kB")
        ends_well(e)


@story
def a_body_that_never_ends_is_cut_off():
    piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with Place() as place:
        e = place.emulator("--max-object", "1M")
        e.client("s3").create_bucket(Bucket="bucket")
        for start in (f"POST / HTTP/1.1\r\nX-Amz-Target: {TARGET}ListPipelines\r\nContent-Type: {TYPE}\r\n", "PUT /bucket/k HTTP/1.1\r\n",
                      "PUT /none/k HTTP/1.1\r\n", "POST /_millhand/wait HTTP/1.1\r\n"):
            with socket.create_connection(("127.0.0.1", e.port), timeout=10) as s:
                s.sendall(start.encode() + b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\n")
                try:
                    for _ in range(3000):  # 190 MB
                        s.sendall(piece)
                except OSError:
                    continue
            check(False, f"{start}: read without end")
        ends_well(e)


# ---- slow, and many ----

@story
def slow_clients_and_a_thousand_idle_ones_keep_nobody_waiting():
    count, slow = 1000, 100
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4 * count:
        skip(f"only {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * count), hard))
    with Place() as place:
        e = place.emulator()  # as it comes, with no limit set
        before = memory_kb(e)
        idle = [socket.create_connection(("127.0.0.1", e.port)) for _ in range(count)]
        text = request("POST", "/", [("X-Amz-Target", TARGET + "ListPipelines"), ("Content-Type", TYPE), ("Content-Length", "2")], b"{}")
        dripping = [socket.create_connection(("127.0.0.1", e.port)) for _ in range(slow)]
        for s in dripping:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        longest, wire = 0, Wire(e.port)
        for byte in text:  # a byte of each, and a request of ours in between
            for s in dripping:
                s.sendall(bytes([byte]))
            start = time.monotonic()
            equal(wire.call("ListPipelines", b"{}")[0], 200)
            longest = max(longest, time.monotonic() - start)
        for s in dripping:
            check(s.recv(100).startswith(b"HTTP/1.1 200"), "a slow client is answered at last")
        grown = memory_kb(e) - before
        print(f"# {count} idle and {slow} slow: {grown} kB, longest wait {longest * 1000:.0f} ms", flush=True)
        check(not memory_is_told() or grown < 64 * 1024, f"memory grew by {grown} kB")
        check(longest < 2, f"a request waited {longest:.1f} s")
        equal(Wire(e.port).call("ListPipelines", b"{}")[0], 200, "a new connection")
        for s in idle + dripping:
            s.close()
        wait_for(lambda: threads(e) < 20, what="the threads of those that left to end")
        ends_well(e)


def threads(emulator):
    return len(os.listdir(f"/proc/{emulator.process.pid}/task"))


# ---- data of another time ----

@story
def data_of_an_older_or_newer_version_are_named_and_left_as_they_are():
    with Place() as place:
        e = place.emulator()
        equal(e.stop(), 0)
        path = os.path.join(e.data_dir, "emulator.db")

        def change(sql):
            db = sqlite3.connect(path)
            db.execute(sql)
            db.commit()
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.close()

        db = sqlite3.connect(path)
        version = db.execute("PRAGMA user_version").fetchone()[0]
        db.close()
        for number, part in ((0, "an older"), (version + 1, "a newer")):
            change(f"PRAGMA user_version = {number}")
            with open(path, "rb") as f:
                kept = f.read()
            done = place.run([EMULATOR, "--listen", "127.0.0.1:0", "--data-dir", e.data_dir], check=False)
            equal((done.returncode, len(done.stderr.splitlines())), (1, 1), done.stderr)
            for word in (path, part, f"format {number}", f"writes {version}", "another data directory"):
                check(word in done.stderr, f"{word!r} in {done.stderr}")
            with open(path, "rb") as f:
                equal(f.read() == kept, True, "the database is as it was")
        change(f"PRAGMA user_version = {version}")
        ends_well(place.emulator(name="again"))


run()
