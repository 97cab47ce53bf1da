"""Small pipelines of custom actions, and hands that do their jobs: for stories about the engine's surroundings."""
from mh.tap import check

ROLE = "arn:aws:iam::000000000000:role/r"
CATEGORIES = {"Src": "Source", "Make": "Build", "Check": "Test", "Ship": "Deploy"}


def type_of(provider):
    return {"category": CATEGORIES[provider], "owner": "Custom", "provider": provider, "version": "1"}


def create_types(cp, providers=tuple(CATEGORIES)):
    for provider in providers:
        cp.create_custom_action_type(
            category=CATEGORIES[provider], provider=provider, version="1",
            settings={"executionUrlTemplate": "https://ci.example/{ExternalExecutionId}"},
            configurationProperties=[{"name": "Password", "required": False, "key": False, "secret": True}],
            inputArtifactDetails={"minimumCount": 0, "maximumCount": 5},
            outputArtifactDetails={"minimumCount": 0, "maximumCount": 5})


def custom(name, provider, inputs=(), outputs=(), **more):
    action = {"name": name, "actionTypeId": type_of(provider), "inputArtifacts": [{"name": i} for i in inputs],
              "outputArtifacts": [{"name": o} for o in outputs]}
    return dict(action, **more)


def approval(name="Ask", **configuration):
    return {"name": name, "actionTypeId": {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"},
            "configuration": configuration}


def three_stages():
    return [{"name": "Source", "actions": [custom("S", "Src", outputs=["Code"])]},
            {"name": "Build", "actions": [custom("B", "Make", ["Code"], ["Program"])]},
            {"name": "Deploy", "actions": [custom("D", "Ship", ["Program"])]}]


def with_approval(**configuration):
    stages = three_stages()
    stages.insert(2, {"name": "Gate", "actions": [approval(**configuration)]})
    return stages


def create(cp, name="p", stages=None, mode="SUPERSEDED", **more):
    """Creates the pipeline; answers the id of the execution that starts with it."""
    cp.create_pipeline(pipeline=dict({
        "name": name, "roleArn": ROLE, "pipelineType": "V2", "executionMode": mode,
        "artifactStore": {"type": "S3", "location": "artifacts"}, "stages": stages or three_stages()}, **more))
    return newest(cp, name)


def newest(cp, name="p"):
    return cp.list_pipeline_executions(pipelineName=name, maxResults=1)["pipelineExecutionSummaries"][0]["pipelineExecutionId"]


def state(cp, execution, name="p"):
    return cp.get_pipeline_execution(pipelineName=name, pipelineExecutionId=execution)["pipelineExecution"]["status"]


def take(cp, provider):
    """Polls and acknowledges a job, which must be there."""
    jobs = cp.poll_for_jobs(actionTypeId=type_of(provider))["jobs"]
    check(jobs, f"a job for {provider}")
    cp.acknowledge_job(jobId=jobs[0]["id"], nonce=jobs[0]["nonce"])
    return jobs[0]


def succeed(cp, provider, **more):
    job = take(cp, provider)
    cp.put_job_success_result(jobId=job["id"], **more)
    return job


def fail(cp, provider, message="broken"):
    job = take(cp, provider)
    cp.put_job_failure_result(jobId=job["id"], failureDetails={"type": "JobFailed", "message": message})
    return job


def token(cp, stage="Gate", name="p"):
    """The token of the approval that waits there."""
    for s in cp.get_pipeline_state(name=name)["stageStates"]:
        if s["stageName"] == stage:
            return s["actionStates"][0]["latestExecution"]["token"]
    raise AssertionError(f"no stage {stage}")


def answer(cp, status, stage="Gate", name="p", action="Ask"):
    cp.put_approval_result(pipelineName=name, stageName=stage, actionName=action, token=token(cp, stage, name),
                           result={"summary": "as told", "status": status})
