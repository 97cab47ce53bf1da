#!/usr/bin/python3
"""Every statement that the emulator has, held against its schema: none reads all of a table that grows.

The statements are taken from the program itself, where each is one string.
"""
import os
import re
import sqlite3
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import EMULATOR, Place
from mh.tap import check, run, skip, story

# These stay small, or are read whole because all of it is wanted.
SMALL = {"alarms", "s3_bucket", "action_types", "integrations", "marks", "schedules", "webhooks", "sqlite_master", "sqlite_sequence"}
# Statements that read all of a growing table, once for a declaration or a start without its key.
WANTED = {
    "SELECT 1 FROM pipeline_versions WHERE instr(declaration, '{\"sealed\":\"') > 0 LIMIT 1",
    "SELECT count(*) FROM pipelines",  # the quota, when a pipeline is created
    "DELETE FROM source_refs WHERE NOT EXISTS (SELECT 1 FROM source_watches w"
    " WHERE w.source = 'git:' || repository)",  # what no pipeline watches any more
}


def statements():
    with open(EMULATOR, "rb") as f:
        texts = f.read().split(b"\0")
    found = {t.decode() for t in texts
             if re.match(rb"(SELECT|INSERT|UPDATE|DELETE|WITH) ", t) and all(9 <= c < 127 for c in t)}
    return sorted(found)


def database():
    """A database with the schema of a new data directory."""
    with Place() as place:
        emulator = place.emulator()
        emulator.stop()
        with sqlite3.connect(os.path.join(emulator.data_dir, "emulator.db")) as old:
            schema = [row[0] for row in old.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL "
                                                    "AND name NOT LIKE 'sqlite_%'")]
    db = sqlite3.connect(":memory:")
    for sql in sorted(schema, key=lambda s: not s.startswith("CREATE TABLE")):
        db.execute(sql)
    return db


def plan(db, sql):
    count = max([int(n) for n in re.findall(r"\?(\d+)", sql)] or [sql.count("?")])
    return [row[3] for row in db.execute("EXPLAIN QUERY PLAN " + sql, [None] * count)]


def under_way(db, index):
    """Whether the index has a WHERE of its own: then it is of what is under way, which does not grow."""
    found = db.execute("SELECT sql FROM sqlite_schema WHERE type = 'index' AND name = ?", [index]).fetchone()
    return bool(found and found[0] and " WHERE " in found[0])


def complaint(db, sql):
    """What is wrong with the statement's plan, or None."""
    lines = plan(db, sql)
    sorts = any("USE TEMP B-TREE" in line for line in lines)
    for line in lines:
        scan = re.match(r"SCAN (\w+)", line)
        if not scan:
            continue
        table, index = real_name(sql, scan.group(1)), line.split(" INDEX ")[-1]
        # The first row of all, or by the order of an index, is no scan.
        first = "LIMIT" in sql and not sorts and ("WHERE" not in sql or index != line)
        if table in SMALL or under_way(db, index) or "CONSTANT ROW" in line or first:
            continue
        return f"{line}: {sql}"
    return None


def real_name(sql, alias):
    """The table behind an alias of the statement, or a subquery's number."""
    named = re.search(rf"(?:FROM|JOIN) (\w+) (?:AS )?{alias}\b", sql)
    return named.group(1) if named else alias


@story
def no_statement_reads_all_of_a_table_that_grows():
    found = statements()
    check(len(found) > 150, f"{len(found)} statements in the program")
    db = database()
    wrong = [c for c in (complaint(db, sql) for sql in found if sql not in WANTED) if c]
    check(not wrong, f"{len(wrong)} of {len(found)} statements:\n" + "\n".join(wrong))


@story
def a_scan_would_be_seen():
    db = database()
    for sql in ("SELECT id FROM executions WHERE status = ?", "DELETE FROM jobs WHERE created_ms < ?",
                "SELECT seq FROM executions ORDER BY updated_ms LIMIT 1"):
        check(complaint(db, sql), sql)
    check(not complaint(db, "SELECT id FROM executions WHERE seq = ?"), "a look-up is none")


if __name__ == "__main__":
    run()
