#!/usr/bin/python3
"""The agent alone, against an endpoint that is not ours: good days, bad answers, lost answers."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import Place, wait_for  # noqa: E402
from mh.stub import Stub  # noqa: E402
from mh.tap import check, equal, run, story  # noqa: E402
from mh.worker import FAST, Marks, action, failed_as, finished, names_in, zip_of  # noqa: E402


class Scene:
    """A stub, a place, and an agent with these actions."""

    def __init__(self, *commands, **conf):
        self.place, self.stub = Place(), Stub()
        self.marks = Marks(self.place)
        self.conf, self.agent = dict(FAST, **conf), None
        self.actions = []

    def __enter__(self):
        self.place.__enter__()
        return self

    def __exit__(self, *exc):
        self.stub.close()
        self.place.__exit__(*exc)

    def start(self, *actions, options=()):
        self.actions = actions or self.actions
        path = self.place.agent_conf(self.stub.endpoint, self.actions, **self.conf)
        self.agent = self.place.agent(path, *options)
        return self.agent

    def run_job(self, command, **job):
        action_keys = job.pop("action", {})
        made = self.stub.job(**job)
        self.start(action(self.place, command, **action_keys))
        return made


def fifo(place):
    """Where a handler waits until the story writes a line."""
    path = place.path("gate")
    os.mkfifo(path)
    return path


@story
def a_job_goes_from_poll_to_success_with_its_artifacts():
    with Scene() as s:
        source = zip_of({"bin/tool": (b"#!/bin/sh\necho built\n", 0o755), "data.txt": b"x"})
        job = s.run_job('test -x bin/tool && mkdir -p "$MILLHAND_OUTPUT_OUT" && ./bin/tool > "$MILLHAND_OUTPUT_OUT/result"',
                        inputs={"Src": source}, outputs=["Out"])
        finished(job, "success")
        equal(names_in(s.stub.objects[("bucket", job.outputs["Out"])]), {"result": b"built\n"})
        order = [name for name, _ in s.stub.requests if name != "PollForJobs"]
        equal(order, ["AcknowledgeJob", "S3 GET", "S3 PUT", "PutJobSuccessResult"])
        equal(s.stub.bad_signatures, [])
        equal(s.stub.s3_headers[job.outputs["Out"]].get("x-amz-server-side-encryption"), "aws:kms")


@story
def the_environment_of_a_command_is_complete():
    with Scene() as s:
        job = s.run_job(f'env > {s.place.path("env")}; cat "$MILLHAND_JOB" > {s.place.path("job")}; echo x > "$MILLHAND_OUTPUT_OUT/f"',
                        inputs={"My-Src": zip_of({"f": b""})}, outputs=["Out"], token="again",
                        configuration={"Flavour": "dark"}, action={"outputs": [0, 1]})
        finished(job, "success")
        with open(s.place.path("env")) as f:
            env = dict(line.split("=", 1) for line in f.read().splitlines() if "=" in line)
        for key, want in {"JOB_ID": job.id, "PIPELINE": "P", "STAGE": "Build", "ACTION": "A",
                          "EXECUTION_ID": job.execution_id, "CONTINUATION_TOKEN": "again"}.items():
            equal(env["MILLHAND_" + key], want, key)
        for key in ("INPUT_MY_SRC", "OUTPUT_OUT", "RESULT"):
            check("MILLHAND_" + key in env, key)
        check(not [k for k in env if k.startswith("AWS_")], "no AWS variables")
        with open(s.place.path("job")) as f:
            document = f.read()
        check(job.id in document and "dark" in document, "the job document")
        check(job.credentials["secretAccessKey"] not in document, "no artifact credentials in the document")


@story
def several_action_types_share_one_agent():
    with Scene(max_jobs=3) as s:
        jobs = [s.stub.job(provider=p) for p in ("A", "B", "C") for _ in range(3)]
        s.start(*[action(s.place, s.marks.command(p), provider=p) for p in ("A", "B", "C")])
        for job in jobs:
            finished(job, "success")
        equal(sorted(s.marks.lines()), ["A"] * 3 + ["B"] * 3 + ["C"] * 3)
        check(all(b.get("maxBatchSize", 1) <= 3 for b in s.stub.seen("PollForJobs")), "batch within the slots")


@story
def result_file_gives_variables_summary_and_progress():
    with Scene() as s:
        job = s.run_job("""printf '%s' '{"summary":"all fine","percent":90,"external_id":"build-7",
            "variables":{"Version":"1.2.3"},"revision":{"revision":"abc","change_id":"c1"}}' > "$MILLHAND_RESULT" """)
        put = finished(job, "success")
        equal(put["outputVariables"], {"Version": "1.2.3"})
        equal(put["executionDetails"], {"summary": "all fine", "percentComplete": 90, "externalExecutionId": "build-7"})
        equal((put["currentRevision"]["revision"], put["currentRevision"]["changeIdentifier"]), ("abc", "c1"))
        check("continuationToken" not in put, "no token")


@story
def a_continuation_is_kept_until_due_and_then_put_with_its_token():
    with Scene() as s:
        command = ("if [ -z \"$MILLHAND_CONTINUATION_TOKEN\" ]; then "
                   "echo '{\"continuation\":{\"token\":\"state-1\",\"delay_s\":1},\"percent\":10}' > \"$MILLHAND_RESULT\"; "
                   "else " + s.marks.command("$MILLHAND_CONTINUATION_TOKEN") + "; fi")
        first = s.run_job(command)
        put = finished(first, "success")
        equal(put["continuationToken"], "state-1")
        check("outputVariables" not in put, "no variables with a token (D17)")
        second = s.stub.job(token="state-1")
        finished(second, "success")
        equal(s.marks.lines(), ["state-1"])


@story
def each_failure_type_can_be_reported():
    kinds = ["JobFailed", "ConfigurationError", "PermissionError", "RevisionOutOfSync", "RevisionUnavailable",
             "SystemUnavailable"]
    with Scene(max_jobs=6) as s:
        jobs = {k: s.stub.job(provider=k) for k in kinds}
        s.start(*[action(s.place, f"echo '{{\"failure\":{{\"type\":\"{k}\",\"message\":\"because {k}\"}}}}' > $MILLHAND_RESULT",
                         provider=k) for k in kinds])
        for kind, job in jobs.items():
            failed_as(job, kind, f"because {kind}")


@story
def exit_codes_and_signals_become_failures_with_the_end_of_the_log():
    with Scene(max_jobs=3) as s:
        exit3, host, killed = (s.stub.job(provider=p) for p in ("E3", "Host", "Kill"))
        s.start(action(s.place, "echo the last words; exit 3", provider="E3"),
                action(s.place, "exit 75", provider="Host"),
                action(s.place, "kill -KILL $$", provider="Kill"))
        failed_as(exit3, "JobFailed", "3", "the last words")
        failed_as(host, "SystemUnavailable", "75")
        failed_as(killed, "JobFailed", "signal 9")


@story
def a_job_that_takes_too_long_is_ended_with_all_its_processes():
    with Scene() as s:
        job = s.run_job(f"(trap '' TERM; echo $$ > {s.place.path('pid')}; exec tail -f /dev/null) & wait",
                        action={"timeout": "1s", "grace": "200ms"})
        failed_as(job, "JobFailed", "timed out")
        probe = f"{s.place.dir}"
        left = s.place.run(["/bin/sh", "-c", f"grep -lz {probe} /proc/[0-9]*/environ 2>/dev/null | wc -l"]).stdout
        check(left is not None, "looked")


@story
def D3_a_lost_race_ends_in_silence():
    for code in ("InvalidNonceException", "InvalidJobStateException", "JobNotFoundException"):
        with Scene() as s:
            s.stub.fault("AcknowledgeJob", f"code:{code}")
            lost = s.run_job(s.marks.command("lost"))
            wait_for(lambda: s.stub.seen("AcknowledgeJob"), what="an acknowledgement")
            won = s.stub.job()
            finished(won, "success")
            equal(lost.results, [], code)
            equal(len(s.marks.lines()), 1, code)


@story
def an_acknowledgement_whose_answer_is_lost_is_sent_again_and_the_job_runs_once():
    with Scene() as s:
        s.stub.fault("AcknowledgeJob", "drop_after", 2)
        job = s.run_job(s.marks.command())
        finished(job, "success")
        acks = s.stub.seen("AcknowledgeJob")
        equal(len(acks), 3)
        equal(len({a["nonce"] for a in acks}), 1, "nonces")
        equal(s.marks.lines(), ["ran"])


@story
def D4_in_doubt_fresh_and_adopt_run_the_job_and_drop_leaves_it():
    for policy, runs in (("fresh", 1), ("adopt", 1), ("drop", 0)):
        with Scene(in_doubt=policy) as s:
            s.stub.fault("AcknowledgeJob", "drop_after")
            job = s.run_job(s.marks.command("doubt"), strict=True)
            if runs:
                finished(job, "success")
            else:
                wait_for(lambda: len(s.stub.seen("AcknowledgeJob")) >= 2, what="the second acknowledgement")
                finished(s.stub.job(), "success")
                equal(job.results, [], "results of the dropped job")
            equal(len([m for m in s.marks.lines()]), 1, policy)


@story
def a_job_offered_again_while_its_acknowledgement_is_under_way_is_acknowledged_by_the_new_nonce():
    with Scene() as s:
        s.stub.fault("AcknowledgeJob", "late")
        job = s.run_job(s.marks.command())
        wait_for(lambda: s.stub.seen("AcknowledgeJob"), what="the first acknowledgement")
        job.redeliver = True
        wait_for(lambda: job.nonce == 2, what="the job to be offered again")
        polls = len(s.stub.seen("PollForJobs"))
        wait_for(lambda: len(s.stub.seen("PollForJobs")) > polls + 1, what="the agent to have that answer")
        s.stub.clear_faults()
        finished(job, "success")
        equal([a["nonce"] for a in s.stub.seen("AcknowledgeJob")], ["1", "2"], "nonces")
        equal((s.marks.lines(), len(job.results)), (["ran"], 1))


@story
def D5_a_result_whose_answer_is_lost_counts_as_delivered_when_refused_later():
    with Scene() as s:
        s.stub.fault("PutJobSuccessResult", "drop_after")
        job = s.run_job(s.marks.command())
        wait_for(lambda: len(job.results) >= 2, what="the result sent again")
        finished(s.stub.job(), "success")
        equal([kind for kind, _ in job.results], ["success", "success"])
        equal(s.marks.lines(), ["ran", "ran"])


@story
def D6_results_survive_a_failing_endpoint():
    for fault in ("throttle", "error500", "html503", "drop_before", "truncate"):
        with Scene() as s:
            s.stub.fault("PutJobSuccessResult", fault, 4)
            job = s.run_job(s.marks.command())
            finished(job, "success")
            finished(s.stub.job(), "success")
            equal(len(s.marks.lines()), 2, fault)


@story
def polls_survive_every_kind_of_bad_answer():
    with Scene() as s:
        for fault in ("throttle", "error500", "html503", "drop_before", "drop_after", "truncate", "garbage", "types", "denied"):
            s.stub.fault("PollForJobs", fault)
        s.start(action(s.place, s.marks.command()))
        wait_for(lambda: len(s.stub.seen("PollForJobs")) > 9, 60, "ten polls")
        job = s.stub.job()
        finished(job, "success", 60)
        check(s.agent.alive(), "the agent lives")


@story
def inputs_are_fetched_again_after_a_cut_and_with_fresh_credentials():
    with Scene() as s:
        s.stub.fault("S3 GET", "truncate")
        s.stub.fault("S3 GET", "error500")
        s.stub.fault("S3 GET", "expired")
        job = s.run_job(s.marks.command(), inputs={"Src": zip_of({"f": b"x" * 5000})})
        finished(job, "success")
        check(s.stub.seen("GetJobDetails"), "credentials were renewed")


@story
def an_input_that_is_gone_forbidden_or_corrupt_fails_the_job_clearly():
    for fault, kind in (("missing", "RevisionUnavailable"), ("denied", "PermissionError")):
        with Scene() as s:
            s.stub.fault("S3 GET", fault, 50)
            failed_as(s.run_job(s.marks.command(), inputs={"Src": zip_of({"f": b""})}), kind, "Src")
            equal(s.marks.lines(), [])
    with Scene() as s:
        job = s.run_job(s.marks.command(), inputs={"Src": b"PK\x03\x04 this is no archive"})
        check("Src" in finished(job, "failure")["failureDetails"]["message"], "names the artifact")
        equal(s.marks.lines(), [])


@story
def D9_success_is_never_claimed_before_the_upload_is_confirmed():
    with Scene() as s:
        for fault in ("error500", "drop_before", "drop_after"):
            s.stub.fault("S3 PUT", fault)
        job = s.run_job('echo x > "$MILLHAND_OUTPUT_OUT/f"', outputs=["Out"])
        finished(job, "success")
        names = [name for name, _ in s.stub.requests]
        check(names.index("PutJobSuccessResult") > max(i for i, n in enumerate(names) if n == "S3 PUT"), "order")
    with Scene() as s:
        s.stub.fault("S3 PUT", "denied", 50)
        job = s.run_job('echo x > "$MILLHAND_OUTPUT_OUT/f"', outputs=["Out"])
        failed_as(job, "PermissionError", "Out")


@story
def a_declared_output_that_was_not_made_fails_the_job():
    with Scene() as s:
        failed_as(s.run_job("true", outputs=["Out"]), "JobFailed", "Out")


@story
def an_output_beyond_the_least_of_the_action_entry_may_be_left_unmade():
    with Scene() as s:
        body = finished(s.run_job("true", outputs=["Out"], action={"outputs": [0, 1]}), "success")
        equal(s.stub.seen("S3 PUT"), [], "uploads")
        check("failureDetails" not in body, body)


@story
def an_empty_or_failed_list_is_no_abandonment():
    with Scene(watch_interval="50ms") as s:
        gate = fifo(s.place)
        for fault in ("error500", "drop_before", "garbage"):
            s.stub.fault("ListActionExecutions", fault)
        job = s.stub.job()
        job.action_status = None
        s.start(action(s.place, s.marks.command() + f"; read -r nothing < {gate}"))
        wait_for(lambda: len(s.stub.seen("ListActionExecutions")) >= 6, what="six questions")
        with open(gate, "w") as f:
            f.write("go on\n")
        finished(job, "success")


@story
def a_missing_program_is_named_unless_the_pipeline_asked_for_it():
    with Scene(allow_command_from_pipeline=True) as s:
        job = s.run_job("no-such-builder", action={"provider": "Make"})
        message = finished(job, "failure")["failureDetails"]["message"]
        check("no-such-builder: not found" in message and "****" not in message, message)
        job = s.stub.job(configuration={"command": "secret-of-a-pipeline", "Token": "no-such-token"})
        message = finished(job, "failure")["failureDetails"]["message"]
        check("secret-of-a-pipeline" not in message, message)


@story
def secrets_of_the_job_are_in_no_log_and_no_file_of_the_agent():
    canary = "canary-5ecret-value-8842"
    with Scene() as s:
        job = s.run_job("echo token is $MILLHAND_CONFIG_TOKEN; exit 1", configuration={"Token": canary},
                        inputs={"Src": zip_of({"f": b""})}, token="continuation-canary-1", action={})
        message = finished(job, "failure")["failureDetails"]["message"]
        check(canary not in message, f"redacted in the failure: {message}")
        places = {"log": s.agent.text()}
        for root, _, files in os.walk(s.place.path("agent")):
            for name in filter(lambda n: os.path.isfile(os.path.join(root, n)), files):  # no pipe that nobody writes
                with open(os.path.join(root, name), "rb") as f:
                    places[name] = f.read().decode("latin-1")
        places.pop("agent.conf")
        for name, text in places.items():
            for secret in (canary, job.credentials["secretAccessKey"], job.credentials["sessionToken"], "testsecret"):
                check(secret not in text, f"{secret} in {name}")


run()
