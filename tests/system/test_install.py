#!/usr/bin/python3
"""An installation: what `make install` puts where, and the pages of docs/ done as they are written."""
import json
import os
import shutil
import signal
import stat
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.pages import Page  # noqa: E402
from mh.programs import BUILD, EMULATOR, KEY, SECRET, Place, Program, client, free_port, wait_for  # noqa: E402
from mh.stub import Stub  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402
from mh.worker import FAST, finished, names_in, zip_of  # noqa: E402

HAS_EMULATOR = os.path.exists(EMULATOR)


class Installed:
    """What `make install DESTDIR=...` made, in a story's place."""

    def __init__(self, place):
        self.place, self.root = place, place.path("root")
        self.make("install")
        self.files = sorted(os.path.relpath(os.path.join(top, name), self.root)
                            for top, _, names in os.walk(self.root) for name in names)
        self.prefix = os.path.dirname(os.path.dirname(self.find("bin/millhand-agent")))
        self.bin = os.path.dirname(self.find("bin/millhand-agent"))
        self.libexec = os.path.dirname(self.find("millhand/millhand-job"))
        self.plugins = os.path.dirname(self.find("plugins/command.so"))

    def make(self, target):
        env = {k: v for k, v in self.place.env.items() if not k.startswith("MAKE") and k != "MFLAGS"}
        done = subprocess.run(["make", "-C", BUILD, target, f"DESTDIR={self.root}"], env=env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        equal(done.returncode, 0, done.stdout[-2000:] + done.stderr[-2000:])

    def find(self, end):
        found = [f for f in self.files if f.endswith("/" + end)]
        equal(len(found), 1, f"files that end with {end}")
        return os.path.join(self.root, found[0])

    def conf(self, text, endpoint=None):
        """A configuration of a page, with this installation's directories and short intervals."""
        path = self.place.path("agent.conf")
        lines = {"plugin_dir": self.plugins, "libexec_dir": self.libexec, **FAST}
        if endpoint:
            lines["endpoint"] = endpoint
        with open(path, "w") as f:
            for key, value in lines.items():
                f.write(f"{key} = {json.dumps(value)};\n")
            f.write(text)
        os.chmod(path, 0o600)
        return path

    def agent(self, conf, *options):
        agent = Program(self.place, "agent", [os.path.join(self.bin, "millhand-agent"), "-c", conf] + list(options),
                        dict(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET))
        self.place.programs.append(agent)
        return agent

    def shell(self, script, env=None, check=True):
        """Runs a page's commands, stopping at the first that fails."""
        full = dict(self.place.env, PATH=f"{self.bin}:/usr/bin:/bin", AWS_DATA_PATH=self.place.models(), AWS_PAGER="",
                    **(env or {}))
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], env=full, cwd=self.place.dir,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        if check and done.returncode != 0:
            raise AssertionError(f"exit {done.returncode}\n{script}\n{done.stdout}{done.stderr}")
        return done


def need(*programs):
    for program in programs:
        if not shutil.which(program, path="/usr/bin:/bin"):
            skip(f"no {program}")


def need_emulator():
    if not HAS_EMULATOR:
        skip("built without the emulator")


# ---- what is where ----

@story
def everything_is_installed_and_everything_is_removed():
    with Place() as place:
        tree = Installed(place)
        wanted = ["bin/millhand-agent", "bin/millhand", "man1/millhand.1", "completions/millhand",
                  "include/millhand/plugin.h", "plugins/command.so", "millhand/millhand-job",
                  "millhand/millhand-archive", "millhand/millhand-archive-tar", "man8/millhand-agent.8", "man8/millhand-job.8", "man8/millhand-archive.8",
                  "man5/millhand-agent.conf.5", "man3/millhand-plugin.3", "examples/agent.conf",
                  "examples/plugin/hello.c", "examples/plugin/Makefile", "docs/architecture.md", "docs/run-an-agent.md"]
        if HAS_EMULATOR:
            wanted += ["bin/millhand-emulator", "man8/millhand-emulator.8", "man5/millhand-emulator.conf.5",
                       "examples/emulator.conf"]
        for end in wanted:
            tree.find(end)
        for name in tree.files:
            mode = os.stat(os.path.join(tree.root, name)).st_mode
            check(not mode & (stat.S_IWGRP | stat.S_IWOTH) or os.path.islink(os.path.join(tree.root, name)),
                  f"{name} may be written by others: {mode:o}")
            check("/etc/" not in f"/{name}", f"{name}: a configuration was installed")
        with open(tree.find("examples/agent.conf")) as f:
            text = f.read()
        for key, directory in (("plugin_dir", tree.plugins), ("libexec_dir", tree.libexec)):
            check(f'#{key} = "{directory[len(tree.root):]}";' in text, f"{key} of the sample")
        tree.make("uninstall")
        left = [os.path.join(top, name) for top, _, names in os.walk(tree.root) for name in names]
        equal(left, [], "left after make uninstall")


@story
def the_installed_programs_run():
    with Place() as place:
        tree = Installed(place)
        for end in ("bin/millhand-agent", "millhand/millhand-job", "millhand/millhand-archive", "millhand/millhand-archive-tar") + \
                (("bin/millhand-emulator",) if HAS_EMULATOR else ()):
            done = place.run([tree.find(end), "--version"])
            check(done.stdout.startswith(os.path.basename(end) + " "), done.stdout)
        with Stub() as stub:
            job = stub.job(inputs={"Src": zip_of({"f": b"x"})}, outputs=["Out"])
            agent = tree.agent(tree.conf('region = "us-east-1";\nstate_dir = "' + place.path("state") + '";\n'
                                         'actions = ( { category = "Build"; provider = "Make"; version = "1";\n'
                                         'plugin = "command"; config = { command = "cp f ../../out/Out"; }; } );\n',
                                         stub.endpoint))
            finished(job, "success")
            equal(agent.stop(), 0)


# ---- the pages ----

@story
def the_plugin_of_write_a_plugin_builds_anywhere_and_runs():
    need("cc", "make")
    page = Page("docs", "write-a-plugin.md")
    with Place() as place:
        tree = Installed(place)
        os.mkdir(place.path("src"))
        for name in ("hello.c", "Makefile"):
            with open(tree.find(f"examples/plugin/{name}")) as f:
                equal(f.read(), page.named(name), f"the page's {name} and the installed one")
            with open(place.path("src", name), "w") as f:
                f.write(page.named(name))
        os.chmod(place.path("src"), 0o755)
        build, = page.blocks("sh")
        done = tree.shell("cd src; umask 022; " + build.replace("sudo ", "")
                          .replace("make  ", f"make PREFIX={tree.prefix}")
                          .replace("/usr/libexec/millhand", tree.libexec)
                          .replace("/usr/lib/millhand/plugins", tree.plugins))
        check('"name":"hello"' in done.stdout, done.stdout)
        equal(done.stderr, "", "warnings")
        with Stub() as stub:
            job = stub.job(provider="Hello", outputs=["Card"])
            tree.agent(tree.conf('region = "us-east-1";\nstate_dir = "' + place.path("state") + '";\nactions = (\n'
                                 + page.named("actions") + ");\n", stub.endpoint))
            finished(job, "success")
            equal(names_in(stub.objects[("bucket", job.outputs["Card"])]), {"greeting.txt": b"good morning\n"})


@story
def the_first_action_of_the_readme_works_as_it_stands():
    need_emulator()
    need("aws", "make")
    page = Page("README.md")
    with Place() as place:
        tree, port = Installed(place), free_port()
        conf = tree.conf(page.named("/etc/millhand/agent.conf").replace("4599", str(port))
                         .replace("/var/lib/millhand", place.path("state")))
        script, = [b for b in page.blocks("sh") if "millhand-agent -c" in b]
        script = script.replace("4599", str(port)).replace("/etc/millhand/agent.conf", f"{conf} --max-jobs 1") \
                       .replace("/tmp/mill", place.path("mill"))
        # What a reader does by waiting a moment.
        script = script.replace("aws --endpoint-url", f"until (: </dev/tcp/127.0.0.1/{port}) 2>/dev/null; do :; done; aws --endpoint-url")
        script += "kill %1; wait"
        shell = Program(place, "shell", ["bash", "-euc", script], cwd=place.dir, start_new_session=True,
                        env=dict(PATH=f"{tree.bin}:/usr/bin:/bin", AWS_PAGER=""))
        place.programs.append(shell)
        try:
            cp = client(place, "codepipeline", f"http://127.0.0.1:{port}")
            s3 = client(place, "s3", f"http://127.0.0.1:{port}")
            wait_for(lambda: not shell.alive() or types_of(cp), 30, "the action type")
            check(shell.alive(), "the commands end early: " + shell.text())
            start_build(cp, s3)
            equal(shell.wait(60), 0, "exit code of the commands")
        finally:
            try:  # whatever the commands left behind, however they ended
                os.killpg(shell.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        check("result.delivered" in shell.text() and "outcome=success" in shell.text(), shell.text())


def types_of(cp):
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return cp.list_action_types(actionOwnerFilter="Custom")["actionTypes"]
    except (BotoCoreError, ClientError):
        return []


def start_build(cp, s3):
    """A pipeline whose build stage names the README's action type."""
    def kind(category, owner, provider):
        return {"category": category, "owner": owner, "provider": provider, "version": "1"}

    s3.create_bucket(Bucket="store")
    s3.put_object(Bucket="store", Key="src.zip", Body=zip_of({"Makefile": b"all:\n\tmkdir dist && echo built > dist/f\n"}))
    cp.create_pipeline(pipeline={
        "name": "p", "roleArn": "arn:aws:iam::000000000000:role/r",
        "artifactStore": {"type": "S3", "location": "store"},
        "stages": [
            {"name": "Source", "actions": [{"name": "S3", "actionTypeId": kind("Source", "AWS", "S3"),
                                            "configuration": {"S3Bucket": "store", "S3ObjectKey": "src.zip"},
                                            "outputArtifacts": [{"name": "Src"}]}]},
            {"name": "Build", "actions": [{"name": "Make", "actionTypeId": kind("Build", "Custom", "Make"),
                                           "inputArtifacts": [{"name": "Src"}], "outputArtifacts": [{"name": "Out"}]}]}]})


@story
def try_pipelines_works_as_it_is_written():
    need_emulator()
    need("aws", "git")
    page = Page("docs", "try-pipelines.md")
    with Place() as place:
        tree, port = Installed(place), free_port()
        first, second, third, *rest = page.blocks("sh")
        # The page's own file is written where the page shows it.
        script = first + second + "cat >pipeline.json <<'END'\n" + page.named("pipeline.json") + "END\n" + third
        script += "".join(rest) + "kill %1; wait"
        done = tree.shell(script.replace("4599", str(port)), env={"HOME": place.dir})
        lines = done.stdout.split("\n")
        check("Deploy\tSucceeded" in lines and lines.count("hello") == 1, done.stdout + done.stderr)
        check("Build\tMake\tSucceeded" in lines, done.stdout)


@story
def the_command_action_of_its_page_publishes():
    need_emulator()
    need("aws")
    page = Page("docs", "write-a-command-action.md")
    with Place() as place:
        tree = Installed(place)
        emulator = place.emulator()
        os.makedirs(place.path("www"))

        def here(text):
            return text.replace("/srv/www", place.path("www")).replace("/usr/local/bin", place.dir)

        with open(place.path("publish"), "w") as f:
            f.write(here(page.named("/usr/local/bin/publish")))
        os.chmod(place.path("publish"), 0o755)
        with open(place.path("publish-type.json"), "w") as f:
            f.write(page.named("publish-type.json"))
        create = page.blocks("sh")[0]
        tree.shell(create.replace("aws ", f"/usr/bin/aws --endpoint-url {emulator.endpoint} "),
                   env=dict(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_DEFAULT_REGION="us-east-1"))
        cp, s3 = emulator.client("codepipeline"), emulator.client("s3")
        s3.create_bucket(Bucket="store")
        s3.put_object(Bucket="store", Key="pages.zip", Body=zip_of({"index.html": b"hello\n"}))
        cp.create_pipeline(pipeline={
            "name": "site", "roleArn": "arn:aws:iam::000000000000:role/r",
            "artifactStore": {"type": "S3", "location": "store"},
            "stages": [
                {"name": "Source", "actions": [{
                    "name": "S3", "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"},
                    "configuration": {"S3Bucket": "store", "S3ObjectKey": "pages.zip"}, "outputArtifacts": [{"name": "Pages"}]}]},
                {"name": "Publish", "actions": [json.loads(page.named("action"))]}]})
        agent = tree.agent(tree.conf('region = "us-east-1";\nstate_dir = "' + place.path("state") + '";\nactions = (\n'
                                     + here(page.named("actions")) + ");\n", emulator.endpoint))
        ended = wait_for(lambda: [a for a in cp.list_action_executions(pipelineName="site")["actionExecutionDetails"]
                                  if a["actionName"] == "Publish" and a["status"] != "InProgress"], 30, "the action's end")
        equal(ended[0]["status"], "Succeeded", str(ended))
        release = ended[0]["output"]["outputVariables"]["Release"]
        equal(os.path.realpath(place.path("www", "www", "current")), os.path.realpath(release))
        with open(os.path.join(release, "index.html")) as f:
            equal(f.read(), "hello\n")
        check("s3cret-of-the-site" not in agent.text(), "the secret is in no log")


run()
