/* millhand-agent: arguments, configuration, and out. Everything else is agent.c. */
#include <errno.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/describe.h"
#include "config.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"
#include "lib/base/protect.h"
#include "lib/base/str.h"

#define DEFAULT_CONFIG "/etc/millhand/agent.conf"

static const char usage_text[] =
	"Usage: millhand-agent [-c FILE] [OPTION]...\n"
	"Takes jobs of CodePipeline custom actions, runs a plugin for each, and "
	"reports.\n"
	"\n"
	"  -c, --config FILE      configuration (" DEFAULT_CONFIG ")\n"
	"      --check            check the configuration, and end\n"
	"      --dump             print the configuration with every key, and end\n"
	"      --sample           print a commented configuration, and end\n"
	"      --once             end after one job (--max-jobs 1)\n"
	"      --max-jobs N       end after N jobs\n"
	"      --idle-timeout D   end after so long without a job (30s, 5m, 1h)\n"
	"      --max-uptime D     drain after so long, and end\n"
	"  -v, --verbose          log at level debug\n"
	"      --version          print the version, and end\n"
	"  -h, --help             print this, and end\n"
	"\n"
	"Signals: TERM, INT drain (again: cancel jobs; again: end now), QUIT cancels,\n"
	"HUP reads the configuration again, USR1 logs the state, USR2 hands over: "
	"running\n"
	"jobs stay, the next agent finds them.\n"
	"Exit status: 0 ended as asked, 1 failed, 2 wrong usage, 75 try again later,\n"
	"78 wrong configuration.\n";

static const char sample_text[] =
	"# Configuration of millhand-agent (/etc/millhand/agent.conf, or -c FILE); see\n"
	"# millhand-agent.conf(5). Every key stands here with its default, or with an\n"
	"# example where it has none. Lines that begin with \"# \" explain; take the #\n"
	"# away from other lines to use them. At least one action is needed.\n"
	"\n";

enum task { TASK_RUN, TASK_CHECK, TASK_DUMP, TASK_SAMPLE, TASK_MAN_KEYS };

struct arguments {
	const char *config;
	enum task task;
	bool verbose;
	struct agent_options options;
};

enum {
	OPT_CHECK = 256,
	OPT_DUMP,
	OPT_SAMPLE,
	OPT_MAN_KEYS,
	OPT_ONCE,
	OPT_MAX_JOBS,
	OPT_IDLE,
	OPT_UPTIME,
	OPT_VERSION
};

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "dump", no_argument, NULL, OPT_DUMP },
	{ "sample", no_argument, NULL, OPT_SAMPLE },
	{ "man-keys", no_argument, NULL, OPT_MAN_KEYS }, /* for docs/man/ */
	{ "once", no_argument, NULL, OPT_ONCE },
	{ "max-jobs", required_argument, NULL, OPT_MAX_JOBS },
	{ "idle-timeout", required_argument, NULL, OPT_IDLE },
	{ "max-uptime", required_argument, NULL, OPT_UPTIME },
	{ "verbose", no_argument, NULL, 'v' },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static void complain(const char *text)
{
	fprintf(stderr, "millhand-agent: %s\n", text);
}

static int wrong_usage(const char *text)
{
	if (text)
		complain(text);
	fputs("Try 'millhand-agent --help'.\n", stderr);
	return EXIT_USAGE;
}

/* 0 to go on, or an exit code plus 1. */
static int take_option(int option, struct arguments *args)
{
	struct mh_err err = MH_ERR_INIT;

	switch (option) {
	case 'c':
		args->config = optarg;
		return 0;
	case 'v':
		args->verbose = true;
		return 0;
	case OPT_CHECK:
		args->task = TASK_CHECK;
		return 0;
	case OPT_DUMP:
		args->task = TASK_DUMP;
		return 0;
	case OPT_SAMPLE:
		args->task = TASK_SAMPLE;
		return 0;
	case OPT_MAN_KEYS:
		args->task = TASK_MAN_KEYS;
		return 0;
	case OPT_ONCE:
		args->options.max_jobs = 1;
		return 0;
	case OPT_MAX_JOBS:
		if (str_to_i64(optarg, 1, 1000000000, "--max-jobs",
			       &args->options.max_jobs, &err) != 0)
			return wrong_usage(err.text) + 1;
		return 0;
	case OPT_IDLE:
		if (str_to_duration_ms(optarg, &args->options.idle_timeout_ms, &err) != 0)
			return wrong_usage(err.text) + 1;
		return 0;
	case OPT_UPTIME:
		if (str_to_duration_ms(optarg, &args->options.max_uptime_ms, &err) != 0)
			return wrong_usage(err.text) + 1;
		return 0;
	case OPT_VERSION:
		puts("millhand-agent " PACKAGE_VERSION);
		return EXIT_OK + 1;
	case 'h':
		fputs(usage_text, stdout);
		return EXIT_OK + 1;
	default: /* getopt has said what is wrong */
		return wrong_usage(NULL) + 1;
	}
}

static int read_arguments(int argc, char **argv, struct arguments *args)
{
	int option, rc;

	while ((option = getopt_long(argc, argv, "c:vh", long_options, NULL)) != -1) {
		rc = take_option(option, args);
		if (rc != 0)
			return rc;
	}
	if (optind < argc)
		return wrong_usage("takes options only") + 1;
	return 0;
}

/* The proxies' variables may have a password in them. */
static void protect(void)
{
	static const char *const names[] = { "AWS_ACCESS_KEY_ID",
					     "AWS_SECRET_ACCESS_KEY",
					     "AWS_SESSION_TOKEN",
					     "AWS_SECURITY_TOKEN",
					     "AWS_CONTAINER_AUTHORIZATION_TOKEN",
					     "http_proxy",
					     "https_proxy",
					     "HTTPS_PROXY",
					     "all_proxy",
					     "ALL_PROXY",
					     NULL };

	protect_process();
	protect_environment(names);
	/* One removes directories, and one asks plugins, which may hang, for a reload. */
	(void)setenv("UV_THREADPOOL_SIZE", "2", 0); /* else libuv starts four */
}

static void start_log(const struct settings *s, bool verbose)
{
	log_init("millhand-agent", (enum log_format)s->log_format,
		 verbose ? LOG_LEVEL_DEBUG : settings_log_level(s));
}

/* 78 is for what a person must mend: services are not restarted then. */
static int exit_code_of(const struct mh_err *err)
{
	switch (err->sys_errno) {
	case EACCES:
	case EPERM:
	case EROFS:
	case ENOTDIR:
	case EISDIR:
	case ELOOP:
	case ENAMETOOLONG:
		return EXIT_CONFIG;
	default:
		break;
	}
	switch (err->cls) {
	case MH_E_CONFIG:
	case MH_E_AUTH:
	case MH_E_VERSION:
	case MH_E_NOTFOUND:
	case MH_E_PROTO: /* a damaged ledger */
		return EXIT_CONFIG;
	case MH_E_DENIED: /* another agent has the state directory */
		return EXIT_TEMPFAIL;
	default:
		return EXIT_FAILED;
	}
}

static int run_agent(struct settings *settings, struct arguments *args)
{
	struct agent *agent = NULL;
	struct mh_err err = MH_ERR_INIT;
	int code;

	if (settings_exposed(args->config, settings))
		log_event(LOG_LEVEL_WARN, "agent.exposed",
			  "the configuration holds a secret and everybody may read it; "
			  "chmod o-r",
			  LOG_S("file", args->config), LOG_END);
	args->options.config = args->config;
	args->options.verbose = args->verbose;
	if (agent_new(settings, &args->options, &agent, &err) != 0) {
		if (err.cls == MH_E_CONFIG)
			(void)mh_err_wrap(&err, "%s", args->config);
		log_event(LOG_LEVEL_ERROR, "agent.not_started", "the agent cannot start",
			  LOG_ERR(&err), LOG_END);
		return exit_code_of(&err);
	}
	code = agent_run(agent);
	agent_free(agent);
	return code;
}

/* The last thing that can be wrong without an endpoint. */
static int check_plugins(const struct settings *settings, const struct arguments *args)
{
	CLEAN(free)
	struct plugin_info *plugins = mh_alloc(settings->actions.count *
					       sizeof(*plugins));
	struct mh_err err = MH_ERR_INIT;

	if (describe_all(settings, -1, plugins, &err) != 0) {
		fprintf(stderr, "millhand-agent: %s: %s\n", args->config, err.text);
		return EXIT_CONFIG;
	}
	printf("%s: ok, %zu action types\n", args->config, settings->actions.count);
	return EXIT_OK;
}

static int print_about_keys(enum task task)
{
	if (task == TASK_MAN_KEYS) {
		conf_man(stdout, settings_keys);
	} else {
		fputs(sample_text, stdout);
		conf_sample(stdout, settings_keys);
	}
	return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

int main(int argc, char **argv)
{
	struct arguments args = { .config = DEFAULT_CONFIG };
	struct settings settings = { 0 };
	struct mh_err err = MH_ERR_INIT;
	int code = read_arguments(argc, argv, &args);

	if (code != 0)
		return code - 1;
	protect();
	if (sodium_init() < 0) {
		complain("libsodium cannot be started");
		return EXIT_FAILED;
	}
	if (args.task == TASK_SAMPLE || args.task == TASK_MAN_KEYS)
		return print_about_keys(args.task);
	if (settings_read(args.config, NULL, &settings, &err) != 0) {
		complain(err.text);
		return EXIT_CONFIG;
	}
	start_log(&settings, args.verbose);
	if (args.task == TASK_DUMP)
		conf_dump(stdout, settings_keys, &settings);
	else if (args.task == TASK_CHECK)
		code = check_plugins(&settings, &args);
	else
		code = run_agent(&settings, &args);
	settings_done(&settings);
	if (fflush(stdout) != 0 && code == EXIT_OK)
		code = EXIT_FAILED;
	return code;
}
