#!/usr/bin/python3
"""Sources and deployments that the emulator does itself: git repositories, S3 objects, S3 deploy,
each through a real pipeline."""
import hashlib
import io
import os
import shutil
import signal
import sys
import zipfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.git import Git
from mh.programs import ARCHIVE, Place, wait_for
from mh.tap import check, equal, run, skip, story

ROLE = "arn:aws:iam::000000000000:role/r"


def action(name, category, provider, configuration, inputs=(), outputs=(), **more):
    return dict({"name": name, "configuration": configuration,
                 "actionTypeId": {"category": category, "owner": "AWS", "provider": provider, "version": "1"},
                 "inputArtifacts": [{"name": n} for n in inputs], "outputArtifacts": [{"name": n} for n in outputs]}, **more)


def pipeline(source, last, **more):
    return dict({"name": "p", "roleArn": ROLE, "artifactStore": {"type": "S3", "location": "artifacts"},
                 "stages": [{"name": "Source", "actions": [source]}, {"name": "Deploy", "actions": [last]}]}, **more)


def git_source(repository="app", branch="main", **more):
    return action("Checkout", "Source", "CodeCommit", {"RepositoryName": repository, "BranchName": branch}, [], ["Src"],
                  **more)


def s3_source(key="src.zip"):
    return action("Fetch", "Source", "S3", {"S3Bucket": "uploads", "S3ObjectKey": key}, [], ["Src"])


def s3_deploy(**configuration):
    return action("Publish", "Deploy", "S3", dict({"BucketName": "site", "Extract": "true"}, **configuration), ["Src"])


class Story:
    def __init__(self, place, *options, env=None):
        self.place = place
        self.emulator = place.emulator("--git-root", place.path("git"), *options, env=env)
        self.clients()

    def clients(self):
        self.cp, self.s3 = self.emulator.client("codepipeline"), self.emulator.client("s3")

    def restart(self, *options):
        self.emulator.kill()
        self.emulator = self.place.emulator("--git-root", self.place.path("git"), *options, name="again")
        self.clients()

    def execution(self):
        return self.cp.list_pipeline_executions(pipelineName="p")["pipelineExecutionSummaries"][0]

    def ended(self, status, count=1):
        """Waits for the newest of count executions to end so."""
        def look():
            all_of_them = self.cp.list_pipeline_executions(pipelineName="p")["pipelineExecutionSummaries"]
            return len(all_of_them) >= count and all_of_them[0]["status"] not in ("InProgress", "Stopping")

        wait_for(look, 30, "the execution to end")
        execution = self.execution()
        equal(execution["status"], status, f"status ({self.failure() if status != 'Failed' else ''})")
        return execution

    def details(self, name):
        for d in self.cp.list_action_executions(pipelineName="p")["actionExecutionDetails"]:
            if d["actionName"] == name:
                return d
        raise AssertionError(f"no execution of action {name}")

    def failure(self):
        for d in self.cp.list_action_executions(pipelineName="p")["actionExecutionDetails"]:
            if d["status"] == "Failed":
                return d["output"]["executionResult"].get("errorDetails", {})
        return {}

    def failed(self, code, *parts):
        self.ended("Failed")
        failure = self.failure()
        equal(failure.get("code"), code, f"code of {failure}")
        for part in parts:
            check(part in failure["message"], f"{part!r} in {failure['message']!r}")

    def artifact(self, name="Checkout"):
        """The bytes of the action's output artifact."""
        where = self.details(name)["output"]["outputArtifacts"][0]["s3location"]
        return self.s3.get_object(Bucket=where["bucket"], Key=where["key"])["Body"].read()

    def site(self):
        listed = self.s3.list_objects_v2(Bucket="site").get("Contents", [])
        return {o["Key"]: self.s3.get_object(Bucket="site", Key=o["Key"])["Body"].read() for o in listed}


def zip_of(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, text in files.items():
            z.writestr(name, text)
    return out.getvalue()


def need_archive():
    if not os.access(ARCHIVE, os.X_OK):
        skip("millhand-archive is not built")


def hang_once(place):
    """Puts a git in front that hangs the first time it is to make an artifact; answers the file that then holds its
    process id. (Those who watch the repositories ask git as well.)"""
    fake, flag = place.path("bin"), place.path("held")
    git = shutil.which("git")
    os.makedirs(fake)
    with open(os.path.join(fake, "git"), "w") as f:
        f.write(f'#!/bin/sh\ncase " $* " in *" archive "*) make=y ;; esac\n'
                f'if [ "$make" ] && [ ! -e {flag} ]; then echo $$ >{flag}.new; mv {flag}.new {flag}; exec tail -f /dev/null; fi\n'
                f'exec {git} "$@"\n')
    os.chmod(os.path.join(fake, "git"), 0o755)
    place.env["PATH"] = fake + ":" + place.env["PATH"]
    return flag


@story
def a_git_branch_becomes_an_artifact_and_its_files_are_published():
    need_archive()
    with Place() as place:
        git = Git(place)
        commit = git.commit({"index.html": "<h1>hello</h1>", "bin/run.sh": ("#!/bin/sh\n", 0o755), "css/a.css": "b{}",
                             "link": ["index.html"]}, "First line\n\nMore words: Đội A")
        it = Story(place)
        it.s3.create_bucket(Bucket="site")
        source = git_source(namespace="src")
        it.cp.create_pipeline(pipeline=pipeline(source, s3_deploy(ObjectKey="v/#{src.CommitId}", CacheControl="max-age=60")))
        execution = it.ended("Succeeded")
        revision = execution["sourceRevisions"][0]
        equal((revision["actionName"], revision["revisionId"], revision["revisionSummary"]), ("Checkout", commit, "First line"))
        equal(it.details("Checkout")["output"]["outputVariables"], {
            "RepositoryName": "app", "BranchName": "main", "CommitId": commit, "AuthorDate": "2023-11-14T22:13:20Z",
            "CommitterDate": "2023-11-14T22:15:00Z", "CommitMessage": "First line\n\nMore words: Đội A"})
        with zipfile.ZipFile(io.BytesIO(it.artifact())) as z:
            equal(sorted(n for n in z.namelist() if not n.endswith("/")), ["bin/run.sh", "css/a.css", "index.html", "link"])
            equal(z.getinfo("bin/run.sh").external_attr >> 16 & 0o777, 0o755, "the executable bit")
            equal(z.getinfo("link").external_attr >> 16 & 0o170000, 0o120000, "a symbolic link")
        at = f"v/{commit}/"
        equal(it.site(), {at + "bin/run.sh": b"#!/bin/sh\n", at + "css/a.css": b"b{}", at + "index.html": b"<h1>hello</h1>"})
        page = it.s3.head_object(Bucket="site", Key=at + "index.html")
        equal((page["ContentType"], page["CacheControl"]), ("text/html", "max-age=60"))
        equal(os.listdir(os.path.join(it.emulator.data_dir, "tmp", "builtin")), [], "temporary files")


@story
def each_start_takes_the_newest_commit():
    with Place() as place:
        git = Git(place)
        first = git.commit({"f": "1"}, "one")
        it = Story(place)
        it.s3.create_bucket(Bucket="site")
        it.cp.create_pipeline(pipeline=pipeline(git_source(), s3_deploy(Extract="false", ObjectKey="src.zip"), pipelineType="V2"))
        equal(it.ended("Succeeded")["sourceRevisions"][0]["revisionId"], first)
        second = git.commit({"f": "2"}, "two")
        it.cp.start_pipeline_execution(name="p")
        equal(it.ended("Succeeded", 2)["sourceRevisions"][0]["revisionId"], second)
        with zipfile.ZipFile(io.BytesIO(it.site()["src.zip"])) as z:
            equal(z.read("f"), b"2")
        it.cp.start_pipeline_execution(name="p", sourceRevisions=[
            {"actionName": "Checkout", "revisionType": "COMMIT_ID", "revisionValue": first}])
        equal(it.ended("Succeeded", 3)["sourceRevisions"][0]["revisionId"], first, "the pinned commit")


@story
def a_missing_repository_or_branch_fails_the_source_and_says_where():
    for repository, branch, code, parts in (("gone", "main", "ConfigurationError", ("gone.git",)),
                                            ("app", "nope", "RevisionUnavailable", ("app.git", "nope")),
                                            ("../work-app", "main", "ConfigurationError", ("names no repository",))):
        with Place() as place:
            Git(place).commit({"f": "1"}, "one")
            it = Story(place)
            it.cp.create_pipeline(pipeline=pipeline(git_source(repository, branch), s3_deploy()))
            it.failed(code, *parts)


@story
def a_connection_source_reads_the_same_directory():
    with Place() as place:
        commit = Git(place, "team/app").commit({"f": "1"}, "one")
        it = Story(place)
        it.s3.create_bucket(Bucket="site")
        arn = "arn:aws:codestar-connections:us-east-1:000000000000:connection/01234567-0123-0123-0123-0123456789ab"
        source = action("Checkout", "Source", "CodeStarSourceConnection",
                        {"ConnectionArn": arn, "FullRepositoryId": "team/app", "BranchName": "main"}, [], ["Src"])
        it.cp.create_pipeline(pipeline=pipeline(source, s3_deploy(Extract="false", ObjectKey="src.zip")))
        equal(it.ended("Succeeded")["sourceRevisions"][0]["revisionId"], commit)
        variables = it.details("Checkout")["output"]["outputVariables"]
        equal((variables["FullRepositoryName"], variables["ConnectionArn"]), ("team/app", arn))


@story
def an_s3_object_is_a_source_with_its_revision_and_summary():
    need_archive()
    with Place() as place:
        it = Story(place)
        body = zip_of({"a.txt": "from s3", "deep/er/b.json": "{}"})
        it.s3.create_bucket(Bucket="uploads")
        it.s3.create_bucket(Bucket="site")
        it.s3.put_object(Bucket="uploads", Key="src.zip", Body=body,
                         Metadata={"codepipeline-artifact-revision-summary": "release 7"})
        it.cp.create_pipeline(pipeline=pipeline(s3_source(), s3_deploy()))
        revision = it.ended("Succeeded")["sourceRevisions"][0]
        etag = hashlib.md5(body).hexdigest()
        equal((revision["revisionId"], revision["revisionSummary"]), (etag, "release 7"))
        equal(it.details("Fetch")["output"]["outputVariables"],
              {"BucketName": "uploads", "ObjectKey": "src.zip", "ETag": etag, "VersionId": "null"})
        equal(it.site(), {"a.txt": b"from s3", "deep/er/b.json": b"{}"})
        equal(it.artifact("Fetch") == body, True)


@story
def what_cannot_be_deployed_fails_with_its_reason():
    need_archive()
    cases = (("no object", None, s3_deploy(), "RevisionUnavailable", "s3://uploads/src.zip"),
             ("no archive", b"this is no archive", s3_deploy(), "JobFailed", "unpacked"),
             ("traversal", zip_of({"../evil": "x"}), s3_deploy(), "JobFailed", "unsafe"),
             ("no bucket", zip_of({"a": "x"}), s3_deploy(BucketName="nowhere"), "ConfigurationError", "nowhere"),
             ("Extract", zip_of({"a": "x"}), s3_deploy(Extract="maybe"), "ConfigurationError", "maybe"))
    for what, body, deploy, code, part in cases:
        with Place() as place:
            it = Story(place)
            it.s3.create_bucket(Bucket="uploads")
            it.s3.create_bucket(Bucket="site")
            if body is not None:
                it.s3.put_object(Bucket="uploads", Key="src.zip", Body=body)
            it.cp.create_pipeline(pipeline=pipeline(s3_source(), deploy))
            it.failed(code, part)
            equal(it.site(), {}, f"the site after: {what}")
            equal(os.listdir(os.path.join(it.emulator.data_dir, "tmp", "builtin")), [], "temporary files")


@story
def without_the_archive_program_extract_fails_and_names_it():
    with Place() as place:
        it = Story(place, env={"MILLHAND_ARCHIVE": place.path("not-installed")})
        for bucket in ("uploads", "site"):
            it.s3.create_bucket(Bucket=bucket)
        it.s3.put_object(Bucket="uploads", Key="src.zip", Body=zip_of({"a": "x"}))
        it.cp.create_pipeline(pipeline=pipeline(s3_source(), s3_deploy()))
        it.failed("ConfigurationError", "millhand-archive", "not-installed")


@story
def object_keys_may_hold_a_date_and_a_uuid():
    with Place() as place:
        it = Story(place)
        for bucket in ("uploads", "site"):
            it.s3.create_bucket(Bucket=bucket)
        it.s3.put_object(Bucket="uploads", Key="src.zip", Body=b"bytes")
        it.cp.create_pipeline(pipeline=pipeline(s3_source(), s3_deploy(Extract="false", ObjectKey="r/{datetime}/{uuid}.zip")))
        it.ended("Succeeded")
        (key,) = it.site()
        parts = key.split("/")
        check(parts[0] == "r" and parts[1].endswith("Z") and len(parts[2]) == 40, key)


@story
def a_stop_does_not_wait_for_a_program_that_hangs():
    with Place() as place:
        commit = Git(place).commit({"f": "1"}, "one")
        flag = hang_once(place)
        it = Story(place)
        it.s3.create_bucket(Bucket="site")
        it.cp.create_pipeline(pipeline=pipeline(git_source(), s3_deploy(Extract="false", ObjectKey="src.zip")))
        wait_for(lambda: os.path.exists(flag), what="git to be started")
        equal(it.emulator.stop(10), 0, "exit code")
        with open(flag) as f:
            check(not os.path.exists(f"/proc/{f.read().strip()}"), "git is gone")
        it.restart()
        equal(it.ended("Succeeded")["sourceRevisions"][0]["revisionId"], commit)


@story
def built_in_work_that_a_crash_cut_off_is_done_again():
    with Place() as place:
        git = Git(place)
        commit = git.commit({"f": "1"}, "one")
        flag = hang_once(place)
        it = Story(place)
        it.s3.create_bucket(Bucket="site")
        it.cp.create_pipeline(pipeline=pipeline(git_source(), s3_deploy(Extract="false", ObjectKey="src.zip")))
        wait_for(lambda: os.path.exists(flag), what="git to be started")
        equal(it.execution()["status"], "InProgress")
        left = os.path.join(it.emulator.data_dir, "tmp", "builtin", "left")
        with open(left, "w") as f:
            f.write("by a crash")
        it.restart()
        with open(flag) as f:
            os.kill(int(f.read()), signal.SIGKILL)
        equal(it.ended("Succeeded")["sourceRevisions"][0]["revisionId"], commit)
        check(not os.path.exists(left), "what the crash left is gone")


if __name__ == "__main__":
    run()
