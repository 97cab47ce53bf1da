#!/usr/bin/python3
"""What the founding documents say of approvals, groups and triggers (semantics H, 003), statement by statement."""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.events import APPROVAL  # noqa: E402
from mh.git import Git  # noqa: E402
from mh.programs import SHARED, SRC, wait_for  # noqa: E402
from mh.statements import run, statement, type_id  # noqa: E402
from mh.tap import check, equal, raises  # noqa: E402

VIETNAMESE = "Đồng ý: bản này chạy tốt, triển khai đi ✓"
ASKS = {"Source": ["Fetch"], "Build": ["Compile"], "Approval": ["ManualApproval?"], "Deploy": ["Ship"]}
STATES = ("--query", "stageStates[].[stageName,latestExecution.status]", "--output", "text")
TOKEN = ("--query", "stageStates[?stageName=='Approval'].actionStates[0].latestExecution.token | [0]", "--output", "text")


def approval_stage():
    theirs = os.path.join(SHARED, "data", "approval-stage.json")
    ours = os.path.join(SRC, "tests", "fixtures", "pipelines", "approval.json")
    with open(theirs if os.path.exists(theirs) else ours, encoding="utf-8") as f:
        return json.load(f)


def paused(w, **more):
    """A pipeline whose execution waits for its approval."""
    e = w.create(ASKS, **more)
    w.done("Fetch", "Compile")
    return e


def token(w):
    return w.token("Approval", "ManualApproval")


def answer(w, status, **more):
    return w.answer("Approval", status, action="ManualApproval", **more)


@statement
def H_003_1_an_approval_stage_is_put_in_by_update_pipeline(w):
    w.create()
    changed = w.declaration()
    changed["stages"].insert(2, approval_stage())
    told = w.aws("update-pipeline", "--cli-input-json", w.aws.file("changed.json", {"pipeline": changed}),
                 "--query", "pipeline.stages[].name", "--output", "text")
    equal(told.split(), ["Source", "Build", "Approval", "Deploy"])
    equal(w.cp.get_pipeline(name=w.name)["pipeline"]["version"], 2)


@statement
def H_003_2_texts_beyond_ascii_come_back_unchanged(w):
    stage = approval_stage()
    declared = w.declaration()
    declared["stages"].insert(2, stage)
    w.cp.create_pipeline(pipeline=declared)
    w.created.add(w.name)
    text = stage["actions"][0]["configuration"]["CustomData"]
    check(not text.isascii(), text)
    equal(w.aws.json("get-pipeline", "--name", w.name)["pipeline"]["stages"][2]["actions"][0]["configuration"]["CustomData"], text)
    w.done("Fetch", "Compile")
    answer(w, "Approved", summary=VIETNAMESE)
    shown = w.aws.json("get-pipeline-state", "--name", w.name)["stageStates"][2]["actionStates"][0]["latestExecution"]
    equal(shown["summary"], VIETNAMESE)
    equal(w.actions()[2]["output"]["executionResult"]["externalExecutionSummary"], VIETNAMESE)


@statement
def H_003_3_while_it_waits_nothing_of_deploy_has_run(w):
    e = paused(w)
    told = w.aws("get-pipeline-state", "--name", w.name, *STATES)
    equal([line.split("\t") for line in told.splitlines()],
          [["Source", "Succeeded"], ["Build", "Succeeded"], ["Approval", "InProgress"], ["Deploy", "None"]])
    check("latestExecution" not in w.state("Deploy"), "Deploy has no latest execution")
    equal(w.ran(e), [("Fetch", "Succeeded"), ("Compile", "Succeeded"), ("ManualApproval", "InProgress")])
    w.idle("Ship")


@statement
def H_003_4_the_token_is_where_the_article_reads_it(w):
    paused(w)
    told = w.aws("get-pipeline-state", "--name", w.name, *TOKEN)
    equal(told, token(w))
    equal(len(told), 36, "a UUID")


@statement
def H_003_5_an_approval_answers_when_and_the_pipeline_goes_on_to_its_end(w):
    e = paused(w)
    told = w.aws.json("put-approval-result", "--pipeline-name", w.name, "--stage-name", "Approval", "--action-name",
                      "ManualApproval", "--result", "summary=Looks good,status=Approved", "--token", token(w))
    equal(list(told), ["approvedAt"])
    equal(w.stage("Deploy"), (e, "InProgress"))
    w.done("Ship")
    equal(w.status(e), "Succeeded")


@statement
def H_003_6_get_pipeline_execution_is_in_progress_until_it_succeeded(w):
    e = paused(w)
    of = ("get-pipeline-execution", "--pipeline-name", w.name, "--pipeline-execution-id", e, "--query",
          "pipelineExecution.status", "--output", "text")
    equal(w.aws(*of), "InProgress")
    answer(w, "Approved")
    equal(w.status(e), "InProgress")
    w.done("Ship")
    equal(w.aws(*of), "Succeeded")


@statement
def H_003_7_each_pause_has_its_own_token_and_an_older_one_approves_nothing(w):
    paused(w)
    tokens = [token(w)]
    answer(w, "Rejected")
    w.start()
    w.done("Fetch", "Compile")
    tokens.append(token(w))
    raises("InvalidApprovalTokenException", answer, w, "Approved", token=tokens[0])
    equal(w.stage("Approval")[1], "InProgress", "nothing was approved")
    w.idle("Ship")
    answer(w, "Rejected", token=tokens[1])
    raises("ApprovalAlreadyCompletedException", answer, w, "Approved", token=tokens[1])
    w.retry("Approval", w.newest())
    tokens.append(token(w))
    equal(len(set(tokens)), 3, "a retry asks anew")
    for old in tokens[:2]:
        raises("InvalidApprovalTokenException", answer, w, "Approved", token=old)
    answer(w, "Approved", token=tokens[2])


@statement
def H_003_8_a_rejection_ends_the_execution_before_deploy(w):
    e = paused(w)
    answer(w, "Rejected", summary="no")
    equal((w.status(e), w.stage("Approval"), w.stage("Deploy")), ("Failed", (e, "Failed"), (None, None)))
    w.idle("Ship")


@statement
def H_003_9_equal_run_orders_run_together_and_a_higher_one_after_them(w):
    w.create({"Source": ["Fetch"], "Build": ["Build", "Lint", "Package@2"]})
    w.done("Fetch")
    build, lint = w.take("Build"), w.take("Lint")
    equal({w.latest("Build", n)["status"] for n in ("Build", "Lint")}, {"InProgress"})
    lint.succeed()
    w.idle("Package")
    build.succeed()
    w.done("Package")
    equal(w.status(w.newest()), "Succeeded")


def sources(w, provider, repository, **configuration):
    """Stages whose source is that repository; nothing behind it holds anybody up."""
    if provider == "CodeCommit":
        given = {"RepositoryName": repository, "BranchName": "main"}
    else:
        given = {"ConnectionArn": "arn:aws:codestar-connections:us-east-1:000000000000:connection/c",
                 "FullRepositoryId": repository, "BranchName": "main"}
    source = {"name": "Source", "actionTypeId": type_id("Source", provider, "AWS"),
              "configuration": dict(given, **configuration), "outputArtifacts": [{"name": "Code"}]}
    return {"Source": [source], "Build": ["Compile"]}


def starts(w, count):
    """[(trigger, commit)] of what was started since the pipeline was made; waits for so many."""
    def look():
        told = list(w.summaries().values())[::-1][1:]
        return len(told) >= count and all(e["sourceRevisions"] for e in told) and told

    told = wait_for(look, what=f"{count} executions of {w.name}") if count else []
    return [(e["trigger"]["triggerType"], e["sourceRevisions"][0]["revisionId"]) for e in told]


@statement
def H_003_10_every_commit_on_the_sources_branch_starts_an_execution(w):
    repository = Git(w.place, "every")
    repository.commit({"a": "0"}, "first")
    w.create(sources(w, "CodeCommit", "every"), mode="QUEUED")
    commits = []
    for n in range(3):
        repository.commit({"a": f"elsewhere {n}"}, "elsewhere", f"feature/{n}")
        commits.append(repository.commit({"a": str(n + 1)}, "a commit"))
        equal(starts(w, n + 1), [("PollForSourceChanges", c) for c in commits])


def shared_triggers():
    theirs = os.path.join(SHARED, "data", "triggers.json")
    ours = os.path.join(SRC, "tests", "fixtures", "pipelines", "triggers.json")
    with open(theirs if os.path.exists(theirs) else ours, encoding="utf-8") as f:
        return json.load(f)


@statement
def H_003_11_triggers_choose_the_branches_whose_pushes_start_an_execution(w):
    repository = Git(w.place, "me/app")
    repository.commit({"a": "0"}, "first")
    w.create(sources(w, "CodeStarSourceConnection", "me/app"), mode="QUEUED", triggers=shared_triggers())
    wanted = []
    for n, branch in enumerate(("feature/x", "main", "release/1.0", "feature/y", "released", "release/1/2", "main")):
        commit = repository.commit({"a": str(n + 1)}, branch, branch)
        if branch in ("main", "release/1.0"):
            wanted.append(("WebhookV2", commit))
            equal(starts(w, len(wanted)), wanted)
    equal(starts(w, len(wanted)), wanted, "and no other")


def filtered(**entry):
    return [{"providerType": "CodeStarSourceConnection", "gitConfiguration": {"sourceActionName": "Source", "push": [entry]}}]


@statement
def H_003_12_tags_and_file_paths_filter_likewise_on_v2_alone(w):
    stages = sources(w, "CodeStarSourceConnection", "me/filtered")
    for triggers in (shared_triggers(), filtered(tags={"includes": ["v*"]})):
        raises("InvalidStructureException", w.create, stages, pipelineType="V1", triggers=triggers)
    repository = Git(w.place, "me/filtered")
    repository.commit({"src/a": "0"}, "first")
    w.name += "-tags"
    w.create(sources(w, "CodeStarSourceConnection", "me/filtered"), mode="QUEUED",
             triggers=filtered(tags={"includes": ["v*"], "excludes": ["v*-rc"]}))
    tags = w.name
    w.name = tags.replace("tags", "paths")
    w.create(sources(w, "CodeStarSourceConnection", "me/filtered"), mode="QUEUED",
             triggers=filtered(branches={"includes": ["main"]}, filePaths={"includes": ["src/**"]}))
    repository.commit({"docs/b": "1"}, "documentation")
    commit = repository.commit({"docs/b": "2", "src/a": "1"}, "sources")
    equal(starts(w, 1), [("WebhookV2", commit)])
    for tag in ("x1", "v1-rc", "v1"):
        repository.git("tag", tag)
    repository.git("push", "-q", repository.bare, "x1", "v1-rc", "v1")
    w.name = tags
    equal(starts(w, 1), [("WebhookV2", commit)])


@statement
def H_003_13_success_failure_and_a_waiting_approval_can_be_told(w):
    e = paused(w)
    asked = w.told("Approval")[-1]
    equal(asked["detail-type"], APPROVAL)
    equal(asked["detail"]["message"]["approval"]["token"], token(w))
    answer(w, "Approved")
    w.done("Ship")
    w.told("Pipeline SUCCEEDED", e)
    failed = w.start()
    w.fail("Fetch")
    w.told("Pipeline FAILED", failed)


run()
