#!/usr/bin/python3
"""One job: millhand-job alone, with the story as its agent."""
import json
import os
import pwd
import signal
import subprocess
import sys
import time
import zipfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.jobs import Jobs  # noqa: E402
from mh.procs import alive, command_lines, running  # noqa: E402
from mh.programs import JOB, wait_for  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402

NOBODY = pwd.getpwnam("nobody").pw_uid


def need_mounts(job):
    if "no mounts of its own" in job.log():
        skip("no mount namespace can be had here (a container, or a chroot)")


def need_root():
    if os.geteuid() != 0:
        skip("needs root")


def as_each_user(tell):
    """The same story as root, with namespaces, and as nobody, with descent alone."""
    if os.geteuid() != 0:
        with Jobs() as jobs:
            tell(jobs)
        return
    with Jobs() as jobs:
        tell(jobs)
    with Jobs(uid=NOBODY) as jobs:
        tell(jobs)


def is_zip_of(path, names):
    with zipfile.ZipFile(path) as z:
        equal(sorted(n for n in z.namelist() if not n.endswith("/")), sorted(names), "members")


# --- what goes well ---

@story
def a_job_runs_from_spec_to_result():
    def tell(jobs):
        job = jobs.start("ok", {"target": "x"}, {"Source": {"a.txt": b"hi"}}, ["Dist"])
        result = job.finish()
        equal(result["outcome"], "success")
        equal(result["summary"], "said hello")
        equal(result["percent"], 100)
        equal(result["external_id"], "hello-1")
        equal(result["variables"], {"greeting": "hello"})
        equal(result["revision"], {"revision": "r1", "change_id": "c1", "created_ms": 1700000000000})
        with open("/proc/sys/kernel/random/boot_id") as f:
            equal(result["boot_id"], f.read().strip())
        output = result["outputs"][0]
        equal((output["name"], output["file"]), ("Dist", "store/0"))
        stored = os.path.join(job.dir, "store/0")
        equal(output["size"], os.path.getsize(stored))
        equal(output["sha256"], subprocess.run(["sha256sum", stored], capture_output=True, text=True,
                                               check=True).stdout.split()[0])
        is_zip_of(stored, ["made.txt"])
        check("ok: hello" in job.log(), "the plugin's line in the log")
        equal(result["log_tail"], job.log().rstrip("\n"))
        equal(os.stat(os.path.join(job.dir, "result.json")).st_mode & 0o777, 0o600)
    as_each_user(tell)


def without_build(message):
    """The first message of a connection, which tells what speaks there."""
    equal(message.pop("protocol"), 1, "protocol")
    check(message.pop("version"), "version")
    return message


@story
def the_agent_hears_each_step_and_the_progress():
    with Jobs() as jobs:
        job = jobs.make(inputs={"Source": {"a": b"1"}})
        slow = jobs.script("slow-archive", f"#!/bin/sh\nread line <{jobs.root}/go\nexec {jobs.archive} \"$@\"\n")
        os.mkfifo(f"{jobs.root}/go")
        go = os.open(f"{jobs.root}/go", os.O_RDWR)
        jobs.spawn(job, jobs.spec(job, "ok", {"target": "x"}, {"Source": None}, ["Dist"], archive_program=slow))
        agent = job.connect()
        equal(without_build(agent.receive()), {"m": "state", "step": "unpack"})
        os.write(go, b"go\ngo\n")  # a line for each archive
        seen = []
        while True:
            message = agent.receive()
            if message is None:
                break
            seen.append(message)
        equal([m["step"] for m in seen if m["m"] == "state"], ["run", "pack", "done"])
        equal([m for m in seen if m["m"] == "progress"],
              [{"m": "progress", "percent": 100, "summary": "said hello", "external_id": "hello-1"}])
        equal(job.finish()["outcome"], "success")
        os.close(go)


@story
def result_is_there_before_done_is_said():
    with Jobs() as jobs:
        job = jobs.start("rude", {"mode": "wait"})
        agent = job.connect()
        agent.receive_until(lambda m: m["m"] == "progress", "progress")
        agent.send({"m": "cancel", "reason": "enough"})
        agent.receive_until(lambda m: m.get("step") == "done", "done")
        equal(job.result()["outcome"], "failure")
        equal(agent.receive(), None)


@story
def agents_may_come_and_go():
    with Jobs() as jobs:
        job = jobs.start("rude", {"mode": "wait"})
        first = job.connect()
        first.receive_until(lambda m: m["m"] == "progress", "progress")
        first.close()
        second = job.connect()
        equal(without_build(second.receive()), {"m": "state", "step": "run"})
        equal(second.receive(), {"m": "progress", "percent": 1}, "what was said before")
        third = job.connect()
        equal(without_build(third.receive()), {"m": "state", "step": "run"})
        third.send(b"this is no message")
        third.receive_until(lambda m: m["m"] == "progress", "progress")
        equal(third.receive(), None, "a liar is disconnected")
        second.send({"m": "cancel", "reason": "done here"})
        equal(job.failure()[0], "JobFailed")


@story
def a_result_is_there_without_any_agent():
    with Jobs() as jobs:
        job = jobs.start("ok", {"target": "x"}, {}, ["Dist"])
        os.unlink(os.path.join(job.dir, "socket"))
        equal(job.finish()["outcome"], "success")


@story
def the_lock_tells_who_works_and_a_second_shim_leaves():
    with Jobs() as jobs:
        job = jobs.make()
        spec = jobs.spec(job, "rude", {"mode": "wait"})
        jobs.spawn(job, spec)
        agent = job.connect()
        agent.receive_until(lambda m: m["m"] == "progress", "the handler")
        first = job.pid
        equal(job.lock_holder(), first)
        with open(os.path.join(job.dir, "lock")) as lock, open("/proc/sys/kernel/random/boot_id") as boot:
            equal(lock.read(), boot.read().strip(), "the lock's contents")
        jobs.spawn(job, spec)
        equal(job.wait(), 0, "the second one's exit code")
        check(not os.path.exists(os.path.join(job.dir, "result.json")), "the second left no result")
        job.pid, job.code = first, None
        agent.send({"m": "cancel", "reason": "over"})
        equal(job.finish()["outcome"], "failure")
        equal(job.lock_holder(), 0)


@story
def a_job_with_a_result_is_not_run_again():
    with Jobs() as jobs:
        job = jobs.make()
        spec = jobs.spec(job, "ok", {"target": "x"})
        jobs.spawn(job, spec)
        job.finish()
        before = job.log()
        jobs.spawn(job, spec)
        equal(job.wait(), 0)
        equal(job.log(), before, "the log")


@story
def killing_the_shim_kills_the_job_and_frees_the_lock():
    # ... with what it left in the background, and what fled to a session of its own.
    def tell(jobs):
        marker = f"{jobs.root}-marker"
        # Silent, or the end of the log's pipe would end them.
        command = f"sh -c 'exec >/dev/null 2>&1; tail -f /dev/null & wait' {marker}"
        job = jobs.start("command", {"command": f"({command} &); (setsid {command} &) & {command}"})
        wait_for(lambda: len([p for p in running(marker) if p != job.pid]) >= 4, what="the commands")
        job.kill()
        wait_for(lambda: not running(marker), what="the commands to go")
        equal(job.lock_holder(), 0)
        check(not os.path.exists(os.path.join(job.dir, "result.json")), "no result")

    as_each_user(tell)


@story
def a_guard_that_is_killed_costs_its_job_a_failure_and_leaves_nothing():
    def tell(jobs):
        marker = f"{jobs.root}-marker"
        job = jobs.start("command", {"command": f"(setsid sh -c 'exec >/dev/null 2>&1; tail -f /dev/null & wait' {marker} &); tail -f /dev/null"})
        wait_for(lambda: running(marker), what="the command")
        guards = [pid for pid, _ in command_lines() if _parent(pid) == job.pid]
        equal(len(guards), 1, "children of the shim")
        os.kill(guards[0], signal.SIGKILL)
        kind, message = job.failure()
        equal(kind, "SystemUnavailable")
        check("killed by signal 9" in message, message)
        equal(running(marker), [], "what is left")

    as_each_user(tell)


@story
def a_job_that_signals_its_own_process_group_ends_as_it_would_alone():
    def tell(jobs):
        result = jobs.start("command", {"command": "trap '' TERM; kill -TERM 0; exit 3"}).failure()
        equal(result[0], "JobFailed")
        check("code 3" in result[1], result[1])

    as_each_user(tell)


def _parent(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return int(f.read().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


# --- how it can fail ---

@story
def each_kind_of_failure_arrives():
    kinds = ["JobFailed", "ConfigurationError", "PermissionError", "RevisionOutOfSync", "RevisionUnavailable",
             "SystemUnavailable"]
    with Jobs() as jobs:
        for number, kind in enumerate(kinds, 1):
            job = jobs.start("rude", {"mode": "fail", "number": str(number), "value": "because"})
            got, message = job.failure()
            equal(got, kind)
            check(message.startswith("because\n"), message)
            check(message.endswith("last words"), f"the log's end in: {message}")


@story
def a_plugin_that_breaks_its_contract_is_the_hosts_fault():
    cases = [
        ({"mode": "crash"}, "rude.so crashed: killed by signal 11 (Segmentation fault)"),
        ({"mode": "abort"}, "rude.so crashed: killed by signal 6 (Aborted)"),
        ({"mode": "exit", "number": "3"}, "rude.so ended its process (exit code 3)"),
        ({"mode": "exit", "number": "0"}, "rude.so ended its process (exit code 0)"),
        ({"mode": "no_outcome"}, "returned without saying how"),
        ({"mode": "answers", "number": "-7"}, "plugin rude answered -7"),
        ({"mode": "fail", "number": "9", "value": "x"}, "9 is no kind of failure"),
        ({"mode": "speak", "value": "not json"}, "broke the protocol"),
        ({"mode": "speak", "value": "[1]"}, "broke the protocol"),
        ({"mode": "speak", "value": '{"m":"outcome","outcome":"great"}'}, "outcome: 'great' is none"),
        ({"mode": "speak", "value": '{"m":"outcome","outcome":"success","percent":101}'}, "101 is not from 0"),
        ({"mode": "speak", "value": '{"m":"outcome","outcome":"success","extra":1}'}, "extra: not a member"),
        ({"mode": "speak", "value": '{"m":"sing"}'}, "message 'sing' is unknown"),
        ({"mode": "speak", "value": '{"m":"public","keys":["a"]}'}, "said twice"),
        ({"mode": "speak", "value": '{"m":"variable","name":"a b","value":"x"}'}, "a name has only"),
        ({"mode": "speak_long", "number": "150000"}, "message of 150000 bytes"),
    ]

    def tell(jobs):
        for config, part in cases:
            kind, message = jobs.start("rude", config).failure()
            equal(kind, "SystemUnavailable", str(config))
            check(part in message, f"{config}: '{part}' in: {message}")
    as_each_user(tell)


@story
def a_plugin_that_is_none_is_a_configuration_error():
    cases = [
        ("bad_abi", "made for ABI 2.0, this host has 1.0"),
        ("bad_size", "its structure has 8 bytes"),
        ("bad_option", "'three' is not a whole number"),
        ("no_symbol", "exports no mh_plugin"),
        ("wrong_name", "calls itself 'right_name'"),
        ("missing", "missing.so: No such file or directory"),
        ("text", "invalid ELF header"),
        ("writable", "not be writable by group or others"),
        ("foreign", "must belong to root or the agent's user"),
    ]
    with Jobs() as jobs:
        with open(jobs.add_plugin(os.path.join(jobs.plugins, "ok.so"), "text.so"), "w") as f:
            f.write("this is no shared object, but long enough to look like one\n" * 100)
        os.chmod(jobs.add_plugin(os.path.join(jobs.plugins, "ok.so"), "writable.so"), 0o757)
        foreign = jobs.add_plugin(os.path.join(jobs.plugins, "ok.so"), "foreign.so")
        if os.geteuid() == 0:
            os.chown(foreign, NOBODY, NOBODY)
        else:
            cases.pop()
        for plugin, part in cases:
            kind, message = jobs.start(plugin, {}).failure()
            equal(kind, "ConfigurationError", plugin)
            check(part in message, f"{plugin}: '{part}' in: {message}")
            check(jobs.plugins in message, f"the path in: {message}")


@story
def configuration_is_held_against_the_options():
    cases = [
        ({}, "the key 'target' is missing"),
        ({"target": "x", "colour": "red"}, "it has no key 'colour'"),
        ({"target": "x", "count": "many"}, "count: 'many' is not a whole number"),
        ({"target": "x", "count": "11"}, "count"),
        ({"target": "x", "loud": "yes"}, 'loud: must be "true" or "false"'),
    ]
    with Jobs() as jobs:
        for config, part in cases:
            kind, message = jobs.start("ok", config).failure()
            equal(kind, "ConfigurationError", str(config))
            check(part in message, f"'{part}' in: {message}")
        result = jobs.start("ok", {"target": "x", "count": "10", "loud": "true"}).finish()
        check("count 10 loud 1" in result["log_tail"], result["log_tail"])


@story
def a_spec_that_makes_no_sense_fails_the_job_before_anything_runs():
    with Jobs() as jobs:
        def broken(part, **changes):
            job = jobs.make()
            spec = jobs.spec(job, "ok", {"target": "x"})
            spec.update(changes)
            jobs.spawn(job, {k: v for k, v in spec.items() if v is not None})
            kind, message = job.failure()
            equal(kind, "SystemUnavailable")
            check(part in message, f"'{part}' in: {message}")
            equal(os.listdir(job.work), [], "the workspace")
        broken("version: 2", version=2)
        broken("plugin: not an absolute path", plugin="ok.so")
        broken("job: missing", job=None)
        broken("deadline_ms: missing", deadline_ms=None)
        broken("'../x' is no artifact's name", inputs=[{"name": "../x", "file": "fetch/0"}])
        broken("is not fetch/", inputs=[{"name": "x", "file": "fetch/../lock"}])
        broken("is there twice", outputs=[{"name": "x", "file": "store/0"}, {"name": "x", "file": "store/1"}])
        broken("format: 'rar'", outputs=[{"name": "x", "file": "store/0", "format": "rar"}])
        broken("sandbox: write[0]", sandbox={"write": ["relative"]})
        job = jobs.make()
        jobs.spawn(job, b"{ not json")
        check("job spec" in job.failure()[1], "the spec is named")


@story
def a_corrupt_artifact_is_one_clear_failure():
    with Jobs() as jobs:
        kind, message = jobs.start("ok", {"target": "x"}, {"Source": b"PK\3\4 this is no archive"}).failure()
        equal(kind, "JobFailed")
        check(message.startswith("input artifact Source: "), message)


@story
def what_the_archiver_says_decides_whose_fault_it_is():
    verdict = "#!/bin/sh\nprintf '%s\\n' '{0}' >&3\nexit {1}\n"
    no = '{{"ok":false,"kind":"{}","message":"told so"}}'
    cases = [(verdict.format(no.format(kind).replace("{{", "{").replace("}}", "}"), 1), failure, "told so")
             for kind, failure in [("corrupt", "JobFailed"), ("unsafe", "JobFailed"), ("limit", "JobFailed"),
                                   ("space", "SystemUnavailable"), ("system", "SystemUnavailable"),
                                   ("other", "SystemUnavailable")]]
    cases += [
        ("#!/bin/sh\nkill -SEGV $$\n", "SystemUnavailable", "killed by signal 11"),
        ("#!/bin/sh\nexit 0\n", "SystemUnavailable", "gave no verdict"),
        ("#!/bin/sh\nexit 4\n", "SystemUnavailable", "exited with 4"),
        ("#!/bin/sh\nhead -c 100000 /dev/zero >&3\nexit 0\n", "SystemUnavailable", "gave no verdict"),
        ("#!/nonexistent\n", "SystemUnavailable", "cannot be run"),
    ]
    with Jobs() as jobs:
        for i, (script, kind, part) in enumerate(cases):
            archive = jobs.script(f"archive-{i}", script)
            got, message = jobs.start("ok", {"target": "x"}, {"Source": {"a": b"1"}}, archive_program=archive).failure()
            equal(got, kind, script)
            check("input artifact Source: " in message and part in message, f"'{part}' in: {message}")
        job = jobs.make()
        jobs.spawn(job, jobs.spec(job, "ok", {"target": "x"}, {"Source": None}))
        equal(job.failure()[0], "SystemUnavailable", "an input that was not fetched")


@story
def an_output_without_content_fails_the_job():
    with Jobs() as jobs:
        kind, message = jobs.start("rude", {"mode": "ask"}, {}, ["Dist"]).failure()
        equal(kind, "JobFailed")
        check("output artifact Dist: the job left nothing in it" in message, message)
        kind, message = jobs.start("command", {"command": "true"}, {}, ["Dist"]).failure()
        check("output artifact Dist: the job left nothing in it" in message, message)
        kind, message = jobs.start("command", {"command": 'rmdir "$MILLHAND_OUTPUT_DIST" && ln -s /etc "$MILLHAND_OUTPUT_DIST"'},
                                   {}, ["Dist"]).failure()
        equal(kind, "JobFailed", "a link instead of a directory")
        check("is not a directory" in message, message)


@story
def outputs_beyond_the_least_may_be_left_unmade():
    make = 'echo x > "$MILLHAND_OUTPUT_B/f"'
    with Jobs() as jobs:
        job = jobs.start("command", {"command": make}, {}, ["A", "B", "C"], outputs_min=1)
        result = job.finish()
        equal(result["outcome"], "success")
        equal([(o["name"], o["file"]) for o in result["outputs"]], [("B", "store/1")])
        check("output artifact A is left unmade" in job.log(), job.log())
        kind, message = jobs.start("command", {"command": make}, {}, ["A", "B", "C"], outputs_min=2).failure()
        equal(kind, "JobFailed")
        check("output artifact C: the job left nothing in it" in message, message)
        result = jobs.start("command", {"command": "true"}, {}, ["A"], outputs_min=0).finish()
        equal((result["outcome"], result["outputs"]), ("success", []))


# --- deadline, cancellation, killing ---

@story
def the_deadline_ends_a_job_that_ignores_everything():
    def tell(jobs):
        start = time.monotonic()
        job = jobs.start("rude", {"mode": "hang"}, seconds=1, grace_ms=300)
        kind, message = job.failure()
        took = time.monotonic() - start
        equal(kind, "JobFailed")
        check(message.startswith("timed out after 1."), message)
        check(1.2 <= took < 5, f"took {took}")
    as_each_user(tell)


@story
def a_deadline_that_has_passed_starts_nothing_for_long():
    with Jobs() as jobs:
        kind, message = jobs.start("rude", {"mode": "wait"}, seconds=-5).failure()
        equal(kind, "JobFailed")
        check("timed out" in message, message)


@story
def a_cancelled_plugin_may_tidy_up():
    with Jobs() as jobs:
        job = jobs.start("rude", {"mode": "wait"})
        agent = job.connect()
        agent.receive_until(lambda m: m["m"] == "progress", "progress")
        agent.send({"m": "cancel", "reason": "superseded by a newer run"})
        kind, message = job.failure()
        equal(kind, "JobFailed")
        check(message.startswith("cancelled: superseded by a newer run"), message)
        equal(job.result()["summary"], "was cancelled")
        check("tidied up" in job.log(), job.log())


@story
def cancelling_stops_the_archiver_at_once():
    with Jobs() as jobs:
        stuck = jobs.script("stuck", "#!/bin/sh\nexec tail -f /dev/null\n")
        job = jobs.start("ok", {"target": "x"}, {"Source": {"a": b"1"}}, archive_program=stuck)
        agent = job.connect()
        equal(agent.receive()["step"], "unpack")
        agent.send({"m": "cancel", "reason": "no more"})
        equal(job.failure()[1], "cancelled: no more\n--- end of the log ---\nmillhand: cancelled: no more")


@story
def term_to_the_shim_ends_the_job_as_the_hosts_fault():
    with Jobs() as jobs:
        job = jobs.start("rude", {"mode": "wait"})
        job.connect().receive_until(lambda m: m["m"] == "progress", "progress")
        os.kill(job.pid, signal.SIGTERM)
        equal(job.failure()[0], "SystemUnavailable")


@story
def daemons_that_were_left_behind_are_killed():
    def tell(jobs):
        # A daemon leaves session and group behind; the marker finds it from outside.
        marker = f"{jobs.root}-marker"
        script = f"setsid sh -c '(trap \"\" TERM; while :; do tail -f /dev/null; done) & echo left' {marker} & wait"
        job = jobs.start("command", {"command": script})
        equal(job.finish()["outcome"], "success")
        equal(running(marker), [])
        work = job.work
        job = jobs.start("rude", {"mode": "daemon", "value": os.path.join(jobs.root, "work/2/tmp/pid")})
        equal(job.finish()["outcome"], "success")
        check(work != job.work, "another job")
        if jobs.uid is not None or os.geteuid() != 0:
            with open(os.path.join(job.work, "tmp/pid")) as f:
                check(not alive(int(f.read())), "the daemon is dead")
            check("left running and are killed" in job.log(), job.log())
    as_each_user(tell)


@story
def the_whole_tree_dies_at_the_deadline():
    def tell(jobs):
        marker = f"{jobs.root}-marker"
        inner = "trap \"\" TERM; while :; do tail -f /dev/null; done"
        script = f"sh -c '{inner}' {marker} & setsid sh -c '{inner}' {marker} & sh -c '{inner}' {marker}"
        job = jobs.start("command", {"command": script}, seconds=2, grace_ms=200)
        wait_for(lambda: len(running(marker)) >= 3, what="the tree")
        check(job.failure()[1].startswith("timed out"), "timed out")
        equal(running(marker), [])
    as_each_user(tell)


@story
def detach_leaves_a_daemon_alive():
    with Jobs() as jobs:
        pid_file = os.path.join(jobs.root, "work/1/tmp/pid")
        job = jobs.start("rude", {"mode": "daemon", "value": pid_file}, sandbox={"detach": True})
        equal(job.finish()["outcome"], "success")
        with open(pid_file) as f:
            pid = int(f.read())
        check(alive(pid), "the daemon lives on")
        os.kill(pid, signal.SIGKILL)


# --- questions ---

@story
def a_plugin_can_ask_whether_it_is_still_wanted():
    with Jobs() as jobs:
        for answer, word in ((True, "wanted: 1"), (False, "wanted: 0")):
            # The archiver waits until the agent is there, so that the question finds it.
            gate = os.path.join(jobs.root, f"gate-{word[-1]}")
            os.mkfifo(gate)
            slow = jobs.script("gated-archive", f"#!/bin/sh\nread line <{gate}\nexec {jobs.archive} \"$@\"\n")
            job = jobs.start("rude", {"mode": "ask"}, {"Source": {"a": b"1"}}, archive_program=slow)
            agent = job.connect()
            equal(agent.receive()["step"], "unpack")
            with open(gate, "w") as f:
                f.write("go\n")
            question = agent.receive_until(lambda m: m["m"] == "wanted", "the question")
            agent.send({"m": "wanted", "id": question["id"] + 1, "wanted": not answer})
            agent.send({"m": "wanted", "id": question["id"], "wanted": answer})
            check(word in job.finish()["log_tail"], job.log())


@story
def an_agent_that_leaves_with_the_question_leaves_the_job_wanted():
    with Jobs() as jobs:
        gate = os.path.join(jobs.root, "gate")
        os.mkfifo(gate)
        slow = jobs.script("gated-archive", f"#!/bin/sh\nread line <{gate}\nexec {jobs.archive} \"$@\"\n")
        job = jobs.start("rude", {"mode": "ask"}, {"Source": {"a": b"1"}}, archive_program=slow)
        agent = job.connect()
        equal(agent.receive()["step"], "unpack")
        with open(gate, "w") as f:
            f.write("go\n")
        agent.receive_until(lambda m: m["m"] == "wanted", "the question")
        agent.close()
        check("wanted: 1" in job.finish()["log_tail"], job.log())


@story
def without_an_agent_a_job_is_wanted():
    with Jobs() as jobs:
        job = jobs.make()
        jobs.spawn(job, jobs.spec(job, "rude", {"mode": "ask"}))
        os.unlink(os.path.join(job.dir, "socket"))
        check("wanted: 1" in job.finish()["log_tail"], "wanted")


# --- limits ---

@story
def the_log_is_capped_and_its_end_kept():
    with Jobs() as jobs:
        job = jobs.start("rude", {"mode": "flood", "number": "20000"}, log_max_bytes=100000)
        result = job.finish(60)
        log = job.log()
        check(len(log) < 100200, f"{len(log)} bytes")
        check(log.endswith("millhand: the log reached its maximum of 100000 bytes and was cut here\n"), log[-200:])
        tail = result["log_tail"]
        check(tail.endswith("the last line"), tail[-100:])
        check(len(tail.encode()) <= 4000 and tail.startswith("line "), f"{len(tail)} bytes, {tail[:20]}")


@story
def long_texts_are_cut_at_a_character():
    with Jobs() as jobs:
        result = jobs.start("rude", {"mode": "long_texts"}).finish()
        equal(result["summary"], "ü" * 1024)
        equal(result["failure"]["message"], "ü" * 2500)


@story
def variables_up_to_the_limit_arrive_and_more_are_refused():
    with Jobs() as jobs:
        result = jobs.start("rude", {"mode": "variables", "number": "122880"}).finish()
        equal(result["variables"], {"long": '"' * 122876})
        kind, message = jobs.start("rude", {"mode": "variables", "number": "122881"}).failure()
        equal(kind, "JobFailed")
        check("the limit is 122880" in message, message)


@story
def a_continuation_has_token_and_delay_but_no_variables():
    with Jobs() as jobs:
        job = jobs.start("rude", {"mode": "continue", "value": "round-2", "number": "30000"}, {}, ["Dist"])
        result = job.finish()
        equal((result["outcome"], result["token"], result["delay_ms"]), ("continuation", "round-2", 30000))
        check("variables" not in result, "no variables")
        check("output variables are dropped" in job.log(), job.log())
        equal(result["outputs"], [], "outputs")
        equal(jobs.start("rude", {"mode": "long_token", "number": "2048"}).finish()["token"], "t" * 2048)
        check("the limit is 2048" in jobs.start("rude", {"mode": "long_token", "number": "2049"}).failure()[1], "refused")


@story
def secrets_do_not_reach_log_or_result():
    secret, public = "hunter2hunter2", "this may be seen"
    with Jobs() as jobs:
        job = jobs.start("rude", {"mode": "tell_secret", "secret": secret, "value": public})
        kind, message = job.failure()
        with open(os.path.join(job.dir, "result.json")) as f:
            check(secret not in f.read(), "no secret in result.json")
        check(secret not in job.log() and "****" in job.log(), job.log())
        equal(job.result()["summary"], "****")
        check(message.startswith("****\n"), message)
        # Public: by the plugin's option, or by the agent's list.
        job = jobs.start("rude", {"mode": "fail", "number": "1", "value": public})
        check(public in job.failure()[1], "a public option is shown")
        job = jobs.start("command", {"command": f"echo {secret}; echo $0", "TOKEN": "token-value-1"})
        job.finish()
        check(secret in job.log(), "the command line is one secret, its parts are none")
        job = jobs.start("command", {"command": "echo $MILLHAND_CONFIG_TOKEN", "TOKEN": "token-value-1"},
                         public=["TOKEN"])
        job.finish()
        check("token-value-1" in job.log(), "the agent's list")
        job = jobs.start("command", {"command": "echo $MILLHAND_CONTINUATION_TOKEN"}, token="a-token-to-hide")
        job.finish()
        check("a-token-to-hide" not in job.log(), "the continuation token is hidden")


@story
def secrets_are_not_in_argv_environment_or_readable_memory():
    with Jobs() as jobs:
        secret = "canary-in-the-coal-mine"
        job = jobs.start("rude", {"mode": "wait", "secret": secret})
        agent = job.connect()
        agent.receive_until(lambda m: m["m"] == "progress", "progress")
        children = [int(p) for p, _ in command_lines() if _descends(p, job.pid)]
        check(children, "the shim has children")
        for pid in [job.pid] + children:
            for name in ("cmdline", "environ"):
                try:
                    with open(f"/proc/{pid}/{name}", "rb") as f:
                        check(secret.encode() not in f.read(), f"{name} of {pid}")
                except PermissionError:
                    pass  # better still: who is not root may not even look
            with open(f"/proc/{pid}/limits") as f:
                core = [line for line in f if line.startswith("Max core file size")][0]
                equal(core.split()[4:6], ["0", "0"], "core limit")
        for path, _, files in os.walk(jobs.root):
            for name in files:
                if os.path.isfile(os.path.join(path, name)):
                    with open(os.path.join(path, name), "rb") as f:
                        check(secret.encode() not in f.read(), f"{path}/{name}")
        agent.send({"m": "cancel", "reason": "over"})
        job.finish()


def _descends(pid, top):
    while pid > 1:
        try:
            with open(f"/proc/{pid}/stat") as f:
                pid = int(f.read().rsplit(")", 1)[1].split()[1])
        except FileNotFoundError:
            return False
        if pid == top:
            return True
    return False


# --- sandbox ---

@story
def the_handler_keeps_no_descriptor_of_the_shim():
    def tell(jobs):
        job = jobs.start("rude", {"mode": "look_around"})
        tail = job.finish()["log_tail"]
        equal([line for line in tail.splitlines() if line.startswith("fd ")], [f"fd {i}" for i in range(6)])
        check(f"session 1 core 0 cwd {job.work}" in tail, tail)
    as_each_user(tell)


@story
def a_job_writes_in_its_workspace_and_where_it_is_allowed_only():
    def tell(jobs):
        allowed, forbidden = os.path.join(jobs.root, "releases"), os.path.join(jobs.root, "elsewhere")
        for path in (allowed, forbidden):
            os.mkdir(path)
            os.chmod(path, 0o777)
        with open(os.path.join(forbidden, "there"), "w") as f:
            f.write("as it was\n")
        os.chmod(os.path.join(forbidden, "there"), 0o666)
        attempts = [f"echo x >{forbidden}/new", f"echo x >>{forbidden}/there", f"rm {forbidden}/there",
                    f"mkdir {forbidden}/dir", f"ln -s x {forbidden}/link", f"mv {forbidden}/there {allowed}/",
                    f"truncate -s 0 {forbidden}/there"]
        script = "".join(f"if ( {a} ) 2>/dev/null; then echo 'could: {a}'; fi\n" for a in attempts)
        script += f"echo ok >{allowed}/file && echo ok >$TMPDIR/file && echo ok >file && mkdir -p a/b && "
        script += "mv file a/b/ && echo x >/dev/null && echo written"
        job = jobs.start("command", {"command": script}, sandbox={"write": [allowed]}, public=["command"])
        result = job.finish()
        if "Landlock is" in job.log():
            skip("this kernel has no Landlock")
        equal(result["outcome"], "success")
        equal(result["log_tail"], "written")
        with open(os.path.join(forbidden, "there")) as f:
            equal(f.read(), "as it was\n")
        equal(os.listdir(forbidden), ["there"])
    as_each_user(tell)


@story
def a_root_job_changes_no_mode_owner_or_time_of_the_hosts_files():
    """Landlock has no say there: an unset variable in `cp -a . "$DIR/"` would set the mode of /."""
    need_root()
    with Jobs() as jobs:
        allowed, forbidden = os.path.join(jobs.root, "releases"), os.path.join(jobs.root, "elsewhere")
        for path in (allowed, forbidden):
            os.mkdir(path)
            os.chmod(path, 0o755)
        before = (os.stat("/"), os.stat(forbidden))
        attempts = [f"chmod 700 {forbidden}", f"chown 65534 {forbidden}", f"touch -d @0 {forbidden}", "touch /"]
        script = "".join(f"if ( {a} ) 2>/dev/null; then echo 'could: {a}'; fi\n" for a in attempts)
        script += f"touch -d @0 {allowed} && chmod 700 {allowed} && touch f && chmod 600 f && chmod 711 . && chown 65534 f && "
        script += "echo x >/dev/null && touch /dev/shm/f && chmod 600 /dev/shm/f && "
        script += "python3 -c 'import pty; pty.openpty()' && echo done"
        job = jobs.start("command", {"command": script}, sandbox={"write": [allowed]}, public=["command"])
        result = job.finish()
        if "are not protected" in job.log():
            skip("this kernel cannot make mounts read-only as a whole")
        equal((result["outcome"], result["log_tail"]), ("success", "done"))
        equal(os.stat(allowed).st_mode & 0o777, 0o700, "where it may write it may do all")
        for was, path in zip(before, ("/", forbidden)):
            now = os.stat(path)
            equal((now.st_mode, now.st_uid, now.st_mtime), (was.st_mode, was.st_uid, was.st_mtime), path)


@story
def a_write_directory_that_is_missing_is_a_configuration_error():
    with Jobs() as jobs:
        job = jobs.start("command", {"command": "true"}, sandbox={"write": ["/nonexistent/releases"]})
        job.wait()
        if "Landlock is" in job.log():
            skip("this kernel has no Landlock")
        kind, message = job.failure()
        equal(kind, "ConfigurationError")
        check("sandbox.write: /nonexistent/releases" in message, message)


@story
def the_environment_is_clean_and_privileges_cannot_grow():
    with Jobs() as jobs:
        os.environ["MH_LEAK"] = "leaked"
        try:
            job = jobs.start("command", {"command": "env; grep NoNewPrivs /proc/self/status"}, public=["command"])
        finally:
            del os.environ["MH_LEAK"]
        result = job.finish()
        tail = result["log_tail"]
        check("leaked" not in tail and "AWS_" not in tail, tail)
        check(f"HOME={job.work}/tmp\n" in tail and f"TMPDIR={job.work}/tmp\n" in tail, tail)
        check("NoNewPrivs:\t1" in tail, tail)
        names = {line.split("=")[0] for line in tail.splitlines() if "=" in line}
        unknown = {n for n in names if not n.startswith("MILLHAND_")} - {
            "PATH", "HOME", "TMPDIR", "LANG", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "SHLVL", "_"}
        equal(unknown, set())


@story
def root_jobs_see_neither_each_other_nor_the_hosts_processes():
    need_root()
    with Jobs() as jobs:
        jobs.make()  # job 1: another one's directories
        script = ("echo jobs: $(ls ../../../../state/jobs); echo work: $(ls ../../..); "
                  "echo processes: $(ls /proc | grep -c '^[0-9]'); echo pid $$")
        job = jobs.start("command", {"command": script, "directory": "."}, {"S": {"a": b"1"}}, public=["command"])
        tail = job.finish()["log_tail"]
        need_mounts(job)
        check("jobs:\n" in tail, tail)
        check("work: 2\n" in tail, tail)
        count = int(tail.split("processes: ")[1].split()[0])
        check(count < 10, tail)


@story
def root_jobs_have_a_tmp_of_their_own():
    need_root()
    if not os.access("/opt", os.W_OK):
        skip("no /opt")
    with Jobs(above="/opt") as jobs:
        script = "echo mine >/tmp/mh-own-tmp && echo mine >/var/tmp/other && ls $TMPDIR"
        job = jobs.start("command", {"command": script})
        result = job.finish()
        need_mounts(job)
        equal(result["log_tail"].split(), ["mh-own-tmp", "other", "workspace"])
        check(not os.path.exists("/tmp/mh-own-tmp"), "the host's /tmp is not touched")


@story
def without_network_nothing_can_be_reached():
    def tell(jobs):
        script = ("/usr/bin/python3 -c '\nimport socket\n"
                  "try:\n s = socket.socket(); s.settimeout(5); s.connect((\"192.0.2.1\", 9)); print(\"open\")\n"
                  "except OSError as e: print(\"closed:\", e)\n"
                  "socket.socketpair(); socket.socket(socket.AF_UNIX); print(\"local works\")'")
        job = jobs.start("command", {"command": script}, sandbox={"network": False}, public=["command"])
        result = job.finish()
        check("closed:" in result["log_tail"] and "local works" in result["log_tail"], result["log_tail"])
    as_each_user(tell)


@story
def a_job_can_run_as_another_user():
    need_root()
    with Jobs() as jobs:
        job = jobs.start("command", {"command": "id -un; echo out >&2; echo again >/dev/stderr; echo x >new; "
                                                "cp -r . \"$MILLHAND_OUTPUT_DIST\"; stat -c %U ."},
                         {"Source": {"a.txt": b"hi"}}, ["Dist"], sandbox={"user": "nobody"}, public=["command"])
        for path in ("work",):
            os.chmod(os.path.join(jobs.root, path), 0o711)
        result = job.finish()
        equal(result["outcome"], "success", json.dumps(result))
        equal(result["log_tail"], "nobody\nout\nagain\nnobody")
        is_zip_of(os.path.join(job.dir, "store/0"), ["a.txt", "new"])
        equal(os.stat(os.path.join(job.work, "in/Source/new")).st_uid, NOBODY)
        kind, message = jobs.start("command", {"command": "true"}, sandbox={"user": "no-such-user"}).failure()
        equal(kind, "ConfigurationError")
        check("there is no user 'no-such-user'" in message, message)


@story
def only_root_can_run_a_job_as_another_user():
    need_root()
    with Jobs(uid=NOBODY) as jobs:
        kind, message = jobs.start("command", {"command": "true"}, sandbox={"user": "daemon"}).failure()
        equal(kind, "ConfigurationError")
        check("is not root" in message, message)


# --- when the disk is full ---

@story
def a_result_waits_for_space_on_the_disk():
    need_root()
    with Jobs() as jobs:
        job = jobs.make()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "none", job.dir], check=True)
        try:
            spec = jobs.spec(job, "rude", {"mode": "wait"})
            jobs.spawn(job, spec)
            agent = job.connect()
            agent.receive_until(lambda m: m["m"] == "progress", "the handler")
            filler = os.path.join(job.dir, "filler")
            with open(filler, "wb", buffering=0) as f:
                try:
                    while True:
                        f.write(b"x" * 4096)
                except OSError:
                    pass
            agent.send({"m": "cancel", "reason": "over"})
            wait_for(lambda: job.ended() or "result.json cannot be written" in jobs.errors(), what="the complaint")
            check(not job.ended(), f"the shim waits: {jobs.errors()}")
            os.unlink(filler)
            check(job.failure()[1].startswith("cancelled: over"), "the outcome is the same")
        finally:
            job.kill()
            subprocess.run(["umount", job.dir], check=True)


# --- around it ---

@story
def a_plugin_can_be_described():
    with Jobs() as jobs:
        done = subprocess.run([JOB, "--describe", os.path.join(jobs.plugins, "ok.so")], capture_output=True,
                              text=True, check=True)
        told = json.loads(done.stdout)
        equal((told["name"], told["abi"], told["idempotent"]), ("ok", "1.0", True))
        equal([o["name"] for o in told["options"]], ["greeting", "secret", "count", "loud", "target"])
        done = subprocess.run([JOB, "--describe", os.path.join(jobs.plugins, "bad_abi.so")], capture_output=True,
                              text=True)
        equal(done.returncode, 78)
        check("made for ABI 2.0" in done.stderr, done.stderr)


@story
def started_by_hand_it_says_what_is_missing():
    done = subprocess.run([JOB], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    equal(done.returncode, 2)
    check("descriptors 3" in done.stderr, done.stderr)
    equal(subprocess.run([JOB, "--help"], capture_output=True).returncode, 0)
    equal(subprocess.run([JOB, "--nonsense"], capture_output=True).returncode, 2)


@story
def the_program_links_to_libc_and_json_c_alone():
    done = subprocess.run(["readelf", "-d", JOB], capture_output=True, text=True)
    if done.returncode != 0:
        skip("no readelf")
    if "libasan" in done.stdout or b"__asan_init" in open(JOB, "rb").read():
        skip("a sanitizer build")
    libraries = sorted(line.split("[")[1].split(".so")[0] for line in done.stdout.splitlines() if "NEEDED" in line)
    equal([name for name in libraries if name not in ("libc", "libjson-c", "libdl", "ld-linux-x86-64")], [])


run()
