#!/usr/bin/python3
"""The documentation against the code: samples, manual pages, lists and maps say what is there."""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.pages import Page  # noqa: E402
from mh.programs import AGENT, ARCHIVE, ARCHIVE_TAR, BUILD, EMULATOR, JOB, MILLHAND, PLUGIN_COMMAND, SHARED, SRC, Place  # noqa: E402
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


@story
def every_configuration_that_a_page_shows_is_one():
    shown = [b.text for page in (("README.md",), ("docs", "run-an-agent.md")) for b in Page(*page).all if "actions = (" in b.text]
    shown += re.findall(r"^\.Bd -literal.*\n((?:.*\n)*?actions = \((?:.*\n)*?)\.Ed", text_of("docs", "man", "millhand-agent.conf.5"), re.M)
    check(len(shown) == 4, f"{len(shown)} configurations")
    with Place() as place:
        where = f'plugin_dir = "{os.path.dirname(PLUGIN_COMMAND)}"; libexec_dir = "{place.libexec()}";\n'
        for text in shown:
            with open(place.path("agent.conf"), "w") as f:
                f.write(where + re.sub("/usr/local/bin/[a-z-]+", "/bin/true", text))  # programs are looked for
            check(": ok, " in place.run([AGENT, "-c", place.path("agent.conf"), "--check"]).stdout, text)


# ---- manual pages ----

@story
def manual_pages_have_no_faults():
    pages = sorted(os.path.join(PAGES, name) for name in os.listdir(PAGES) if os.path.isfile(os.path.join(PAGES, name)))
    check(len(pages) == 8, f"pages: {pages}")
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
    for program in (AGENT, EMULATOR, JOB, ARCHIVE, MILLHAND):
        if not os.path.exists(program):
            continue
        name = os.path.basename(program)
        usage = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
        page = text_of("docs", "man", f"{name}.1" if program == MILLHAND else f"{name}.8")
        if program == EMULATOR:  # the keys' own options stand in millhand-emulator.conf(5)
            usage = usage[:usage.index("--listen TEXT")]
        for option in set(re.findall(r"(?<![a-z0-9-])--([a-z-]+[a-z])", usage)):
            check(f"Fl -{option}" in page, f"{name}.8 does not name --{option}")


@story
def the_plugin_page_names_every_function_of_the_host():
    header = text_of("include", "millhand", "plugin.h")
    struct = header[header.index("struct mh_host {"):header.index("#define MH_HOST_HAS")]
    functions = re.findall(r"\(\*(\w+)\)\(struct mh_job", struct)
    check(len(functions) > 25, str(functions))
    told = re.findall(r"\bFn (\w+)", text_of("docs", "man", "millhand-plugin.3"))
    equal(sorted(set(told) - {"run"}), sorted(functions), "functions in millhand-plugin(3)")


# ---- the pages ----

def pages():
    """Every page in Markdown, by its path in the tree."""
    found = []
    for top, folders, names in os.walk(SRC):
        folders[:] = [f for f in folders if not f.startswith((".", "build", "autom4te"))]
        found += [os.path.relpath(os.path.join(top, n), SRC) for n in names if n.endswith(".md")]
    return sorted(found)


@story
def links_lead_somewhere():
    check(len(pages()) > 8, f"pages: {pages()}")
    for page in pages():
        for target in re.findall(r"\]\(([^)#]+)", text_of(page)):
            if not target.startswith("http"):
                path = os.path.join(SRC, os.path.dirname(page), target)
                check(os.path.exists(path), f"{page}: {target} is not there")


@story
def the_readme_lists_the_operations_as_they_are():
    if not os.path.exists(os.path.join(SRC, "emulator", "api", "table.c")):
        skip("no emulator in this tree")
    table = dict(re.findall(r'\{ "(\w+)", (\w+) \}', text_of("emulator", "api", "table.c")))
    equal(len(table), 44, "operations")
    equal([name for name, function in table.items() if function == "NULL"], [], "operations that are not there")
    readme = text_of("README.md")
    part = readme[readme.index("## What the emulator does today"):]
    working = part.split("Source actions:", 1)[0]
    equal(set(re.findall(r"\w+", working)) & set(table), set(table), "operations in README.md")
    check("all 44 operations" in text_of("NEWS.md"), "the number in NEWS.md")


# ---- docs/events.md ----

JOB_FIELDS = ["job", "n", "entry", "pipeline", "stage", "action", "execution"]


def cells_of(line):
    return [c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]]


def told_events(text):
    """By program: id -> (levels, fields), as the page says."""
    told = {}
    for program, part in re.findall(r"^## (millhand-\w+)\n((?:(?!^## ).*\n)*)", text, re.M):
        lines = [cells_of(line) for line in re.findall(r"^\| `.*", part, re.M)]
        check(all(len(c) == 5 and c[2] for c in lines), f"rows of {program}")
        told[program] = {c[0].strip("`"): (set(c[1].split(", ")), set(filter(None, c[3].replace(
            "(job)", ", ".join(JOB_FIELDS)).split(", ")))) for c in lines}
        equal([c[0] for c in lines], sorted({c[0] for c in lines}), f"{program}: sorted, and each once")
    return told


def calls_in(code):
    """The arguments of every log_event(): level, id, message and fields, as they stand in the code."""
    for found in re.finditer(r"\blog_event\(", code):
        depth, at, parts, begin = 1, found.end(), [], found.end()
        while depth:
            string = re.compile(r'"(?:[^"\\]|\\.)*"').match(code, at)
            if string:
                at = string.end()
                continue
            depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(code[at], 0)
            if depth == 0 or (depth == 1 and code[at] == "," and len(parts) < 3):
                parts.append(code[begin:at].strip())
                begin = at + 1
            at += 1
        yield parts


def logged_events():
    """By program: id -> (levels, fields), as the code says."""
    logged = {}
    an_id = r'"([^"]*)"'
    for root in ("agent", "emulator", "lib", "plugins"):
        for top, _, names in os.walk(os.path.join(SRC, root)):
            where = os.path.relpath(top, SRC)
            program = "millhand-job" if where == os.path.join("agent", "job") else f"millhand-{root}"
            for name in sorted(n for n in names if n.endswith(".c")):
                code = text_of(where, name)
                for level, event, _, fields in calls_in(code):
                    by_level, ids = re.findall(r"LOG_LEVEL_(\w+)", level), re.findall(an_id, event)
                    # Either both depend on the same condition, or one of them is fixed.
                    found = list(zip(by_level, ids)) if len(by_level) == len(ids) else [
                        (one, i) for one in by_level for i in ids]
                    if event == "event":  # handed down by set_mode()
                        found = [("INFO", i) for i in re.findall(r'\bset_mode\((?:[^;"]*?)' + an_id, code)]
                    elif event.startswith("rows["):
                        found = re.findall(r"\{ LOG_LEVEL_(\w+),\s*" + an_id, code)
                    check(found, f"{where}/{name}: the id of {event} cannot be told")
                    keys = set(re.findall(r'LOG_[SI]\(\s*"(\w+)"', fields))
                    keys |= {"error", "class"} if "LOG_ERR(" in fields else set()
                    keys |= set(JOB_FIELDS) if "JOB_FIELDS(" in fields else set()
                    for level, event_id in found:
                        levels, known = logged.setdefault(program, {}).setdefault(event_id, (set(), set()))
                        levels.add(level.lower())
                        known |= keys
    return logged


@story
def every_event_that_can_be_logged_is_in_its_page_and_no_other():
    told, logged = told_events(text_of("docs", "events.md")), logged_events()
    if not os.path.isdir(os.path.join(SRC, "emulator", "store")):
        told.pop("millhand-emulator")
    equal(sorted(told), sorted(logged), "programs that log")
    for program, events in logged.items():
        equal(sorted(told[program]), sorted(events), f"events of {program}")
        for event, (levels, fields) in events.items():
            check(re.fullmatch(r"[a-z0-9_]+\.[a-z_]+", event), f"{event} is no `area.what`")
            equal(told[program][event][0], levels, f"levels of {program}'s {event}")
            equal(told[program][event][1], fields, f"fields of {program}'s {event}")
            check(all(re.fullmatch(r"[a-z_]+", f) for f in fields), f"fields of {event}: {fields}")


@story
def an_event_that_any_page_names_is_one():
    known = {event for events in told_events(text_of("docs", "events.md")).values() for event in events}
    areas = {event.split(".")[0] for event in known}
    check(len(known) > 80, f"{len(known)} events")
    for page in ("README.md", "docs/run-an-agent.md", "docs/try-pipelines.md", "docs/write-a-plugin.md"):
        for area, what in re.findall(r"`([a-z0-9_]+)\.([a-z_]+)`", text_of(page)):
            if area in areas and what not in ("db", "lock", "conf"):
                check(f"{area}.{what}" in known, f"{page}: there is no event {area}.{what}")


# ---- docs/architecture.md ----

def section(title):
    """One section of the architecture, without those below it."""
    text = text_of("docs", "architecture.md")
    begin = text.index(f"\n{title}\n") + len(title) + 2
    end = re.compile(r"^#+ ", re.M).search(text, begin)
    return text[begin:end.start() if end else len(text)]


def rows(title):
    """The cells of the tables of a section, without their heads."""
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", section(title), re.M):
        found += [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()[2:]]
    return found


@story
def the_map_names_every_source_file_and_no_other():
    named, folders = set(), set()
    for files, _ in rows("## The map"):
        folder = ""
        for word in re.findall(r"`([^`]+)`", files):
            if word.endswith("/"):
                folders.add(word)
                check(os.path.isdir(os.path.join(SRC, word)), f"the map names {word}")
                continue
            if "/" in word:
                folder = os.path.dirname(word)
            path = os.path.join(folder, os.path.basename(word))
            named.add(path)
            check(any(os.path.exists(os.path.join(SRC, path + end)) for end in (".c", ".h")), f"the map names {path}")
    for root in ("agent", "cli", "emulator", "lib", "plugins", "include"):
        for top, _, names in os.walk(os.path.join(SRC, root)):
            for name in names:
                path, end = os.path.splitext(os.path.relpath(os.path.join(top, name), SRC))
                known = path in named or any((path + "/").startswith(f) for f in folders)
                check(end not in (".c", ".h") or known, f"the map does not name {path}")


@story
def the_table_of_a_jobs_life_is_the_codes():
    code = text_of("agent", "job_table.c")
    code = code[code.index("static const job_handler table"):].split("\n", 1)[1]
    table = {}
    for state, cells in re.findall(r"\[JOB_([A-Z_]+)\] = \{(.*?)\n\t\}", code, re.S):
        table[state.lower()] = set(e.lower() for e in re.findall(r"\[JOB_EV_([A-Z_]+)\]", cells))
    equal(len(table), 11, "states with handlers")
    told = {state: set(re.findall(r"`([a-z_]+)`", events)) - {"in_doubt", "result_timeout"}
            for state, _, events in rows("### The life of a job")}
    equal(told, table, "the table in docs/architecture.md")
    recovered = set(re.findall(r"`([a-z_]+)`", " ".join(r[0] for r in rows("### After a restart"))))
    equal(recovered, set(table), "states in the table of recovery")


@story
def the_ledgers_columns_are_the_codes():
    columns = re.findall(r'\{ "(\w+)", "[A-Z]+[A-Z \']*", COL_', text_of("agent", "ledger.c"))
    check(len(columns) > 20, str(columns))
    told = re.findall(r"`([a-z_]+)`", " ".join(r[0] for r in rows("### The ledger")))
    equal(sorted(told), sorted(columns), "columns in docs/architecture.md")


def members(text):
    return set(re.findall(r'"(\w+)":', text))


@story
def the_formats_between_the_processes_are_the_codes():
    put = r'(?:json_put_\w+|put_strings)\((\w+), "(\w+)"'
    spec = {key for _, key in re.findall(put, text_of("agent", "spec.c"))} | {"inputs", "outputs"}
    equal(members(section("### The job spec (fd 3, agent to shim)")) - {"command"}, spec, "the job spec")
    result = {key for _, key in re.findall(put, text_of("agent", "job", "result_json.c"))}
    finish = {key for _, key in re.findall(put, text_of("agent", "job", "shim_finish.c"))}
    packed = {key for _, key in re.findall(put, text_of("agent", "job", "shim.c"))} - {"step"}
    equal(members(section("### result.json (shim to agent)")), result | finish | packed, "result.json")
    told = set(re.findall(r'"m":"(\w+)"', section("### Messages")))
    code = "".join(text_of("agent", "job", f"{n}.c") for n in ("shim", "shim_handler", "shim_loop", "handler", "host"))
    sent = set(re.findall(r'wire_new\("(\w+)"\)|"m", "(\w+)"', code))
    sent = {a or b for a, b in sent} | set(re.findall(r'strcmp\(m, "(\w+)"\)', code))
    equal(told, sent, "messages")


@story
def the_emulators_tables_are_the_codes():
    store = os.path.join(SRC, "emulator", "store")
    if not os.path.isdir(store):
        skip("no emulator in this tree")
    tables = set()
    for name in os.listdir(store):
        if name.endswith(".c"):
            tables |= set(re.findall(r'CREATE TABLE (\w+)', text_of("emulator", "store", name)))
    told = [t.strip() for row in rows("### The engine") for t in row[0].split(",")]
    equal(sorted(told), sorted(tables), "tables in docs/architecture.md")


@story
def the_programs_link_what_the_table_says():
    lean = {"c", "m", "dl", "pthread", "gcc_s", "asan", "ubsan"}
    for name, *_, links in rows("## Programs"):
        program = {"millhand-agent": AGENT, "millhand-job, the shim": JOB, "millhand-archive": ARCHIVE, "millhand-archive-tar": ARCHIVE_TAR,
                   "millhand": MILLHAND, "millhand-emulator": EMULATOR}.get(name)
        if not program or not os.path.exists(program):
            continue
        told = {w.strip() for w in links.split(",")}
        told = {w[3:] if w.startswith("lib") else w for w in told}
        dynamic = subprocess.run(["readelf", "-dW", program], capture_output=True, text=True, check=True,
                                 env=dict(os.environ, LC_ALL="C")).stdout
        needed = set(re.findall(r"NEEDED.*\[lib([\w-]+?)\.so", dynamic)) - lean
        equal(told, needed, name)


@story
def the_table_of_defects_is_their_stories():
    stories = re.findall(r"^@before_each\ndef (d[0-9]{2}_\w+)", text_of("tests", "system", "test_defects.py"), re.M)
    told = [(defect.split()[0], name) for defect, _, names in rows("## Defects that others have")
            for name in re.findall(r"`(d\w+)`", names)]
    equal([name for _, name in told], stories, "stories in docs/architecture.md")
    equal([f"D{int(name[1:3])}" for _, name in told], [defect for defect, _ in told], "numbers")
    equal(sorted({int(defect[1:]) for defect, _ in told}), list(range(1, 19)), "defects")


@story
def what_the_pages_call_a_test_is_one():
    tests = os.path.join(SRC, "tests")
    names = {n for _, _, found in os.walk(tests) for n in found}
    for page in ("docs/architecture.md", "CONTRIBUTING.md"):
        for name in re.findall(r"`(?:[\w/]*/)?(test_\w+\.(?:py|c))", text_of(page)):
            check(name in names, f"{page} names {name}")


# ---- headers ----

@story
def every_header_compiles_alone():
    compiler = shutil.which("cc") or skip("no cc")
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c", "-I", SRC, "-I", BUILD]
    for library in ("json-c", "libcurl", "libuv", "sqlite3", "libsodium", "libmicrohttpd", "libarchive", "expat"):
        found = subprocess.run(["pkg-config", "--cflags", library], capture_output=True, text=True)
        flags += found.stdout.split() if found.returncode == 0 else []
    roots = ["lib", "agent", "include"] + (["emulator"] if HAS_EMULATOR else [])
    headers = sorted(os.path.join(top, n) for root in roots for top, _, names in os.walk(os.path.join(SRC, root))
                     for n in names if n.endswith(".h"))
    check(len(headers) > 50, f"{len(headers)} headers")
    told = subprocess.run([compiler] + flags + ["-Wno-pragma-once-outside-header"] + headers, capture_output=True, text=True)
    equal((told.returncode, told.stderr), (0, ""), "headers that do not compile alone")


# ---- docs/statements.md ----

@story
def every_statement_has_a_row_and_a_test_and_nothing_else_has():
    told = re.findall(r"^\| (\d{3}-\w+) \| (.+) \| `(\w+)` \|$", text_of("docs", "statements.md"), re.M)
    rows_of = {number: test for number, _, test in told}
    equal(len(rows_of), len(told), "each statement once")
    tests = []
    for name in sorted(os.listdir(os.path.join(SRC, "tests", "system"))):
        document = re.fullmatch(r"test_statements_(\d{3})\.py", name)
        found = re.findall(r"^@statement\ndef (\w+)\(w\):", text_of("tests", "system", name), re.M) if document else []
        check(all(test.startswith(f"H_{document[1]}_") for test in found), f"{name}: {found}")
        tests += found
    equal(sorted(rows_of.values()), sorted(tests), "tests in docs/statements.md")
    for number, test in rows_of.items():
        check(test.startswith(f"H_{number.replace('-', '_')}_"), f"{number} is told by {test}")
    theirs = os.path.join(SHARED, "reference", "semantics.md")
    if not os.path.exists(theirs):
        skip("no ../shared/reference/semantics.md beside the project")
    with open(theirs, encoding="utf-8") as f:
        text = f.read()
    stated = re.findall(r"^- (\d{3}-\w+) ", text[text.index("\n## H."):text.index("\n## I.")], re.M)
    check(len(stated) > 90, f"{len(stated)} statements")
    equal(sorted(rows_of), sorted(stated), "statements")


# ---- the distribution ----

@story
def everything_in_the_repository_is_in_its_archive():
    if not os.path.exists(os.path.join(SRC, ".git")) or not shutil.which("git"):
        skip("no repository")
    if not HAS_EMULATOR:
        skip("built without the emulator, whose files are then not listed")
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "MFLAGS"}
    listed = subprocess.run(["make", "-s", "-C", BUILD, "--no-print-directory", "--eval=print-dist: ; @echo $(DISTFILES)",
                             "print-dist"], capture_output=True, text=True, check=True, env=env).stdout.split()
    names = {os.path.relpath(os.path.realpath(os.path.join(BUILD, f)), os.path.realpath(SRC)) if f.startswith(("/", "."))
             and os.path.exists(os.path.join(BUILD, f)) else f for f in listed}
    tracked = subprocess.run(["git", "-C", SRC, "ls-files"], capture_output=True, text=True, check=True).stdout.split("\n")
    missing = [f for f in tracked if f and os.path.exists(os.path.join(SRC, f)) and f not in names
               and not any(f.startswith(n + "/") for n in names) and f != ".gitignore"]
    equal(missing, [], "files that `make dist` leaves out (EXTRA_DIST)")


run()
