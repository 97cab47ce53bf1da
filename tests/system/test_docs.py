#!/usr/bin/python3
"""The documentation against the code: samples, manual pages, lists and maps say what is there."""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import AGENT, ARCHIVE, BUILD, EMULATOR, JOB, SRC, Place  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402

PAGES = os.path.join(SRC, "docs", "man")
HAS_EMULATOR = os.path.exists(EMULATOR)


def text_of(*path):
    with open(os.path.join(SRC, *path), encoding="utf-8") as f:
        return f.read()


def keys_of_sample(text):
    """The keys in order: every setting of a sample, whether commented or not."""
    return re.findall(r"^#?\t*([a-z0-9_]+) = ", text, re.M)


# ---- what is made from the tables of keys ----

@story
def the_samples_and_the_manual_pages_keys_are_what_the_tables_say():
    with Place() as place:
        place.run([os.path.join(SRC, "dev", "regen"), BUILD, place.path("made")])
        made = [os.path.join(top, name) for top, _, names in os.walk(place.path("made")) for name in names]
        equal(len(made), 4 if HAS_EMULATOR else 2, "files made")
        for path in made:
            name = os.path.relpath(path, place.path("made"))
            with open(path, encoding="utf-8") as f:
                check(f.read() == text_of(name), f"{name} is not what the table says: run make regen")


@story
def a_manual_page_lists_every_key_and_no_other():
    for program, page in ((AGENT, "millhand-agent.conf.5"), (EMULATOR, "millhand-emulator.conf.5")):
        if os.path.exists(program):
            sample = subprocess.run([program, "--sample"], capture_output=True, text=True, check=True).stdout
            keys = keys_of_sample(sample)
            check(len(keys) > 15, f"keys of {page}")
            equal(re.findall(r"^\.It Ic ([a-z0-9_]+)$", text_of("docs", "man", page), re.M), keys, page)


@story
def the_samples_are_configurations():
    with Place() as place:
        conf = place.agent_conf("http://127.0.0.1:1", [{"category": "Build", "provider": "Make", "version": "1",
                                                       "plugin": "command"}])
        with open(conf) as f:
            minimal = f.read()
        with open(conf, "w") as f:
            f.write(text_of("etc", "agent.conf") + minimal)
        check("ok, 1 action types" in place.run([AGENT, "-c", conf, "--check"]).stdout, "agent.conf")
        if HAS_EMULATOR:
            place.run([EMULATOR, "--config", os.path.join(SRC, "etc", "emulator.conf"),
                       "--data-dir", place.path("data"), "--check"])


# ---- manual pages ----

@story
def manual_pages_have_no_faults():
    pages = sorted(os.path.join(PAGES, name) for name in os.listdir(PAGES) if os.path.isfile(os.path.join(PAGES, name)))
    check(len(pages) == 7, f"pages: {pages}")
    for page in pages:
        for name, section in re.findall(r"^\.Xr ([a-z.-]+) ([0-9])", text_of(page), re.M):
            check(os.path.exists(os.path.join(PAGES, f"{name}.{section}")), f"{page}: {name}({section}) is not there")
    linters = 0
    if shutil.which("mandoc"):
        linters += 1
        told = subprocess.run(["mandoc", "-Tlint", "-Wstyle"] + pages, capture_output=True, text=True)
        faults = [line for line in (told.stdout + told.stderr).splitlines() if "referenced manual not found" not in line]
        equal(faults, [], "mandoc -Tlint")
    if shutil.which("groff"):
        linters += 1
        for page in pages:
            told = subprocess.run(["groff", "-mandoc", "-ww", "-Kutf8", "-Tutf8", "-z", page], capture_output=True, text=True)
            equal(told.stderr, "", page)
    if linters == 0:
        skip("neither mandoc nor groff")


@story
def a_manual_page_names_every_option_of_its_program():
    for program in (AGENT, EMULATOR, JOB, ARCHIVE):
        if not os.path.exists(program):
            continue
        name = os.path.basename(program)
        usage = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
        page = text_of("docs", "man", f"{name}.8")
        if program == EMULATOR:  # the keys' own options stand in millhand-emulator.conf(5)
            usage = usage[:usage.index("--listen TEXT")]
        for option in set(re.findall(r"(?<![a-z0-9-])--([a-z-]+[a-z])", usage)):
            check(f"Fl -{option}" in page, f"{name}.8 does not name --{option}")


run()
