/*
 * The functions lent to a plugin (include/millhand/plugin.h), over one job.
 *
 *	struct mh_job job;
 *	host_init(&job, spec, plugin, channel_fd, cancel_fd, document_fd)
 *	host_run(&job)          calls run(), checks what it left, sends the outcome
 *
 * Every limit is enforced here, where the plugin can be told; the shim checks again,
 * because by then the plugin could have written over all of this.
 */
#ifndef MH_JOB_HOST_H
#define MH_JOB_HOST_H

#include "agent/job/plugin.h"
#include "agent/job/result.h"
#include "agent/job/spec.h"

#define MH_JOB_MAGIC 0x6d686a62u

struct mh_job {
	unsigned int magic;
	const struct spec *spec;
	const struct plugin *plugin;
	int channel_fd; /* to the shim, blocking */
	int cancel_fd; /* an eventfd that the shim writes to */
	int document_fd; /* sealed memfd */
	char *document; /* the same bytes; owned */
	size_t document_bytes;
	char *input_dirs[SPEC_MAX_ARTIFACTS]; /* owned */
	char *output_dirs[SPEC_MAX_ARTIFACTS]; /* owned; NULL until asked for */
	char *tmp_dir; /* owned */
	struct result result;
	int64_t question; /* the last "wanted" that was asked */
	char last_error[MH_ERR_TEXT_MAX];
};

extern const struct mh_host host_functions;

int host_init(struct mh_job *job, const struct spec *spec, const struct plugin *plugin,
	      int channel_fd, int cancel_fd, int document_fd,
	      struct mh_err *err) MH_MUST_CHECK;
void host_done(struct mh_job *job);

/* Runs the plugin and leaves an outcome in job->result, whatever it did. */
void host_run(struct mh_job *job);
/* Sends the result: variables in pieces, then the outcome. */
int host_send(struct mh_job *job, struct mh_err *err) MH_MUST_CHECK;

#endif
