"""Archives as honest tools would not make them.

    raw_zip([file("../x"), link("l", "/etc")])          what Python's zipfile would mend
    tar(("a", tarfile.REGTYPE, b"data"), ("l", tarfile.SYMTYPE, "target"), compress=True)
"""
import gzip
import io
import struct
import tarfile
import zlib


def raw_zip(members, count=None, comment=b""):
    """members: dicts with name, data, mode and, to lie, any of system, method, flags, crc, packed, size, after
    (bytes behind the compressed ones), local_name, offset. Python's zipfile would mend much of this."""
    body, directory = b"", b""
    for m in members:
        name, data = m["name"].encode("utf-8", "surrogateescape"), m.get("data", b"")
        packed, method = data, m.get("method", 0)
        if method == 8:
            c = zlib.compressobj(9, zlib.DEFLATED, -15)
            packed = c.compress(data) + c.flush() + m.get("after", b"")
        flags, crc = m.get("flags", 0), m.get("crc", zlib.crc32(data))
        packed_size, size = m.get("packed", len(packed)), m.get("size", len(data))
        local_name = m.get("local_name", m["name"]).encode("utf-8", "surrogateescape")
        offset = m.get("offset", len(body))
        if "offset" not in m:
            body += struct.pack("<IHHHIIIIHH", 0x04034B50, 20, flags, method, 0x5A746000, crc, packed_size, size,
                                len(local_name), 0) + local_name + packed
        directory += struct.pack("<IHHHHIIIIHHHHHII", 0x02014B50, 20 | m.get("system", 3) << 8, 20, flags, method,
                                 0x5A746000, crc, packed_size, size, len(name), 0, 0, 0, 0,
                                 (m.get("mode", 0o100644) & 0xFFFF) << 16, offset) + name
    n = len(members) if count is None else count
    return body + directory + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, n, n, len(directory), len(body),
                                          len(comment)) + comment


def file(name, data=b"evil", **lies):
    return dict(name=name, data=data, **lies)


def link(name, target):
    return dict(name=name, data=target.encode(), mode=0o120777)


def tar(*members, format=tarfile.PAX_FORMAT, compress=False):
    """members: (name, type, data or target) with tarfile's type letters."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, encoding="utf-8", errors="surrogateescape") as t:
        for name, kind, extra in members:
            info = tarfile.TarInfo(name)
            info.type, info.mtime, info.mode = kind, 1000000000, 0o755
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = extra
                t.addfile(info)
            elif kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
                info.devmajor, info.devminor = 1, 3
                t.addfile(info)
            else:
                info.size = len(extra)
                t.addfile(info, io.BytesIO(extra))
    return gzip.compress(out.getvalue(), mtime=0) if compress else out.getvalue()
