#!/usr/bin/python3
"""Who may do what in the artifact store: keys of the settings, and a job's own credentials.

Signatures are made by boto3, by curl, and by hand here; none shares code with the server.
"""
import hashlib
import os
import shutil
import subprocess
import sys
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import REGION, Place, client, wait_for
from mh.signed import KEY, SECRET, Signed, fetch, refused, strict
from mh.tap import equal, raises, run, skip, story

ROLE = "arn:aws:iam::000000000000:role/r"


@story
def without_keys_anyone_may_do_anything():
    with Place() as place:
        emulator = place.emulator()
        equal(Signed(emulator, "PUT", "/bucket", key="WHO", secret="ever").send()[0], 200)
        equal(Signed(emulator, "PUT", "/bucket/k", b"x", secret="wrong", token="of-somebody-else").send()[0], 200)
        equal(fetch(emulator.endpoint + "/bucket/k"), (200, b"x"))


@story
def with_keys_each_signature_must_be_right():
    with Place() as place:
        emulator = strict(place)
        s3 = emulator.client("s3", key=KEY, secret=SECRET)
        s3.create_bucket(Bucket="bucket")
        s3.put_object(Bucket="bucket", Key="a b/ü+%?&=~*'()", Body=b"hello", Metadata={"x": "a  b"})
        equal(s3.get_object(Bucket="bucket", Key="a b/ü+%?&=~*'()")["Body"].read(), b"hello")
        equal(s3.list_objects_v2(Bucket="bucket", Prefix="a b/ü", Delimiter="+")["KeyCount"], 1)
        raises("SignatureDoesNotMatch", emulator.client("s3", key=KEY, secret="wrong").list_buckets)
        raises("InvalidAccessKeyId", emulator.client("s3", key="AKIDUNKNOWN", secret=SECRET).list_buckets)
        raises("InvalidToken", emulator.client("s3", key=KEY, secret=SECRET, token="of-somebody-else").list_buckets)
        equal(fetch(emulator.endpoint + "/bucket/k"), (403, "AccessDenied"))
        equal(fetch(emulator.endpoint + "/"), (403, "AccessDenied"))
        equal(fetch(emulator.endpoint + "/no-bucket/k?acl"), (403, "AccessDenied"))
        equal(Signed(emulator, "GET", "/").send()[0], 200)
        refused(Signed(emulator, "GET", "/", age_s=16 * 60), 403, "RequestTimeTooSkewed")
        refused(Signed(emulator, "GET", "/", age_s=-16 * 60), 403, "RequestTimeTooSkewed")
        equal(Signed(emulator, "GET", "/", age_s=14 * 60).send()[0], 200)
        refused(Signed(emulator, "GET", "/", service="codepipeline"), 400, "AuthorizationHeaderMalformed")
        request = Signed(emulator, "PUT", "/bucket/k", b"hello")
        request.path = "/bucket/other"
        refused(request, 403, "SignatureDoesNotMatch")
        request = Signed(emulator, "PUT", "/bucket/k", b"hello")
        request.body = b"jello"
        refused(request, 400, "XAmzContentSHA256Mismatch")
        request = Signed(emulator, "PUT", "/bucket/k", b"hello")
        request.headers["x-amz-meta-added"] = "unsigned"
        refused(request, 403, "AccessDenied")
        request = Signed(emulator, "GET", "/")
        request.headers["Authorization"] = "AWS4-HMAC-SHA256 nonsense"
        refused(request, 400, "AuthorizationHeaderMalformed")
        request.headers["Authorization"] = f"AWS {KEY}:c2lnbmF0dXJl"
        refused(request, 400, "InvalidRequest")
        refused(Signed(emulator, "POST", "/bucket?delete=", b"<Delete><Object><Key>x</Key></Object></Delete>",
                       payload="0" * 64), 400, "XAmzContentSHA256Mismatch")


@story
def presigned_urls_open_one_request_for_a_while():
    with Place() as place:
        emulator = strict(place)
        s3 = emulator.client("s3", key=KEY, secret=SECRET, signature_version="s3v4")
        s3.create_bucket(Bucket="bucket")
        s3.put_object(Bucket="bucket", Key="a b", Body=b"hello")
        url = s3.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "a b",
                                                       "ResponseContentType": "text/x-test"})
        with urllib.request.urlopen(url, timeout=20) as answer:
            equal((answer.read(), answer.headers["Content-Type"]), (b"hello", "text/x-test"))
        equal(fetch(url.replace("a%20b", "other")), (403, "SignatureDoesNotMatch"))
        equal(fetch(url.replace("X-Amz-Expires=3600", "X-Amz-Expires=7200")), (403, "SignatureDoesNotMatch"))
        put = s3.generate_presigned_url("put_object", {"Bucket": "bucket", "Key": "new"})
        with urllib.request.urlopen(urllib.request.Request(put, b"body", {"Content-Type": ""}, method="PUT"), timeout=20):
            equal(s3.get_object(Bucket="bucket", Key="new")["Body"].read(), b"body")
        short = s3.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "a b"}, ExpiresIn=1)
        wait_for(lambda: fetch(short) == (403, "AccessDenied"), what="the URL to expire")
        old = emulator.client("s3", key=KEY, secret=SECRET, signature_version="s3")
        equal(fetch(old.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "a b"})), (400, "InvalidRequest"))


def signed_chunks(request, pieces):
    """The body of STREAMING-AWS4-HMAC-SHA256-PAYLOAD: each chunk signed over the one before."""
    previous, out, empty = request.signature, b"", hashlib.sha256(b"").hexdigest()
    for piece in pieces + [b""]:
        previous = request.mac("AWS4-HMAC-SHA256-PAYLOAD", previous, empty, hashlib.sha256(piece).hexdigest())
        out += b"%x;chunk-signature=%s\r\n%s\r\n" % (len(piece), previous.encode(), piece)
    return out


@story
def signed_chunks_are_verified_one_by_one():
    pieces = [b"a" * 65536, b"b" * 65536, b"end"]
    length = str(sum(len(p) for p in pieces))
    with Place() as place:
        emulator = strict(place)
        Signed(emulator, "PUT", "/bucket").send()

        def request():
            r = Signed(emulator, "PUT", "/bucket/k", payload="STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
                       headers={"content-encoding": "aws-chunked", "x-amz-decoded-content-length": length})
            r.body = signed_chunks(r, pieces)
            return r

        good = request()
        equal(good.send()[:2], (200, ""))
        equal(Signed(emulator, "GET", "/bucket/k").send()[2], b"".join(pieces))
        bad = request()
        bad.body = bad.body.replace(b"end", b"END")
        refused(bad, 403, "SignatureDoesNotMatch")
        swapped = request()
        first, second = swapped.body.index(b"10000;"), swapped.body.index(b"10000;", 1)
        third = swapped.body.index(b"3;chunk")
        swapped.body = swapped.body[second:third] + swapped.body[first:second] + swapped.body[third:]
        refused(swapped, 403, "SignatureDoesNotMatch")
        naked = request()
        naked.body = b"3\r\nend\r\n0\r\n\r\n"
        refused(naked, 403, "SignatureDoesNotMatch")


@story
def curl_signs_as_the_server_verifies():
    if not shutil.which("curl"):
        skip("no curl here")
    with Place() as place:
        emulator = strict(place)
        base = ["curl", "-sS", "--max-time", "20", "--aws-sigv4", f"aws:amz:{REGION}:s3", "--user", f"{KEY}:{SECRET}",
                "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "-w", "%{http_code}"]
        if "aws-sigv4" not in subprocess.run(["curl", "--help", "all"], capture_output=True, text=True).stdout:
            skip("this curl cannot sign")
        equal(place.run(base + ["-X", "PUT", emulator.endpoint + "/bucket"]).stdout, "200")
        with open(place.path("body"), "w") as f:
            f.write("by curl")
        equal(place.run(base + ["-T", place.path("body"), emulator.endpoint + "/bucket/k"]).stdout, "200")
        equal(place.run(base + [emulator.endpoint + "/bucket/k"]).stdout, "by curl200")


# ---- a job's own credentials ----

def type_id(category, owner, provider):
    return {"category": category, "owner": owner, "provider": provider, "version": "1"}


def pipeline(name):
    return {"name": name, "roleArn": ROLE, "artifactStore": {"type": "S3", "location": "artifacts"}, "stages": [
        {"name": "Source", "actions": [
            {"name": "Fetch", "actionTypeId": type_id("Source", "AWS", "S3"), "outputArtifacts": [{"name": "Src"}],
             "configuration": {"S3Bucket": "uploads", "S3ObjectKey": f"{name}.zip", "PollForSourceChanges": "false"}}]},
        {"name": "Build", "actions": [
            {"name": "Make", "actionTypeId": type_id("Build", "Custom", "Make"), "inputArtifacts": [{"name": "Src"}],
             "outputArtifacts": [{"name": "Dist"}]}]}]}


def two_jobs(emulator, **who):
    """Two acknowledged jobs of two pipelines."""
    cp, s3 = emulator.client("codepipeline", **who), emulator.client("s3", **who)
    s3.create_bucket(Bucket="uploads")
    cp.create_custom_action_type(category="Build", provider="Make", version="1",
                                 inputArtifactDetails={"minimumCount": 1, "maximumCount": 1},
                                 outputArtifactDetails={"minimumCount": 1, "maximumCount": 1})
    for name in ("one", "two"):
        s3.put_object(Bucket="uploads", Key=f"{name}.zip", Body=f"source of {name}".encode())
        cp.create_pipeline(pipeline=pipeline(name))
    jobs = {}

    def poll():
        for job in cp.poll_for_jobs(actionTypeId=type_id("Build", "Custom", "Make"), maxBatchSize=2)["jobs"]:
            cp.acknowledge_job(jobId=job["id"], nonce=job["nonce"])
            jobs[job["data"]["pipelineContext"]["pipelineName"]] = job
        return len(jobs) == 2

    wait_for(poll, what="a job of each pipeline")
    return jobs["one"], jobs["two"]


class Worker:
    """What a job's worker has in its hands."""

    def __init__(self, place, emulator, job):
        data = job["data"]
        self.credentials = data["artifactCredentials"]
        self.input = self.where(data["inputArtifacts"][0])
        self.output = self.where(data["outputArtifacts"][0])
        self.s3 = self.client(place, emulator)

    def client(self, place, emulator, **changes):
        c = dict(self.credentials, **changes)
        return client(place, "s3", emulator.endpoint, c["accessKeyId"], c["secretAccessKey"], c["sessionToken"],
                      signature_version="s3v4")

    @staticmethod
    def where(artifact):
        location = artifact["location"]["s3Location"]
        return {"Bucket": location["bucketName"], "Key": location["objectKey"]}


def scope_story(place, emulator, **who):
    one, two = (Worker(place, emulator, job) for job in two_jobs(emulator, **who))
    s3, denied = one.s3, lambda call, *args, **kwargs: raises("AccessDenied", call, *args, **kwargs)
    everything = emulator.client("s3", **who)

    # Its input may be read, in every way of reading; nothing else of it.
    equal(s3.get_object(**one.input)["Body"].read(), b"source of one")
    equal(s3.get_object(Range="bytes=0-5", **one.input)["Body"].read(), b"source")
    equal(s3.head_object(**one.input)["ContentLength"], 13)
    s3.download_file(one.input["Bucket"], one.input["Key"], place.path("downloaded"))
    denied(s3.put_object, Body=b"x", **one.input)
    denied(s3.delete_object, **one.input)
    denied(s3.get_object_tagging, **one.input)

    # Its output may be written and looked at; not read, not deleted.
    s3.put_object(Body=b"built", ServerSideEncryption="aws:kms", **one.output)
    equal(s3.head_object(**one.output)["ContentLength"], 5)
    denied(s3.get_object, **one.output)
    denied(s3.delete_object, **one.output)
    denied(s3.put_object_acl, ACL="private", **one.output)
    with open(place.path("large"), "wb") as f:
        f.write(b"0123456789abcdef" * (9 << 16))
    s3.upload_file(place.path("large"), one.output["Bucket"], one.output["Key"])
    equal(everything.get_object(**one.output)["ContentLength"], 9 << 20)

    # The other job's artifacts, and anything else, are closed, also by way of a copy.
    for other in (two.input, two.output, {"Bucket": "uploads", "Key": "one.zip"}, {"Bucket": "uploads", "Key": "none"},
                  dict(one.input, Key=one.input["Key"] + "x"), dict(one.input, Bucket="uploads")):
        denied(s3.get_object, **other)
        denied(s3.put_object, Body=b"x", **other)
        raises("403", s3.head_object, **other)
        denied(s3.copy_object, CopySource=other, **one.output)
        denied(s3.copy_object, CopySource=one.input, **other)
    s3.copy_object(CopySource=one.input, **one.output)
    equal(everything.get_object(**one.output)["Body"].read(), b"source of one")

    # Nothing of buckets or of the service.
    denied(s3.list_buckets)
    denied(s3.list_objects_v2, Bucket="artifacts")
    denied(s3.list_objects_v2, Bucket="artifacts", Prefix=one.input["Key"])
    denied(s3.create_bucket, Bucket="new-bucket")
    denied(s3.delete_bucket, Bucket="artifacts")
    denied(s3.delete_objects, Bucket="artifacts", Delete={"Objects": [{"Key": one.output["Key"]}]})
    raises("403", s3.head_bucket, Bucket="artifacts")

    # A token opens nothing by itself.
    mine, theirs = one.credentials, two.credentials
    raises("SignatureDoesNotMatch", one.client(place, emulator, secretAccessKey="wrong").get_object, **one.input)
    raises("InvalidAccessKeyId", one.client(place, emulator, accessKeyId=theirs["accessKeyId"]).get_object, **one.input)
    raises("AccessDenied", one.client(place, emulator, **theirs).get_object, **one.input)
    damaged = mine["sessionToken"][:-8] + ("AAAA" if mine["sessionToken"][-8:-4] != "AAAA" else "BBBB") + mine["sessionToken"][-4:]
    message = one.client(place, emulator, sessionToken=damaged)
    raises("InvalidToken", message.get_object, **one.input)
    path = "/%s/%s" % (one.input["Bucket"], one.input["Key"])
    unsigned = Signed(emulator, "GET", path, token=mine["sessionToken"])
    del unsigned.headers["Authorization"]
    refused(unsigned, 403, "AccessDenied")
    by_hand = dict(key=mine["accessKeyId"], secret=mine["secretAccessKey"], token=mine["sessionToken"])
    equal(Signed(emulator, "GET", path, **by_hand).send()[2], b"source of one")
    refused(Signed(emulator, "GET", path, age_s=16 * 60, **by_hand), 403, "RequestTimeTooSkewed")

    # Presigned with the token inside.
    url = s3.generate_presigned_url("get_object", one.input)
    equal(fetch(url), (200, b"source of one"))
    equal(fetch(s3.generate_presigned_url("get_object", two.input)), (403, "AccessDenied"))

    # Half of the credentials is nobody's, also by a version of signatures that this server does not verify.
    raises("InvalidAccessKeyId", one.client(place, emulator, sessionToken=None).get_object, **one.input)
    version_2 = client(place, "s3", emulator.endpoint, mine["accessKeyId"], mine["secretAccessKey"],
                       mine["sessionToken"], signature_version="s3")
    equal(fetch(version_2.generate_presigned_url("get_object", two.input)), (400, "InvalidRequest"))
    raises("InvalidRequest", version_2.get_object, **two.input)
    half_2 = client(place, "s3", emulator.endpoint, mine["accessKeyId"], mine["secretAccessKey"],
                    signature_version="s3")
    equal(fetch(half_2.generate_presigned_url("get_object", two.input)), (403, "InvalidAccessKeyId"))
    raises("InvalidAccessKeyId", half_2.get_object, **two.input)

    # They are no key to the API.
    for token in (mine["sessionToken"], None):
        raises("AccessDeniedException", client(place, "codepipeline", emulator.endpoint, mine["accessKeyId"],
                                               mine["secretAccessKey"], token).list_pipelines)


@story
def a_jobs_credentials_open_its_artifacts_and_nothing_else():
    with Place() as place:
        scope_story(place, place.emulator())


@story
def the_same_holds_where_keys_are_demanded():
    with Place() as place:
        scope_story(place, strict(place), key=KEY, secret=SECRET)


@story
def a_jobs_credentials_end_and_are_renewed_and_survive_a_restart():
    with Place() as place:
        emulator = place.emulator("--job-credentials", "3s")
        job, _ = two_jobs(emulator)
        worker = Worker(place, emulator, job)
        emulator.kill()
        emulator = place.emulator("--job-credentials", "3s", name="again")
        worker.s3 = worker.client(place, emulator)

        def code(call, *args, **kwargs):
            try:
                call(*args, **kwargs)
            except worker.s3.exceptions.ClientError as e:
                return e.response["Error"]["Code"]
            return None

        wait_for(lambda: code(worker.s3.get_object, **worker.input) == "ExpiredToken", what="the credentials to end")
        raises("ExpiredToken", worker.s3.put_object, Body=b"late", **worker.output)
        raises("ExpiredToken", worker.s3.get_object, Bucket="uploads", Key="one.zip")
        raises("400", worker.s3.head_object, **worker.input)
        raises("404", emulator.client("s3").head_object, **worker.output)
        renewed = emulator.client("codepipeline").get_job_details(jobId=job["id"])["jobDetails"]
        equal(Worker(place, emulator, renewed).s3.get_object(**worker.input)["Body"].read(), b"source of one")


if __name__ == "__main__":
    run()
