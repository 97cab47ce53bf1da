"""Plays back what tests/fixtures/barriers.c wrote down: what would be on the disk if the power failed there.

    trace = Trace(place)
    agent = place.agent(conf, env=trace.env)
    ...
    trace.read()
    for at, record in trace.all("send", agent.process.pid):
        with trace.disk(at, "/state") as disk:      # a directory with what is durable before that record
            ...

The strictest disk that POSIX allows: a file holds what its last sync found in it, a directory the names that
its own last sync found. Nothing else is there.
"""
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing, contextmanager

from mh.programs import BUILD, sanitized
from mh.tap import skip

LIBRARY = os.path.join(BUILD, "tests", "fixtures", ".libs", "barriers.so")


def need_library():
    if sanitized():
        skip("a sanitizer's runtime must be loaded first")
    if not os.path.exists(LIBRARY):
        raise AssertionError(f"{LIBRARY} is not built (make check builds it)")


class Record:
    def __init__(self, line):
        self.kind, pid, *rest = line.rstrip("\n").split(" ")
        self.pid, self.rest = int(pid), rest

    @property
    def data(self):
        """What a send sends, as far as it was kept."""
        return bytes.fromhex(self.rest[0]) if self.rest else b""

    @property
    def path(self):
        return self.rest[-1]

    def __repr__(self):
        return f"{self.kind} {self.pid} {self.data[:120] if self.kind == 'send' else self.rest}"


class Trace:
    def __init__(self, place, name="barriers"):
        need_library()
        self.place, self.dir, self.records = place, place.path(name), []
        os.mkdir(self.dir)
        self.env = {"LD_PRELOAD": LIBRARY, "MH_BARRIERS": self.dir}

    def read(self, drop=lambda record: False):
        """What was recorded so far; drop: syncs that are to count as left out."""
        with open(os.path.join(self.dir, "trace")) as f:
            whole = [line for line in f if line.endswith("\n")]  # the last one may still be on its way
        self.records = [r for r in map(Record, whole) if not (r.kind == "sync" and drop(r))]
        return self

    def all(self, kind, pid=None, starts=b""):
        return [(i, r) for i, r in enumerate(self.records)
                if r.kind == kind and pid in (None, r.pid) and (not starts or r.data.startswith(starts))]

    def _durable(self, at):
        """(contents of files, names of directories) by identity, from the syncs before that record."""
        files, folders, roots = {}, {}, {}
        for record in self.records[:at]:
            if record.kind != "sync":
                continue
            kind, identity, copy, path = record.rest
            copy = os.path.join(self.dir, copy)
            if kind == "file":
                files[identity] = copy
                continue
            with open(copy) as f:
                folders[identity] = dict(reversed(line.rstrip("\n").split(" ", 1)) for line in f)
            roots[path] = identity
        return files, folders, roots

    @contextmanager
    def disk(self, at, top):
        """A directory with what is durable of `top` before record number `at`; top itself is taken as given."""
        files, folders, roots = self._durable(at)
        image = tempfile.mkdtemp(prefix="disk-", dir=self.place.dir)

        def fill(identity, path):
            for name, child in folders.get(identity, {}).items():
                inside = os.path.join(path, name)
                if child in folders:
                    os.mkdir(inside)
                    fill(child, inside)
                elif child in files:
                    shutil.copy(files[child], inside)

        try:
            fill(roots.get(os.path.realpath(top)), image)
            yield image
        finally:
            shutil.rmtree(image)


def rows(image, database, sql, *values):
    """What a query answers on the image's database, [] when it is not there or holds no such table yet."""
    path = os.path.join(image, database)
    if not os.path.exists(path):
        return []
    with closing(sqlite3.connect(path)) as db:  # or its -shm goes while the image is being removed
        try:
            return db.execute(sql, values).fetchall()
        except sqlite3.OperationalError as e:
            if "no such table" in str(e):
                return []
            raise
        finally:
            db.rollback()
