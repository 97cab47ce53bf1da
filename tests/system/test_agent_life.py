#!/usr/bin/python3
"""The agent as a service: its arguments, exit codes and signals, hand-over, bad set-ups, abandoned actions."""
import os
import random
import signal
import sqlite3
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh import findings  # noqa: E402
from mh.programs import AGENT, Place, Program, wait_for  # noqa: E402
from mh.stub import ApiError, Stub  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402
from mh.worker import FAST, Marks, action, failed_as, finished, zip_of  # noqa: E402


class Scene:
    """A stub, a place, marks, and a gate that commands can wait at."""

    def __init__(self, **conf):
        self.place, self.stub = Place(), Stub()
        self.marks, self.gate = Marks(self.place), self.place.path("gate")
        self.keys = dict(FAST, **conf)
        self.conf = None
        os.mkfifo(self.gate)

    def __enter__(self):
        self.place.__enter__()
        return self

    def __exit__(self, *exc):
        self.stub.close()
        self.place.__exit__(*exc)

    def gated(self, after="true"):
        return f"{self.marks.command()}; read line < {self.gate}; {after}"

    def open_gate(self):
        with open(self.gate, "w") as f:
            f.write("go\n")

    def start(self, command, *options, name="agent", **keys):
        self.conf = self.place.agent_conf(self.stub.endpoint, [action(self.place, command, **keys)], **self.keys)
        return self.place.agent(self.conf, *options, name=name)


def ended(agent, code, seconds=20):
    equal(agent.wait(seconds), code, f"exit code; log: {agent.text()}")


# ---- arguments and configuration ----

@story
def arguments_are_explained_and_wrong_ones_refused():
    with Place() as place:
        equal(place.run([AGENT, "--help"]).stderr, "")
        check("--idle-timeout" in place.run([AGENT, "--help"]).stdout, "help")
        check("millhand-agent" in place.run([AGENT, "--version"]).stdout, "version")
        for words in (["--nonsense"], ["extra"], ["--max-jobs", "0"], ["--idle-timeout", "soon"], ["--max-uptime", "-1"], ["-c"]):
            done = place.run([AGENT] + words, check=False)
            equal(done.returncode, 2, str(words))
            check(done.stderr and not done.stdout, f"{words}: {done.stderr}")


@story
def a_configuration_is_checked_and_dumped_and_the_dump_is_a_configuration():
    with Scene() as s:
        s.start("true", "--check", name="checked").wait()
        done = s.place.run([AGENT, "-c", s.conf, "--check"])
        check("ok, 1 action types" in done.stdout, done.stdout)
        dump = s.place.run([AGENT, "-c", s.conf, "--dump"]).stdout
        check("testsecret" not in dump and "max_jobs = 8" in dump, dump)
        again = s.place.path("dumped.conf")
        with open(again, "w") as f:
            f.write(dump)
        equal(s.place.run([AGENT, "-c", again, "--dump"]).stdout, dump)
        check("#max_jobs = 8" in s.place.run([AGENT, "--sample"]).stdout, "sample")
        check(not os.path.exists(s.place.path("agent", "state")), "checking makes no state")


@story
def a_wrong_configuration_is_one_line_with_file_line_and_key_and_exit_code_78():
    with Scene() as s:
        s.start("true", "--check").wait()
        with open(s.conf) as f:
            good = f.read()
        for change, words in ((("max_jobs", "max_jobz = 3;\n"), "max_jobz"),
                              (("in_doubt", 'in_doubt = "often";\n'), "in_doubt"),
                              (("x", "actions = ( ;\n"), ":"),
                              (("plugin", None), "no-such-plugin.so")):
            text = good.replace('plugin = "command"', 'plugin = "no-such-plugin"') if change[1] is None else change[1] + good
            with open(s.conf, "w") as f:
                f.write(text)
            done = s.place.run([AGENT, "-c", s.conf], check=False)
            equal(done.returncode, 78, words)
            equal(len(done.stderr.strip().splitlines()), 1, done.stderr)
            check(words in done.stderr and "agent.conf" in done.stderr, done.stderr)
        done = s.place.run([AGENT, "-c", s.place.path("absent.conf")], check=False)
        equal(done.returncode, 78)
        check("absent.conf" in done.stderr, done.stderr)


@story
def a_plugin_that_cannot_be_loaded_is_found_at_the_start():
    with Scene() as s:
        for name, words in (("not-elf", "cannot be loaded"), ("gone", "gone.so")):
            broken = s.place.path(name + ".so")
            with open(broken, "w") as f:
                f.write("this is no plugin")
            if name == "gone":
                os.unlink(broken)
            conf = s.place.agent_conf(s.stub.endpoint, [action(s.place, "true", plugin=broken)], **s.keys)
            for options in ((), ("--check",)):
                done = s.place.run([AGENT, "-c", conf, *options], check=False)
                equal(done.returncode, 78, f"{name} {options}")
                check("actions[0].plugin" in done.stderr and words in done.stderr, done.stderr)
        equal(s.stub.requests, [])


@story
def missing_credentials_are_named_with_all_places_that_were_looked_at():
    with Scene() as s:
        s.start("true", "--check").wait()
        with open(s.conf) as f:
            lines = [line for line in f if not line.startswith("credentials")]
        with open(s.conf, "w") as f:
            f.writelines(lines)
        done = s.place.run([AGENT, "-c", s.conf], check=False)
        equal(done.returncode, 78)
        check("AWS_ACCESS_KEY_ID" in done.stderr, done.stderr)
        env = dict(s.place.env, AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="testsecret")
        agent = s.place.agent(s.conf, "--idle-timeout", "200ms", env=env, name="env")
        ended(agent, 0)
        equal(s.stub.bad_signatures, [])


# ---- ends ----

@story
def once_does_one_job_and_ends():
    with Scene() as s:
        first, second = s.stub.job(), s.stub.job()
        agent = s.start(s.marks.command(), "--once")
        ended(agent, 0)
        equal(first.result[0], "success")
        equal((second.status, second.dispatches, len(s.marks.lines())), ("Queued", 0, 1))


@story
def max_jobs_counts_jobs_and_not_lost_races():
    with Scene() as s:
        s.stub.fault("AcknowledgeJob", "code:InvalidNonceException")
        jobs = [s.stub.job() for _ in range(4)]
        agent = s.start(s.marks.command(), "--max-jobs", "3")
        ended(agent, 0)
        equal(len([j for j in jobs if j.result]), 3)


@story
def an_idle_agent_ends_when_told_to():
    with Scene() as s:
        job = s.stub.job()
        agent = s.start(s.marks.command(), "--idle-timeout", "300ms")
        ended(agent, 0)
        equal(job.result[0], "success")


@story
def after_its_uptime_an_agent_drains_and_ends():
    with Scene() as s:
        job = s.stub.job()
        agent = s.start(s.gated(), "--max-uptime", f"{round(1000 * findings.SLOW)}ms")
        s.marks.wait()
        wait_for(lambda: "agent.max_uptime" in agent.text(), what="the end of its time")
        other = s.stub.job()
        s.open_gate()
        finished(job, "success")
        ended(agent, 0)
        equal((other.status, agent.text().count("agent.drain")), ("Queued", 1))


@story
def without_jobs_an_agent_ends_when_its_time_is_over():
    with Scene() as s:
        agent = s.start("true", "--max-uptime", "200ms", "--idle-timeout", "1h")
        ended(agent, 0)


@story
def a_drain_that_takes_too_long_leaves_the_rest_to_the_next_start():
    with Scene(drain_timeout="300ms") as s:
        job = s.stub.job()
        agent = s.start(s.gated())
        s.marks.wait()
        agent.send(signal.SIGTERM)
        ended(agent, 0)
        check("job.left" in agent.text() and not job.results, agent.text())
        second = s.place.agent(s.conf, name="second")
        wait_for(lambda: "job.adopted" in second.text(), what="adoption")
        s.open_gate()
        finished(job, "success")
        equal(s.marks.lines(), ["ran"])


@story
def term_drains_finishes_what_runs_and_takes_nothing_new():
    with Scene() as s:
        job = s.stub.job()
        agent = s.start(s.gated())
        s.marks.wait()
        agent.send(signal.SIGTERM)
        wait_for(lambda: "agent.drain" in agent.text(), what="the drain")
        other = s.stub.job()
        s.open_gate()
        finished(job, "success")
        ended(agent, 0)
        equal(other.status, "Queued")


@story
def a_second_term_cancels_running_jobs_and_reports_them():
    with Scene() as s:
        job = s.stub.job()
        agent = s.start(s.marks.command() + "; exec tail -f /dev/null")
        s.marks.wait()
        agent.send(signal.SIGTERM)
        wait_for(lambda: "agent.drain" in agent.text(), what="the drain")
        agent.send(signal.SIGTERM)
        check("operator" in finished(job, "failure")["failureDetails"]["message"], "says why")
        ended(agent, 0)


@story
def quit_cancels_at_once_and_also_what_is_not_started():
    with Scene() as s:
        s.stub.fault("S3 GET", "hang", 5)
        job = s.stub.job(inputs={"Src": zip_of({"f": b""})})
        agent = s.start(s.marks.command())
        wait_for(lambda: s.stub.seen("S3 GET"), what="the fetch")
        agent.send(signal.SIGQUIT)
        failed_as(job, "SystemUnavailable", "cancelled before it was started")
        ended(agent, 0)
        equal(s.marks.lines(), [])


@story
def a_third_term_ends_at_once_and_the_next_start_goes_on():
    with Scene() as s:
        job = s.stub.job()
        agent = s.start(f"trap '' TERM; {s.gated()}", grace="20s")
        s.marks.wait()
        for word in ("agent.drain", "agent.cancel"):
            agent.send(signal.SIGTERM)
            wait_for(lambda: word in agent.text(), what=word)
        agent.send(signal.SIGTERM)
        ended(agent, 1)
        equal(job.results, [])
        second = s.place.agent(s.conf, name="second")
        wait_for(lambda: "job.adopted" in second.text(), what="adoption")
        s.open_gate()
        finished(job, "failure")


@story
def usr2_hands_over_and_the_next_agent_adopts():
    with Scene() as s:
        job = s.stub.job()
        first = s.start(s.gated())
        s.marks.wait()
        first.send(signal.SIGUSR2)
        ended(first, 0)
        check("job.left" in first.text(), "says what it leaves")
        equal(job.results, [])
        second = s.place.agent(s.conf, name="second")
        wait_for(lambda: "job.adopted" in second.text(), what="adoption")
        s.open_gate()
        finished(job, "success")
        equal((s.marks.lines(), len(s.stub.seen("AcknowledgeJob"))), (["ran"], 1))
        equal(second.stop(), 0)


@story
def usr1_logs_the_state():
    with Scene() as s:
        s.stub.job()
        agent = s.start(s.gated())
        s.marks.wait()
        agent.send(signal.SIGUSR1)
        wait_for(lambda: "agent.job" in agent.text(), what="the dump")
        check("started" in agent.text().split("agent.job")[1], "the job's state")
        s.open_gate()
        equal(agent.stop(), 0)


# ---- state directories ----

@story
def a_second_agent_on_the_same_directory_ends_with_75_and_harms_nothing():
    with Scene() as s:
        job = s.stub.job()
        first = s.start(s.gated())
        s.marks.wait()
        second = s.place.agent(s.conf, name="second")
        ended(second, 75)
        check(f"pid {first.process.pid}" in second.text(), second.text())
        s.open_gate()
        finished(job, "success")


@story
def a_directory_of_another_version_is_refused_and_left_as_it_is():
    with Scene() as s:
        s.start("true", "--idle-timeout", "50ms").wait()
        path = s.place.path("agent", "state", "ledger.db")
        db = sqlite3.connect(path)
        db.execute("PRAGMA user_version=77")
        db.close()
        with open(path, "rb") as f:
            before = f.read()
        agent = s.place.agent(s.conf, name="other")
        ended(agent, 78)
        check("newer version" in agent.text() and "77" in agent.text(), agent.text())
        with open(path, "rb") as f:
            equal(f.read(), before)


@story
def successes_leave_no_directories_and_only_the_last_failures_stay():
    with Scene(keep_failed=2) as s:
        agent = s.start('case $MILLHAND_CONFIG_END in bad) exit 1;; *) exit 0;; esac')
        for end in ("good", "bad", "bad", "bad", "good"):
            finished(s.stub.job(configuration={"End": end}), "failure" if end == "bad" else "success")
        jobs = s.place.path("agent", "state", "jobs")
        wait_for(lambda: sorted(os.listdir(jobs)) == ["3", "4"], what=f"two directories: {os.listdir(jobs)}")
        equal(agent.stop(), 0)
        equal(sorted(os.listdir(os.path.join(jobs, "4"))), ["lock", "log", "result.json"])
        os.makedirs(os.path.join(jobs, "99", "fetch"))
        s.place.agent(s.conf, "--idle-timeout", "50ms", name="second").wait()
        equal(sorted(os.listdir(jobs)), ["3", "4"])


@story
def a_ledger_without_room_holds_every_request_back_until_there_is_room():
    with Scene(min_free=0) as s:
        state = s.place.path("small")
        os.makedirs(state)
        s.keys["state_dir"] = state
        s.keys["work_dir"] = s.place.path("work")
        s.start("true", "--check").wait()
        # A file system of its own, seen by the agent alone, and full.
        script = f"mount -t tmpfs -o size=1m none {state} || exit 99; exec {AGENT} -c {s.conf}"
        agent = Program(s.place, "small", ["unshare", "-m", "sh", "-c", script])
        s.place.programs.append(agent)
        wait_for(lambda: not agent.alive() or "agent.ready" in agent.text(), what="the agent")
        if not agent.alive():
            skip(f"no mount namespace here: {agent.text()}")
        filler = f"/proc/{agent.process.pid}/root{state}/filler"
        with open(filler, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"x" * 4096)
            except OSError:
                pass
        job = s.stub.job()
        # Polled before the disk was looked at, or no more polled: what is kept back is not for offers.
        wait_for(lambda: any(event in agent.text() for event in ("ledger.full", "disk.low")), what="the disk to be full")
        equal(s.stub.seen("AcknowledgeJob"), [], "acknowledgements before there is room")
        check("disk.reserve_used" not in agent.text(), agent.text())
        os.unlink(filler)
        finished(job, "success")
        equal(len(s.stub.seen("AcknowledgeJob")), 1)
        check(agent.text().count("ledger.full") == agent.text().count("ledger.ok") < 2, agent.text())
        equal(agent.stop(), 0)


@story
def a_ledger_that_cannot_be_written_ends_the_agent_before_anything_is_acknowledged():
    with Scene() as s:
        s.start("true", "--idle-timeout", "50ms").wait()
        job = s.stub.job()
        script = f'ulimit -f 1; trap "" XFSZ; {AGENT} -c {s.conf} 2>&1 | cat'
        agent = Program(s.place, "limited", ["/bin/sh", "-c", script])
        s.place.programs.append(agent)
        agent.wait()
        check("ledger.failed" in agent.text() or "agent.not_started" in agent.text(), agent.text())
        equal(s.stub.seen("AcknowledgeJob"), [])
        job.redeliver = True
        s.place.agent(s.conf, name="second")
        finished(job, "success")


# ---- abandoned actions ----

@story
def an_abandoned_action_is_cancelled_and_a_denied_watch_is_not_asked_again():
    with Scene(watch_interval="100ms") as s:
        job = s.stub.job()
        answers = {"status": "InProgress"}

        def list_actions(body):
            equal(body["filter"], {"pipelineExecutionId": job.execution_id})
            return {"actionExecutionDetails": [{"actionExecutionId": job.action_id, "status": answers["status"]}]}

        s.stub.api_ListActionExecutions = list_actions
        agent = s.start(s.marks.command() + "; exec tail -f /dev/null")
        s.marks.wait()
        wait_for(lambda: len(s.stub.seen("ListActionExecutions")) >= 2, what="two looks")
        equal(job.results, [])
        answers["status"] = "Abandoned"
        check("abandoned" in finished(job, "failure")["failureDetails"]["message"], "says why")
        check("job.abandoned" in agent.text(), agent.text())
    with Scene(watch_interval="100ms") as s:
        def denied(body):
            raise ApiError("AccessDeniedException")

        s.stub.api_ListActionExecutions = denied
        job = s.stub.job()
        agent = s.start(s.gated())
        s.marks.wait()
        wait_for(lambda: "watch.off" in agent.text(), what="the watch to end")
        s.open_gate()
        finished(job, "success")
        equal(len(s.stub.seen("ListActionExecutions")), 1)


# ---- the wire ----

@story
def a_skewed_clock_is_corrected_by_what_the_service_says():
    """A server ten minutes ahead refuses the first signature and takes the second."""
    import datetime
    import email.utils

    with Scene() as s:
        ahead = datetime.timedelta(minutes=10)
        seen = []
        handler = s.stub.server.RequestHandlerClass

        class Ahead(handler):
            def date_time_string(self, timestamp=None):
                return email.utils.format_datetime(datetime.datetime.now(datetime.timezone.utc) + ahead, usegmt=True)

            def refuse(self, fault):
                sent = datetime.datetime.strptime(self.headers["X-Amz-Date"] + "+0000", "%Y%m%dT%H%M%SZ%z")
                off = abs((datetime.datetime.now(datetime.timezone.utc) + ahead - sent).total_seconds())
                seen.append(off)
                return super().refuse("code:InvalidSignatureException" if off > 300 else fault)

        s.stub.server.RequestHandlerClass = Ahead
        job = s.stub.job()
        s.start(s.marks.command())
        finished(job, "success")
        equal(len([off for off in seen if off > 300]), 1, "refused requests")


@story
def a_cut_download_goes_on_where_it_stopped():
    with Scene() as s:
        data = os.urandom(1 << 20)
        s.stub.fault("S3 GET", "truncate")
        ranges = []
        handler = s.stub.server.RequestHandlerClass

        class Watching(handler):
            def s3_get(self):
                ranges.append((self.headers.get("Range"), self.headers.get("If-Match")))
                return super().s3_get()

        s.stub.server.RequestHandlerClass = Watching
        job = s.stub.job(inputs={"Src": zip_of({"f": data})})
        s.start("cmp -s f f && wc -c < f > " + s.place.path("size"))
        finished(job, "success")
        with open(s.place.path("size")) as f:
            equal(int(f.read()), len(data))
        equal(ranges[0], (None, None))
        check(len(ranges) == 2 and ranges[1][0].startswith("bytes=") and ranges[1][1], str(ranges))


@story
def an_input_over_the_limit_fails_the_job_at_once():
    with Scene(input_max="10k") as s:
        job = s.stub.job(inputs={"Src": zip_of({"f": os.urandom(20000)})})
        s.start(s.marks.command())
        failed_as(job, "JobFailed", "Src", "input_max")
        equal((s.marks.lines(), len(s.stub.seen("S3 GET"))), ([], 1))


@story
def a_store_that_ignores_ranges_is_asked_for_the_whole_again():
    with Scene() as s:
        handler = s.stub.server.RequestHandlerClass

        class Whole(handler):
            def s3_get(self):
                del self.headers["Range"]
                return super().s3_get()

        s.stub.server.RequestHandlerClass = Whole
        s.stub.fault("S3 GET", "truncate")
        job = s.stub.job(inputs={"Src": zip_of({"f": os.urandom(100000)})})
        s.start(s.marks.command())
        finished(job, "success")
        equal(len(s.stub.seen("S3 GET")), 3)


@story
def a_storm_of_kills_and_faults_loses_nothing_and_runs_nothing_twice():
    seed = int(os.environ.get("MH_SEED") or random.randrange(1 << 30))
    print(f"# MH_SEED={seed}", flush=True)
    dice = random.Random(seed)
    # Offered again at once, sooner than in_doubt = "fresh" counts on: it would take another's acknowledgement for its own.
    with Scene(max_jobs=6, in_doubt="drop") as s:
        jobs = [s.stub.job(inputs={"Src": zip_of({"f": b"x" * 1000})}, outputs=["Out"]) for _ in range(20)]
        command = f'echo $MILLHAND_JOB_ID >> {s.marks.path} && echo out > "$MILLHAND_OUTPUT_OUT/f"'
        lives = 0
        while not all(j.result for j in jobs):
            check(lives < 200, f"the work never ends: {[j.status for j in jobs]}")
            for operation in ("AcknowledgeJob", "PutJobSuccessResult", "S3 GET", "S3 PUT", "GetJobDetails"):
                if dice.random() < 0.3:
                    s.stub.fault(operation, dice.choice(["drop_after", "drop_before", "error500", "throttle"]))
            lives += 1
            agent = s.start(command, name=f"life{lives}") if lives == 1 else s.place.agent(s.conf, name=f"life{lives}")
            enough = len(s.stub.requests) + dice.randrange(1, 30)
            wait_for(lambda: len(s.stub.requests) >= enough or all(j.result for j in jobs), 60, "some requests")
            agent.kill()
            for j in jobs:
                j.redeliver = j.status == "Dispatched"
        ran = s.marks.lines()
        equal(sorted(ran), sorted(set(ran)), "handlers that ran twice")
        for j in jobs:
            equal({kind for kind, _ in j.results}, {"success"}, j.id)
            check(j.id in ran and ("bucket", j.outputs["Out"]) in s.stub.objects, f"{j.id} ran and left its output")


@story
def an_endpoint_that_is_not_there_is_waited_for():
    with Scene() as s:
        endpoint, s.stub.endpoint = s.stub.endpoint, "http://127.0.0.1:9"
        agent = s.start(s.marks.command())
        wait_for(lambda: "poll.failed" in agent.text(), what="the failure to be told")
        equal(agent.text().count("poll.failed"), 1, "told once")
        check("connect" in agent.text().lower(), agent.text())
        s.stub.endpoint = endpoint
        equal(agent.stop(), 0)


run()
