#!/usr/bin/python3
"""Webhooks: made through boto3 and the AWS CLI, delivered to the URL that the server gives out."""
import hashlib
import hmac
import json
import os
import sys
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.cli import Cli  # noqa: E402
from mh.programs import Place  # noqa: E402
from mh.tap import check, equal, raises, run, story  # noqa: E402

ARN = "arn:aws:codepipeline:us-east-1:000000000000:"
SECRET = "canary-77aa-webhook"
SOURCE = {"category": "Source", "provider": "GitHub", "version": "1",
          "configurationProperties": [{"name": n, "required": True, "key": False, "secret": False}
                                      for n in ("Owner", "Repo", "Branch")],
          "inputArtifactDetails": {"minimumCount": 0, "maximumCount": 0},
          "outputArtifactDetails": {"minimumCount": 1, "maximumCount": 1}}


def pipeline(name="release", action="App"):
    return {
        "name": name, "roleArn": "arn:aws:iam::000000000000:role/r",
        "artifactStore": {"type": "S3", "location": "artifacts"},
        "stages": [
            {"name": "Source", "actions": [
                {"name": action, "outputArtifacts": [{"name": "Src"}],
                 "actionTypeId": {"category": "Source", "owner": "Custom", "provider": "GitHub", "version": "1"},
                 "configuration": {"Owner": "me", "Repo": "app", "Branch": "main"}}]},
            {"name": "Gate", "actions": [
                {"name": "Ask", "actionTypeId": {"category": "Approval", "owner": "AWS", "provider": "Manual",
                                                 "version": "1"}}]}]}


def webhook(name="w", authentication="UNAUTHENTICATED", configuration=None, **more):
    definition = {"name": name, "targetPipeline": "release", "targetAction": "App",
                  "filters": [{"jsonPath": "$.ref", "matchEquals": "refs/heads/{Branch}"}],
                  "authentication": authentication, "authenticationConfiguration": configuration or {}}
    definition.update(more)
    return definition


PUSH = {"ref": "refs/heads/main", "head_commit": {"id": "c" * 40, "message": "mend", "timestamp": "2026-11-20T10:00:00Z",
                                                  "author": {"name": "A", "email": "a@b.c", "username": "a"}},
        "repository": {"full_name": "me/app"}}


def post(url, body, **headers):
    """The status and the answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method="POST",
                                     headers={"Content-Type": "application/json",
                                              **{k.replace("_", "-"): v for k, v in headers.items()}})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as e:
        with e:
            return e.code, json.load(e)


def signed(body, secret=SECRET, digest="sha256"):
    name = "X_Hub_Signature_256" if digest == "sha256" else "X_Hub_Signature"
    return {name: f"{digest}=" + hmac.new(secret.encode(), body, digest).hexdigest()}


class World:
    def __init__(self, place, *options):
        self.place, self.emulator = place, place.emulator(*options)
        self.cp = self.emulator.client("codepipeline")
        self.cp.create_custom_action_type(**SOURCE)
        self.cp.create_pipeline(pipeline=pipeline())

    def executions(self):
        return self.cp.list_pipeline_executions(pipelineName="release")["pipelineExecutionSummaries"]

    def item(self):
        return self.cp.list_webhooks()["webhooks"][0]


@story
def a_signed_push_starts_the_pipeline_and_says_so():
    with Place() as place:
        w = World(place)
        made = w.cp.put_webhook(webhook=webhook(authentication="GITHUB_HMAC", configuration={"SecretToken": SECRET}),
                                tags=[{"key": "team", "value": "a"}])["webhook"]
        equal(made["arn"], ARN + "webhook:w")
        equal(made["definition"]["authenticationConfiguration"], {"SecretToken": "****"})
        equal(made["tags"], [{"key": "team", "value": "a"}])
        check(made["url"].startswith(w.emulator.endpoint + "/"), made["url"])
        body = json.dumps(PUSH).encode()
        for digest in ("sha256", "sha1"):
            status, answer = post(made["url"], body, **signed(body, digest=digest))
            equal(status, 200, str(answer))
            newest = w.executions()[0]
            equal(newest["pipelineExecutionId"], answer["pipelineExecutionId"])
            equal(newest["trigger"], {"triggerType": "Webhook", "triggerDetail": ARN + "webhook:w"})
        equal(len(w.executions()), 3, "the creation's and two deliveries'")
        check("lastTriggered" in w.item() and "errorCode" not in w.item(), str(w.item()))
        for headers in ({}, signed(body, "another"), signed(body + b" "), {"X_Hub_Signature_256": "sha256="}):
            status, answer = post(made["url"], body, **headers)
            equal((status, answer["__type"]), (403, "AccessDenied"), str(headers))
        equal(len(w.executions()), 3, "nobody else starts it")
        equal(w.item()["errorCode"], "AccessDenied")
        post(made["url"], body, **signed(body))
        check("errorCode" not in w.item(), "a good delivery clears the error")
        equal(w.cp.list_tags_for_resource(resourceArn=ARN + "webhook:w")["tags"], [{"key": "team", "value": "a"}])
        w.emulator.stop()
        with open(w.emulator.log_path) as log:
            check(SECRET not in log.read(), "the secret is in the log")
        for where, _, names in os.walk(w.emulator.data_dir):
            for name in names:
                with open(os.path.join(where, name), "rb") as f:
                    check(SECRET.encode() not in f.read(), f"the secret is in {name}")
        again = place.emulator(name="again")
        cp = again.client("codepipeline")
        url = cp.list_webhooks()["webhooks"][0]["url"]
        equal(url.split("/")[-1], made["url"].split("/")[-1], "its URL outlives the server")
        equal(post(url, body, **signed(body))[0], 200, "after a restart")


@story
def filters_decide_what_starts_it():
    with Place() as place:
        w = World(place)
        url = w.cp.put_webhook(webhook=webhook(filters=[
            {"jsonPath": "$.ref", "matchEquals": "refs/heads/{Branch}"},
            {"jsonPath": "$.commits[*].author"}]))["webhook"]["url"]
        for body, starts in (({"ref": "refs/heads/main", "commits": [{}, {"author": "a"}]}, True),
                             ({"ref": "refs/heads/main", "commits": [{}]}, False),
                             ({"ref": "refs/heads/other", "commits": [{"author": "a"}]}, False),
                             ({}, False)):
            status, answer = post(url, body)
            equal((status, "pipelineExecutionId" in answer), (200, starts), str(body))
        equal(post(url, PUSH, X_GitHub_Event="ping")[1], {"ignored": "a ping starts nothing"})
        equal(len(w.executions()), 2)
        for body in (b"", b"{", b"[]", b"ref=refs/heads/main", b"\xff"):
            status, answer = post(url, body)
            equal((status, answer["__type"]), (400, "SerializationException"), str(body))
        changed = pipeline()
        changed["stages"][0]["actions"][0]["configuration"]["Branch"] = "next"
        w.cp.update_pipeline(pipeline=changed)
        body = {"ref": "refs/heads/main", "commits": [{"author": "a"}]}
        check("ignored" in post(url, body)[1], "the branch is another one now")
        body["ref"] = "refs/heads/next"
        check("pipelineExecutionId" in post(url, body)[1], "and that one starts it")


@story
def addresses_outside_the_range_are_refused():
    with Place() as place:
        w = World(place)
        for address, status in (("127.0.0.0/8", 200), ("10.0.0.0/8", 403), ("::/0", 403), ("127.0.0.1", 200)):
            url = w.cp.put_webhook(webhook=webhook(authentication="IP",
                                                   configuration={"AllowedIPRange": address}))["webhook"]["url"]
            equal(post(url, PUSH)[0], status, address)


@story
def what_is_gone_is_told():
    with Place() as place:
        w = World(place)
        url = w.cp.put_webhook(webhook=webhook())["webhook"]["url"]
        equal(post(url + "x", PUSH)[0], 404, "another URL")
        equal(post(url[:url.rindex("/") + 1], PUSH)[0], 404, "no token")
        with_get = urllib.request.Request(url)
        try:
            urllib.request.urlopen(with_get, timeout=20)
            check(False, "GET is answered")
        except urllib.error.HTTPError as e:
            with e:
                equal(e.code, 405)
        w.cp.delete_pipeline(name="release")
        status, answer = post(url, PUSH)
        equal((status, answer["__type"]), (400, "PipelineNotFoundException"))
        equal(w.item()["errorCode"], "PipelineNotFoundException", "it stays, and says why")
        w.cp.create_pipeline(pipeline=pipeline(action="Other"))
        equal(post(url, PUSH)[1]["__type"], "ActionNotFoundException")
        w.cp.delete_webhook(name="w")
        w.cp.delete_webhook(name="w")
        equal(post(url, PUSH)[0], 404, "deleted")
        w.cp.put_webhook(webhook=webhook(targetAction="Other"))
        check(w.item()["url"] != url, "a new one has another URL")


@story
def the_cli_puts_lists_registers_and_deletes():
    with Place() as place:
        w = World(place)
        aws = Cli(place, w.emulator)
        aws("put-webhook", "--cli-input-json", aws.file("hook.json", {"webhook": webhook(
            authentication="GITHUB_HMAC", configuration={"SecretToken": SECRET})}), "--region", "us-east-1")
        aws("register-webhook-with-third-party", "--webhook-name", "w")
        aws("deregister-webhook-with-third-party", "--webhook-name", "w")
        listed = json.loads(aws("list-webhooks"))["webhooks"]
        equal(len(listed), 1)
        check(SECRET not in json.dumps(listed), "the secret is listed")
        aws("delete-webhook", "--name", "w")
        equal(json.loads(aws("list-webhooks"))["webhooks"], [])
        check("WebhookNotFoundException" in aws.refused("register-webhook-with-third-party", "--webhook-name", "w"), "")
        raises("PipelineNotFoundException", w.cp.put_webhook, webhook=webhook(targetPipeline="none"))


run()
