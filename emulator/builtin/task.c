#include "emulator/builtin/task.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "emulator/builtin/spawn.h"
#include "lib/base/str.h"

static const struct {
	const char *category, *provider;
	int (*run)(struct task *t);
} kinds[] = {
	{ "Source", "CodeCommit", source_git },
	{ "Source", "CodeStarSourceConnection", source_git },
	{ "Source", "S3", source_s3 },
	{ "Deploy", "S3", deploy_s3 },
};

void task_run(struct task *t)
{
	t->variables = json_object_new_object();
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (strcmp(kinds[i].category, t->job->category) == 0 &&
		    strcmp(kinds[i].provider, t->job->provider) == 0) {
			(void)kinds[i].run(t); /* the failure is kept in t */
			return;
		}
	}
	(void)task_fail(t, FAIL_CONFIGURATION, "%s by %s is not done by this server.",
			t->job->category, t->job->provider); /* kept in t */
}

void task_done(struct task *t)
{
	free(t->message);
	free(t->summary);
	free(t->revision_id);
	free(t->revision_summary);
	json_object_put(t->variables);
	*t = (struct task){ 0 };
}

int task_fail(struct task *t, const char *type, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	if (t->failure_type != NULL)
		return -1;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* cut when too long */
	va_end(ap);
	text[str_utf8_floor(text, strlen(text), sizeof(text) - 1)] = '\0';
	t->failure_type = type;
	t->message = mh_strdup(text);
	return -1;
}

int task_config(struct task *t, const char *key, const char **ret)
{
	const char *value = json_opt_str(t->job->config, key, "");

	if (value[0] == '\0')
		return task_fail(t, FAIL_CONFIGURATION,
				 "The action's configuration has no value for %s.", key);
	*ret = value;
	return 0;
}

int task_spawn(struct task *t, struct spawn_request *r, const char *what, int *ret_code)
{
	struct mh_err err = MH_ERR_INIT;

	r->cancel_fd = t->cancel_fd;
	if (spawn_run(r, ret_code, &err) == 0)
		return 0;
	if (err.cls == MH_E_CANCELLED) {
		t->cancelled = true;
		return -1;
	}
	return task_fail(t, FAIL_SYSTEM, "%s could not be run: %s.", what, err.text);
}

int task_go_on(struct task *t)
{
	struct pollfd fd = { .fd = t->cancel_fd, .events = POLLIN };

	if (poll(&fd, 1, 0) == 1)
		t->cancelled = true;
	return t->cancelled ? -1 : 0;
}

int task_tmp_file(struct task *t, int *ret_fd)
{
	CLEAN(free) char *path = mh_format("%s/file-XXXXXX", t->tmp_dir);
	int fd = mkostemp(path, O_CLOEXEC);

	if (fd < 0)
		return task_fail(t, FAIL_SYSTEM, "No temporary file in %s: %s.",
				 t->tmp_dir, strerror(errno));
	(void)unlink(path); /* what stays is removed at the next start */
	*ret_fd = fd;
	return 0;
}

int task_put_output(struct task *t, int fd, const char *content_type)
{
	struct s3_put put = { .content_type = content_type, .make_bucket = true };
	struct mh_err err = MH_ERR_INIT;
	struct s3_object stored;

	if (t->job->output_count == 0)
		return 0;
	put.bucket = t->job->outputs[0].bucket;
	put.key = t->job->outputs[0].key;
	if (s3_put(t->s3, &put, fd, &stored, &err) != 0)
		return task_fail(t, FAIL_SYSTEM,
				 "The output artifact %s could not be stored: %s.",
				 t->job->outputs[0].name, err.text);
	s3_object_done(&stored);
	return 0;
}
