#include "emulator/builtin/work.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/str.h"

static const struct {
	const char *category, *provider;
	int (*run)(struct work *w);
} kinds[] = {
	{ "Source", "CodeCommit", source_git },
	{ "Source", "CodeStarSourceConnection", source_git },
	{ "Source", "S3", source_s3 },
	{ "Deploy", "S3", deploy_s3 },
};

void work_run(struct work *w)
{
	w->variables = json_object_new_object();
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (strcmp(kinds[i].category, w->job->category) == 0 &&
		    strcmp(kinds[i].provider, w->job->provider) == 0) {
			(void)kinds[i].run(w); /* the failure is kept in w */
			return;
		}
	}
	(void)work_fail(w, FAIL_CONFIGURATION, "%s by %s is not done by this server.",
			w->job->category, w->job->provider); /* kept in w */
}

void work_done(struct work *w)
{
	free(w->message);
	free(w->summary);
	free(w->revision_id);
	free(w->revision_summary);
	json_object_put(w->variables);
	*w = (struct work){ 0 };
}

int work_fail(struct work *w, const char *type, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	if (w->failure_type != NULL)
		return -1;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* cut when too long */
	va_end(ap);
	text[str_utf8_floor(text, strlen(text), sizeof(text) - 1)] = '\0';
	w->failure_type = type;
	w->message = mh_strdup(text);
	return -1;
}

int work_config(struct work *w, const char *key, const char **ret)
{
	const char *value = json_opt_str(w->job->config, key, "");

	if (value[0] == '\0')
		return work_fail(w, FAIL_CONFIGURATION,
				 "The action's configuration has no value for %s.", key);
	*ret = value;
	return 0;
}

int work_tmp_file(struct work *w, int *ret_fd)
{
	CLEAN(free) char *path = mh_format("%s/file-XXXXXX", w->tmp_dir);
	int fd = mkostemp(path, O_CLOEXEC);

	if (fd < 0)
		return work_fail(w, FAIL_SYSTEM, "No temporary file in %s: %s.",
				 w->tmp_dir, strerror(errno));
	(void)unlink(path); /* what stays is removed at the next start */
	*ret_fd = fd;
	return 0;
}

int work_put_output(struct work *w, int fd, const char *content_type)
{
	struct s3_put put = { .content_type = content_type, .make_bucket = true };
	struct mh_err err = MH_ERR_INIT;
	struct s3_object stored;

	if (w->job->output_count == 0)
		return 0;
	put.bucket = w->job->outputs[0].bucket;
	put.key = w->job->outputs[0].key;
	if (s3_put(w->s3, &put, fd, &stored, &err) != 0)
		return work_fail(w, FAIL_SYSTEM,
				 "The output artifact %s could not be stored: %s.",
				 w->job->outputs[0].name, err.text);
	s3_object_done(&stored);
	return 0;
}
