#!/usr/bin/python3
"""Tags as owners of pipelines use them: boto3 and the AWS CLI against the real server."""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.cli import Cli  # noqa: E402
from mh.programs import Place  # noqa: E402
from mh.tap import equal, raises, run, story  # noqa: E402

ARN = "arn:aws:codepipeline:us-east-1:000000000000:"
TYPE = {"category": "Build", "provider": "Make", "version": "1",
        "inputArtifactDetails": {"minimumCount": 1, "maximumCount": 1},
        "outputArtifactDetails": {"minimumCount": 0, "maximumCount": 1}}
PIPELINE = {
    "name": "release", "roleArn": "arn:aws:iam::000000000000:role/r",
    "artifactStore": {"type": "S3", "location": "artifacts"},
    "stages": [
        {"name": "Source", "actions": [
            {"name": "Fetch", "outputArtifacts": [{"name": "Src"}],
             "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"},
             "configuration": {"S3Bucket": "in", "S3ObjectKey": "src.zip", "PollForSourceChanges": "false"}}]},
        {"name": "Build", "actions": [
            {"name": "Compile", "inputArtifacts": [{"name": "Src"}],
             "actionTypeId": {"category": "Build", "owner": "Custom", "provider": "Make", "version": "1"}}]}]}


def as_dict(tags):
    return {t["key"]: t["value"] for t in tags}


@story
def tags_of_a_pipeline_and_of_an_action_type_live_as_long_as_they_do():
    with Place() as place:
        emulator = place.emulator()
        cp = emulator.client("codepipeline")
        cp.create_custom_action_type(tags=[{"key": "team", "value": "tools"}], **TYPE)
        cp.create_pipeline(pipeline=PIPELINE, tags=[{"key": "team", "value": "Đội A"}, {"key": "cost", "value": "42"}])
        pages = cp.get_paginator("list_tags_for_resource").paginate(resourceArn=ARN + "release",
                                                                    PaginationConfig={"PageSize": 1})
        equal(as_dict(t for page in pages for t in page["tags"]), {"team": "Đội A", "cost": "42"}, "as created")
        equal(as_dict(cp.list_tags_for_resource(resourceArn=ARN + "actiontype:Custom/Build/Make/1")["tags"]),
              {"team": "tools"}, "of the action type")
        cp.tag_resource(resourceArn=ARN + "release", tags=[{"key": "team", "value": "b"}, {"key": "new", "value": ""}])
        cp.untag_resource(resourceArn=ARN + "release", tagKeys=["cost"])
        emulator.stop()
        emulator = place.emulator(name="again")
        cp = emulator.client("codepipeline")
        equal(as_dict(cp.list_tags_for_resource(resourceArn=ARN + "release")["tags"]), {"team": "b", "new": ""},
              "after a restart")
        cp.delete_pipeline(name="release")
        raises("ResourceNotFoundException", cp.list_tags_for_resource, resourceArn=ARN + "release")
        cp.create_pipeline(pipeline=PIPELINE)
        equal(cp.list_tags_for_resource(resourceArn=ARN + "release")["tags"], [], "of a new one of the same name")


@story
def the_cli_tags_and_is_refused_by_name():
    with Place() as place:
        emulator = place.emulator()
        emulator.client("codepipeline").create_custom_action_type(**TYPE)
        emulator.client("codepipeline").create_pipeline(pipeline=PIPELINE)
        aws = Cli(place, emulator)
        aws("tag-resource", "--resource-arn", ARN + "release", "--tags", "key=Project,value=ProjectA",
            "key=IscontainerBased,value=true")
        aws("untag-resource", "--resource-arn", ARN + "release", "--tag-keys", "Project", "Never")
        equal(json.loads(aws("list-tags-for-resource", "--resource-arn", ARN + "release"))["tags"],
              [{"key": "IscontainerBased", "value": "true"}])
        for code, arguments in (
                ("InvalidArnException", ("untag-resource", "--resource-arn", ARN + "release/Source", "--tag-keys", "a")),
                ("ResourceNotFoundException", ("list-tags-for-resource", "--resource-arn", ARN + "other")),
                ("InvalidTagsException", ("tag-resource", "--resource-arn", ARN + "release",
                                          "--tags", "key=aws:x,value=1")),
                ("InvalidNextTokenException", ("list-tags-for-resource", "--resource-arn", ARN + "release",
                                               "--starting-token", "nonsense"))):
            refusal = aws.refused(*arguments)
            equal(code in refusal, True, f"{code} in {refusal}")


run()
