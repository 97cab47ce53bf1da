#!/usr/bin/python3
"""The command plugin: what a command finds, and how it answers."""
import json
import os
import sys
import zipfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.jobs import EXECUTION, JOB_ID, Jobs, job_document  # noqa: E402
from mh.tap import check, equal, run, story  # noqa: E402


def members(job, index=0):
    with zipfile.ZipFile(os.path.join(job.dir, "store", str(index))) as z:
        return {n: z.read(n).decode() for n in z.namelist() if not n.endswith("/")}


def answers(document, code=0):
    """A command that writes this result file and exits."""
    text = document if isinstance(document, str) else json.dumps(document)
    return f"cat >\"$MILLHAND_RESULT\" <<'END'\n{text}\nEND\nexit {code}"


@story
def the_environment_says_what_the_job_is():
    with Jobs() as jobs:
        config = {"command": "env | grep ^MILLHAND_ | sort; pwd; cat main.c; sh ./run.sh",
                  "Key with spaces": "some value", "size": "3"}
        job = jobs.start("command", config, {"Source-1": {"main.c": b"int x;\n", "run.sh": b"#!/bin/sh\necho ran\n"},
                                             "Second": {"b": b"2"}},
                         ["Dist", "Docs_2"], public=list(config), token="ticket-12")
        job.wait()
        lines = job.log().splitlines()
        found = dict(line.split("=", 1) for line in lines if line.startswith("MILLHAND_"))
        document = found.pop("MILLHAND_JOB")
        check(document.startswith("/proc/self/fd/"), document)
        hidden = "****"  # a continuation token is a secret
        equal(found, {
            "MILLHAND_JOB_ID": JOB_ID, "MILLHAND_PIPELINE": "release", "MILLHAND_STAGE": "Build",
            "MILLHAND_ACTION": "Compile", "MILLHAND_EXECUTION_ID": EXECUTION,
            "MILLHAND_ACTION_EXECUTION_ID": "77777777-8888-7777-6666-555555555555",
            "MILLHAND_INPUT_SOURCE_1": f"{job.work}/in/Source-1", "MILLHAND_INPUT_SECOND": f"{job.work}/in/Second",
            "MILLHAND_OUTPUT_DIST": f"{job.work}/out/Dist", "MILLHAND_OUTPUT_DOCS_2": f"{job.work}/out/Docs_2",
            "MILLHAND_CONTINUATION_TOKEN": hidden, "MILLHAND_RESULT": f"{job.work}/tmp/result.json",
            "MILLHAND_WANTED": f"{job.work}/tmp/.millhand-wanted",
            "MILLHAND_CONFIG_KEY_WITH_SPACES": "some value", "MILLHAND_CONFIG_SIZE": "3",
            "MILLHAND_ACCOUNT_ID": "123456789012",
            "MILLHAND_PIPELINE_ARN": "arn:aws:codepipeline:us-east-1:123456789012:release",
            "MILLHAND_CATEGORY": "Build", "MILLHAND_PROVIDER": "Make", "MILLHAND_VERSION": "1",
        })
        equal([line for line in lines if not line.startswith("MILLHAND_")][:3],
              [f"{job.work}/in/Source-1", "int x;", "ran"])


@story
def without_token_there_is_no_variable_for_it():
    with Jobs() as jobs:
        job = jobs.start("command", {"command": "echo \"<${MILLHAND_CONTINUATION_TOKEN-unset}>\""})
        equal(job.finish()["log_tail"], "<unset>")


@story
def the_whole_job_document_can_be_read():
    with Jobs() as jobs:
        config = {"command": 'cat "$MILLHAND_JOB" >"$MILLHAND_OUTPUT_DIST/one"; '
                             'sh -c \'cat "$MILLHAND_JOB"\' >"$MILLHAND_OUTPUT_DIST/two"; '
                             'echo x 2>/dev/null >"$MILLHAND_JOB" && echo "it was written to"'}
        for sandbox in ({}, {"user": "nobody"} if os.geteuid() == 0 else {}):
            job = jobs.start("command", dict(config, command=config["command"] + "; true"), {}, ["Dist"], sandbox=sandbox)
            equal(job.finish()["outcome"], "success")
            got = members(job)
            want = job_document(dict(config, command=config["command"] + "; true"), (), ["Dist"])
            equal(json.loads(got["one"]), want)
            equal(got["two"], got["one"])
            check("written to" not in job.log(), "it is sealed")


@story
def exit_codes_become_outcomes():
    cases = [
        ("exit 1", {}, "JobFailed", "the command exited with code 1\n"),
        ("echo broken; exit 2", {}, "JobFailed", "the command exited with code 2\n--- end of the log ---\nbroken"),
        ("exit 75", {}, "SystemUnavailable", "the command exited with code 75, which means the host's fault"),
        ("exit 9", {"system_failure_exit_code": "9"}, "SystemUnavailable", "code 9"),
        ("exit 75", {"system_failure_exit_code": "0"}, "JobFailed", "code 75"),
        ("nonexistent-program", {}, "JobFailed", "code 127 (a program was not found)"),
        ("/etc/passwd", {}, "JobFailed", "code 126 (a program could not be run)"),
        ("sh -c 'kill -SEGV $$'; exit $?", {}, "JobFailed", "code 139 (a program was killed by signal 11"),
        ("kill -KILL $$", {}, "JobFailed", "the command was killed by signal 9 (Killed), perhaps for lack of memory"),
    ]
    with Jobs() as jobs:
        for command, config, kind, part in cases:
            job = jobs.start("command", dict(config, command=command))
            got, message = job.failure()
            equal(got, kind, command)
            check(part in message + "\n", f"'{part}' in: {message}")


@story
def a_wrong_configuration_is_refused_before_anything_runs():
    cases = [
        ({}, "the key 'command' is missing"),
        ({"command": "true", "output": "/etc"}, "output: must be a path below"),
        ({"command": "true", "output": "a/../../b"}, "output: must be a path below"),
        ({"command": "true", "directory": "nowhere"}, "directory 'nowhere'"),
        ({"command": "true", "system_failure_exit_code": "256"}, "system_failure_exit_code"),
        ({"command": "true", "a-b": "1", "a_b": "2"}, "both become MILLHAND_CONFIG_A_B"),
    ]
    with Jobs() as jobs:
        for config, part in cases:
            kind, message = jobs.start("command", config, public=list(config)).failure()
            equal(kind, "ConfigurationError", str(config))
            check(part in message, f"'{part}' in: {message}")
        kind, message = jobs.start("command", {"command": "true"}, {"a-b": {"x": b""}, "a_b": {"x": b""}}).failure()
        equal(kind, "ConfigurationError")
        check("both become MILLHAND_INPUT_A_B" in message, message)


@story
def an_output_directory_or_file_becomes_the_artifact():
    with Jobs() as jobs:
        source = {"Source": {"a.txt": b"a"}}

        def packed(config, outputs=("Dist",)):
            job = jobs.start("command", config, source, list(outputs))
            equal(job.finish()["outcome"], "success", json.dumps(job.result()))
            return members(job)

        equal(packed({"command": "mkdir -p dist/bin && echo 1 >dist/bin/x", "output": "dist"}), {"bin/x": "1\n"})
        equal(packed({"command": "mkdir -p dist && echo 1 >dist/app", "output": "./dist/app"}), {"app": "1\n"})
        equal(packed({"command": "true", "output": "."}), {"a.txt": "a"})
        equal(packed({"command": "mkdir v2 && echo 2 >v2/x && ln -s v2 dist", "output": "dist"}), {"x": "2\n"})
        equal(packed({"command": "mkdir sub && cd sub && mkdir out && echo 3 >out/y", "directory": ".",
                      "output": "sub/out"}), {"y": "3\n"})
        equal(packed({"command": "mkdir dist && echo 1 >dist/x && chmod 555 dist", "output": "dist"}), {"x": "1\n"})
        own = {"command": "mkdir dist && echo no >dist/x && echo own >$MILLHAND_OUTPUT_DIST/y", "output": "dist"}
        equal(packed(own), {"y": "own\n"})


@story
def an_output_that_is_not_there_or_outside_fails_the_job():
    cases = [
        ("true", "dist", "the command made no 'dist'"),
        ("ln -s /etc dist", "dist", "lies outside of the job's workspace"),
        ("mkfifo dist", "dist", "neither a file nor a directory"),
        ("mkdir dist", "dist", "output artifact Dist: the job left nothing in it"),
    ]
    with Jobs() as jobs:
        for command, output, part in cases:
            kind, message = jobs.start("command", {"command": command, "output": output}, {}, ["Dist"]).failure()
            equal(kind, "JobFailed", command)
            check(part in message, f"'{part}' in: {message}")
        job = jobs.start("command", {"command": "mkdir dist", "output": "dist"})
        equal(job.finish()["outcome"], "success", "no artifact is asked for")


@story
def the_result_file_is_taken():
    with Jobs() as jobs:
        result = jobs.start("command", {"command": answers({
            "summary": "14 tests passed", "percent": 70, "external_id": "build-77",
            "variables": {"version": "1.4.2", "empty": ""},
            "revision": {"revision": "3f2c", "change_id": "c", "summary": "fix", "created_ms": 1700000000000},
        })}).finish()
        equal(result["outcome"], "success")
        equal((result["summary"], result["percent"], result["external_id"]), ("14 tests passed", 70, "build-77"))
        equal(result["variables"], {"version": "1.4.2", "empty": ""})
        equal(result["revision"],
              {"revision": "3f2c", "change_id": "c", "summary": "fix", "created_ms": 1700000000000})


@story
def a_continuation_needs_no_output_yet():
    with Jobs() as jobs:
        job = jobs.start("command", {"command": answers({"continuation": {"token": "t-1", "delay_s": 30}}),
                                     "output": "dist"}, {}, ["Dist"])
        result = job.finish()
        equal((result["outcome"], result["token"], result["delay_ms"]), ("continuation", "t-1", 30000))
        kind, _ = jobs.start("command", {"command": answers({"continuation": {"token": "t-1"}}, 1)}).failure()
        equal(kind, "JobFailed", "a bad exit code goes over a continuation")


@story
def a_failure_in_the_result_file_counts():
    with Jobs() as jobs:
        for code in (0, 1, 75):
            document = {"failure": {"type": "RevisionOutOfSync", "message": "somebody pushed"}, "summary": "stale"}
            job = jobs.start("command", {"command": answers(document, code)})
            kind, message = job.failure()
            equal((kind, message), ("RevisionOutOfSync", "somebody pushed"))
            equal(job.result()["summary"], "stale")


@story
def a_hostile_result_file_is_refused_as_a_whole():
    cases = [
        ("not json", "JSON"),
        ("[]", "not an object"),
        ('{"summary": 1}', "summary: not a string"),
        ('{"summary": ""}', "summary: empty"),
        ('{"percent": 101}', "101 is not from 0 to 100"),
        ('{"percent": 1e3}', "percent"),
        ('{"colour": "red"}', "colour: not a member"),
        ('{"variables": {"a b": "x"}}', "a name has only"),
        ('{"variables": {"a": 1}}', "a: not a string"),
        ('{"variables": {"a": "x\\u0000y"}}', "NUL"),
        ('{"variables": {"a": "1", "a": "2"}}', "JSON"),
        ('{"continuation": {"delay_s": 3}}', "token: missing"),
        ('{"continuation": {"token": "x", "delay_s": 86401}}', "delay_s"),
        ('{"continuation": {"token": "x", "delay_s": -1}}', "delay_s"),
        ('{"failure": {"type": "Bored", "message": "x"}}', "'Bored' is no kind of failure"),
        ('{"revision": {"revision": "x"}}', "change_id: missing"),
        (json.dumps({"variables": {"a": "x" * 122880}}), "the limit is 122880"),
        (json.dumps({"continuation": {"token": "x" * 2049}}), "the limit is 2048"),
        (json.dumps({"external_id": "x" * 1501}), "the limit is 1500"),
        ("[" * 5000, "JSON"),
    ]
    with Jobs() as jobs:
        for text, part in cases:
            # The summary comes first, so that a part taken would show.
            job = jobs.start("command", {"command": answers(text)})
            kind, message = job.failure()
            equal(kind, "JobFailed", text[:80])
            check("$MILLHAND_RESULT: " in message and part in message, f"'{part}' in: {message}")
        bad = '{"summary": "taken", "percent": 101}'
        job = jobs.start("command", {"command": answers(bad)})
        check("summary" not in job.finish(), "nothing of it is taken")
        kind, message = jobs.start("command", {"command": answers(bad, 3)}).failure()
        check("code 3" in message, f"the exit code is the news: {message}")


@story
def a_result_that_is_no_plain_file_is_refused():
    with Jobs() as jobs:
        for command in ('ln -s /etc/passwd "$MILLHAND_RESULT"', 'mkfifo "$MILLHAND_RESULT"',
                        'mkdir "$MILLHAND_RESULT"', 'head -c 2000000 /dev/zero >"$MILLHAND_RESULT"'):
            kind, message = jobs.start("command", {"command": command}).failure()
            equal(kind, "JobFailed", command)
            check("must be a plain file" in message, message)
        equal(jobs.start("command", {"command": ': >"$MILLHAND_RESULT"'}).finish()["outcome"], "success", "empty")


@story
def term_reaches_the_command_itself():
    with Jobs() as jobs:
        job = jobs.start("command", {"command": "trap 'echo bye; exit 0' TERM; echo up; tail -f /dev/null & wait"})
        agent = job.connect()
        agent.receive_until(lambda m: m.get("step") == "run" or m["m"] == "state", "the start")
        from mh.programs import wait_for
        wait_for(lambda: "up" in job.log(), what="the command")
        agent.send({"m": "cancel", "reason": "enough"})
        kind, message = job.failure()
        check("bye" in job.log(), job.log())
        check(message.startswith("cancelled: enough"), message)


run()
