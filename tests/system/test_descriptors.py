#!/usr/bin/python3
"""Descriptors: what each process is given, and that none is left over after many jobs and requests."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.git import Git  # noqa: E402
from mh.programs import ARCHIVE, EMULATOR, Place, wait_for  # noqa: E402
from mh.stub import Stub  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402
from mh.worker import FAST, Marks, action, finished, zip_of  # noqa: E402

LIST = "ls -l /proc/self/fd"


def listed(path):
    """{number: target} from the output of LIST, without the directory that ls reads."""
    found = {}
    with open(path) as f:
        for line in f:
            if " -> " in line:
                left, target = line.rstrip("\n").split(" -> ", 1)
                if not (target.startswith("/proc/") and target.endswith("/fd")):
                    found[int(left.split()[-1])] = target
    return found


def open_in(pid):
    """{number: target} of a process that we may look at."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue  # closed since
    return found


def below(pid):
    """The process and all that descend from it, as {pid: name}."""
    found, todo = {}, [pid]
    while todo:
        at = todo.pop()
        try:
            with open(f"/proc/{at}/comm") as f:
                found[at] = f.read().strip()
            for task in os.listdir(f"/proc/{at}/task"):
                with open(f"/proc/{at}/task/{task}/children") as f:
                    todo += [int(child) for child in f.read().split()]
        except OSError:
            continue
    return found


@story
def a_command_gets_three_standard_descriptors_the_job_document_and_nothing_else():
    with Place() as place, Stub() as stub:
        out = place.path("fds")
        job = stub.job()
        place.agent(place.agent_conf(stub.endpoint, [action(place, f"{LIST} >{out} && echo heard")], **FAST))
        finished(job, "success")
        found = listed(out)
        document = [fd for fd, target in found.items() if target == "/memfd:job (deleted)"]  # $MILLHAND_JOB, sealed
        equal(len(document), 1, f"the job document in {found}")
        equal(sorted(set(found) - set(document)), [0, 1, 2], f"descriptors {found}")
        equal(found[0], "/dev/null")


@story
def no_process_of_a_job_has_the_agents_ledger_sockets_or_locks():
    if os.getuid() != 0:
        skip("only root sees into the processes of a job")
    with Place() as place, Stub() as stub:
        marks = Marks(place)
        job = stub.job(inputs={"Src": zip_of({"f": b"x"})})
        agent = place.agent(place.agent_conf(stub.endpoint, [action(place, marks.command() + f"; read go <{marks.path}.go",
                                                                    outputs=[0, 5])], **FAST))
        marks.wait()
        looked = 0
        for pid, name in below(agent.process.pid).items():
            if pid == agent.process.pid:
                continue
            looked += 1
            for fd, target in open_in(pid).items():
                for word in ("ledger.db", "agent.lock", "anon_inode:[eventpoll]"):
                    check(word not in target, f"{name} has {fd}: {target}")
        check(looked >= 2, "the processes of the job")
        marks.go()
        finished(job, "success")


@story
def the_emulators_git_and_archive_get_what_they_work_on_and_nothing_else():
    if not os.path.exists(EMULATOR):
        skip("no emulator")
    from test_sources import Story, git_source, pipeline, s3_deploy

    with Place() as place:
        os.makedirs(place.path("bin"))
        for name, real in (("git", "/usr/bin/git"), ("millhand-archive", ARCHIVE)):
            with open(place.path("bin", name), "w") as f:
                f.write(f'#!/bin/sh\nPATH=/usr/bin:/bin; out=$(mktemp {place.path("fds")}.{name}.XXXXXX)\n'
                        f'{LIST} >"$out"\nexec {real} "$@"\n')
            os.chmod(place.path("bin", name), 0o755)
        Git(place).commit({"index.html": "x"}, "first")
        place.env["PATH"] = place.path("bin") + ":" + place.env["PATH"]
        place.env["MILLHAND_ARCHIVE"] = place.path("bin", "millhand-archive")
        s = Story(place)
        s.s3.create_bucket(Bucket="artifacts")
        s.s3.create_bucket(Bucket="site")
        s.cp.create_pipeline(pipeline=pipeline(git_source(), s3_deploy()))
        s.ended("Succeeded")
        seen = {name: [listed(place.path(f)) for f in os.listdir(place.dir) if f.startswith(f"fds.{name}.")]
                for name in ("git", "millhand-archive")}
        check(seen["git"] and seen["millhand-archive"], f"both ran: {seen}")
        for name, promised in (("git", {0, 1, 2}), ("millhand-archive", {0, 1, 2, 3})):
            for found in seen[name]:
                # The shell that reads this script keeps it open, far above.
                mine = {fd for fd, target in found.items() if not target.endswith(f"/bin/{name}")}
                check(mine <= promised, f"{name} has {found}")


@story
def after_many_jobs_the_agent_has_the_descriptors_it_had_before():
    with Place() as place, Stub() as stub:
        agent = place.agent(place.agent_conf(stub.endpoint, [action(place, "true", outputs=[0, 5])], **dict(FAST, max_jobs=4)))

        def batch(count):
            jobs = [stub.job(inputs={"Src": zip_of({"f": b"x"})}) for _ in range(count)]
            for job in jobs:
                finished(job, "success")

        def kinds():
            """Sockets come and go with kept connections; files, pidfds and the rest must not."""
            targets = [t.split(":[")[0] for t in open_in(agent.process.pid).values()]
            return sorted(t for t in targets if t != "socket"), sum(t == "socket" for t in targets)

        batch(4)
        wait_for(lambda: not any("pidfd" in t or "/work/" in t or "/jobs/" in t for t in kinds()[0]), what="the first jobs let go of")
        before = kinds()
        batch(40)
        wait_for(lambda: kinds()[0] == before[0], what=f"the same descriptors: {before} before, {kinds()} now")
        check(kinds()[1] <= before[1] + 4, f"sockets: {before[1]} before, {kinds()[1]} now")


@story
def after_many_requests_the_emulator_has_the_descriptors_it_had_before():
    if not os.path.exists(EMULATOR):
        skip("no emulator")
    with Place() as place:
        emulator = place.emulator()
        first = emulator.client("s3")
        first.create_bucket(Bucket="bucket")

        def round_of_requests():
            s3, cp = emulator.client("s3"), emulator.client("codepipeline")
            s3.put_object(Bucket="bucket", Key="k", Body=b"x" * 100000)
            equal(len(s3.get_object(Bucket="bucket", Key="k")["Body"].read()), 100000)
            upload = s3.create_multipart_upload(Bucket="bucket", Key="m")["UploadId"]
            s3.upload_part(Bucket="bucket", Key="m", UploadId=upload, PartNumber=1, Body=b"y" * 1000)
            s3.abort_multipart_upload(Bucket="bucket", Key="m", UploadId=upload)
            cp.list_pipelines()
            s3.close()
            cp.close()

        def kinds():
            return sorted(t.split(":[")[0] for t in open_in(emulator.process.pid).values())

        round_of_requests()
        first.close()
        wait_for(lambda: kinds().count("socket") <= 1, what="the connections to end")
        before = kinds()
        for _ in range(20):
            round_of_requests()
        wait_for(lambda: kinds() == before, what=f"the same descriptors: {before}")


run()
