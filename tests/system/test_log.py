#!/usr/bin/python3
"""The log of agent, shim and emulator, in both formats: docs/events.md has the grammar, mh/logs.py reads it."""
import json
import os
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.logs import Broken, parse, parsed  # noqa: E402
from mh.programs import AGENT, ARCHIVE, JOB, Place, wait_for  # noqa: E402
from mh.stub import ApiError, Stub  # noqa: E402
from mh.tap import check, equal, run, story  # noqa: E402
from mh.worker import FAST, action, zip_of  # noqa: E402

# What a job, a pipeline or an endpoint may say: as it comes, and as a machine reads it in the log.
HOSTILE = {
    "plain": ("it failed", "it failed"),
    "equals": ("done job=other n=1", "done job=other n=1"),
    "a line": ("x\n2026-01-31T12:34:56.789Z error job.gone forged n=1", "x\n2026-01-31T12:34:56.789Z error job.gone forged n=1"),
    "quotes": ('a "b" \\" \\n \'c\' }{', 'a "b" \\" \\n \'c\' }{'),
    "controls": ("\x01\x02\t\r\x1b[31mred\x1b]0;title\x07\x7f", "\x01\x02\t\r\x1b[31mred\x1b]0;title\x07\x7f"),
    "C1": ("\u009b31m", "\u009b31m"),
    "directions": ("\u202egnp.exe \u2066 \u2028", "\u202egnp.exe \u2066 \u2028"),
    "other scripts": ("Đội A – 構築 😀", "Đội A – 構築 😀"),
    "blanks": ("  both ends  ", "  both ends  "),
    "nothing": ("", ""),
}
LONG = "long:" + "0123456789" * 10000


def log_of(program):
    with open(program.log_path, "rb") as f:
        return f.read()


class Told:
    """What happens when an endpoint says these things, in this format."""

    def __init__(self, form):
        self.form, self.lines = form, []
        with Place() as place, Stub() as stub:
            self.play(place, stub)

    def play(self, place, stub):
        texts = dict({k: v[0] for k, v in HOSTILE.items()}, long=LONG)
        told = iter(texts.values())

        def refused(body):
            raise ApiError("InvalidJobStateException", 400, next(told))

        stub.api_PutJobFailureResult = refused
        command = 'cat "in-$MILLHAND_CONFIG_WHAT.json" > "$MILLHAND_RESULT"'
        agent = place.agent(place.agent_conf(
            stub.endpoint, [action(place, f"cd {place.dir}; {command}", max_jobs=1)], log_format=self.form, max_jobs=1,
            **FAST), "-v")
        for i, text in enumerate(texts.values()):
            with open(place.path(f"in-{i}.json"), "w") as f:
                json.dump({"failure": {"type": "JobFailed", "message": text or "-"}, "summary": text or "-"}, f)
            stub.job(configuration={"WHAT": str(i)})
        ended = len(texts)
        wait_for(lambda: agent.text().count("result.refused") >= ended, 60, "all jobs to end")
        equal(agent.stop(), 0, "exit code")
        self.lines = parsed(log_of(agent), self.form)

    def values(self, event, field):
        return [line.fields[field] for line in self.lines if line.event == event]

    def stable(self):
        """Without what differs from run to run."""
        events = {"agent.ready", "agent.credentials", "job.owned", "job.started", "job.ended", "api.failed",
                  "result.refused", "agent.drain", "agent.ended"}
        changing = {"job", "pid", "ms", "execution", "request_id", "endpoint"}
        return [(x.level, x.event, x.msg, sorted((k, v) for k, v in x.fields.items() if k not in changing))
                for x in self.lines if x.event in events]


@story
def whatever_is_said_is_read_back_the_same_from_both_formats():
    text, json_ = Told("text"), Told("json")
    equal(text.stable(), json_.stable(), "events and fields in the two formats")
    wanted = [v[1] for v in HOSTILE.values()]
    for told in (text, json_):
        errors = told.values("api.failed", "error")
        equal(len(errors), len(HOSTILE) + 1, "failed requests")
        for error, want in zip(errors, wanted):
            check(want in error, f"{told.form}: {want!r} in {error!r}")
        messages = told.values("job.ended", "message")
        for message, want in zip(messages, wanted):
            check((want.split("\n")[0].strip() or "-") in message, f"{told.form}: {want!r} in {message!r}")
        check(messages[-1].startswith("long:0123") and len(messages[-1]) < 1300, "a long one is cut")
        check(not [x for x in told.lines if x.event == "job.gone"], "a forged event")


def pipeline_of(cp, s3):
    """S3 source, then two builds: one goes well, one fails."""
    for bucket in ("incoming", "artifacts"):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket="incoming", Key="src.zip", Body=zip_of({"f": b"x"}))
    for provider in ("Good", "Bad"):
        cp.create_custom_action_type(category="Build", provider=provider, version="1",
                                     inputArtifactDetails={"minimumCount": 0, "maximumCount": 1},
                                     outputArtifactDetails={"minimumCount": 0, "maximumCount": 1})

    def act(name, owner, category, provider, **more):
        return dict(name=name, actionTypeId={"category": category, "owner": owner, "provider": provider, "version": "1"}, **more)

    source = act("Fetch", "AWS", "Source", "S3", outputArtifacts=[{"name": "Src"}],
                 configuration={"S3Bucket": "incoming", "S3ObjectKey": "src.zip", "PollForSourceChanges": "false"})
    cp.create_pipeline(pipeline={
        "name": "release", "roleArn": "arn:aws:iam::000000000000:role/r",
        "artifactStore": {"type": "S3", "location": "artifacts"},
        "stages": [{"name": "Source", "actions": [source]},
                   {"name": "Build", "actions": [act("Good", "Custom", "Build", "Good", inputArtifacts=[{"name": "Src"}]),
                                                 act("Bad", "Custom", "Build", "Bad", runOrder=2)]}]})


def say_raw(port, *requests):
    """What no library would send."""
    for data in requests:
        with socket.create_connection(("127.0.0.1", port), 10) as s:
            s.sendall(data)
            s.recv(65536)


RAW = (b"POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: CodePipeline_20150709.\xff\x1b[31m \"x\"=y\r\nContent-Length: 2\r\n"
       b"Content-Type: application/x-amz-json-1.1\r\n\r\n{}",
       b"GET /incoming/%0a%22x%22=y%1b%ff HTTP/1.1\r\nHost: h\r\n\r\n",
       b"GET /incoming/\xff\xfe\x01\"=\\ HTTP/1.1\r\nHost: h\r\n\r\n",
       b"GET /incoming/" + b"k" * 6000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
       b"\x16\x03\x01 no HTTP at all\r\n\r\n")


@story
def a_whole_pipeline_is_told_in_lines_that_a_machine_reads():
    for form in ("text", "json"):
        with Place() as place:
            emulator = place.emulator("--log-format", form, "--log-level", "debug")
            cp = emulator.client("codepipeline")
            pipeline_of(cp, emulator.client("s3"))
            say_raw(emulator.port, *RAW)
            agent = place.agent(place.agent_conf(emulator.endpoint, [
                action(place, "true", provider="Good"),
                action(place, "printf 'last \\033[31mwords\\377\\n'; exit 3", provider="Bad")], log_format=form, **FAST),
                "-v", env={"JOURNAL_STREAM": "1:2"})
            wait_for(lambda: agent.text().count("result.delivered") == 2, 30, "both results")
            execution = cp.list_pipeline_executions(pipelineName="release")["pipelineExecutionSummaries"][0]
            equal(execution["status"], "Failed", "the execution")
            equal(agent.stop(), 0, "exit code of the agent")
            equal(emulator.stop(), 0, "exit code of the emulator")
            lines = parsed(log_of(agent), form)
            check(all(x.priority for x in lines), "priorities for the journal")
            events = [x.event for x in lines]
            for event in ("agent.ready", "job.owned", "job.started", "job.state", "api.answer", "job.ended", "agent.ended"):
                check(event in events, f"{event} in {set(events)}")
            equal(sorted(x.fields["failure"] for x in lines if x.event == "job.ended"), ["", "JobFailed"], form)
            lines = parsed(log_of(emulator), form)
            check(not any(x.priority for x in lines), "no priorities where there is no journal")
            events = [x.event for x in lines]
            for event in ("emulator.started", "builtin.done", "api.call", "s3.call", "emulator.stopped"):
                check(event in events, f"{event} in {set(events)}")


@story
def no_line_is_torn_where_two_programs_write_to_one_pipe():
    reader, writer = os.pipe()
    got = []

    def drain():
        with os.fdopen(reader, "rb") as f:
            got.append(f.read())

    thread = threading.Thread(target=drain)
    thread.start()
    running = []
    with Place() as place, Stub() as stub:
        stub.api_PollForJobs = lambda body: (_ for _ in ()).throw(ApiError("X", 400, "\x1b" * 100000))
        try:
            for name in ("one", "two", "three"):
                conf = place.agent_conf(stub.endpoint, [action(place, "true", provider=p) for p in "ABCDEFGH"], name=name,
                                        log_format="json", log_level="debug", poll_rate=1000, poll_interval_min="10ms",
                                        poll_interval_max="20ms", retry_base="1ms")
                running.append(subprocess.Popen([AGENT, "-c", conf], stdin=subprocess.DEVNULL, stderr=writer, env=place.env))
            wait_for(lambda: len(stub.seen("PollForJobs")) > 60, what="many polls")
        finally:
            for process in running:
                process.terminate()
                process.wait(20)
            os.close(writer)
            thread.join()
    lines = parsed(got[0], "json")
    long_ones = [x for x in lines if x.event == "poll.failed" and "\x1b" in x.fields["error"]]
    check(len(long_ones) > 20, f"{len(long_ones)} long lines")


@story
def a_shim_writes_in_the_agents_format():
    with Place() as place, Stub() as stub:
        libexec = place.path("own-libexec")
        os.makedirs(libexec)
        with open(os.path.join(libexec, "millhand-job"), "w") as f:
            f.write(f'#!/bin/sh\n[ "$1" = --describe ] && exec {JOB} "$@"\n[ "$1" = --zygote ] && exit 1\n'
                    f'rm -f /proc/self/fd/4/lock; mkdir /proc/self/fd/4/lock\nexec {JOB}\n')
        os.chmod(os.path.join(libexec, "millhand-job"), 0o755)
        os.symlink(ARCHIVE, os.path.join(libexec, "millhand-archive"))
        agent = place.agent(place.agent_conf(stub.endpoint, [action(place, "true")], libexec_dir=libexec,
                                             log_format="json", **FAST))
        stub.job()
        wait_for(lambda: "job.lock_failed" in agent.text(), what="the shim's complaint")
        agent.kill()
        lines = [x for x in parsed(log_of(agent), "json") if x.event == "job.lock_failed"]
        equal(lines[0].level, "error")


@story
def this_reader_refuses_what_is_not_of_the_grammar():
    good = '2026-01-31T12:34:56.789Z info  a.b said it v="x\\n" n=-3'
    equal(parse(good, "text").fields, {"v": "x\n", "n": "-3"})
    equal(parse('2026-01-31T12:34:56.789Z warn  a.b "x n=1" n=2', "text").msg, "x n=1")
    for bad in (good[1:], good.replace("info  ", "info "), good.replace('"x', 'x'), good + " ", good + " n=4",
                good.replace("said", 'sa"id'), good.replace("x\\n", "\x1b"), good + " v2=" + "x" * 4096):
        try:
            parse(bad, "text")
        except Broken:
            continue
        raise AssertionError(f"taken: {bad!r}")


run()
