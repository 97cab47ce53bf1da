/*
 * The plugin author's header: all that a Millhand plugin sees.
 *
 * A plugin is a shared object, <plugin_dir>/<name>.so, that exports one constant
 * structure called `mh_plugin`. It does the work of one job of a CodePipeline
 * custom action. It links to nothing of Millhand: everything it may do comes in
 * as a table of functions, so it can be tested with a table of the test's own.
 *
 *	#include <millhand/plugin.h>
 *
 *	static int32_t run(struct mh_job *job, const struct mh_host *host)
 *	{
 *		const char *greeting = host->config(job, "greeting");
 *
 *		host->log(job, MH_LOG_INFO, greeting);
 *		return host->succeed(job);
 *	}
 *
 *	static const struct mh_option options[] = {
 *		{ "greeting", "what to say", "hello", MH_OPTION_STRING, 0, 0, 0 },
 *		MH_OPTIONS_END
 *	};
 *
 *	MH_PLUGIN_DEFINE("hello", "1.0", "says hello", 0, options, run)
 *
 *	cc -shared -fPIC -I... hello.c -o hello.so
 *
 * What happens, in this order:
 *
 *  1. A process of its own is made for the job. It holds no credentials of the
 *     agent, enters the sandbox (see the agent's configuration: sandbox), stands
 *     in the job's work directory, and has a clean environment: PATH, HOME and
 *     TMPDIR (the job's tmp directory), LANG, USER. stdin is empty; stdout and
 *     stderr, also those of programs that the plugin starts, are the job's log.
 *  2. The plugin file is checked (owned by root or by the agent's user, not
 *     writable by group or others) and loaded. Constructors run now.
 *  3. `mh_plugin` is checked: abi, then size, then the name, which must be the
 *     file's name without ".so", then the options.
 *  4. The job's configuration is held against the options: an unknown key, a
 *     missing one or one of the wrong type ends the job as ConfigurationError.
 *  5. run() is called, once. It says how the job ended with one of succeed(),
 *     fail() and continue_later(), and returns 0.
 *  6. The process ends. Everything that the plugin started and left behind is
 *     killed, unless the action says sandbox.detach = true. The outputs are packed.
 *
 * When things go wrong:
 *
 *  - A plugin that crashes, exits by itself, returns without an outcome or answers
 *    non-zero has broken its contract: that is the host's fault, not the job's, and
 *    the job ends as SystemUnavailable with what is known about the crash.
 *  - At the job's deadline, or when it is cancelled, cancel_fd() becomes readable,
 *    cancelled() answers 1, and every process of the job gets SIGTERM. The plugin's
 *    own process survives that SIGTERM (calls return EINTR), so it can tidy up;
 *    its children do not, unless they catch it. After the grace period everything
 *    is killed. Whatever the plugin says after the cancellation, the job has failed.
 *  - A plugin may run twice for one job only if it has the flag MH_PLUGIN_IDEMPOTENT,
 *    or its action entry in the agent's configuration says idempotent = true: after a
 *    crash of the host, jobs of other plugins are reported SystemUnavailable.
 *
 * Rules: the functions may be called from the thread that called run() only, until
 * run() returns; the same holds for every string they answer. Strings are UTF-8.
 * Functions that answer int32_t answer 0, or -1 when they refuse, and then
 * last_error() says why in one line.
 *
 * Versions: an ABI is (major << 16) | minor. A host takes plugins of its own major
 * and of no newer minor. Fields are only ever appended, and `size` tells both sides
 * which are there: ask MH_HOST_HAS() for functions newer than 1.0.
 *
 *	1.0	first
 */
#ifndef MILLHAND_PLUGIN_H
#define MILLHAND_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MH_ABI_MAJOR 1u
#define MH_ABI_MINOR 0u
#define MH_ABI       ((MH_ABI_MAJOR << 16) | MH_ABI_MINOR)

/* Levels of log(). */
#define MH_LOG_ERROR   3
#define MH_LOG_WARNING 4
#define MH_LOG_INFO    6
#define MH_LOG_DEBUG   7

/* Kinds of fail(): CodePipeline's FailureType. */
#define MH_FAIL_JOB_FAILED           1 /* the work itself failed: a build, a test */
#define MH_FAIL_CONFIGURATION_ERROR  2 /* the action's configuration is wrong */
#define MH_FAIL_PERMISSION_ERROR     3 /* something needed is not allowed */
#define MH_FAIL_REVISION_OUT_OF_SYNC 4 /* the revision is no longer the current one */
#define MH_FAIL_REVISION_UNAVAILABLE 5 /* the revision or artifact is not there */
#define MH_FAIL_SYSTEM_UNAVAILABLE   6 /* the host's fault; trying again may help */

/* Flags of a plugin. */
#define MH_PLUGIN_IDEMPOTENT   1u /* running twice does what running once does */
#define MH_PLUGIN_OPEN_OPTIONS 2u /* keys that are no options are welcome, as strings */

/* Types of an option. Configuration values always are strings; these say which
 * strings are right. */
#define MH_OPTION_STRING  1
#define MH_OPTION_INTEGER 2 /* decimal; minimum <= value <= maximum */
#define MH_OPTION_BOOLEAN 3 /* "true" or "false" */

/* Flags of an option. */
#define MH_OPTION_REQUIRED 1u
#define MH_OPTION_PUBLIC   2u /* no secret: its value may stand in the log */

/* One configuration key. A zeroed row (MH_OPTIONS_END) ends the list. */
struct mh_option {
	const char *name; /* 1 to 50 characters */
	const char *help; /* one line for people */
	const char *fallback; /* what config() answers when the key is absent; or NULL */
	int32_t type;
	uint32_t flags;
	int64_t minimum, maximum; /* MH_OPTION_INTEGER; both 0: any */
};

#define MH_OPTIONS_END                                                                   \
	{                                                                                \
		NULL, NULL, NULL, 0, 0, 0, 0                                             \
	}

/* What info() tells. */
#define MH_INFO_JOB_ID             1
#define MH_INFO_ACCOUNT_ID         2
#define MH_INFO_PIPELINE           3 /* name */
#define MH_INFO_PIPELINE_ARN       4
#define MH_INFO_EXECUTION_ID       5 /* of the pipeline execution */
#define MH_INFO_STAGE              6
#define MH_INFO_ACTION             7
#define MH_INFO_ACTION_EXECUTION   8
#define MH_INFO_CONTINUATION_TOKEN 9 /* as given to continue_later() before */
#define MH_INFO_CATEGORY           10 /* of the action type */
#define MH_INFO_OWNER              11
#define MH_INFO_PROVIDER           12
#define MH_INFO_TYPE_VERSION       13
#define MH_INFO_WORK_DIR           14 /* holds in/, out/ and tmp/ */
#define MH_INFO_TMP_DIR            15 /* empty at the start, removed after the job */

/* What outcome() answers. */
#define MH_OUTCOME_NONE         0
#define MH_OUTCOME_SUCCESS      1
#define MH_OUTCOME_CONTINUATION 2
#define MH_OUTCOME_FAILURE      3

/* Limits: longer summaries and messages are cut at a character, the rest is refused. */
#define MH_SUMMARY_MAX_BYTES     2048
#define MH_MESSAGE_MAX_BYTES     5000
#define MH_TOKEN_MAX_BYTES       2048
#define MH_EXTERNAL_ID_MAX_BYTES 1500
#define MH_REVISION_MAX_BYTES    1500
#define MH_CHANGE_ID_MAX_BYTES   100
#define MH_VARIABLES_MAX_BYTES   122880 /* names and values of one job together */

struct mh_job; /* opaque; valid during run() */

/* The functions lent to a plugin. */
struct mh_host {
	uint32_t abi; /* the host's */
	uint32_t size; /* sizeof(struct mh_host) as the host was built */

	/* Why the last call that answered -1 did so; "" when none has. */
	const char *(*last_error)(struct mh_job *job);

	/* One line in the job's log. Line breaks in it start further lines. */
	void (*log)(struct mh_job *job, int32_t level, const char *text);

	/* The value of a configuration key, else the option's fallback, else NULL. */
	const char *(*config)(struct mh_job *job, const char *key);
	/* Of an MH_OPTION_INTEGER; `otherwise` when there is neither value nor fallback.
	 */
	int64_t (*config_integer)(struct mh_job *job, const char *key, int64_t otherwise);
	/* Of an MH_OPTION_BOOLEAN: 0 or 1; `otherwise` as above. */
	int32_t (*config_boolean)(struct mh_job *job, const char *key, int32_t otherwise);
	/* The keys that were given, in no particular order: for index < config_count().
	 */
	uint32_t (*config_count)(struct mh_job *job);
	const char *(*config_key)(struct mh_job *job, uint32_t index);

	/* One fact about the job (MH_INFO_*), NULL when it has none. Pipeline ARN,
	 * execution and action execution id are missing in some services' jobs. */
	const char *(*info)(struct mh_job *job, int32_t what);
	/* The whole job document as JSON: id, accountId, data, as PollForJobs gives it
	 * but without nonce and artifact credentials. NUL-terminated. It holds the
	 * configuration's secrets. */
	const char *(*document)(struct mh_job *job, uint64_t *size_bytes);
	/* The same in a sealed memory file. Close-on-exec: dup() it for a child, which
	 * can then read /proc/self/fd/<n>. Do not close it. */
	int32_t (*document_fd)(struct mh_job *job);

	/* Artifacts, in the pipeline's order: for index < count; NULL beyond. Input
	 * directories hold the unpacked artifact. An output's directory is made when it
	 * is first asked for (NULL when that fails); what is in it after success becomes
	 * the artifact, and an output left empty fails the job. */
	uint32_t (*input_count)(struct mh_job *job);
	const char *(*input_name)(struct mh_job *job, uint32_t index);
	const char *(*input_dir)(struct mh_job *job, uint32_t index);
	uint32_t (*output_count)(struct mh_job *job);
	const char *(*output_name)(struct mh_job *job, uint32_t index);
	const char *(*output_dir)(struct mh_job *job, uint32_t index);

	/* What the pipeline shows and hands on. The last call counts. Names of variables
	 * match [A-Za-z0-9@_-]+. Variables are for success: with a continuation they are
	 * dropped, with a warning in the log, because the API refuses them there. */
	int32_t (*set_variable)(struct mh_job *job, const char *name, const char *value);
	int32_t (*set_summary)(struct mh_job *job, const char *summary);
	int32_t (*set_percent)(struct mh_job *job, int32_t percent); /* 0 to 100 */
	/* The id of the work in some outside system; the pipeline's link is made of it.
	 */
	int32_t (*set_external_id)(struct mh_job *job, const char *id);
	/* For actions that bring a revision. summary may be NULL; created_ms since 1970
	 * UTC, 0 when unknown. */
	int32_t (*set_revision)(struct mh_job *job, const char *revision,
				const char *change_id, const char *summary,
				int64_t created_ms);

	/* Lets the agent know summary, percent and external id as set so far. Cheap; a
	 * flood is thinned out. */
	int32_t (*send_progress)(struct mh_job *job);

	/* 1 once the job was cancelled or its deadline passed, else 0. */
	int32_t (*cancelled)(struct mh_job *job);
	/* A descriptor to poll(2): readable once cancelled() is 1. Do not read or close.
	 */
	int32_t (*cancel_fd)(struct mh_job *job);
	/* Asks the service whether this action still is to happen, before a step that
	 * cannot be undone: 0 when it was abandoned or cancelled, 1 when it is wanted or
	 * nobody can tell. May take some seconds. */
	int32_t (*wanted)(struct mh_job *job);

	/* How the job ended. The last call counts, but nothing takes back a fail().
	 * fail() takes one of MH_FAIL_*; the end of the log is added to its message.
	 * continue_later() ends this job; the service makes a successor that carries the
	 * token (it may land on another host: keep nothing here that it needs), and the
	 * agent reports not before delay_ms, so that the successor appears then. */
	int32_t (*succeed)(struct mh_job *job);
	int32_t (*fail)(struct mh_job *job, int32_t kind, const char *message);
	int32_t (*continue_later)(struct mh_job *job, const char *token,
				  int64_t delay_ms);

	/* MH_OUTCOME_*, as it stands now. */
	int32_t (*outcome)(struct mh_job *job);

	/* For plugins that run programs: takes a JSON document as a program may write it
	 * and does the calls above for it. All members are optional:
	 *	{ "summary": "...", "percent": 50, "external_id": "...",
	 *	  "variables": { "name": "value" },
	 *	  "revision": { "revision": "...", "change_id": "...", "summary": "...",
	 *	                "created_ms": 0 },
	 *	  "continuation": { "token": "...", "delay_s": 30 },
	 *	  "failure": { "type": "JobFailed", "message": "..." } }
	 * Strict: an unknown member, a wrong type or a limit passed refuses the whole
	 * document, and nothing of it is taken. */
	int32_t (*apply_result)(struct mh_job *job, const char *json,
				uint64_t size_bytes);
};

#define MH_HOST_HAS(host, function)                                                      \
	((host)->size >=                                                                 \
		 offsetof(struct mh_host, function) + sizeof((host)->function) &&        \
	 (host)->function != NULL)

/* What a plugin exports. The first two fields never move. */
struct mh_plugin {
	uint32_t abi; /* MH_ABI as the plugin was built */
	uint32_t size; /* sizeof(struct mh_plugin) as the plugin was built */
	const char *name; /* the file's name without .so: [a-z0-9_-]+ */
	const char *version;
	const char *summary; /* one line for people */
	uint32_t flags; /* MH_PLUGIN_* */
	uint32_t option_size; /* sizeof(struct mh_option) as the plugin was built */
	const struct mh_option *options; /* ended by a zeroed row; NULL: none */
	int32_t (*run)(struct mh_job *job, const struct mh_host *host);
};

#if defined(__GNUC__)
#define MH_PLUGIN_EXPORT __attribute__((visibility("default")))
#else
#define MH_PLUGIN_EXPORT
#endif

extern MH_PLUGIN_EXPORT const struct mh_plugin mh_plugin;

/* Defines mh_plugin; once in a plugin, at file scope, without a semicolon. */
#define MH_PLUGIN_DEFINE(name_, version_, summary_, flags_, options_, run_)              \
	const struct mh_plugin mh_plugin = { MH_ABI,                                     \
					     (uint32_t)sizeof(struct mh_plugin),         \
					     name_,                                      \
					     version_,                                   \
					     summary_,                                   \
					     flags_,                                     \
					     (uint32_t)sizeof(struct mh_option),         \
					     options_,                                   \
					     run_ };

#ifdef __cplusplus
}
#endif

#endif
