#!/usr/bin/python3
"""The artifact store, driven by boto3, the AWS CLI and requests by hand."""
import base64
import concurrent.futures
import hashlib
import http.client
import os
import socket
import sys
import urllib.parse
import urllib.request
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import REGION, Place, wait_for
from mh.tap import check, equal, raises, run, skip, story

LONG = b"0123456789abcdef" * 65536  # 1 MiB


def raw(emulator, method, target, headers=(), body=None):
    """One request exactly as written; answers (status, headers, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", emulator.port, timeout=30)
    try:
        connection.putrequest(method, target, skip_host=any(n.lower() == "host" for n, _ in headers),
                              skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        if body is not None and not any(n.lower() in ("content-length", "transfer-encoding") for n, _ in headers):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        if body is not None:
            connection.send(body)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def error_of(body):
    text = body.decode()
    return text.partition("<Code>")[2].partition("</Code>")[0]


def expect_error(answer, status, code):
    equal((answer[0], error_of(answer[2])), (status, code), "status and code")


def files_of(emulator):
    """Object files on disk, and what lies in tmp."""
    root = os.path.join(emulator.data_dir, "objects")
    found = [os.path.join(d, f) for d, _, names in os.walk(root) for f in names]
    tmp = os.path.join(root, "tmp")
    return [f for f in found if not f.startswith(tmp)], [f for f in found if f.startswith(tmp)]


def b64(data):
    return base64.b64encode(data).decode()


def crc32(data):
    return b64(zlib.crc32(data).to_bytes(4, "big"))


@story
def buckets_are_created_listed_and_deleted():
    with Place() as place:
        emulator = place.emulator()
        s3 = emulator.client("s3")
        s3.create_bucket(Bucket="my-bucket")
        s3.create_bucket(Bucket="another.bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        raises("BucketAlreadyOwnedByYou", s3.create_bucket, Bucket="my-bucket")
        equal([b["Name"] for b in s3.list_buckets()["Buckets"]], ["another.bucket", "my-bucket"])
        equal(s3.get_bucket_location(Bucket="my-bucket")["LocationConstraint"], None)
        equal(s3.head_bucket(Bucket="my-bucket")["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"], REGION)
        raises("404", s3.head_bucket, Bucket="not-there")
        check("Status" not in s3.get_bucket_versioning(Bucket="my-bucket"), "versioning is off")
        s3.put_object(Bucket="my-bucket", Key="k", Body=b"x")
        raises("BucketNotEmpty", s3.delete_bucket, Bucket="my-bucket")
        s3.delete_object(Bucket="my-bucket", Key="k")
        s3.delete_bucket(Bucket="my-bucket")
        raises("NoSuchBucket", s3.delete_bucket, Bucket="my-bucket")
        for name in ("ab", "Upper", "under_score", "-dash", "1.2.3.4"):
            expect_error(raw(emulator, "PUT", f"/{name}"), 400, "InvalidBucketName")


@story
def an_object_comes_back_byte_for_byte_with_its_description():
    with Place() as place:
        s3 = place.emulator().client("s3")
        s3.create_bucket(Bucket="bucket")
        put = s3.put_object(Bucket="bucket", Key="dir/file.zip", Body=LONG, ContentType="application/zip",
                            CacheControl="max-age=5", ContentDisposition="attachment", ContentLanguage="vi",
                            Metadata={"One": "1", "codepipeline-artifact-revision-summary": "first"},
                            ServerSideEncryption="aws:kms", SSEKMSKeyId="arn:aws:kms:us-east-1:1:key/k")
        equal(put["ETag"], '"%s"' % hashlib.md5(LONG).hexdigest())
        equal((put["ServerSideEncryption"], put["SSEKMSKeyId"]), ("aws:kms", "arn:aws:kms:us-east-1:1:key/k"))
        for got in (s3.get_object(Bucket="bucket", Key="dir/file.zip"), s3.head_object(Bucket="bucket", Key="dir/file.zip")):
            equal((got["ContentLength"], got["ETag"], got["ContentType"]), (len(LONG), put["ETag"], "application/zip"))
            equal((got["CacheControl"], got["ContentDisposition"], got["ContentLanguage"]),
                  ("max-age=5", "attachment", "vi"))
            equal((got["ServerSideEncryption"], got["SSEKMSKeyId"]), ("aws:kms", "arn:aws:kms:us-east-1:1:key/k"))
            equal(got["Metadata"], {"one": "1", "codepipeline-artifact-revision-summary": "first"})
            equal(got["AcceptRanges"], "bytes")
            if "Body" in got:
                equal(got["Body"].read(), LONG)
        s3.put_object(Bucket="bucket", Key="empty")
        equal(s3.get_object(Bucket="bucket", Key="empty")["Body"].read(), b"")
        equal(s3.head_object(Bucket="bucket", Key="empty")["ContentType"], "binary/octet-stream")
        raises("NoSuchKey", s3.get_object, Bucket="bucket", Key="nope")
        raises("NoSuchBucket", s3.get_object, Bucket="no-bucket", Key="nope")
        raises("NoSuchBucket", s3.put_object, Bucket="no-bucket", Key="nope", Body=b"x")
        raises("404", s3.head_object, Bucket="bucket", Key="nope")
        equal(s3.delete_object(Bucket="bucket", Key="nope")["ResponseMetadata"]["HTTPStatusCode"], 204)
        raises("MetadataTooLarge", s3.put_object, Bucket="bucket", Key="k", Metadata={"a": "x" * 2100})
        raises("NoSuchVersion", s3.get_object, Bucket="bucket", Key="empty", VersionId="abc")
        equal(s3.get_object(Bucket="bucket", Key="empty", VersionId="null")["ContentLength"], 0)


@story
def ranges_are_served_as_http_says():
    with Place() as place:
        s3 = place.emulator().client("s3")
        s3.create_bucket(Bucket="bucket")
        s3.put_object(Bucket="bucket", Key="k", Body=b"0123456789")
        for header, body, content_range in (("bytes=2-4", b"234", "bytes 2-4/10"), ("bytes=7-", b"789", "bytes 7-9/10"),
                                            ("bytes=-2", b"89", "bytes 8-9/10"), ("bytes=5-99", b"56789", "bytes 5-9/10")):
            got = s3.get_object(Bucket="bucket", Key="k", Range=header)
            equal((got["ResponseMetadata"]["HTTPStatusCode"], got["Body"].read(), got["ContentRange"]),
                  (206, body, content_range), header)
            head = s3.head_object(Bucket="bucket", Key="k", Range=header)
            equal((head["ResponseMetadata"]["HTTPStatusCode"], head["ContentLength"]), (206, len(body)), header)
        whole = s3.get_object(Bucket="bucket", Key="k", Range="bytes=0-1,4-5")
        equal((whole["ResponseMetadata"]["HTTPStatusCode"], whole["Body"].read()), (200, b"0123456789"))
        raises("InvalidRange", s3.get_object, Bucket="bucket", Key="k", Range="bytes=10-")


@story
def conditions_are_judged():
    with Place() as place:
        s3 = place.emulator().client("s3")
        s3.create_bucket(Bucket="bucket")
        etag = s3.put_object(Bucket="bucket", Key="k", Body=b"one")["ETag"]
        when = s3.head_object(Bucket="bucket", Key="k")["LastModified"]
        equal(s3.get_object(Bucket="bucket", Key="k", IfMatch=etag)["Body"].read(), b"one")
        raises("PreconditionFailed", s3.get_object, Bucket="bucket", Key="k", IfMatch='"other"')
        raises("304", s3.get_object, Bucket="bucket", Key="k", IfNoneMatch=etag)
        raises("304", s3.head_object, Bucket="bucket", Key="k", IfModifiedSince=when)
        raises("412", s3.head_object, Bucket="bucket", Key="k", IfMatch='"other"')
        equal(s3.get_object(Bucket="bucket", Key="k", IfUnmodifiedSince=when)["Body"].read(), b"one")


@story
def a_conditional_put_writes_once():
    with Place() as place:
        emulator = place.emulator()
        emulator.client("s3").create_bucket(Bucket="bucket")
        equal(raw(emulator, "PUT", "/bucket/k", [("If-None-Match", "*")], b"1")[0], 200)
        expect_error(raw(emulator, "PUT", "/bucket/k", [("If-None-Match", "*")], b"2"), 412, "PreconditionFailed")
        etag = raw(emulator, "HEAD", "/bucket/k")[1]["ETag"]
        equal(raw(emulator, "PUT", "/bucket/k", [("If-Match", etag)], b"3")[0], 200)
        expect_error(raw(emulator, "PUT", "/bucket/k", [("If-Match", etag)], b"4"), 412, "PreconditionFailed")
        equal(raw(emulator, "GET", "/bucket/k")[2], b"3")
        equal(len(files_of(emulator)[0]), 1)


@story
def any_utf8_key_is_data_and_never_a_path():
    keys = ["a b+c%20d", "../../etc/passwd", "/leading", "trailing/", "a//b", "ünïcödé/tiếng Việt", "q?x=1&y#z",
            "<xml>&'\"", "dot/./dot/../dot", "new\nline", "k" * 1024, "%2e%2e%2f", "*~!()'"]
    with Place() as place:
        emulator = place.emulator()
        s3 = emulator.client("s3")
        s3.create_bucket(Bucket="bucket")
        for key in keys:
            s3.put_object(Bucket="bucket", Key=key, Body=key.encode())
        for key in keys:
            equal(s3.get_object(Bucket="bucket", Key=key)["Body"].read(), key.encode())
        for encoding in ({}, {"EncodingType": "url"}):
            listed = s3.list_objects_v2(Bucket="bucket", **encoding)["Contents"]
            names = [urllib.parse.unquote(o["Key"]) if encoding else o["Key"] for o in listed]
            equal(names, sorted(keys, key=lambda k: k.encode()))
        raises("KeyTooLongError", s3.put_object, Bucket="bucket", Key="k" * 1025, Body=b"")
        expect_error(raw(emulator, "PUT", "/bucket/%ff", [], b""), 400, "InvalidURI")
        expect_error(raw(emulator, "PUT", "/bucket/%00", [], b""), 400, "InvalidURI")
        expect_error(raw(emulator, "GET", "/bucket/%4"), 400, "InvalidURI")
        for path in files_of(emulator)[0]:
            equal(len(os.path.basename(path)), 32, "a file's name is its id")


@story
def listings_have_prefixes_delimiters_and_pages():
    with Place() as place:
        s3 = place.emulator().client("s3")
        s3.create_bucket(Bucket="bucket")
        keys = ["a.txt", "dir/1", "dir/2", "dir/sub/3", "dir!", "dir0", "z/1", "z/2"]
        for key in keys:
            s3.put_object(Bucket="bucket", Key=key, Body=b"x")
        top = s3.list_objects_v2(Bucket="bucket", Delimiter="/")
        equal([o["Key"] for o in top["Contents"]], ["a.txt", "dir!", "dir0"])
        equal([p["Prefix"] for p in top["CommonPrefixes"]], ["dir/", "z/"])
        equal(top["KeyCount"], 5)
        inner = s3.list_objects_v2(Bucket="bucket", Prefix="dir/", Delimiter="/")
        equal(([o["Key"] for o in inner["Contents"]], [p["Prefix"] for p in inner["CommonPrefixes"]]),
              (["dir/1", "dir/2"], ["dir/sub/"]))
        for size in (1, 2, 3, 7, 8):
            for name in ("list_objects_v2", "list_objects"):
                found = []
                for page in s3.get_paginator(name).paginate(Bucket="bucket", PaginationConfig={"PageSize": size}):
                    found += [o["Key"] for o in page.get("Contents", [])]
                equal(found, sorted(keys), f"{name} by {size}")
                found = []
                for page in s3.get_paginator(name).paginate(Bucket="bucket", Delimiter="/",
                                                            PaginationConfig={"PageSize": size}):
                    found += [o["Key"] for o in page.get("Contents", [])]
                    found += [p["Prefix"] for p in page.get("CommonPrefixes", [])]
                equal(sorted(found), ["a.txt", "dir!", "dir/", "dir0", "z/"], f"{name} with delimiter by {size}")
        equal([o["Key"] for o in s3.list_objects_v2(Bucket="bucket", StartAfter="dir0")["Contents"]], ["z/1", "z/2"])
        equal(s3.list_objects_v2(Bucket="bucket", Prefix="none")["KeyCount"], 0)
        raises("NoSuchBucket", s3.list_objects_v2, Bucket="no-bucket")
        raises("InvalidArgument", s3.list_objects_v2, Bucket="bucket", ContinuationToken="???")
        equal(s3.list_objects_v2(Bucket="bucket", MaxKeys=0)["IsTruncated"], False)


@story
def many_objects_are_deleted_in_one_request():
    with Place() as place:
        emulator = place.emulator()
        s3 = emulator.client("s3")
        s3.create_bucket(Bucket="bucket")
        for key in ("a", "b", "c&d"):
            s3.put_object(Bucket="bucket", Key=key, Body=b"x")
        answer = s3.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "a"}, {"Key": "c&d"}, {"Key": "none"}]})
        equal([d["Key"] for d in answer["Deleted"]], ["a", "c&d", "none"])
        equal([o["Key"] for o in s3.list_objects_v2(Bucket="bucket")["Contents"]], ["b"])
        equal(len(files_of(emulator)[0]), 1)
        body = b"<Delete><Object><Key>b</Key></Object></Delete>"
        for header in (("Content-MD5", b64(bytes(16))), ("x-amz-checksum-crc32", b64(bytes(4)))):
            expect_error(raw(emulator, "POST", "/bucket?delete", [header], body), 400, "BadDigest")
        for body in (b"", b"<x/>", b"<Delete><Object></Delete>", b"<Delete></Delete>",
                     b"<!DOCTYPE d [<!ENTITY a 'b'>]><Delete><Object><Key>&a;</Key></Object></Delete>"):
            expect_error(raw(emulator, "POST", "/bucket?delete", [], body), 400, "MalformedXML")


@story
def objects_are_copied_with_or_without_their_description():
    with Place() as place:
        emulator = place.emulator()
        s3 = emulator.client("s3")
        s3.create_bucket(Bucket="one")
        s3.create_bucket(Bucket="two")
        s3.put_object(Bucket="one", Key="a b/ü", Body=LONG, ContentType="text/x", Metadata={"m": "1"})
        copy = s3.copy_object(Bucket="two", Key="copy", CopySource={"Bucket": "one", "Key": "a b/ü"})
        got = s3.get_object(Bucket="two", Key="copy")
        equal((got["Body"].read() == LONG, got["ContentType"], got["Metadata"]), (True, "text/x", {"m": "1"}))
        equal(copy["CopyObjectResult"]["ETag"], got["ETag"])
        # as one string, slashes and all: what encodeURIComponent makes of it
        for source in ("one%2Fa%20b%2f%C3%BC", "%2Fone%2Fa%20b%2F%C3%BC", "one%2Fa%20b%2F%C3%BC?versionId=null"):
            status = raw(emulator, "PUT", "/two/whole", [("x-amz-copy-source", source)], b"")[0]
            equal((status, s3.get_object(Bucket="two", Key="whole")["Body"].read() == LONG), (200, True), source)
            s3.delete_object(Bucket="two", Key="whole")
        s3.copy_object(Bucket="two", Key="copy", CopySource="two/copy", MetadataDirective="REPLACE", ContentType="text/y")
        got = s3.head_object(Bucket="two", Key="copy")
        equal((got["ContentType"], got["Metadata"]), ("text/y", {}))
        raises("NoSuchKey", s3.copy_object, Bucket="two", Key="x", CopySource="one/none")
        raises("PreconditionFailed", s3.copy_object, Bucket="two", Key="x", CopySource="two/copy",
               CopySourceIfMatch='"no"')


@story
def what_a_client_promises_about_a_body_is_verified():
    body = b"hello"
    sha = hashlib.sha256(body).hexdigest()
    with Place() as place:
        emulator = place.emulator()
        emulator.client("s3").create_bucket(Bucket="bucket")
        good = [("Content-MD5", b64(hashlib.md5(body).digest())), ("x-amz-content-sha256", sha),
                ("x-amz-checksum-crc32", crc32(body)), ("x-amz-checksum-crc32c", "mnG7TA=="),
                ("x-amz-checksum-sha1", b64(hashlib.sha1(body).digest())),
                ("x-amz-checksum-sha256", b64(hashlib.sha256(body).digest())),
                ("x-amz-content-sha256", "UNSIGNED-PAYLOAD")]
        for header in good:
            equal(raw(emulator, "PUT", "/bucket/k", [header], body)[0], 200, str(header))
        for name, value, code in (("Content-MD5", b64(hashlib.md5(b"x").digest()), "BadDigest"),
                                  ("Content-MD5", "short", "InvalidDigest"), ("Content-MD5", "AAAA", "InvalidDigest"),
                                  ("x-amz-content-sha256", sha[:-1] + "0", "XAmzContentSHA256Mismatch"),
                                  ("x-amz-content-sha256", "nonsense", "InvalidArgument"),
                                  ("x-amz-checksum-crc32", crc32(b"x"), "BadDigest"),
                                  ("x-amz-checksum-crc32", "nonsense", "InvalidRequest"),
                                  ("x-amz-checksum-sha256", b64(bytes(32)), "BadDigest")):
            expect_error(raw(emulator, "PUT", "/bucket/bad", [(name, value)], body), 400, code)
        equal(raw(emulator, "HEAD", "/bucket/bad")[0], 404, "nothing was stored")
        files, tmp = files_of(emulator)
        equal((len(files), len(tmp)), (1, 0), "files")
        equal(raw(emulator, "PUT", "/bucket/k", [("x-amz-checksum-crc32", crc32(body))], body)[1]["x-amz-checksum-crc32"],
              crc32(body))
        equal(raw(emulator, "GET", "/bucket/k")[1]["x-amz-checksum-crc32"], None)
        equal(raw(emulator, "GET", "/bucket/k", [("x-amz-checksum-mode", "ENABLED")])[1]["x-amz-checksum-crc32"], crc32(body))
        equal(raw(emulator, "GET", "/bucket/k", [("x-amz-checksum-mode", "ENABLED"), ("Range", "bytes=0-1")])[1]
              ["x-amz-checksum-crc32"], None)


def aws_chunked(body, size, trailer=b""):
    pieces = [body[i:i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n" + trailer + b"\r\n"


@story
def aws_chunked_bodies_are_decoded_and_their_trailers_verified():
    with Place() as place:
        emulator = place.emulator()
        emulator.client("s3").create_bucket(Bucket="bucket")
        headers = [("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"), ("Content-Encoding", "aws-chunked"),
                   ("x-amz-decoded-content-length", str(len(LONG))), ("x-amz-trailer", "x-amz-checksum-crc32")]
        body = aws_chunked(LONG, 65536, b"x-amz-checksum-crc32:" + crc32(LONG).encode() + b"\r\n")
        equal(raw(emulator, "PUT", "/bucket/k", headers, body)[0], 200)
        got = raw(emulator, "GET", "/bucket/k", [("x-amz-checksum-mode", "ENABLED")])
        equal((got[2] == LONG, got[1]["Content-Encoding"], got[1]["x-amz-checksum-crc32"]), (True, None, crc32(LONG)))
        # The transfer coding of HTTP around it, and no Content-Length (JS SDK v3).
        chunked = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 7000]), body[i:i + 7000])
                           for i in range(0, len(body), 7000)) + b"0\r\n\r\n"
        equal(raw(emulator, "PUT", "/bucket/k2", headers + [("Transfer-Encoding", "chunked")], chunked)[0], 200)
        equal(raw(emulator, "GET", "/bucket/k2")[2] == LONG, True)
        wrong = aws_chunked(LONG, 65536, b"x-amz-checksum-crc32:" + crc32(b"x").encode() + b"\r\n")
        expect_error(raw(emulator, "PUT", "/bucket/bad", headers, wrong), 400, "BadDigest")
        expect_error(raw(emulator, "PUT", "/bucket/bad", headers, aws_chunked(LONG, 65536)), 400, "InvalidRequest")
        expect_error(raw(emulator, "PUT", "/bucket/bad", headers, body[:-100]), 400, "IncompleteBody")
        expect_error(raw(emulator, "PUT", "/bucket/bad", headers, b"zz\r\n"), 400, "InvalidRequest")
        equal(raw(emulator, "HEAD", "/bucket/bad")[0], 404)
        gzip = [("Content-Encoding", "gzip,aws-chunked")] + [h for h in headers if h[0] != "Content-Encoding"]
        equal(raw(emulator, "PUT", "/bucket/k3", gzip, body)[0], 200)
        equal(raw(emulator, "HEAD", "/bucket/k3")[1]["Content-Encoding"], "gzip")


@story
def a_client_that_waits_for_100_continue_hears_of_errors_before_it_sends():
    with Place() as place:
        emulator = place.emulator()
        emulator.client("s3").create_bucket(Bucket="bucket")
        for target, first in (("/bucket/k", b"HTTP/1.1 100 "), ("/no-bucket/k", b"HTTP/1.1 404 ")):
            with socket.create_connection(("127.0.0.1", emulator.port), timeout=20) as s:
                s.sendall(b"PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n"
                          % target.encode())
                answer = s.recv(4096)
                check(answer.startswith(first), f"{target}: {answer[:60]!r}")
                if b" 100 " in first:
                    s.sendall(b"hello")
                    check(s.recv(4096).startswith(b"HTTP/1.1 200 "), "the put after 100 Continue")


@story
def an_object_over_the_limit_is_refused():
    with Place() as place:
        emulator = place.emulator("--max-object", "1000")
        s3 = emulator.client("s3")
        s3.create_bucket(Bucket="bucket")
        s3.put_object(Bucket="bucket", Key="fits", Body=b"x" * 1000)
        raises("EntityTooLarge", s3.put_object, Bucket="bucket", Key="k", Body=b"x" * 1001)
        chunked = b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n"
        expect_error(raw(emulator, "PUT", "/bucket/k", [("Transfer-Encoding", "chunked")], chunked), 400, "EntityTooLarge")
        equal(len(files_of(emulator)[1]), 0, "files in tmp")


@story
def errors_are_xml_and_say_what_is_not_done_here():
    with Place() as place:
        emulator = place.emulator()
        emulator.client("s3").create_bucket(Bucket="bucket")
        status, headers, body = raw(emulator, "GET", "/bucket/a%20%26b")
        expect_error((status, headers, body), 404, "NoSuchKey")
        check(b"<Resource>/bucket/a &amp;b</Resource>" in body, body.decode())
        check(headers["x-amz-request-id"] in body.decode(), "RequestId")
        equal(headers["Content-Type"], "application/xml")
        equal(raw(emulator, "HEAD", "/bucket/none")[2], b"")
        expect_error(raw(emulator, "PUT", "/bucket?policy", [], b"{}"), 501, "NotImplemented")
        expect_error(raw(emulator, "GET", "/bucket?acl"), 501, "NotImplemented")
        expect_error(raw(emulator, "PATCH", "/bucket/k", [], b""), 405, "MethodNotAllowed")
        expect_error(raw(emulator, "POST", "/bucket/k", [], b""), 405, "MethodNotAllowed")
        expect_error(raw(emulator, "PUT", "/bucket/k", [("x-amz-server-side-encryption-customer-algorithm", "AES256")], b""),
                     501, "NotImplemented")
        expect_error(raw(emulator, "PUT", "/bucket/k", [("x-amz-server-side-encryption", "rot13")], b""),
                     400, "InvalidArgument")


@story
def the_bucket_may_stand_in_the_host_name():
    with Place() as place:
        emulator = place.emulator()
        emulator.client("s3").create_bucket(Bucket="bucket")
        host = ("Host", f"bucket.s3.localhost:{emulator.port}")
        equal(raw(emulator, "PUT", "/dir/k", [host], b"hello")[0], 200)
        equal(raw(emulator, "GET", "/bucket/dir/k")[2], b"hello")
        check(b"<Key>dir/k</Key>" in raw(emulator, "GET", "/?list-type=2", [host])[2], "a listing")


@story
def replaced_and_deleted_objects_leave_no_files():
    with Place() as place:
        emulator = place.emulator()
        s3 = emulator.client("s3")
        s3.create_bucket(Bucket="bucket")
        for n in range(5):
            s3.put_object(Bucket="bucket", Key="k", Body=b"%d" % n)
        equal(len(files_of(emulator)[0]), 1)
        s3.delete_object(Bucket="bucket", Key="k")
        equal(files_of(emulator), ([], []))


@story
def a_multipart_upload_becomes_one_object():
    part = LONG * 5
    with Place() as place:
        emulator = place.emulator()
        s3 = emulator.client("s3")
        s3.create_bucket(Bucket="bucket")
        target = {"Bucket": "bucket", "Key": "large"}
        upload = s3.create_multipart_upload(ContentType="application/zip", Metadata={"m": "1"}, **target)["UploadId"]
        target["UploadId"] = upload
        equal([u["Key"] for u in s3.list_multipart_uploads(Bucket="bucket")["Uploads"]], ["large"])
        s3.upload_part(PartNumber=7, Body=b"tail", **target)
        s3.upload_part(PartNumber=2, Body=b"replaced", **target)
        etags = {2: s3.upload_part(PartNumber=2, Body=part, **target)["ETag"],
                 5: s3.upload_part(PartNumber=5, Body=part[::-1], **target)["ETag"],
                 9: s3.upload_part(PartNumber=9, Body=b"end", **target)["ETag"]}
        listed = s3.list_parts(MaxParts=2, **target)
        equal(([p["PartNumber"] for p in listed["Parts"]], listed["IsTruncated"], listed["NextPartNumberMarker"]),
              ([2, 5], True, 5))
        equal([p["PartNumber"] for p in s3.list_parts(PartNumberMarker=5, **target)["Parts"]], [7, 9])
        raises("NoSuchKey", s3.get_object, Bucket="bucket", Key="large")
        parts = [{"PartNumber": n, "ETag": e} for n, e in etags.items()]
        for wrong, code in (([parts[1], parts[0]], "InvalidPartOrder"), ([dict(parts[0], ETag='"x"')], "InvalidPart"),
                            ([dict(parts[0], PartNumber=3)], "InvalidPart"), ([], "MalformedXML")):
            raises(code, s3.complete_multipart_upload, MultipartUpload={"Parts": wrong}, **target)
        small = s3.list_parts(PartNumberMarker=5, **target)["Parts"]
        raises("EntityTooSmall", s3.complete_multipart_upload, **target,
               MultipartUpload={"Parts": [{"PartNumber": p["PartNumber"], "ETag": p["ETag"]} for p in small]})
        raises("NoSuchUpload", s3.complete_multipart_upload, Bucket="bucket", Key="other", UploadId=upload,
               MultipartUpload={"Parts": parts})
        done = s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **target)
        equal(done["Location"], f"{emulator.endpoint}/{target['Bucket']}/{target['Key']}", "where it is")
        whole = part + part[::-1] + b"end"
        digests = b"".join(hashlib.md5(p).digest() for p in (part, part[::-1], b"end"))
        equal(done["ETag"], '"%s-3"' % hashlib.md5(digests).hexdigest())
        got = s3.get_object(Bucket="bucket", Key="large")
        equal((got["Body"].read() == whole, got["ETag"], got["ContentType"], got["Metadata"]),
              (True, done["ETag"], "application/zip", {"m": "1"}))
        raises("NoSuchUpload", s3.complete_multipart_upload, MultipartUpload={"Parts": parts}, **target)
        equal([len(f) for f in files_of(emulator)], [1, 0], "files")


@story
def an_aborted_multipart_upload_leaves_nothing():
    with Place() as place:
        emulator = place.emulator()
        s3 = emulator.client("s3")
        s3.create_bucket(Bucket="bucket")
        target = {"Bucket": "bucket", "Key": "k"}
        target["UploadId"] = s3.create_multipart_upload(**target)["UploadId"]
        s3.upload_part(PartNumber=1, Body=b"x", **target)
        raises("InvalidArgument", s3.upload_part, PartNumber=10001, Body=b"x", **target)
        raises("BucketNotEmpty", s3.delete_bucket, Bucket="bucket")
        emulator.kill()
        emulator = place.emulator(name="again")
        s3 = emulator.client("s3")
        equal(len(s3.list_parts(**target)["Parts"]), 1, "parts survive a restart")
        s3.abort_multipart_upload(**target)
        raises("NoSuchUpload", s3.abort_multipart_upload, **target)
        raises("NoSuchUpload", s3.upload_part, PartNumber=1, Body=b"x", **target)
        equal(files_of(emulator), ([], []))
        s3.delete_bucket(Bucket="bucket")


@story
def boto3_moves_large_files_in_parts():
    with Place() as place:
        emulator = place.emulator()
        s3 = emulator.client("s3", max_pool_connections=10)
        s3.create_bucket(Bucket="bucket")
        with open(place.path("large"), "wb") as f:
            f.write(LONG * 20 + b"odd")
        s3.upload_file(place.path("large"), "bucket", "large")
        check(s3.head_object(Bucket="bucket", Key="large")["ETag"].endswith('-3"'), "uploaded in parts")
        s3.copy({"Bucket": "bucket", "Key": "large"}, "bucket", "copied")
        s3.download_file("bucket", "copied", place.path("back"))
        with open(place.path("back"), "rb") as f:
            equal(f.read() == LONG * 20 + b"odd", True)
        equal([len(f) for f in files_of(emulator)], [2, 0], "files")


@story
def a_reader_sees_one_whole_object_while_it_is_replaced():
    with Place() as place:
        emulator = place.emulator()
        s3 = emulator.client("s3", max_pool_connections=8)
        s3.create_bucket(Bucket="bucket")
        bodies = [bytes([65 + n]) * 300000 for n in range(4)]
        s3.put_object(Bucket="bucket", Key="k", Body=bodies[0])

        def write(n):
            for i in range(15):
                s3.put_object(Bucket="bucket", Key="k", Body=bodies[(n + i) % 4])

        def read(_):
            for _ in range(30):
                answer = s3.get_object(Bucket="bucket", Key="k")
                body = answer["Body"].read()
                check(body in bodies, "a mixed body")
                equal(answer["ETag"], '"%s"' % hashlib.md5(body).hexdigest())

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            for f in [pool.submit(write, n) for n in range(3)] + [pool.submit(read, n) for n in range(3)]:
                f.result()
        equal(len(files_of(emulator)[0]), 1)


@story
def what_was_answered_is_there_after_kill_9_and_nothing_else():
    with Place() as place:
        emulator = place.emulator()
        s3 = emulator.client("s3")
        s3.create_bucket(Bucket="bucket")
        s3.put_object(Bucket="bucket", Key="kept", Body=LONG)
        with socket.create_connection(("127.0.0.1", emulator.port), timeout=20) as s:
            s.sendall(b"PUT /bucket/half HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 500000)
            wait_for(lambda: files_of(emulator)[1], what="a file in tmp")
            emulator.kill()
        stray = os.path.join(emulator.data_dir, "objects", "ab")
        os.makedirs(stray, exist_ok=True)
        with open(os.path.join(stray, "ab" + "0" * 30), "w") as f:
            f.write("a file without a row")
        emulator = place.emulator(name="again")
        s3 = emulator.client("s3")
        equal(s3.get_object(Bucket="bucket", Key="kept")["Body"].read() == LONG, True)
        raises("NoSuchKey", s3.get_object, Bucket="bucket", Key="half")
        files, tmp = files_of(emulator)
        equal((len(files), len(tmp)), (1, 0), "files")


@story
def memory_stays_flat_for_a_large_object():
    size = 160 * 1024 * 1024
    with Place() as place:
        emulator = place.emulator()
        emulator.client("s3").create_bucket(Bucket="bucket")

        def peak_kib():
            with open(f"/proc/{emulator.process.pid}/status") as f:
                return int([line for line in f if line.startswith("VmHWM")][0].split()[1])

        with open(f"/proc/{emulator.process.pid}/cmdline") as f:
            if "valgrind" in f.read():
                skip("memory is valgrind's")
        before = peak_kib()
        connection = http.client.HTTPConnection("127.0.0.1", emulator.port, timeout=120)
        connection.request("PUT", "/bucket/large", body=(LONG for _ in range(size // len(LONG))),
                           headers={"Content-Length": str(size)})
        equal(connection.getresponse().read(), b"")
        connection.request("GET", "/bucket/large")
        answer, got = connection.getresponse(), 0
        while True:
            piece = answer.read(1 << 20)
            if not piece:
                break
            got += len(piece)
        equal(got, size)
        connection.close()
        check(peak_kib() - before < 32 * 1024, f"memory grew by {peak_kib() - before} KiB")


@story
def requests_are_logged_for_who_looks_without_what_opens_objects():
    with Place() as place:
        emulator = place.emulator("--log-level", "debug")
        s3 = emulator.client("s3", signature_version="s3v4")
        s3.create_bucket(Bucket="bucket")
        s3.put_object(Bucket="bucket", Key="a key", Body=b"x")
        raises("NoSuchKey", s3.get_object, Bucket="bucket", Key="none")
        urllib.request.urlopen(s3.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "a key"})).close()
        log = emulator.text()
        for words in ("method=PUT path=/bucket/a%20key by=user status=200", "path=/bucket/none by=user status=404 code=NoSuchKey",
                      "method=GET path=/bucket/a%20key by=user status=200"):
            check(words in log, f"{words} in {log}")
        check("Signature" not in log and "X-Amz" not in log, log)


@story
def the_aws_cli_copies_lists_removes_and_presigns():
    with Place() as place:
        emulator = place.emulator()
        os.makedirs(place.path("tree", "sub"))
        for name in ("a.txt", "sub/b c.txt"):
            with open(place.path("tree", name), "w") as f:
                f.write(name)
        place.aws(emulator, "s3", "mb", "s3://cli-bucket")
        place.aws(emulator, "s3", "cp", place.path("tree", "a.txt"), "s3://cli-bucket/a.txt")
        place.aws(emulator, "s3", "cp", "--recursive", place.path("tree"), "s3://cli-bucket/t/")
        check("a.txt" in place.aws(emulator, "s3", "ls", "s3://cli-bucket/"), "ls of a bucket")
        check("PRE t/" in place.aws(emulator, "s3", "ls", "s3://cli-bucket/"), "ls shows prefixes")
        check("cli-bucket" in place.aws(emulator, "s3", "ls"), "ls of buckets")
        check("t/sub/b c.txt" in place.aws(emulator, "s3", "ls", "--recursive", "s3://cli-bucket/"), "ls --recursive")
        place.aws(emulator, "s3", "cp", "s3://cli-bucket/t/sub/b c.txt", place.path("back"))
        with open(place.path("back")) as f:
            equal(f.read(), "sub/b c.txt")
        place.aws(emulator, "s3", "mv", "s3://cli-bucket/a.txt", "s3://cli-bucket/moved.txt")
        url = place.aws(emulator, "s3", "presign", "s3://cli-bucket/moved.txt")
        with urllib.request.urlopen(url, timeout=20) as answer:
            equal(answer.read(), b"a.txt")
        place.aws(emulator, "s3", "sync", "s3://cli-bucket/t/", place.path("synced"))
        with open(place.path("synced", "a.txt")) as f:
            equal(f.read(), "a.txt")
        # A large object is copied in parts; the CLI asks for its tags before.
        with open(place.path("large"), "wb") as f:
            f.write(b"0123456789abcdef" * (9 << 16))
        place.aws(emulator, "s3", "cp", place.path("large"), "s3://cli-bucket/large")
        place.aws(emulator, "s3", "mv", "s3://cli-bucket/large", "s3://cli-bucket/larger")
        equal(emulator.client("s3").head_object(Bucket="cli-bucket", Key="larger")["ContentLength"], 9 << 20)
        place.aws(emulator, "s3", "rm", "--recursive", "s3://cli-bucket/")
        place.aws(emulator, "s3", "rb", "s3://cli-bucket")
        equal(emulator.client("s3").list_buckets()["Buckets"], [])


if __name__ == "__main__":
    run()
