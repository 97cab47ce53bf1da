#!/usr/bin/python3
"""What starts pipelines by itself: real pushes to bare repositories, declared triggers, objects, schedules."""
import json
import os
import sys
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.admin import Admin  # noqa: E402
from mh.git import Git  # noqa: E402
from mh.programs import EMULATOR, SHARED, SRC, Place, wait_for  # noqa: E402
from mh.tap import check, equal, raises, run, story  # noqa: E402

ROLE = "arn:aws:iam::000000000000:role/r"
CONNECTION = "arn:aws:codestar-connections:us-east-1:000000000000:connection/c"


def action(name, category, provider, configuration, outputs=(), **more):
    return dict({"name": name, "configuration": configuration,
                 "actionTypeId": {"category": category, "owner": "AWS", "provider": provider, "version": "1"},
                 "outputArtifacts": [{"name": n} for n in outputs]}, **more)


def connection(**configuration):
    return action("Source", "Source", "CodeStarSourceConnection",
                  dict({"ConnectionArn": CONNECTION, "FullRepositoryId": "me/app", "BranchName": "main"}, **configuration),
                  ["Src"], namespace="SrcVars")


def codecommit(**configuration):
    return action("Source", "Source", "CodeCommit",
                  dict({"RepositoryName": "app", "BranchName": "main"}, **configuration), ["Src"])


def s3(**configuration):
    return action("Source", "Source", "S3", dict({"S3Bucket": "uploads", "S3ObjectKey": "src.zip"}, **configuration), ["Src"])


def pipeline(source, triggers=None, name="p", mode="SUPERSEDED", **more):
    gate = action("Ask", "Approval", "Manual", {"CustomData": "?"})
    declared = dict({"name": name, "roleArn": ROLE, "artifactStore": {"type": "S3", "location": "artifacts"},
                     "pipelineType": "V2", "executionMode": mode,
                     "stages": [{"name": "Source", "actions": [source]}, {"name": "Gate", "actions": [gate]}]}, **more)
    if triggers is not None:
        declared["triggers"] = triggers
    return declared


def push(*entries, kind="push"):
    return [{"providerType": "CodeStarSourceConnection",
             "gitConfiguration": {"sourceActionName": "Source", kind: list(entries)}}]


class World:
    def __init__(self, place, *options, conf=None):
        self.place, self.options = place, ["--git-root", place.path("git"), *options]
        os.makedirs(place.path("git"), exist_ok=True)
        if conf:
            with open(place.path("emulator.conf"), "w", encoding="utf-8") as f:
                f.write(conf)
            self.options += ["--config", place.path("emulator.conf")]
        self.begin("emulator")

    def begin(self, name):
        self.emulator = self.place.emulator(*self.options, name=name)
        self.cp = self.emulator.client("codepipeline")

    def executions(self, name="p"):
        """Oldest first: (trigger type, what its source took)."""
        listed = self.cp.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"]
        return [(e["trigger"]["triggerType"], e["sourceRevisions"][0]["revisionId"] if e["sourceRevisions"] else None)
                for e in reversed(listed)]

    def wait(self, count, name="p"):
        """Until so many were started, and each took its source."""
        wait_for(lambda: len(self.executions(name)) >= count and all(r for _, r in self.executions(name)),
                 what=f"{count} executions of {name}")
        equal(len(self.executions(name)), count, str(self.executions(name)))
        return self.executions(name)[1:]

    def outputs(self):
        """The variables of the newest execution's source."""
        return self.cp.list_action_executions(pipelineName="p")["actionExecutionDetails"]


def shared_triggers():
    for path in (os.path.join(SHARED, "data", "triggers.json"),
                 os.path.join(SRC, "tests", "fixtures", "pipelines", "triggers.json")):
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                return json.load(f)
    raise AssertionError("no triggers.json")


@story
def pushes_to_the_branches_of_a_trigger_start_it_and_others_do_not():
    with Place() as place:
        w, git = World(place), Git(place, "me/app")
        git.commit({"a": "0"}, "first")
        w.cp.create_pipeline(pipeline=pipeline(connection(), shared_triggers(), mode="QUEUED"))
        main = git.commit({"a": "1"}, "on main")
        git.commit({"a": "2"}, "on a feature", "feature/x")
        git.commit({"a": "3"}, "deeper", "release/1/2")
        release = git.commit({"a": "4"}, "Phát hành", "release/1.0")
        # The second waits in front of Gate: its source has run all the same.
        equal(w.wait(3), [("WebhookV2", main), ("WebhookV2", release)])
        newest = w.cp.list_pipeline_executions(pipelineName="p")["pipelineExecutionSummaries"][0]
        equal(newest["trigger"]["triggerDetail"], CONNECTION)
        equal(newest["sourceRevisions"][0]["revisionSummary"], "Phát hành")
        source = next(a for a in w.outputs() if a["actionName"] == "Source"
                      and a["pipelineExecutionId"] == newest["pipelineExecutionId"])
        equal({k: source["output"]["outputVariables"][k] for k in ("BranchName", "CommitId", "FullRepositoryName")},
              {"BranchName": "release/1.0", "CommitId": release, "FullRepositoryName": "me/app"})


@story
def tags_start_it_by_name_and_excludes_win():
    with Place() as place:
        w, git = World(place), Git(place, "me/app")
        first = git.commit({"a": "0"}, "first")
        w.cp.create_pipeline(pipeline=pipeline(connection(), push(
            {"tags": {"includes": ["v*"], "excludes": ["v*-rc*"]}}), mode="QUEUED"))
        git.commit({"a": "1"}, "a push to a branch is no tag")
        for name in ("v1-rc1", "x1"):
            git.git("tag", name)
        git.git("tag", "v1", first)
        git.git("tag", "-a", "-m", "annotated", "v2")
        second = git.git("rev-parse", "HEAD").strip()
        git.git("push", "-q", git.bare, "v1-rc1", "x1", "v1")
        w.wait(2)
        git.git("push", "-q", git.bare, "v2")
        equal(w.wait(3), [("WebhookV2", first), ("WebhookV2", second)])
        git.git("push", "-q", git.bare, ":v1", ":v2")
        git.git("push", "-q", git.bare, f"{second}:refs/tags/v1")
        equal(w.wait(4)[-1], ("WebhookV2", second), "a tag that moved")


@story
def file_paths_are_judged_one_by_one_and_never_on_a_new_branch():
    with Place() as place:
        w, git = World(place), Git(place, "me/app")
        git.commit({"src/a.c": "0", "docs/a.md": "0"}, "first")
        w.cp.create_pipeline(pipeline=pipeline(connection(), push(
            {"branches": {"includes": ["**"]}, "filePaths": {"includes": ["src/**"], "excludes": ["**/*.md"]}}),
            mode="QUEUED"))
        git.commit({"docs/a.md": "1"}, "documentation")
        git.commit({"src/b.md": "1"}, "excluded")
        one = git.commit({"src/b.md": "2", "docs/a.md": "2", "src/a.c": "2"}, "one of them passes")
        git.commit({"src/a.c": "3"}, "the first push of a branch", "new")
        two = git.commit({"src/a.c": "4"}, "the second one", "new")
        os.unlink(os.path.join(git.work, "src/a.c"))
        three = git.commit({}, "a file that goes away", "new")
        equal(w.wait(4), [("WebhookV2", one), ("WebhookV2", two), ("WebhookV2", three)])


@story
def only_the_first_hundred_files_count():
    with Place() as place:
        w, git = World(place), Git(place, "me/app")
        git.commit({"z": "0"}, "first")
        w.cp.create_pipeline(pipeline=pipeline(connection(), push(
            {"branches": {"includes": ["main"]}, "filePaths": {"includes": ["z"]}}), mode="QUEUED"))
        git.commit(dict({f"a{n:03}": "1" for n in range(100)}, z="1"), "the 101st")
        last = git.commit(dict({f"a{n:03}": "2" for n in range(99)}, z="2"), "the 100th")
        equal(w.wait(2), [("WebhookV2", last)])


@story
def without_triggers_every_commit_on_the_branch_starts_it():
    with Place() as place:
        w, git = World(place), Git(place, "me/app")
        plain = Git(place, "app")
        git.commit({"a": "0"}, "first")
        plain.commit({"a": "0"}, "first")
        for name, source in (("c", connection()), ("silent", connection(DetectChanges="false")), ("polled", codecommit()),
                             ("events", codecommit(PollForSourceChanges="false"))):
            w.cp.create_pipeline(pipeline=pipeline(source, name=name, mode="QUEUED"))
        for repository in (git, plain):
            repository.commit({"a": "1"}, "elsewhere", "other")
        pushed, polled = git.commit({"a": "2"}, "push"), plain.commit({"a": "2"}, "push")
        equal(w.wait(2, "c"), [("Webhook", pushed)])
        equal(w.wait(2, "polled"), [("PollForSourceChanges", polled)])
        for name in ("silent", "events"):
            equal(w.wait(1, name), [], name)


@story
def rules_for_events_start_sources_that_are_not_polled():
    with Place() as place:
        w, git = World(place, "--source-events"), Git(place, "app")
        git.commit({"a": "0"}, "first")
        w.cp.create_pipeline(pipeline=pipeline(codecommit(PollForSourceChanges="false"), mode="QUEUED"))
        commit = git.commit({"a": "1"}, "push")
        equal(w.wait(2), [("CloudWatchEvent", commit)])


@story
def what_was_pushed_while_nobody_looked_starts_it_once():
    with Place() as place:
        w, git = World(place), Git(place, "app")
        git.commit({"a": "0"}, "first")
        w.cp.create_pipeline(pipeline=pipeline(codecommit(), mode="QUEUED"))
        git.commit({"a": "1"}, "one")
        w.wait(2)
        w.emulator.kill()
        git.commit({"a": "2"}, "while it was away")
        last = git.commit({"a": "3"}, "and again")
        w.begin("second")
        equal(w.wait(3)[-1], ("PollForSourceChanges", last), "two pushes that nobody saw are one change")
        w.emulator.stop()
        w.begin("third")
        after = git.commit({"a": "4"}, "later")
        equal(w.wait(4)[-1], ("PollForSourceChanges", after), "none is seen twice")


@story
def a_repository_may_come_after_its_pipeline_and_go_and_come_again():
    with Place() as place:
        w = World(place)
        w.cp.create_pipeline(pipeline=pipeline(connection(FullRepositoryId="deep/er/app"), mode="QUEUED"))
        wait_for(lambda: w.cp.list_pipeline_executions(pipelineName="p")["pipelineExecutionSummaries"][0]["status"]
                 == "Failed", what="the first execution to find no repository")
        git = Git(place, "deep/er/app")
        first = git.commit({"a": "0"}, "first")
        wait_for(lambda: w.executions()[1:] == [("Webhook", first)], what="the first push to start it")
        git.git("push", "-q", git.bare, "HEAD:refs/heads/a/b/c/d")
        second = git.commit({"a": "1"}, "second")
        wait_for(lambda: w.executions()[2:] == [("Webhook", second)], what="the next one")
        w.place.run(["git", "--git-dir", git.bare, "pack-refs", "--all"])
        third = git.commit({"a": "2"}, "third, over packed refs")
        wait_for(lambda: w.executions()[3:] == [("Webhook", third)], what="the one after packing")


@story
def a_pipeline_made_anew_is_not_started_by_what_was_before():
    with Place() as place:
        w, git = World(place), Git(place, "app")
        git.commit({"a": "0"}, "first")
        w.cp.create_pipeline(pipeline=pipeline(codecommit(), mode="QUEUED"))
        w.wait(1)
        w.cp.delete_pipeline(name="p")
        git.commit({"a": "1"}, "nobody watches")
        w.cp.create_pipeline(pipeline=pipeline(codecommit(), mode="QUEUED"))
        commit = git.commit({"a": "2"}, "now they do")
        equal(w.wait(2), [("PollForSourceChanges", commit)])
        changed = pipeline(codecommit(BranchName="next"), mode="QUEUED")
        w.cp.update_pipeline(pipeline=changed)
        git.commit({"a": "3"}, "no longer its branch")
        commit = git.commit({"a": "4"}, "its branch", "next")
        equal(w.wait(3)[-1], ("PollForSourceChanges", commit))


def post(url, body, **headers):
    request = urllib.request.Request(url, data=json.dumps(body).encode(), method="POST",
                                     headers={k.replace("_", "-"): v for k, v in headers.items()})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


@story
def pull_requests_that_are_delivered_start_it():
    with Place() as place:
        w, git = World(place), Git(place, "me/app")
        base = git.commit({"src/a": "0", "docs/a": "0"}, "first")
        w.cp.create_pipeline(pipeline=pipeline(connection(), push(
            {"branches": {"includes": ["main"]}, "events": ["OPEN", "UPDATED"], "filePaths": {"includes": ["src/**"]}},
            kind="pullRequest"), mode="QUEUED"))
        url = w.cp.put_webhook(webhook={
            "name": "pulls", "targetPipeline": "p", "targetAction": "Source", "authentication": "UNAUTHENTICATED",
            "authenticationConfiguration": {}, "filters": [{"jsonPath": "$.pull_request"}]})["webhook"]["url"]
        head = git.commit({"src/a": "1"}, "mend", "feature/x")
        git.git("reset", "-q", "--hard", base)
        paper = git.commit({"docs/a": "1"}, "papers", "feature/docs")

        def pull(action, sha, branch="feature/x", to="main"):
            return post(url, {"action": action, "pull_request": {
                "title": "Mend", "user": {"login": "me"}, "base": {"ref": to, "sha": base},
                "head": {"ref": branch, "sha": sha}}}, X_GitHub_Event="pull_request")

        for words in (("closed", head), ("labeled", head), ("opened", paper, "feature/docs"),
                      ("opened", head, "feature/x", "next")):
            check("ignored" in pull(*words), str(words))
        check("pipelineExecutionId" in pull("opened", head), "opened")
        equal(w.wait(2), [("WebhookV2", head)])
        source = next(a for a in w.outputs() if a["actionName"] == "Source")
        equal(source["output"]["outputVariables"]["BranchName"], "feature/x", "the run is of the source branch")
        check("pipelineExecutionId" in pull("synchronize", head), "updated")
        equal(w.wait(3)[-1], ("WebhookV2", head))


@story
def a_new_object_starts_its_pipeline_at_once():
    with Place() as place:
        w = World(place)
        objects = w.emulator.client("s3")
        for bucket in ("uploads", "versions"):
            objects.create_bucket(Bucket=bucket)
            objects.put_object(Bucket=bucket, Key="src.zip", Body=b"0")
        objects.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
        for name, source in (("polled", s3()), ("events", s3(PollForSourceChanges="false")),
                             ("versions", s3(S3Bucket="versions"))):
            w.cp.create_pipeline(pipeline=pipeline(source, name=name, mode="QUEUED"))
            w.wait(1, name)
        objects.put_object(Bucket="uploads", Key="other.zip", Body=b"1")
        objects.put_object(Bucket="uploads", Key="src.zip", Body=b"1")
        equal([t for t, _ in w.wait(2, "polled")], ["PollForSourceChanges"])
        objects.copy_object(Bucket="uploads", Key="src.zip", CopySource="uploads/other.zip")
        w.wait(3, "polled")
        upload = objects.create_multipart_upload(Bucket="uploads", Key="src.zip")["UploadId"]
        part = objects.upload_part(Bucket="uploads", Key="src.zip", UploadId=upload, PartNumber=1, Body=b"2")["ETag"]
        objects.complete_multipart_upload(Bucket="uploads", Key="src.zip", UploadId=upload,
                                          MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]})
        w.wait(4, "polled")
        w.wait(1, "events")
        # Each execution has the version that started it, whatever came after.
        versions = [objects.put_object(Bucket="versions", Key="src.zip", Body=str(n).encode())["VersionId"]
                    for n in range(3)]
        equal([r for _, r in w.wait(4, "versions")], versions)


@story
def a_revision_that_is_put_starts_it_once():
    with Place() as place:
        w, git = World(place), Git(place, "app")
        commits = [git.commit({"a": str(n)}, str(n)) for n in range(3)]
        w.cp.create_pipeline(pipeline=pipeline(codecommit(), mode="QUEUED"))
        w.wait(1)

        def put(revision):
            return w.cp.put_action_revision(pipelineName="p", stageName="Source", actionName="Source", actionRevision={
                "revisionId": revision, "revisionChangeId": "1", "created": 1700000000})

        equal(put(commits[2])["newRevision"], False, "the creation's execution took it")
        first, again = put(commits[0]), put(commits[0])
        equal((first["newRevision"], again["newRevision"]), (True, False))
        equal(first["pipelineExecutionId"], again["pipelineExecutionId"])
        equal(w.wait(2), [("PutActionRevision", commits[0])], "an older commit, as it was put")


@story
def a_start_may_name_the_version_of_an_object():
    with Place() as place:
        w = World(place)
        objects = w.emulator.client("s3")
        objects.create_bucket(Bucket="uploads")
        objects.put_bucket_versioning(Bucket="uploads", VersioningConfiguration={"Status": "Enabled"})
        versions = [objects.put_object(Bucket="uploads", Key="src.zip", Body=str(n).encode())["VersionId"]
                    for n in range(2)]
        w.cp.create_pipeline(pipeline=pipeline(s3(), mode="QUEUED"))
        w.cp.start_pipeline_execution(name="p", sourceRevisions=[
            {"actionName": "Source", "revisionType": "S3_OBJECT_VERSION_ID", "revisionValue": versions[0]}])
        equal(w.wait(2), [("StartPipelineExecution", versions[0])])
        raises("ValidationException", w.cp.start_pipeline_execution, name="p", sourceRevisions=[
            {"actionName": "Source", "revisionType": "COMMIT_ID", "revisionValue": "c" * 40}])


@story
def a_schedule_starts_pipelines_by_the_clock():
    with Place() as place:
        w = World(place, "--admin", conf="""schedules = (
            { pipeline = "p"; cron = "30 6 ? * MON-FRI *"; time_zone = "UTC+01:00"; },
            { pipeline = "none"; cron = "cron(0 0 1 * ? *)"; } );\n""")
        admin = Admin(w.emulator)
        admin.virtual("2026-11-20T05:00:00Z")
        w.cp.create_pipeline(pipeline=pipeline(s3(), mode="QUEUED"))
        equal(len(w.executions()), 1)
        admin.advance(minutes=29)
        equal(len(w.executions()), 1, "05:29 is 06:29 there")
        admin.advance(minutes=1)
        listed = w.cp.list_pipeline_executions(pipelineName="p")["pipelineExecutionSummaries"]
        equal(listed[0]["trigger"], {"triggerType": "CloudWatchEvent",
                                     "triggerDetail": "arn:aws:events:us-east-1:000000000000:rule/p-schedule"})
        equal(len(listed), 2)
        admin.advance(days=4)
        equal(len(w.executions()), 4, "Saturday and Sunday are no working days")


@story
def schedules_that_cannot_be_understood_stop_the_start():
    with Place() as place:
        for row, words in (('pipeline = "p"; cron = "0 25 * * ? *";', ("hours '25'", 'pipeline = "p"')),
                           ('pipeline = "p"; cron = "* * * * ? *"; time_zone = "Mars/Base";', ("Mars/Base",)),
                           ('pipeline = "p";', ("cron",))):
            with open(place.path("bad.conf"), "w") as f:
                f.write(f"schedules = ( {{ {row} }} );\n")
            done = place.run([EMULATOR, "--config", place.path("bad.conf"), "--data-dir", place.path("d"), "--check"],
                             check=False)
            check(done.returncode != 0 and all(w in done.stderr for w in words), done.stderr)


@story
def declarations_with_patterns_that_make_no_sense_are_refused():
    with Place() as place:
        w = World(place)
        for pattern in ("[a", "{a,{b}}", "a\\"):
            message = raises("InvalidStructureException", w.cp.create_pipeline,
                             pipeline=pipeline(connection(), push({"branches": {"includes": [pattern]}})))
            check(pattern in message, message)


run()
