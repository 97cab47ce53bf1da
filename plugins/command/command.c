/*
 * The command plugin: runs any program, in any language, as the work of a job.
 * What the command sees and how it answers is in command.md.
 */
#include <millhand/plugin.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wanted.h"

/* A result file holds 120 KiB of variables at most; escapes may blow it up. */
#define RESULT_FILE_MAX_BYTES (1024 * 1024)
/* The job document's descriptor in the command: out of the way of `exec 3>file`. */
#define DOCUMENT_FD_MIN 60
#define TEXT_MAX        1024

static const struct mh_option options[] = {
	{ "command", "what /bin/sh -c runs", NULL, MH_OPTION_STRING, MH_OPTION_REQUIRED,
	  0, 0 },
	{ "directory",
	  "where it runs; relative to the first input artifact (default: there)", NULL,
	  MH_OPTION_STRING, MH_OPTION_PUBLIC, 0, 0 },
	{ "output",
	  "file or directory, relative to where it runs, that becomes the first output "
	  "artifact unless the command fills it itself",
	  NULL, MH_OPTION_STRING, MH_OPTION_PUBLIC, 0, 0 },
	{ "system_failure_exit_code",
	  "the exit code that means the host's fault; 0: none", "75", MH_OPTION_INTEGER,
	  MH_OPTION_PUBLIC, 0, 255 },
	MH_OPTIONS_END
};

struct command {
	struct mh_job *job;
	const struct mh_host *host;
	char directory[PATH_MAX]; /* where it runs */
	char result_file[PATH_MAX];
	struct wanted wanted;
};

__attribute__((format(printf, 3, 4))) static int fail(const struct command *c,
						      int32_t kind, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof text, fmt, args); /* cut is fine */
	va_end(args);
	(void)c->host->fail(c->job, kind, text); /* an earlier failure stands */
	return -1;
}

static int fail_system(const struct command *c, const char *what)
{
	return fail(c, MH_FAIL_SYSTEM_UNAVAILABLE, "%s: %s", what, strerror(errno));
}

/* --- where it runs --- */

/* No leading slash and no "..": `output` names something that the command made. */
static int is_inside(const char *path)
{
	const char *p = path;

	if (*p == '/' || !*p)
		return 0;
	while (p) {
		size_t len = strcspn(p, "/");

		if (len == 2 && p[0] == '.' && p[1] == '.')
			return 0;
		p = strchr(p, '/');
		if (p)
			p++;
	}
	return 1;
}

static int choose_directory(struct command *c)
{
	const char *wanted = c->host->config(c->job, "directory");
	const char *output = c->host->config(c->job, "output");
	const char *base = c->host->input_dir(c->job, 0);
	char workspace[PATH_MAX - 256];
	int n;

	if (output && !is_inside(output))
		return fail(c, MH_FAIL_CONFIGURATION_ERROR,
			    "output: must be a path below the directory of the command");
	if (!base) {
		(void)snprintf(workspace, sizeof workspace, "%s/workspace",
			       c->host->info(c->job, MH_INFO_TMP_DIR));
		if (mkdir(workspace, 0755) != 0 && errno != EEXIST)
			return fail_system(c, workspace);
		base = workspace;
	}
	if (!wanted)
		n = snprintf(c->directory, sizeof c->directory, "%s", base);
	else if (*wanted == '/')
		n = snprintf(c->directory, sizeof c->directory, "%s", wanted);
	else
		n = snprintf(c->directory, sizeof c->directory, "%s/%s", base, wanted);
	if (n < 0 || (size_t)n >= sizeof c->directory)
		return fail(c, MH_FAIL_CONFIGURATION_ERROR, "directory: too long");
	if (chdir(c->directory) != 0)
		return fail(c, MH_FAIL_CONFIGURATION_ERROR, "directory '%s': %s",
			    wanted ? wanted : c->directory, strerror(errno));
	return 0;
}

/* --- environment --- */

/* prefix + name in upper case, with _ for what a variable's name cannot hold. */
static int variable_name(const char *prefix, const char *name, char out[256])
{
	size_t at = strlen(prefix);

	if (at + strlen(name) >= 256)
		return -1;
	memcpy(out, prefix, at);
	for (; *name; name++) {
		char ch = *name;

		if (ch >= 'a' && ch <= 'z')
			ch = (char)(ch - 'a' + 'A');
		else if (!(ch >= 'A' && ch <= 'Z') && !(ch >= '0' && ch <= '9'))
			ch = '_';
		out[at++] = ch;
	}
	out[at] = '\0';
	return 0;
}

static int put(const struct command *c, const char *name, const char *value)
{
	if (value && setenv(name, value, 1) != 0)
		return fail_system(c, "environment");
	return 0;
}

/* Two names that become one variable would hide each other. */
static int put_named(const struct command *c, const char *prefix, const char *name,
		     const char *value)
{
	char variable[256];

	if (variable_name(prefix, name, variable) != 0)
		return fail(c, MH_FAIL_CONFIGURATION_ERROR, "'%.64s' is too long", name);
	if (getenv(variable))
		return fail(c, MH_FAIL_CONFIGURATION_ERROR,
			    "'%s' and another name both become %s: rename one", name,
			    variable);
	return put(c, variable, value);
}

static int put_artifacts(const struct command *c)
{
	const struct mh_host *host = c->host;

	for (uint32_t i = 0; i < host->input_count(c->job); i++) {
		if (put_named(c, "MILLHAND_INPUT_", host->input_name(c->job, i),
			      host->input_dir(c->job, i)) != 0)
			return -1;
	}
	for (uint32_t i = 0; i < host->output_count(c->job); i++) {
		const char *dir = host->output_dir(c->job, i);

		if (!dir)
			return fail(c, MH_FAIL_SYSTEM_UNAVAILABLE, "%s",
				    host->last_error(c->job));
		if (put_named(c, "MILLHAND_OUTPUT_", host->output_name(c->job, i), dir) !=
		    0)
			return -1;
	}
	return 0;
}

/* Keys that are none of ours are for the command. */
static int put_config(const struct command *c)
{
	for (uint32_t i = 0; i < c->host->config_count(c->job); i++) {
		const char *key = c->host->config_key(c->job, i);
		const struct mh_option *o = options;

		while (o->name && strcmp(o->name, key) != 0)
			o++;
		if (!o->name && put_named(c, "MILLHAND_CONFIG_", key,
					  c->host->config(c->job, key)) != 0)
			return -1;
	}
	return 0;
}

static int put_context(const struct command *c)
{
	static const struct {
		const char *name;
		int32_t what;
	} facts[] = {
		{ "MILLHAND_JOB_ID", MH_INFO_JOB_ID },
		{ "MILLHAND_PIPELINE", MH_INFO_PIPELINE },
		{ "MILLHAND_STAGE", MH_INFO_STAGE },
		{ "MILLHAND_ACTION", MH_INFO_ACTION },
		{ "MILLHAND_EXECUTION_ID", MH_INFO_EXECUTION_ID },
		{ "MILLHAND_ACTION_EXECUTION_ID", MH_INFO_ACTION_EXECUTION },
		{ "MILLHAND_CONTINUATION_TOKEN", MH_INFO_CONTINUATION_TOKEN },
		{ "MILLHAND_ACCOUNT_ID", MH_INFO_ACCOUNT_ID },
		{ "MILLHAND_PIPELINE_ARN", MH_INFO_PIPELINE_ARN },
		{ "MILLHAND_CATEGORY", MH_INFO_CATEGORY },
		{ "MILLHAND_PROVIDER", MH_INFO_PROVIDER },
		{ "MILLHAND_VERSION", MH_INFO_TYPE_VERSION },
	};
	char document[32];
	int fd = fcntl(c->host->document_fd(c->job), F_DUPFD, DOCUMENT_FD_MIN);

	/* Not close-on-exec: the command and what it starts read it there. */
	if (fd < 0)
		return fail_system(c, "job document");
	(void)snprintf(document, sizeof document, "/proc/self/fd/%d", fd);
	for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
		if (put(c, facts[i].name, c->host->info(c->job, facts[i].what)) != 0)
			return -1;
	}
	if (put(c, "MILLHAND_JOB", document) != 0 ||
	    put(c, "MILLHAND_WANTED", c->wanted.script) != 0)
		return -1;
	return put(c, "MILLHAND_RESULT", c->result_file);
}

/* --- running it --- */

static void run_child(const char *command)
{
	char shell[] = "/bin/sh", flag[] = "-c";
	char *argv[] = { shell, flag, (char *)(uintptr_t)command, NULL };

	/* Not to outlive the plugin, should that be killed. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* cannot fail for SIGKILL */
	(void)execv(shell, argv);
	(void)dprintf(STDERR_FILENO, "%s: %s\n", shell, strerror(errno));
	_exit(127);
}

/* Waits for the command; the host ends it when the job is cancelled. */
static int run_command(struct command *c, int *ret_status)
{
	const char *command = c->host->config(c->job, "command");
	pid_t pid = fork();

	if (pid < 0)
		return fail_system(c, "fork");
	if (pid == 0)
		run_child(command);
	if (wanted_wait(&c->wanted, pid, ret_status) != 0)
		return fail_system(c, "wait for the command");
	return 0;
}

/* --- how it ended --- */

/* What shells mean by some codes; "" for all others. */
static void explain(int code, char *out, size_t size)
{
	out[0] = '\0';
	if (code == 126)
		(void)snprintf(out, size, " (a program could not be run)");
	else if (code == 127)
		(void)snprintf(out, size, " (a program was not found)");
	else if (code > 128 && code < 128 + NSIG)
		(void)snprintf(out, size, " (a program was killed by signal %d, %s)",
			       code - 128, strsignal(code - 128));
}

/* Says how a command that did not exit with 0 failed; 0 when it did. */
static int check_status(const struct command *c, int status)
{
	int64_t system_code = c->host->config_integer(c->job, "system_failure_exit_code",
						      75);
	char meaning[96];
	int code;

	if (WIFSIGNALED(status))
		return fail(c, MH_FAIL_JOB_FAILED,
			    "the command was killed by signal %d (%s)%s",
			    WTERMSIG(status), strsignal(WTERMSIG(status)),
			    WTERMSIG(status) == SIGKILL ? ", perhaps for lack of memory"
							: "");
	code = WEXITSTATUS(status);
	if (code == 0)
		return 0;
	if (code == system_code)
		return fail(c, MH_FAIL_SYSTEM_UNAVAILABLE,
			    "the command exited with code %d, which means the host's "
			    "fault",
			    code);
	explain(code, meaning, sizeof meaning);
	return fail(c, MH_FAIL_JOB_FAILED, "the command exited with code %d%s", code,
		    meaning);
}

/* Opens the result file: 0 and *ret_fd -1 when there is none, -1 with `why` when it
 * is nothing to read. */
static int open_result_file(const struct command *c, int *ret_fd, size_t *ret_size,
			    char why[TEXT_MAX])
{
	int fd = open(c->result_file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	*ret_fd = -1;
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
	    st.st_size > RESULT_FILE_MAX_BYTES) {
		(void)snprintf(why, TEXT_MAX, "must be a plain file of at most %d bytes",
			       RESULT_FILE_MAX_BYTES);
		if (fd >= 0)
			(void)close(fd); /* nothing was read */
		return -1;
	}
	*ret_fd = fd;
	*ret_size = (size_t)st.st_size;
	return 0;
}

/* Lets the host take what the command wrote; -1 with `why` when it cannot be used. */
static int apply_result_file(const struct command *c, char why[TEXT_MAX])
{
	size_t size = 0;
	char *text;
	ssize_t n;
	int fd, rc = 0;

	if (open_result_file(c, &fd, &size, why) != 0)
		return -1;
	if (fd < 0)
		return 0;
	text = malloc(size + 1);
	n = text ? read(fd, text, size) : -1;
	(void)close(fd); /* only read */
	if (n < 0) {
		(void)snprintf(why, TEXT_MAX, "%s", strerror(errno));
		rc = -1;
	} else if (n > 0 && c->host->apply_result(c->job, text, (uint64_t)n) != 0) {
		(void)snprintf(why, TEXT_MAX, "%s", c->host->last_error(c->job));
		rc = -1;
	}
	free(text);
	return rc;
}

/* --- output --- */

static int is_empty(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int empty = 1;

	if (!dir)
		return 1;
	while (empty && (entry = readdir(dir)))
		empty = strcmp(entry->d_name, ".") == 0 ||
			strcmp(entry->d_name, "..") == 0;
	(void)closedir(dir); /* only read */
	return empty;
}

static int is_below(const char *path, const char *top)
{
	char *real = realpath(top, NULL);
	size_t len = real ? strlen(real) : 0;
	int below = real && strncmp(path, real, len) == 0 && path[len] == '/';

	free(real);
	return below;
}

/* Moves what was made to the artifact's directory; both lie in the work directory. */
static int move_output(const struct command *c, const char *made, const char *dir)
{
	char target[PATH_MAX];
	struct stat st;

	if (stat(made, &st) != 0)
		return fail_system(c, made);
	if (S_ISDIR(st.st_mode)) {
		/* A directory's ".." changes with the move: it must be writable. */
		(void)chmod(made, (st.st_mode & 07777) | S_IRWXU);
		if (rename(made, dir) != 0)
			return fail_system(c, made);
		return 0;
	}
	if (!S_ISREG(st.st_mode))
		return fail(c, MH_FAIL_JOB_FAILED,
			    "output: neither a file nor a directory");
	if (snprintf(target, sizeof target, "%s/%s", dir, strrchr(made, '/') + 1) >=
	    (int)sizeof target)
		return fail(c, MH_FAIL_JOB_FAILED, "output: the path is too long");
	return rename(made, target) == 0 ? 0 : fail_system(c, made);
}

static int collect_output(const struct command *c)
{
	const char *output = c->host->config(c->job, "output");
	const char *dir = c->host->output_dir(c->job, 0);
	char *made;
	int rc;

	if (!output || !dir)
		return 0;
	if (!is_empty(dir)) {
		c->host->log(c->job, MH_LOG_INFO,
			     "output is not looked at: the command filled its artifact "
			     "itself");
		return 0;
	}
	/* The command may have changed what its directory's name means. */
	made = chdir(c->directory) == 0 ? realpath(output, NULL) : NULL;
	if (!made)
		return fail(c, MH_FAIL_JOB_FAILED, "output: the command made no '%s'",
			    output);
	if (is_below(made, c->host->info(c->job, MH_INFO_WORK_DIR)))
		rc = move_output(c, made, dir);
	else
		rc = fail(c, MH_FAIL_JOB_FAILED,
			  "output: '%s' lies outside of the job's workspace", output);
	free(made);
	return rc;
}

/* --- the plugin --- */

static void finish(const struct command *c, int status)
{
	const struct mh_host *host = c->host;
	char why[TEXT_MAX];
	int unusable;

	if (host->cancelled(c->job)) {
		(void)fail(c, MH_FAIL_JOB_FAILED, "cancelled");
		return;
	}
	/* Success first: what the file says (a continuation, a failure) replaces it,
	 * and a bad exit code replaces all but a failure that the file names. */
	(void)host->succeed(c->job);
	unusable = apply_result_file(c, why);
	if (check_status(c, status) != 0)
		return;
	if (unusable) /* the command meant to say something, and it is lost */
		(void)fail(c, MH_FAIL_JOB_FAILED, "$MILLHAND_RESULT: %s", why);
	if (host->outcome(c->job) == MH_OUTCOME_SUCCESS)
		(void)collect_output(c); /* says itself what went wrong */
}

/* What was made here and is of no use any more: a workspace that is left empty can serve
 * the next job. */
static void tidy(const struct command *c, const char *tmp_dir)
{
	char workspace[PATH_MAX];

	(void)snprintf(workspace, sizeof workspace, "%s/workspace", tmp_dir);
	(void)rmdir(workspace); /* not when there is anything in it */
	(void)unlink(c->result_file); /* read, if the command wrote one */
}

static int32_t run(struct mh_job *job, const struct mh_host *host)
{
	struct command c = { .job = job,
			     .host = host,
			     .wanted = { .job = job, .host = host } };
	const char *tmp_dir = host->info(job, MH_INFO_TMP_DIR);
	int status;

	(void)snprintf(c.result_file, sizeof c.result_file, "%s/result.json", tmp_dir);
	if (wanted_open(&c.wanted, tmp_dir) != 0)
		(void)fail_system(&c, "what the command asks by");
	else if (choose_directory(&c) == 0 && put_context(&c) == 0 &&
		 put_artifacts(&c) == 0 && put_config(&c) == 0 &&
		 run_command(&c, &status) == 0)
		finish(&c, status);
	tidy(&c, tmp_dir);
	wanted_close(&c.wanted);
	return 0;
}

MH_PLUGIN_DEFINE("command", "1.0", "runs any program as the work of a job",
		 MH_PLUGIN_OPEN_OPTIONS, options, run)
