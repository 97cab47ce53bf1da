#include "agent/job/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "agent/job/sandbox.h"
#include "agent/job/wire.h"
#include "include/millhand/plugin.h"
#include "lib/base/fault.h"
#include "lib/base/fsio.h"
#include "lib/base/log.h"

/* Together about 16 s: longer than most jobs that fill a disk by mistake. */
#define SPACE_TRIES    6
#define SPACE_FIRST_MS ((int64_t)250)

static const char *const step_names[] = {
	[STEP_UNPACK] = "unpack", [STEP_RUN] = "run",     [STEP_SWEEP] = "run",
	[STEP_PACK] = "pack",     [STEP_FINISH] = "pack", [STEP_DONE] = "done",
};

struct json_object *shim_state_message(const struct shim *s)
{
	struct json_object *message = wire_new("state");

	json_put_str(message, "step", step_names[s->step]);
	return message;
}

void shim_enter_step(struct shim *s, enum shim_step step)
{
	bool changed = strcmp(step_names[s->step], step_names[step]) != 0;
	CLEAN(json) struct json_object *message = NULL;

	s->step = step;
	s->artifact = 0;
	if (!changed)
		return;
	message = shim_state_message(s);
	agents_broadcast(&s->agents, message);
}

void shim_fail(struct shim *s, int failure, const char *fmt, ...)
{
	char text[MH_ERR_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof text, fmt, args); /* cut is fine */
	va_end(args);
	if (s->stop.active) /* what follows from a cancellation is not news */
		result_force_failure(&s->result, s->stop.failure, "%s", s->stop.message);
	else
		result_force_failure(&s->result, failure, "%s", text);
	s->step = STEP_FINISH;
	shim_finish(s);
}

/* --- workspace --- */

static int make_dir(const struct shim *s, const char *name, struct mh_err *err)
{
	int rc = mkdirat(s->workdir_fd, name, 0700);

	/* Of a workspace that served another job, and is as good as new. */
	if (rc != 0 && errno == EEXIST && fs_is_empty_dir(s->workdir_fd, name))
		rc = 0;
	if (rc != 0 && errno == EEXIST) {
		/* An idempotent job may run again where an earlier try left things. */
		if (fs_remove_tree_at(s->workdir_fd, name, err) != 0)
			return -1;
		rc = mkdirat(s->workdir_fd, name, 0700);
	}
	if (rc != 0)
		return mh_err_sys(err, "make %s", name);
	if (s->spec.switch_user && fchownat(s->workdir_fd, name, s->spec.uid, s->spec.gid,
					    AT_SYMLINK_NOFOLLOW) != 0)
		return mh_err_sys(err, "chown %s", name);
	return 0;
}

static int make_workspace(struct shim *s, struct mh_err *err)
{
	/* The agent made it, with the rest of the path; others may play the agent. */
	if (fs_open_dir(AT_FDCWD, s->spec.work_dir, &s->workdir_fd, err) != 0 &&
	    (fs_mkdir_p(s->spec.work_dir, 0700, err) != 0 ||
	     fs_open_dir(AT_FDCWD, s->spec.work_dir, &s->workdir_fd, err) != 0))
		return -1;
	if (s->spec.switch_user && fchown(s->workdir_fd, s->spec.uid, s->spec.gid) != 0)
		return mh_err_sys(err, "chown %s", s->spec.work_dir);
	/* A directory is the dearest thing to make and remove of all that a job needs. */
	if ((s->spec.input_count && make_dir(s, "in", err) != 0) ||
	    (s->spec.output_count && make_dir(s, "out", err) != 0))
		return -1;
	return make_dir(s, "tmp", err);
}

/* --- steps --- */

static void unpack_next(struct shim *s)
{
	struct mh_err err;

	if (archiver_unpack(&s->archiver, &s->spec, s->jobdir_fd, s->workdir_fd,
			    s->log.write_fd, s->artifact, &err) != 0)
		shim_fail(s, MH_FAIL_SYSTEM_UNAVAILABLE, "input artifact %s: %s",
			  s->spec.inputs[s->artifact].name, err.text);
}

static void run_handler(struct shim *s)
{
	struct mh_err err;

	shim_enter_step(s, STEP_RUN);
	FAULT_POINT("job_before_handler");
	if (handler_start(s, &err) != 0)
		shim_fail(s, MH_FAIL_SYSTEM_UNAVAILABLE, "%s", err.text);
	FAULT_POINT("job_running");
}

/* Whether the action type can do without one more of its outputs. */
static bool may_skip_output(const struct shim *s)
{
	size_t packed = json_object_array_length(s->packed);
	size_t left = s->spec.output_count - s->artifact - 1; /* after this one */

	return packed + left >= s->spec.outputs_min;
}

static void pack_next(struct shim *s)
{
	const char *name = s->spec.outputs[s->artifact].name;
	struct mh_err err;

	if (archiver_pack(&s->archiver, &s->spec, s->jobdir_fd, s->workdir_fd,
			  s->log.write_fd, s->artifact, &err) == 0)
		return;
	if (err.cls == MH_E_NOTFOUND && may_skip_output(s)) {
		logpipe_note(&s->log, "output artifact %s is left unmade", name);
		s->artifact++;
		shim_advance(s);
		return;
	}
	if (err.cls == MH_E_NOTFOUND)
		shim_fail(s, MH_FAIL_JOB_FAILED,
			  "output artifact %s: the job left nothing in it", name);
	else
		shim_fail(s,
			  err.cls == MH_E_DENIED ? MH_FAIL_JOB_FAILED
						 : MH_FAIL_SYSTEM_UNAVAILABLE,
			  "output artifact %s: %s", name, err.text);
}

void shim_advance(struct shim *s)
{
	if (s->stop.active) {
		shim_fail(s, s->stop.failure, "%s", s->stop.message);
		return;
	}
	switch (s->step) {
	case STEP_UNPACK:
		if (s->artifact < s->spec.input_count)
			unpack_next(s);
		else
			run_handler(s);
		return;
	case STEP_SWEEP:
		/* Only a success has outputs. */
		if (s->result.kind == RESULT_SUCCESS)
			shim_enter_step(s, STEP_PACK);
		else
			s->step = STEP_FINISH;
		shim_advance(s);
		return;
	case STEP_PACK:
		if (s->artifact < s->spec.output_count) {
			pack_next(s);
			return;
		}
		s->step = STEP_FINISH;
		shim_finish(s);
		return;
	case STEP_FINISH:
		shim_finish(s);
		return;
	case STEP_RUN:
	case STEP_DONE:
		break;
	}
	MH_BUG("a step that does not end like this");
}

static int note_packed(struct shim *s, const struct archive_verdict *verdict,
		       struct mh_err *err)
{
	const struct spec_artifact *artifact = &s->spec.outputs[s->artifact];
	struct json_object *o;
	struct stat st;

	if (fstatat(s->jobdir_fd, artifact->file, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return mh_err_sys(err, "%s", artifact->file);
	o = json_object_new_object();
	json_put_str(o, "name", artifact->name);
	json_put_str(o, "file", artifact->file);
	json_put_i64(o, "size", st.st_size);
	json_put_str(o, "sha256", verdict->sha256);
	(void)json_object_array_add(s->packed, o); /* aborts on its own */
	return 0;
}

/* Another job may have filled the disk, and will be over: true when the output is tried
 * again. Its work is done; an input that does not fit has cost nothing yet. */
static bool wait_for_space(struct shim *s)
{
	if (s->space_tries == SPACE_TRIES)
		return false;
	if (s->space_tries == 0)
		logpipe_note(&s->log, "no space on the disk; trying again for a while");
	s->space_at_ms = clock_mono_ms() + (SPACE_FIRST_MS << s->space_tries++);
	return true;
}

void shim_archiver_ended(struct shim *s, int wait_status)
{
	bool packing = s->step == STEP_PACK;
	const struct spec_artifact *artifact = packing ? &s->spec.outputs[s->artifact]
						       : &s->spec.inputs[s->artifact];
	struct archive_verdict verdict;
	struct mh_err err;

	archiver_conclude(&s->archiver, wait_status, &verdict);
	if (packing)
		FAULT_POINT("job_packed");
	else
		FAULT_POINT("job_unpacked");
	if (verdict.no_space && packing && !s->stop.active && wait_for_space(s))
		return;
	s->space_tries = 0;
	if (s->stop.active || verdict.failure) {
		shim_fail(s, verdict.failure, "%s artifact %s: %s",
			  packing ? "output" : "input", artifact->name, verdict.message);
		return;
	}
	if (packing && note_packed(s, &verdict, &err) != 0) {
		shim_fail(s, MH_FAIL_SYSTEM_UNAVAILABLE, "output artifact %s: %s",
			  artifact->name, err.text);
		return;
	}
	s->artifact++;
	shim_advance(s);
}

/* --- start --- */

static void redact_config(struct shim *s, struct json_object *config)
{
	if (!config)
		return;
	json_object_object_foreach(config, key, value)
	{
		if (!spec_is_public(&s->spec, key) &&
		    json_object_is_type(value, json_type_string))
			redact_add(&s->log.redact, json_object_get_string(value));
	}
}

/* Configuration, also what the agent's keys hide of the pipeline's, and the token. */
static void redact_secrets(struct shim *s)
{
	struct json_object *data = json_opt_object(s->spec.job, "data");
	const char *token = json_opt_str(data, "continuationToken", NULL);

	redact_config(s, s->spec.config);
	redact_config(s, json_opt_object(json_opt_object(data, "actionConfiguration"),
					 "configuration"));
	if (token)
		redact_add(&s->log.redact, token);
}

static char *path_of_fd(int fd)
{
	char link[32], path[4096];
	ssize_t n;

	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof path - 1);
	return n > 0 ? mh_strndup(path, (size_t)n) : NULL;
}

static int prepare(struct shim *s, struct mh_err *err)
{
	if (clock_boot_id(s->boot_id, err) != 0 || loop_open(s, err) != 0)
		return -1;
	if (lseek(SHIM_FD_SPEC, 0, SEEK_SET) < 0)
		return mh_err_sys(err, "job spec");
	if (spec_read(SHIM_FD_SPEC, &s->spec, err) != 0)
		return -1;
	(void)close(SHIM_FD_SPEC); /* no child shall find it */
	s->deadline_ms = s->started_ms + (s->spec.deadline_ms - clock_wall_ms());
	if (logpipe_open(&s->log, s->jobdir_fd, s->spec.log_max_bytes, err) != 0)
		return -1;
	redact_secrets(s);
	/* Orphans of the job come to us, unless the job may leave some behind. */
	if (!s->spec.detach && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
		return mh_err_sys(err, "become subreaper");
	return make_workspace(s, err);
}

static void shim_done(struct shim *s)
{
	FAULT_POINT("job_done");
	handler_done(&s->handler);
	archiver_done(&s->archiver);
	agents_done(&s->agents);
	logpipe_done(&s->log);
	result_done(&s->result);
	spec_done(&s->spec);
	json_object_put(s->packed);
	free(s->jobdir);
	clean_fd(&s->signal_fd);
	clean_fd(&s->workdir_fd);
	clean_fd(&s->lock_fd); /* last: from here on the lock is free */
}

/* All of it is 0 already: a page of it that is not needed is never touched. */
static void begin(struct shim *s, int take_lock_fd)
{
	s->jobdir_fd = SHIM_FD_JOBDIR;
	s->socket_fd = SHIM_FD_SOCKET;
	s->lock_fd = take_lock_fd;
	s->signal_fd = s->workdir_fd = -1;
	s->jobdir = path_of_fd(SHIM_FD_JOBDIR);
	s->log = (struct logpipe)LOGPIPE_INIT;
	s->archiver = (struct archiver)ARCHIVER_INIT;
	s->handler.channel_fd = s->handler.cancel_fd = s->handler.status_fd = -1;
	s->stop.kill_at_ms = s->stop.give_up_at_ms = NEVER_MS;
	s->result = (struct result)RESULT_INIT;
	s->packed = json_object_new_array();
	s->started_ms = clock_mono_ms();
	s->deadline_ms = s->sweep_at_ms = s->retry_at_ms = s->space_at_ms = NEVER_MS;
	s->question = -1;
	s->question_until_ms = NEVER_MS;
}

int shim_main(int take_lock_fd)
{
	static struct shim s; /* one a process */
	struct mh_err err;

	begin(&s, take_lock_fd);
	sandbox_hide_memory();
	if (prepare(&s, &err) == 0) {
		FAULT_POINT("job_prepared");
		shim_advance(&s);
	} else {
		shim_fail(&s,
			  err.cls == MH_E_CONFIG ? MH_FAIL_CONFIGURATION_ERROR
						 : MH_FAIL_SYSTEM_UNAVAILABLE,
			  "%s", err.text);
	}
	while (s.step != STEP_DONE)
		loop_turn(&s);
	shim_done(&s);
	return 0;
}
