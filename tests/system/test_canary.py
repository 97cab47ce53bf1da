#!/usr/bin/python3
"""Secrets, planted in every place one can be, and looked for in every place they must not get to: outputs, ledger,
argv, environ, files, answers, core files."""
import os
import re
import resource
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.jobs import FIXTURES, Jobs  # noqa: E402
from mh.programs import AGENT, PLUGIN_COMMAND, Place, conf_value, free_port, sanitized, wait_for  # noqa: E402
from mh.stub import ApiError, Stub  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402
from mh.tls import Authority  # noqa: E402
from mh.worker import FAST, action, finished, zip_of  # noqa: E402

OURS = ("millhand-agent", "millhand-job", "millhand-archiv", "millhand-emulat", "git")


def canary(what):
    return f"canary-{what}-{secrets.token_hex(12)}"


class Watch:
    """Looks through argv and environ of every process of ours while a story runs.

    What counts is the last look at a process: an operator may put a secret into the agent's environment, and it
    needs a moment to take it out. A job's own command has its configuration there: that is how it is handed over."""

    def __init__(self, planted):
        self.planted, self.found, self.looks = [p.encode() for p in planted], {}, 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        self.thread.join()
        if exc[0] is None:
            check(self.looks > 0, "processes were looked at")
            equal(sorted(x for found in self.found.values() for x in found), [], "secrets in argv or environ")

    def _run(self):
        while not self.over.wait(0.005):
            for pid in filter(str.isdigit, os.listdir("/proc")):
                self._look(pid)

    def _look(self, pid):
        try:
            with open(f"/proc/{pid}/comm") as f:
                name = f.read().strip()
            for kind in ("cmdline", "environ"):
                with open(f"/proc/{pid}/{kind}", "rb") as f:
                    text = f.read()
                if name in OURS or kind == "cmdline":
                    self.looks += name in OURS
                    self.found[pid, kind] = {(name, kind, p.decode()) for p in self.planted if p in text}
        except OSError:
            pass  # it is gone, or nobody may look


def held(top, planted, but=()):
    """(file, secret) for each secret in a file or a name beneath that directory."""
    found = []
    for where, folders, names in os.walk(top):
        folders[:] = [f for f in folders if os.path.join(where, f) not in but]
        for name in names:
            path = os.path.join(where, name)
            if path in but or not stat.S_ISREG(os.lstat(path).st_mode):
                continue
            with open(path, "rb") as f:
                text = f.read() + name.encode()
            found += [(os.path.relpath(path, top), p) for p in planted if p.encode() in text]
    return sorted(found)


class World:
    """A stub, and an agent whose jobs are run by `command` or by the plugin that does everything wrong."""

    def __init__(self, planted, **conf):
        self.planted, self.conf = planted, dict(FAST, log_level="debug", keep_failed=0, **conf)
        self.place, self.stub = Place(), Stub()
        self.agent = None
        self.mine = [self.place.path("agent", "agent.conf"), self.place.path("mine")]  # where the story put them
        os.makedirs(self.place.path("mine"))
        os.makedirs(self.place.path("plugins"), mode=0o755)
        for path in (PLUGIN_COMMAND, os.path.join(FIXTURES, "rude.so")):
            shutil.copy(path, self.place.path("plugins"))
            os.chmod(self.place.path("plugins", os.path.basename(path)), 0o755)
        self.watch = Watch(planted)

    def __enter__(self):
        self.place.__enter__()
        self.watch.__enter__()
        return self

    def __exit__(self, *exc):
        try:
            self.watch.__exit__(*exc)
        finally:
            self.stub.close()
            self.place.__exit__(*exc)

    def start(self, *actions, env=None, **conf):
        keys = dict(self.conf, plugin_dir=self.place.path("plugins"), **conf)
        path = self.place.agent_conf(keys.pop("endpoint", self.stub.endpoint), actions, **keys)
        self.agent = self.place.agent(path, env=env)
        return self.agent

    def leaks(self):
        return held(self.place.dir, self.planted, self.mine)


def rude(mode, **keys):
    return dict({"category": "Build", "provider": f"Rude-{mode}", "version": "1", "plugin": "rude", "config": {"mode": mode}}, **keys)


# ---- the agent's own keys ----

def in_configuration(world, secret, token):
    return {"credentials": {"access_key_id": "AKIACONF", "secret_access_key": secret, "session_token": token}}, {}


def in_environment(world, secret, token):
    return {"credentials": {}}, {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}


def in_profile(world, secret, token):
    path = world.place.path("mine", "credentials")
    with open(path, "w") as f:
        f.write(f"[work]\naws_access_key_id = AKIAPROF\naws_secret_access_key = {secret}\naws_session_token = {token}\n")
    return {"credentials": {"profile": "work"}}, {"AWS_SHARED_CREDENTIALS_FILE": path}


@story
def the_agents_own_keys_are_nowhere_by_whatever_means_it_has_them():
    for means, form in ((in_configuration, "text"), (in_environment, "json"), (in_profile, "text")):
        secret, token = canary("secret-key"), canary("session-token")
        with World([secret, token], log_format=form) as w:
            conf, env = means(w, secret, token)
            # Services have been seen to repeat in an error what was signed, and that is the token, too.
            w.stub.fault("PollForJobs", "denied")
            first = w.stub.api_PollForJobs
            echoed = []

            def poll(body):
                if not echoed:
                    echoed.append(1)
                    raise ApiError("SignatureDoesNotMatch", 403, f"x-amz-security-token:{token} {secret}" + "x" * 400 + token)
                return first(body)

            w.stub.api_PollForJobs = poll
            good, bad, dead = (w.stub.job(provider=p, inputs={"Src": zip_of({"f": b"x"})}) for p in ("Good", "Bad", "Rude-crash"))
            w.start(action(w.place, "env; cat /proc/*/environ; true", provider="Good"),
                    action(w.place, "env; cat /proc/$PPID/environ /proc/$PPID/cmdline; exit 3", provider="Bad"),
                    rude("crash"), env=env, **conf)
            finished(good, "success")
            results = [str(finished(job, "failure")) for job in (bad, dead)]
            equal([(t, s) for t in results for s in w.planted if s in t], [], "in results")
            w.agent.send(signal.SIGUSR1)
            wait_for(lambda: "agent.state" in w.agent.text(), what="the state")
            equal(w.leaks(), [], f"{means.__name__}: while it runs")
            w.agent.send(signal.SIGTERM)
            w.agent.wait()
            equal(w.leaks(), [], f"{means.__name__}: after its end")


# ---- what belongs to a job ----

class JobCase:
    """A job with a secret in each place of its data, ended in one of these ways."""

    def __init__(self, w, provider, **more):
        self.secret, self.token = canary("configuration"), canary("continuation-token")
        self.job = w.stub.job(provider=provider, configuration={"Password": self.secret, "value": self.secret}, token=self.token,
                              inputs={"Src": zip_of({"f": b"x"})}, outputs=more.pop("outputs", None))
        self.job.credentials = {"accessKeyId": "ASIACANARY", "secretAccessKey": canary("artifact-key"),
                                "sessionToken": canary("artifact-token")}
        self.never = [self.secret, *list(self.job.credentials.values())[1:]]
        w.planted += [*self.never, self.token]
        w.watch.planted += [p.encode() for p in (*self.never, self.token)]


PRINTS = 'echo "$MILLHAND_CONFIG_PASSWORD $MILLHAND_CONTINUATION_TOKEN"; cat "$MILLHAND_JOB" >&2; '
ENDS = {
    "success": (lambda w: action(w.place, PRINTS + 'echo x > "$MILLHAND_OUTPUT_OUT/f"', provider="success"), "success"),
    "failure": (lambda w: action(w.place, PRINTS + "exit 3", provider="failure"), "failure"),
    "its-message": (lambda w: action(w.place, PRINTS + """printf '{"failure":{"type":"JobFailed","message":"no %s"},"summary":"%s"}' \
        "$MILLHAND_CONFIG_PASSWORD" "$MILLHAND_CONTINUATION_TOKEN" > $MILLHAND_RESULT""", provider="its-message"), "failure"),
    "a-command-that-crashes": (lambda w: action(w.place, PRINTS + "kill -SEGV $$", provider="a-command-that-crashes"), "failure"),
    "a-plugins-error": (lambda w: rude("fail", provider="a-plugins-error"), "failure"),
    "a-plugin-that-crashes": (lambda w: rude("crash", provider="a-plugin-that-crashes"), "failure"),
    "a-plugin-that-aborts": (lambda w: rude("abort", provider="a-plugin-that-aborts"), "failure"),
}


@story
def what_a_job_is_told_in_confidence_gets_nowhere_however_it_ends():
    for form in ("text", "json"):
        with World([], log_format=form, max_jobs=8) as w:
            cases = {name: JobCase(w, name, outputs=["Out"] if name == "success" else None)
                     for name in ENDS}
            # Kept, so that what stays of a failed job is looked at, too; but for what it wrote by itself.
            w.mine.append(w.place.path("agent", "state", "work"))
            w.start(*[ENDS[name][0](w) for name in cases], keep_failed=20)
            for name, case in cases.items():
                result = str(finished(case.job, ENDS[name][1]))
                equal([s for s in (*case.never, case.token) if s in result], [], f"{name}: in the result")
            wait_for(lambda: w.agent.text().count("result.delivered") == len(cases), what="all to be delivered")
            equal(w.leaks(), [], "while the agent runs")
            equal(w.agent.stop(), 0)
            equal(w.leaks(), [], "after its end")
            check(sorted(os.listdir(w.place.path("agent", "state", "jobs"))), "failed jobs are kept, and were looked at")


@story
def the_ledger_has_what_a_restart_needs_and_forgets_it():
    with World([]) as w:
        nonce, new_token = canary("nonce"), canary("new-token")
        case = JobCase(w, "Make")
        poll, ack = w.stub.api_PollForJobs, w.stub.api_AcknowledgeJob

        def other_nonce(body):
            answer = poll(body)
            for offered in answer["jobs"]:
                offered["nonce"] = f"{nonce}-{offered['nonce']}"
            return answer

        def repeats(body):
            check(body["nonce"].startswith(nonce), "our nonce")
            if len(w.stub.seen("AcknowledgeJob")) < 2:  # as validation errors do
                raise ApiError("ThrottlingException", 400, f"Value '{body['nonce']}' at 'nonce' " + "x" * 500 + body["nonce"])
            return ack(dict(body, nonce=body["nonce"].rsplit("-", 1)[1]))

        w.stub.api_PollForJobs, w.stub.api_AcknowledgeJob = other_nonce, repeats
        gate = w.place.path("mine", "gate")
        os.mkfifo(gate)
        # The new token is made by the job itself, out of the story's sight.
        with open(w.place.path("mine", "result"), "w") as f:
            f.write('{"continuation":{"token":"%s","delay_s":1}}' % new_token)
        put = w.stub.api_PutJobSuccessResult
        w.stub.api_PutJobSuccessResult = lambda body: refuse(body) if len(w.stub.seen("PutJobSuccessResult")) < 2 else put(body)

        def refuse(body):
            raise ApiError("ThrottlingException", 400, f"'{body['continuationToken']}' at 'continuationToken'")

        w.planted += [nonce, new_token]
        w.start(action(w.place, f"read -r nothing < {gate}; cp {w.place.path('mine', 'result')} $MILLHAND_RESULT"))
        wait_for(lambda: "job.started" in w.agent.text(), what="the job to run")
        state = w.place.path("agent", "state")
        named = {os.path.basename(f).split("-")[0] for f, p in w.leaks() if p == nonce}
        equal(named, {"ledger.db"}, "files with the nonce while the job is open")
        equal([(f, p) for f, p in w.leaks() if p != nonce], [], "other secrets in files while the job runs")
        for name in os.listdir(state):
            if name.startswith("ledger.db"):
                equal(os.stat(os.path.join(state, name)).st_mode & 0o777, 0o600, name)
        equal(os.stat(state).st_mode & 0o077 & ~0o011, 0, "the state directory")
        w.agent.kill()
        equal([(f, p) for f, p in w.leaks() if p != nonce], [], "what a killed agent leaves")
        w.start(action(w.place, "true"))
        with open(gate, "w") as f:
            f.write("go\n")
        finished(case.job, "success")
        wait_for(lambda: "result.delivered" in w.agent.text(), what="the delivery")
        check("****" in w.agent.text(), "what was repeated is blotted out")
        equal(w.agent.stop(), 0)
        equal(w.leaks(), [], "after the job is closed")


# ---- clients of third parties ----

@story
def a_third_party_clients_token_gets_nowhere():
    for source in ("file", "command"):
        token, wrong = canary("client-token"), canary("refused-token")
        with World([token, wrong]) as w:
            place = w.place.path("mine", "clients")

            def tell(value):
                with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
                    f.write(f"{CLIENT} {value}\n" if source == "file" else f"{value}\n")

            tell(wrong)
            program = w.place.path("mine", "token-of")
            with open(os.open(program, os.O_WRONLY | os.O_CREAT, 0o700), "w") as f:
                f.write(f"#!/bin/sh\ncat {place}\n")
            w.stub.client_tokens = {CLIENT: token}
            gate = w.place.path("mine", "gate")
            os.mkfifo(gate)
            job, other = (w.stub.third_job(provider=p, inputs={"Src": zip_of({"f": b"x"})}) for p in ("Make", "Other"))
            w.start(action(w.place, PRINTS + f"read -r nothing < {gate}", owner="ThirdParty"),
                    action(w.place, PRINTS + "exit 3", provider="Other", owner="ThirdParty"),
                    client_tokens={source: place if source == "file" else program}, keep_failed=5)
            wait_for(lambda: "InvalidClientToken" in w.agent.text(), what="the wrong token to be refused")
            tell(token)
            for each in (job, other):
                wait_for(lambda each=each: setattr(each, "redeliver", each.status == "Dispatched") or each.acked_nonce,
                         what="the job to be taken")
            finished(other, "failure")
            wait_for(lambda: w.agent.text().count("job.started") == 2, what="both to run")
            equal(w.leaks(), [], f"{source}: while it runs")
            w.agent.kill()
            equal(w.leaks(), [], f"{source}: what a killed agent leaves")
            w.agent = w.place.agent(w.place.path("agent", "agent.conf"), name="second")
            with open(gate, "w") as f:
                f.write("go\n")
            finished(job, "success")
            equal([s for s in (token, wrong) if s in str((job.results, other.results)).replace(f"'clientToken': '{token}'", "")],
                  [], f"{source}: in results, besides their own member")
            wait_for(lambda: "result.delivered" in w.agent.text(), what="the delivery")
            equal(w.agent.stop(), 0)
            equal(w.leaks(), [], f"{source}: after its end")


# ---- addresses ----

@story
def a_password_in_a_url_is_not_shown():
    secret = canary("userinfo")
    proxy = {name: f"http://user:{secret}@127.0.0.1:{free_port()}" for name in ("http_proxy", "https_proxy", "all_proxy")}
    for conf, env, ends in (({"endpoint": f"http://user:{secret}@127.0.0.1:1"}, {}, True),
                            ({"s3_endpoint": f"http://user:{secret}@127.0.0.1:1"}, {}, True),
                            ({"endpoint": "http://192.0.2.1", "allow_plain_http": True}, proxy, False),
                            ({"endpoint": "https://192.0.2.1"}, proxy, False)):
        with World([secret]) as w:
            agent = w.start(action(w.place, "true"), env=env, **conf)
            if ends:
                wait_for(lambda: not agent.alive(), what="the agent to refuse it")
                equal(agent.process.returncode, 78, f"exit code for {list(conf)}")
            else:
                wait_for(lambda: "poll.failed" in agent.text(), what="a poll that fails")
                agent.kill()
            check(agent.text(), "it said something")
            equal(w.leaks(), [], list(conf))


@story
def what_shows_a_configuration_masks_it():
    secret = canary("shown")
    with World([secret]) as w:
        conf = w.place.agent_conf("http://127.0.0.1:1", [action(w.place, "true", config={"password": secret})],
                                  credentials={"access_key_id": "AKIA", "secret_access_key": secret, "session_token": secret})
        for option in ("--dump", "--check"):
            done = w.place.run([AGENT, "-c", conf, option])
            check(secret not in done.stdout + done.stderr, f"{option}: {done.stdout}")
        with open(conf, "a") as f:
            f.write(f'\nnonsense = "{secret}";\n')
        done = w.place.run([AGENT, "-c", conf], check=False)
        equal(done.returncode, 78)
        check(secret not in done.stdout + done.stderr, done.stderr)


# ---- the emulator ----

class Server:
    """An emulator that is given a secret wherever it takes one."""

    def __init__(self, place, form):
        self.place = place
        names = ("key", "client-token", "property", "other-property", "job-key", "job-token", "signature", "sent-away")
        self.secret = {name: canary(name) for name in names[:4]}
        with open(place.path("emulator.conf"), "w") as f:
            f.write(f"keys = {conf_value(({'access_key_id': 'AKIDONE', 'secret_access_key': self.secret['key']},))};\n"
                    f"third_party = {conf_value(({'type': 'Deploy/ThirdParty/Acme/1', 'client_id': CLIENT, 'client_token': self.secret['client-token']},))};\n")
        os.chmod(place.path("emulator.conf"), 0o600)
        self.emulator = place.emulator("--config", place.path("emulator.conf"), "--log-format", form, "--log-level", "debug")
        self.cp = self.emulator.client("codepipeline", "AKIDONE", self.secret["key"])
        self.s3 = self.emulator.client("s3", "AKIDONE", self.secret["key"])
        self.answers = []

    def ask(self, operation, **request):
        """The answer, kept to be looked through, also when it is an error."""
        from botocore.exceptions import ClientError

        try:
            answer = getattr(self.cp, operation)(**request)
        except ClientError as e:
            answer = e.response
        self.answers.append((operation, str(answer)))
        return answer

    def raw(self, name, body, **headers):
        """An answer to bytes that no client would send."""
        request = urllib.request.Request(self.emulator.endpoint + "/" + name, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                text = answer.read()
        except urllib.error.HTTPError as e:
            text = e.read()
        self.answers.append((name or "POST /", text.decode("utf-8", "replace")))


CLIENT = "c11e0000-0000-4000-8000-000000000001"
TYPE = {"category": "Build", "owner": "Custom", "provider": "Make", "version": "1"}


def declaration(password):
    return {"name": "release", "roleArn": "arn:aws:iam::000000000000:role/r",
            "artifactStore": {"type": "S3", "location": "artifacts"},
            "stages": [{"name": "Source", "actions": [{
                "name": "Fetch", "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"},
                "outputArtifacts": [{"name": "Src"}],
                "configuration": {"S3Bucket": "incoming", "S3ObjectKey": "src.zip", "PollForSourceChanges": "false"}}]},
                {"name": "Build", "actions": [{"name": "Compile", "actionTypeId": TYPE, "inputArtifacts": [{"name": "Src"}],
                                               "configuration": {"Target": "all", "Password": password}}]}]}


def play_pipeline(server):
    """A pipeline with a secret, its views, a job with credentials; answers what the job was given."""
    from mh.programs import client

    for bucket in ("incoming", "artifacts"):
        server.s3.create_bucket(Bucket=bucket)
    server.s3.put_object(Bucket="incoming", Key="src.zip", Body=zip_of({"f": b"x"}))
    server.ask("create_custom_action_type", category="Build", provider="Make", version="1", configurationProperties=[
        {"name": "Target", "required": True, "key": True, "secret": False},
        {"name": "Password", "required": False, "key": False, "secret": True}],
        inputArtifactDetails={"minimumCount": 0, "maximumCount": 1}, outputArtifactDetails={"minimumCount": 0, "maximumCount": 1})
    made = declaration(server.secret["property"])
    server.ask("create_pipeline", pipeline=made)
    offered = wait_for(lambda: server.cp.poll_for_jobs(actionTypeId=TYPE)["jobs"], what="a job")[0]
    server.ask("acknowledge_job", jobId=offered["id"], nonce=offered["nonce"])
    # Not before: an update ends what runs in the source stage.
    wrong = declaration(server.secret["other-property"])
    wrong["stages"][1]["actions"][0]["configuration"]["Nonsense"] = server.secret["other-property"]
    server.ask("update_pipeline", pipeline=wrong)
    wrong["stages"][1]["actions"][0]["configuration"] = {"Target": 5, "Password": server.secret["other-property"] * 500}
    server.ask("update_pipeline", pipeline=wrong)
    server.ask("update_pipeline", pipeline=declaration(server.secret["other-property"]))
    server.ask("update_pipeline", pipeline=declaration("****"))
    given = offered["data"]["artifactCredentials"]
    where = offered["data"]["inputArtifacts"][0]["location"]["s3Location"]
    job_s3 = client(server.place, "s3", server.emulator.endpoint, given["accessKeyId"], given["secretAccessKey"], given["sessionToken"])
    job_s3.get_object(Bucket=where["bucketName"], Key=where["objectKey"])
    url = job_s3.generate_presigned_url("get_object", Params={"Bucket": where["bucketName"], "Key": where["objectKey"]})
    server.raw(url[len(server.emulator.endpoint) + 1:], None)
    signature = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query).get("X-Amz-Signature") or urllib.parse.parse_qs(
        urllib.parse.urlsplit(url).query)["Signature"]
    server.secret.update({"job-key": given["secretAccessKey"], "job-token": given["sessionToken"], "signature": signature[0]})
    server.raw(url[len(server.emulator.endpoint) + 1:].replace(urllib.parse.quote(signature[0], safe=""), "00"), None)
    return offered


@story
def what_the_emulator_is_told_in_confidence_is_in_no_answer_no_file_and_no_log():
    for form in ("text", "json"):
        with Place() as place, Watch([]) as watch:
            server = Server(place, form)
            watch.planted += [s.encode() for s in server.secret.values()]
            offered = play_pipeline(server)
            equal(offered["data"]["actionConfiguration"]["configuration"]["Password"], server.secret["property"],
                  "what the worker is given")
            for text in (b'{"pipeline": {"name": "%s' % server.secret["property"].encode(),
                         b'["%s"]' % server.secret["property"].encode()):
                server.raw("", text, **{"X-Amz-Target": "CodePipeline_20150709.UpdatePipeline",
                                        "Content-Type": "application/x-amz-json-1.1"})
            server.ask("put_job_failure_result", jobId=offered["id"], failureDetails={"type": "JobFailed", "message": "no"})
            server.ask("get_pipeline", name="release")
            server.ask("get_pipeline", name="release", version=1)
            server.ask("get_pipeline_state", name="release")
            server.ask("list_pipelines")
            server.ask("list_pipeline_executions", pipelineName="release")
            server.ask("list_action_executions", pipelineName="release")
            server.ask("list_action_types")
            server.ask("poll_for_third_party_jobs", actionTypeId=dict(TYPE, category="Deploy", owner="ThirdParty", provider="Acme"))
            server.ask("get_third_party_job_details", jobId=offered["id"], clientToken=server.secret["client-token"])
            check("'****'" in dict(server.answers)["get_pipeline"], "masked in views")
            shown = [(name, what) for name, text in server.answers for what, s in server.secret.items() if s in text]
            equal(shown, [], "secrets in answers")
            mine = [place.path("emulator.conf")]
            # A signature is in the URL, and the key id of a job is public: the rest is not to be found anywhere.
            equal(held(place.dir, server.secret.values(), mine), [], "while it runs")
            server.emulator.stop()
            equal(held(place.dir, server.secret.values(), mine), [], "after its end")
            done = place.run([server.emulator.argv[0], "--config", mine[0], "--data-dir", place.path("data"), "--dump"])
            equal([w for w, s in server.secret.items() if s in done.stdout + done.stderr], [], "--dump")


@story
def the_emulators_files_are_for_its_user_alone():
    with Place() as place:
        server = Server(place, "text")
        play_pipeline(server)
        for top, folders, names in os.walk(place.path("data")):
            for name in folders + names:
                mode = os.lstat(os.path.join(top, name)).st_mode
                equal(mode & 0o077, 0, os.path.join(top, name))


# ---- core files ----

def cores_come(place):
    """Whether a process that crashes here leaves a core at all: else nothing would be proved."""
    child = subprocess.Popen(["/bin/sh", "-c", "kill -SEGV $$"], cwd=place.dir, preexec_fn=let_cores_come)
    return how_it_ended(child.pid) == os.CLD_DUMPED


def let_cores_come():
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


def how_it_ended(pid):
    """CLD_EXITED, CLD_KILLED or CLD_DUMPED; it stays to be reaped."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT).si_code


def crash(program, number):
    program.send(number)
    code = how_it_ended(program.process.pid)
    program.wait()
    return code


@story
def no_process_leaves_a_core_file():
    if sanitized():
        skip("a sanitizer takes crashes for itself, and must trace the process")
    soft_hard = resource.getrlimit(resource.RLIMIT_CORE)
    let_cores_come()
    try:
        with Place() as place:
            control = cores_come(place)
            for name in [n for n in os.listdir(place.dir) if n.startswith("core")]:
                os.unlink(place.path(name))
            authority = Authority(place.path("ca"))
            cert, key = authority.issue("server", "IP:127.0.0.1")
            for number in (signal.SIGSEGV, signal.SIGABRT):
                emulator = place.emulator("--tls-cert", cert, "--tls-key", key, data_dir=place.path(f"data{number}"))
                check(crash(emulator, number) != os.CLD_DUMPED, "the emulator left a core")
                with Stub() as stub:
                    agent = place.agent(place.agent_conf(stub.endpoint, [action(place, "true")], **FAST))
                    wait_for(lambda: stub.seen("PollForJobs"), what="a poll")
                    check(crash(agent, number) != os.CLD_DUMPED, "the agent left a core")
            with Jobs() as jobs:
                for mode in ("crash", "abort"):
                    jobs.start("rude", config={"mode": mode}).finish()
                for number in (signal.SIGSEGV, signal.SIGABRT):
                    job = jobs.start("rude", config={"mode": "hang"})
                    wait_for(lambda: "hanging" in job.log(), what="the handler")
                    os.kill(job.pid, number)
                    check(how_it_ended(job.pid) != os.CLD_DUMPED, "the shim left a core")
                    job.wait()
                left = [os.path.join(top, n) for where in (place.dir, jobs.root) for top, _, names in os.walk(where)
                        for n in names if re.match(r"core(\.\d+)?$", n)]
            left += [n for n in os.listdir(".") if re.match(r"core(\.\d+)?$", n)]
            equal(left, [], "core files")
            if not control:
                skip("no core files here, whatever crashes: the kernel or the hard limit says so")
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, soft_hard)


run()
