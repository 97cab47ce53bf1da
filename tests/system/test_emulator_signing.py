#!/usr/bin/python3
"""What a request with a wrong signature hears, from the artifact store and from the API, in AWS's words."""
import base64
import hashlib
import html
import os
import sys
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import REGION, Place, client, wait_for
from mh.signed import KEY, SECRET, Signed, fetch, strict
from mh.tap import check, equal, run, story

BODY = b"hello"
MALFORMED = "The authorization header is malformed; "
SIX = ("Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
       "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.")


def element(body, name):
    text = body.decode() if isinstance(body, bytes) else body
    return html.unescape(text.partition(f"<{name}>")[2].partition(f"</{name}>")[0])


def put(emulator, **how):
    return Signed(emulator, "PUT", "/bucket/k", BODY, **how)


def with_header(name, value):
    def change(request):
        request.headers[name] = value
    return change


def without(name):
    def change(request):
        del request.headers[name]
    return change


def signed_headers(names):
    """The same signature, but another list of what it covers."""
    def change(request):
        head, _, rest = request.headers["Authorization"].partition("SignedHeaders=")
        request.headers["Authorization"] = head + "SignedHeaders=" + names + "," + rest.partition(",")[2]
    return change


def other_body(request):
    request.body = b"jello"


def other_path(request):
    request.path = "/bucket/other"


def other_method(request):
    request.method = "DELETE"


def more_query(request):
    request.path += "?tagging"


# how it is made, what is changed after signing, status, code, message, an element of the document
HEADER_ROWS = [
    (dict(secret="wrong"), None, 403, "SignatureDoesNotMatch",
     "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
     ("AWSAccessKeyId", KEY)),
    (dict(key="AKIDUNKNOWN"), None, 403, "InvalidAccessKeyId",
     "The AWS Access Key Id you provided does not exist in our records.", ("AWSAccessKeyId", "AKIDUNKNOWN")),
    (dict(region="eu-west-1"), None, 400, "AuthorizationHeaderMalformed",
     MALFORMED + f"the region 'eu-west-1' is wrong; expecting '{REGION}'", ("Region", REGION)),
    (dict(service="codepipeline"), None, 400, "AuthorizationHeaderMalformed",
     MALFORMED + 'incorrect service "codepipeline". This endpoint belongs to "s3".', None),
    (dict(age_s=16 * 60), None, 403, "RequestTimeTooSkewed",
     "The difference between the request time and the current time is too large.", ("MaxAllowedSkewMilliseconds", "900000")),
    (dict(age_s=-16 * 60), None, 403, "RequestTimeTooSkewed", "", None),
    (dict(age_s=14 * 60), None, 200, "", "", None),
    (dict(token="of-somebody-else"), None, 400, "InvalidToken",
     "The provided token is malformed or otherwise invalid.", None),
    ({}, with_header("x-amz-meta-added", "1"), 403, "AccessDenied",
     "There were headers present in the request which were not signed", ("HeadersNotSigned", "x-amz-meta-added")),
    ({}, signed_headers("x-amz-content-sha256;x-amz-date"), 403, "AccessDenied",
     "There were headers present in the request which were not signed", ("HeadersNotSigned", "host")),
    ({}, with_header("x-amz-date", "20150830T123600Z"), 400, "AuthorizationHeaderMalformed", "", None),
    ({}, with_header("x-amz-content-sha256", hashlib.sha256(b"jello").hexdigest()), 403, "SignatureDoesNotMatch", "", None),
    ({}, without("x-amz-content-sha256"), 400, "InvalidRequest",
     "Missing required header for this request: x-amz-content-sha256", None),
    ({}, other_body, 400, "XAmzContentSHA256Mismatch",
     "The provided 'x-amz-content-sha256' header does not match what was computed.",
     ("S3ComputedContentSHA256", hashlib.sha256(b"jello").hexdigest())),
    ({}, other_path, 403, "SignatureDoesNotMatch", "", None),
    ({}, other_method, 403, "SignatureDoesNotMatch", "", None),
    ({}, more_query, 403, "SignatureDoesNotMatch", "", None),
    ({}, without("Authorization"), 403, "AccessDenied", "Access Denied", None),
    ({}, with_header("Authorization", f"AWS {KEY}:c2lnbmF0dXJl"), 400, "InvalidRequest",
     "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.", None),
    ({}, with_header("Authorization", "AWS4-HMAC-SHA256 Credential=x"), 400, "AuthorizationHeaderMalformed",
     MALFORMED, None),
]


@story
def the_store_says_what_is_wrong_with_a_signature():
    with Place() as place:
        emulator = strict(place)
        equal(Signed(emulator, "PUT", "/bucket").send()[0], 200)
        for how, change, status, code, message, detail in HEADER_ROWS:
            request = put(emulator, **how)
            if change:
                change(request)
            got = request.send()
            what = f"{how} {change.__qualname__ if change else ''} {got[2]!r}"
            equal(got[:2], (status, code), what)
            check(element(got[2], "Message").startswith(message), what)
            if detail:
                equal(element(got[2], detail[0]), detail[1], what)
        wrong = put(emulator, secret="wrong").send()[2]
        check(element(wrong, "StringToSign").startswith("AWS4-HMAC-SHA256\n"), wrong)
        check(element(wrong, "CanonicalRequest").startswith("PUT\n/bucket/k\n"), wrong)
        check(SECRET not in wrong.decode(), "the secret is not told")
        equal(Signed(emulator, "GET", "/bucket/other").send()[1], "NoSuchKey", "nothing came in")


# ---- presigned URLs ----

def url_of(emulator, method="get_object", **more):
    s3 = client(emulator.place, "s3", emulator.endpoint, KEY, SECRET, signature_version="s3v4", **more.pop("how", {}))
    return s3.generate_presigned_url(method, {"Bucket": "bucket", "Key": "k"}, **more)


def message(url, method="GET", body=None):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": ""}, method=method), timeout=20) as a:
            return a.status, "", ""
    except urllib.error.HTTPError as e:
        text = e.read()
        return e.code, element(text, "Code"), element(text, "Message")


def changed(url, **parameters):
    head, _, query = url.partition("?")
    pairs = urllib.parse.parse_qsl(query)
    pairs = [(n, parameters.get(n.replace("X-Amz-", "").replace("-", "_"), v)) for n, v in pairs]
    return head + "?" + urllib.parse.urlencode([(n, v) for n, v in pairs if v is not None])


@story
def a_presigned_url_is_good_for_one_request_until_it_ends():
    denied, query = (403, "AccessDenied"), "AuthorizationQueryParametersError"
    with Place() as place:
        emulator = strict(place)
        emulator.place = place
        Signed(emulator, "PUT", "/bucket").send()
        put(emulator).send()
        url = url_of(emulator)
        equal((fetch(url), fetch(url)), ((200, BODY), (200, BODY)), "as often as one likes while it lives")
        credential = urllib.parse.parse_qs(url.partition("?")[2])["X-Amz-Credential"][0]
        for what, got, want in (
                ("another method", message(url, "DELETE"), (403, "SignatureDoesNotMatch", "")),
                ("a body", message(url, "PUT", b"x"), (403, "SignatureDoesNotMatch", "")),
                ("another key", message(url.replace("/k?", "/other?")), (403, "SignatureDoesNotMatch", "")),
                ("a parameter more", message(url + "&versionId=null"), (403, "SignatureDoesNotMatch", "")),
                ("a longer life", message(changed(url, Expires="7200")), (403, "SignatureDoesNotMatch", "")),
                ("no expiry", message(changed(url, Expires=None)), (400, query, SIX)),
                ("no date", message(changed(url, Date=None)), (400, query, SIX)),
                ("too long a life", message(changed(url, Expires="604801")), (400, query, "")),
                ("no number", message(changed(url, Expires="soon")), (400, query, "")),
                ("another algorithm", message(changed(url, Algorithm="AWS4-HMAC-SHA1")), (400, query, "")),
                ("another region", message(changed(url, Credential=credential.replace(REGION, "mars-1"))),
                 (400, query, f"Error parsing the X-Amz-Credential parameter; the region 'mars-1' is wrong; expecting '{REGION}'")),
                ("another service", message(changed(url, Credential=credential.replace("/s3/", "/ec2/"))),
                 (400, query, 'Error parsing the X-Amz-Credential parameter; incorrect service "ec2".')),
                ("another day", message(changed(url, Date="20150830T123600Z")), (400, query, ""))):
            equal(got[:2], want[:2], what)
            check(got[2].startswith(want[2]), f"{what}: {got}")
        both = Signed(emulator, "GET", "/bucket/k?" + url.partition("?")[2])
        equal(both.send()[:2], (400, "InvalidArgument"), "signed twice")
        short = url_of(emulator, ExpiresIn=1)
        wait_for(lambda: message(short)[:2] == denied, what="the URL to end")
        equal(message(short), (*denied, "Request has expired"))
        write = url_of(emulator, "put_object")
        equal(message(write, "PUT", b"new")[0], 200)
        equal((fetch(write)[1], fetch(url)), ("SignatureDoesNotMatch", (200, b"new")), "a URL to write does not read")


# ---- bodies in signed chunks, with signed trailers ----

def streamed(emulator, pieces, trailer=b"", name="STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"):
    length = str(sum(map(len, pieces)))
    headers = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": length}
    if trailer:
        headers["x-amz-trailer"] = trailer.partition(b":")[0].decode()
    r = Signed(emulator, "PUT", "/bucket/streamed", payload=name, headers=headers)
    previous, empty, out = r.signature, hashlib.sha256(b"").hexdigest(), b""
    for piece in pieces + [b""]:
        previous = r.mac("AWS4-HMAC-SHA256-PAYLOAD", previous, empty, hashlib.sha256(piece).hexdigest())
        out += b"%x;chunk-signature=%s\r\n" % (len(piece), previous.encode()) + (piece + b"\r\n" if piece else b"")
    if trailer:
        signature = r.mac("AWS4-HMAC-SHA256-TRAILER", previous, hashlib.sha256(trailer + b"\n").hexdigest())
        out += trailer + b"\r\nx-amz-trailer-signature:" + signature.encode() + b"\r\n"
    r.body = out + b"\r\n"
    return r


@story
def signed_trailers_are_verified_after_the_chunks():
    pieces = [b"a" * 65536, b"end"]
    sha = base64.b64encode(hashlib.sha256(b"".join(pieces)).digest())
    trailer = b"x-amz-checksum-sha256:" + sha
    with Place() as place:
        emulator = strict(place)
        Signed(emulator, "PUT", "/bucket").send()
        equal(streamed(emulator, pieces, trailer).send()[:2], (200, ""))
        equal(Signed(emulator, "GET", "/bucket/streamed").send()[2], b"".join(pieces))
        wrong_sum = b"x-amz-checksum-sha256:" + base64.b64encode(bytes(32))
        equal(streamed(emulator, pieces, wrong_sum).send()[:2], (400, "BadDigest"), "well signed, but not of these bytes")
        for what, change in (("a changed trailer", lambda b: b.replace(sha, base64.b64encode(bytes(32)))),
                             ("a trailer without a signature",
                              lambda b: b.partition(b"x-amz-trailer-signature")[0] + b"\r\n"),
                             ("a changed chunk", lambda b: b.replace(b"end", b"END")),
                             ("one more trailer", lambda b: b.replace(b"x-amz-trailer-sig", b"x-more:1\r\nx-amz-trailer-sig"))):
            request = streamed(emulator, pieces, trailer)
            request.body = change(request.body)
            equal(request.send()[:2], (403, "SignatureDoesNotMatch"), what)
        request = streamed(emulator, pieces, trailer)
        request.body = request.body[:60000]
        equal(request.send()[:2], (400, "IncompleteBody"), "half of it")
        equal(put(emulator, payload="STREAMING-OF-A-KIND").send()[:2], (400, "InvalidArgument"))


@story
def the_api_tells_an_ended_session():
    with Place() as place:
        emulator = strict(place, "--job-credentials", "1s")
        s3, cp = (emulator.client(name, key=KEY, secret=SECRET) for name in ("s3", "codepipeline"))
        s3.create_bucket(Bucket="uploads")
        s3.put_object(Bucket="uploads", Key="src.zip", Body=b"x")
        build = {"category": "Build", "owner": "Custom", "provider": "Make", "version": "1"}
        cp.create_custom_action_type(category="Build", provider="Make", version="1",
                                     inputArtifactDetails={"minimumCount": 1, "maximumCount": 1},
                                     outputArtifactDetails={"minimumCount": 0, "maximumCount": 0})
        cp.create_pipeline(pipeline={
            "name": "p", "roleArn": "arn:aws:iam::000000000000:role/r", "artifactStore": {"type": "S3", "location": "artifacts"},
            "stages": [{"name": "Source", "actions": [
                {"name": "Fetch", "actionTypeId": dict(build, category="Source", owner="AWS", provider="S3"),
                 "outputArtifacts": [{"name": "Src"}],
                 "configuration": {"S3Bucket": "uploads", "S3ObjectKey": "src.zip", "PollForSourceChanges": "false"}}]},
                {"name": "Build", "actions": [{"name": "Make", "actionTypeId": build, "inputArtifacts": [{"name": "Src"}]}]}]})
        jobs = []
        wait_for(lambda: jobs.extend(cp.poll_for_jobs(actionTypeId=build)["jobs"]) or jobs, what="a job")
        c = jobs[0]["data"]["artifactCredentials"]
        session = client(place, "codepipeline", emulator.endpoint, c["accessKeyId"], c["secretAccessKey"], c["sessionToken"])

        def code():
            try:
                session.list_pipelines()
            except session.exceptions.ClientError as e:
                return e.response["Error"]
            return {}

        wait_for(lambda: code().get("Code") == "ExpiredTokenException", what="the session to end")
        equal(code()["Message"], "The security token included in the request is expired")


if __name__ == "__main__":
    run()
