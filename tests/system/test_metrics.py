#!/usr/bin/python3
"""What the agent shows about itself: /metrics, held against what the stub saw; /healthz, /readyz, /status.json."""
import json
import os
import re
import shlex
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh import exposition  # noqa: E402
from mh.programs import SRC, AGENT, Place, free_port, sanitized, wait_for  # noqa: E402
from mh.status import LISTEN, Status  # noqa: E402
from mh.tap import check, equal, run, story  # noqa: E402
from mh.worker import failed_as, finished, zip_of  # noqa: E402
from mh.worlds import EmulatorWorld, StubWorld  # noqa: E402

TYPE = "Build/Custom/Make/1"


def counted(world, status):
    """Requests of each operation as the stub saw them, and as the agent counts them."""
    seen = {}
    for name, _ in world.stub.requests:
        seen[name] = seen.get(name, 0) + 1
    return seen, status.metrics().by("millhand_api_requests_total", "op")


# ---- the format ----

@story
def the_parser_of_these_stories_refuses_what_is_not_the_format():
    good = '# HELP a_total x\n# TYPE a_total counter\na_total{b="c"} 1\n'
    exposition.parsed(good)
    for bad in (good[:-1], good.replace("# TYPE", "# TIPE"), good + 'a_total{b="c"} 2\n', good.replace('"c"', '"c'),
                good.replace("a_total", "a"), good.replace(" 1\n", " -1\n"), good.replace(" 1\n", " one\n"), good + "b 1\n",
                good + 'a_total{c="d"} 1\n', good.replace("\n", "\r\n"), good + good, good.replace("# HELP a_total x\n", ""),
                '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n',
                '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_sum 1\nh_count 1\n'):
        try:
            exposition.parsed(bad)
        except exposition.Broken:
            continue
        raise AssertionError(f"taken: {bad}")


@story
def every_metric_is_in_the_format_and_in_the_page_about_them():
    with open(os.path.join(SRC, "agent", "metrics.c")) as f:
        table = set(re.findall(r'\[METRIC_\w+\] = \{ "(\w+)"', f.read()))
    with open(os.path.join(SRC, "docs", "metrics.md")) as f:
        rows = dict(re.findall(r"^\| `millhand_(\w+)` \| (counter|gauge|histogram) \|", f.read(), re.M))
    equal(set(rows), table, "the page's rows")
    with StubWorld(**LISTEN) as w:
        job = w.job(inputs={"Src": zip_of({"a": b"x"})})
        status = Status(w.start(w.action("true")))
        finished(job, "success")
        shown = status.metrics().families
        for name, family in shown.items():
            equal(family.type, rows.get(name[len("millhand_"):]), f"type of {name}")
        check(len(shown) > 40, f"only {sorted(shown)}")


# ---- true numbers ----

@story
def what_is_counted_is_what_the_service_saw():
    with StubWorld(**LISTEN) as w:
        source, built = zip_of({"a": b"x" * 5000}), zip_of({"b": os.urandom(3000)})
        good = [w.job(inputs={"Src": source}, outputs=["Out"]) for _ in range(3)]
        with open(w.place.path("built.bin"), "wb") as f:
            f.write(built)
        w.fault("GetJobDetails", "throttle")
        w.fault("PutJobSuccessResult", "error500", 2)
        w.fault("S3 PUT", "html503")
        agent = w.start(w.action(f"cp {w.place.path('built.bin')} out.bin", config={"output": "out.bin"}),
                        w.action("exit 3", "Bad"))
        status = Status(agent)
        bad = w.job("Bad")
        for job in good:
            finished(job, "success")
        failed_as(bad, "JobFailed")
        m = wait_for(lambda: (m := status.metrics()).value("millhand_jobs_ended_total") == 4 and m, what="four jobs")
        equal(m.value("millhand_jobs_ended_total", outcome="success", reason="delivered"), 3)
        equal(m.value("millhand_jobs_ended_total", failure_type="JobFailed", reason="delivered"), 1)
        equal(m.by("millhand_jobs_started_total", "action_type"), {TYPE: 3, "Build/Custom/Bad/1": 1})
        equal(m.by("millhand_ack_total", "outcome"), {"ok": 4})
        equal(m.value("millhand_artifact_bytes_total", dir="in"), 3 * len(source))
        equal(m.value("millhand_artifact_bytes_total", dir="out"), sum(len(w.output(j, "Out")) for j in good))
        equal(m.value("millhand_job_duration_seconds_count"), 4)
        equal(m.value("millhand_job_stage_duration_seconds_count", stage="run"), 4)
        equal(m.value("millhand_job_stage_duration_seconds_count", stage="store"), 3)
        equal(m.value("millhand_api_requests_total", op="PutJobSuccessResult", code="InternalFailure"), 2)
        equal(m.value("millhand_api_requests_total", op="S3 PUT", code="http_5xx"), 1)
        equal(m.value("millhand_api_retries_total", stage="store"), 1)
        equal(m.value("millhand_api_retries_total", stage="report"), 2)
        seen, ours = counted(w, status)
        for op in ("AcknowledgeJob", "PutJobSuccessResult", "PutJobFailureResult", "S3 GET", "S3 PUT"):
            equal(ours.get(op, 0), seen.get(op, 0), op)
        before = len(w.seen("PollForJobs"))
        m = status.metrics()
        polls, after = m.value("millhand_polls_total"), len(w.seen("PollForJobs"))
        check(before - 2 <= polls <= after, f"{before} polls, then {polls}, then {after}")  # two may be under way
        equal(m.value("millhand_polls_total"), m.value("millhand_poll_duration_seconds_count"))
        equal(m.value("millhand_polls_total", outcome="jobs", action_type="Build/Custom/Bad/1"), 1)
        wait_for(lambda: status.metrics().value("millhand_open_fds") - 1 == len(os.listdir(f"/proc/{agent.process.pid}/fd")),
                 what="the same descriptors, but for the asking connection")


@story
def running_jobs_slots_and_pending_results_are_seen_while_they_are():
    with StubWorld(max_jobs=5, **LISTEN) as w:
        jobs = [w.job() for _ in range(2)]
        status = Status(w.start(w.action(f"{w.marks.command()}; read line < {w.marks.path}.go", max_jobs=3)))
        w.marks.wait(2)
        m = status.metrics()
        equal(m.value("millhand_jobs_running"), 2)
        equal(m.by("millhand_jobs", "state"), {"started": 2})
        equal((m.value("millhand_slots"), m.value("millhand_slots_used")), (3, 2))
        equal((m.value("millhand_host_slots"), m.value("millhand_host_slots_used")), (5, 2))
        w.fault("PutJobSuccessResult", "drop_before", 1000)
        w.marks.go()
        w.marks.go()
        wait_for(lambda: status.metrics().value("millhand_results_pending") == 2, what="two results to wait")
        wait_for(lambda: status.metrics().value("millhand_result_oldest_seconds") > 0.2, what="them to age")
        check(status.metrics().value("millhand_api_requests_total", op="PutJobSuccessResult", code="no_answer") >= 1, "cut")
        w.stub.clear_faults()
        for job in jobs:
            finished(job, "success")
        wait_for(lambda: status.metrics().value("millhand_results_pending") == 0, what="them to be delivered")
        equal(status.metrics().value("millhand_result_oldest_seconds"), 0)


@story
def lost_races_and_jobs_in_doubt_are_counted_by_what_settled_them():
    for policy, settled in (("fresh", "kept"), ("adopt", "kept"), ("drop", "dropped")):
        with StubWorld(in_doubt=policy, **LISTEN) as w:
            w.strict()
            w.fault("AcknowledgeJob", "drop_after")
            w.job()
            status = Status(w.start(w.action("true")))
            m = wait_for(lambda: (m := status.metrics()).value("millhand_doubts_settled_total") and m, what="a settled doubt")
            equal(m.by("millhand_doubts_settled_total", "result"), {settled: 1}, policy)
            equal(m.by("millhand_doubts_settled_total", "policy"), {policy: 1})
            equal(m.by("millhand_ack_total", "outcome"), {"ambiguous": 1, "ok" if settled == "kept" else "dropped": 1})
    with StubWorld(**LISTEN) as w:
        taken, idempotent = w.job(), w.job("Idempotent")
        w.another_worker_takes(taken)
        status = Status(w.start(w.action("true")))
        wait_for(lambda: status.metrics().by("millhand_ack_total", "outcome") == {"lost": 1}, what="a lost race")
        equal(status.metrics().value("millhand_jobs_ended_total"), 0, "jobs that were ours")
        del idempotent


@story
def throttles_refusals_and_unreadable_answers_are_told_apart():
    with StubWorld(**LISTEN) as w:
        kinds = {"throttle": "throttled", "denied": "auth", "error500": "failed", "garbage": "failed",
                 "code:ValidationException": "refused", "code:SomethingOfTheirOwn": "failed"}
        for kind in kinds:
            w.fault("PollForJobs", kind)
        status = Status(w.start(w.action("true")))
        wait_for(lambda: status.metrics().value("millhand_polls_total", outcome="empty"), what="a poll that goes well")
        m = status.metrics()
        for outcome in set(kinds.values()):
            equal(m.value("millhand_polls_total", outcome=outcome), list(kinds.values()).count(outcome), outcome)
        equal(m.value("millhand_throttled_total", op="PollForJobs"), 1)
        equal(m.value("millhand_api_retries_total", stage="poll"), len(kinds))
        codes = m.by("millhand_api_requests_total", "code", op="PollForJobs")
        equal(codes.get("http_4xx"), 1, f"a code nobody knows: {codes}")
        check("SomethingOfTheirOwn" not in status.get("/metrics")[2], "the endpoint's own words")


@story
def credentials_are_counted_as_they_come_and_their_end_is_told():
    with StubWorld(**LISTEN) as w:
        status = Status(w.start(w.action("true")))
        m = status.metrics()
        equal(m.by("millhand_credentials_refreshes_total", "outcome"), {"ok": 1}, "those of the configuration")
        equal(m.samples("millhand_credentials_expiry_seconds"), [], "they have no end")
        w.agent.stop()
        with open(w.conf) as f:
            kept = [line for line in f if not line.startswith("credentials")]
        with open(w.conf, "w") as f:
            f.writelines(kept)
        keys = {"Version": 1, "AccessKeyId": "AKIAPROC", "SecretAccessKey": "testsecret",
                "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1000))}
        profile = w.place.path("home", ".aws", "config")
        os.makedirs(os.path.dirname(profile))
        with open(profile, "w") as f:
            f.write(f"[default]\ncredential_process = sh -c {shlex.quote('echo ' + shlex.quote(json.dumps(keys)))}\n")
        w.agent = w.place.agent(w.conf, name="again")
        status = Status(w.agent)
        m = wait_for(lambda: (m := status.metrics()).value("millhand_credentials_expiry_seconds") and m, what="a set with an end")
        check(900 < m.value("millhand_credentials_expiry_seconds") <= 1000, f"{m.value('millhand_credentials_expiry_seconds')}")
        equal(m.by("millhand_credentials_refreshes_total", "outcome"), {"ok": 1})
        with open(profile, "w") as f:
            f.write("[default]\ncredential_process = false\n")
        w.fault("PollForJobs", "code:ExpiredTokenException", 10000)
        wait_for(lambda: status.metrics().value("millhand_credentials_refreshes_total", outcome="failed"), 30, "a failed fetch")
        check(status.metrics().value("millhand_polls_total", outcome="auth") >= 1, "refused polls")


@story
def waits_are_counted_where_the_endpoint_lets_the_agent_wait():
    with EmulatorWorld(**LISTEN) as w:
        job = w.job()
        status = Status(w.start(w.action("true")))
        finished(job, "success")
        wait_for(lambda: status.metrics().value("millhand_api_requests_total", op="wait", code="ok"), what="a wait")
        equal(status.metrics().value("millhand_jobs_ended_total", outcome="success", reason="delivered"), 1)


# ---- health ----

@story
def ready_is_said_with_reasons_while_healthy_is_another_question():
    with StubWorld(**LISTEN) as w:
        w.fault("PollForJobs", "error500", 10000)
        status = Status(agent := w.start(w.action(f"{w.marks.command()}; read line < {w.marks.path}.go")))
        wait_for(lambda: "polling fails" in status.get("/readyz")[2], what="the reason")
        code, _, text = status.get("/readyz")
        equal(code, 503)
        check(text.startswith("not ready\n+ running\n+ ledger\n+ disk\n- polls: polling fails (unknown)"), text)
        equal(status.json("/readyz")[1]["checks"][3]["ok"], False)
        equal(status.get("/healthz")[::2], (200, "ok\n"), "a new process would not help")
        equal(status.metrics().value("millhand_ready"), 0)
        w.stub.clear_faults()
        wait_for(lambda: status.get("/readyz")[0] == 200, what="readiness")
        equal(status.json("/readyz"), (200, {"ready": True, "checks": [
            {"name": n, "ok": True} for n in ("running", "ledger", "disk", "polls")]}))
        equal(status.metrics().value("millhand_ready"), 1)
        job = w.job()
        w.marks.wait()
        equal(status.json("/status.json")[1]["jobs"]["started"], 1)
        agent.send(signal.SIGTERM)
        wait_for(lambda: status.get("/readyz")[0] == 503, what="the drain")
        check("- running: it takes no new jobs" in status.get("/readyz")[2], "the reason")
        equal(status.json("/status.json")[1]["mode"], "drain")
        equal((status.metrics().value("millhand_draining"), status.get("/healthz")[0]), (1, 200))
        w.marks.go()
        finished(job, "success")
        equal(agent.wait(), 0)


@story
def a_disk_without_room_makes_it_unready_and_says_so():
    with StubWorld(min_free="900T", **LISTEN) as w:
        status = Status(w.start(w.action("true")))
        wait_for(lambda: "- disk: too little room" in status.get("/readyz")[2], what="the reason")
        m = status.metrics()
        equal((m.value("millhand_paused"), m.value("millhand_ready"), m.value("millhand_polls_total")), (1, 0, 0))
        check(m.value("millhand_disk_free_bytes") > 0, "free bytes")


@story
def the_hosts_limits_are_shown_and_runs_of_the_health_command_counted():
    with StubWorld(health={"command": "true", "interval": "100ms"}, max_jobs=3, **LISTEN) as w:
        status = Status(w.start(w.action("true")))
        wait_for(lambda: status.metrics().value("millhand_health_command_total", outcome="ok") >= 2, what="two runs")
        m = status.metrics()
        equal((m.value("millhand_disk_reserve_bytes"), m.value("millhand_directories_collected_total")), (512 << 10, 0))
        check(m.value("millhand_host_slots_by_fds") >= 3, "as many as are asked for")
        inodes = os.statvfs(w.place.dir)
        equal(len(m.samples("millhand_disk_free_inodes")), 1 if inodes.f_files else 0)


# ---- who asks ----

@story
def hostile_requests_get_one_refusal_and_cost_nothing():
    cases = {
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n": 200,
        b"GET http://localhost:1/healthz HTTP/1.1\r\nHost: localhost:1\r\n\r\n": 200,
        b"GET /healthz HTTP/1.0\r\n\r\n": 200,
        b"GET /healthz HTTP/1.1\r\nHost: [::1]:9464\r\n\r\n": 200,
        b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n": 421,
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n": 421,
        b"GET /healthz HTTP/1.1\r\n\r\n": 400,
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n": 400,
        b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc": 405,
        b"get /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n": 405,
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc": 413,
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": 413,
        b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n": 414,
        b"GET / HTTP/1.1\r\nX: " + b"a" * 8000: 431,
        b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n": 404,
        b"GET /metrics HTTP/2.0\r\nHost: localhost\r\n\r\n": 505,
        b"GET /metrics\r\nHost: localhost\r\n\r\n": 400,
        b"GET  /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n": 400,
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n folded: x\r\n\r\n": 400,
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n": 400,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n": 400,
        b"\r\n\r\n": 400,
    }
    with StubWorld(**LISTEN) as w:
        status = Status(agent := w.start(w.action("true")))
        wait_for(lambda: status.get("/readyz")[0] == 200, what="readiness")
        fds = status.metrics().value("millhand_open_fds")
        for data, want in cases.items():
            got = status.raw(data)
            check(got.startswith(b"HTTP/1.1 %d " % want), f"{data[:80]}: {got[:120]}, want {want}")
            check(b"Connection: close" in got, f"{got}")
        head = status.raw(b"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        check(head.endswith(b"\r\n\r\n") and b"Content-Length: 0" not in head, f"HEAD: {head}")
        with status.connect() as s:
            for byte in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n":
                s.sendall(bytes([byte]))
            s.shutdown(socket.SHUT_WR)
            check(s.recv(100).startswith(b"HTTP/1.1 200"), "byte by byte")
        for data in (b"", b"GET", b"GET / HTTP/1.1\r\n"):
            with status.connect() as s:
                s.sendall(data)
        check(agent.alive(), agent.text())
        wait_for(lambda: status.metrics().value("millhand_open_fds") <= fds + 1, what="its descriptors to be closed")
        finished(w.job(), "success")


@story
def connections_that_say_nothing_are_few_and_end():
    with StubWorld(**LISTEN) as w:
        status = Status(w.start(w.action("true")))
        idle = [status.connect() for _ in range(8)]
        try:
            began = time.monotonic()
            equal(status.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"), b"", "the ninth is cut")
            for s in idle:
                equal(s.recv(10), b"", "the time is up")
            check(time.monotonic() - began > 3, "but not at once")
        finally:
            for s in idle:
                s.close()
        wait_for(lambda: status.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"), what="a place")
        finished(w.job(), "success")


@story
def it_listens_on_this_host_alone_and_goes_on_without_when_the_port_is_taken():
    with StubWorld() as w:
        w.start(w.action("true")).stop()
        check("status.listening" not in w.agent.text(), "off unless asked for")
        with open(w.conf) as f:
            good = f.read()
        for listen, words in (("0.0.0.0:9464", "this host alone"), ("9464", "no port"), ("127.0.0.1:70000", "65535"),
                              ("localhost:9464", "no IP address"), ("[::]:9464", "this host alone"), ("::1:1", "no IP")):
            with open(w.conf, "w") as f:
                f.write(f'metrics_listen = "{listen}";\n' + good)
            done = w.place.run([AGENT, "-c", w.conf], check=False)
            equal(done.returncode, 78, listen)
            check("agent.conf:1: metrics_listen" in done.stderr and words in done.stderr, done.stderr)
    with Place() as place, socket.socket() as taken, StubWorld(metrics_listen=f"127.0.0.1:{(port := free_port())}") as w:
        del place
        taken.bind(("127.0.0.1", port))
        taken.listen()
        job = w.job()
        agent = w.start(w.action("true"))
        finished(job, "success")
        check("status.not_listening" in agent.text(), agent.text())


@story
def nothing_secret_and_no_name_of_a_job_is_shown():
    with StubWorld(log_level="debug", **LISTEN) as w:
        secret, token = "s3cr3t-value-in-configuration", "continuation-canary-123"
        job = w.job(configuration={"ApiKey": secret}, token=token)
        w.fault("PollForJobs", "code:" + secret.replace("-", ""))
        w.fault("AcknowledgeJob", "code:canary4711Exception", 1)
        status = Status(w.start(w.action("true")))
        finished(job, "success")
        for path in ("/", "/metrics", "/healthz", "/readyz", "/status.json", "/nope"):
            text = status.get(path)[2]
            for word in (secret, secret.replace("-", ""), token, "canary4711", job.id, job.execution_id, "testsecret",
                         job.credentials["sessionToken"], job.credentials["secretAccessKey"], w.place.dir):
                check(word not in text, f"{word} in {path}: {text}")


@story
def while_nobody_asks_it_costs_no_thread_no_wake_up_and_little_memory():
    with StubWorld(**dict(LISTEN, poll_interval_min="700ms", poll_interval_max="700ms")) as w:
        status = Status(agent := w.start(w.action("true")))
        wait_for(lambda: status.get("/readyz")[0] == 200, what="readiness")
        for _ in range(20):
            status.metrics()
        pid = agent.process.pid
        check(len(os.listdir(f"/proc/{pid}/task")) <= 3, "threads")
        first = status.metrics().value("millhand_loop_turns_total")
        polls = len(w.seen("PollForJobs"))
        wait_for(lambda: len(w.seen("PollForJobs")) >= polls + 2, what="two more polls")
        m = status.metrics()
        # A poll is a few turns, and so is the question; between them there are none.
        turns = m.value("millhand_loop_turns_total") - first
        check(turns <= 24, f"{turns} turns in 1.4 s")
        if not sanitized() and not os.environ.get("MH_WRAP"):
            check(m.value("millhand_resident_memory_bytes") < 12 << 20, f"{m.value('millhand_resident_memory_bytes')} bytes")


run()
