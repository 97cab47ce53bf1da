#!/usr/bin/python3
"""The artifact store: versions of objects, tags, and checksums of what is stored in parts."""
import base64
import hashlib
import os
import sys
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import Place
from mh.tap import check, equal, raises, run, story

PART = b"0123456789abcdef" * (5 << 16)  # 5 MiB


def versioned(place, name="bucket"):
    emulator = place.emulator()
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return emulator, s3


def put(s3, body, **more):
    return s3.put_object(Bucket="bucket", Key="k", Body=body, **more).get("VersionId")


def body_of(s3, **which):
    return s3.get_object(Bucket="bucket", Key="k", **which)["Body"].read()


def listed(s3, **more):
    """(key, version, "v" or "m", latest) as they are listed, over all pages of the given size."""
    found = []
    for page in s3.get_paginator("list_object_versions").paginate(Bucket="bucket", **more):
        entries = [(v["Key"], v["VersionId"], "v", v["IsLatest"]) for v in page.get("Versions", [])]
        entries += [(m["Key"], m["VersionId"], "m", m["IsLatest"]) for m in page.get("DeleteMarkers", [])]
        found += entries
    return found


def files(emulator):
    root = os.path.join(emulator.data_dir, "objects")
    return sum(len(names) for d, _, names in os.walk(root) if d != os.path.join(root, "tmp"))


def headers_of(call, **arguments):
    try:
        call(**arguments)
    except Exception as e:
        return e.response["Error"]["Code"], e.response["ResponseMetadata"]["HTTPHeaders"]
    raise AssertionError("no error")


@story
def each_put_makes_a_version_and_a_delete_hides_them():
    with Place() as place:
        emulator, s3 = versioned(place)
        equal(s3.get_bucket_versioning(Bucket="bucket")["Status"], "Enabled")
        one, two = put(s3, b"one"), put(s3, b"two")
        check(one != two and len(one) == 32, f"versions {one} {two}")
        equal((body_of(s3), body_of(s3, VersionId=one), body_of(s3, VersionId=two)), (b"two", b"one", b"two"))
        equal(s3.head_object(Bucket="bucket", Key="k")["VersionId"], two)
        gone = s3.delete_object(Bucket="bucket", Key="k")
        equal(gone["DeleteMarker"], True)
        code, headers = headers_of(s3.get_object, Bucket="bucket", Key="k")
        equal((code, headers["x-amz-delete-marker"], headers["x-amz-version-id"]), ("NoSuchKey", "true", gone["VersionId"]))
        code, headers = headers_of(s3.get_object, Bucket="bucket", Key="k", VersionId=gone["VersionId"])
        equal((code, headers["x-amz-delete-marker"]), ("MethodNotAllowed", "true"))
        equal(s3.list_objects_v2(Bucket="bucket")["KeyCount"], 0, "a listing has what is current")
        equal(body_of(s3, VersionId=one), b"one")
        raises("NoSuchVersion", body_of, s3, VersionId="0" * 32)
        equal(sorted(listed(s3)), sorted([("k", gone["VersionId"], "m", True), ("k", two, "v", False),
                                          ("k", one, "v", False)]))
        raises("BucketNotEmpty", s3.delete_bucket, Bucket="bucket")
        # Without its marker the object is there again; without its newest version, the one before is.
        equal(s3.delete_object(Bucket="bucket", Key="k", VersionId=gone["VersionId"])["DeleteMarker"], True)
        equal(body_of(s3), b"two")
        equal(s3.delete_object(Bucket="bucket", Key="k", VersionId=two)["VersionId"], two)
        equal((body_of(s3), files(emulator)), (b"one", 1))
        s3.delete_object(Bucket="bucket", Key="k", VersionId=one)
        equal((listed(s3), files(emulator)), ([], 0))
        s3.delete_bucket(Bucket="bucket")


@story
def what_was_there_before_and_while_suspended_is_the_null_version():
    with Place() as place:
        emulator = place.emulator()
        s3 = emulator.client("s3")
        s3.create_bucket(Bucket="bucket")
        equal(put(s3, b"before"), None)
        s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
        new = put(s3, b"new")
        equal((body_of(s3), body_of(s3, VersionId="null")), (b"new", b"before"))
        s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Suspended"})
        equal(s3.get_bucket_versioning(Bucket="bucket")["Status"], "Suspended")
        put(s3, b"suspended")
        equal((body_of(s3), body_of(s3, VersionId="null"), body_of(s3, VersionId=new)), (b"suspended", b"suspended", b"new"))
        equal([(v, latest) for _, v, _, latest in listed(s3)], [("null", True), (new, False)])
        equal(s3.delete_object(Bucket="bucket", Key="k")["VersionId"], "null")
        equal([(v, kind) for _, v, kind, _ in listed(s3)], [(new, "v"), ("null", "m")])
        equal(files(emulator), 1)
        for status in ("Off", ""):
            raises("MalformedXML", s3.put_bucket_versioning, Bucket="bucket",
                   VersioningConfiguration={"Status": status})


@story
def versions_survive_kill_9():
    with Place() as place:
        emulator, s3 = versioned(place)
        versions = [put(s3, b"%d" % n) for n in range(4)]
        marker = s3.delete_object(Bucket="bucket", Key="k")["VersionId"]
        emulator.kill()
        emulator = place.emulator(name="again")
        s3 = emulator.client("s3")
        equal([v for _, v, _, _ in listed(s3)], versions[::-1] + [marker])
        equal([body_of(s3, VersionId=v) for v in versions], [b"0", b"1", b"2", b"3"])
        equal(files(emulator), 4)


@story
def versions_are_listed_by_pages_prefixes_and_delimiters():
    with Place() as place:
        _, s3 = versioned(place)
        want = []
        for key in ("a", "dir/1", "dir/2", "z ü"):
            ids = [s3.put_object(Bucket="bucket", Key=key, Body=b"%d" % n)["VersionId"] for n in range(3)]
            want += [(key, v, "v", v == ids[-1]) for v in ids[::-1]]
        for size in (1, 2, 4, 5, 12):
            equal(listed(s3, PaginationConfig={"PageSize": size}), want, f"by {size}")
        equal(listed(s3, Prefix="dir/"), [w for w in want if w[0].startswith("dir/")])
        top = s3.list_object_versions(Bucket="bucket", Delimiter="/")
        equal(([p["Prefix"] for p in top["CommonPrefixes"]], len(top["Versions"])), (["dir/"], 6))
        for size in (1, 3):
            equal(listed(s3, Delimiter="/", PaginationConfig={"PageSize": size}),
                  [w for w in want if not w[0].startswith("dir/")], f"with delimiter by {size}")
        equal(listed(s3, KeyMarker="dir/1"), want[6:])
        raises("InvalidArgument", s3.list_object_versions, Bucket="bucket", VersionIdMarker="x")


@story
def many_versions_are_deleted_and_old_ones_copied():
    with Place() as place:
        emulator, s3 = versioned(place)
        one, two, three = put(s3, b"one"), put(s3, b"two"), put(s3, b"three")
        copied = s3.copy_object(Bucket="bucket", Key="k", CopySource={"Bucket": "bucket", "Key": "k", "VersionId": one})
        equal((copied["CopySourceVersionId"], body_of(s3)), (one, b"one"), "an old version is current again")
        answer = s3.delete_objects(Bucket="bucket", Delete={"Objects": [
            {"Key": "k", "VersionId": two}, {"Key": "k", "VersionId": three}, {"Key": "other"}]})
        deleted = {(d["Key"], d.get("VersionId")): d for d in answer["Deleted"]}
        check(deleted[("other", None)]["DeleteMarker"], "a marker for a key that never was")
        equal([v for key, v, _, _ in listed(s3) if key == "k"], [copied["VersionId"], one])
        equal(files(emulator), 2)
        raises("InvalidRequest", s3.copy_object, Bucket="bucket", Key="k", CopySource={
            "Bucket": "bucket", "Key": "other", "VersionId": deleted[("other", None)]["DeleteMarkerVersionId"]})


@story
def objects_have_tags():
    def tags(**which):
        return {t["Key"]: t["Value"] for t in s3.get_object_tagging(Bucket="bucket", Key="k", **which)["TagSet"]}

    with Place() as place:
        _, s3 = versioned(place)
        old = put(s3, b"x")
        equal(tags(), {})
        put(s3, b"y", Tagging="team=build&note=a%20b%2Bc")
        equal((tags(), tags(VersionId=old)), ({"team": "build", "note": "a b+c"}, {}))
        equal(s3.get_object(Bucket="bucket", Key="k")["TagCount"], 2)
        s3.put_object_tagging(Bucket="bucket", Key="k", VersionId=old, Tagging={"TagSet": [{"Key": "thế", "Value": "nào"}]})
        equal(tags(VersionId=old), {"thế": "nào"})
        s3.copy_object(Bucket="bucket", Key="copy", CopySource="bucket/k")
        equal(s3.head_object(Bucket="bucket", Key="copy")["ResponseMetadata"]["HTTPHeaders"]["x-amz-tagging-count"], "2")
        s3.copy_object(Bucket="bucket", Key="copy", CopySource="bucket/k", TaggingDirective="REPLACE", Tagging="a=1")
        equal(s3.get_object_tagging(Bucket="bucket", Key="copy")["TagSet"], [{"Key": "a", "Value": "1"}])
        s3.delete_object_tagging(Bucket="bucket", Key="k")
        equal((tags(), "TagCount" in s3.get_object(Bucket="bucket", Key="k")), ({}, False))
        raises("NoSuchKey", s3.get_object_tagging, Bucket="bucket", Key="none")
        for bad in ([{"Key": "", "Value": ""}], [{"Key": "a", "Value": "1"}] * 2, [{"Key": "k" * 129, "Value": "1"}],
                    [{"Key": str(n), "Value": ""} for n in range(11)]):
            raises("InvalidTag", s3.put_object_tagging, Bucket="bucket", Key="k", Tagging={"TagSet": bad})
        raises("InvalidTag", put, s3, b"z", Tagging="a=1&a=2")
        target = {"Bucket": "bucket", "Key": "parts"}
        target["UploadId"] = s3.create_multipart_upload(Tagging="in=parts", **target)["UploadId"]
        etag = s3.upload_part(PartNumber=1, Body=b"x", **target)["ETag"]
        s3.complete_multipart_upload(MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}, **target)
        equal(s3.get_object_tagging(Bucket="bucket", Key="parts")["TagSet"], [{"Key": "in", "Value": "parts"}])


# ---- checksums of objects in parts ----

def b64(raw):
    return base64.b64encode(raw).decode()


def crc32(data):
    return zlib.crc32(data).to_bytes(4, "big")


def header(answer, name):
    return answer["ResponseMetadata"]["HTTPHeaders"].get(name)


def upload(s3, key, parts, algorithm, digest, extra=()):
    """The upload's target, and its parts as completion names them."""
    target = {"Bucket": "bucket", "Key": key}
    create = s3.create_multipart_upload(ChecksumAlgorithm=algorithm, **target)
    target["UploadId"] = create["UploadId"]
    equal(header(create, "x-amz-checksum-algorithm"), algorithm)
    member, done = f"Checksum{algorithm}", []
    for n, part in enumerate(parts, 1):
        answer = s3.upload_part(PartNumber=n, Body=part, **{member: b64(digest(part))}, **target)
        equal(answer[member], b64(digest(part)))
        done.append({"PartNumber": n, "ETag": answer["ETag"], member: b64(digest(part))})
    return target, done


@story
def an_object_in_parts_has_the_checksum_of_its_parts_checksums():
    with Place() as place:
        emulator = place.emulator()
        s3 = emulator.client("s3")
        s3.create_bucket(Bucket="bucket")
        parts = [PART, PART[::-1], b"tail"]
        for algorithm, digest in (("CRC32", crc32), ("SHA256", lambda d: hashlib.sha256(d).digest()),
                                  ("SHA1", lambda d: hashlib.sha1(d).digest())):
            target, done = upload(s3, algorithm, parts, algorithm, digest)
            equal([p[f"Checksum{algorithm}"] for p in s3.list_parts(**target)["Parts"]], [b64(digest(p)) for p in parts])
            wrong = [dict(done[0], **{f"Checksum{algorithm}": done[1][f"Checksum{algorithm}"]})] + done[1:]
            raises("InvalidPart", s3.complete_multipart_upload, MultipartUpload={"Parts": wrong}, **target)
            answer = s3.complete_multipart_upload(MultipartUpload={"Parts": done}, **target)
            want = b64(digest(b"".join(digest(p) for p in parts))) + "-3"
            equal(answer[f"Checksum{algorithm}"], want)
            got = s3.head_object(Bucket="bucket", Key=algorithm, ChecksumMode="ENABLED")
            equal((got[f"Checksum{algorithm}"], header(got, "x-amz-checksum-type")), (want, "COMPOSITE"))
        # A copy is one piece.
        s3.copy_object(Bucket="bucket", Key="copy", CopySource="bucket/CRC32")
        whole = b"".join(parts)
        got = s3.head_object(Bucket="bucket", Key="copy", ChecksumMode="ENABLED")
        equal((got["ChecksumCRC32"], got["ETag"]), (b64(crc32(whole)), '"%s"' % hashlib.md5(whole).hexdigest()))
        attributes = s3.get_object_attributes(Bucket="bucket", Key="copy",
                                              ObjectAttributes=["ETag", "Checksum", "ObjectSize"])
        equal((attributes["Checksum"]["ChecksumCRC32"], attributes["ObjectSize"]), (b64(crc32(whole)), len(whole)))
        s3.copy_object(Bucket="bucket", Key="copy", CopySource="bucket/CRC32", ChecksumAlgorithm="SHA256")
        equal(s3.head_object(Bucket="bucket", Key="copy", ChecksumMode="ENABLED")["ChecksumSHA256"],
              b64(hashlib.sha256(whole).digest()))


@story
def a_whole_objects_crc_is_made_of_its_parts():
    parts = [PART, PART[7:] + b"1234567", b"tail"]
    whole = b64(crc32(b"".join(parts)))

    def with_type(request, **_):
        request.headers["x-amz-checksum-type"] = "FULL_OBJECT"

    with Place() as place:
        emulator = place.emulator()
        s3 = emulator.client("s3")
        s3.create_bucket(Bucket="bucket")
        s3.meta.events.register("before-sign.s3.CreateMultipartUpload", with_type)
        target, done = upload(s3, "k", parts, "CRC32", crc32)
        raises("BadDigest", s3.complete_multipart_upload, MultipartUpload={"Parts": done}, ChecksumCRC32=b64(b"1234"), **target)
        answer = s3.complete_multipart_upload(MultipartUpload={"Parts": done}, ChecksumCRC32=whole, **target)
        equal(answer["ChecksumCRC32"], whole)
        got = s3.get_object(Bucket="bucket", Key="k", ChecksumMode="ENABLED")
        equal((got["ChecksumCRC32"], header(got, "x-amz-checksum-type")), (whole, "FULL_OBJECT"))
        raises("InvalidRequest", s3.create_multipart_upload, Bucket="bucket", Key="k", ChecksumAlgorithm="SHA256")


@story
def an_object_is_read_by_the_parts_it_came_in():
    parts = [PART, PART[::-1] + b"x", b"tail"]
    with Place() as place:
        s3 = place.emulator().client("s3")
        s3.create_bucket(Bucket="bucket")
        target, done = upload(s3, "k", parts, "CRC32", crc32)
        s3.complete_multipart_upload(MultipartUpload={"Parts": done}, **target)
        for n, part in enumerate(parts, 1):
            got = s3.get_object(Bucket="bucket", Key="k", PartNumber=n)
            equal((got["Body"].read() == part, got["PartsCount"], got["ResponseMetadata"]["HTTPStatusCode"]), (True, 3, 206))
            equal(s3.head_object(Bucket="bucket", Key="k", PartNumber=n)["ContentLength"], len(part))
        raises("InvalidPartNumber", s3.get_object, Bucket="bucket", Key="k", PartNumber=4)
        raises("InvalidRequest", s3.get_object, Bucket="bucket", Key="k", PartNumber=1, Range="bytes=0-1")
        equal(s3.get_object_attributes(Bucket="bucket", Key="k", ObjectAttributes=["ObjectParts"])["ObjectParts"]
              ["TotalPartsCount"], 3)
        s3.put_object(Bucket="bucket", Key="whole", Body=b"whole")
        equal(s3.get_object(Bucket="bucket", Key="whole", PartNumber=1)["Body"].read(), b"whole")
        raises("InvalidPartNumber", s3.get_object, Bucket="bucket", Key="whole", PartNumber=2)
        s3.copy_object(Bucket="bucket", Key="copy", CopySource="bucket/k")
        raises("InvalidPartNumber", s3.get_object, Bucket="bucket", Key="copy", PartNumber=2)


@story
def uploads_under_way_are_listed_by_pages():
    with Place() as place:
        s3 = place.emulator().client("s3")
        s3.create_bucket(Bucket="bucket")
        want = sorted((key, s3.create_multipart_upload(Bucket="bucket", Key=key)["UploadId"])
                      for key in ("a", "a", "dir/1", "dir/2", "z"))
        for size in (1, 2, 3, 5):
            found = []
            for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket="bucket",
                                                                            PaginationConfig={"PageSize": size}):
                found += [(u["Key"], u["UploadId"]) for u in page.get("Uploads", [])]
            equal(found, want, f"by {size}")
        top = s3.list_multipart_uploads(Bucket="bucket", Delimiter="/")
        equal(([u["Key"] for u in top["Uploads"]], [p["Prefix"] for p in top["CommonPrefixes"]]), (["a", "a", "z"], ["dir/"]))
        equal([u["Key"] for u in s3.list_multipart_uploads(Bucket="bucket", Prefix="dir/")["Uploads"]], ["dir/1", "dir/2"])
        equal([u["Key"] for u in s3.list_multipart_uploads(Bucket="bucket", KeyMarker="a")["Uploads"]],
              ["dir/1", "dir/2", "z"])


if __name__ == "__main__":
    run()
