"""The stock AWS CLI (the distribution's), as the founding documents use it.

    aws = Cli(place, emulator)
    state = aws.json("get-pipeline-state", "--name", "P")
"""
import json
import os

from mh.programs import KEY, REGION, SECRET
from mh.tap import equal, skip

AWS = "/usr/bin/aws"


class Cli:
    def __init__(self, place, emulator):
        if not os.access(AWS, os.X_OK):
            skip(f"there is no {AWS} (package awscli)")
        self.place = place
        place.env.update(AWS_DATA_PATH=place.models(), AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET,
                         AWS_DEFAULT_REGION=REGION, AWS_PAGER="", AWS_MAX_ATTEMPTS="1")
        self.base = [AWS, "--endpoint-url", emulator.endpoint, "codepipeline"]

    def __call__(self, *args, **kwargs):
        """What it prints."""
        return self.place.run(self.base + list(args), **kwargs).stdout.strip()

    def json(self, *args, **kwargs):
        text = self(*args, **kwargs)
        return json.loads(text) if text else None

    def words(self, *args):
        """What --output text prints, word by word."""
        return self(*args, "--output", "text").split()

    def refused(self, *args):
        """Its error; it must end with one."""
        done = self.place.run(self.base + list(args), check=False)
        if done.returncode == 0:
            raise AssertionError(f"{args}: not refused: {done.stdout}")
        return done.stderr

    def file(self, name, value):
        """A value (or a file's bytes) as file://..., for --cli-input-json."""
        path = self.place.path(name)
        with open(path, "wb") as f:
            f.write(value if isinstance(value, bytes) else json.dumps(value).encode())
        return f"file://{path}"

    def job(self, category, provider="Hand", *result):
        """A job's life by hand: polled, acknowledged, looked at, done."""
        type_ = f"category={category},owner=Custom,provider={provider},version=1"
        job = self.json("poll-for-jobs", "--action-type-id", type_)["jobs"][0]
        equal(self("acknowledge-job", "--job-id", job["id"], "--nonce", job["nonce"], "--query", "status",
                   "--output", "text"), "InProgress")
        equal(self("get-job-details", "--job-id", job["id"], "--query", "jobDetails.id", "--output", "text"), job["id"])
        self("put-job-success-result", "--job-id", job["id"], *result)
        return job
