/*
 * The job spec: what the agent tells the shim about one job (docs/architecture.md,
 * "The job spec"). Read once at the start, checked to the last member, and not
 * changed after.
 */
#ifndef MH_JOB_SPEC_H
#define MH_JOB_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/protocol.h"
#include "lib/base/err.h"
#include "lib/base/json.h"

#define SPEC_MAX_BYTES      (4 * 1024 * 1024)
#define SPEC_MAX_ARTIFACTS  10
#define SPEC_MAX_WRITE_DIRS 64
#define SPEC_GRACE_MAX_MS   ((int64_t)60 * 60 * 1000)
#define SPEC_PROCESSES      4096 /* unless the agent says otherwise */
#define SPEC_PROCESSES_MAX  1000000

/* One artifact. Strings are borrowed from the document. */
struct spec_artifact {
	const char *name; /* [a-zA-Z0-9_-]+, at most 100 */
	const char *file; /* in the job directory: fetch/<i>, store/<i> */
	const char *format; /* outputs: zip, tar, tar.gz */
};

struct spec {
	struct json_object *doc; /* owned; every string below borrows from it */
	int64_t n;
	struct json_object *job; /* id, accountId, data */
	struct json_object *config; /* strings only */
	struct json_object *public_keys; /* list of strings, may be NULL */
	const char *plugin;
	const char *work_dir;
	const char *archive_program;
	int64_t deadline_ms; /* wall clock */
	int64_t grace_ms;
	int64_t log_max_bytes;
	struct spec_artifact inputs[SPEC_MAX_ARTIFACTS];
	size_t input_count;
	struct spec_artifact outputs[SPEC_MAX_ARTIFACTS];
	size_t output_count;
	size_t outputs_min; /* so many must be made; others may be left empty */
	int64_t unpack_bytes, unpack_entries, unpack_ratio; /* 0: the archiver's own */
	const char *write_dirs[SPEC_MAX_WRITE_DIRS];
	size_t write_dir_count;
	bool network;
	bool detach;
	const char *user; /* "": the agent's */
	int64_t processes; /* most at once */

	bool switch_user; /* user was looked up and is another one */
	uid_t uid;
	gid_t gid;
};

void spec_done(struct spec *s);
static inline void clean_spec(struct spec *s)
{
	spec_done(s);
}

int spec_parse(const char *text, size_t len, struct spec *ret,
	       struct mh_err *err) MH_MUST_CHECK;
/* Reads the descriptor to its end, parses, and looks up sandbox.user: CONFIG when
 * there is no such user, or we may not become it. */
int spec_read(int fd, struct spec *ret, struct mh_err *err) MH_MUST_CHECK;

bool spec_is_public(const struct spec *s, const char *key);

#endif
