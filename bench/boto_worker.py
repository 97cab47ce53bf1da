#!/usr/bin/python3
"""A job worker as people write it with boto3, for comparison.

    boto_worker.py MODE ENDPOINT BATCH WARM_UP JOBS

MODE: protocol   poll, acknowledge, report
      durable    the same, with a journal (fsync before the job starts, and before its
                 result is sent) and a child process for each job
      artifacts  the same as durable, with the input artifact unpacked and packed again
                 as the output; an S3 client for each job, because each job brings
                 credentials of its own
      objects    JOBS objects of BATCH bytes are got into the directory named last, by download_file
BATCH 0: JOBS empty polls. Prints one JSON object: what JOBS jobs cost after WARM_UP.
"""
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile

import boto3
from botocore.config import Config

TYPE = {"category": "Build", "owner": "Custom", "provider": "Bench", "version": "1"}
REGION = "us-east-1"


class Journal:
    def __init__(self, path):
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, **record):
        os.write(self.fd, (json.dumps(record) + "\n").encode())
        os.fsync(self.fd)


class Worker:
    def __init__(self, mode, endpoint, directory):
        self.mode, self.endpoint, self.directory = mode, endpoint, directory
        self.config = Config(s3={"addressing_style": "path"})
        self.cp = boto3.client("codepipeline", endpoint_url=endpoint, region_name=REGION,
                               aws_access_key_id="test", aws_secret_access_key="testsecret")
        self.journal = Journal(os.path.join(directory, "journal"))

    def turn(self, batch):
        jobs = self.cp.poll_for_jobs(actionTypeId=TYPE, maxBatchSize=batch)["jobs"]
        for job in jobs:
            self.work_off(job)
        return len(jobs)

    def work_off(self, job):
        status = self.cp.acknowledge_job(jobId=job["id"], nonce=job["nonce"])["status"]
        if status != "InProgress":
            return
        if self.mode == "durable":
            self.journal.write(job=job["id"], state="started")
            subprocess.run(["/bin/true"], check=True)
            self.journal.write(job=job["id"], state="succeeded")
        elif self.mode == "artifacts":
            self.with_artifacts(job)
        self.cp.put_job_success_result(jobId=job["id"], executionDetails={"summary": "done"})

    def with_artifacts(self, job):
        data = job["data"]
        creds = data["artifactCredentials"]
        session = boto3.session.Session(aws_access_key_id=creds["accessKeyId"],
                                        aws_secret_access_key=creds["secretAccessKey"],
                                        aws_session_token=creds["sessionToken"], region_name=REGION)
        s3 = session.client("s3", endpoint_url=self.endpoint, config=self.config)
        tree = os.path.join(self.directory, job["id"])
        source = data["inputArtifacts"][0]["location"]["s3Location"]
        body = s3.get_object(Bucket=source["bucketName"], Key=source["objectKey"])["Body"].read()
        with zipfile.ZipFile(io.BytesIO(body)) as z:
            z.extractall(tree)
        self.journal.write(job=job["id"], state="started")
        subprocess.run(["/bin/true"], cwd=tree, check=True)
        target = data["outputArtifacts"][0]["location"]["s3Location"]
        s3.put_object(Bucket=target["bucketName"], Key=target["objectKey"], Body=pack(tree))
        self.journal.write(job=job["id"], state="succeeded")
        shutil.rmtree(tree)


def pack(tree):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for directory, _, names in sorted(os.walk(tree)):
            for name in sorted(names):
                path = os.path.join(directory, name)
                z.write(path, os.path.relpath(path, tree))
    return out.getvalue()


def cpu_ns():
    total = 0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += round((usage.ru_utime + usage.ru_stime) * 1e9)
    return total


def report(jobs, work, warm_up):
    work(warm_up)
    cpu, wall = cpu_ns(), time.monotonic_ns()
    work(jobs)
    cpu, wall = cpu_ns() - cpu, time.monotonic_ns() - wall
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"jobs": jobs, "cpu_ns": cpu, "wall_ns": wall, "max_rss_kb": rss}))


def get_objects(endpoint, size, warm_up, jobs, directory):
    s3 = boto3.client("s3", endpoint_url=endpoint, region_name=REGION, aws_access_key_id="test",
                      aws_secret_access_key="testsecret", config=Config(s3={"addressing_style": "path"}))

    def work(count):
        for i in range(count):
            s3.download_file("bench-bucket", f"zeros/{size}/{i}", os.path.join(directory, str(i % 5)))

    report(jobs, work, warm_up)


def main():
    mode, endpoint, batch, warm_up, jobs = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
    if mode == "objects":
        get_objects(endpoint, batch, warm_up, jobs, sys.argv[6])
        return
    with tempfile.TemporaryDirectory(prefix="mh-boto-") as directory:
        worker = Worker(mode, endpoint, directory)

        def work(count):
            done = 0
            while done < count:
                got = worker.turn(batch or 1)
                done += got if batch else 1

        report(jobs, work, warm_up)


main()
