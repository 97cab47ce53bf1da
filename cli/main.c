/* millhand: asks a running agent. Each command is one request over its socket. */
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/show.h"
#include "config.h"
#include "lib/base/macros.h"

#define ANSWER_TIMEOUT_MS 5000

/* As the agent's (peers.md section 5). */
#define EXIT_OK       0
#define EXIT_FAILED   1 /* the agent said no, or may not be asked */
#define EXIT_USAGE    2
#define EXIT_TEMPFAIL 75 /* no agent runs, or it does not answer */
#define EXIT_CONFIG   78

static const char usage_text[] =
	"Usage: millhand [OPTION]... COMMAND\n"
	"Asks the millhand-agent of this host.\n"
	"\n"
	"  status        how it is, and what it serves\n"
	"  jobs          every job it has\n"
	"  drain         take no new jobs; those it has are finished, and it stays\n"
	"  resume        take jobs again\n"
	"  cancel JOB    end one job, by its id or number; it is reported as failed\n"
	"  poll-now      ask for jobs at once\n"
	"\n"
	"  -c, --config FILE   the agent's configuration, which says where its state is\n"
	"                      (/etc/millhand/agent.conf)\n"
	"      --socket PATH   the agent's socket itself (<state_dir>/control)\n"
	"      --json          print the answer as one line of JSON\n"
	"      --wait          drain: until no job is left\n"
	"      --version       print the version, and end\n"
	"  -h, --help          print this, and end\n"
	"\n"
	"Exit status: 0 done, 1 the agent refused, 2 wrong usage, 75 no agent answers,\n"
	"78 wrong configuration.\n";

struct arguments {
	struct place place;
	bool json, wait;
	const char *job;
};

struct command {
	const char *name;
	bool takes_job;
	void (*show)(FILE *out, struct json_object *answer);
};

/* --- what is said ----------------------------------------------------------------------
 */

static void show_drain(FILE *out, struct json_object *answer)
{
	int64_t open = json_opt_i64(json_opt_object(answer, "jobs"), "open", 0);

	if (open == 0)
		fputs("drained: no job is left\n", out);
	else
		fprintf(out, "no new jobs are taken; %" PRId64 " left\n", open);
}

static void show_resume(FILE *out, struct json_object *answer)
{
	(void)answer;
	fputs("jobs are taken again\n", out);
}

static void show_cancel(FILE *out, struct json_object *answer)
{
	fprintf(out, "job %" PRId64 " (", json_opt_i64(answer, "n", 0));
	show_text(out, json_opt_str(answer, "id", "?"));
	fputs(") is cancelled\n", out);
}

static void show_poll(FILE *out, struct json_object *answer)
{
	int64_t polls = json_opt_i64(answer, "polls", 0);

	if (polls == 0)
		fputs("no slot is free: nothing to poll for\n", out);
	else
		fprintf(out, "polling for %" PRId64 " action type%s\n", polls,
			polls == 1 ? "" : "s");
}

static const struct command commands[] = {
	{ "status", false, show_status }, { "jobs", false, show_jobs },
	{ "drain", false, show_drain },   { "resume", false, show_resume },
	{ "cancel", true, show_cancel },  { "poll-now", false, show_poll },
};

/* --- arguments
 * --------------------------------------------------------------------------- */

static int wrong_usage(const char *fmt, ...) MH_PRINTF(1, 2);
static int wrong_usage(const char *fmt, ...)
{
	va_list args;

	fputs("millhand: ", stderr);
	va_start(args, fmt);
	(void)vfprintf(stderr, fmt, args); /* nowhere to complain */
	va_end(args);
	fputs("\nTry 'millhand --help'.\n", stderr);
	return EXIT_USAGE;
}

enum { OPT_SOCKET = 256, OPT_JSON, OPT_WAIT, OPT_VERSION };

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "wait", no_argument, NULL, OPT_WAIT },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

/* 0 to go on, or an exit code plus 1. */
static int take_option(int option, struct arguments *args)
{
	switch (option) {
	case 'c':
		args->place.config = optarg;
		return 0;
	case OPT_SOCKET:
		args->place.socket = optarg;
		return 0;
	case OPT_JSON:
		args->json = true;
		return 0;
	case OPT_WAIT:
		args->wait = true;
		return 0;
	case OPT_VERSION:
		puts("millhand " PACKAGE_VERSION);
		return EXIT_OK + 1;
	case 'h':
		fputs(usage_text, stdout);
		return EXIT_OK + 1;
	default: /* getopt has said what is wrong */
		fputs("Try 'millhand --help'.\n", stderr);
		return EXIT_USAGE + 1;
	}
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

/* The words that are no options: a command, and what it takes. */
static int take_words(int count, char **words, struct arguments *args,
		      const struct command **ret)
{
	if (count == 0)
		return wrong_usage("which command?");
	*ret = find_command(words[0]);
	if (!*ret)
		return wrong_usage("there is no command %s", words[0]);
	if (count > 1 + (*ret)->takes_job)
		return wrong_usage("%s is one word too many", words[count - 1]);
	if ((*ret)->takes_job && count == 1)
		return wrong_usage("%s which job? See millhand jobs", words[0]);
	if (args->wait && strcmp(words[0], "drain") != 0)
		return wrong_usage("--wait is for drain alone");
	args->job = (*ret)->takes_job ? words[1] : NULL;
	return EXIT_OK;
}

static int read_arguments(int argc, char **argv, struct arguments *args,
			  const struct command **ret)
{
	int option, rc;

	while ((option = getopt_long(argc, argv, "c:h", long_options, NULL)) != -1) {
		rc = take_option(option, args);
		if (rc != 0)
			return rc;
	}
	rc = take_words(argc - optind, argv + optind, args, ret);
	return rc == EXIT_OK ? 0 : rc + 1;
}

/* --- asking
 * -------------------------------------------------------------------------------- */

static void complain(const char *text)
{
	fputs("millhand: ", stderr);
	show_text(stderr, text);
	fputc('\n', stderr);
}

static struct json_object *request_of(const struct command *command,
				      const struct arguments *args)
{
	struct json_object *request = json_object_new_object();

	json_put_str(request, "command", command->name);
	json_put_str(request, "job", args->job);
	if (args->wait)
		json_put_bool(request, "wait", true);
	return request;
}

static int show_answer(const struct command *command, const struct arguments *args,
		       struct json_object *answer)
{
	bool ok = json_opt_bool(answer, "ok", false);

	if (args->json) {
		puts(json_text(answer));
	} else if (ok) {
		command->show(stdout, answer);
	} else {
		complain(json_opt_str(answer, "error", "the agent refuses"));
	}
	if (fflush(stdout) != 0 || ferror(stdout))
		return EXIT_FAILED;
	return ok ? EXIT_OK : EXIT_FAILED;
}

int main(int argc, char **argv)
{
	struct arguments args = { 0 };
	const struct command *command = NULL;
	CLEAN(json) struct json_object *request = NULL;
	CLEAN(json) struct json_object *answer = NULL;
	CLEAN(free) char *path = NULL;
	struct mh_err err = MH_ERR_INIT;
	int code = read_arguments(argc, argv, &args, &command);

	if (code != 0)
		return code - 1;
	request = request_of(command, &args);
	if (where_is(&args.place, &path, &err) != 0) {
		complain(err.text);
		return EXIT_CONFIG;
	}
	if (ask(path, request, args.wait ? 0 : ANSWER_TIMEOUT_MS, &answer, &err) != 0) {
		complain(err.text);
		return err.cls == MH_E_NOTFOUND || err.cls == MH_E_TIMEOUT ? EXIT_TEMPFAIL
									   : EXIT_FAILED;
	}
	return show_answer(command, &args, answer);
}
