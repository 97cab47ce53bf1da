#!/usr/bin/python3
"""The units under a real systemd: what a restart, a crash, the watchdog and a stop do to a running job."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh import booted  # noqa: E402
from mh.programs import KEY, SECRET, SRC, Place, wait_for  # noqa: E402
from mh.tap import check, equal, run, story  # noqa: E402

UNITS = os.path.join(SRC, "packaging", "systemd")
CONFIGURATION = f"""
endpoint = "http://127.0.0.1:4599";
region = "us-east-1";
credentials = {{ access_key_id = "{KEY}"; secret_access_key = "{SECRET}"; }};
state_dir = "/var/lib/millhand";
actions = ( {{ category = "Build"; owner = "Custom"; provider = "Make"; version = "1"; plugin = "command";
	inputs = [0, 0]; outputs = [0, 0]; config = {{ command = "touch /opt/play/begun; cat /opt/play/gate"; }};
	sandbox = {{ read = ("/opt/play"); write = ("/opt/play"); }}; }} );
"""
# A pipeline with a source that is done by hand, at once, and a build for the agent.
CLIENT = f"""
import boto3, sys
c = boto3.client("codepipeline", region_name="us-east-1", endpoint_url="http://127.0.0.1:4599",
                 aws_access_key_id="{KEY}", aws_secret_access_key="{SECRET}")
def kind(category):
    return dict(category=category, owner="Custom", provider="Make", version="1")
if sys.argv[1] == "make":
    for category in ("Source", "Build"):
        c.create_custom_action_type(category=category, provider="Make", version="1",
            inputArtifactDetails=dict(minimumCount=0, maximumCount=0),
            outputArtifactDetails=dict(minimumCount=0, maximumCount=5))
    c.create_pipeline(pipeline=dict(name="P", roleArn="arn:aws:iam::000000000000:role/p",
        artifactStore=dict(type="S3", location="artifacts"), stages=[
            dict(name="S", actions=[dict(name="S", actionTypeId=kind("Source"), outputArtifacts=[dict(name="o")])]),
            dict(name="B", actions=[dict(name="B", actionTypeId=kind("Build"))])]))
    job = c.poll_for_jobs(actionTypeId=kind("Source"))["jobs"][0]
    c.acknowledge_job(jobId=job["id"], nonce=job["nonce"])
    c.put_job_success_result(jobId=job["id"])
print(c.get_pipeline_state(name="P")["stageStates"][1].get("latestExecution", dict()).get("status"))
"""
DROPIN = "[Service]\nWatchdogSec=2s\nReadWritePaths=/opt/play\n"


class Scene(booted.Booted):
    """A booted system with emulator, agent and, after job(), one running job, which opens gate() ends."""

    def __init__(self, place, dropin=""):
        super().__init__(place)
        with open(self.root + "/usr/lib/systemd/system/millhand-agent.service") as f:
            conf = re.search(r"^ExecStart=\S+ -c (\S+)", f.read(), re.M).group(1)
        self.write(conf, CONFIGURATION)
        self.write("/opt/play/client.py", CLIENT)
        self.write("/etc/systemd/system/millhand-agent.service.d/test.conf", DROPIN + dropin)
        os.chmod(self.root + "/opt/play", 0o1777)
        os.mkfifo(self.root + "/opt/play/gate")

    def client(self, word):
        return self.does("python3", "/opt/play/client.py", word).strip()

    def job(self):
        self.does("chmod", "666", "/opt/play/gate")
        code, text = self.run("systemctl", "start", "millhand-emulator", "millhand-agent")
        equal(code, 0, f"{text}{self.does('journalctl', '--no-pager', '-n', '40')}")
        self.client("make")
        wait_for(lambda: self.run("test", "-e", "/opt/play/begun")[0] == 0, 20, "the job's begin")

    def ends(self):
        self.does("sh", "-c", "echo open >/opt/play/gate")
        wait_for(lambda: self.client("look") != "InProgress", 20, "the job's result")
        equal(self.client("look"), "Succeeded")

    def shows(self, name):
        return self.does("systemctl", "show", "-P", name, "millhand-agent").strip()

    def __exit__(self, kind, value, trace):
        if kind is not None:
            logs = self.run("sh", "-c", "cat /var/lib/millhand/jobs/*/log")[1]
            for line in (self.journal() + logs).splitlines()[-60:]:
                print(f"# {line}", flush=True)
        super().__exit__()

    def journal(self):
        return self.does("journalctl", "-u", "millhand-agent", "--no-pager", "-o", "cat")

    def next_agent(self, what, *command):
        """Another main process adopts the job after the command."""
        before, adopted = self.shows("MainPID"), self.journal().count(" job.adopted ")
        self.does(*command)
        wait_for(lambda: self.shows("MainPID") not in ("0", before) and
                 self.journal().count(" job.adopted ") == adopted + 1, 30, f"adoption after {what}")


def survive_all(s):
    s.job()
    s.next_agent("a restart", "systemctl", "restart", "millhand-agent")
    s.next_agent("kill -9", "systemctl", "kill", "--kill-who=main", "-s", "KILL", "millhand-agent")
    s.next_agent("the watchdog", "systemctl", "kill", "--kill-who=main", "-s", "STOP", "millhand-agent")
    s.does("systemctl", "reload", "millhand-agent")
    s.next_agent("a stop and a start", "sh", "-c", "systemctl stop millhand-agent && systemctl start millhand-agent")
    s.ends()
    equal(s.journal().count(" job.started "), 1, "the job was started once")


@story
def a_job_outlives_every_end_of_its_agent_but_a_reboot():
    booted.need()
    with Place() as place, Scene(place) as s:
        survive_all(s)
        check("Failed with result 'watchdog'" in s.does("journalctl", "--no-pager", "-o", "cat"), "it was the watchdog")


@story
def the_same_with_jobs_as_root_in_namespaces_of_their_own():
    booted.need()
    with open(os.path.join(UNITS, "jobs-as-root.conf")) as f:
        dropin = f.read()
    with Place() as place, Scene(place, dropin) as s:
        survive_all(s)


@story
def a_drain_ends_the_agent_for_good():
    booted.need()
    with Place() as place, Scene(place) as s:
        s.job()
        s.does("systemctl", "kill", "--kill-who=main", "-s", "TERM", "millhand-agent")
        s.ends()
        wait_for(lambda: s.shows("ActiveState") == "inactive", 20, "the agent's end")
        equal((s.shows("Result"), s.shows("NRestarts")), ("success", "0"))


run()
