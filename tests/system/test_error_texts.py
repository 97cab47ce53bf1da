#!/usr/bin/python3
"""The words in which declarations are refused (semantics E2, D1, D2), line by line, as boto3 tells them."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.statements import ROLE, STORE, THIRD, run, served, type_id  # noqa: E402
from mh.tap import check, equal, raises  # noqa: E402

ACTION, STAGE = "InvalidActionDeclarationException", "InvalidStageDeclarationException"
STRUCTURE, VALIDATION = "InvalidStructureException", "ValidationException"
CONDITIONS = {"conditions": [{"result": "FAIL", "rules": [{
    "name": "r", "ruleTypeId": {"category": "Rule", "owner": "AWS", "provider": "VariableCheck", "version": "1"},
    "configuration": {"Variable": "x", "Value": "y", "Operator": "EQ"}}]}]}
ROLLBACK = {"conditions": [dict(CONDITIONS["conditions"][0], result="ROLLBACK")]}
ANY = None  # our own words: semantics gives no text


def own(category, provider, name="A", **more):
    return dict({"name": name, "actionTypeId": type_id(category, provider, "AWS")}, **more)


def connection(**more):
    return own("Source", "CodeStarSourceConnection", "Connected", outputArtifacts=[{"name": "Connected"}], configuration={
        "ConnectionArn": "arn:aws:codestar-connections:us-east-1:000000000000:connection/c",
        "FullRepositoryId": "team/app", "BranchName": "main"}, **more)


def trigger(action):
    return {"providerType": "CodeStarSourceConnection", "gitConfiguration": {"sourceActionName": action, "push": [
        {"tags": {"includes": ["v*"]}}]}}


def s3_source(name="More", artifact="More"):
    return own("Source", "S3", name, configuration={"S3Bucket": "b", "S3ObjectKey": "k"},
               outputArtifacts=[{"name": artifact}])


def approval(name):
    return own("Approval", "Manual", name)


class Draft:
    """A declaration that is right, to be made wrong: Source (Fetch makes Code), Build (Compile makes Program of
    it), Deploy (Ship takes that); V2."""

    def __init__(self, w):
        self.p = w.declaration({
            "Source": [w.action("Fetch", "Source", outputs=["Code"], namespace="Fetched")],
            "Build": [w.action("Compile", "Build", ["Code"], ["Program"])],
            "Deploy": [w.action("Ship", "Deploy", ["Program"])]})
        self.stages = self.p["stages"]
        self.fetch, self.compile, self.ship = (s["actions"][0] for s in self.stages)

    def set(self, target=None, **more):
        (self.p if target is None else target).update(more)

    def add(self, n, *actions):
        self.stages[n]["actions"] += actions

    def v1(self, **more):
        self.set(pipelineType="V1", **more)

    def note(self, text):
        self.compile["configuration"]["Note"] = text


def unavailable(provider, category="Build", owner="Custom", action="Compile", version="1"):
    return (f"ActionType (Category: '{category}', Provider: '{provider}', Owner: '{owner}', Version: '{version}') in "
            f"action '{action}' is not available in region 'US_EAST_1'")


def v2_only(what):
    return f"{what} can only be used with V2 pipelines"


# What is done to the draft, the error, and its words (or how they begin, with a last "...").
E2 = (
    # stages
    (lambda d: d.stages.__delitem__(slice(1, 3)), STRUCTURE,
     "Pipeline has only 1 stage(s). There should be a minimum of 2 stages in a pipeline"),
    (lambda d: d.stages.extend({"name": f"S{n}", "actions": [approval("Ask")]} for n in range(48)), STRUCTURE,
     "Pipeline has too many stages. There can only be up to 50 stages in a pipeline"),
    (lambda d: d.add(0, approval("Ask")), STRUCTURE,
     "Pipeline should start with a stage that only contains source actions"),
    (lambda d: d.stages[0].update(actions=[]), STRUCTURE,
     "Pipeline should start with a stage that only contains source actions"),
    (lambda d: d.add(1, s3_source()), STRUCTURE, "Source actions can only be included in the first stage of the pipeline"),
    (lambda d: d.set(stages=[d.stages[0], {"name": "Two", "actions": [s3_source()]}]), STRUCTURE,
     "Pipeline should contain at least 1 action whose category is not Source"),
    (lambda d: d.set(d.stages[1], name="Deploy"), STAGE, "Stage name 'Deploy' is used more than once"),
    (lambda d: d.add(1, approval("Compile")), ACTION, ANY),
    (lambda d: d.set(d.stages[2], actions=[]), STAGE, ANY),
    (lambda d: d.add(1, *(approval(f"A{n}") for n in range(50))), STAGE, ANY),
    # artifacts
    (lambda d: d.set(d.compile, outputArtifacts=[{"name": "Code"}]), ACTION, ANY),
    (lambda d: d.set(d.compile, inputArtifacts=[{"name": "Nothing"}]), ACTION, ANY),
    (lambda d: d.set(d.compile, inputArtifacts=[{"name": "Program"}]), ACTION, ANY),
    (lambda d: d.add(1, dict(d.ship, name="Beside")), ACTION, ANY),  # at the runOrder of its producer
    (lambda d: d.add(2, own("Deploy", "S3", configuration={"BucketName": "b", "Extract": "true"})), ACTION,
     "Action A declares 0 input artifacts which is less than the minimum count (1)"),
    (lambda d: d.set(d.fetch, inputArtifacts=[{"name": "Code"}]), ACTION, ANY),
    # types and configuration
    (lambda d: d.set(d.compile, actionTypeId=type_id("Build", "Nobody")), ACTION, unavailable("Nobody")),
    (lambda d: d.set(d.compile, actionTypeId=dict(type_id("Build"), version="7")), ACTION, unavailable("Hand", version="7")),
    (lambda d: d.compile["configuration"].pop("Queue"), ACTION,
     "Action configuration for action 'Compile' is missing required configuration 'Queue'"),
    (lambda d: d.compile["configuration"].update(Colour="red"), ACTION, ANY),
    (lambda d: d.add(1, own("Compute", "Commands", inputArtifacts=[{"name": "Code"}])), ACTION,
     "Action A must have a non-empty commands field"),
    # regions
    (lambda d: d.add(2, own("Approval", "Manual", region="eu-west-1")), STRUCTURE,
     "Your pipeline contains actions in more than one region. Use 'pipeline.artifactStores' instead of "
     "'pipeline.artifactStore' ..."),
    (lambda d: (d.p.pop("artifactStore"), d.set(artifactStores={"eu-west-1": STORE})), STRUCTURE, ANY),
    (lambda d: (d.p.pop("artifactStore"), d.set(artifactStores={"us-east-1": STORE, "eu-west-1": STORE}),
                d.set(d.compile, region="eu-west-1")), ACTION, ANY),
    (lambda d: (d.p.pop("artifactStore"), d.set(artifactStores={"us-east-1": STORE, "eu-west-1": STORE}),
                d.set(d.fetch, region="eu-west-1")), ACTION, ANY),
    (lambda d: d.p.pop("artifactStore"), STRUCTURE, ANY),
    (lambda d: d.set(artifactStores={"us-east-1": STORE}), STRUCTURE, ANY),
    # V1
    (lambda d: d.v1(executionMode="QUEUED"), STRUCTURE, v2_only("QUEUED or PARALLEL mode")),
    (lambda d: d.v1(executionMode="PARALLEL"), STRUCTURE, v2_only("QUEUED or PARALLEL mode")),
    (lambda d: (d.p.pop("pipelineType"), d.set(executionMode="QUEUED")), STRUCTURE, v2_only("QUEUED or PARALLEL mode")),
    (lambda d: d.v1(variables=[{"name": "v"}]), STRUCTURE, v2_only("Pipeline variable")),
    (lambda d: (d.add(0, connection()), d.v1(triggers=[trigger("Connected")])), STRUCTURE, v2_only("Triggers on tag")),
    (lambda d: (d.v1(), d.set(d.stages[1], beforeEntry=CONDITIONS)), STAGE, v2_only("Stage level conditions") + "."),
    (lambda d: (d.v1(), d.set(d.stages[1], onSuccess=CONDITIONS)), STAGE, v2_only("Stage level conditions") + "."),
    (lambda d: (d.v1(), d.set(d.stages[1], onFailure={"result": "ROLLBACK"})), STAGE,
     v2_only("Stage level conditions") + "."),
    (lambda d: (d.v1(), d.add(1, own("Compute", "Commands", commands=["ls"], inputArtifacts=[{"name": "Code"}]))),
     ACTION, v2_only("Commands Action") + "."),
    (lambda d: (d.v1(), d.add(1, own("Build", "ECRBuildAndPublish", inputArtifacts=[{"name": "Code"}],
                                     configuration={"ECRRepositoryName": "r"}))),
     ACTION, v2_only("ECRBuildAndPublish Action") + "."),
    (lambda d: (d.v1(), d.add(2, own("Deploy", "EKS", inputArtifacts=[{"name": "Code"}]))),
     ACTION, v2_only("EKS Action") + "."),
    # variables and triggers
    (lambda d: d.set(variables=[{"name": "v"}, {"name": "v"}]), STRUCTURE,
     "Variable names must be unique. The following variable name is already in use: v"),
    (lambda d: d.set(triggers=[trigger("Fetch")]), STRUCTURE,
     "Triggers for connections must reference a CodeStarSourceConnection action. ..."),
    # conditions
    (lambda d: (d.set(executionMode="PARALLEL"), d.set(d.stages[1], onFailure={"result": "ROLLBACK"})), STAGE,
     "Failure conditions with rollback result type cannot be added to a PARALLEL pipeline."),
    (lambda d: d.set(d.stages[1], onFailure=dict(ROLLBACK, result="ROLLBACK")), STAGE,
     "The following stage cannot have a failure exit gate configured with both top level result and conditions: 'Build'"),
    # namespaces
    (lambda d: d.set(d.compile, namespace="Fetched"), ACTION, ANY),
    (lambda d: d.set(d.compile, namespace="Code"), ACTION, ANY),
    (lambda d: d.set(d.compile, namespace="codepipeline"), ACTION, ANY),
    (lambda d: d.set(d.compile, namespace="variables"), ACTION, ANY),
    (lambda d: d.note("#{Nobody.x}"), ACTION, ANY),
    (lambda d: (d.set(d.ship, namespace="Late"), d.note("#{Late.x}")), ACTION, ANY),
    (lambda d: (d.set(variables=[{"name": "v", "defaultValue": "x"}]),
                d.fetch["configuration"].update(Note="#{variables.v}")), ACTION, ANY),
    # the rest
    (lambda d: d.set(d.stages[1], blockers=[{"name": "b", "type": "Schedule"}]), "InvalidBlockerDeclarationException", ANY),
    (lambda d: d.set(roleArn="nobody"), VALIDATION, "1 validation error detected: Value 'nobody' at 'pipeline.roleArn' ..."),
)


def said(text, want, row):
    check(text, f"row {row} of E2 says nothing")
    if want and want.endswith("..."):
        check(text.startswith(want[:-3].rstrip()), f"row {row} of E2: {text}")
    elif want:
        equal(text, want, f"row {row} of E2")


@served
def each_line_of_e2_refuses_with_its_words_and_leaves_nothing(w):
    for row, (spoil, code, words) in enumerate(E2):
        draft = Draft(w)
        spoil(draft)
        try:
            said(raises(code, w.cp.create_pipeline, pipeline=draft.p), words, row)
        except AssertionError as e:
            raise AssertionError(f"row {row} of E2 ({words or code}): {e}") from e
    raises("PipelineNotFoundException", w.cp.get_pipeline, name=w.name)
    w.cp.create_pipeline(pipeline=Draft(w).p)  # what all of them began with
    w.created.add(w.name)
    for row, (spoil, code, words) in enumerate(E2):  # an update is held to the same
        draft = Draft(w)
        spoil(draft)
        said(raises(code, w.cp.update_pipeline, pipeline=draft.p), words, row)
    equal(w.cp.get_pipeline(name=w.name)["pipeline"]["version"], 1)


@served
def names_roles_and_tags_are_refused_in_their_words(w):
    arn = f"arn:aws:codepipeline:us-east-1:000000000000:{w.name}"
    missing = f"Account '000000000000' does not have a pipeline with name '{w.name}'"
    for call in (lambda: w.cp.get_pipeline(name=w.name), lambda: w.cp.get_pipeline_state(name=w.name),
                 lambda: w.cp.start_pipeline_execution(name=w.name), lambda: w.cp.list_pipeline_executions(pipelineName=w.name),
                 lambda: w.update(), lambda: w.disable("Source")):
        equal(raises("PipelineNotFoundException", call), missing)
    draft = Draft(w).p
    raises("InvalidTagsException", w.cp.create_pipeline, pipeline=draft, tags=[{"key": "aws:x", "value": "1"}])
    many = [{"key": f"k{n}", "value": "v"} for n in range(51)]
    equal(raises("TooManyTagsException", w.cp.create_pipeline, pipeline=draft, tags=many),
          f"Tag limit exceeded for resource [{arn}].")
    w.cp.create_pipeline(pipeline=draft, tags=many[:50])
    w.created.add(w.name)
    raises("PipelineNameInUseException", w.cp.create_pipeline, pipeline=draft)
    for role in (ROLE, "arn:aws-cn:iam::123456789012:role/path/name"):  # any that is well-formed
        w.update(roleArn=role)


# ---- action types (D1, D2) ----

def prop(name="P", **more):
    return dict({"name": name, "required": True, "key": False, "secret": False, "queryable": True}, **more)


COUNTS = {"minimumCount": 0, "maximumCount": 1}
NOT_QUERYABLE = "Invalid queryable property 'P'. Queryable configuration properties must be required and non-secret."
D1 = (
    ({"configurationProperties": [prop(required=False)]}, VALIDATION, NOT_QUERYABLE),
    ({"configurationProperties": [prop(secret=True)]}, VALIDATION, NOT_QUERYABLE),
    ({"configurationProperties": [prop("a"), prop("b")]}, VALIDATION,
     "Multiple queryable configuration properties found with names 'a, b'. Up to one queryable property may be specified."),
    ({"inputArtifactDetails": {"minimumCount": 3, "maximumCount": 2}}, VALIDATION,
     "Maximum Number of Artifacts (2) has to be greater than or equal to minimum (3)."),
    ({"outputArtifactDetails": {"minimumCount": 0, "maximumCount": 6}}, VALIDATION,
     "1 validation error detected: Value '6' at 'outputArtifactDetails.maximumCount' ..."),
    ({"category": "Approval"}, VALIDATION, ANY),
    ({"category": "Compute"}, VALIDATION, ANY),
    ({"settings": {"entityUrlTemplate": "http://x/{Config:Secret}"},
      "configurationProperties": [prop("Secret", queryable=False, secret=True)]}, VALIDATION, ANY),
    ({"settings": {"entityUrlTemplate": "http://x/{Config:Nothing}"}}, VALIDATION, ANY),
    ({"tags": [{"key": "aws:x", "value": "1"}]}, "InvalidTagsException", ANY),
)


@served
def each_rule_of_action_types_refuses_with_its_words(w):
    whole = {"category": "Build", "provider": "Refused", "version": "1", "inputArtifactDetails": COUNTS,
             "outputArtifactDetails": COUNTS}
    for row, (change, code, words) in enumerate(D1):
        said(raises(code, w.cp.create_custom_action_type, **dict(whole, **change)), words, row)
    listed = w.cp.list_action_types(actionOwnerFilter="Custom")["actionTypes"]
    check("Refused" not in [t["id"]["provider"] for t in listed], "nothing was made")


@served
def masked_secrets_are_refused_for_actions_that_are_new(w):
    w.cp.create_custom_action_type(category="Build", provider="Secretive", version="1", inputArtifactDetails=COUNTS,
                                   outputArtifactDetails=COUNTS, configurationProperties=[
                                       {"name": "Password", "required": True, "key": False, "secret": True}])
    action = {"name": "Hide", "actionTypeId": type_id("Build", "Secretive"), "configuration": {"Password": "****"}}
    equal(raises(ACTION, w.create, {"Source": ["Fetch"], "Build": [action]}),
          "Action configuration for the new action 'Hide' contains an invalid configuration for the secret property "
          "'Password'. '****' may be used in secret properties only when updating an existing action.")


@served
def third_party_types_are_no_less_strict(w):
    draft = Draft(w)
    draft.add(2, {"name": "Other", "actionTypeId": dict(THIRD, provider="Nobody"), "configuration": {}})
    equal(raises(ACTION, w.cp.create_pipeline, pipeline=draft.p),
          unavailable("Nobody", "Deploy", "ThirdParty", "Other"))


run()
