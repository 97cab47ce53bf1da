#!/usr/bin/python3
"""millhand-archive: hostile and damaged archives, round trips, other programs' archives."""
import gzip
import io
import json
import os
import random
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile

sys.path.insert(0, os.path.dirname(__file__))
from mh.archives import file, link, raw_zip, tar
from mh.programs import ARCHIVE, ARCHIVE_TAR, sanitized
from mh.tap import check, equal, run, skip, story

UNSAFE, CORRUPT, LIMIT = "unsafe", "corrupt", "limit"


IN_BLOCKS = ("--in-memory", "0") # the way of members that are too long for memory


def call(arguments, stdin=None, stdout=None, env=None, program=ARCHIVE):
    """Runs the program; answers its report."""
    read_end, write_end = os.pipe()
    with os.fdopen(read_end) as report:
        try:
            # the report goes to descriptor 3: the shell moves it there
            done = subprocess.run(["/bin/sh", "-c", f'exec "$@" 3>&{write_end}', "sh", program] + arguments,
                                  stdin=stdin or subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                                  pass_fds=[write_end], timeout=120, env=dict(os.environ, **(env or {})))
        finally:
            os.close(write_end)
        line = report.read()
    check(line.endswith("\n") and line.count("\n") == 1, f"one line of report: {line!r} {done.stderr!r}")
    check(done.returncode in (0, 1), f"exit code {done.returncode}: {done.stderr!r}")
    answer = json.loads(line)
    equal(answer["ok"], done.returncode == 0, "ok and exit code")
    return answer


def snapshot(path):
    """Everything below path: type, mode, content or target, whole-second mtime of files and links."""
    found = {}
    for folder, dirs, files in os.walk(path):
        for name in dirs + files:
            full = os.path.join(folder, name)
            st = os.lstat(full)
            key = os.path.relpath(full, path)
            if stat.S_ISLNK(st.st_mode):
                found[key] = ("link", os.readlink(full), int(st.st_mtime))
            elif stat.S_ISREG(st.st_mode):
                with open(full, "rb") as f:
                    found[key] = ("file", stat.S_IMODE(st.st_mode), f.read(), int(st.st_mtime))
            else:
                found[key] = (stat.S_IFMT(st.st_mode), stat.S_IMODE(st.st_mode), int(st.st_mtime))
    return found


class Box:
    """A parent directory with neighbours that must stay as they are, and `into` to unpack to."""

    def __init__(self, where=None):
        self.where = where

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="mh-archive-", dir=self.where)
        self.into = os.path.join(self.dir, "into")
        os.makedirs(os.path.join(self.dir, "neighbour"))
        for name in ("neighbour/file", "evil", "passwd"):
            with open(os.path.join(self.dir, name), "w") as f:
                f.write("before")
        self.clear()
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def clear(self):
        shutil.rmtree(self.into, ignore_errors=True)
        os.mkdir(self.into)

    def outside(self):
        return {k: v for k, v in snapshot(self.dir).items() if not k.startswith("into")}

    def unpack(self, data, *options, env=None):
        with tempfile.TemporaryFile() as f:
            f.write(data)
            f.seek(0)
            return call(["unpack", "--into", self.into] + list(options), stdin=f, env=env)

    def refuse(self, what, data, kind, *options):
        """Must fail with that kind and leave no trace; a zip, whichever way its members take."""
        if data[:2] == b"PK" and b"PK\5\6" in data and "--in-memory" not in options:
            self.refuse(f"{what}, in blocks", data, kind, *options, *IN_BLOCKS)
        before = self.outside()
        answer = self.unpack(data, *options)
        check(not answer["ok"], f"{what}: was unpacked: {sorted(snapshot(self.into))}")
        equal(answer["kind"], kind, f"{what}: kind of \"{answer['message']}\"")
        check(answer["message"].isprintable(), f"{what}: message {answer['message']!r}")
        equal(os.listdir(self.into), [], f"{what}: left in the directory")
        equal(self.outside(), before, f"{what}: outside the directory")
        return answer["message"]


# --- making archives -------------------------------------------------------------------


FILE, DIR, SYM, HARD = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def hostile_names():
    return ["../evil", "..", "a/../../evil", "./../evil", "a/..", "a/b/../../../evil", "../into/../evil", "/tmp/mh-evil",
            "//evil", "..\\evil", "a\\..\\..\\evil", "\\evil", "C:\\evil", "c:/evil", "a/..\\../evil", "new\nline",
            "escape\x1b[31mred", "delete\x7f", "tab\there", "carriage\rreturn"]


@story
def hostile_names_are_refused_in_zip_and_tar():
    """names that climb, are absolute or hold control characters are refused, in zip, tar and tar.gz"""
    with Box() as box:
        for name in hostile_names():
            before = ("before", FILE, b"fine")
            box.refuse(f"zip {name!r}", raw_zip([file("before"), file(name)]), UNSAFE)
            box.refuse(f"tar {name!r}", tar(before, (name, FILE, b"evil")), UNSAFE)
            box.refuse(f"gnu tar.gz {name!r}",
                       tar(before, (name, FILE, b"evil"), format=tarfile.GNU_FORMAT, compress=True), UNSAFE)
        for name in ("../evil/", "/evil/", ".."):
            box.refuse(f"zip directory {name!r}", raw_zip([file(name, b"", mode=0o40755)]), UNSAFE)
            box.refuse(f"tar directory {name!r}", tar((name, DIR, b"")), UNSAFE)
        box.refuse("zip with a NUL", raw_zip([file("safe\0/../../evil")]), UNSAFE)
        box.refuse("zip with no name", raw_zip([file("")]), CORRUPT)
        box.refuse("zip from DOS with backslashes", raw_zip([file("a\\b", system=0)]), UNSAFE)
        message = box.refuse("message", raw_zip([file("../" + "x\x1b" * 100)]), UNSAFE)
        check("\\x1b" in message and len(message) < 400, f"the name is escaped and cut: {message}")


@story
def hostile_links_are_refused():
    """symbolic links that lead outside, by text or through other links, and writing through links"""
    d, f = b"", b"evil"
    cases = [
        ("absolute", [("l", SYM, "/etc")]),
        ("parent", [("l", SYM, "..")]),
        ("far parent", [("a/b/l", SYM, "../../../evil")]),
        ("root by many parents", [("l", SYM, "../../../../../../../../etc/passwd")]),
        ("through another link", [("a/b", DIR, d), ("dot", SYM, "."), ("a/b/l", SYM, "../../dot/..")]),
        ("through a later link", [("a/b", DIR, d), ("a/b/l", SYM, "../../dot/.."), ("dot", SYM, ".")]),
        ("up and back in", [("l", SYM, "../into/x")]),
        ("backslashes", [("l", SYM, "\\evil")]),
        ("drive", [("l", SYM, "C:\\evil")]),
        ("circle", [("a", SYM, "b"), ("b", SYM, "a")]),
        ("control characters", [("l", SYM, "a\x1b[2J")]),
        ("write through a link", [("l", SYM, "."), ("l/evil", FILE, f)]),
        ("write through a link to a directory", [("d", DIR, d), ("l", SYM, "d"), ("l/evil", FILE, f)]),
        ("directory through a link", [("l", SYM, "."), ("l/d", DIR, d)]),
        ("link through a link", [("l", SYM, "."), ("l/m", SYM, "x")]),
        ("link in a directory's place", [("l/x", FILE, f), ("l", SYM, "..")]),
        ("directory in a link's place", [("l", SYM, "."), ("l", DIR, d)]),
        ("file in a link's place", [("l", SYM, "evil"), ("l", FILE, f)]),
        ("the root itself", [("./", SYM, "/tmp")]),
    ]
    with Box() as box:
        for what, members in cases:
            box.refuse(f"tar: {what}", tar(*members), UNSAFE)
            as_zip = [link(n, x) if k == SYM else file(n + "/", b"", mode=0o40755) if k == DIR else file(n, x)
                      for n, k, x in members]
            if what == "the root itself":
                continue # a zip cannot say it: the slash makes a directory
            box.refuse(f"zip: {what}", raw_zip(as_zip), UNSAFE)
        box.refuse("empty target", raw_zip([link("l", "")]), CORRUPT)
        box.refuse("long target", raw_zip([link("l", "x" * 5000)]), LIMIT)
        box.refuse("bomb as a target", raw_zip([dict(link("l", "x" * 9000000), method=8)]), LIMIT)


@story
def hard_links_stay_inside():
    """hard links to the outside are refused; those to earlier files become copies"""
    with Box() as box:
        for target in ("/etc/passwd", "../passwd", "passwd", "later", "dir", "sym", "..\\passwd"):
            members = [("dir", DIR, b""), ("sym", SYM, "dir"), ("hard", HARD, target), ("later", FILE, b"x")]
            box.refuse(f"hard link to {target}", tar(*members), UNSAFE)
        box.refuse("hard link over a name", tar(("a", FILE, b"x"), ("b", FILE, b"y"), ("b", HARD, "a")), UNSAFE)
        box.refuse("copies count", tar(("a", FILE, b"x" * 1000), *[(f"h{i}", HARD, "a") for i in range(9)]), LIMIT,
                   "--max-bytes", "9999")
        answer = box.unpack(tar(("a", FILE, b"content"), ("d/b", HARD, "./a")))
        check(answer["ok"], answer)
        equal(snapshot(box.into)["d/b"][:3], ("file", 0o755, b"content"))
        equal(os.lstat(os.path.join(box.into, "a")).st_nlink, 1, "link count")


@story
def special_files_are_refused():
    """devices, FIFOs, sockets and unknown types are refused"""
    with Box() as box:
        for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
            box.refuse(f"tar type {kind}", tar(("before", FILE, b"x"), ("evil", kind, b"")), UNSAFE)
        for mode in (0o020666, 0o060666, 0o010644, 0o140755, 0o160000):
            box.refuse(f"zip mode {mode:o}", raw_zip([file("before"), file("evil", b"", mode=mode)]), UNSAFE)


@story
def duplicates_are_refused():
    """a name that is there twice is refused, also as a file and a directory"""
    with Box() as box:
        twice = [file("a", b"one"), file("a", b"two")]
        box.refuse("zip", raw_zip(twice), UNSAFE)
        box.refuse("zip, other spelling", raw_zip([file("d/a"), file("./d//a")]), UNSAFE)
        box.refuse("tar", tar(("a", FILE, b"one"), ("a", FILE, b"two")), UNSAFE)
        box.refuse("file beneath a file", raw_zip([file("a"), file("a/b")]), UNSAFE)
        box.refuse("directory over a file", raw_zip([file("a"), file("a/", b"", mode=0o40755)]), UNSAFE)
        box.refuse("file over a directory", tar(("a/b", FILE, b""), ("a", FILE, b"")), UNSAFE)
        case = raw_zip([file("README", b"1"), file("readme", b"2")])
        box.refuse("case, strictly", case, UNSAFE, "--strict-case")
        check(box.unpack(case)["ok"], "names that differ in case are two names here")
        equal(sorted(os.listdir(box.into)), ["README", "readme"])


@story
def contradicting_zips_are_refused():
    """overlapping members, headers that differ, hidden members, two ends, wrong counts"""
    with Box() as box:
        a, b = file("a", b"hello"), file("b", b"world")
        box.refuse("header name differs", raw_zip([a, file("shown", local_name="other")]), CORRUPT)
        box.refuse("header name differs in length", raw_zip([a, file("shown", local_name="shownlonger")]), CORRUPT)
        box.refuse("same member twice", raw_zip([a, dict(a, name="b", offset=0)]), CORRUPT)
        box.refuse("same member twice, same name", raw_zip([a, dict(a, offset=0)]), UNSAFE)
        inner = raw_zip([file("kernel", b"x" * 100)])[:-80]
        quoted = [file("quote", inner), file("kernel", b"x" * 100, offset=35)]
        box.refuse("quoted overlap", raw_zip(quoted), UNSAFE)
        box.refuse("too few counted", raw_zip([a, b], count=1), CORRUPT)
        box.refuse("too many counted", raw_zip([a, b], count=3), CORRUPT)
        box.refuse("none counted", raw_zip([a, b], count=0), CORRUPT)
        hidden = raw_zip([file("hidden", b"boo")])
        hidden = hidden[:hidden.index(b"PK\1\2")]
        whole = raw_zip([a])
        box.refuse("prefix", hidden + whole, CORRUPT)
        box.refuse("script before it", b"#!/bin/sh\nexit 1\n" + whole, CORRUPT)
        box.refuse("appended archive", whole + raw_zip([b]), CORRUPT)
        box.refuse("trailing bytes", whole + b"trailing", CORRUPT)
        box.refuse("second end in the comment", raw_zip([a], comment=raw_zip([])), CORRUPT)
        box.refuse("wrong checksum", raw_zip([a, file("b", b"x", crc=1)]), CORRUPT)
        box.refuse("shorter than it says", raw_zip([file("b", b"x" * 50, method=8, size=60)]), CORRUPT)
        box.refuse("longer than it says", raw_zip([file("b", b"x" * 50, method=8, size=40)]), CORRUPT)
        box.refuse("bytes after the compressed ones", raw_zip([file("b", b"x" * 50, method=8, after=b"boo")]), CORRUPT)
        box.refuse("encrypted", raw_zip([file("b", flags=1)]), CORRUPT)
        box.refuse("unknown method", raw_zip([dict(b, name="b")]).replace(b"\0\0\0\0`tZ", b"\0\0\x63\0`tZ"), CORRUPT)
        box.refuse("directory with content", raw_zip([file("d/", b"x", mode=0o40755)]), CORRUPT)
        box.refuse("file with a directory's name", raw_zip([file("d/", b"x", mode=0o100644)]), CORRUPT)


@story
def bombs_are_stopped():
    """limits of bytes, entries, ratio, depth and name length, before or while unpacking"""
    zeros = b"\0" * 3000000
    with Box() as box:
        box.refuse("zip bytes", raw_zip([file("z", zeros, method=8)]), LIMIT, "--max-bytes", "2999999")
        box.refuse("zip bytes together", raw_zip([file("y", zeros, method=8), file("z", zeros, method=8)]), LIMIT,
                   "--max-bytes", "5M")
        box.refuse("zip ratio", raw_zip([file("z", zeros, method=8)]), LIMIT, "--ratio-from", "1M")
        box.refuse("zip sizes that overflow", raw_zip([file("y", b"", size=2**32 - 2), file("z", b"", size=2**32 - 2)]),
                   CORRUPT)
        lies = raw_zip([file("z", zeros, method=8, size=10)])
        box.refuse("zip that lies of its size", lies, CORRUPT, "--max-bytes", "1000")
        box.refuse("tar.gz bytes", tar(("z", FILE, zeros), compress=True), LIMIT, "--max-bytes", "2999999")
        box.refuse("tar.gz ratio", tar(("z", FILE, zeros), compress=True), LIMIT, "--ratio-from", "1M")
        box.refuse("tar.gz of zeros alone", gzip.compress(zeros), LIMIT, "--ratio-from", "1M")
        many = [(f"d{i}/f", FILE, b"") for i in range(51)]
        box.refuse("tar entries with implied directories", tar(*many), LIMIT, "--max-entries", "100")
        box.refuse("zip entries", raw_zip([file(n, b"") for n, _, _ in many]), LIMIT, "--max-entries", "50")
        deep = "/".join(["d"] * 200)
        box.refuse("zip depth", raw_zip([file(deep + "/f")]), LIMIT)
        box.refuse("tar depth", tar((deep + "/f", FILE, b"")), LIMIT)
        box.refuse("tar depth option", tar(("a/b/c", FILE, b"")), LIMIT, "--max-depth", "2")
        box.refuse("long part", raw_zip([file("n" * 256)]), LIMIT)
        box.refuse("long name", raw_zip([file("/".join(["n" * 99] * 50))]), LIMIT)
        box.refuse("sparse tar", sparse_tar(1 << 40), LIMIT)
        box.refuse("sparse tar ratio", sparse_tar(1 << 30), LIMIT)
        links = tar(("z", FILE, zeros), *[(f"l{i}", HARD, "z") for i in range(40)])
        box.refuse("tar of hard links, each a copy", links, LIMIT, "--max-ratio", "10", "--ratio-from", "1M")
        box.refuse("tar.gz of hard links", gzip.compress(links), LIMIT, "--max-ratio", "2000", "--ratio-from", "5M")
        check(box.unpack(raw_zip([file("z", zeros, method=8)]))["ok"], "small archives may have any ratio")


def sparse_tar(size):
    """GNU's old sparse format: one byte, then a hole up to size."""
    header = bytearray(tarfile.TarInfo("hole").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = b"S"
    header[124:136] = b"%011o\0" % 1
    header[386:410] = b"%011o\0%011o\0" % (0, 1)
    header[410:434] = b"%011o\0%011o\0" % (0, 0)
    header[483:495] = b"\x80\0\0\0" + struct.pack(">Q", size)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + b"x" + b"\0" * 511 + b"\0" * 1024


@story
def holes_are_kept_and_counted():
    """a sparse file has its full size, and its holes count as content"""
    with Box() as box:
        answer = box.unpack(sparse_tar(1000000))
        check(answer["ok"], answer)
        equal(answer["bytes"], 1000000)
        equal(os.stat(os.path.join(box.into, "hole")).st_size, 1000000)


@story
def truncation_is_corrupt_everywhere():
    """cut at any byte, an archive is corrupt, and nothing of it stays"""
    members = [("d/a", FILE, b"alpha" * 9), ("l", SYM, "d/a")]
    samples = {"zip": raw_zip([file("d/a", b"alpha" * 9, method=8), link("l", "d/a")]),
               "tar.gz": tar(*members, compress=True, format=tarfile.USTAR_FORMAT)}
    with Box() as box:
        for what, whole in samples.items():
            for n in range(len(whole)):
                box.refuse(f"{what} cut at {n} of {len(whole)}", whole[:n], CORRUPT)
            check(box.unpack(whole)["ok"], what)
            box.clear()
        whole = tar(*members, format=tarfile.USTAR_FORMAT)
        end = 4 * 512 # header, content, header, then the first zero block
        for n in sorted(set(range(0, end + 512, 37)) | {511, 512, 513, 1024, 1536, end - 512, end, end + 511}):
            box.refuse(f"tar cut at {n}", whole[:n], CORRUPT)
        check(box.unpack(whole[:end + 512])["ok"], "padding after the end is not needed")
        box.clear()
        box.refuse("no end", whole[:1536], CORRUPT)
        box.refuse("garbage after the end", whole[:end + 512] + b"x" * 512, CORRUPT)
        box.refuse("an archive after the end", whole + whole, CORRUPT)
        packed = samples["tar.gz"]
        box.refuse("garbage after gzip", packed + b"garbage", CORRUPT)
        check(box.unpack(packed + b"\0" * 100)["ok"], "zeros after gzip are padding")
        box.clear()
        half = len(whole) // 2 + 11
        check(box.unpack(gzip.compress(whole[:half]) + gzip.compress(whole[half:]))["ok"], "two gzip members")


@story
def damage_is_found():
    """flipped bytes never pass for the original: gzip's and zip's checksums are compared"""
    rng = random.Random(os.environ.get("MH_SEED", "archive"))
    content = bytes(rng.randrange(256) for _ in range(2000))
    samples = {"zip": raw_zip([file("a", content)]), "tar.gz": tar(("a", FILE, content), compress=True)}
    with Box() as box:
        for what, whole in samples.items():
            start = whole.find(content[:64]) if what == "zip" else 20
            for _ in range(60):
                at = rng.randrange(start, start + 1900)
                bad = bytearray(whole)
                bad[at] ^= 1 << rng.randrange(8)
                box.refuse(f"{what} flipped at {at}", bytes(bad), CORRUPT)
        for data in (b"", b"PK", b"hello\n" * 100, b"\x1f\x8b\x08", b"\x7fELF" + b"\0" * 2000, b"PK\3\4" + b"x" * 100,
                     gzip.compress(b"not a tar at all " * 100), b"\x1f\x8b\x08\x1f" + b"\xff" * 600):
            box.refuse(f"no archive: {data[:8]!r}", data, CORRUPT)


@story
def bad_requests_get_one_clear_error():
    """pipes, a directory that is missing or not empty, unknown options"""
    with Box() as box:
        whole = raw_zip([file("a")])
        read_end, write_end = os.pipe()
        os.write(write_end, whole)
        os.close(write_end)
        with os.fdopen(read_end) as pipe:
            answer = call(["unpack", "--into", box.into], stdin=pipe)
        check("regular file" in answer["message"], answer)
        with open(os.path.join(box.into, "mine"), "w"):
            pass
        answer = box.unpack(whole)
        equal(answer["kind"], "system")
        check("not empty" in answer["message"], answer)
        equal(os.listdir(box.into), ["mine"], "what was there is left alone")
        os.symlink("neighbour", box.path("alias"))
        for arguments in ([], ["unzip"], ["unpack"], ["pack"], ["unpack", "--from", "x"], ["unpack", "--into"],
                          ["unpack", "--into", box.path("missing")], ["unpack", "--into", box.path("evil")],
                          ["unpack", "--into", box.path("alias")], ["unpack", "--into", box.into, "--max-bytes", "-1"],
                          ["unpack", "--into", box.into, "--max-entries", "many"], ["unpack", "--into", box.into, "x"],
                          ["unpack", "--into", box.into, "--in-memory", "2G"],
                          ["pack", "--from", box.dir, "--format", "rar"], ["pack", "--from", box.path("alias")],
                          ["pack", "--from", box.path("missing")]):
            answer = call(arguments, stdout=subprocess.DEVNULL)
            check(not answer["ok"] and answer["message"], f"{arguments}: {answer}")


# --- packing ---------------------------------------------------------------------------


def make_tree(root):
    """Files of all sorts; answers root."""
    rng = random.Random(7)
    os.makedirs(os.path.join(root, "bin"))
    os.makedirs(os.path.join(root, "empty/inner"))
    os.makedirs(os.path.join(root, "größe/日本"))
    contents = {"bin/run": b"#!/bin/sh\necho run\n", "zero": b"", "größe/日本/名前 x": b"unicode", "-dash": b"-",
                "big": bytes(rng.randrange(256) for _ in range(70000)) * 10, "dev\\x2d1.swap": b"backslash",
                "nfd-e\u0301": b"decomposed", "nfc-\u00e9": b"composed", "x" * 255: b"longest part",
                "/".join(["p" * 60] * 5): b"over ustar's 256", "text": b"line\n" * 5000, "...": b"dots", "a\"b": b"quote"}
    for name, data in contents.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
        os.utime(path, (1600000000, 1600000000 + len(data)))
    os.chmod(os.path.join(root, "bin/run"), 0o755)
    os.chmod(os.path.join(root, "zero"), 0o600)
    os.chmod(os.path.join(root, "text"), 0o444)
    os.symlink("../text", os.path.join(root, "bin/text-link"))
    os.symlink("bin", os.path.join(root, "bin-link"))
    os.symlink("not/there", os.path.join(root, "dangling"))
    os.symlink("größe/日本/名前 x", os.path.join(root, "lïnk"))
    for folder, _, _ in os.walk(root, topdown=False):
        os.utime(folder, (1500000000, 1500000000))
    os.chmod(os.path.join(root, "empty"), 0o750)
    return root


def pack(box, source, format, *options, name="packed", env=None):
    path = box.path(f"{name}.{format}")
    with open(path, "wb") as out:
        answer = call(["pack", "--from", source, "--format", format] + list(options), stdout=out, env=env)
    return path, answer


def packed_bytes(box, source, format, *options, **kwargs):
    path, answer = pack(box, source, format, *options, **kwargs)
    check(answer["ok"], answer)
    with open(path, "rb") as f:
        data = f.read()
    equal(answer["bytes"], len(data), "bytes")
    import hashlib
    equal(answer["sha256"], hashlib.sha256(data).hexdigest(), "sha256")
    return data


@story
def round_trips_keep_everything():
    """modes, times, links, empty directories and names survive zip, tar and tar.gz, byte for byte"""
    with Box() as box:
        tree = make_tree(box.path("tree"))
        want = snapshot(tree)
        for format, *options in (("zip",), ("zip", *IN_BLOCKS), ("tar",), ("tar.gz",)):
            data = packed_bytes(box, tree, format, *options)
            answer = box.unpack(data, *options, env={"TZ": "Asia/Tokyo"})
            check(answer["ok"], answer)
            equal(answer["entries"], len(want), "entries")
            equal(answer["bytes"], sum(len(v[2]) for v in want.values() if v[0] == "file"), "bytes")
            got = snapshot(box.into)
            for key in sorted(set(want) | set(got)):
                equal(got.get(key), want.get(key), f"{format}: {key}")
            again = packed_bytes(box, box.into, format, *options, name="again",
                                 env={"TZ": "America/New_York", "LC_ALL": "C"})
            check(again == data, f"{format}: the same tree gives the same bytes")
            box.clear()


@story
def a_single_file_is_packed_under_its_name():
    """--from FILE"""
    with Box() as box:
        with open(box.path("tool"), "w") as f:
            f.write("#!/bin/sh\n")
        os.chmod(box.path("tool"), 0o755)
        for format in ("zip", "tar.gz"):
            check(box.unpack(packed_bytes(box, box.path("tool"), format))["ok"], format)
            equal(snapshot(box.into)["tool"][:3], ("file", 0o755, b"#!/bin/sh\n"))
            equal(len(os.listdir(box.into)), 1)
            box.clear()


@story
def packing_refuses_what_unpacking_would():
    """sockets, FIFOs, devices, links to the outside, control characters"""
    def fifo(path):
        os.mkfifo(path)

    def sock(path):
        s = socket.socket(socket.AF_UNIX)
        s.bind(path)
        s.close()

    def device(path):
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))

    cases = [("fifo", fifo, "FIFO"), ("socket", sock, "socket"),
             ("absolute", lambda p: os.symlink("/etc/passwd", p), "absolute"),
             ("outside", lambda p: os.symlink("../../evil", p), "outside"),
             ("circle", lambda p: os.symlink("circle", p), "circle"),
             ("new\nline", lambda p: open(p, "w").close(), "control"),
             (os.fsdecode(b"latin\xfc"), lambda p: open(p, "w").close(), "UTF-8")]
    if os.getuid() == 0:
        cases.append(("device", device, "device"))
    with Box() as box:
        for name, make, word in cases:
            tree = box.path("tree")
            shutil.rmtree(tree, ignore_errors=True)
            os.makedirs(os.path.join(tree, "d"))
            make(os.path.join(tree, "d", name))
            _, answer = pack(box, tree, "zip")
            equal(answer["ok"], False, f"{name!r}")
            equal(answer["kind"], UNSAFE, f"{name!r}")
            check(word in answer["message"] and '"d/' in answer["message"], f"{name!r}: {answer}")
            if word == "UTF-8":
                check(box.unpack(packed_bytes(box, tree, "tar"))["ok"], "tar holds such names")
                equal(os.listdir(os.path.join(box.into, "d")), [name])


@story
def a_full_disk_is_said():
    """kind space when the output or the directory has no room, and the directory is empty again"""
    with Box() as box:
        tree = make_tree(box.path("tree"))
        with open("/dev/full", "wb") as out:
            answer = call(["pack", "--from", tree], stdout=out)
        equal(answer.get("kind"), "space", str(answer))
        data = packed_bytes(box, tree, "zip")
        mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", box.into]
        if subprocess.run(mount, stderr=subprocess.DEVNULL).returncode != 0:
            skip("no right to mount a small file system")
        try:
            answer = box.unpack(data)
            equal(answer.get("kind"), "space", str(answer))
            equal(os.listdir(box.into), [], "left in the directory")
        finally:
            subprocess.run(["umount", box.into], check=True)


@story
def a_closed_reader_is_an_error_not_a_signal():
    """pack into a pipe that nobody reads"""
    with Box() as box:
        tree = make_tree(box.path("tree"))
        read_end, write_end = os.pipe()
        os.close(read_end)
        with os.fdopen(write_end, "wb") as out:
            answer = call(["pack", "--from", tree], stdout=out)
        equal(answer.get("kind"), "system", str(answer))


@story
def ten_thousand_files():
    """10 000 small files in 100 directories, there and back"""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None # some disks need half a minute for so many
    with Box(memory) as box:
        for d in range(100):
            os.makedirs(box.path("tree", f"d{d}"))
            for i in range(100):
                with open(box.path("tree", f"d{d}", f"f{i}"), "w") as f:
                    f.write(f"{d} {i}\n")
        data = packed_bytes(box, box.path("tree"), "zip")
        answer = box.unpack(data)
        equal(answer.get("entries"), 10100, str(answer))
        equal(snapshot(box.into), snapshot(box.path("tree")))


# --- other programs --------------------------------------------------------------------


def tool(name):
    path = shutil.which(name)
    if not path:
        skip(f"{name} is not installed")
    return path


def same_tree(got, want, what, times=True):
    for key in sorted(set(got) | set(want)):
        g, w = got.get(key), want.get(key)
        if g and w and not times:
            g, w = g[:-1], w[:-1]
        if g and w and g[0] in ("link", stat.S_IFDIR):
            g, w = g[:-1], w[:-1] # few programs keep their times
        equal(g, w, f"{what}: {key}")


class Stream(io.RawIOBase): # cannot seek: sizes follow the data
    def __init__(self):
        self.data = b""

    def getvalue(self):
        return self.data

    def writable(self):
        return True

    def write(self, b):
        self.data += bytes(b)
        return len(b)


@story
def unzip_reads_our_zips():
    """Info-ZIP's unzip sees what we packed"""
    with Box() as box:
        tree = make_tree(box.path("tree"))
        os.unlink(os.path.join(tree, "nfd-e\u0301")) # unzip's terminal-safe names touch combining marks
        for options in ((), IN_BLOCKS):
            packed_bytes(box, tree, "zip", *options)
            done = subprocess.run([tool("unzip"), "-q", box.path("packed.zip"), "-d", box.into],
                                  env=dict(os.environ, LC_ALL="C.UTF-8"), capture_output=True)
            equal(done.returncode, 0, str(done))
            same_tree(snapshot(box.into), snapshot(tree), f"unzip {options}")
            box.clear()


@story
def python_reads_our_archives():
    """zipfile and tarfile see what we packed"""
    with Box() as box:
        tree = make_tree(box.path("tree"))
        want = snapshot(tree)
        for options in ((), IN_BLOCKS):
            with zipfile.ZipFile(io.BytesIO(packed_bytes(box, tree, "zip", *options))) as z:
                equal(z.testzip(), None)
                equal(sorted(n.rstrip("/") for n in z.namelist()), sorted(want), "names")
                equal(z.getinfo("bin/run").external_attr >> 16, 0o100755, "mode")
                equal(z.read("bin/text-link"), b"../text")
                equal(z.getinfo("text").compress_type, zipfile.ZIP_DEFLATED)
                equal(z.getinfo("big").compress_type, zipfile.ZIP_STORED, "what does not shrink")
                deferred = sorted(i.filename for i in z.infolist() if i.flag_bits & 8)
                equal("text" in deferred, bool(options), f"data descriptors: {deferred}")
        for format in ("tar", "tar.gz"):
            with tarfile.open(fileobj=io.BytesIO(packed_bytes(box, tree, format))) as t:
                in_order = sorted(want, key=lambda name: [part.encode() for part in name.split("/")])
                equal(t.getnames(), in_order, "names, each directory's in the order of their bytes")
                equal(t.extractfile("größe/日本/名前 x").read(), b"unicode")
                equal(t.getmember("bin-link").linkname, "bin")


@story
def tar_and_bsdtar_read_our_archives():
    """GNU tar and, where it is there, bsdtar see what we packed"""
    with Box() as box:
        tree = make_tree(box.path("tree"))
        for name in ("nfd-e\u0301", "dev\\x2d1.swap"): # bsdtar composes names, and takes \ for / in a zip
            os.unlink(os.path.join(tree, name))
        packed_bytes(box, tree, "tar.gz")
        packed_bytes(box, tree, "zip")
        packed_bytes(box, tree, "zip", *IN_BLOCKS, name="blocks")
        readers = [["tar", "-xpzf", box.path("packed.tar.gz")]]
        if shutil.which("bsdtar"):
            readers += [["bsdtar", "-xpf", box.path(name)] for name in ("packed.tar.gz", "packed.zip", "blocks.zip")]
        for argv in readers:
            subprocess.run(argv + ["-C", box.into], check=True, env=dict(os.environ, LC_ALL="C.UTF-8"))
            same_tree(snapshot(box.into), snapshot(tree), " ".join(argv[:2]))
            box.clear()


@story
def we_read_zips_of_zip():
    """Info-ZIP's zip -y, in a UTF-8 and in the C locale"""
    with Box() as box:
        tree = make_tree(box.path("tree"))
        for locale in ("C.UTF-8", "C"):
            target = box.path(f"{locale}.zip")
            subprocess.run([tool("zip"), "-q", "-y", "-r", target, "."], cwd=tree, check=True,
                           env=dict(os.environ, LC_ALL=locale))
            with open(target, "rb") as f:
                answer = box.unpack(f.read())
            check(answer["ok"], answer)
            same_tree(snapshot(box.into), snapshot(tree), f"zip in {locale}")
            box.clear()


@story
def we_read_zips_of_bsdtar():
    """bsdtar writes data descriptors behind every member"""
    with Box() as box:
        tree = make_tree(box.path("tree"))
        for option in ("zip:compression=deflate", "zip:compression=store"):
            subprocess.run([tool("bsdtar"), "-c", "--format", "zip", "--options", option, "-f", box.path("bsd.zip"), "."],
                           cwd=tree, check=True, env=dict(os.environ, LC_ALL="C.UTF-8"))
            with open(box.path("bsd.zip"), "rb") as f:
                data = f.read()
            for options in ((), IN_BLOCKS):
                answer = box.unpack(data, *options)
                check(answer["ok"], answer)
                same_tree(snapshot(box.into), snapshot(tree), f"bsdtar {option} {options}")
                box.clear()


@story
def zip64_of_python_is_read():
    """64-bit sizes where 32 bits would do, in headers, in descriptors"""
    with Box() as box:
        for out in (io.BytesIO(), Stream()):
            with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
                with z.open("a", "w", force_zip64=True) as member:
                    member.write(b"sixty-four " * 100)
            for options in ((), IN_BLOCKS):
                answer = box.unpack(out.getvalue(), *options)
                check(answer["ok"], answer)
                equal(snapshot(box.into)["a"][2], b"sixty-four " * 100)
                box.clear()


@story
def long_members_take_little_memory():
    """files of 40 MB are packed and unpacked in 24 MB, whether they shrink or not"""
    if sanitized(ARCHIVE):
        skip("a sanitizer's own memory")
    with Box() as box:
        os.mkdir(box.path("tree"))
        rng = random.Random(3)
        noise = rng.randbytes(1 << 20)
        with open(box.path("tree", "noise"), "wb") as f:
            for _ in range(40):
                f.write(noise)
        with open(box.path("tree", "text"), "wb") as f:
            for i in range(50):
                f.write(b"%d text " % i * 100000)
        limit = 'ulimit -v 24000; exec "$0" "$@"'
        with open(box.path("long.zip"), "wb") as out:
            done = subprocess.run(["/bin/sh", "-c", limit, ARCHIVE, "pack", "--from", box.path("tree")], stdout=out,
                                  stderr=subprocess.PIPE)
        check(json.loads(done.stderr)["ok"], done.stderr)
        check(os.path.getsize(box.path("long.zip")) < 45 << 20, "the text shrinks")
        with open(box.path("long.zip"), "rb") as source:
            done = subprocess.run(["/bin/sh", "-c", limit, ARCHIVE, "unpack", "--into", box.into], stdin=source,
                                  stderr=subprocess.PIPE)
        check(json.loads(done.stderr)["ok"], done.stderr)
        for name in ("noise", "text"):
            equal(subprocess.run(["cmp", box.path("tree", name), os.path.join(box.into, name)]).returncode, 0, name)


@story
def without_its_other_half_zip_goes_on():
    """millhand-archive alone does zip, and names what it lacks for tar; millhand-archive-tar does no zip"""
    with Box() as box:
        alone = box.path("millhand-archive")
        shutil.copy(ARCHIVE, alone)
        for data, ok in ((raw_zip([file("a")]), True), (tar(("a", FILE, b"x")), False), (b"neither", False)):
            with open(box.path("archive"), "wb") as f:
                f.write(data)
            with open(box.path("archive"), "rb") as f:
                answer = call(["unpack", "--into", box.into], stdin=f, program=alone)
            equal(answer["ok"], ok, str(answer))
            if not ok:
                equal(answer["kind"], "system")
                check("millhand-archive-tar" in answer["message"], answer)
            box.clear()
        os.symlink(ARCHIVE, box.path("link"))
        with open(box.path("archive"), "wb") as f:
            f.write(tar(("a", FILE, b"x")))
        with open(box.path("archive"), "rb") as f:
            check(call(["unpack", "--into", box.into], stdin=f, program=box.path("link"))["ok"], "by a link")
        box.clear()
        with open(box.path("archive"), "wb") as f:
            f.write(raw_zip([file("a")]))
        with open(box.path("archive"), "rb") as f:
            answer = call(["unpack", "--into", box.into], stdin=f, program=ARCHIVE_TAR)
        check(not answer["ok"] and "millhand-archive" in answer["message"], answer)


@story
def we_read_archives_of_python_and_tar():
    """zipfile (also streamed), tarfile's formats, GNU tar czf"""
    with Box() as box:
        tree = make_tree(box.path("tree"))
        want = snapshot(tree)

        for out in (io.BytesIO(), Stream()):
            with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
                for key, value in want.items():
                    if value[0] == "file":
                        z.writestr(key, value[2])
            data = out.getvalue()
            answer = box.unpack(data)
            check(answer["ok"], answer)
            got = snapshot(box.into)
            equal({k: v[2] for k, v in got.items() if v[0] == "file"},
                  {k: v[2] for k, v in want.items() if v[0] == "file"}, "zipfile")
            equal(got["bin/run"][1], 0o600, "writestr's mode")
            box.clear()
        for format in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
            for mode in ("w", "w:gz"):
                out = io.BytesIO()
                with tarfile.open(fileobj=out, mode=mode, format=format) as t:
                    t.add(tree, ".")
                answer = box.unpack(out.getvalue())
                check(answer["ok"], answer)
                same_tree(snapshot(box.into), want, f"tarfile {format} {mode}")
                box.clear()
        done = subprocess.run(["tar", "-czf", "-", "."], cwd=tree, check=True, capture_output=True)
        check(box.unpack(done.stdout)["ok"], "tar czf")
        same_tree(snapshot(box.into), want, "tar czf")


@story
def we_read_archives_of_git():
    """git archive as zip and tar.gz, with executables and links"""
    with Box() as box:
        git = [tool("git"), "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
        tree = make_tree(box.path("tree"))
        env = dict(os.environ, HOME=box.dir, GIT_CONFIG_NOSYSTEM="1")
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
            subprocess.run(git + words, cwd=tree, check=True, env=env)
        for format in ("zip", "tar.gz"):
            done = subprocess.run(git + ["archive", f"--format={format}", "HEAD"], cwd=tree, check=True,
                                  capture_output=True, env=env)
            answer = box.unpack(done.stdout)
            check(answer["ok"], answer)
            got = snapshot(box.into)
            check(got["bin/run"][1] & 0o111, "executable")
            equal(got["bin/text-link"][:2], ("link", "../text"))
            equal(got["größe/日本/名前 x"][2], b"unicode")
            box.clear()


@story
def windows_made_zips_are_read():
    """no modes, a directory by its attribute, MS-DOS times"""
    with Box() as box:
        answer = box.unpack(raw_zip([file("d/", b"", system=0, mode=0), file("d/a.txt", b"x", system=0, mode=0),
                                     file("b.txt", b"y", mode=0)]))
        check(answer["ok"], answer)
        got = snapshot(box.into)
        equal((got["d"][1], got["d/a.txt"][1], got["b.txt"][1]), (0o755, 0o644, 0o644), "modes")


@story
def special_bits_are_stripped():
    """setuid, setgid and sticky bits are not unpacked"""
    with Box() as box:
        answer = box.unpack(raw_zip([file("d/", b"", mode=0o41777), file("s", b"x", mode=0o106755)]))
        check(answer["ok"], answer)
        equal((snapshot(box.into)["d"][1], snapshot(box.into)["s"][1]), (0o777, 0o755))


@story
def read_only_directories_can_be_filled():
    """a directory's own mode is set last"""
    with Box() as box:
        members = [("ro", DIR, b""), ("ro/sub", DIR, b""), ("ro/sub/f", FILE, b"x")]
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as t:
            for name, kind, data in members:
                info = tarfile.TarInfo(name)
                info.type, info.size, info.mode = kind, len(data), 0o555 if kind == DIR else 0o444
                t.addfile(info, io.BytesIO(data))
        answer = box.unpack(out.getvalue())
        check(answer["ok"], answer)
        got = snapshot(box.into)
        equal((got["ro"][1], got["ro/sub"][1], got["ro/sub/f"][1]), (0o555, 0o555, 0o444))
        for folder in ("ro", "ro/sub"):
            os.chmod(os.path.join(box.into, folder), 0o755)


if __name__ == "__main__":
    run()
