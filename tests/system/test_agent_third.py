#!/usr/bin/python3
"""Third-party jobs by the agent: tokens by file and by command, and what goes wrong with one job or one client."""
import json
import os
import signal
import sqlite3
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import AGENT, EMULATOR, Place, conf_value, wait_for  # noqa: E402
from mh.status import LISTEN, Status  # noqa: E402
from mh.stub import CLIENT, Stub  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402
from mh.worker import FAST, Marks, action, failed_as, finished, names_in, zip_of  # noqa: E402

OTHER = "c11e0000-0000-4000-8000-000000000002"


class World:
    """The stub, and an agent that serves its third-party jobs."""

    def __init__(self, **keys):
        self.place, self.stub, self.keys = Place(), Stub(), dict(FAST, **keys)

    def __enter__(self):
        self.place.__enter__()
        self.marks, self.file = Marks(self.place), self.place.path("clients")
        self.write(self.stub.client_tokens)
        return self

    def __exit__(self, *exc):
        self.stub.close()
        self.place.__exit__(*exc)

    def write(self, tokens, path=None):
        """The file of tokens, by replacing it."""
        lines = ["# the clients", ""] + [f"{client} {token}" for client, token in tokens.items()]
        new = self.place.path("clients.new")
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write("\n".join(lines) + "\n")
        os.rename(new, path or self.file)

    def command(self, text):
        """A program of tokens, which notes what it is asked."""
        path = self.place.path("token-of")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o700), "w") as f:
            f.write(f'#!/bin/sh\necho "$@" >> {path}.asked\n{text}\n')
        return path

    def asked(self):
        path = self.place.path("token-of.asked")
        return open(path).read().split() if os.path.exists(path) else []

    def conf(self, *entries, tokens=None, **keys):
        entries = entries or (self.entry(self.marks.command()),)
        return self.place.agent_conf(self.stub.endpoint, list(entries), client_tokens=tokens or {"file": self.file},
                                     **dict(self.keys, **keys))

    def entry(self, command, **keys):
        return action(self.place, command, owner="ThirdParty", **keys)

    def start(self, *entries, name="agent", **keys):
        self.agent = self.place.agent(self.conf(*entries, **keys), name=name)
        return self.agent

    def rows(self, *columns):
        path = f"file:{self.place.path('agent', 'state', 'ledger.db')}?mode=ro"
        with sqlite3.connect(path, uri=True) as db:
            return db.execute(f"SELECT {', '.join(columns)} FROM jobs ORDER BY n").fetchall()

    def leaks(self, *secrets):
        """Files of the agent, its log included, that hold one of them."""
        found = []
        for folder, _, names in os.walk(self.place.dir):
            for name in names:
                path = os.path.join(folder, name)
                if path == self.file or not os.path.isfile(path):
                    continue
                with open(path, "rb") as f:
                    text = f.read()
                found += [path for secret in secrets if secret.encode() in text]
        return found


@story
def a_job_goes_from_its_details_to_its_result():
    with World() as w:
        command = w.marks.command("$MILLHAND_CONFIG_TARGET") + '; cp "$MILLHAND_INPUT_SRC/f" "$MILLHAND_OUTPUT_OUT/f"'
        job = w.stub.third_job(inputs={"Src": zip_of({"f": b"x"})}, outputs=["Out"], configuration={"Target": "north"})
        job.id = "a third party's id, Zürich ☃, ../../x " + "x" * 470
        custom = w.stub.job(provider="Other")
        w.start(w.entry(command), action(w.place, "true", provider="Other"))
        put = finished(job, "success")
        finished(custom, "success")
        equal(w.marks.lines(), ["north"])
        equal(names_in(w.stub.objects[("bucket", job.outputs["Out"])]), {"f": b"x"})
        equal(put["jobId"], job.id)
        token = w.stub.client_tokens[CLIENT]
        for operation in ("GetThirdPartyJobDetails", "AcknowledgeThirdPartyJob", "PutThirdPartyJobSuccessResult"):
            equal([r["clientToken"] for r in w.stub.seen(operation)], [token], operation)
        equal([len(w.stub.seen(o)) for o in ("AcknowledgeJob", "GetJobDetails")], [1, 0], "the custom job's own")
        check(all("queryParam" not in r for r in w.stub.seen("PollForThirdPartyJobs")), "no queryParam")
        wait_for(lambda: all(r[0] == "closed" for r in w.rows("state")), what="both to be closed")
        equal(sorted(w.rows("job_id", "client_id")), sorted([(job.id, CLIENT), (custom.id, "")]))
        equal(w.leaks(token), [], "files with the token")
        equal(w.stub.bad_signatures, [])


@story
def a_failure_is_reported_with_the_token_too():
    with World() as w:
        job = w.stub.third_job()
        w.start(w.entry("echo last words; exit 3"))
        failed_as(job, "JobFailed", "last words")
        equal(w.stub.seen("PutThirdPartyJobFailureResult")[0]["clientToken"], w.stub.client_tokens[CLIENT])


@story
def output_variables_are_left_out_and_said_once():
    with World() as w:
        job = w.stub.third_job()
        w.stub.fault("PutThirdPartyJobSuccessResult", "throttle", 2)
        w.start(w.entry("""echo '{"variables":{"A":"1"},"summary":"done"}' > $MILLHAND_RESULT"""))
        put = finished(job, "success")
        equal((put.get("outputVariables"), put["executionDetails"]["summary"]), (None, "done"))
        equal(w.agent.text().count("a third-party action has none"), 1)


# ---- one that fails, and the others ----

@story
def an_unknown_client_costs_no_other_and_is_taken_once_it_is_known():
    with World(max_jobs=8, **LISTEN) as w:
        stranger = w.stub.third_job(client=OTHER)
        jobs = [w.stub.third_job() for _ in range(3)]
        w.start()
        for job in jobs:
            finished(job, "success")
        wait_for(lambda: "job.passed_over" in w.agent.text(), what="the word about it")
        check(OTHER in w.agent.text() and "no token" in w.agent.text(), "which client it was")
        m = Status(w.agent).metrics()
        check(m.value("millhand_client_token_lookups_total", source="file", outcome="ok") >= 3, "those of the known")
        check(m.value("millhand_client_token_lookups_total", source="file", outcome="unknown") >= 1, "the stranger's")
        for _ in range(2):  # offered again and again, and said once
            stranger.redeliver = True
            wait_for(lambda: not stranger.redeliver, what="it to be offered again")
        w.stub.client_tokens[OTHER] = "the second client's"
        w.write(w.stub.client_tokens)
        wait_for(lambda: setattr(stranger, "redeliver", stranger.status == "Dispatched") or stranger.result,
                 what="the job of the client that is known now")
        equal(stranger.result[0], "success")
        equal(w.agent.text().count("job.passed_over"), 1)
        equal(len(w.marks.lines()), 4)


@story
def a_refused_token_is_looked_up_anew_and_the_request_sent_once_more():
    with World() as w:
        new = "the token of tomorrow"
        job = w.stub.third_job()
        old = w.stub.client_tokens[CLIENT]
        w.start(w.entry(f"{w.marks.command()}; read go < {w.marks.path}.go"))
        w.marks.wait()
        # Only the service knows the new one: the result waits.
        w.stub.client_tokens[CLIENT] = new
        w.marks.go()
        wait_for(lambda: len(w.stub.seen("PutThirdPartyJobSuccessResult")) >= 3, what="tries with the old token")
        w.write({CLIENT: new})
        finished(job, "success")
        check("InvalidClientToken" in w.agent.text(), "it is said")
        equal(w.leaks(old, new), [], "files with a token, which the service repeats in its words")


@story
def what_goes_wrong_with_one_jobs_details_is_that_jobs():
    faults = {"denied": True, "throttle": True, "error500": True, "html503": True, "drop_before": True,
              "drop_after": True, "truncate": True, "garbage": True, "types": False,
              "code:InvalidJobException": None, "code:JobNotFoundException": None,
              "code:InvalidClientTokenException": None, "code:ValidationException": False}
    with World(max_jobs=8) as w:
        w.start()
        for fault, taken in faults.items():
            w.stub.fault("GetThirdPartyJobDetails", fault)
            jobs = [w.stub.third_job() for _ in range(3)]
            for_it = [j for j in jobs]
            wait_for(lambda: sum(j.result is not None for j in for_it) >= (3 if taken else 2), what=f"{fault}: the others")
            for job in jobs:
                if not job.result:
                    equal(job.status, "Dispatched", f"{fault}: never acknowledged")
                    job.status = "Over"
            check(w.agent.alive(), fault)
        equal(w.stub.seen("AcknowledgeJob") + w.stub.seen("GetJobDetails"), [])


@story
def offers_that_make_no_sense_are_left_alone():
    with World(max_jobs=8) as w:
        good, poll = w.stub.third_job(), w.stub.api_PollForThirdPartyJobs

        def spoilt(body):
            jobs = poll(body)["jobs"]
            bad = [{"jobId": "x"}, {"clientId": CLIENT}, {"jobId": "", "clientId": CLIENT}, 7, None,
                   {"jobId": "x" * 513, "clientId": CLIENT}, {"jobId": "x", "clientId": "../../etc/passwd"}]
            return {"jobs": [*jobs, *jobs, *bad[:body["maxBatchSize"]]] if jobs else []}

        w.stub.api_PollForThirdPartyJobs = spoilt
        w.start()
        finished(good, "success")
        equal(len(w.stub.seen("GetThirdPartyJobDetails")), 1)
        check("poll.bad_job" in w.agent.text(), "it is said")


@story
def details_of_another_type_or_without_a_nonce_start_nothing():
    with World(max_jobs=8) as w:
        jobs = [w.stub.third_job() for _ in range(4)]
        details = w.stub.api_GetThirdPartyJobDetails

        def wrong(body):
            answer = details(body)["jobDetails"]
            which = next(i for i, j in enumerate(jobs) if j.id == body["jobId"])
            if which == 0:
                answer["data"]["actionTypeId"]["owner"] = "Custom"
            elif which == 1:
                del answer["nonce"]
            elif which == 2:
                answer["nonce"] = "n" * 51
            return {"jobDetails": answer}

        w.stub.api_GetThirdPartyJobDetails = wrong
        w.start()
        finished(jobs[3], "success")
        wait_for(lambda: w.agent.text().count("job.passed_over") == 3, what="three that are left")
        equal([r["jobId"] for r in w.stub.seen("AcknowledgeThirdPartyJob")], [jobs[3].id])


# ---- the acknowledgement ----

@story
def a_lost_acknowledgement_is_settled_as_a_custom_jobs_is():
    for policy, ran in (("adopt", 1), ("drop", 0)):
        with World(in_doubt=policy) as w:
            job = w.stub.third_job(strict=True)
            w.stub.fault("AcknowledgeThirdPartyJob", "drop_after")
            w.start()
            if ran:
                finished(job, "success")
            else:
                wait_for(lambda: "job.dropped" in w.agent.text(), what="the job to be dropped")
            equal(len(w.marks.lines()), ran, policy)


def nonces(w):
    return [r["nonce"] for r in w.stub.seen("AcknowledgeThirdPartyJob")]


@story
def a_job_that_is_offered_again_is_acknowledged_by_its_new_nonce():
    with World() as w:
        job = w.stub.third_job()
        w.stub.fault("AcknowledgeThirdPartyJob", "throttle", 1000)
        w.start()
        wait_for(lambda: len(nonces(w)) > 5, what="tries so far apart that the offer comes between two")
        job.redeliver = True
        wait_for(lambda: job.nonce == 2, what="it to be offered again")
        w.stub.clear_faults()
        finished(job, "success")
        equal((w.marks.lines(), job.acked_nonce), (["ran"], "2"))
        equal(len(w.stub.seen("GetThirdPartyJobDetails")), 2)


@story
def one_that_is_offered_again_while_its_acknowledgement_is_under_way_is_not_taken_for_lost():
    with World(ack_timeout="10s") as w:
        job = w.stub.third_job()
        w.stub.fault("AcknowledgeThirdPartyJob", "late")
        w.start()
        wait_for(lambda: nonces(w), what="the acknowledgement")
        job.redeliver = True
        wait_for(lambda: job.nonce == 2, what="it to be offered again")
        polls = len(w.stub.seen("PollForThirdPartyJobs"))
        wait_for(lambda: len(w.stub.seen("PollForThirdPartyJobs")) > polls, what="the answer to have arrived")
        w.stub.clear_faults()
        finished(job, "success")
        equal((w.marks.lines(), nonces(w)), (["ran"], ["1", "2"]))


@story
def details_that_fail_when_it_is_offered_again_leave_the_acknowledgement_as_it_was():
    with World() as w:
        job = w.stub.third_job()
        w.stub.fault("AcknowledgeThirdPartyJob", "throttle", 1000)
        w.start()
        wait_for(lambda: len(nonces(w)) > 5, what="tries so far apart that the offer comes between two")
        w.stub.fault("GetThirdPartyJobDetails", "garbage", 1000)
        job.nonce, job.redeliver = 0, True  # handed out again, and the nonce stays
        wait_for(lambda: job.nonce == 1, what="it to be offered again")
        w.stub.faults["AcknowledgeThirdPartyJob"].clear()
        finished(job, "success")
        equal((w.marks.lines(), set(nonces(w))), (["ran"], {"1"}))


@story
def another_worker_that_was_faster_has_the_job():
    with World() as w:
        job = w.stub.third_job()

        def take(_):
            job.acked_nonce, job.status = "another worker's", "InProgress"

        w.stub.before["AcknowledgeThirdPartyJob"] = take
        w.start()
        wait_for(lambda: "job.lost" in w.agent.text(), what="the word about it")
        finished(w.stub.third_job(), "success")
        equal((job.results, len(w.marks.lines())), ([], 1))


# ---- restarts ----

@story
def a_restarted_agent_looks_the_token_up_again():
    with World() as w:
        token = w.stub.client_tokens[CLIENT]
        job = w.stub.third_job(inputs={"Src": zip_of({"f": b"x"})}, outputs=["Out"])
        w.start(w.entry(f"{w.marks.command()}; echo x > $MILLHAND_OUTPUT_OUT/f; read go < {w.marks.path}.go"))
        w.marks.wait()
        w.agent.kill()
        equal(w.leaks(token), [], "files with the token after a kill")
        equal(w.rows("client_id", "state"), [(CLIENT, "started")])
        job.renew()
        new = w.stub.client_tokens[CLIENT] = "another one meanwhile"
        w.write(w.stub.client_tokens)
        w.start(name="second")
        w.marks.go()
        finished(job, "success")
        equal(w.stub.seen("PutThirdPartyJobSuccessResult")[-1]["clientToken"], new)
        equal(w.marks.lines(), ["ran"])


@story
def a_ledger_of_the_version_before_is_brought_up_to_date():
    with World() as w:
        job = w.stub.job()
        custom = action(w.place, f"{w.marks.command()}; read go < {w.marks.path}.go")
        w.start(custom)
        w.marks.wait()
        w.agent.kill()
        path = w.place.path("agent", "state", "ledger.db")
        with sqlite3.connect(path) as db:  # as version 1 made it
            db.executescript("ALTER TABLE jobs DROP COLUMN client_id; PRAGMA user_version=1;")
        w.start(custom, name="second")
        w.marks.go()
        finished(job, "success")
        equal(w.rows("client_id"), [("",)])
        equal(w.marks.lines(), ["ran"])


# ---- the file ----

@story
def a_file_that_others_may_read_or_that_makes_no_sense_is_refused_at_the_start():
    rows = [(f"{CLIENT} token\n", 0o640, "chmod 600"), (f"{CLIENT} token\n", 0o604, "chmod 600"),
            (f"{CLIENT}\n", 0o600, "line 1"), ("\n# c\nme token\n", 0o600, "line 3"),
            (f"{CLIENT} {'x' * 257}\n", 0o600, "1 to 256 characters"), (f"{CLIENT} a\n{CLIENT} b\n", 0o600, "twice"),
            (None, 0o600, "No such file")]
    for text, mode, words in rows:
        with World() as w:
            os.unlink(w.file)
            if text is not None:
                with open(w.file, "w") as f:
                    f.write(text)
                os.chmod(w.file, mode)
            done = w.place.run([AGENT, "-c", w.conf(), "--check"], check=False)
            equal(done.returncode, 78, done.stderr)
            check(words in done.stderr and "client_tokens.file" in done.stderr, f"{words!r} in {done.stderr!r}")
            check("token\n" not in done.stderr and "xxx" not in done.stderr, "no token is shown")


@story
def a_bad_file_in_its_place_leaves_the_tokens_there_were():
    with World() as w:
        w.start()
        finished(w.stub.third_job(), "success")
        w.write({"nonsense": "x"})
        finished(w.stub.third_job(), "success")
        check("client_tokens.kept" in w.agent.text(), "it is said")
        w.stub.client_tokens[CLIENT] = "the right one"
        w.write(w.stub.client_tokens)
        finished(w.stub.third_job(), "success")


# ---- the command ----

@story
def a_command_is_asked_once_for_all_and_again_when_its_token_is_refused():
    with World(max_jobs=8) as w:
        w.stub.client_tokens = {CLIENT: "one", OTHER: "two"}
        secret = w.place.path("secret")
        with open(secret, "w") as f:
            f.write("one")
        command = w.command(f'case $2 in {CLIENT}) cat {secret};; *) printf "two\\n";; esac')
        jobs = [w.stub.third_job() for _ in range(3)] + [w.stub.third_job(client=OTHER) for _ in range(3)]
        w.start(tokens={"command": f"{command} --for"})
        for job in jobs:
            finished(job, "success")
        equal(sorted(w.asked()), sorted(["--for", CLIENT, "--for", OTHER]), "what it was asked")
        w.stub.client_tokens[CLIENT] = "three"
        with open(secret, "w") as f:
            f.write("three")
        finished(w.stub.third_job(), "success")
        equal(w.asked().count(CLIENT), 2, "asked again after the refusal")


@story
def a_command_that_fails_hangs_or_babbles_costs_its_own_client_alone():
    bad = {"exit 1": "exit code 1", "tail -f /dev/null": "took longer", "echo": "1 to 256 characters",
           "echo a; echo b": "more than one line", "head -c 70000 /dev/zero | tr '\\0' x": "more than 65536 bytes"}
    for text, words in bad.items():
        with World(max_jobs=4) as w:
            w.stub.client_tokens = {CLIENT: "one"}
            command = w.command(f'if [ "$1" = {CLIENT} ]; then echo one; else {text}; fi')
            w.stub.third_job(client=OTHER)
            good = [w.stub.third_job() for _ in range(2)]
            w.start(tokens={"command": command, "timeout": "500ms"})
            for job in good:
                finished(job, "success")
            wait_for(lambda: "job.passed_over" in w.agent.text(), what=f"{text}: the word about it")
            check(words in w.agent.text(), f"{words!r} in {w.agent.text()}")


@story
def configurations_that_cannot_be_are_refused():
    with World() as w:
        entry = w.entry("true")
        for keys, words in (({"tokens": {"keep": "1m"}}, "say where they are"),
                            ({"tokens": {"file": w.file, "command": "x"}}, "exclude each other"),
                            ({"tokens": {"file": "clients"}}, "not an absolute path"),
                            ({"tokens": {"command": "'open"}}, "a quote is left open")):
            done = w.place.run([AGENT, "-c", w.conf(entry, **keys), "--check"], check=False)
            equal((done.returncode, words in done.stderr), (78, True), done.stderr)
        done = w.place.run([AGENT, "-c", w.conf(dict(entry, query={"A": "b"})), "--check"], check=False)
        equal((done.returncode, "query" in done.stderr), (78, True), done.stderr)


@story
def hup_brings_other_tokens_and_the_jobs_of_before_are_delivered_with_them():
    with World(max_jobs=8) as w:
        gated = w.entry(f"{w.marks.command()}; read go < {w.marks.path}.go")
        job, stranger = w.stub.third_job(), w.stub.third_job(client=OTHER, provider="Other")
        agent = w.start(gated)
        w.marks.wait()
        w.stub.client_tokens = {CLIENT: "one", OTHER: "two"}
        command = w.command(f'if [ "$1" = {CLIENT} ]; then echo one; else echo two; fi')
        w.conf(gated, w.entry("true", provider="Other"), tokens={"command": command})
        agent.process.send_signal(signal.SIGHUP)
        finished(stranger, "success")
        w.marks.go()
        finished(job, "success")
        equal(sorted(w.asked()), [CLIENT, OTHER])


@story
def what_a_drain_finds_offered_is_left_to_the_service():
    with World() as w:
        w.start()
        w.stub.fault("GetThirdPartyJobDetails", "late")
        job = w.stub.third_job()
        wait_for(lambda: w.stub.seen("GetThirdPartyJobDetails"), what="the question")
        w.agent.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "agent.drain" in w.agent.text(), what="the drain")
        w.stub.clear_faults()
        equal(w.agent.wait(20), 0)
        equal((job.status, w.stub.seen("AcknowledgeThirdPartyJob")), ("Dispatched", []))


# ---- before the emulator ----

TYPE = {"category": "Build", "owner": "ThirdParty", "provider": "Acme", "version": "1"}


@story
def the_emulators_third_party_action_is_done_by_the_agent_in_two_rounds():
    if not os.path.exists(EMULATOR):
        skip("no emulator in this build")
    with Place() as place:
        marks, token = Marks(place), "the client's secret token"
        with open(place.path("emulator.conf"), "w") as f:
            f.write("third_party = " + conf_value(({"type": "Build/ThirdParty/Acme/1", "client_id": CLIENT,
                                                    "client_token": token},)) + ";\n")
        emulator = place.emulator("--config", place.path("emulator.conf"))
        cp, s3 = emulator.client("codepipeline"), emulator.client("s3")
        s3.create_bucket(Bucket="artifacts")
        s3.put_object(Bucket="artifacts", Key="src.zip", Body=zip_of({"f": b"x"}))
        cp.create_pipeline(pipeline={
            "name": "P", "roleArn": "arn:aws:iam::000000000000:role/r",
            "artifactStore": {"type": "S3", "location": "artifacts"},
            "stages": [
                {"name": "Source", "actions": [{
                    "name": "S", "outputArtifacts": [{"name": "Src"}],
                    "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"},
                    "configuration": {"S3Bucket": "artifacts", "S3ObjectKey": "src.zip", "PollForSourceChanges": "false"}}]},
                {"name": "Build", "actions": [{"name": "Acme", "actionTypeId": TYPE, "inputArtifacts": [{"name": "Src"}],
                                               "outputArtifacts": [{"name": "Out"}]}]}]})
        with open(os.open(place.path("clients"), os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(f"{CLIENT} {token}\n")
        first = json.dumps({"continuation": {"token": "round-2"}, "percent": 40, "summary": "half"})
        command = (marks.command("$MILLHAND_CONTINUATION_TOKEN") + '; if [ -z "$MILLHAND_CONTINUATION_TOKEN" ]; then '
                   f"echo '{first}' > $MILLHAND_RESULT; else cp $MILLHAND_INPUT_SRC/f $MILLHAND_OUTPUT_OUT/f; fi")
        agent = place.agent(place.agent_conf(
            emulator.endpoint, [action(place, command, provider="Acme", owner="ThirdParty")],
            client_tokens={"file": place.path("clients")}, **FAST))

        def status():
            return cp.list_pipeline_executions(pipelineName="P")["pipelineExecutionSummaries"][0]["status"]

        wait_for(lambda: status() != "InProgress", what="the execution to end")
        equal(status(), "Succeeded", agent.text())
        equal(marks.lines(), ["", "round-2"])
        check("wait.on" in agent.text(), "it is told when there is work")
        check(token not in agent.text() + emulator.text(), "the token is in no log")
        check("ListActionExecutions" not in agent.text(), "what has no execution id is not watched")


run()
