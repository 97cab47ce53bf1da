#!/usr/bin/python3
"""The plugin author's header: alone, in C and C++, and the example plugin that needs nothing else."""
import json
import os
import shutil
import subprocess
import sys
import zipfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.jobs import Jobs  # noqa: E402
from mh.programs import BUILD, JOB, SRC  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402

INCLUDE = os.path.join(SRC, "include")
PLUGIN = """#include <millhand/plugin.h>
static int32_t run(struct mh_job *job, const struct mh_host *host)
{
	if (!MH_HOST_HAS(host, apply_result))
		return host->fail(job, MH_FAIL_SYSTEM_UNAVAILABLE, "old host");
	return host->succeed(job);
}
static const struct mh_option options[] = {
	{ "greeting", "what to say", "hello", MH_OPTION_STRING, MH_OPTION_PUBLIC, 0, 0 },
	MH_OPTIONS_END
};
MH_PLUGIN_DEFINE("both", "1.0", "either language", MH_PLUGIN_IDEMPOTENT, options, run)
"""


def need(program):
    return shutil.which(program) or skip(f"no {program}")


def describe(path):
    return json.loads(subprocess.run([JOB, "--describe", path], capture_output=True, text=True, check=True).stdout)


@story
def the_header_compiles_alone_as_c99_and_cpp11_without_a_warning():
    strict = ["-pedantic", "-Wall", "-Wextra", "-Wshadow", "-Wundef", "-Werror", "-I", INCLUDE, "-shared", "-fPIC"]
    for compiler, language, extra in (("cc", "c", ["-std=c99", "-Wstrict-prototypes", "-Wmissing-prototypes"]),
                                      ("cc", "c", ["-std=c11", "-fvisibility=hidden"]),
                                      ("c++", "c++", ["-std=c++11", "-fvisibility=hidden"]),
                                      ("clang", "c", ["-std=c99"]), ("clang", "c++", ["-std=c++11"])):
        if not shutil.which(compiler):
            print(f"# no {compiler}", flush=True)
            continue
        with Jobs() as jobs:
            path = os.path.join(jobs.plugins, "both.so")
            done = subprocess.run([compiler, "-x", language] + extra + strict + ["-o", path, "-"], input=PLUGIN,
                                  capture_output=True, text=True)
            if done.returncode != 0 and "cannot find" in done.stderr:
                print(f"# {compiler} cannot build {language} here", flush=True)
                continue
            equal(done.stderr, "", f"{compiler} {language} {extra}")
            os.chmod(path, 0o755)
            equal(describe(path)["name"], "both")
            equal(jobs.start("both").finish()["outcome"], "success")


@story
def the_example_plugin_builds_by_its_own_makefile_and_runs():
    need("cc")
    with Jobs() as jobs:
        source = os.path.join(jobs.root, "example")
        shutil.copytree(os.path.join(SRC, "examples", "plugin"), source)
        for path, _, _ in os.walk(source):
            os.chmod(path, 0o755)
        prefix = os.path.join(jobs.root, "prefix")
        os.makedirs(os.path.join(prefix, "include"))
        shutil.copytree(os.path.join(INCLUDE, "millhand"), os.path.join(prefix, "include", "millhand"))
        done = subprocess.run(["make", "-C", source, f"PREFIX={prefix}"], capture_output=True, text=True,
                              env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")})
        equal(done.returncode, 0, done.stdout + done.stderr)
        equal(done.stderr, "")
        jobs.add_plugin(os.path.join(source, "hello.so"))
        job = jobs.start("hello", {"greeting": "good morning"}, {}, ["Card"])
        result = job.finish()
        equal((result["outcome"], result["summary"]), ("success", "good morning"))
        with zipfile.ZipFile(os.path.join(job.dir, "store/0")) as z:
            equal(z.read("greeting.txt"), b"good morning\n")
        kind, message = jobs.start("hello").failure()
        equal(kind, "ConfigurationError")
        check("needs an output artifact" in message, message)


@story
def only_the_header_and_nothing_of_the_build_is_needed():
    with open(os.path.join(INCLUDE, "millhand", "plugin.h")) as f:
        includes = [line.split()[1] for line in f if line.startswith("#include <") and "millhand" not in line]
    equal(includes, ["<stddef.h>", "<stdint.h>"])
    check(os.path.exists(os.path.join(BUILD, "plugins", "command", "command.la")), "the bundled plugin is built")


run()
