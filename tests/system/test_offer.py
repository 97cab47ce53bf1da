#!/usr/bin/python3
"""Pipelines written for AWS run here unchanged: what CodeBuild and CodeDeploy would do is offered to
workers, and millhand-agent does it."""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.cli import Cli  # noqa: E402
from mh.git import Git  # noqa: E402
from mh.programs import SHARED, SRC, Place, conf_value, wait_for  # noqa: E402
from mh.tap import check, equal, raises, run, skip, story  # noqa: E402
from mh.worker import FAST, action  # noqa: E402

OFFERS = ({"aws": "Build/CodeBuild/1", "as": "Build/Custom/CodeBuild/1"},
          {"aws": "Deploy/CodeDeploy/1", "as": "Deploy/Custom/CodeDeploy/1"})
OURS = os.path.join(SRC, "tests", "fixtures", "pipelines", "offered.json")
GUIDE = os.path.join(SHARED, "data", "guide-pipeline.json")


def emulator(place, offers=OFFERS, **more):
    """An emulator with these offers in its configuration file."""
    with open(place.path("emulator.conf"), "w") as f:
        f.write(f"offer = {conf_value(tuple(offers))};\n" if offers else "")
    return place.emulator("--config", place.path("emulator.conf"), "--git-root", place.path("git"), **more)


class Release:
    """A repository, a pipeline from a file, and an agent that builds and deploys in place of AWS."""

    def __init__(self, place, file):
        self.place = place
        with open(file, encoding="utf-8") as f:
            self.pipeline = json.load(f)["pipeline"]
        self.name = self.pipeline["name"]
        source, self.build, self.deploy = (stage["actions"][0] for stage in self.pipeline["stages"])
        self.repository = Git(place, source["configuration"]["RepositoryName"])
        self.emulator = emulator(place)
        self.aws = Cli(place, self.emulator)
        self.site = place.path("site")
        os.makedirs(self.site)

    def commit(self, text):
        return self.repository.commit({"text.in": text, "build.sh": (
            "mkdir -p dist && { echo built; cat text.in; } > dist/text.out\n", 0o755)}, text)

    def agent(self, **more):
        build = f'./build.sh && echo "$MILLHAND_CONFIG_PROJECTNAME" > {self.site}/project'
        deploy = f'cp text.out {self.site}/ && echo "$MILLHAND_CONFIG_APPLICATIONNAME" > {self.site}/application'
        conf = self.place.agent_conf(self.emulator.endpoint, [
            action(self.place, build, provider="CodeBuild", inputs=[1, 1], outputs=[1, 1],
                   config={"output": "dist"}, **more),
            action(self.place, deploy, provider="CodeDeploy", category="Deploy", inputs=[1, 1], outputs=[0, 0])], **FAST)
        return self.place.agent(conf)

    def first(self):
        """The execution that came with the pipeline."""
        return self.boto3().list_pipeline_executions(pipelineName=self.name)["pipelineExecutionSummaries"][0][
            "pipelineExecutionId"]

    def boto3(self):
        """What is asked often is asked so: each start of the CLI costs half a second."""
        return self.emulator.client("codepipeline")

    def ended(self, execution, status="Succeeded"):
        cp = self.boto3()

        def now():
            return cp.get_pipeline_execution(pipelineName=self.name, pipelineExecutionId=execution)[
                "pipelineExecution"]["status"]

        wait_for(lambda: now() != "InProgress", 60, "the execution to end")
        equal(now(), status, "status")

    def deployed(self, name):
        with open(os.path.join(self.site, name), encoding="utf-8") as f:
            return f.read()


def look_back(release, execution, commit):
    """The views name AWS's types, as on AWS."""
    aws = release.aws
    details = aws.json("list-action-executions", "--pipeline-name", release.name, "--filter",
                       f"pipelineExecutionId={execution}")["actionExecutionDetails"]
    by_name = {d["actionName"]: d for d in details}
    for declared in (release.build, release.deploy):
        shown = by_name[declared["name"]]
        equal(shown["status"], "Succeeded", declared["name"])
        equal(shown["input"]["actionTypeId"], declared["actionTypeId"], "type in the view")
        equal(shown["input"]["configuration"], declared["configuration"], "configuration in the view")
    shown = aws.json("get-pipeline", "--name", release.name)["pipeline"]["stages"]
    equal([s["actions"][0]["actionTypeId"] for s in shown],
          [s["actions"][0]["actionTypeId"] for s in release.pipeline["stages"]], "types in the pipeline")
    equal(aws("get-pipeline-execution", "--pipeline-name", release.name, "--pipeline-execution-id", execution,
              "--query", "pipelineExecution.status", "--output", "text"), "Succeeded")
    equal(aws.words("get-pipeline-state", "--name", release.name, "--query",
                    "stageStates[].[stageName,latestExecution.status]"),
          ["Source", "Succeeded", "Build", "Succeeded", "Deploy", "Succeeded"])
    equal(aws("list-pipeline-executions", "--pipeline-name", release.name, "--query",
              "pipelineExecutionSummaries[0].sourceRevisions[0].revisionId", "--output", "text"), commit)


def runs_whole(file, project):
    with Place() as place:
        release = Release(place, file)
        commit = release.commit("đá hoa cương\n")
        created = release.aws.json("create-pipeline", "--cli-input-json", f"file://{file}")["pipeline"]
        equal((created["name"], created["version"]), (release.name, 1))
        first = release.first()
        release.agent()
        release.ended(first)
        equal(release.deployed("text.out"), "built\nđá hoa cương\n")
        equal(release.deployed("project"), f"{project}\n")
        equal(release.deployed("application"), release.deploy["configuration"]["ApplicationName"] + "\n")
        look_back(release, first, commit)
        release.commit("granite\n")
        second = release.aws("start-pipeline-execution", "--name", release.name, "--query", "pipelineExecutionId",
                             "--output", "text")
        release.ended(second)
        equal(release.deployed("text.out"), "built\ngranite\n")


@story
def the_founding_documents_pipeline_runs_whole():
    if not os.path.exists(GUIDE):
        skip(f"there is no {GUIDE}")
    with open(GUIDE, encoding="utf-8") as f:
        project = json.load(f)["pipeline"]["stages"][1]["actions"][0]["configuration"]["ProjectName"]
    runs_whole(GUIDE, project)


@story
def a_pipeline_written_for_codebuild_and_codedeploy_runs_whole():
    runs_whole(OURS, "quarry-main")


@story
def a_failing_offered_build_fails_the_pipeline_and_nothing_is_deployed():
    with Place() as place:
        release = Release(place, OURS)
        release.repository.commit({"build.sh": ("echo the last words; exit 3\n", 0o755)}, "broken")
        release.boto3().create_pipeline(pipeline=release.pipeline)
        release.agent()
        first = release.first()
        release.ended(first, "Failed")
        error = release.boto3().get_pipeline_state(name=release.name)["stageStates"][1]["actionStates"][0][
            "latestExecution"]["errorDetails"]
        equal(error["code"], "JobFailed")
        check("the last words" in error["message"], error["message"])
        equal(os.listdir(release.site), [], "deployed files")


@story
def an_offered_build_goes_on_when_the_emulator_is_killed_under_it():
    with Place() as place:
        release = Release(place, OURS)
        gate = place.path("gate")
        os.mkfifo(gate)
        release.repository.commit({"text.in": "x\n", "build.sh": (
            f"echo x > {release.site}/begun; read -r nothing < {gate}; mkdir dist; cp text.in dist/text.out\n", 0o755)}, "slow")
        release.boto3().create_pipeline(pipeline=release.pipeline)
        release.agent()
        wait_for(lambda: os.path.exists(f"{release.site}/begun"), what="the build to begin")
        release.emulator.kill()
        release.emulator = emulator(place, port=release.emulator.port, name="again")
        with open(gate, "w") as f:
            f.write("go on\n")
        first = release.first()
        release.ended(first)
        equal(release.deployed("text.out"), "x\n")


@story
def without_an_offer_such_an_action_fails_and_says_what_to_do():
    with Place() as place:
        Git(place, "quarry").commit({"x": "x"}, "x")
        e = emulator(place, offers=())
        cp = e.client("codepipeline")
        with open(OURS, encoding="utf-8") as f:
            cp.create_pipeline(**json.load(f))
        raises("ActionTypeNotFoundException", cp.poll_for_jobs, actionTypeId={
            "category": "Build", "owner": "Custom", "provider": "CodeBuild", "version": "1"})
        failed = wait_for(lambda: [d for d in cp.list_action_executions(pipelineName="quarry")["actionExecutionDetails"]
                                   if d["status"] == "Failed"], what="the build to fail")
        error = failed[0]["output"]["executionResult"]["errorDetails"]
        equal((failed[0]["actionName"], error["code"]), ("Cut", "ConfigurationError"))
        check('offer = ( { aws = "Build/CodeBuild/1"; as = ' in error["message"], error["message"])


run()
