"""A small CodePipeline and S3 endpoint that shares no code with the product.

It hands out jobs that a story made, keeps every request it saw, holds every signature
against botocore's, and plays faults on demand:

    stub = Stub()
    job = stub.job(provider="Make", inputs={"Src": zip_bytes}, outputs=["Out"])
    stub.fault("AcknowledgeJob", "drop_after", times=1)
    ... wait_for(lambda: job.result) ...

Faults: "throttle", "error500", "html503", "drop_before" (the connection closes, nothing
happened), "drop_after" (it happened, the answer is lost), "late" (it happens once
clear_faults() is called), "truncate" (half an answer),
"garbage" (no JSON), "types" (wrong types), "expired" (S3: ExpiredToken), "denied", "hang",
"code:NameException" (that error, nothing happened), "missing" (S3: NoSuchKey).
"""
import hashlib
import http.server
import json
import socket
import threading
import uuid
from collections import defaultdict
from urllib.parse import parse_qs, unquote, urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.credentials

TARGET = "CodePipeline_20150709."
S3_FAULTS = {"expired": (400, "ExpiredToken"), "denied": (403, "AccessDenied"), "missing": (404, "NoSuchKey")}


def _credentials():
    return {"accessKeyId": "ASIA" + uuid.uuid4().hex[:16].upper(), "secretAccessKey": uuid.uuid4().hex,
            "sessionToken": "stub-token-" + uuid.uuid4().hex}


CLIENT = "c11e0000-0000-4000-8000-000000000001"  # of third-party jobs, unless a story says otherwise


class Job:
    client = None  # of a third party's job: its client's id

    def __init__(self, stub, provider, category, inputs, outputs, configuration, token, strict):
        self.id = str(uuid.uuid4())
        self.category, self.provider = category, provider
        self.nonce, self.dispatches = 0, 0
        self.status = "Queued"
        self.strict = strict  # a second acknowledgement answers InvalidNonce
        self.acked_nonce = None
        self.result = None  # ("success" or "failure", the request)
        self.results = []  # everything ever put, in order
        self.redeliver = False
        self.action_status = "InProgress"  # what ListActionExecutions says; None: it lists nothing
        self.credentials, self.old_tokens = _credentials(), set()
        self.execution_id, self.action_id = str(uuid.uuid4()), str(uuid.uuid4())
        self.configuration, self.token = configuration or {}, token
        self.inputs, self.outputs = {}, {}
        for name, data in (inputs or {}).items():
            key = f"P/{name}/{uuid.uuid4().hex[:7]}"
            self.inputs[name] = key
            stub.objects[("bucket", key)] = data
        for name in outputs or []:
            self.outputs[name] = f"P/{name}/{uuid.uuid4().hex[:7]}"

    def renew(self):
        """The artifact credentials are over; GetJobDetails has others."""
        self.old_tokens.add(self.credentials["sessionToken"])
        self.credentials = _credentials()

    def data(self):
        def artifact(name, key):
            return {"name": name, "location": {"type": "S3", "s3Location": {"bucketName": "bucket", "objectKey": key}}}

        data = {
            "actionTypeId": {"category": self.category, "owner": "ThirdParty" if self.client else "Custom",
                             "provider": self.provider, "version": "1"},
            "actionConfiguration": {"__type": "ActionConfiguration", "configuration": self.configuration},
            "pipelineContext": {"pipelineName": "P", "pipelineArn": "arn:aws:codepipeline:us-east-1:000000000000:P",
                                "pipelineExecutionId": self.execution_id, "stage": {"name": "Build"},
                                "action": {"name": "A", "actionExecutionId": self.action_id}},
            "inputArtifacts": [artifact(n, k) for n, k in self.inputs.items()],
            "outputArtifacts": [artifact(n, k) for n, k in self.outputs.items()],
            "encryptionKey": None,
            "somethingNew": {"unknown": True},
        }
        if self.client:
            del data["pipelineContext"]["pipelineArn"], data["pipelineContext"]["pipelineExecutionId"]
        if self.inputs or self.outputs:
            data["artifactCredentials"] = self.credentials
        if self.token:
            data["continuationToken"] = self.token
        return data


class ApiError(Exception):
    def __init__(self, code, status=400, message=""):
        super().__init__(code)
        self.code, self.status, self.message = code, status, message or code


class Stub:
    def __init__(self, address="127.0.0.1"):
        self.lock = threading.RLock()
        self.jobs = []
        self.objects = {}
        self.requests = []  # (operation or "S3 GET", body or key), in order
        self.faults = defaultdict(list)
        self.bad_signatures = []
        self.secrets = {}  # of keys besides the stories' own
        self.keys_seen = []  # (access key id, session token or None) of each API request, in order
        self.accepts = None  # a function (key id, token): False answers ExpiredTokenException; None: all are taken
        self.client_tokens = {CLIENT: "the token of the first client"}
        self.s3_headers = {}  # of the last PUT by key
        self.waits = None  # a function (handler, types, seconds) that answers /_millhand/wait; None: 404
        self.waits_seen = []  # paths
        self.strict = False  # every job is
        self.taken_code = "InvalidNonceException"  # to an acknowledgement that comes too late
        self.before = {}  # operation: a function that is called once, with the request, before it happens
        self.hanging = threading.Event()
        self.server = _Server((address, 0), _Handler)
        self.server.stub = self
        self.port = self.server.server_address[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.hanging.set()
        self.server.shutdown()
        self.server.server_close()

    # ---- what stories call ----

    def job(self, provider="Make", category="Build", inputs=None, outputs=None, configuration=None, token=None,
            strict=False):
        with self.lock:
            job = Job(self, provider, category, inputs, outputs, configuration, token, strict)
            self.jobs.append(job)
            return job

    def third_job(self, client=CLIENT, **keys):
        """A third party's, of that client."""
        with self.lock:
            job = self.job(**keys)
            job.client = client
            return job

    def fault(self, operation, kind, times=1):
        with self.lock:
            self.faults[operation].extend([kind] * times)

    def clear_faults(self):
        with self.lock:
            self.faults.clear()
            self.hanging.set()
            self.hanging = threading.Event()

    def seen(self, operation):
        with self.lock:
            return [body for name, body in self.requests if name == operation]

    # ---- the service ----

    def take_fault(self, operation):
        with self.lock:
            queue = self.faults.get(operation) or []
            return queue.pop(0) if queue else None

    def find(self, job_id):
        for job in self.jobs:
            if job.id == job_id:
                return job
        raise ApiError("JobNotFoundException")

    def api(self, operation, body):
        with self.lock:
            return getattr(self, "api_" + operation)(body)

    def hand_out(self, body, owner):
        wanted, limit, out = body["actionTypeId"], body.get("maxBatchSize", 1), []
        if wanted["owner"] != owner:
            raise ApiError("ValidationException")
        for job in self.jobs:
            ready = job.status == "Queued" or (job.status == "Dispatched" and job.redeliver)
            kind = (wanted["provider"], wanted["category"], owner == "ThirdParty")
            if len(out) < limit and ready and (job.provider, job.category, job.client is not None) == kind:
                job.nonce += 1
                job.status, job.redeliver = "Dispatched", False
                out.append(job)
        return out

    def api_PollForJobs(self, body):
        return {"jobs": [{"id": job.id, "nonce": str(job.nonce), "accountId": "000000000000", "data": job.data()}
                         for job in self.hand_out(body, "Custom")]}

    def api_PollForThirdPartyJobs(self, body):
        return {"jobs": [{"jobId": job.id, "clientId": job.client} for job in self.hand_out(body, "ThirdParty")]}

    def third(self, body):
        """The same request about a custom job, once the client's token was judged."""
        job = self.find(body["jobId"])
        if job.client is None:
            raise ApiError("JobNotFoundException")
        if body["clientToken"] != self.client_tokens.get(job.client):
            raise ApiError("InvalidClientTokenException", message=f"the token {body['clientToken']} is not taken")
        return job, {name: value for name, value in body.items() if name != "clientToken"}

    def api_GetThirdPartyJobDetails(self, body):
        job, _ = self.third(body)
        if job.status not in ("Queued", "Dispatched", "InProgress"):
            raise ApiError("InvalidJobException")
        return {"jobDetails": {"id": job.id, "nonce": str(job.nonce), "data": job.data()}}

    def api_AcknowledgeThirdPartyJob(self, body):
        return self.api_AcknowledgeJob(self.third(body)[1])

    def api_PutThirdPartyJobSuccessResult(self, body):
        if "outputVariables" in body:
            raise ApiError("ValidationException")
        return self.put_result(self.third(body)[1], "success")

    def api_PutThirdPartyJobFailureResult(self, body):
        return self.put_result(self.third(body)[1], "failure")

    def api_AcknowledgeJob(self, body):
        job = self.find(body["jobId"])
        if job.status in ("Succeeded", "Failed"):
            return {"status": job.status}
        if job.acked_nonce is not None:
            if job.strict or self.strict or body["nonce"] != job.acked_nonce:
                raise ApiError(self.taken_code)
            return {"status": "InProgress"}
        if body["nonce"] != str(job.nonce):
            raise ApiError("InvalidNonceException")
        job.acked_nonce, job.status = body["nonce"], "InProgress"
        return {"status": "InProgress"}

    def api_GetJobDetails(self, body):
        job = self.find(body["jobId"])
        return {"jobDetails": {"id": job.id, "accountId": "000000000000", "data": job.data()}}

    def api_ListActionExecutions(self, body):
        execution = body["filter"]["pipelineExecutionId"]
        return {"actionExecutionDetails": [{"actionExecutionId": job.action_id, "status": job.action_status}
                                           for job in self.jobs if job.execution_id == execution and job.action_status]}

    def put_result(self, body, kind):
        job = self.find(body["jobId"])
        job.results.append((kind, body))
        if beyond := [what for what, most, value in _limited(body) if len(value) > most]:
            raise ApiError("ValidationException", message=f"too long: {beyond}")
        if job.status != "InProgress":
            raise ApiError("InvalidJobStateException")
        job.result = (kind, body)
        job.status = "Succeeded" if kind == "success" else "Failed"
        return None

    def api_PutJobSuccessResult(self, body):
        return self.put_result(body, "success")

    def api_PutJobFailureResult(self, body):
        return self.put_result(body, "failure")

    def judge_signature(self, handler, body, secret, service):
        """Signs the same request with botocore, and compares."""
        claim = handler.headers.get("Authorization", "")
        try:
            signed = claim.split("SignedHeaders=")[1].split(",")[0].split(";")
            url = self.endpoint + handler.path
            request = botocore.awsrequest.AWSRequest(handler.command, url, data=body)
            for name in signed:
                if name != "host":
                    request.headers[name] = handler.headers[name]
            request.headers["Host"] = handler.headers["Host"]
            request.context["timestamp"] = handler.headers["X-Amz-Date"]
            credentials = botocore.credentials.Credentials("x", secret)
            kind = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
            signer = kind(credentials, service, "us-east-1")
            if service == "s3":
                signer.payload = lambda r: handler.headers["X-Amz-Content-SHA256"]
            prepared = request.prepare()
            prepared_request = botocore.awsrequest.AWSRequest(handler.command, url, data=body)
            for k, v in request.headers.items():
                prepared_request.headers[k] = v
            prepared_request.context["timestamp"] = handler.headers["X-Amz-Date"]
            prepared_request.url = prepared.url
            headers_to_sign = {n: handler.headers[n] for n in signed}
            signer.headers_to_sign = lambda r: _headers(headers_to_sign)
            text = signer.string_to_sign(prepared_request, signer.canonical_request(prepared_request))
            want = signer.signature(text, prepared_request)
        except Exception as e:
            self.bad_signatures.append(f"{handler.command} {handler.path}: {e!r}")
            return
        if not claim.endswith("Signature=" + want):
            self.bad_signatures.append(f"{handler.command} {handler.path}: {claim}")


def _limited(body):
    """The texts of a report that the API limits, with the most characters (of variables: bytes) they may have."""
    details, failure = body.get("executionDetails", {}), body.get("failureDetails", {})
    variables = body.get("outputVariables", {})
    return [("summary", 2048, details.get("summary", "")), ("message", 5000, failure.get("message", "")),
            ("externalExecutionId", 1500, details.get("externalExecutionId", "")),
            ("continuationToken", 2048, body.get("continuationToken", "")),
            ("changeIdentifier", 100, body.get("currentRevision", {}).get("changeIdentifier", "")),
            ("outputVariables", 122880, "".join(k + v for k, v in variables.items()).encode())]


def _headers(pairs):
    from botocore.compat import HTTPHeaders

    out = HTTPHeaders()
    for k, v in pairs.items():
        out[k.lower()] = v
    return out


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def send(self, status, data, headers):
        self.send_response(status)
        for k, v in headers.items():
            self.send_header(k, v)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def cut(self):
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def answer_json(self, status, value, fault):
        data = b"" if value is None else json.dumps(value).encode()
        headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": str(uuid.uuid4())}
        if fault == "truncate":
            self.send_response(status)
            self.send_header("Content-Length", str(len(data) + 10))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            return self.cut()
        if fault == "garbage":
            data = b'{"jobs": [{"id": '
        if fault == "types":
            data = json.dumps({"jobs": {"id": 5}, "status": ["InProgress"], "jobDetails": 7}).encode()
        self.send(status, data, headers)

    def refuse(self, fault):
        """Faults in which nothing happens. True when one was played."""
        error = {"throttle": (400, "ThrottlingException"), "error500": (500, "InternalFailure"),
                 "denied": (400, "AccessDeniedException")}.get(fault)
        if fault and fault.startswith("code:"):
            error = (400, fault[5:])
        if error:
            self.answer_json(error[0], {"__type": error[1], "message": "played"}, None)
        elif fault == "html503":
            self.send(503, b"<html>busy</html>", {"Content-Type": "text/html"})
        elif fault == "drop_before":
            self.cut()
        elif fault == "hang":
            self.server.stub.hanging.wait(60)
            self.cut()
        return error is not None or fault in ("html503", "drop_before", "hang")

    def do_POST(self):
        stub, body = self.server.stub, self.body()
        operation = self.headers.get("X-Amz-Target", "")[len(TARGET):]
        request = json.loads(body)
        with stub.lock:
            stub.requests.append((operation, request))
        key = self.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0]
        token = self.headers.get("X-Amz-Security-Token")
        with stub.lock:
            stub.keys_seen.append((key, token))
        stub.judge_signature(self, body, stub.secrets.get(key, "testsecret"), "codepipeline")
        if stub.accepts is not None and not stub.accepts(key, token):
            return self.answer_json(400, {"__type": "ExpiredTokenException", "message": "expired"}, None)
        fault = stub.take_fault(operation)
        if self.refuse(fault):
            return
        if fault == "late":
            stub.hanging.wait(60)
        with stub.lock:
            before = stub.before.pop(operation, None)
        if before:
            before(request)
        try:
            status, value = 200, stub.api(operation, request)
        except ApiError as e:
            status, value = e.status, {"__type": e.code, "message": e.message}
        if fault == "drop_after":
            return self.cut()
        self.answer_json(status, value, fault)

    def s3(self):
        stub = self.server.stub
        bucket, _, key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        with stub.lock:
            stub.requests.append((f"S3 {self.command}", key))
        return stub, bucket, key, stub.take_fault(f"S3 {self.command}")

    def s3_error(self, status, code):
        self.send(status, f"<Error><Code>{code}</Code><Message>played</Message></Error>".encode(),
                  {"Content-Type": "application/xml"})

    def allowed(self, stub, bucket, key, writing):
        """The job whose token this is, when it may touch that key."""
        token = self.headers.get("X-Amz-Security-Token")
        for job in stub.jobs:
            if job.credentials["sessionToken"] == token and key in (job.outputs if writing else job.inputs).values():
                return job
        return None

    def why_not(self, stub):
        token = self.headers.get("X-Amz-Security-Token")
        return (400, "ExpiredToken") if any(token in job.old_tokens for job in stub.jobs) else (403, "AccessDenied")

    def wait_for_work(self):
        """GET /_millhand/wait: nothing of ours until a story says so by `waits`."""
        stub = self.server.stub
        with stub.lock:
            stub.waits_seen.append(self.path)
        if stub.waits is None:
            return self.send(404, b"", {})
        asked = parse_qs(urlsplit(self.path).query)
        return stub.waits(self, asked["types"][0].split(","), int(asked["seconds"][0]))

    def do_GET(self):
        return self.wait_for_work() if self.path.startswith("/_millhand/") else self.s3_get()

    def s3_get(self):
        stub, bucket, key, fault = self.s3()
        job = self.allowed(stub, bucket, key, False)
        if fault in S3_FAULTS:
            return self.s3_error(*S3_FAULTS[fault])
        if self.refuse(fault):
            return None
        if not job:
            return self.s3_error(*self.why_not(stub))
        stub.judge_signature(self, b"", job.credentials["secretAccessKey"], "s3")
        data = stub.objects.get((bucket, key))
        if data is None:
            return self.s3_error(404, "NoSuchKey")
        status, headers = 200, {"ETag": f'"{hashlib.md5(data).hexdigest()}"'}
        wanted = self.headers.get("Range")
        if wanted:
            first = int(wanted.split("=")[1].split("-")[0])
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
            status, data = 206, data[first:]
        if fault == "truncate":
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            return self.cut()
        return self.send(status, data, headers)

    def do_PUT(self):
        body = self.body()
        stub, bucket, key, fault = self.s3()
        job = self.allowed(stub, bucket, key, True)
        if fault in S3_FAULTS:
            return self.s3_error(*S3_FAULTS[fault])
        if self.refuse(fault):
            return None
        if not job:
            return self.s3_error(*self.why_not(stub))
        stub.judge_signature(self, body, job.credentials["secretAccessKey"], "s3")
        claimed = self.headers.get("X-Amz-Content-SHA256")
        if claimed != "UNSIGNED-PAYLOAD" and claimed != hashlib.sha256(body).hexdigest():
            return self.s3_error(400, "XAmzContentSHA256Mismatch")
        with stub.lock:
            stub.objects[(bucket, key)] = body
            stub.s3_headers[key] = dict(self.headers.items())
        if fault == "drop_after":
            return self.cut()
        return self.send(200, b"", {"ETag": f'"{hashlib.md5(body).hexdigest()}"'})
