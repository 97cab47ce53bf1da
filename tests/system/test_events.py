#!/usr/bin/python3
"""EventBridge's events: their fields, their order, and that none is lost on its way to file, HTTP target and stream."""
import http.client
import http.server
import json
import os
import re
import socket
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh import pipes  # noqa: E402
from mh.admin import Admin  # noqa: E402
from mh.events import (ACTION, APPROVAL, PIPELINE, STAGE, Stream, check_legal, of, once, read_file,  # noqa: E402
                       short, wait_file)
from mh.programs import Place, conf_value, wait_for  # noqa: E402
from mh.tap import check, equal, run, story  # noqa: E402

START = "2026-01-01T00:00:00Z"
ISO = r"2026-01-01T00:00:00\.000Z"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


class World:
    """An emulator whose time is virtual, with its events in a file; and the four types."""

    def __init__(self, place, *options):
        self.file = place.path("events.jsonl")
        self.options = ("--admin", "--events-file", self.file) + options
        self.place = place
        self.emulator = place.emulator(*self.options)
        self.admin, self.cp = Admin(self.emulator), self.emulator.client("codepipeline")
        self.admin.virtual(START)
        pipes.create_types(self.cp)

    def again(self, name):
        """After a kill."""
        self.emulator = self.place.emulator(*self.options, name=name)
        self.admin, self.cp = Admin(self.emulator), self.emulator.client("codepipeline")

    def told(self, last, count=1):
        """All events, once the file ends with `last`, in the form of short(), for the count-th time."""
        wait_for(lambda: short(read_file(self.file)).count(last) >= count, what=f"{last} in the file")
        events = read_file(self.file)
        check_legal(events)
        return once(events)


class Target:
    """An HTTP server that keeps what it is sent; `status` is what it answers."""

    def __init__(self, port=0):
        target = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if target.status == 200:
                    target.got.append((dict(self.headers), body))
                target.asked += 1
                self.send_response(target.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.got, self.asked, self.status = [], 0, 200
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def bodies(self):
        return [body for _, body in self.got]

    def wait(self, count):
        wait_for(lambda: len(self.got) >= count, what=f"{count} requests")
        return self.bodies()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def config(place, **groups):
    path = place.path("emulator.conf")
    with open(path, "w") as f:
        for key, value in groups.items():
            f.write(f"{key} = {conf_value(value)};\n")
    os.chmod(path, 0o600)
    return ("--config", path)


def fits(value, pattern, where):
    """A string of the pattern is a regular expression; keys must be the same."""
    if isinstance(pattern, dict):
        equal(set(value), set(pattern), f"members of {where}")
        for key, p in pattern.items():
            fits(value[key], p, f"{where}.{key}")
    elif isinstance(pattern, list):
        equal(len(value), len(pattern), f"length of {where}")
        for i, p in enumerate(pattern):
            fits(value[i], p, f"{where}[{i}]")
    elif isinstance(pattern, str):
        check(isinstance(value, str) and re.fullmatch(pattern, value), f"{where}: {value!r} is like {pattern!r}")
    else:
        equal(value, pattern, where)


def envelope(kind, detail):
    return {"version": "0", "id": UUID, "detail-type": kind, "source": r"aws\.codepipeline", "account": "000000000000",
            "time": "2026-01-01T00:00:00Z", "region": "us-east-1",
            "resources": [r"arn:aws:codepipeline:us-east-1:000000000000:p"], "detail": detail}


def common(execution, state, attempt=1):
    return {"pipeline": "p", "execution-id": execution, "start-time": ISO, "state": state, "version": 1.0,
            "pipeline-execution-attempt": attempt}


def pipeline_event(execution, state, **more):
    return envelope(PIPELINE, dict(common(execution, state), **more))


def stage_event(execution, stage, state):
    return envelope(STAGE, dict(common(execution, state), stage=stage))


def artifacts(*names):
    return [{"name": n, "s3location": {"bucket": "artifacts", "key": f"p/{n}/[A-Za-z0-9]{{7}}"}} for n in names]


def action_event(execution, stage, action, provider, state, inputs=(), outputs=(), **more):
    t = pipes.type_of(provider)
    return envelope(ACTION, dict(common(execution, state), stage=stage, action=action, region="us-east-1", type=t,
                                 **{"action-execution-id": UUID, "input-artifacts": artifacts(*inputs),
                                    "output-artifacts": artifacts(*outputs)}, **more))


@story
def a_whole_pipeline_is_told_field_by_field():
    with Place() as place:
        w = World(place)
        x = pipes.create(w.cp)
        for provider in ("Src", "Make", "Ship"):
            pipes.succeed(w.cp, provider, executionDetails={"externalExecutionId": f"{provider}-1", "summary": "well"})

        def result(provider):
            return {"execution-result": {"external-execution-id": f"{provider}-1", "external-execution-summary": "well",
                                         "external-execution-url": f"https://ci.example/{provider}-1"}}

        want = [pipeline_event(x, "STARTED", **{"execution-trigger": {
            "trigger-type": "CreatePipeline", "trigger-detail": r"arn:aws:iam::000000000000:user/test"}})]
        for stage, action, provider, inputs, outputs in (("Source", "S", "Src", (), ("Code",)),
                                                         ("Build", "B", "Make", ("Code",), ("Program",)),
                                                         ("Deploy", "D", "Ship", ("Program",), ())):
            want += [stage_event(x, stage, "STARTED"),
                     action_event(x, stage, action, provider, "STARTED", inputs, outputs),
                     action_event(x, stage, action, provider, "SUCCEEDED", inputs, outputs, **result(provider)),
                     stage_event(x, stage, "SUCCEEDED")]
        want.append(pipeline_event(x, "SUCCEEDED"))
        got = w.told("Pipeline SUCCEEDED")
        fits(got, want, "events")
        with open(w.file) as f:
            check('"version":1.0' in f.readline(), "numbers are shown as EventBridge shows them")


@story
def a_failure_and_its_retry():
    with Place() as place:
        w = World(place)
        x = pipes.create(w.cp)
        pipes.succeed(w.cp, "Src")
        pipes.fail(w.cp, "Make")
        w.admin.advance(minutes=5)
        w.cp.retry_stage_execution(pipelineName="p", stageName="Build", pipelineExecutionId=x, retryMode="FAILED_ACTIONS")
        for provider in ("Make", "Ship"):
            pipes.succeed(w.cp, provider)
        got = w.told("Pipeline SUCCEEDED")
        equal(short(got)[5:], [
            "Stage Build STARTED", "Action Build/B STARTED", "Action Build/B FAILED", "Stage Build FAILED", "Pipeline FAILED",
            "Pipeline RESUMED", "Stage Build RESUMED", "Action Build/B STARTED", "Action Build/B SUCCEEDED",
            "Stage Build SUCCEEDED", "Stage Deploy STARTED", "Action Deploy/D STARTED", "Action Deploy/D SUCCEEDED",
            "Stage Deploy SUCCEEDED", "Pipeline SUCCEEDED"])
        equal(got[7]["detail"]["execution-result"], {"error-code": "JobFailed"})
        resumed = got[11]
        equal(resumed["detail"]["stage-last-retry-attempt-time"], "2026-01-01T00:05:00.000Z")
        equal(resumed["time"], "2026-01-01T00:05:00Z", "virtual time")
        equal(resumed["detail"]["pipeline-execution-attempt"], 2)
        equal([e["id"] for e in got], [e["id"] for e in once(got)])


@story
def a_stop_that_waits_and_a_stop_that_abandons():
    with Place() as place:
        w = World(place)
        x = pipes.create(w.cp, mode="PARALLEL")
        job = pipes.take(w.cp, "Src")
        w.cp.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=x, reason="for a fix")
        w.cp.put_job_success_result(jobId=job["id"])
        y = w.cp.start_pipeline_execution(name="p")["pipelineExecutionId"]
        w.cp.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=y)
        w.cp.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=y, abandon=True)
        got = w.told("Pipeline STOPPED", 2)
        equal(short(of(got, x)), ["Pipeline STARTED", "Stage Source STARTED", "Action Source/S STARTED", "Pipeline STOPPING",
                                  "Stage Source STOPPING", "Action Source/S SUCCEEDED", "Stage Source STOPPED",
                                  "Pipeline STOPPED"])
        equal(of(got, x)[3]["detail"]["stop-execution-comments"], "for a fix")
        equal(short(of(got, y))[3:], ["Pipeline STOPPING", "Stage Source STOPPING", "Action Source/S ABANDONED",
                                      "Stage Source STOPPED", "Pipeline STOPPED"])


@story
def superseded_and_cancelled_executions():
    with Place() as place:
        w = World(place)
        x = pipes.create(w.cp)
        pipes.succeed(w.cp, "Src")
        ids = [w.cp.start_pipeline_execution(name="p")["pipelineExecutionId"] for _ in range(2)]
        for _ in ids:
            pipes.succeed(w.cp, "Src")
        w.cp.update_pipeline(pipeline=w.cp.get_pipeline(name="p")["pipeline"])
        pipes.succeed(w.cp, "Make")
        got = w.told("Pipeline CANCELED", 2)
        equal(short(of(got, ids[0]))[-1], "Pipeline SUPERSEDED")
        equal(short(of(got, ids[1]))[-1], "Pipeline CANCELED")
        equal(short(of(got, x))[-2:], ["Stage Build CANCELED", "Pipeline CANCELED"])


@story
def an_approval_asks_for_an_answer_and_a_rejection_fails():
    topic = "arn:aws:sns:us-east-1:000000000000:gate"
    with Place() as place:
        mine, others, all_of_them, events = Target(), Target(), Target(), Target()
        w = World(place, *config(place, event_targets=({"url": events.url, "authorization": "Bearer of-events"},),
                                 approval_targets=({"topic": topic, "url": mine.url},
                                                   {"topic": topic + "2", "url": others.url},
                                                   {"topic": "*", "url": all_of_them.url})))
        pipes.create(w.cp, stages=pipes.with_approval(NotificationArn=topic, CustomData="Xem lại bản dựng",
                                                      ExternalEntityLink="http://example.com"))
        for provider in ("Src", "Make"):
            pipes.succeed(w.cp, provider)
        token = pipes.token(w.cp)
        pipes.answer(w.cp, "Rejected")
        console = "https://console.aws.amazon.com/codepipeline/home?region=us-east-1#/view/p"
        message = {"region": "us-east-1", "consoleLink": console, "approval": {
            "pipelineName": "p", "stageName": "Gate", "actionName": "Ask", "token": token, "expires": "2026-01-08T00:00Z",
            "externalEntityLink": "http://example.com", "approvalReviewLink": f"{console}/Gate/Ask/approve/{token}",
            "customData": "Xem lại bản dựng"}}
        equal(mine.wait(1), [message])
        equal(all_of_them.wait(1), [message])
        equal(others.got, [])
        headers = mine.got[0][0]
        equal((headers["x-amz-sns-message-type"], headers["x-amz-sns-topic-arn"]), ("Notification", topic))
        got = w.told("Pipeline FAILED")
        told = [e for e in got if e["detail-type"] == APPROVAL]
        equal(told[0]["detail"], {"notification-arn": topic, "message": message})
        changes = [e for e in got if e["detail-type"] != APPROVAL]
        equal(short(changes)[-3:], ["Action Gate/Ask FAILED", "Stage Gate FAILED", "Pipeline FAILED"])
        equal(changes[-3]["detail"]["execution-result"]["error-code"], "Rejected")
        equal(events.wait(len(changes)), changes, "an event target gets events alone")
        equal({h["Authorization"] for h, _ in events.got}, {"Bearer of-events"})
        check("of-events" not in w.emulator.text(), "no secret in the log")
        check(token not in json.dumps(changes), "no token in the events")


@story
def a_target_that_is_away_gets_everything_when_it_is_back():
    with Place() as place:
        target = Target()
        w = World(place, *config(place, event_targets=({"url": target.url},)))
        pipes.create(w.cp)
        target.wait(3)
        target.close()
        pipes.succeed(w.cp, "Src")
        wait_for(lambda: "events.not_delivered" in w.emulator.text(), what="a warning")
        w.emulator.kill()
        w.again("second")
        pipes.succeed(w.cp, "Make")
        back = Target(target.port)
        back.status = 503
        wait_for(lambda: back.asked, what="an attempt")
        back.status = 200
        pipes.succeed(w.cp, "Ship")
        want = [e["id"] for e in w.told("Pipeline SUCCEEDED")]
        wait_for(lambda: set(want) <= {e["id"] for e in target.bodies() + back.bodies()}, what="all events")
        got = once(target.bodies() + back.bodies())
        equal([e["id"] for e in got], want, "in their order")
        check("events.delivered_again" in w.emulator.text(), "it is told")


@story
def an_event_that_a_target_refuses_does_not_hold_up_the_others():
    with Place() as place:
        target = Target()
        target.status = 400
        w = World(place, *config(place, event_targets=({"url": target.url},)))
        pipes.create(w.cp)
        wait_for(lambda: target.asked >= 3, what="three events")
        target.status = 200
        pipes.succeed(w.cp, "Src")
        target.wait(4)
        equal(short(target.bodies())[0], "Action Source/S SUCCEEDED")
        check("events.refused" in w.emulator.text(), "it is told")


@story
def no_event_is_lost_by_kills_between_commit_and_delivery():
    with Place() as place:
        w = World(place)
        want = 0
        for i in range(6):
            if i == 0:
                pipes.create(w.cp, mode="PARALLEL")
            else:
                w.cp.start_pipeline_execution(name="p")
            want += 3
            w.emulator.kill()  # answered is committed; delivered or not
            if i % 2:
                with open(w.file, "a") as f:
                    f.write('{"half')  # as a crash in a write leaves it
            w.again(f"life{i}")
        got = once(wait_file(w.file, want))
        equal(len(got), want)
        check_legal(got)


@story
def a_stream_goes_on_where_its_client_was():
    with Place() as place:
        w = World(place)
        first = Stream(w.emulator)
        pipes.create(w.cp)
        first.wait(3)
        first.close()
        pipes.succeed(w.cp, "Src")
        second = Stream(w.emulator, last_id=first.items[-1][0])
        second.wait(4)
        w.emulator.kill()
        w.again("second")
        third = Stream(w.emulator, last_id=second.items[-1][0])
        pipes.succeed(w.cp, "Make")
        third.wait(4)
        got = first.events() + second.events() + third.events()
        equal([e["id"] for e in got], [e["id"] for e in w.told("Action Deploy/D STARTED")])
        equal(Stream(w.emulator, after=0).wait(len(got)), got, "all that is kept")
        equal(third.gaps, 0)
        w.emulator.stop()
        wait_for(lambda: third.ended, what="the stream's end")


@story
def old_events_are_dropped_and_a_stream_that_wants_them_is_told():
    with Place() as place:
        w = World(place, "--events-keep", "10")
        pipes.create(w.cp, mode="PARALLEL")
        for _ in range(49):
            w.cp.start_pipeline_execution(name="p")
        for _ in range(50):
            pipes.succeed(w.cp, "Src")
        w.told("Action Source/S SUCCEEDED", 50)  # 350 events, 256 of them at a time looked at
        late = Stream(w.emulator, after=0)
        wait_for(lambda: late.items and late.items[-1][0] >= 350, what="what is kept")
        check(late.gaps >= 200, f"a gap is told: {late.gaps}")
        equal(late.gaps + len(late.items), 350)


@story
def a_client_that_hears_nothing_for_longer_than_the_idle_timeout_stays():
    with Place() as place:
        w = World(place, "--idle-timeout", "1s")
        quiet = Stream(w.emulator)
        wait_for(lambda: quiet.comments >= 3, what="three comments, half a second apart")
        pipes.create(w.cp)
        quiet.wait(3)
        check(not quiet.ended, "the stream is open")


@story
def a_client_that_does_not_read_is_cut_off():
    with Place() as place:
        emulator = place.emulator("--idle-timeout", "1s")
        cp = emulator.client("codepipeline")
        pipes.create_types(cp)
        pipes.create(cp, mode="PARALLEL")
        api = http.client.HTTPConnection("127.0.0.1", emulator.port, timeout=60)

        def call(operation, **body):
            api.request("POST", "/", json.dumps(body), {"X-Amz-Target": f"CodePipeline_20150709.{operation}"})
            text = api.getresponse().read()
            return json.loads(text) if text else {}

        def make_events():
            for _ in range(10):
                make_event()

        def make_event():
            job = call("PollForJobs", actionTypeId=pipes.type_of("Src"))["jobs"][0]
            call("AcknowledgeJob", jobId=job["id"], nonce=job["nonce"])
            call("PutJobFailureResult", jobId=job["id"], failureDetails={
                "type": "JobFailed", "message": "x", "externalExecutionId": "%" * 1500})
            call("StartPipelineExecution", name="p")

        def state(port):
            """Of the emulator's end of the connection from this port, in hexadecimal: 1 is established."""
            with open("/proc/net/tcp") as f:
                for line in f:
                    words = line.split()
                    if words[1].endswith(f":{emulator.port:04X}") and words[2].endswith(f":{port:04X}"):
                        return int(words[3], 16)
            return 0

        make_events()
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            deaf.connect(("127.0.0.1", emulator.port))
            deaf.sendall(b"GET /_millhand/events?after=0 HTTP/1.1\r\nHost: x\r\n\r\n")
            port = deaf.getsockname()[1]
            wait_for(lambda: state(port) == 1, what="the connection")
            # What the kernel keeps for it is full some time; then nothing moves, for longer than a second.
            wait_for(lambda: make_events() or state(port) != 1, 60, "the end of the connection")


@story
def secrets_are_not_in_events():
    with Place() as place:
        w = World(place)
        stages = pipes.three_stages()
        stages[1]["actions"][0]["configuration"] = {"Password": "hunter2-very-secret"}
        pipes.create(w.cp, stages=stages)
        for provider in ("Src", "Make"):
            pipes.succeed(w.cp, provider)
        w.told("Stage Build SUCCEEDED")
        with open(w.file) as f:
            check("hunter2" not in f.read(), "no secret in the events")


@story
def without_events_there_is_nothing():
    with Place() as place:
        emulator = place.emulator("--events=false", "--events-file", place.path("e"))
        cp = emulator.client("codepipeline")
        pipes.create_types(cp)
        pipes.create(cp)
        try:
            Stream(emulator)
        except OSError as e:
            equal(e.code, 404)
        emulator.stop()
        check(not os.path.exists(place.path("e")), "no file")


run()
