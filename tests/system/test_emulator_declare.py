#!/usr/bin/python3
"""Action types and pipelines as their owners see them: boto3 and the AWS CLI against the real server."""
import copy
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import EMULATOR, SHARED, Place, Program, client, free_port, wait_for  # noqa: E402
from mh.tap import check, equal, raises, run, skip, story  # noqa: E402

ROLE = "arn:aws:iam::000000000000:role/r"
CANARY = "canary-5f1d0c7e-secret"
MAKE = dict(
    category="Build", provider="Make", version="1",
    settings={"entityUrlTemplate": "http://ci/{Config:Target}",
              "executionUrlTemplate": "http://ci/{Config:Target}/{ExternalExecutionId}"},
    configurationProperties=[
        {"name": "Target", "required": True, "key": True, "secret": False},
        {"name": "Password", "required": False, "key": False, "secret": True},
    ],
    inputArtifactDetails={"minimumCount": 1, "maximumCount": 1},
    outputArtifactDetails={"minimumCount": 0, "maximumCount": 1},
)


def type_id(category, owner, provider):
    return {"category": category, "owner": owner, "provider": provider, "version": "1"}


def pipeline(name="release", **more):
    source = {"name": "Fetch", "actionTypeId": type_id("Source", "AWS", "S3"),
              "configuration": {"S3Bucket": "in", "S3ObjectKey": "src.zip", "PollForSourceChanges": "false"},
              "outputArtifacts": [{"name": "Src"}]}
    build = {"name": "Compile", "actionTypeId": type_id("Build", "Custom", "Make"),
             "configuration": {"Target": "all", "Password": CANARY}, "inputArtifacts": [{"name": "Src"}]}
    declaration = {"name": name, "roleArn": ROLE, "artifactStore": {"type": "S3", "location": "artifacts"},
                   "stages": [{"name": "Source", "actions": [source]}, {"name": "Build", "actions": [build]}]}
    declaration.update(more)
    return declaration


def shared_json(name):
    path = os.path.join(SHARED, "data", name)
    if not os.path.exists(path):
        skip(f"no ../shared/data/{name} beside the project")
    with open(path) as f:
        return json.load(f)


def password(declaration):
    return declaration["stages"][1]["actions"][0]["configuration"]["Password"]


def holds(directory, text):
    """Files under the directory with that text in them."""
    found = []
    for where, _, names in os.walk(directory):
        for name in names:
            with open(os.path.join(where, name), "rb") as f:
                if text.encode() in f.read():
                    found.append(name)
    return found


@story
def a_pipeline_lives_through_versions_and_ends():
    with Place() as place:
        cp = place.emulator().client("codepipeline")
        cp.create_custom_action_type(**MAKE)
        created = cp.create_pipeline(pipeline=pipeline(), tags=[{"key": "team", "value": "Đội A"}])
        equal(created["tags"], [{"key": "team", "value": "Đội A"}], "tags")
        got = cp.get_pipeline(name="release")
        equal(got["pipeline"], created["pipeline"], "what was created")
        equal(got["pipeline"]["version"], 1, "version")
        equal(got["pipeline"]["pipelineType"], "V1", "type")
        equal(got["metadata"]["pipelineArn"], "arn:aws:codepipeline:us-east-1:000000000000:release")
        check(got["metadata"]["created"] <= got["metadata"]["updated"], "times in order")

        changed = copy.deepcopy(got["pipeline"])
        changed["stages"][1]["actions"][0]["runOrder"] = 5
        equal(cp.update_pipeline(pipeline=changed)["pipeline"]["version"], 2, "next version")
        equal(cp.get_pipeline(name="release")["pipeline"]["stages"][1]["actions"][0]["runOrder"], 5)
        equal(cp.get_pipeline(name="release", version=1)["pipeline"], got["pipeline"], "the old version")

        for name in ("a", "b", "c"):
            cp.create_pipeline(pipeline=pipeline(name))
        pages = cp.get_paginator("list_pipelines").paginate(PaginationConfig={"PageSize": 3})
        listed = [[p["name"] for p in page["pipelines"]] for page in pages]
        equal(listed, [["a", "b", "c"], ["release"]], "pages")

        cp.delete_pipeline(name="release")
        cp.delete_pipeline(name="release")
        text = raises("PipelineNotFoundException", cp.get_pipeline, name="release")
        equal(text, "Account '000000000000' does not have a pipeline with name 'release'")
        equal(cp.create_pipeline(pipeline=pipeline())["pipeline"]["version"], 1, "version of a new one")


@story
def action_types_are_created_listed_and_buried():
    with Place() as place:
        cp = place.emulator().client("codepipeline")
        made = cp.create_custom_action_type(**MAKE)["actionType"]
        equal(made["id"]["owner"], "Custom")
        pages = cp.get_paginator("list_action_types").paginate()
        everything = [t for page in pages for t in page["actionTypes"]]
        equal([t for t in everything if t["id"]["owner"] == "Custom"], [made], "custom types")
        check(any(t["id"] == type_id("Source", "AWS", "CodeCommit") for t in everything), "the catalogue")
        cp.delete_custom_action_type(category="Build", provider="Make", version="1")
        equal(cp.list_action_types(actionOwnerFilter="Custom")["actionTypes"], [])
        text = raises("InvalidActionDeclarationException", cp.create_pipeline, pipeline=pipeline())
        equal(text, "ActionType (Category: 'Build', Provider: 'Make', Owner: 'Custom', Version: '1') in action "
                    "'Compile' is not available in region 'US_EAST_1'")
        other = dict(MAKE, settings={})
        raises("ValidationException", cp.create_custom_action_type, **other)
        equal(cp.create_custom_action_type(**MAKE)["actionType"], made, "the same again")


@story
def a_wrong_declaration_leaves_nothing_behind():
    with Place() as place:
        cp = place.emulator().client("codepipeline")
        cp.create_custom_action_type(**MAKE)
        one = pipeline()
        del one["stages"][1]
        text = raises("InvalidStructureException", cp.create_pipeline, pipeline=one)
        equal(text, "Pipeline has only 1 stage(s). There should be a minimum of 2 stages in a pipeline")
        twice = pipeline()
        twice["stages"][1]["name"] = "Source"
        raises("InvalidStageDeclarationException", cp.create_pipeline, pipeline=twice)
        raises("InvalidStructureException", cp.create_pipeline, pipeline=pipeline(executionMode="QUEUED"))
        raises("InvalidTagsException", cp.create_pipeline, pipeline=pipeline(),
               tags=[{"key": "aws:x", "value": ""}])
        raises("PipelineNotFoundException", cp.update_pipeline, pipeline=pipeline())
        equal(cp.list_pipelines()["pipelines"], [], "pipelines")
        cp.create_pipeline(pipeline=pipeline())
        raises("PipelineNameInUseException", cp.create_pipeline, pipeline=pipeline())
        raises("PipelineVersionNotFoundException", cp.get_pipeline, name="release", version=2)
        raises("InvalidNextTokenException", cp.list_pipelines, nextToken="2")


@story
def a_secret_is_in_no_answer_no_file_and_no_log():
    with Place() as place:
        emulator = place.emulator()
        cp = emulator.client("codepipeline")
        cp.create_custom_action_type(**MAKE)
        equal(password(cp.create_pipeline(pipeline=pipeline())["pipeline"]), "****")
        masked = cp.get_pipeline(name="release")["pipeline"]
        equal(password(masked), "****")
        equal(password(cp.update_pipeline(pipeline=masked)["pipeline"]), "****")

        renamed = copy.deepcopy(masked)
        renamed["stages"][1]["name"] = "Other"
        text = raises("InvalidActionDeclarationException", cp.update_pipeline, pipeline=renamed)
        equal(text, "Action configuration for the new action 'Compile' contains an invalid configuration for the "
                    "secret property 'Password'. '****' may be used in secret properties only when updating an "
                    "existing action.")
        emulator.kill()
        check(holds(emulator.data_dir, "Compile"), "the search finds what is stored in clear")
        equal(holds(emulator.data_dir, CANARY), [], "files with the secret")
        check(CANARY not in emulator.text(), "the secret is in the log")
        cp = place.emulator(name="again").client("codepipeline")
        equal(password(cp.get_pipeline(name="release")["pipeline"]), "****")


@story
def a_secret_reaches_the_worker_alone():
    with Place() as place:
        emulator = place.emulator()
        cp = emulator.client("codepipeline")
        cp.create_custom_action_type(**MAKE)
        feed = dict(MAKE, category="Source", provider="Feed",
                    inputArtifactDetails={"minimumCount": 0, "maximumCount": 0},
                    outputArtifactDetails={"minimumCount": 1, "maximumCount": 1})
        cp.create_custom_action_type(**feed)
        fed = pipeline()
        fed["stages"][0]["actions"][0].update(actionTypeId=type_id("Source", "Custom", "Feed"),
                                              configuration={"Target": "all", "Password": CANARY})
        fed["stages"][1]["actions"][0]["configuration"]["Password"] = "another-secret"
        cp.create_pipeline(pipeline=fed)
        job = cp.poll_for_jobs(actionTypeId=type_id("Source", "Custom", "Feed"))["jobs"][0]
        equal(job["data"]["actionConfiguration"]["configuration"], {"Target": "all", "Password": CANARY})
        cp.acknowledge_job(jobId=job["id"], nonce=job["nonce"])
        details = cp.get_job_details(jobId=job["id"])["jobDetails"]
        equal(details["data"]["actionConfiguration"]["configuration"]["Password"], CANARY)
        for answer in (cp.get_pipeline_state(name="release"), cp.get_pipeline(name="release"),
                       cp.list_action_executions(pipelineName="release")):
            check(CANARY not in str(answer), answer)
        cp.put_job_success_result(jobId=job["id"])
        emulator.kill()
        check(holds(emulator.data_dir, job["id"]), "the search finds what is stored in clear")
        equal(holds(emulator.data_dir, CANARY), [], "files with the secret")
        check(CANARY not in emulator.text(), "the secret is in the log")


@story
def a_lost_key_of_sealed_secrets_is_one_error_and_is_replaced_on_demand_alone():
    with Place() as place:
        first = place.emulator()
        key = os.path.join(first.data_dir, "creds.key")
        equal(first.stop(), 0)
        os.unlink(key)
        emulator = place.emulator(name="nothing-sealed")  # nothing was lost
        cp = emulator.client("codepipeline")
        cp.create_custom_action_type(**MAKE)
        cp.create_pipeline(pipeline=pipeline())
        equal(emulator.stop(), 0)
        os.rename(key, key + ".kept")
        argv = [EMULATOR, "--listen", "127.0.0.1:0", "--data-dir", emulator.data_dir]
        done = place.run(argv, check=False)
        lines = [line for line in done.stderr.splitlines() if " error " in line]
        equal((done.returncode, len(lines)), (1, 1), done.stderr)
        check(all(part in lines[0] for part in (key, "missing", "emulator.db", "--new-key")), lines[0])
        check(not os.path.exists(key), "no key was made")

        os.rename(key + ".kept", key)
        again = place.emulator(name="put-back")
        cp = again.client("codepipeline")
        masked = cp.get_pipeline(name="release")["pipeline"]
        equal(password(cp.update_pipeline(pipeline=masked)["pipeline"]), "****")
        equal(again.stop(), 0)
        os.unlink(key)
        cp = place.emulator("--new-key", name="new").client("codepipeline")
        raises("InvalidActionDeclarationException", cp.update_pipeline, pipeline=masked)
        masked["stages"][1]["actions"][0]["configuration"]["Password"] = "given-anew"
        cp.update_pipeline(pipeline=masked)


@story
def what_was_answered_survives_kill_9():
    with Place() as place:
        emulator = place.emulator()
        cp = emulator.client("codepipeline")
        cp.create_custom_action_type(**MAKE)
        cp.create_pipeline(pipeline=pipeline())
        cp.update_pipeline(pipeline=cp.get_pipeline(name="release")["pipeline"])
        before = [cp.get_pipeline(name="release", version=v) for v in (1, 2)]
        types = cp.list_action_types()["actionTypes"]
        emulator.kill()
        cp = place.emulator(name="again").client("codepipeline")
        after = [cp.get_pipeline(name="release", version=v) for v in (1, 2)]
        for answer in before + after:
            del answer["ResponseMetadata"]
        equal(after, before, "pipelines")
        equal(cp.list_action_types()["actionTypes"], types, "types")


@story
def the_guides_pipeline_works_with_the_stock_cli_as_it_stands():
    guide = shared_json("guide-pipeline.json")
    approval = shared_json("approval-stage.json")
    if not os.path.exists("/usr/bin/aws"):
        skip("no /usr/bin/aws (package awscli)")
    with Place() as place:
        emulator = place.emulator()

        def file_with(document):
            path = place.path("input.json")
            with open(path, "w") as f:
                json.dump(document, f)
            return f"file://{path}"

        source = os.path.join(os.path.abspath(SHARED), "data", "guide-pipeline.json")
        created = place.aws(emulator, "codepipeline", "create-pipeline", "--cli-input-json", f"file://{source}")
        equal(created["pipeline"]["executionMode"], "QUEUED")
        guide["pipeline"]["stages"].insert(2, approval)
        names = place.aws(emulator, "codepipeline", "update-pipeline", "--cli-input-json", file_with(guide),
                          "--query", "pipeline.stages[].name", "--output", "text")
        equal(names.split(), ["Source", "Build", "Approval", "Deploy"], "stages")
        got = place.aws(emulator, "codepipeline", "get-pipeline", "--name", "my-pipeline")
        text = got["pipeline"]["stages"][2]["actions"][0]["configuration"]["CustomData"]
        equal(text, approval["actions"][0]["configuration"]["CustomData"], "CustomData")
        listed = place.aws(emulator, "codepipeline", "list-pipelines", "--query", "pipelines[0].version",
                           "--output", "text")
        equal(str(listed), "2", "listed version")
        place.aws(emulator, "codepipeline", "delete-pipeline", "--name", "my-pipeline")
        failed = place.aws(emulator, "codepipeline", "get-pipeline", "--name", "my-pipeline", check=False)
        check("PipelineNotFoundException" in failed.stderr, failed.stderr)


@story
def declared_triggers_are_taken_on_a_v2_pipeline():
    triggers = shared_json("triggers.json")
    with Place() as place:
        cp = place.emulator().client("codepipeline")
        cp.create_custom_action_type(**MAKE)
        connected = pipeline(pipelineType="V2", triggers=triggers)
        connected["stages"][0]["actions"][0].update(
            name="Source", actionTypeId=type_id("Source", "AWS", "CodeStarSourceConnection"),
            configuration={"ConnectionArn": "arn:aws:codestar-connections:us-east-1:000000000000:connection/c",
                           "FullRepositoryId": "team/app", "BranchName": "main"})
        equal(cp.create_pipeline(pipeline=connected)["pipeline"]["triggers"], triggers)
        connected["name"], connected["pipelineType"] = "other", "V1"
        text = raises("InvalidStructureException", cp.create_pipeline, pipeline=connected)
        equal(text, "Triggers on tag can only be used with V2 pipelines")


@story
def the_checking_proxy_finds_nothing():
    modelcheck = os.path.join(SHARED, "tools", "modelcheck")
    if not os.path.exists(modelcheck):
        skip("no ../shared/tools/modelcheck beside the project")
    with Place() as place:
        emulator = place.emulator()
        port = free_port()
        proxy = Program(place, "modelcheck", [sys.executable, modelcheck, "--listen", f"127.0.0.1:{port}",
                                              "--upstream", emulator.endpoint])
        place.programs.append(proxy)
        cp = client(place, "codepipeline", f"http://127.0.0.1:{port}")

        def answers():
            from botocore.exceptions import EndpointConnectionError
            try:
                return cp.list_pipelines()
            except EndpointConnectionError:
                return None

        wait_for(answers, what="the proxy to answer")
        cp.create_custom_action_type(**MAKE, tags=[{"key": "a", "value": ""}])
        raises("ValidationException", cp.create_custom_action_type, **dict(MAKE, settings={}))
        for page in cp.get_paginator("list_action_types").paginate():
            check(page["actionTypes"], "types")
        cp.create_pipeline(pipeline=pipeline(), tags=[{"key": "a", "value": "b"}])
        raises("PipelineNameInUseException", cp.create_pipeline, pipeline=pipeline())
        cp.update_pipeline(pipeline=cp.get_pipeline(name="release")["pipeline"])
        raises("PipelineNotFoundException", cp.get_pipeline, name="none")
        raises("InvalidNextTokenException", cp.list_pipelines, nextToken="x")
        cp.list_pipelines(maxResults=1)
        cp.delete_pipeline(name="release")
        cp.delete_custom_action_type(category="Build", provider="Make", version="1")
        code = proxy.stop()
        check(code == 0, proxy.text())


run()
