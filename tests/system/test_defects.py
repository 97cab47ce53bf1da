#!/usr/bin/python3
"""What workers in the field get wrong, defect by defect, and what Millhand does instead.

Each story runs before the stub, which shares no code with the product, and before the emulator: its title
says which. What cannot be told yet is skipped and names what is missing. docs/architecture.md has the table.
"""
import io
import os
import signal
import stat
import sys
import tarfile
import zipfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.archives import file, link, raw_zip, tar  # noqa: E402
from mh.jobs import FIXTURES  # noqa: E402
from mh.procs import running  # noqa: E402
from mh.programs import wait_for  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402
from mh.worker import failed_as, finished, kill_shims, names_in, zip_of  # noqa: E402
from mh.worlds import EmulatorWorld, StubWorld  # noqa: E402

RUDE = os.path.join(FIXTURES, "rude.so")


def before_each(tell):
    """The story twice, once for each endpoint."""
    for world, where in ((StubWorld, "the stub"), (EmulatorWorld, "the emulator")):
        def told(world=world):
            tell(world)

        title = tell.__name__.replace("_", " ").replace("d", "D", 1)
        told.__name__, told.__doc__ = f"{tell.__name__}_before_{world.name}", f"{title}, before {where}"
        story(told)
    return tell


def gated(w, after="true"):
    return f"{w.marks.command()}; read go < {w.marks.path}.go; {after}"


def rude(w, provider, mode, **config):
    """An entry for the plugin that does wrong in the way its configuration names."""
    return {"category": "Build", "owner": "Custom", "provider": provider, "version": "1", "plugin": RUDE,
            "config": dict({"mode": mode}, **config), "sandbox": {"write": [w.place.dir]}}


def goes_on(w, provider="Make"):
    """The agent lives, and the next job is as good as any."""
    check(w.agent.alive(), "the agent lives")
    finished(w.job(provider), "success")


# ---- jobs that end badly ----

@before_each
def d01_a_handler_that_throws_is_reported_as_a_failure(World):
    with World(max_jobs=4) as w:
        ends = {"Exit": "echo last words; exit 3", "Signal": "kill -SEGV $$", "Words": "no-such-program"}
        jobs = {p: w.job(p) for p in (*ends, "Crash", "Silent")}
        w.start(*[w.action(command, p) for p, command in ends.items()], rude(w, "Crash", "crash"),
                rude(w, "Silent", "no_outcome"), w.action("true"))
        failed_as(jobs["Exit"], "JobFailed", "code 3", "last words")
        failed_as(jobs["Signal"], "JobFailed", "signal 11")
        failed_as(jobs["Words"], "JobFailed", "code 127", "not found")
        failed_as(jobs["Crash"], "SystemUnavailable", "signal 11")
        finished(jobs["Silent"], "failure")
        equal([len(j.results) for j in jobs.values()], [1] * 5, "results")
        goes_on(w)


@before_each
def d02_an_agent_killed_after_the_acknowledgement_reports_each_job_when_it_is_back(World):
    with World(max_jobs=4) as w:
        jobs = [w.job(p) for p in ("One", "Two")]
        first = w.start(*[w.action(gated(w), p) for p in ("One", "Two")], w.action("true"))
        w.marks.wait(2)
        first.kill()
        w.start(name="second")
        wait_for(lambda: w.agent.text().count("job.adopted") == 2, what="both jobs to be adopted")
        w.marks.go()
        w.marks.go()
        for job in jobs:
            finished(job, "success")
        lost = [w.job(p) for p in ("One", "Two")]
        w.marks.wait(4)
        w.agent.kill()
        equal(kill_shims(w.agent), 2, "shims that were there to kill")
        w.start(name="third")
        for job in lost:
            failed_as(job, "SystemUnavailable", "not run again")
        equal([len(j.results) for j in jobs + lost], [1] * 4, "results")
        equal(len(w.marks.lines()), 4, "runs")
        goes_on(w)


# ---- whose job it is ----

def loses_the_race(World, code):
    options = {"options": ("--ack-timeout", "300ms")} if World is EmulatorWorld else {}
    with World(max_jobs=1, **options) as w:
        job = w.job("Raced")
        w.another_worker_takes(job, code)
        w.start(w.action(w.marks.command("raced"), "Raced"), w.action("true"))
        wait_for(lambda: "job.lost" in w.agent.text(), what="the agent to see that it lost")
        goes_on(w)
        w.another_worker_succeeds(job)
        goes_on(w)
        equal(w.marks.lines(), [], "runs of another worker's job")
        equal(job.results, [], "results for another worker's job")
        equal(len(w.seen("AcknowledgeJob", job)), 1, "acknowledgements")
        equal(w.agent.stop(), 0)
        equal(job.results, [], "results at the end")


@before_each
def d03_a_lost_race_ends_in_silence(World):
    loses_the_race(World, "InvalidNonceException")


@before_each
def d04_a_lost_acknowledgement_is_settled_by_the_policy_that_was_chosen(World):
    for policy, runs, event in (("fresh", 1, "job.doubt_settled"), ("adopt", 1, "job.doubt_settled"),
                                ("drop", 0, "job.dropped")):
        with World(in_doubt=policy, max_jobs=1) as w:
            w.strict()
            job = w.job("Doubt")
            w.fault("AcknowledgeJob", "drop_after")
            w.start(w.action(w.marks.command(), "Doubt"), w.action("true"))
            wait_for(lambda: event in w.agent.text(), what=f"{policy}: {event}")
            check(any(" warn " in line for line in w.agent.text().splitlines() if event in line), "a warning")
            if runs:
                finished(job, "success")
            goes_on(w)
            acks = w.seen("AcknowledgeJob", job)
            equal((len(acks), len({a["nonce"] for a in acks})), (2, 1), f"{policy}: acknowledgements and nonces")
            equal((len(w.marks.lines()), len(job.results)), (runs, runs), f"{policy}: runs and results")


@before_each
def d05_a_result_whose_answer_was_lost_counts_as_delivered(World):
    with World() as w:
        w.fault("PutJobSuccessResult", "drop_after")
        w.fault("PutJobFailureResult", "drop_after")
        good, bad = w.job("Good"), w.job("Bad")
        w.start(w.action(w.marks.command(), "Good"), w.action(w.marks.command() + "; exit 3", "Bad"), w.action("true"))
        for job, kind in ((good, "success"), (bad, "failure")):
            finished(job, kind)
            wait_for(lambda: len(job.results) == 2, what="the result sent again, and refused")
            equal({k for k, _ in job.results}, {kind}, "it never changes its kind")
        wait_for(lambda: w.agent.text().count("result.delivered") == 2, what="both to count as delivered")
        goes_on(w)
        check("result.refused" not in w.agent.text(), w.agent.text())
        equal((len(w.marks.lines()), len(good.results), len(bad.results)), (2, 2, 2), "runs, results")


@before_each
def d06_a_result_waits_for_an_endpoint_that_is_away_longer_than_the_agent_lives(World):
    # Ten minutes and more by the clock: test_agent_job.c, reports_are_retried_...
    with World() as w:
        job = w.job()
        first = w.start(w.action(gated(w)), w.action("true", "Next"))
        w.marks.wait()
        w.go_away()
        w.marks.go()
        wait_for(lambda: w.tries("PutJobSuccessResult") >= 5, what="five tries")
        first.kill()
        w.start(name="second")
        wait_for(lambda: w.tries("PutJobSuccessResult") >= 3, what="three more")
        equal(job.result, None)
        w.come_back()
        finished(job, "success", 60)
        goes_on(w, "Next")
        equal((len(w.marks.lines()), {k for k, _ in job.results}), (1, {"success"}), "runs, kinds of result")


@before_each
def d07_the_work_for_an_abandoned_action_ends_and_is_reported_once_at_most(World):
    with World(watch_interval="100ms") as w:
        job, marker = w.job("Abandoned"), w.place.path("never")
        w.start(w.action(f"touch {marker}; {w.marks.command()}; trap '' TERM; while :; do tail -f {marker}; done", "Abandoned",
                         grace="200ms"), w.action("true"))
        w.marks.wait()
        wait_for(lambda: running(f"tail -f {marker}"), what="the work")
        w.abandon(job)
        wait_for(lambda: "job.abandoned" in w.agent.text(), what="the agent to notice")
        wait_for(lambda: not running(f"tail -f {marker}"), what="the whole tree to end")
        wait_for(lambda: w.agent.text().count("result.") >= 1, what="the job to be closed")
        goes_on(w)
        equal([k for k, _ in job.results], ["failure"], "results")


# ---- artifacts ----

@before_each
def d08_a_job_that_outlives_its_artifact_credentials_has_them_renewed(World):
    # Older than ten minutes they are renewed before they are used: test_agent_api.c, jobdata_creds_usable().
    options = {"options": ("--job-credentials", "1500ms")} if World is EmulatorWorld else {}
    with World(**options) as w:
        job = w.job(inputs={"Src": zip_of({"f": b"x"})}, outputs=["Out"])
        w.start(w.action(gated(w, 'cp f "$MILLHAND_OUTPUT_OUT/f"')))
        w.marks.wait()
        asked = len(w.seen("GetJobDetails", job))
        w.credentials_expire(job)
        w.marks.go()
        finished(job, "success")
        check(len(w.seen("GetJobDetails", job)) > asked, "the agent asked for others")
        equal(names_in(w.output(job, "Out")), {"f": b"x"})
        equal(len(w.marks.lines()), 1, "runs")


@before_each
def d09_an_upload_that_fails_is_never_a_success(World):
    with World() as w:
        w.fault("S3 PUT", "denied", 50)
        job = w.job(outputs=["Out"])
        w.start(w.action('echo x > "$MILLHAND_OUTPUT_OUT/f"'))
        failed_as(job, "PermissionError", "Out")
        equal([k for k, _ in job.results], ["failure"])
    with World() as w:
        for kind in ("error500", "drop_before", "drop_after"):
            w.fault("S3 PUT", kind)
        job = w.job(outputs=["Out"])
        w.start(w.action('echo x > "$MILLHAND_OUTPUT_OUT/f"'))
        finished(job, "success")
        equal(len(w.seen("S3 PUT")), 4, "tries")
        equal(names_in(w.output(job, "Out")), {"f": b"x\n"})


@before_each
def d10_one_failing_job_detail_does_not_cost_the_others_of_its_batch(World):
    options = {"options": ("--ack-timeout", "1s")} if World is EmulatorWorld else {}
    with World(max_jobs=3, **options) as w:
        jobs = [w.third_job() for _ in range(3)]
        w.third_details_fail()
        w.start(w.third_action(w.marks.command()))
        wait_for(lambda: sum(w.ended(j) for j in jobs) == 2, what="the two others")
        equal(len(w.marks.lines()), 2)
        wait_for(lambda: w.offer_again(jobs) or all(w.ended(j) for j in jobs), what="the job that failed, offered again")
        equal(len(w.marks.lines()), 3)


@before_each
def d11_inputs_with_equal_file_names_do_not_meet(World):
    with World() as w:
        both = {name: zip_of({"data": name.encode(), "dir/data": name.encode()}) for name in ("One", "Two")}
        job = w.job(inputs=both, outputs=["Out"])
        w.start(w.action('for d in One Two; do eval "from=\\$MILLHAND_INPUT_$(echo $d | tr a-z A-Z)"; '
                         'cp -r "$from" "$MILLHAND_OUTPUT_OUT/$d" || exit; done', inputs=[2, 2]))
        finished(job, "success")
        equal(names_in(w.output(job, "Out")), {f"{n}/{d}data": n.encode() for n in ("One", "Two") for d in ("", "dir/")})


def hostile_archives(outside):
    """By name: what an input may hold, and words of what is said about it."""
    evil = os.path.join(outside, "evil")
    return {
        "Parent": (raw_zip([file("../" * 12 + evil)]), "climbs out"),
        "Absolute": (raw_zip([file(evil)]), "the name is absolute"),
        "Through-link": (tar(("l", tarfile.SYMTYPE, outside), ("l/evil", tarfile.REGTYPE, b"evil")), "symbolic link"),
        "Link-out": (raw_zip([link("l", outside), file("l/evil")]), "symbolic link"),
        "Hard-link": (tar(("evil", tarfile.LNKTYPE, "/etc/passwd"), ("evil", tarfile.REGTYPE, b"evil")), "hard link"),
        "Device": (tar(("null", tarfile.CHRTYPE, None)), "neither file, directory nor symbolic link"),
        "Many": (raw_zip([file(f"f{i}", b"") for i in range(1001)]), "more than 1000 files"),
        # judged from 100 MiB on
        "Ratio": (raw_zip([file("zeros", b"\0" * (104 << 20), method=8)]), "more than 200 times"),
    }


@before_each
def d12_an_archive_that_means_harm_fails_its_own_job_and_touches_nothing(World):
    with World(max_jobs=8, unpack_entries=1000) as w:
        outside = w.place.path("outside")
        os.mkdir(outside)
        archives = hostile_archives(outside)
        jobs = {name: w.job(name, inputs={"Src": data}) for name, (data, _) in archives.items()}
        w.start(*[w.action(w.marks.command(name), name) for name in archives], w.action("true"))
        for name, job in jobs.items():
            failed_as(job, "JobFailed", "Src", archives[name][1])
        equal((w.marks.lines(), os.listdir(outside)), ([], []), "what ran, and what was written outside")
        goes_on(w)


@before_each
def d13_an_output_of_nothing_and_many_outputs_are_stored(World):
    # The API's own types have at most five outputs; another service may have more.
    count = 6 if World is StubWorld else 5
    with World(max_jobs=2) as w:
        empty, many = w.job("Empty", outputs=["Out"]), w.job("Many", outputs=[f"Out{i}" for i in range(count)])
        w.start(w.action(': > "$MILLHAND_OUTPUT_OUT/empty"', "Empty"),
                w.action(f'for i in $(seq 0 {count - 1}); do eval "to=\\$MILLHAND_OUTPUT_OUT$i"; echo $i > "$to/f" || exit; done',
                         "Many"), w.action("true"))
        finished(empty, "success")
        finished(many, "success")
        equal(names_in(w.output(empty, "Out")), {"empty": b""})
        for i in range(count):
            equal(names_in(w.output(many, f"Out{i}")), {"f": f"{i}\n".encode()})


@before_each
def d13_an_output_beyond_48_gib_is_stored_in_parts(World):
    skip("it takes 48 GiB: test_agent_transfer has the arithmetic, test_transfers.py the uploads in parts")


def tree_as(form):
    """An executable and a symbolic link to it."""
    script = b"#!/bin/sh\necho ran\n"
    if form == "zip":
        return raw_zip([file("tool", script, mode=0o100755), link("link", "tool")])
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz" if form == "tar.gz" else "w") as t:
        info = tarfile.TarInfo("tool")
        info.size, info.mode = len(script), 0o755
        t.addfile(info, io.BytesIO(script))
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.SYMTYPE, "tool"
        t.addfile(info)
    return out.getvalue()


def tree_of(data, form):
    """{name: (mode bits or None, target or None)}"""
    if form == "zip":
        with zipfile.ZipFile(io.BytesIO(data)) as z:
            modes = {i.filename: i.external_attr >> 16 for i in z.infolist()}
            return {n: (None, z.read(n).decode()) if stat.S_ISLNK(m) else (m & 0o777, None) for n, m in modes.items()}
    with tarfile.open(fileobj=io.BytesIO(data)) as t:
        return {m.name: (None, m.linkname) if m.issym() else (m.mode & 0o777, None) for m in t.getmembers()}


@before_each
def d14_executables_and_links_survive_zip_and_tar(World):
    with World(max_jobs=3) as w:
        forms = {"Zip": "zip", "Tar": "tar", "Targz": "tar.gz"}
        jobs = {p: w.job(p, inputs={"Src": tree_as(form)}, outputs=["Out"]) for p, form in forms.items()}
        w.start(*[w.action('test -L link && test "$(./link)" = ran && cp -P tool link "$MILLHAND_OUTPUT_OUT/"', p, format=form)
                  for p, form in forms.items()])
        for p, form in forms.items():
            finished(jobs[p], "success")
            equal(tree_of(w.output(jobs[p], "Out"), form), {"tool": (0o755, None), "link": (None, "tool")}, form)


# ---- the agent's end ----

@before_each
def d15_term_with_jobs_in_the_queue_finishes_what_runs_and_leaves_the_rest(World):
    options = {"options": ("--ack-timeout", "500ms")} if World is EmulatorWorld else {}
    with World(max_jobs=2, **options) as w:
        jobs = [w.job(f"J{i}") for i in range(5)]
        first = w.start(*[w.action(gated(w), f"J{i}") for i in range(5)])
        w.marks.wait(2)
        first.send(signal.SIGTERM)
        wait_for(lambda: "agent.drain" in first.text(), what="the drain")
        equal([j.result for j in jobs], [None] * 5)
        w.marks.go()
        w.marks.go()
        equal(first.wait(20), 0, "exit code")
        equal(sum(w.ended(j) for j in jobs), 2, "jobs that are done")
        equal((len(w.seen("AcknowledgeJob")), len(w.marks.lines())), (2, 2), "acknowledgements and runs")
        for _ in jobs:
            w.marks.go()
        w.start(name="second")
        for job in jobs:
            finished(job, "success")
        equal(len(w.marks.lines()), 5, "runs")


# ---- what the API takes ----

def result_file(text):
    return f"printf '%s' '{text}' > \"$MILLHAND_RESULT\""


@before_each
def d16_reports_keep_to_the_limits_of_the_api(World):
    with World(max_jobs=6) as w:
        jobs = {p: w.job(p) for p in ("Long-texts", "Log", "Token", "Token-max", "Variables", "Variables-max", "File")}
        w.start(rude(w, "Long-texts", "long_texts"), rude(w, "Token", "long_token", number="2049"),
                rude(w, "Variables", "variables", number="122881"), rude(w, "Variables-max", "variables", number="122880"),
                rude(w, "Token-max", "long_token", number="2048"),
                w.action("head -c 9000 /dev/zero | tr '\\0' x; echo; exit 3", "Log"),
                w.action("x=$(head -c 6000 /dev/zero | tr '\\0' x); " + result_file("{\"summary\":\"'$x'\"}"), "File"),
                w.action("true"))
        check(len(failed_as(jobs["Long-texts"], "JobFailed")) == 2500, "a message is cut at a whole character")
        check(len(failed_as(jobs["Log"], "JobFailed", "code 3")) <= 5000, "a log's end has the room that is left")
        finished(jobs["Token"], "failure")
        finished(jobs["Variables"], "failure")
        equal(len(finished(jobs["File"], "success")["executionDetails"]["summary"]), 2048)
        wait_for(lambda: jobs["Token-max"].results, what="the longest token")
        equal(len(jobs["Token-max"].results[0][1]["continuationToken"]), 2048)
        equal(sum(len(k) + len(v) for k, v in finished(jobs["Variables-max"], "success")["outputVariables"].items()), 122880)
        goes_on(w)
        equal({p: len(j.results) for p, j in jobs.items() if p != "Token-max"}, {p: 1 for p in jobs if p != "Token-max"}, "tries")


@before_each
def d16_a_report_that_is_invalid_all_the_same_is_not_sent_for_ever(World):
    with World() as w:
        w.fault("PutJobSuccessResult", "code:ValidationException" if World is StubWorld else "invalid")
        job = w.job("Invalid")
        w.start(w.action(w.marks.command(), "Invalid"), w.action("true"))
        wait_for(lambda: "result.refused" in w.agent.text(), what="the agent to take the refusal")
        goes_on(w)
        equal((len(w.seen("PutJobSuccessResult", job)), len(w.marks.lines())), (1, 1), "tries, runs")


@before_each
def d17_output_variables_beside_a_continuation_token_are_left_out(World):
    with World() as w:
        job = w.job("Goes-on")
        w.start(rude(w, "Goes-on", "continue", value="round-2", number="0"), w.action("true"))
        put = wait_for(lambda: job.results, what="the first report")[0][1]
        equal(put["continuationToken"], "round-2")
        check("outputVariables" not in put, put)
        goes_on(w)


@before_each
def d18_invalid_job_state_to_an_acknowledgement_is_a_lost_race_too(World):
    # The emulator says InvalidNonceException, as AWS documents; its answer is translated on the way.
    loses_the_race(World, "InvalidJobStateException")
    with World(in_doubt="drop", max_jobs=1) as w:  # and where the first answer was lost, it settles the doubt
        w.strict()
        job = w.job("Doubt")
        w.fault("AcknowledgeJob", "drop_after")
        w.refuse_the_next_by("InvalidJobStateException")
        w.start(w.action(w.marks.command(), "Doubt"), w.action("true"))
        wait_for(lambda: "job.dropped" in w.agent.text(), what="the doubt to be settled")
        equal((w.marks.lines(), job.results), ([], []), "runs and results")


run()
