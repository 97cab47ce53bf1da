"""The AWS SDK for JavaScript v3 in place of boto3: the same methods, the same answers, the same errors.

    cp = Client(place, emulator.endpoint)       skips where node or the SDK is missing
    cp.get_pipeline(name="p")                   what only looks is asked by boto3 too: both must read the same

The SDK is looked for in $MH_NODE_MODULES, on $NODE_PATH and where packages of the whole machine lie:
`npm install --prefix DIR @aws-sdk/client-codepipeline`, then MH_NODE_MODULES=DIR/node_modules.
"""
import json
import os
import shutil
import subprocess
from datetime import datetime, timezone

from botocore.exceptions import ClientError

from mh.programs import KEY, REGION, SECRET, SRC, client
from mh.tap import equal, skip

LOOKS = ("Get", "List")
CHANGES = ("GetJobDetails", "GetThirdPartyJobDetails")  # credentials are minted anew each time
SCRIPT = os.path.join(SRC, "tests", "fixtures", "js_sdk.cjs")


def modules():
    """The directory that holds the SDK, or None."""
    for path in (os.environ.get("MH_NODE_MODULES"), *os.environ.get("NODE_PATH", "").split(":"),
                 "/usr/local/lib/node_modules", "/usr/lib/node_modules", "/usr/share/nodejs"):
        if path and os.path.isdir(os.path.join(path, "@aws-sdk", "client-codepipeline")):
            return path
    return None


def _out(value):
    if isinstance(value, datetime):
        return {"$date": value.timestamp()}
    if isinstance(value, dict):
        return {k: _out(v) for k, v in value.items()}
    return [_out(v) for v in value] if isinstance(value, (list, tuple)) else value


def _in(value):
    if isinstance(value, dict):
        if set(value) == {"$date"}:
            return datetime.fromtimestamp(value["$date"], timezone.utc)
        return {k: _in(v) for k, v in value.items()}
    return [_in(v) for v in value] if isinstance(value, list) else value


class Client:
    def __init__(self, place, endpoint):
        if not shutil.which("node"):
            skip("there is no node")
        if not modules():
            skip("there is no @aws-sdk/client-codepipeline (MH_NODE_MODULES)")
        self.boto3 = client(place, "codepipeline", endpoint)
        self.exceptions, self.operations = self.boto3.exceptions, self.boto3.meta.method_to_api_mapping
        self.answered = set()  # operations that answered well
        self.process = subprocess.Popen(["node", SCRIPT, modules(), endpoint, REGION, KEY, SECRET], env=place.env,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()

    def __getattr__(self, method):
        if method not in self.operations:
            return getattr(self.boto3, method)
        return lambda **given: self.send(self.operations[method], given)

    def send(self, operation, given):
        answer = self.asked(operation, given)
        self.answered.add(operation)
        if operation.startswith(LOOKS) and operation not in CHANGES:
            again = self.asked_again(operation, given)
            for _ in range(20):  # what the emulator does itself may have changed it in between
                if answer == again:
                    break
                answer, again = self.asked(operation, given), self.asked_again(operation, given)
            equal(answer, again, f"{operation} by JavaScript and by Python")
        return answer

    def asked(self, operation, given):
        self.process.stdin.write(json.dumps({"op": operation, "input": _out(given)}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            e = answer["error"]
            raise ClientError({"Error": {"Code": e["name"], "Message": e["message"]},
                               "ResponseMetadata": {"HTTPStatusCode": e["status"]}}, operation)
        return _in(answer["ok"])

    def asked_again(self, operation, given):
        method = next(m for m, o in self.operations.items() if o == operation)
        answer = getattr(self.boto3, method)(**given)
        answer.pop("ResponseMetadata")
        return answer
