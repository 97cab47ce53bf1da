#!/usr/bin/python3
"""AWS's own action types (semantics E21): the whole catalogue is listed, declared and held to its rules; what
nobody does here fails, and says how to have it done."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import Place, conf_value  # noqa: E402
from mh.statements import ROLE, STORE, run, served, type_id  # noqa: E402
from mh.tap import check, equal, raises, story  # noqa: E402

# Category, provider, required configuration; the counts of inputs and outputs where F tells them.
CATALOGUE = (
    ("Source", "S3", "S3Bucket S3ObjectKey", (0, 0, 0, 1)),
    ("Source", "ECR", "RepositoryName", (0, 0, 0, 1)),
    ("Source", "CodeCommit", "RepositoryName BranchName", (0, 0, 0, 1)),
    ("Source", "CodeStarSourceConnection", "ConnectionArn FullRepositoryId BranchName", (0, 0, 0, 1)),
    ("Build", "CodeBuild", "ProjectName", (1, 5, 0, 5)),
    ("Build", "ECRBuildAndPublish", "ECRRepositoryName", None),
    ("Build", "Commands", "", None),
    ("Compute", "Commands", "", None),
    ("Test", "CodeBuild", "ProjectName", (1, 5, 0, 5)),
    ("Test", "DeviceFarm", "", None),
    ("Deploy", "S3", "BucketName Extract", (1, 1, 0, 0)),
    ("Deploy", "CloudFormation", "ActionMode StackName", (0, 10, 0, 1)),
    ("Deploy", "CloudFormationStackSet", "", None),
    ("Deploy", "CloudFormationStackInstances", "", None),
    ("Deploy", "CodeDeploy", "ApplicationName DeploymentGroupName", (1, 1, 0, 0)),
    ("Deploy", "CodeDeployToECS", "", None),
    ("Deploy", "EC2", "", None),
    ("Deploy", "ECS", "ClusterName ServiceName", (1, 1, 0, 0)),
    ("Deploy", "EKS", "", None),
    ("Deploy", "ElasticBeanstalk", "ApplicationName EnvironmentName", (1, 1, 0, 0)),
    ("Deploy", "AppConfig", "", None),
    ("Deploy", "OpsWorks", "", None),
    ("Deploy", "ServiceCatalog", "", None),
    ("Deploy", "Lambda", "FunctionName", None),
    ("Approval", "Manual", "", (0, 0, 0, 0)),
    ("Invoke", "Lambda", "FunctionName", (0, 5, 0, 5)),
    ("Invoke", "StepFunctions", "StateMachineArn", None),
    ("Invoke", "CodePipeline", "PipelineName", None),
    ("Invoke", "InspectorScan", "", None),
)
BUILT_IN = {("Source", "S3"), ("Source", "CodeCommit"), ("Source", "CodeStarSourceConnection"), ("Deploy", "S3"),
            ("Approval", "Manual")}
OTHERS = [row for row in CATALOGUE if row[:2] not in BUILT_IN]


def action(category, provider, required, least=1):
    """One of that type as little as it may declare; its input is Code."""
    declared = {"name": "Own", "actionTypeId": type_id(category, provider, "AWS"),
                "configuration": {key: "x" for key in required.split()},
                "inputArtifacts": [{"name": "Code"}] * least}
    if provider == "Commands":
        declared["commands"] = ["true"]
    return declared


def source_of(provider, required):
    return {"name": "Own", "actionTypeId": type_id("Source", provider, "AWS"),
            "configuration": {key: "x" for key in required.split()}, "outputArtifacts": [{"name": "Code"}]}


def least_inputs(listed, category, provider):
    return listed[(category, provider)]["inputArtifactDetails"]["minimumCount"]


def catalogue(cp):
    pages = cp.get_paginator("list_action_types").paginate(actionOwnerFilter="AWS")
    return {(t["id"]["category"], t["id"]["provider"]): t for page in pages for t in page["actionTypes"]}


@served
def the_whole_catalogue_is_listed_and_nothing_else(w):
    listed = catalogue(w.cp)
    equal(sorted(listed), sorted(row[:2] for row in CATALOGUE))
    for category, provider, required, counts in CATALOGUE:
        shown = listed[(category, provider)]
        equal((shown["id"]["owner"], shown["id"]["version"]), ("AWS", "1"))
        equal({p["name"] for p in shown["actionConfigurationProperties"] if p["required"]}, set(required.split()), provider)
        if counts:
            least = [shown[d]["minimumCount"] for d in ("inputArtifactDetails", "outputArtifactDetails")]
            most = [shown[d]["maximumCount"] for d in ("inputArtifactDetails", "outputArtifactDetails")]
            equal(least[0], counts[0], f"inputs of {provider}")
            equal(most, [min(counts[1], 5), min(counts[3], 5)], f"most artifacts of {provider}")  # the model's largest


@served
def each_required_key_is_asked_for(w):
    listed = catalogue(w.cp)
    for category, provider, required, _ in CATALOGUE:
        for key in required.split():
            stages = {"Source": [w.action("Fetch", "Source", outputs=["Code"])], "Build": ["Compile"]}
            if category == "Source":
                stages["Source"] = [source_of(provider, required)]
            else:
                stages["Own"] = [action(category, provider, required, least_inputs(listed, category, provider))]
            own = (stages.get("Own") or stages["Source"])[0]
            del own["configuration"][key]
            equal(raises("InvalidActionDeclarationException", w.create, stages),
                  f"Action configuration for action 'Own' is missing required configuration '{key}'")


@served
def what_nobody_does_fails_and_says_how_to_offer_it(w):
    listed = catalogue(w.cp)
    offered = {("Build", "CodeBuild"), ("Test", "CodeBuild"), ("Deploy", "CodeDeploy")}  # of mh/statements.py
    for category, provider, required, _ in OTHERS:
        if (category, provider) in offered:
            continue
        w.name = f"h-{category}-{provider}"
        w.names = [w.name]
        if category == "Source":
            w.create({"Source": [source_of(provider, required)], "Build": ["Compile"]})
        else:
            w.create({"Source": [w.action("Fetch", "Source", outputs=["Code"])], "Own": [
                action(category, provider, required, least_inputs(listed, category, provider))]})
            w.done("Fetch")
        equal(w.status(w.newest()), "Failed", w.name)
        error = w.actions()[-1]["output"]["executionResult"]["errorDetails"]
        equal(error["code"], "ConfigurationError")
        as_ = "Build" if category == "Compute" else category
        line = f'offer = ( {{ aws = "{category}/{provider}/1"; as = "{as_}/Custom/{provider}/1"; }} );'
        check(line in error["message"], f"{line} in: {error['message']}")
        w.cp.delete_pipeline(name=w.name)


@story
def everything_can_be_offered_as_the_messages_say():
    offers = tuple({"aws": f"{c}/{p}/1", "as": f"{'Build' if c == 'Compute' else c}/Custom/{p}/1"} for c, p, _, _ in OTHERS)
    with Place() as place:
        with open(place.path("emulator.conf"), "w") as f:
            f.write(f"offer = {conf_value(offers)};\n")
        cp = place.emulator("--config", place.path("emulator.conf")).client("codepipeline")
        listed = catalogue(cp)
        for n, (category, provider, required, _) in enumerate(OTHERS):
            own = action(category, provider, required, least_inputs(listed, category, provider))
            source = [{"name": "Fetch", "actionTypeId": type_id("Source", "ECR", "AWS"),
                       "configuration": {"RepositoryName": "r"}, "outputArtifacts": [{"name": "Code"}]}]
            stages = [{"name": "Source", "actions": source}]
            if category == "Source":
                own = {"name": "Own", "actionTypeId": type_id("Approval", "Manual", "AWS")}
            stages.append({"name": "Own", "actions": [own]})
            cp.create_pipeline(pipeline={"name": f"p{n}", "roleArn": ROLE, "artifactStore": STORE, "pipelineType": "V2",
                                         "stages": stages})
            work(cp, type_id("Source", "ECR"))
            if category != "Source":
                data = work(cp, type_id("Build" if category == "Compute" else category, provider))
                equal(data["pipelineContext"]["action"]["name"], "Own", provider)
                equal({k: v for k, v in data["actionConfiguration"]["configuration"].items() if v == "x"},
                      {key: "x" for key in required.split()}, provider)
                state = cp.list_pipeline_executions(pipelineName=f"p{n}")["pipelineExecutionSummaries"][0]["status"]
                equal(state, "Succeeded", provider)


def work(cp, type_):
    """A worker's part; the job's data."""
    job = cp.poll_for_jobs(actionTypeId=type_)["jobs"][0]
    cp.acknowledge_job(jobId=job["id"], nonce=job["nonce"])
    cp.put_job_success_result(jobId=job["id"])
    return job["data"]


run()
