#!/usr/bin/python3
"""Large artifacts: moved in parts, through a proxy that cuts, stalls and spoils."""
import hashlib
import io
import os
import re
import shutil
import sys
import threading
import zipfile
from collections import Counter
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import EMULATOR, Place, Program, client, free_port, sanitized, wait_for  # noqa: E402
from mh.proxy import PLACES, Proxy, body, cut, drip, garble, instead, reset, say, stall  # noqa: E402
from mh.stub import Stub  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402
from mh.worker import FAST, Marks, action, failed_as, finished, zip_of  # noqa: E402

MIB = 1 << 20
PARTS = {"upload_parts_above": "5M", "download_parts_above": "5M", "part_size": "5M", "stall_timeout": "20s"}
BUCKET = "bucket"


def error(code, status):
    return instead(body(f"<Error><Code>{code}</Code></Error>".encode(), status))


def peak_kib(program):
    with open(f"/proc/{program.process.pid}/status") as f:
        return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1))


def parameters(request):
    return {k: v[0] for k, v in parse_qs(urlsplit(request.target).query, keep_blank_values=True).items()}


def kind(request):
    """Which request of S3 it is."""
    q = parameters(request)
    if "partNumber" in q:
        return "part"
    if "uploads" in q:
        return "create"
    if "uploadId" in q:
        return {"POST": "complete", "DELETE": "abort"}[request.method]
    return request.method


class Scene:
    """The API is the stub's, the store the emulator's behind a proxy."""

    def __init__(self, **keys):
        self.place, self.keys, self.plans = Place(), {**FAST, **PARTS, **keys}, {}
        self.lock, self.choosers = threading.Lock(), []

    def __enter__(self):
        if not os.path.exists(EMULATOR):
            skip("no emulator in this build")
        self.place.__enter__()
        self.stub = Stub()
        self.emulator = self.place.emulator()
        self.s3 = self.emulator.client("s3")
        self.s3.create_bucket(Bucket=BUCKET)
        self.proxy = Proxy(self.emulator.port, self.choose)
        self.marks = Marks(self.place)
        self.keys["s3_endpoint"] = self.proxy.endpoint
        return self

    def __exit__(self, *exc):
        self.proxy.close()
        self.stub.close()
        self.place.__exit__(*exc)

    def choose(self, request):
        for chooser in self.choosers:
            fault = chooser(request)
            if fault:
                return fault
        with self.lock:
            plan = self.plans.get(kind(request)) or []
            return plan.pop(0) if plan else None

    def seen(self, what):
        return [r for r in self.proxy.requests if kind(r) == what]

    def start(self, command, name="agent", **keys):
        conf = self.place.agent_conf(self.stub.endpoint, [action(self.place, command, **keys)], **self.keys)
        self.agent = self.place.agent(conf, name=name)
        return self.agent

    def makes(self, size):
        """A handler that makes an output of so many bytes that do not pack, and says their hash."""
        return (f'head -c {size} /dev/urandom > "$MILLHAND_OUTPUT_OUT/f" && '
                f'sha256sum < "$MILLHAND_OUTPUT_OUT/f" >> {self.marks.path}')

    def input(self, size, **put):
        """A job whose one input is an archive with a file of so many bytes; the handler says their hash."""
        data = os.urandom(size)
        self.archive = zip_of({"f": data})
        with self.stub.lock:  # not offered before its input is there
            job = self.stub.job(inputs={"Src": b""})
            self.s3.put_object(Bucket=BUCKET, Key=job.inputs["Src"], Body=self.archive, **put)
        self.wanted = hashlib.sha256(data).hexdigest()
        return job

    def takes(self):
        return f'sha256sum < "$MILLHAND_INPUT_SRC/f" >> {self.marks.path}'

    def check_input(self, job, seconds=30):
        finished(job, "success", seconds)
        equal(self.marks.lines()[-1].split()[0], self.wanted, "what arrived")

    def ranges(self):
        return [(r.header(b"range") or b"").decode() for r in self.seen("GET")]

    def check_output(self, job, name="Out"):
        got = self.s3.get_object(Bucket=BUCKET, Key=job.outputs[name])
        data = got["Body"].read()
        with zipfile.ZipFile(io.BytesIO(data)) as z:
            equal(hashlib.sha256(z.read("f")).hexdigest(), self.marks.lines()[-1].split()[0], "what arrived")
        return got, data

    def uploads_left(self):
        return self.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])


@story
def a_large_output_goes_up_in_parts_and_arrives_whole():
    with Scene() as s:
        job = s.stub.job(outputs=["Out"])
        s.start(s.makes(17 * MIB))
        finished(job, "success")
        got, data = s.check_output(job)
        check(got["ETag"].endswith('-4"'), got["ETag"])
        numbers = sorted(int(parameters(r)["partNumber"]) for r in s.seen("part"))
        equal(numbers, [1, 2, 3, 4])
        create = s.seen("create")[0]
        equal(create.header(b"x-amz-server-side-encryption"), b"aws:kms")
        equal(create.header(b"x-amz-server-side-encryption-aws-kms-key-id"), None)
        check(all(r.header(b"x-amz-server-side-encryption") is None for r in s.seen("part")), "said once, at the start")
        equal((len(s.seen("complete")), len(s.seen("HEAD")), s.uploads_left()), (1, 1, []))
        sent = {int(parameters(r)["partNumber"]): r.body for r in s.seen("part")}
        equal(b"".join(sent[n] for n in numbers), data)


@story
def the_pipelines_key_is_named_when_an_upload_in_parts_begins():
    with Scene() as s:
        job = s.stub.job(outputs=["Out"])
        plain = job.data
        job.data = lambda: dict(plain(), encryptionKey={"id": "arn:aws:kms:x:key/1", "type": "KMS"})
        s.start(s.makes(6 * MIB))
        finished(job, "success")
        create = s.seen("create")[0]
        equal((create.header(b"x-amz-server-side-encryption"),
               create.header(b"x-amz-server-side-encryption-aws-kms-key-id")), (b"aws:kms", b"arn:aws:kms:x:key/1"))


@story
def a_part_that_fails_is_sent_again_alone():
    with Scene(stall_timeout="2s") as s:
        faults = {1: [error("InternalError", "500 Internal Server Error"), error("SlowDown", "503 Slow Down")],
                  2: [cut("header name"), reset("between")], 3: [stall("status line")], 4: [instead(say(b""))]}

        def spoil(request):
            number = int(parameters(request).get("partNumber", 0))
            with s.lock:
                return faults[number].pop(0) if faults.get(number) else None

        s.choosers.append(spoil)
        job = s.stub.job(outputs=["Out"])
        s.start(s.makes(22 * MIB))
        finished(job, "success")
        s.check_output(job)
        tries = Counter(parameters(r)["partNumber"] for r in s.seen("part"))
        check(tries["1"] >= 3 and tries["2"] >= 3 and tries["3"] >= 2 and tries["4"] >= 2, str(tries))
        check(sum(tries.values()) < 18, f"not all of them again: {tries}")
        equal((len(s.seen("create")), len(s.seen("complete"))), (1, 1))


@story
def a_part_that_is_spoilt_on_its_way_is_noticed():
    with Scene() as s:
        spoilt = []

        def spoil(request):
            if kind(request) == "part" and len(spoilt) < 3:
                at = (0, len(request.body) // 2, len(request.body) - 1)[len(spoilt)]
                request.body = request.body[:at] + bytes([request.body[at] ^ 1]) + request.body[at + 1:]
                spoilt.append(at)

        s.choosers.append(spoil)
        job = s.stub.job(outputs=["Out"])
        s.start(s.makes(11 * MIB))
        finished(job, "success")
        s.check_output(job)
        equal(len(spoilt), 3)


@story
def success_waits_for_a_completion_that_says_so():
    page = b"<html><body>200 OK</body></html>"
    late = b'   \r\n<?xml version="1.0"?>\n  <Error><Code>InternalError</Code><Message>x</Message></Error>'
    half = b"<CompleteMultipartUploadResult><ETag>&quot;x-3&quot;</ETag>"
    with Scene() as s:
        s.plans["complete"] = [instead(body(late)), instead(body(page)), instead(body(half)), instead(body(b"")),
                               instead(say(b"")),
                               error("InternalError", "500 Internal Server Error")]
        job = s.stub.job(outputs=["Out"])
        plan = s.plans["complete"]
        s.start(s.makes(11 * MIB))
        wait_for(lambda: not plan, what="all wrong answers to be given")
        finished(job, "success")
        s.check_output(job)
        equal((len(s.seen("complete")), len(s.seen("create"))), (7, 1))


@story
def a_completion_whose_answer_was_lost_costs_no_output():
    with Scene() as s:
        s.plans["complete"] = [cut(0)]  # it happened; the store then knows no such upload
        job = s.stub.job(outputs=["Out"])
        s.start(s.makes(6 * MIB))
        finished(job, "success")
        s.check_output(job)
        equal(s.uploads_left(), [])


@story
def what_the_store_made_must_be_what_it_was_given():
    # The number of parts in the ETag, the checksum over them, the object that is there afterwards.
    wrong = [b"<ETag>&quot;0123-9&quot;</ETag>",
             b"<ETag>&quot;0123-3&quot;</ETag><ChecksumSHA256>AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=-3</ChecksumSHA256>"]
    with Scene() as s:
        s.plans["complete"] = [instead(body(b"<CompleteMultipartUploadResult>" + w + b"</CompleteMultipartUploadResult>"))
                               for w in wrong]
        s.plans["HEAD"] = [instead(say(b'HTTP/1.1 200 OK\r\nETag: "x-3"\r\nContent-Length: 5\r\n\r\n'))]
        job = s.stub.job(outputs=["Out"])
        s.start(s.makes(11 * MIB))
        finished(job, "success")
        s.check_output(job)
        equal((len(s.seen("create")), s.uploads_left()), (4, []))


@story
def a_store_that_lets_nobody_look_is_believed():
    with Scene() as s:
        s.plans["HEAD"] = [instead(say(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"))]
        job = s.stub.job(outputs=["Out"])
        s.start(s.makes(6 * MIB))
        finished(job, "success")
        s.check_output(job)
        equal(len(s.seen("HEAD")), 1)


@story
def an_upload_that_fails_is_aborted():
    with Scene() as s:
        s.choosers.append(lambda r: error("AccessDenied", "403 Forbidden") if kind(r) == "part" else None)
        job = s.stub.job(outputs=["Out"])
        s.start(s.makes(11 * MIB))
        failed_as(job, "PermissionError", "Out", "AccessDenied")
        wait_for(lambda: not s.uploads_left(), what="the upload to be aborted")
        equal(len(s.seen("abort")), 1)


@story
def an_upload_that_the_next_agent_finds_goes_on():
    with Scene(transfer_parallel=1) as s:
        held = threading.Event()

        def hold(request):
            if kind(request) == "part" and parameters(request)["partNumber"] == "3" and not held.is_set():
                held.set()
                return instead(lambda wire, answer: wire.wait_for_client())
            return None

        s.choosers.append(hold)
        job = s.stub.job(outputs=["Out"])
        s.start(s.makes(17 * MIB))
        wait_for(held.is_set, what="the third part")
        s.agent.kill()
        s.start(s.makes(17 * MIB), name="agent")
        finished(job, "success")
        s.check_output(job)
        tries = Counter(parameters(r)["partNumber"] for r in s.seen("part"))
        equal((tries["1"], tries["2"], tries["4"]), (1, 1, 1))
        equal((len(s.seen("create")), s.uploads_left()), (1, []))
        check("upload.resumed" in s.agent.text(), s.agent.text())


@story
def credentials_that_expire_between_parts_are_renewed():
    with Scene(transfer_parallel=1) as s:
        job = s.stub.job(outputs=["Out"])

        def judge(request):
            token = (request.header(b"x-amz-security-token") or b"").decode()
            if kind(request) == "part" and parameters(request)["partNumber"] == "2" and not job.old_tokens:
                job.renew()
            return error("ExpiredToken", "400 Bad Request") if token in job.old_tokens else None

        s.choosers.append(judge)
        s.start(s.makes(11 * MIB))
        finished(job, "success")
        s.check_output(job)
        tries = Counter(parameters(r)["partNumber"] for r in s.seen("part"))
        equal((tries, len(s.seen("create"))), ({"1": 1, "2": 2, "3": 1}, 1))


@story
def an_output_that_changed_after_it_was_packed_is_not_stored():
    with Scene(transfer_parallel=1) as s:
        def change(request):
            if kind(request) == "create":
                root = s.place.path("agent", "state", "jobs")
                with open(os.path.join(root, os.listdir(root)[0], "store", "0"), "r+b") as f:
                    f.seek(6 * MIB)
                    f.write(b"changed")

        s.choosers.append(change)
        job = s.stub.job(outputs=["Out"])
        s.start(s.makes(11 * MIB))
        failed_as(job, "SystemUnavailable", "packed")
        wait_for(lambda: not s.uploads_left(), what="the upload to be aborted")
        equal(s.seen("complete"), [])


@story
def every_answer_of_an_upload_in_parts_may_break_off_stall_or_be_spoilt_at_every_place():
    with Scene(stall_timeout="1s", max_jobs=8) as s:
        jobs, faults = [], {}
        for where in PLACES:
            for play in (cut, lambda where: garble(where, b"#"), stall)[:3 if where in ("between", "body middle") else 2]:
                job = s.stub.job(outputs=["Out"])
                jobs.append(job)
                for what in ("create", "part", "complete", "HEAD"):
                    # A store may take five times as long to complete an upload: that is not waited for here.
                    faults[what, job.outputs["Out"]] = (cut if what == "complete" and play is stall else play)(where)
        s.choosers.append(lambda r: faults.pop((kind(r), urlsplit(r.target).path.removeprefix(f"/{BUCKET}/")), None))
        s.start('head -c 6000000 /dev/urandom > "$MILLHAND_OUTPUT_OUT/f"')
        for job in jobs:
            finished(job, "success", 60)
            got = s.s3.get_object(Bucket=BUCKET, Key=job.outputs["Out"])
            with zipfile.ZipFile(io.BytesIO(got["Body"].read())) as z:
                equal((z.testzip(), z.getinfo("f").file_size), (None, 6000000))
        equal(faults, {}, "those that were not played")


# ---- downloads ----

def begins_at(request):
    """The first byte of the range that is asked for."""
    asked = request.header(b"range")
    return int(asked.decode().split("=")[1].split("-")[0]) if asked else 0


@story
def a_large_input_comes_in_ranges_of_one_version():
    with Scene() as s:
        job = s.input(17 * MIB)
        s.start(s.takes())
        s.check_input(job)
        part, size = 5 * MIB, len(s.archive)
        equal(sorted(s.ranges()), sorted(["", f"bytes={part}-{2 * part - 1}", f"bytes={2 * part}-{3 * part - 1}",
                                          f"bytes={3 * part}-{size - 1}"]))
        etags = {r.header(b"if-match") for r in s.seen("GET") if r.header(b"range")}
        equal(len(etags), 1)


@story
def a_small_input_comes_in_one_stream():
    with Scene() as s:
        job = s.input(1 * MIB)
        s.start(s.takes())
        s.check_input(job)
        equal(s.ranges(), [""])


@story
def a_range_that_breaks_off_goes_on_where_it_stopped():
    with Scene(stall_timeout="1s") as s:
        faults = {5 * MIB: [cut("body middle"), reset("body end")], 10 * MIB: [stall("body start"), cut("status line")],
                  15 * MIB: [error("SlowDown", "503 Slow Down"), cut("body start")]}

        def spoil(request):
            if kind(request) != "GET":
                return None
            with s.lock:
                part = begins_at(request) // (5 * MIB) * (5 * MIB)
                return faults[part].pop(0) if faults.get(part) else None

        s.choosers.append(spoil)
        job = s.input(17 * MIB)
        s.start(s.takes())
        s.check_input(job)
        check(not any(faults.values()), str(faults))
        begins = [begins_at(r) for r in s.seen("GET")]
        check(any(5 * MIB < b < 10 * MIB for b in begins), f"the rest of a range alone: {begins}")


@story
def the_first_answer_may_break_off_at_any_place():
    with Scene(stall_timeout="1s") as s:
        data = os.urandom(11 * MIB)
        archive = zip_of({"f": data, "sums": f"{hashlib.sha256(data).hexdigest()}  f\n".encode()})
        faults, jobs = {}, []
        for where in PLACES + (400 + 4 * MIB, 400 + 6 * MIB):
            for play in (cut, stall):
                job = s.stub.job(inputs={"Src": b""})
                s.s3.put_object(Bucket=BUCKET, Key=job.inputs["Src"], Body=archive)
                faults[job.inputs["Src"]] = play(where)
                jobs.append(job)
        s.choosers.append(lambda r: faults.pop(urlsplit(r.target).path.removeprefix(f"/{BUCKET}/"), None))
        s.start('cd "$MILLHAND_INPUT_SRC" && sha256sum -c sums')
        for job in jobs:
            finished(job, "success")
        equal(faults, {})


@story
def an_object_that_is_replaced_meanwhile_is_never_mixed():
    with Scene(transfer_parallel=1) as s:
        job = s.input(17 * MIB)

        def replace(request):
            if kind(request) == "GET" and begins_at(request) == 10 * MIB and not hasattr(s, "other"):
                s.other = os.urandom(16 * MIB)
                s.s3.put_object(Bucket=BUCKET, Key=job.inputs["Src"], Body=zip_of({"f": s.other}))
                s.wanted = hashlib.sha256(s.other).hexdigest()

        s.choosers.append(replace)
        s.start(s.takes())
        s.check_input(job)
        equal(s.ranges().count(""), 2, "begun anew")


@story
def a_store_without_ranges_gives_it_in_one_stream():
    with Scene() as s:
        def deaf(request):
            request.head = b"\r\n".join(h for h in request.head.split(b"\r\n")
                                        if not h.lower().startswith((b"range:", b"if-match:")))

        s.choosers.append(deaf)
        job = s.input(11 * MIB)
        s.start(s.takes())
        s.check_input(job)


@story
def bytes_that_are_spoilt_on_their_way_are_noticed_where_the_store_tells_a_checksum():
    for algorithm in ("SHA256", "CRC32"):
        for size in (1 * MIB, 11 * MIB):
            with Scene() as s:
                job = s.input(size, ChecksumAlgorithm=algorithm)
                s.plans["GET"] = [garble(300000, b"#")]
                s.start(s.takes())
                s.check_input(job)
                check("its bytes are not those of its" in s.agent.text(), s.agent.text())


@story
def a_trickle_is_a_stall():
    with Scene(min_speed="100k", stall_timeout="1s") as s:
        s.plans["GET"] = [drip("body start", b"P", 0.1)] * 2
        job = s.input(6 * MIB, ChecksumAlgorithm="SHA256")
        s.start(s.takes())
        s.check_input(job)
        check("nothing moved for 1000 ms" in s.agent.text(), s.agent.text())


@story
def an_input_over_the_limit_is_refused_before_it_is_fetched():
    with Scene(input_max="6M") as s:
        job = s.input(11 * MIB)
        s.start(s.takes())
        failed_as(job, "JobFailed", "larger than 6291456 bytes", "input_max")
        equal(len(s.seen("GET")), 1)


# ---- places ----

@story
def a_bucket_may_stand_in_the_path_or_in_the_host():
    for style, host, path in (("auto", "localhost", f"/{BUCKET}/"), ("path", "localhost", f"/{BUCKET}/"),
                              ("virtual", f"{BUCKET}.localhost", "/P/")):
        with Scene(s3_style=style) as s:
            s.keys["s3_endpoint"] = f"http://localhost:{s.proxy.port}"
            job = s.input(1 * MIB)
            s.start(s.takes())
            s.check_input(job)
            request = s.seen("GET")[0]
            equal(request.header(b"host"), f"{host}:{s.proxy.port}".encode())
            check(request.target.startswith(path), request.target)


@story
def memory_does_not_grow_with_the_artifact():
    if sanitized():
        skip("a sanitizer keeps freed memory")
    with Scene() as s:
        s.keys.update(s3_endpoint=s.emulator.endpoint, part_size="16M", upload_parts_above="64M")
        first = s.stub.job(outputs=["Out"])
        s.start('if [ -e "$MILLHAND_INPUT_SRC/f" ]; then stat -c %s "$MILLHAND_INPUT_SRC/f" | grep -qx 314572800; '
                'else truncate -s 300M "$MILLHAND_OUTPUT_OUT/f"; fi', format="tar")
        wait_for(lambda: "agent.ready" in s.agent.text(), what="the agent")
        before = peak_kib(s.agent)
        finished(first, "success", 60)
        check(s.s3.head_object(Bucket=BUCKET, Key=first.outputs["Out"])["ETag"].endswith('-19"'), "in parts")
        with s.stub.lock:  # not offered before it is whole
            second = s.stub.job()
            second.inputs["Src"] = first.outputs["Out"]
        finished(second, "success", 60)
        grown = peak_kib(s.agent) - before
        check(grown <= 8 * 1024, f"peak memory grew by {grown} KiB")


@story
def a_store_of_another_make_takes_and_gives_large_artifacts():
    program = shutil.which("moto_server")
    if not program:
        skip("moto_server is not there")
    with Scene() as s:
        port = free_port()
        moto = Program(s.place, "moto", [program, "-H", "127.0.0.1", "-p", str(port)])
        s.place.programs.append(moto)
        wait_for(lambda: "Running on" in moto.text() or not moto.alive(), 60, "moto")
        if not moto.alive():
            skip(f"moto_server does not run here: {moto.text()[-200:]}")
        s.keys["s3_endpoint"] = f"http://127.0.0.1:{port}"
        s.s3 = client(s.place, "s3", s.keys["s3_endpoint"])
        s.s3.create_bucket(Bucket=BUCKET)
        out = s.stub.job(outputs=["Out"])
        s.start(f'if [ -e "$MILLHAND_INPUT_SRC/f" ]; then {s.takes()}; else {s.makes(11 * MIB)}; fi')
        finished(out, "success", 60)
        got, _ = s.check_output(out)
        check(got["ETag"].endswith('-3"'), got["ETag"])
        s.check_input(s.input(11 * MIB), 60)


run()
