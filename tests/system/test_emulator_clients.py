#!/usr/bin/python3
"""Clients that others wrote, against the artifact store with keys: the AWS CLI's sync, s3cmd, the JavaScript SDK."""
import hashlib
import http.client
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import REGION, SRC, Place, client
from mh.signed import KEY, SECRET, strict
from mh.tap import check, equal, run, skip, story

LARGE = b"0123456789abcdef" * (17 << 16)  # 17 MiB


def tree(place, files):
    for name, body in files.items():
        path = place.path("tree", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(body)
    return place.path("tree")


FILES = {"a.txt": b"a", "sub/b c.txt": b"b c", "sub/deep/ü.bin": bytes(range(256)), "large.bin": LARGE, "empty": b""}


def same_tree(place, at):
    found = {}
    for d, _, names in os.walk(place.path(at)):
        for name in names:
            path = os.path.join(d, name)
            with open(path, "rb") as f:
                found[os.path.relpath(path, place.path(at))] = hashlib.md5(f.read()).hexdigest()
    equal(found, {n: hashlib.md5(b).hexdigest() for n, b in FILES.items()}, at)


@story
def the_aws_cli_syncs_both_ways():
    with Place() as place:
        emulator = strict(place)
        place.env.update(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_DEFAULT_REGION=REGION)
        source = tree(place, FILES)

        def aws(*argv):
            return place.run(["/usr/bin/aws", "--endpoint-url", emulator.endpoint, "s3", *argv]).stdout

        aws("mb", "s3://synced")
        aws("sync", source, "s3://synced/t")
        equal(aws("sync", source, "s3://synced/t"), "", "nothing is sent twice")
        os.unlink(os.path.join(source, "a.txt"))
        check("delete: s3://synced/t/a.txt" in aws("sync", "--delete", source, "s3://synced/t"), "what went is deleted")
        tree(place, {"a.txt": b"a"})
        aws("sync", source, "s3://synced/t")
        aws("sync", "s3://synced/t", place.path("back"))
        same_tree(place, "back")
        aws("sync", "s3://synced/t", "s3://synced/copy")
        aws("cp", "--recursive", "s3://synced/copy", place.path("copied"))
        same_tree(place, "copied")


@story
def s3cmd_moves_files_with_keys():
    if not shutil.which("s3cmd"):
        skip("no s3cmd here")
    with Place() as place:
        emulator = strict(place)
        host = f"127.0.0.1:{emulator.port}"
        config = place.path("s3cfg")
        with open(config, "w") as f:
            f.write(f"[default]\naccess_key = {KEY}\nsecret_key = {SECRET}\nhost_base = {host}\nhost_bucket = {host}\n"
                    "use_https = False\nbucket_location = us-east-1\n")

        def s3cmd(*argv):
            return place.run(["s3cmd", "-c", config, "--no-progress", *argv]).stdout

        source = tree(place, FILES)
        s3cmd("mb", "s3://cmd-bucket")
        s3cmd("sync", source + "/", "s3://cmd-bucket/t/")
        check("s3://cmd-bucket/t/sub/b c.txt" in s3cmd("ls", "--recursive", "s3://cmd-bucket"), "ls")
        check("DIR" in s3cmd("ls", "s3://cmd-bucket/t/"), "ls shows directories")
        s3cmd("put", "--multipart-chunk-size-mb=5", os.path.join(source, "large.bin"), "s3://cmd-bucket/parts")
        check(client(place, "s3", emulator.endpoint, KEY, SECRET).head_object(Bucket="cmd-bucket", Key="parts")["ETag"]
              .endswith('-4"'), "sent in parts")
        s3cmd("cp", "s3://cmd-bucket/parts", "s3://cmd-bucket/t/again")
        s3cmd("del", "s3://cmd-bucket/t/again")
        os.makedirs(place.path("back"))
        s3cmd("sync", "s3://cmd-bucket/t/", place.path("back") + "/")
        same_tree(place, "back")
        s3cmd("del", "--recursive", "--force", "s3://cmd-bucket")
        s3cmd("rb", "s3://cmd-bucket")


@story
def the_javascript_sdk_streams_parts_and_presigns():
    # NODE_PATH must lead to @aws-sdk/client-s3, lib-storage and s3-request-presigner.
    program = os.path.join(SRC, "tests", "fixtures", "s3_client.js")
    need = "for (const m of ['client-s3', 'lib-storage', 's3-request-presigner']) require.resolve('@aws-sdk/' + m)"
    if not shutil.which("node"):
        skip("no node here")
    if subprocess.run(["node", "-e", need], capture_output=True).returncode != 0:
        skip("no JavaScript SDK on NODE_PATH")
    with Place() as place:
        place.env["NODE_PATH"] = os.environ.get("NODE_PATH", "")
        emulator = strict(place)
        equal(place.run(["node", program, emulator.endpoint, KEY, SECRET]).stdout, "ok\n")


@story
def memory_stays_flat_for_an_object_of_5_gib():
    # Minutes of disk. Smaller ones are test_emulator_s3.py's.
    if not os.environ.get("MH_LONG"):
        skip("MH_LONG is not set")
    size, piece = 5 << 30, bytes(1 << 20)
    with Place() as place:
        emulator = place.emulator()
        emulator.client("s3").create_bucket(Bucket="bucket")

        def peak_kib():
            with open(f"/proc/{emulator.process.pid}/status") as f:
                return int([line for line in f if line.startswith("VmHWM")][0].split()[1])

        before = peak_kib()
        connection = http.client.HTTPConnection("127.0.0.1", emulator.port, timeout=600)
        connection.request("PUT", "/bucket/huge", body=(piece for _ in range(size >> 20)),
                           headers={"Content-Length": str(size)})
        answer = connection.getresponse()
        equal((answer.status, answer.read()), (200, b""))
        connection.request("GET", "/bucket/huge")
        answer, got = connection.getresponse(), 0
        while True:
            n = len(answer.read(1 << 20))
            if not n:
                break
            got += n
        equal(got, size)
        connection.close()
        grown = peak_kib() - before
        print(f"# memory grew by {grown} KiB for {size >> 30} GiB", flush=True)
        check(grown < 16 * 1024, f"memory grew by {grown} KiB")


if __name__ == "__main__":
    run()
