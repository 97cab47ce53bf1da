#!/usr/bin/python3
"""Where the agent's credentials come from, against servers of the real shape; renewal, refusals, and trouble."""
import json
import os
import random
import shlex
import signal
import sys
import threading
from collections import ChainMap

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.clouds import Container, Metadata, TokenService  # noqa: E402
from mh.programs import Place, wait_for  # noqa: E402
from mh.stub import Stub  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402
from mh.worker import FAST, Marks, action, finished  # noqa: E402

ROLE = "arn:aws:iam::111122223333:role/worker"


class Scene:
    """A stub, a place, and an agent whose configuration has no keys."""

    def __init__(self, files=None, env=None, credentials=None, clouds=(), **conf):
        self.place, self.stub, self.clouds = Place(), Stub(), clouds
        self.env, self.credentials = dict(env or {}), credentials
        self.conf = dict(FAST, log_level="debug", **conf)
        self.stub.secrets = ChainMap(*(cloud.secrets for cloud in clouds))
        for name, text in (files or {}).items():
            self.write(name, text)

    def write(self, name, text):
        """A file below the home, by rename, as programs that turn tokens over do it."""
        path = self.place.path("home", ".aws", name) if name in ("config", "credentials") else self.place.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "w") as f:
            f.write(text)
        os.rename(path + ".new", path)
        return path

    def __enter__(self):
        self.place.__enter__()
        return self

    def __exit__(self, kind, value, trace):
        text = self.agent.text() if hasattr(self, "agent") else ""
        self.stub.close()
        self.place.__exit__(kind, value, trace)
        if kind is None:
            for cloud in self.clouds:
                for key, secret, token, _ in cloud.sets:
                    check(secret not in text and token not in text, f"the secret of {key} is in the log")
            check("C4nary" not in text, "a canary in the log")
            equal([b for b in self.stub.bad_signatures if "Credential=ASIA" in b], [], "bad signatures")

    def start(self, *actions):
        path = self.place.agent_conf(self.stub.endpoint, actions or [action(self.place, "true")], **self.conf)
        with open(path) as f:
            lines = [line for line in f if not line.startswith("credentials")]
        with open(path, "w") as f:
            f.writelines(lines)
            if self.credentials:
                f.write("credentials = { " + " ".join(f'{k} = "{v}";' for k, v in self.credentials.items()) + " };\n")
        self.agent = self.place.agent(path, env=self.env)
        return self.agent

    def keys(self):
        """The ids of the keys that were used, each once, in order of their first use."""
        return list(dict.fromkeys(key for key, _ in self.stub.keys_seen))

    def polls_with(self, key, seconds=20):
        wait_for(lambda: not self.agent.alive() or key in self.keys(), seconds, f"a request with {key}")
        check(self.agent.alive(), "the agent lives")

    def said(self, *parts, seconds=20):
        wait_for(lambda: any(all(p in line for p in parts) for line in self.agent.text().splitlines()), seconds,
                 f"a line of the log with {parts}")

    def refused(self, *parts):
        """The agent does not start, and says why."""
        self.start()
        equal(self.agent.wait(), 78, "exit code")
        for part in parts:
            check(part in self.agent.text(), f"{part!r} in: {self.agent.text()}")


def imds(cloud):
    return {"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": cloud.endpoint}


@story
def an_instance_gives_credentials_by_tokens_alone():
    with Metadata() as m, Scene(env=imds(m), clouds=[m]) as s:
        s.start()
        s.polls_with("ASIAINSTANCE1")
        equal(m.requests[0], "PUT /latest/api/token")
        check(s.stub.keys_seen[0][1] == m.sets[0][2], "the session token is sent")
        s.said("agent.credentials", 'source="instance metadata"')


@story
def an_instance_of_ipv6_gives_credentials_too():
    try:
        cloud = Metadata(ipv6=True)
    except OSError as e:
        skip(f"no IPv6 here: {e}")
    with cloud as m, Scene(env=imds(m), clouds=[m]) as s:
        s.start()
        s.polls_with("ASIAINSTANCE1")


@story
def a_hop_limit_that_is_too_low_is_named_and_it_heals():
    with Metadata() as m, Scene(env=imds(m), clouds=[m]) as s:
        m.hop_limit_hit.clear()
        s.start()
        s.said("credentials.failed", "HttpPutResponseHopLimit")
        equal(s.stub.requests, [], "requests without credentials")
        m.hop_limit_hit.set()
        s.polls_with("ASIAINSTANCE1")


@story
def an_instance_without_a_role_or_with_nonsense_is_named_and_heals():
    with Metadata() as m, Scene(env=imds(m), clouds=[m]) as s:
        m.role = None
        s.start()
        s.said("credentials.failed", "no role is attached")
        m.role = Metadata.role
        for body in (b"", b"<html>C4nary</html>", b"[]", b'{"Code":"Failed"}', b'{"AccessKeyId":5}', b"x" * 200000,
                     b'{"AccessKeyId":"A","SecretAccessKey":"C4nary\\nX","Token":"t","Expiration":"2099-01-01T00:00:00Z"}',
                     b'{"AccessKeyId":"A","SecretAccessKey":"C4nary","Token":"t","Expiration":"soon"}'):
            m.body = body
            before = len(m.requests)
            wait_for(lambda: len(m.requests) > before + 2, what="another try")
        check(s.agent.alive(), "the agent lives")
        equal(s.stub.requests, [], "requests without credentials")
        m.body = None
        s.polls_with(m.prefix + "1")
        s.said("agent.credentials")


@story
def credentials_of_an_instance_that_are_over_are_used_with_a_warning():
    with Metadata() as m, Scene(env=imds(m), clouds=[m]) as s:
        m.life_s = -600
        s.start()
        s.polls_with("ASIAINSTANCE1")
        s.said("credentials.stale")


@story
def a_container_asks_for_authorization_and_its_file_is_read_each_time():
    with Container() as c, Scene(clouds=[c]) as s:
        c.authorization, c.life_s = "first", 4
        s.env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": c.endpoint + c.path,
                 "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": s.write("token", "first\n")}
        s.start()
        s.polls_with("ASIACONTAINER1")
        s.write("token", "second")
        c.authorization = "second"
        have = len(c.sets)
        wait_for(lambda: len(c.sets) > have, what="a renewal with the new token")
        s.polls_with(c.sets[-1][0])


@story
def the_container_token_may_stand_in_the_environment():
    with Container() as c, Scene(clouds=[c]) as s:
        c.authorization = "Basic C4nary"
        s.env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": c.endpoint + c.path,
                 "AWS_CONTAINER_AUTHORIZATION_TOKEN": "Basic C4nary"}
        s.start()
        s.polls_with("ASIACONTAINER1")


@story
def a_container_endpoint_elsewhere_is_refused():
    with Scene(env={"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.1/x"}) as s:
        s.refused("AWS_CONTAINER_CREDENTIALS_FULL_URI", "https://")


@story
def a_profile_assumes_a_role_through_another_role():
    with TokenService({"AKIABASE": "baseC4nary"}) as sts, Scene(
            env={"AWS_PROFILE": "top"}, sts_endpoint=sts.endpoint, clouds=[sts], files={
                "config": f"[profile top]\nrole_arn = {ROLE}2\nsource_profile = middle\nexternal_id = ex-1\n"
                          f"role_session_name = me@host\nduration_seconds = 900\n"
                          f"[profile middle]\nrole_arn={ROLE}1\nsource_profile = base\n",
                "credentials": "[base]\naws_access_key_id = AKIABASE\naws_secret_access_key = baseC4nary\n"}) as s:
        s.start()
        s.polls_with("ASIAROLE2")
        first, second = sts.forms[:2]
        equal((first["RoleArn"], second["RoleArn"]), (ROLE + "1", ROLE + "2"))
        equal((second["ExternalId"], second["RoleSessionName"], second["DurationSeconds"]), ("ex-1", "me@host", "900"))
        check(first["RoleSessionName"].startswith("millhand-"), "a session name of our own")
        check(s.stub.keys_seen[0][1] == sts.sets[1][2] + "&", "the token, with its entity")


@story
def a_role_of_the_configuration_is_assumed_with_what_an_instance_gives():
    with Metadata() as m, TokenService() as sts, Scene(
            env=imds(m), sts_endpoint=sts.endpoint, clouds=[m, sts],
            credentials={"role_arn": ROLE, "external_id": "e", "role_duration": "30m"}) as s:
        sts.callers = m.secrets
        s.start()
        s.polls_with("ASIAROLE1")
        equal((sts.forms[0]["DurationSeconds"], sts.forms[0]["ExternalId"]), ("1800", "e"))


@story
def web_identity_reads_its_token_anew_and_is_not_signed():
    with TokenService() as sts, Scene(sts_endpoint=sts.endpoint, clouds=[sts]) as s:
        sts.web_token, sts.life_s = "jwt-C4nary-1", 4
        s.env = {"AWS_WEB_IDENTITY_TOKEN_FILE": s.write("jwt", "jwt-C4nary-1\n"), "AWS_ROLE_ARN": ROLE,
                 "AWS_ROLE_SESSION_NAME": "pod"}
        s.start()
        s.polls_with("ASIAROLE1")
        equal((sts.forms[0]["Action"], sts.forms[0]["RoleSessionName"]), ("AssumeRoleWithWebIdentity", "pod"))
        sts.web_token = "jwt-C4nary-2"
        s.write("jwt", "jwt-C4nary-2")
        have = len(sts.sets)
        wait_for(lambda: len(sts.sets) > have, what="a renewal with the new token")


@story
def a_wrong_clock_at_the_token_service_is_learned():
    with TokenService({"AKIABASE": "baseC4nary"}) as sts, Scene(
            sts_endpoint=sts.endpoint, clouds=[sts],
            credentials={"access_key_id": "AKIABASE", "secret_access_key": "baseC4nary", "role_arn": ROLE}) as s:
        sts.offset_s = 3600
        s.start()
        s.polls_with("ASIAROLE1")
        equal(sts.bad, ["SignatureDoesNotMatch"])
        wait_for(lambda: len(s.stub.requests) > 3, what="polls with a set that the host's clock takes for older")


def process(text, before="", after=""):
    return "sh -c " + shlex.quote(f"{before}echo {shlex.quote(text)}{after}")


@story
def a_process_gives_credentials_and_its_errors_are_shown_without_secrets():
    good = json.dumps({"Version": 1, "AccessKeyId": "AKIAPROC", "SecretAccessKey": "procC4nary", "SessionToken": "tC4nary"})
    with Scene(files={"config": "[default]\ncredential_process = " + process("x", "echo no key for abcDEF123C4nary4567890 >&2; exit 7; ")}) as s:
        s.start()
        s.said("credentials.failed", "exit code 7", "no key for ****")
        for bad in ("{}", "<html>", json.dumps({"Version": 2}), json.dumps({"Version": 1, "AccessKeyId": 1})):
            s.write("config", f"[default]\ncredential_process = {process(bad)}\n")
        s.write("config", "[default]\ncredential_process = /nowhere/at-all\n")
        s.said("credentials.failed", "/nowhere/at-all")
        equal(s.stub.requests, [], "requests without credentials")
        s.write("config", f"[default]\ncredential_process = {process(good)}\n")
        s.polls_with("AKIAPROC")


def alive(pids):
    out = []
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat") as f:
                if f.read().rpartition(")")[2].split()[0] != "Z":
                    out.append(pid)
        except OSError:
            pass  # it is gone
    return out


@story
def a_process_that_hangs_is_killed_with_all_it_started_while_polls_go_on():
    with Scene(files={"credentials": "[default]\naws_access_key_id = AKIAOLD\naws_secret_access_key = oldC4nary\n"},
               credentials={"process_timeout": "500ms"}) as s:
        pids = s.place.path("pids")
        s.start()
        s.polls_with("AKIAOLD")
        s.write("config", f"[default]\ncredential_process = sh -c 'echo $$ >> {pids}; tail -f /dev/null > /dev/null 2>&1 & "
                          f"echo $! >> {pids}; trap \"\" TERM; wait'\n")
        s.write("credentials", "")
        s.stub.accepts = lambda key, token: False  # makes it look for others
        s.said("poll.failed", "ExpiredToken")
        s.stub.accepts = None
        wait_for(lambda: os.path.exists(pids) and len(open(pids).read().split()) >= 2, what="the process")
        polls = len(s.stub.requests)
        wait_for(lambda: len(s.stub.requests) > polls + 2, what="polls with the old set")
        s.said("credentials.failed", "took longer than 500 ms")
        wait_for(lambda: not alive(open(pids).read().split()[:2]), 5, "both processes to be gone")
        s.agent.stop()
        wait_for(lambda: not alive(open(pids).read().split()), 5, "the processes of an agent that ended to be gone")


@story
def a_refresh_that_fails_for_long_harms_no_job_and_heals():
    with Metadata() as m, Scene(env=imds(m), clouds=[m], max_jobs=2) as s:
        m.life_s = 3
        marks = Marks(s.place)
        job = s.stub.job()
        s.start(action(s.place, f"echo began; read go < {marks.path}.go; " + marks.command()))
        wait_for(lambda: job.status == "InProgress", what="the job to be taken")
        m.status = 500
        s.said("credentials.expired")
        requests = len(s.stub.requests)
        marks.go()
        marks.wait()
        s.said("job.ended")
        s.said("api.failed", "result=auth")
        equal([name for name, _ in s.stub.requests[requests:]], [], "requests with a set that is over")
        m.status, m.life_s = None, 3600
        finished(job, "success")
        equal(s.agent.text().count(" credentials.expired "), 1)
        s.said("credentials.renewed")


@story
def keys_that_the_service_refuses_are_renewed_once_for_all_who_ask():
    with Metadata() as m, Scene(env=imds(m), clouds=[m], poll_rate=100) as s:
        # Slots of its own for each, so that their polls are under way side by side.
        s.start(*[action(s.place, "true", provider=p, max_jobs=2) for p in ("A", "B", "C", "D")])
        s.polls_with("ASIAINSTANCE1")
        wait_for(lambda: len(s.stub.requests) > 8, what="polls of all types")
        asked, m.hang = len(m.requests), threading.Event()
        refused = []
        s.stub.accepts = lambda key, token: key != "ASIAINSTANCE1" or refused.append(key)
        wait_for(lambda: len(refused) >= 4 and len(m.requests) > asked, what="a refusal for each type")
        equal(len(m.requests), asked + 1, "requests to the instance while one is under way")
        m.hang.set()
        s.agent.send(signal.SIGUSR1)
        s.polls_with("ASIAINSTANCE2", 40)
        equal(len(m.sets), 2, "sets handed out")
        s.said("agent.state", "instance metadata")


@story
def static_keys_that_are_replaced_in_their_file_are_seen():
    entry = "[default]\naws_access_key_id = {0}\naws_secret_access_key = {0}C4nary\n"
    with Scene(files={"credentials": entry.format("AKIAONE")}) as s:
        s.start()
        s.polls_with("AKIAONE")
        s.stub.accepts = lambda key, token: key == "AKIATWO"
        s.said("poll.failed", "ExpiredToken")
        s.write("credentials", entry.format("AKIATWO"))
        s.polls_with("AKIATWO")


@story
def what_an_agent_cannot_do_is_said_at_the_start():
    keys = "aws_access_key_id = A\naws_secret_access_key = bC4nary\n"
    for text, parts in (
            ("[default]\nmfa_serial = arn:x\nrole_arn = arn:y\nsource_profile = b\n[profile b]\n" + keys, ["mfa_serial", "MFA"]),
            ("[default]\nsso_session = s\nsso_account_id = 1\n", ["sso_session", "browser"]),
            ("[default]\nrole_arn = arn:y\nsource_profile = nobody\n", ["nobody"]),
            ("[default]\nrole_arn = arn:y\n", ["source_profile", "credential_source"]),
            ("[default]\nrole_arn = arn:y\nsource_profile = default\n", ["leads back"]),
            ("[default]\nrole_arn = arn:y\ncredential_source = Moon\n", ["Moon"]),
            ("[default]\nrole_arn = arn:y\nduration_seconds = 5\nsource_profile = b\n[profile b]\n" + keys, ["duration_seconds"]),
            ("[default]\naws_access_key_id = A\n", ["aws_secret_access_key"]),
            ("", ["no credentials", "AWS_ACCESS_KEY_ID", "AWS_EC2_METADATA_DISABLED"])):
        with Scene(files={"config": text}) as s:
            s.refused(*parts)
    with Scene(files={"config": ""}, env={"AWS_PROFILE": "nobody"}) as s:
        s.refused("no profile", "nobody")
    with Scene(env={"AWS_ACCESS_KEY_ID": "A"}) as s:
        s.refused("AWS_SECRET_ACCESS_KEY is not")
    with Scene(env={"AWS_WEB_IDENTITY_TOKEN_FILE": "/x"}) as s:
        s.refused("AWS_ROLE_ARN is not")


# ---- the same files and environment, asked of botocore ----

def chosen_by_botocore(env):
    """(method, key) or None, by the distribution's botocore in this process, with that environment alone."""
    import botocore.exceptions
    import botocore.session

    saved = dict(os.environ)
    os.environ.clear()
    os.environ.update(env)
    try:
        found = botocore.session.Session().get_credentials()
        return (found.method, found.access_key) if found and found.method != "assume-role" else None
    except botocore.exceptions.BotoCoreError:
        return None
    finally:
        os.environ.clear()
        os.environ.update(saved)


def random_files(dice, place):
    """Profiles a, b and default with this and that in two files, and an environment."""
    names, count = ["default", "a", "b"], [0]

    def pair(part):
        count[0] += 1
        out = [f"aws_access_key_id{dice.choice(['=', ' = ', ' : '])}AKIA{part}{count[0]}", f"aws_secret_access_key = s{count[0]}"]
        if dice.random() < 0.3:
            out.append(f"AWS_SESSION_TOKEN = t{count[0]}")
        dice.shuffle(out)
        return out

    def section(name, part):
        lines = []
        if dice.random() < 0.5:
            lines += pair(part)
        if dice.random() < 0.3:
            count[0] += 1
            printed = json.dumps({"Version": 1, "AccessKeyId": f"AKIAPROC{count[0]}", "SecretAccessKey": "x"})
            script = place.path(f"process{count[0]} it")
            with open(script, "w") as f:
                f.write(f"#!/bin/sh\necho '{printed}'\n")
            os.chmod(script, 0o700)
            lines.append(f"credential_process = {shlex.quote(script)} --an 'argument'")
        extra = ["# aws_access_key_id = COMMENT", "; x = y", "", "region = eu-west-1", "s3 =\n  aws_access_key_id = NESTED\n  b = c"]
        for line in extra:
            if dice.random() < 0.3:
                lines.append(line)
        dice.shuffle(lines)
        head = f"[{name}]" if part == "CRED" or name == "default" else f"[profile {name}]"
        return head + "\n" + "\n".join(lines) + "\n"

    files = {}
    for file, part in (("credentials", "CRED"), ("config", "CONF")):
        files[file] = "".join(section(n, part) for n in dice.sample(names, dice.randrange(4)))
    env = {}
    if dice.random() < 0.5:
        env["AWS_PROFILE"] = dice.choice(names)
    elif dice.random() < 0.4:  # with both, botocore complains of a profile that is not there, and we use the keys
        env.update(AWS_ACCESS_KEY_ID="AKIAENV", AWS_SECRET_ACCESS_KEY="envsecret")
    return files, env


@story
def the_same_keys_are_chosen_as_botocore_chooses():
    try:
        import botocore.session  # noqa: F401
    except ImportError:
        skip("botocore is not installed")
    seed = int(os.environ.get("MH_SEED") or random.randrange(1 << 30))
    rounds = int(os.environ.get("MH_ROUNDS") or 20)
    dice = random.Random(seed)
    print(f"# seed {seed}, {rounds} rounds", flush=True)
    seen = set()
    for number in range(rounds):
        with Scene() as s:
            files, env = random_files(dice, s.place)
            for name, text in files.items():
                s.write(name, text)
            s.env = env
            want = chosen_by_botocore(dict(s.place.env, **env))
            what = f"round {number} of seed {seed}: {files} {env}"
            s.start()
            if want is None:
                wait_for(lambda: not s.agent.alive() or s.keys(), what=what)
                equal(s.keys(), [], what)
                equal(s.agent.wait(), 78, what)
            else:
                wait_for(lambda: not s.agent.alive() or s.keys(), what=what)
                equal(s.keys()[:1], [want[1]], f"{what}, {s.agent.text()}")
            seen.add(want and want[0])
    check(None in seen and len(seen) > 2, f"different kinds of sources: {seen}")


run()
