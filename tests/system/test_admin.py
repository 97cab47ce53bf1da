#!/usr/bin/python3
"""The admin interface: who may use it, what it says to bad input, and the virtual clock."""
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh import pipes  # noqa: E402
from mh.admin import Admin, Refused  # noqa: E402
from mh.programs import EMULATOR, Place  # noqa: E402
from mh.tap import check, equal, raises, run, skip, story  # noqa: E402

DAY = 24 * 3600 * 1000
START = "2026-01-01T00:00:00Z"
START_MS = 1767225600000


def refused(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except Refused as e:
        return e
    raise AssertionError("it was not refused")


@story
def it_is_off_unless_it_is_asked_for():
    with Place() as place:
        e = refused(Admin(place.emulator()).get, "clock")
        equal((e.status, e.code), (404, "NotFound"))
        check("--admin" in e.message, e.message)


@story
def bad_input_gets_one_clear_error_and_changes_nothing():
    bad = [
        ("GET", "nothing", None, 404, "NotFound", "/_millhand/admin/nothing"),
        ("DELETE", "clock", None, 405, "MethodNotAllowed", "DELETE"),
        ("PUT", "clock", b"{", 400, "SerializationException", "body"),
        ("PUT", "clock", b"[]", 400, "SerializationException", "object"),
        ("PUT", "clock", {"mode": "fast"}, 400, "ValidationException", "mode"),
        ("PUT", "clock", {"mode": "real", "start": START}, 400, "ValidationException", "without"),
        ("PUT", "clock", {"mode": "virtual", "begin": START}, 400, "ValidationException", "'begin'"),
        ("PUT", "clock", {"mode": "virtual", "start": "tomorrow"}, 400, "ValidationException", "start: 'tomorrow'"),
        ("PUT", "clock", {"mode": "virtual", "start": START, "start_ms": 0}, 400, "ValidationException", "start_ms"),
        ("PUT", "clock", {"mode": "virtual", "start_ms": 2**60}, 400, "ValidationException", "start_ms"),
        ("PUT", "alarms", {"name": "a", "state": "RED"}, 400, "ValidationException", "ALARM"),
        ("PUT", "alarms", {"state": "OK"}, 400, "ValidationException", "name"),
        ("PUT", "alarms", {"name": "a", "state": "OK", "why": "x"}, 400, "ValidationException", "'why'"),
        ("POST", "clock/advance", {"by_ms": 1}, 409, "Conflict", "real"),
        ("POST", "clock/advance", {"by_ms": -1}, 400, "ValidationException", "by_ms"),
        ("POST", "clock/advance", {"by_ms": 1.5}, 400, "ValidationException", "by_ms"),
        ("POST", "clock/advance", {}, 400, "ValidationException", "by_ms"),
        ("POST", "clock/advance", {"by_ms": 1, "to": START}, 400, "ValidationException", "by_ms"),
    ]
    with Place() as place:
        admin = Admin(place.emulator("--admin"))
        for method, path, body, status, code, part in bad:
            e = refused(admin.call, method, path, body)
            equal((e.status, e.code), (status, code), f"{method} {path} {body}")
            check(part in e.message, f"{part!r} in {e.message!r}")
        equal(admin.get("clock")["mode"], "real")


@story
def a_page_of_a_web_site_is_refused():
    with Place() as place:
        e = refused(Admin(place.emulator("--admin")).call, "PUT", "clock", {"mode": "virtual"},
                    {"Origin": "http://evil.example"})
        equal(e.status, 403)


# Runs in a network namespace of its own, where 10.9.8.7 is this host: an address that is not the loopback's.
ELSEWHERE = """
import json, subprocess, sys, urllib.error, urllib.request
emulator, directory, remote = sys.argv[1:4]
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
subprocess.run(["ip", "address", "add", "10.9.8.7/32", "dev", "lo"], check=True)
p = subprocess.Popen([emulator, "--listen", "10.9.8.7:4599", "--data-dir", directory, "--admin", "--admin-remote=" + remote])
try:
    for _ in range(100):
        try:
            urllib.request.urlopen("http://10.9.8.7:4599/_millhand/health", timeout=5)
            break
        except OSError:
            try:
                p.wait(0.1)
            except subprocess.TimeoutExpired:
                pass
    try:
        print(urllib.request.urlopen("http://10.9.8.7:4599/_millhand/admin/clock", timeout=5).status)
    except urllib.error.HTTPError as e:
        print(e.code, json.load(e)["__type"])
finally:
    p.terminate()
    p.wait()
"""


@story
def other_hosts_are_refused_unless_they_are_asked_for():
    with Place() as place:
        tried = subprocess.run(["unshare", "-n", "true"], capture_output=True, text=True)
        if tried.returncode != 0 or not shutil.which("ip"):
            skip("no network namespace here")
        for remote, answer in (("false", "403 AccessDenied"), ("true", "200")):
            done = place.run(["unshare", "-n", sys.executable, "-c", ELSEWHERE, EMULATOR, place.path(remote), remote])
            equal(done.stdout.strip(), answer)


@story
def requests_are_signed_where_keys_are_configured():
    with Place() as place:
        conf = place.path("emulator.conf")
        with open(conf, "w") as f:
            f.write('keys = ( { access_key_id = "test"; secret_access_key = "testsecret"; } );\n')
        os.chmod(conf, 0o600)
        e = refused(Admin(place.emulator("--admin", "--config", conf)).get, "clock")
        equal(e.code, "MissingAuthenticationTokenException")


@story
def an_approval_of_seven_days_times_out_in_milliseconds():
    with Place() as place:
        emulator = place.emulator("--admin")
        admin, cp = Admin(emulator), emulator.client("codepipeline")
        admin.virtual(START)
        pipes.create_types(cp)
        first = pipes.create(cp, stages=pipes.with_approval())
        for provider in ("Src", "Make"):
            pipes.succeed(cp, provider)
        equal(admin.get("clock")["next_timer_ms"], START_MS + 7 * DAY)
        admin.advance(ms=7 * DAY - 1)
        equal(pipes.state(cp, first), "InProgress")
        before = time.monotonic()
        told = admin.advance(ms=1)
        check(time.monotonic() - before < 5, "it takes no time")
        equal((told["timers_fired"], told["now_ms"]), (1, START_MS + 7 * DAY))
        equal(pipes.state(cp, first), "Failed")
        ended = cp.list_action_executions(pipelineName="p")["actionExecutionDetails"][0]
        equal((ended["actionName"], ended["status"]), ("Ask", "Failed"))
        equal(ended["lastUpdateTime"].timestamp() * 1000, START_MS + 7 * DAY)


@story
def each_of_several_due_timers_fires_at_its_own_time():
    with Place() as place:
        emulator = place.emulator("--admin", "--custom-timeout", "1h")
        admin, cp = Admin(emulator), emulator.client("codepipeline")
        admin.virtual(START)
        pipes.create_types(cp)
        pipes.create(cp, mode="PARALLEL")
        for _ in range(2):
            admin.advance(minutes=10)
            cp.start_pipeline_execution(name="p")
        told = admin.advance(days=2)
        equal(told["timers_fired"], 3)
        ends = [s["lastUpdateTime"].timestamp() * 1000 - START_MS
                for s in cp.list_pipeline_executions(pipelineName="p")["pipelineExecutionSummaries"]]
        equal(ends, [m * 60000 for m in (80, 70, 60)], "ends, newest first")


@story
def an_unacknowledged_job_is_offered_again_by_the_virtual_clock():
    with Place() as place:
        emulator = place.emulator("--admin")
        admin, cp = Admin(emulator), emulator.client("codepipeline")
        admin.virtual()
        pipes.create_types(cp)
        pipes.create(cp)
        poll = {"actionTypeId": pipes.type_of("Src")}
        old = cp.poll_for_jobs(**poll)["jobs"][0]
        admin.advance(ms=59999)
        equal(cp.poll_for_jobs(**poll)["jobs"], [])
        admin.advance(ms=1)
        new = cp.poll_for_jobs(**poll)["jobs"][0]
        equal(new["id"], old["id"])
        check(new["nonce"] != old["nonce"], "a new nonce")


@story
def a_jobs_credentials_expire_by_the_virtual_clock_and_signatures_by_the_real_one():
    with Place() as place:
        emulator = place.emulator("--admin")
        admin, cp = Admin(emulator), emulator.client("codepipeline")
        admin.virtual(START)
        pipes.create_types(cp)
        pipes.create(cp)
        data = pipes.take(cp, "Src")["data"]
        creds = data["artifactCredentials"]
        s3 = emulator.client("s3", creds["accessKeyId"], creds["secretAccessKey"], creds["sessionToken"])
        where = data["outputArtifacts"][0]["location"]["s3Location"]
        put = {"Bucket": where["bucketName"], "Key": where["objectKey"], "Body": b"x"}
        emulator.client("s3").create_bucket(Bucket=where["bucketName"])
        s3.put_object(**put)
        admin.advance(minutes=15)
        raises("ExpiredToken", s3.put_object, **put)


@story
def time_stands_through_a_restart_and_does_not_go_back():
    with Place() as place:
        emulator = place.emulator("--admin")
        admin, cp = Admin(emulator), emulator.client("codepipeline")
        admin.virtual(START)
        admin.virtual("2025-01-01T00:00:00Z")  # nothing has happened yet
        admin.virtual(START)
        pipes.create_types(cp)
        pipes.create(cp)
        admin.advance(hours=1)
        equal(refused(admin.virtual, START).status, 409)
        equal(refused(admin.post, "clock/advance", to=START).status, 409)
        emulator.kill()
        again = place.emulator("--admin", name="again")
        equal(Admin(again).now_ms(), START_MS + DAY // 24)
        check("clock.virtual" in again.text(), "a warning that time stands still")
        equal(Admin(again).put("clock", mode="real")["mode"], "real")


run()
