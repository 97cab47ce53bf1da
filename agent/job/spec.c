#include "agent/job/spec.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/fsio.h"
#include "lib/base/str.h"

void spec_done(struct spec *s)
{
	json_object_put(s->doc);
	*s = (struct spec){ .doc = NULL };
}

static int get_absolute(struct json_object *o, const char *key, const char **ret,
			struct mh_err *err)
{
	const char *path;

	if (json_get_str(o, key, &path, err) != 0)
		return -1;
	if (path[0] != '/')
		return mh_err_set(err, MH_E_PROTO, "%s: not an absolute path", key);
	*ret = path;
	return 0;
}

static int get_range(struct json_object *o, const char *key, int64_t min, int64_t max,
		     int64_t *ret, struct mh_err *err)
{
	int64_t value;

	if (json_get_i64(o, key, &value, err) != 0)
		return -1;
	if (value < min || value > max)
		return mh_err_set(err, MH_E_PROTO, "%s: %lld is not from %lld to %lld",
				  key, (long long)value, (long long)min, (long long)max);
	*ret = value;
	return 0;
}

/* The API's ArtifactName; it becomes a directory's name. */
static bool is_artifact_name(const char *name)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
	size_t len = strlen(name);

	return len >= 1 && len <= 100 && strspn(name, allowed) == len;
}

/* "<dir>/<decimal>", so that nothing outside can be meant. */
static bool is_numbered(const char *file, const char *dir)
{
	const char *digits = file + strlen(dir);

	return str_starts_with(file, dir) && *digits && strlen(digits) <= 4 &&
	       strspn(digits, "0123456789") == strlen(digits);
}

static int parse_artifact(struct json_object *o, const char *dir,
			  struct spec_artifact *ret, struct mh_err *err)
{
	if (json_get_str(o, "name", &ret->name, err) != 0 ||
	    json_get_str(o, "file", &ret->file, err) != 0)
		return -1;
	if (!is_artifact_name(ret->name))
		return mh_err_set(err, MH_E_PROTO, "name: '%.100s' is no artifact's name",
				  ret->name);
	if (!is_numbered(ret->file, dir))
		return mh_err_set(err, MH_E_PROTO, "file: '%.100s' is not %s<number>",
				  ret->file, dir);
	return 0;
}

static int parse_artifacts(struct json_object *doc, const char *key, const char *dir,
			   struct spec_artifact *ret, size_t *ret_count,
			   struct mh_err *err)
{
	struct json_object *list;
	size_t count;

	if (json_get_array(doc, key, &list, err) != 0)
		return -1;
	count = json_object_array_length(list);
	if (count > SPEC_MAX_ARTIFACTS)
		return mh_err_set(err, MH_E_PROTO, "%s: %zu, the limit is %d", key, count,
				  SPEC_MAX_ARTIFACTS);
	for (size_t i = 0; i < count; i++) {
		if (parse_artifact(json_object_array_get_idx(list, i), dir, &ret[i],
				   err) != 0)
			return mh_err_wrap(err, "%s[%zu]", key, i);
		for (size_t k = 0; k < i; k++) {
			if (strcmp(ret[k].name, ret[i].name) == 0)
				return mh_err_set(err, MH_E_PROTO,
						  "%s: %s is there twice", key,
						  ret[i].name);
		}
	}
	*ret_count = count;
	return 0;
}

static int parse_formats(struct json_object *doc, struct spec *s, struct mh_err *err)
{
	struct json_object *list = json_opt_array(doc, "outputs");

	for (size_t i = 0; i < s->output_count; i++) {
		struct json_object *o = json_object_array_get_idx(list, i);
		const char *format = json_opt_str(o, "format", "zip");

		if (strcmp(format, "zip") != 0 && strcmp(format, "tar") != 0 &&
		    strcmp(format, "tar.gz") != 0)
			return mh_err_set(err, MH_E_PROTO,
					  "outputs[%zu]: format: '%.32s' is not zip, tar "
					  "or tar.gz",
					  i, format);
		s->outputs[i].format = format;
	}
	return 0;
}

/* Absent: each one that is declared. */
static int parse_outputs_min(struct json_object *doc, struct spec *s, struct mh_err *err)
{
	int64_t min = json_opt_i64(doc, "outputs_min", (int64_t)s->output_count);

	if (min < 0)
		return mh_err_set(err, MH_E_PROTO, "outputs_min: negative");
	s->outputs_min = (size_t)min < s->output_count ? (size_t)min : s->output_count;
	return 0;
}

static int parse_config(struct json_object *doc, struct spec *s, struct mh_err *err)
{
	if (json_get_object(doc, "config", &s->config, err) != 0)
		return -1;
	json_object_object_foreach(s->config, key, value)
	{
		const char *text;

		(void)value;
		if (json_get_str(s->config, key, &text, err) != 0)
			return mh_err_wrap(err, "config");
	}
	s->public_keys = json_opt_array(doc, "public");
	return 0;
}

static int parse_limits(struct json_object *doc, struct spec *s, struct mh_err *err)
{
	struct json_object *limits = json_opt_object(doc, "limits");

	s->unpack_bytes = json_opt_i64(limits, "unpack_bytes", 0);
	s->unpack_entries = json_opt_i64(limits, "unpack_entries", 0);
	s->unpack_ratio = json_opt_i64(limits, "unpack_ratio", 0);
	if (s->unpack_bytes < 0 || s->unpack_entries < 0 || s->unpack_ratio < 0)
		return mh_err_set(err, MH_E_PROTO, "limits: negative");
	return 0;
}

static int parse_sandbox(struct json_object *doc, struct spec *s, struct mh_err *err)
{
	struct json_object *sandbox = json_opt_object(doc, "sandbox");
	struct json_object *write = json_opt_array(sandbox, "write");
	size_t count = write ? json_object_array_length(write) : 0;

	s->network = json_opt_bool(sandbox, "network", true);
	s->detach = json_opt_bool(sandbox, "detach", false);
	s->user = json_opt_str(sandbox, "user", "");
	s->processes = json_opt_i64(sandbox, "processes", SPEC_PROCESSES);
	if (s->processes < 1 || s->processes > SPEC_PROCESSES_MAX)
		return mh_err_set(err, MH_E_PROTO, "sandbox: processes: %lld",
				  (long long)s->processes);
	if (count > SPEC_MAX_WRITE_DIRS)
		return mh_err_set(err, MH_E_PROTO, "sandbox: write: %zu, the limit is %d",
				  count, SPEC_MAX_WRITE_DIRS);
	for (size_t i = 0; i < count; i++) {
		struct json_object *path = json_object_array_get_idx(write, i);

		if (!json_object_is_type(path, json_type_string) ||
		    json_object_get_string(path)[0] != '/')
			return mh_err_set(err, MH_E_PROTO,
					  "sandbox: write[%zu]: not an absolute path", i);
		s->write_dirs[i] = json_object_get_string(path);
	}
	s->write_dir_count = count;
	return 0;
}

static int check_version(struct json_object *doc, struct mh_err *err)
{
	int64_t version;

	if (json_get_i64(doc, "version", &version, err) != 0)
		return -1;
	if (version != SPEC_VERSION)
		return mh_err_set(err, MH_E_PROTO,
				  "version: %lld is not known; agent and millhand-job "
				  "are of builds that do not go together",
				  (long long)version);
	return 0;
}

static int parse_doc(struct spec *s, struct mh_err *err)
{
	struct json_object *doc = s->doc, *data;
	const char *id;

	if (check_version(doc, err) != 0 ||
	    get_range(doc, "n", 0, INT64_MAX, &s->n, err) != 0 ||
	    json_get_object(doc, "job", &s->job, err) != 0)
		return -1;
	if (json_get_str(s->job, "id", &id, err) != 0 ||
	    json_get_object(s->job, "data", &data, err) != 0)
		return mh_err_wrap(err, "job");
	if (get_absolute(doc, "plugin", &s->plugin, err) != 0 ||
	    get_absolute(doc, "work_dir", &s->work_dir, err) != 0 ||
	    get_absolute(doc, "archive_program", &s->archive_program, err) != 0 ||
	    get_range(doc, "deadline_ms", 1, INT64_MAX / 2, &s->deadline_ms, err) != 0 ||
	    get_range(doc, "grace_ms", 0, SPEC_GRACE_MAX_MS, &s->grace_ms, err) != 0 ||
	    get_range(doc, "log_max_bytes", 1024, INT64_MAX / 2, &s->log_max_bytes,
		      err) != 0)
		return -1;
	if (parse_config(doc, s, err) != 0 ||
	    parse_artifacts(doc, "inputs", "fetch/", s->inputs, &s->input_count, err) !=
		    0 ||
	    parse_artifacts(doc, "outputs", "store/", s->outputs, &s->output_count,
			    err) != 0 ||
	    parse_formats(doc, s, err) != 0 || parse_outputs_min(doc, s, err) != 0 ||
	    parse_limits(doc, s, err) != 0)
		return -1;
	return parse_sandbox(doc, s, err);
}

int spec_parse(const char *text, size_t len, struct spec *ret, struct mh_err *err)
{
	CLEAN(spec) struct spec s = { .doc = NULL };

	if (json_parse_object(text, len, &s.doc, err) != 0 || parse_doc(&s, err) != 0)
		return mh_err_wrap(err, "job spec");
	*ret = s;
	s.doc = NULL;
	return 0;
}

static int look_up_user(struct spec *s, struct mh_err *err)
{
	struct passwd *user;

	s->uid = geteuid();
	s->gid = getegid();
	if (!*s->user)
		return 0;
	errno = 0;
	user = getpwnam(s->user);
	if (!user && errno && errno != ENOENT && errno != ESRCH)
		return mh_err_sys(err, "sandbox: look up user '%.64s'", s->user);
	if (!user)
		return mh_err_set(err, MH_E_CONFIG, "sandbox: there is no user '%.64s'",
				  s->user);
	if (user->pw_uid == s->uid)
		return 0;
	if (s->uid != 0)
		return mh_err_set(err, MH_E_CONFIG,
				  "sandbox: the agent is not root and cannot run a job "
				  "as user '%.64s'",
				  s->user);
	s->uid = user->pw_uid;
	s->gid = user->pw_gid;
	s->switch_user = true;
	return 0;
}

int spec_read(int fd, struct spec *ret, struct mh_err *err)
{
	CLEAN(spec) struct spec s = { .doc = NULL };
	CLEAN(buf) struct buf text = BUF_INIT(SPEC_MAX_BYTES);

	if (fs_read_fd(fd, &text, err) != 0)
		return mh_err_wrap(err, "job spec");
	if (spec_parse(text.data, text.len, &s, err) != 0)
		return -1;
	/* The text holds secrets; this copy of them is not needed again. */
	explicit_bzero(text.data, text.len);
	if (look_up_user(&s, err) != 0)
		return -1;
	*ret = s;
	s.doc = NULL;
	return 0;
}

bool spec_is_public(const struct spec *s, const char *key)
{
	size_t count = s->public_keys ? json_object_array_length(s->public_keys) : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *k = json_object_array_get_idx(s->public_keys, i);

		if (json_object_is_type(k, json_type_string) &&
		    strcmp(json_object_get_string(k), key) == 0)
			return true;
	}
	return false;
}
