#!/usr/bin/python3
"""Snapshots of the emulator, and the mode in which the same calls get the same answers."""
import http.client
import json
import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh import pipes  # noqa: E402
from mh.admin import Admin, Refused  # noqa: E402
from mh.events import Stream, check_legal, once, read_file, short  # noqa: E402
from mh.programs import Place, wait_for  # noqa: E402
from mh.tap import check, equal, raises, run, story  # noqa: E402

START_MS = 1767225600000


def refused(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except Refused as e:
        return e
    raise AssertionError("it was not refused")


def view(emulator):
    """What clients see of everything."""
    cp, s3 = emulator.client("codepipeline"), emulator.client("s3")
    out = {"state": cp.get_pipeline_state(name="p"), "list": cp.list_pipeline_executions(pipelineName="p"),
           "actions": cp.list_action_executions(pipelineName="p")}
    for answer in out.values():
        del answer["ResponseMetadata"]
    out["objects"] = {o["Key"]: s3.get_object(Bucket="box", Key=o["Key"])["Body"].read()
                      for o in s3.list_objects_v2(Bucket="box").get("Contents", [])}
    return out


class World:
    def __init__(self, place, *options):
        self.events = place.path("events.jsonl")
        self.emulator = place.emulator("--admin", "--events-file", self.events, *options)
        self.admin, self.cp = Admin(self.emulator), self.emulator.client("codepipeline")
        self.s3 = self.emulator.client("s3")
        self.s3.create_bucket(Bucket="box")

    def half_way(self):
        """A pipeline whose source is done and whose build a worker has."""
        self.admin.virtual("2026-01-01T00:00:00Z")
        pipes.create_types(self.cp)
        self.first = pipes.create(self.cp, stages=pipes.with_approval())
        pipes.succeed(self.cp, "Src")
        self.s3.put_object(Bucket="box", Key="kept", Body=b"before")
        self.job = pipes.take(self.cp, "Make")


@story
def a_restore_brings_everything_back_in_the_running_server():
    with Place() as place:
        w = World(place)
        w.half_way()
        before = view(w.emulator)
        git = os.path.join(w.emulator.data_dir, "git", "repo.git")
        os.makedirs(git)
        with open(os.path.join(git, "description"), "w") as f:
            f.write("before")
        made = w.admin.post("snapshots", name="half")
        equal((made["name"], made["time_ms"]), ("half", START_MS))
        w.admin.advance(days=1)  # the build times out
        w.s3.put_object(Bucket="box", Key="kept", Body=b"after")
        w.s3.put_object(Bucket="box", Key="new", Body=b"new")
        w.cp.start_pipeline_execution(name="p")
        check(view(w.emulator) != before, "it went on")
        for _ in range(2):
            with open(os.path.join(git, "description"), "w") as f:
                f.write("after")
            w.admin.post("snapshots/half/restore")
            equal(view(w.emulator), before)
            with open(os.path.join(git, "description")) as f:
                equal(f.read(), "before", "git's files")
            equal(w.admin.now_ms(), START_MS)
            w.cp.put_job_success_result(jobId=w.job["id"])  # the worker goes on
            w.s3.delete_object(Bucket="box", Key="kept")
            pipes.answer(w.cp, "Approved")
            pipes.succeed(w.cp, "Ship")
            equal(pipes.state(w.cp, w.first), "Succeeded")
        equal([s["name"] for s in w.admin.get("snapshots")["snapshots"]], ["half"])
        w.emulator.kill()
        again = place.emulator("--admin", name="again")
        equal(pipes.state(again.client("codepipeline"), w.first), "Succeeded")
        Admin(again).post("snapshots/half/restore")
        equal(view(again), before, "after a restart too")


@story
def a_snapshot_is_a_data_directory():
    with Place() as place:
        w = World(place)
        w.half_way()
        before = view(w.emulator)
        w.admin.post("snapshots", name="copy")
        other = place.emulator("--admin", data_dir=os.path.join(w.emulator.data_dir, "snapshots", "copy"), name="other")
        equal(view(other), before)
        other.client("codepipeline").put_job_success_result(jobId=w.job["id"])
        equal(view(w.emulator), before, "they share nothing that changes")


@story
def snapshots_have_names_and_errors():
    with Place() as place:
        w = World(place)
        for name in ("", ".hidden", "a/b", "../x", "x" * 65, "ü"):
            e = refused(w.admin.post, "snapshots", name=name)
            equal((e.status, e.code), (400, "ValidationException"), name)
        equal(refused(w.admin.post, "snapshots").status, 400)
        equal(refused(w.admin.post, "snapshots/none/restore").status, 404)
        equal(refused(w.admin.delete, "snapshots/none").status, 404)
        equal(refused(w.admin.delete, "snapshots/..%2f..").status, 400)
        w.admin.post("snapshots", name="one")
        equal(refused(w.admin.post, "snapshots", name="one").status, 409)
        w.admin.delete("snapshots/one")
        equal(w.admin.get("snapshots"), {"snapshots": []})
        equal(os.listdir(os.path.join(w.emulator.data_dir, "snapshots")), [])


@story
def events_go_on_with_new_numbers_after_a_restore():
    with Place() as place:
        w = World(place)
        w.half_way()
        w.admin.post("snapshots", name="half")
        stream = Stream(w.emulator)
        for _ in range(2):
            w.cp.put_job_success_result(jobId=w.job["id"])
            pipes.answer(w.cp, "Approved")
            w.admin.post("snapshots/half/restore")
        w.cp.put_job_failure_result(jobId=w.job["id"], failureDetails={"type": "JobFailed", "message": "x"})
        wait_for(lambda: short(stream.events())[-1:] == ["Pipeline FAILED"], what="the stream's end")
        ids = [i for i, _ in stream.items]
        equal(ids, sorted(set(ids)), "numbers grow")
        wait_for(lambda: short(read_file(w.events))[-1:] == ["Pipeline FAILED"], what="the file's end")
        equal(read_file(w.events)[-3:], stream.events()[-3:], "what happened after the last restore")


def killed_in(emulator, ms, method, path, body=b"{}"):
    """Sends a request, and kills the emulator so long after it."""
    c = http.client.HTTPConnection("127.0.0.1", emulator.port, timeout=20)
    c.request(method, "/_millhand/admin/" + path, body)
    threading.Event().wait(ms / 1000)
    emulator.kill()
    c.close()


@story
def a_kill_in_a_restore_leaves_one_state_or_the_other():
    with Place() as place:
        w = World(place)
        w.half_way()
        w.admin.post("snapshots", name="half")
        half = view(w.emulator)
        w.s3.put_object(Bucket="box", Key="kept", Body=b"after")
        w.cp.put_job_success_result(jobId=w.job["id"])
        later, emulator = view(w.emulator), w.emulator
        ends = set()
        for i in range(4):
            killed_in(emulator, 3 * i, "POST", "snapshots/half/restore")
            emulator = place.emulator("--admin", name=f"life{i}")
            now = view(emulator)
            check(now in (half, later), "neither the one nor the other")
            ends.add(now == half)
            if now == half:  # and it works on
                emulator.client("s3").put_object(Bucket="box", Key="kept", Body=b"after")
                emulator.client("codepipeline").put_job_success_result(jobId=w.job["id"])
                later = view(emulator)
        print(f"# restored: {sorted(ends)}")


@story
def a_kill_while_a_snapshot_is_made_leaves_a_whole_one_or_none():
    with Place() as place:
        w = World(place)
        w.half_way()
        half, emulator = view(w.emulator), w.emulator
        for i in range(3):
            killed_in(emulator, 4 * i, "POST", "snapshots", b'{"name":"s"}')
            emulator = place.emulator("--admin", name=f"life{i}")
            admin = Admin(emulator)
            if not admin.get("snapshots")["snapshots"]:
                admin.post("snapshots", name="s")
            emulator.client("s3").put_object(Bucket="box", Key="kept", Body=b"after")
            admin.post("snapshots/s/restore")
            equal(view(emulator), half)
            admin.delete("snapshots/s")


# ---- determinism ----

def conversation(emulator, place):
    """The same calls each time; answers all that came back but the Date header."""
    got = []

    def call(operation, **body):
        c = http.client.HTTPConnection("127.0.0.1", emulator.port, timeout=60)
        c.request("POST", "/", json.dumps(body), {"X-Amz-Target": f"CodePipeline_20150709.{operation}",
                                                  "Content-Type": "application/x-amz-json-1.1"})
        answer = c.getresponse()
        data = answer.read()
        got.append((operation, answer.status, sorted(h for h in answer.getheaders() if h[0] != "Date"), data))
        return json.loads(data) if data else {}

    def s3(method, path, body=None):
        c = http.client.HTTPConnection("127.0.0.1", emulator.port, timeout=60)
        c.request(method, path, body)
        answer = c.getresponse()
        got.append((method + path, answer.status, sorted(h for h in answer.getheaders() if h[0] != "Date"), answer.read()))

    git = {"name": "Source", "actions": [
        {"name": f"Git{i}", "outputArtifacts": [{"name": f"Code{i}"}],
         "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "CodeCommit", "version": "1"},
         "configuration": {"RepositoryName": "repo", "BranchName": "main"}} for i in range(3)]}
    build = {"name": "Build", "actions": [pipes.custom("B", "Make", ["Code0"], ["Out"], configuration={"Password": "secret1"})]}
    gate = {"name": "Gate", "actions": [pipes.approval()]}
    s3("PUT", "/artifacts")
    s3("PUT", "/artifacts/x", b"x")
    s3("POST", "/artifacts/y?uploads")
    s3("GET", "/artifacts?list-type=2")
    call("CreateCustomActionType", category="Build", provider="Make", version="1",
         configurationProperties=[{"name": "Password", "required": False, "key": False, "secret": True}],
         inputArtifactDetails={"minimumCount": 0, "maximumCount": 5},
         outputArtifactDetails={"minimumCount": 0, "maximumCount": 5})
    call("CreatePipeline", pipeline={"name": "p", "roleArn": pipes.ROLE, "pipelineType": "V2",
                                     "artifactStore": {"type": "S3", "location": "artifacts"}, "stages": [git, build, gate]})
    call("GetPipelineState", name="p")
    job = call("PollForJobs", actionTypeId=pipes.type_of("Make"))["jobs"][0]
    call("AcknowledgeJob", jobId=job["id"], nonce=job["nonce"])
    call("GetJobDetails", jobId=job["id"])
    call("AcknowledgeJob", jobId=job["id"], nonce="wrong")
    call("PutJobSuccessResult", jobId=job["id"], continuationToken="again")
    call("StartPipelineExecution", name="p")
    call("ListActionExecutions", pipelineName="p", maxResults=1)
    call("ListPipelineExecutions", pipelineName="p", maxResults=1)
    Admin(emulator).advance(days=2)
    call("ListActionExecutions", pipelineName="p")
    call("GetPipelineState", name="p")
    return got


def repository(path):
    """A git repository that is the same each time."""
    env = dict(os.environ, GIT_AUTHOR_DATE="2026-01-01T00:00:00Z", GIT_COMMITTER_DATE="2026-01-01T00:00:00Z",
               GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@x", GIT_COMMITTER_NAME="a", GIT_COMMITTER_EMAIL="a@x",
               GIT_CONFIG_NOSYSTEM="1", HOME=path)
    os.makedirs(path)
    work = os.path.join(path, "work")
    subprocess.run(["git", "init", "-q", "-b", "main", work], check=True, env=env)
    with open(os.path.join(work, "f"), "w") as f:
        f.write("hello\n")
    subprocess.run(["git", "-C", work, "add", "f"], check=True, env=env)
    subprocess.run(["git", "-C", work, "commit", "-qm", "one"], check=True, env=env)
    subprocess.run(["git", "clone", "-q", "--bare", work, os.path.join(path, "repo.git")], check=True, env=env)


@story
def two_fresh_deterministic_runs_answer_alike_byte_for_byte():
    runs, events = [], []
    for seed in (42, 42, 43):
        with Place() as place:
            repository(place.path("git"))
            file = place.path("events.jsonl")
            emulator = place.emulator("--deterministic", str(seed), "--admin", "--git-root", place.path("git"),
                                      "--events-file", file)
            check("emulator.deterministic" in emulator.text(), "a warning")
            got = conversation(emulator, place)
            emulator.stop()
            runs.append(got)
            with open(file, "rb") as f:
                events.append(f.read())
            check_legal(once(read_file(file)))
    for a, b in zip(runs[0], runs[1]):
        equal(a, b, a[0])
    equal(events[0], events[1], "events")
    check(runs[2] != runs[0], "another seed, other answers")
    check(all(s < 500 for _, s, _, _ in runs[0]), "no failure inside")


@story
def a_restore_makes_a_deterministic_emulator_say_the_same_again():
    with Place() as place:
        emulator = place.emulator("--deterministic", "5", "--admin")
        admin, cp = Admin(emulator), emulator.client("codepipeline")
        pipes.create_types(cp)
        pipes.create(cp)
        admin.post("snapshots", name="s")

        def one():
            admin.post("snapshots/s/restore")
            answer = cp.start_pipeline_execution(name="p")
            return answer["pipelineExecutionId"], answer["ResponseMetadata"]["RequestId"], pipes.succeed(cp, "Src")["id"]

        equal(one(), one())


@story
def a_restarted_deterministic_emulator_gives_no_id_twice():
    with Place() as place:
        ids = set()
        for life in range(3):
            emulator = place.emulator("--deterministic", "9", "--admin", name=f"life{life}")
            cp = emulator.client("codepipeline")
            if life == 0:
                pipes.create_types(cp)
                pipes.create(cp, mode="PARALLEL")
            ids |= {cp.start_pipeline_execution(name="p")["pipelineExecutionId"] for _ in range(5)}
            equal(Admin(emulator).now_ms(), START_MS)
            emulator.kill()
        equal(len(ids), 15)


run()
