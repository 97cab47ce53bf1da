/* result.json: composed once, written until it is written. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/job/shim.h"
#include "agent/protocol.h"
#include "include/millhand/plugin.h"
#include "lib/base/fault.h"
#include "lib/base/fsio.h"
#include "lib/base/log.h"
#include "lib/base/str.h"

#define RETRY_MAX_MS  10000
#define UNHEARD_TRIES 2
/* As the agent lays its files out (docs/architecture.md). */
#define RESERVE_FROM_JOB "../../reserve"
#define RESERVE_TAKEN    (192 << 10) /* the longest result, and what writing it takes */
#define TAIL_HEADER      "\n--- end of the log ---\n"
#define TAIL_MIN_BYTES   80

static void replace(char **field, char *take_value)
{
	free(*field);
	*field = take_value;
}

/* The message, and as much of the log's end as still fits, in whole lines. */
static char *message_with_tail(const char *message, const char *tail)
{
	size_t used = strlen(message) + strlen(TAIL_HEADER);
	size_t len = strlen(tail), room;

	if (!*tail || used + TAIL_MIN_BYTES > MH_MESSAGE_MAX_BYTES)
		return mh_strdup(message);
	room = MH_MESSAGE_MAX_BYTES - used;
	if (len > room) {
		const char *cut = tail + (len - room);
		const char *newline = strchr(cut, '\n');

		if (newline)
			cut = newline + 1;
		while (((unsigned char)*cut & 0xc0) == 0x80) /* not amid a character */
			cut++;
		tail = cut;
	}
	return mh_format("%s" TAIL_HEADER "%s", message, tail);
}

static struct json_object *compose(struct shim *s, const char *tail)
{
	struct result *r = &s->result;
	struct json_object *doc;

	if (r->summary)
		replace(&r->summary, redact_text(&s->log.redact, r->summary));
	if (r->kind == RESULT_FAILURE) {
		CLEAN(free) char *redacted = redact_text(&s->log.redact, r->message);

		replace(&r->message, message_with_tail(redacted, tail));
	}
	doc = result_to_json(r);
	json_put_i64(doc, "version", RESULT_VERSION);
	json_put_str(doc, "boot_id", s->boot_id);
	json_put_i64(doc, "n", s->spec.n);
	if (r->variables && r->kind == RESULT_SUCCESS)
		json_put_obj(doc, "variables", json_object_get(r->variables));
	json_put_obj(doc, "outputs", json_object_get(s->packed));
	json_put_str(doc, "log_tail", tail);
	return doc;
}

/* result.json must never be more durable than the archives it names. */
static int sync_outputs(const struct shim *s, struct mh_err *err)
{
	CLEAN(fd) int dir_fd = -1;

	if (json_object_array_length(s->packed) == 0)
		return 0;
	for (size_t i = 0; i < json_object_array_length(s->packed); i++) {
		struct json_object *o = json_object_array_get_idx(s->packed, i);
		const char *file = json_opt_str(o, "file", "");
		CLEAN(fd) int fd = openat(s->jobdir_fd, file, O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return mh_err_sys(err, "open %s", file);
		if (fs_sync_fd(fd, file, err) != 0)
			return -1;
	}
	if (fs_open_dir(s->jobdir_fd, "store", &dir_fd, err) != 0)
		return -1;
	return fs_sync_fd(dir_fd, "store", err);
}

/* Neither must the job directory's own name, which the agent made without a sync. */
static int sync_name(const struct shim *s, struct mh_err *err)
{
	CLEAN(fd) int jobs_fd = -1;

	if (fs_open_dir(s->jobdir_fd, "..", &jobs_fd, err) != 0)
		return -1;
	return fs_sync_fd(jobs_fd, "jobs", err);
}

/* A file that is there already costs less than a new one, and less still when it keeps
 * its size: spaces behind a text are no matter. */
static int fill_spare(int fd, const char *text, struct mh_err *err)
{
	CLEAN(free) char *padded = NULL;
	size_t len = strlen(text);
	struct stat st;

	if (fstat(fd, &st) != 0)
		return mh_err_sys(err, "look at the file for result.json");
	if (st.st_size <= (off_t)len)
		return fs_write_fd(fd, text, len, err);
	padded = mh_alloc((size_t)st.st_size);
	memcpy(padded, text, len);
	memset(padded + len, ' ', (size_t)st.st_size - len);
	return fs_write_fd(fd, padded, (size_t)st.st_size, err);
}

/* By rename, as ever. */
static int write_soft(const struct shim *s, const char *text, struct mh_err *err)
{
	CLEAN(fd)
	int fd = openat(s->jobdir_fd, RESULT_SPARE,
			O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return fs_write_atomic_at(s->jobdir_fd, "result.json", text, strlen(text),
					  0600, err);
	if (fill_spare(fd, text, err) != 0)
		return mh_err_wrap(err, "result.json");
	if (renameat(s->jobdir_fd, RESULT_SPARE, s->jobdir_fd, "result.json") != 0)
		return mh_err_sys(err, "rename to result.json");
	return 0;
}

static int write_result(struct shim *s, struct mh_err *err)
{
	CLEAN(free) char *tail = logpipe_tail(&s->log);
	CLEAN(json) struct json_object *doc = compose(s, tail);
	const char *text = json_text(doc);

	FAULT_POINT("job_before_result");
	/* A connected agent makes the outcome durable itself, in its ledger. */
	if (s->agents.count)
		return write_soft(s, text, err);
	if (sync_outputs(s, err) != 0 || sync_name(s, err) != 0)
		return -1;
	return fs_write_durable_at(s->jobdir_fd, "result.json", text, strlen(text), 0600,
				   err);
}

static bool jobdir_is_gone(const struct shim *s)
{
	return faccessat(s->jobdir_fd, "lock", F_OK, 0) != 0 && errno == ENOENT;
}

/* What the job filled the disk with is no longer needed, neither by it nor by what it
 * made: that lies packed in store/. */
static void clear_workspace(struct shim *s)
{
	CLEAN(fd) int fd = openat(s->workdir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	struct mh_err err;

	s->cleared = true;
	if (!dir)
		return;
	(void)STEAL_FD(fd); /* closedir closes it */
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		/* What cannot be removed stays: the result is tried again anyway. */
		(void)!fs_remove_tree_at(s->workdir_fd, entry->d_name, &err);
	}
	(void)closedir(dir); /* only read */
	(void)!fs_remove_tree_at(s->jobdir_fd, "fetch", &err); /* as above */
}

struct json_object *shim_result(struct shim *s)
{
	CLEAN(free) char *tail = logpipe_tail(&s->log);

	return compose(s, tail);
}

/* Nobody is there to take it, or nobody does (it may be too long for a message): some of
 * what the agent keeps back for results is for this. The rest stays for its ledger. */
static bool take_of_reserve(const struct shim *s)
{
	CLEAN(fd)
	int fd = openat(s->jobdir_fd, RESERVE_FROM_JOB,
			O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_size >= RESERVE_TAKEN &&
	       ftruncate(fd, st.st_size - RESERVE_TAKEN) == 0;
}

/* No space, most likely: space may come back, the outcome would not. */
static void try_again(struct shim *s, const struct mh_err *err)
{
	int64_t wait_ms = 250 << (s->retries < 6 ? s->retries : 6);

	if (s->retries++ == 0)
		log_event(LOG_LEVEL_ERROR, "job.result_failed",
			  "result.json cannot be written, trying again until it can",
			  LOG_ERR(err), LOG_END);
	s->retry_at_ms = clock_mono_ms() +
			 (wait_ms < RETRY_MAX_MS ? wait_ms : RETRY_MAX_MS);
	shim_hand_over(s);
}

void shim_finish(struct shim *s)
{
	struct mh_err err;
	int rc;

	s->retry_at_ms = NEVER_MS;
	if (s->log.read_fd >= 0)
		logpipe_drain(&s->log); /* the archive program may have said something */
	rc = write_result(s, &err);
	if (rc != 0 && err.cls == MH_E_FULL && !s->cleared) {
		clear_workspace(s);
		rc = write_result(s, &err);
	}
	if (rc != 0 && err.cls == MH_E_FULL &&
	    (s->agents.count == 0 || s->retries >= UNHEARD_TRIES) && take_of_reserve(s))
		rc = write_result(s, &err);
	if (rc != 0 && !jobdir_is_gone(s)) {
		try_again(s, &err);
		return;
	}
	FAULT_POINT("job_after_result");
	shim_enter_step(s, STEP_DONE);
}
