#include "agent/job/plugin.h"

#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/str.h"

#define LOWER_DIGITS "abcdefghijklmnopqrstuvwxyz0123456789"
#define SIZE_SANE    65536

/* A group that has the user's name and no other member: what `umask 002` counts on. */
static bool is_private_group(uid_t uid, gid_t gid)
{
	const struct passwd *user = getpwuid(uid);
	const struct group *group = getgrgid(gid);

	if (!user || !group || user->pw_gid != gid ||
	    strcmp(user->pw_name, group->gr_name) != 0)
		return false;
	for (char **member = group->gr_mem; *member; member++) {
		if (strcmp(*member, user->pw_name) != 0)
			return false;
	}
	return true;
}

static bool is_safe(const struct stat *st, uid_t trusted_uid)
{
	if (st->st_uid != 0 && st->st_uid != trusted_uid)
		return false;
	if (st->st_mode & S_IWOTH)
		return false;
	return !(st->st_mode & S_IWGRP) || is_private_group(st->st_uid, st->st_gid);
}

/* Who could change the file, or put another in its place, could run what they like
 * in every job. */
static int check_file(const char *path, uid_t trusted_uid, struct mh_err *err)
{
	CLEAN(free) char *dir = mh_strdup(path);
	struct stat st;

	if (stat(path, &st) != 0)
		return mh_err_set(err, MH_E_CONFIG, "plugin %s: %s", path,
				  strerror(errno));
	if (!S_ISREG(st.st_mode))
		return mh_err_set(err, MH_E_CONFIG, "plugin %s: not a file", path);
	if (!is_safe(&st, trusted_uid))
		return mh_err_set(err, MH_E_CONFIG,
				  "plugin %s: must belong to root or the agent's user, "
				  "and not be writable by group or others",
				  path);
	*strrchr(dir, '/') = '\0';
	if (*dir && stat(dir, &st) != 0)
		return mh_err_set(err, MH_E_CONFIG, "plugin directory %s: %s", dir,
				  strerror(errno));
	if (*dir && (st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX))
		return mh_err_set(err, MH_E_CONFIG,
				  "plugin directory %s: must not be writable by others",
				  dir);
	return 0;
}

/* abi, then size: nothing else is read before both are right. */
static int check_abi(const char *path, const struct mh_plugin *mh, struct mh_err *err)
{
	if (mh->abi >> 16 != MH_ABI_MAJOR || (mh->abi & 0xffff) > MH_ABI_MINOR)
		return mh_err_set(err, MH_E_PLUGIN,
				  "plugin %s: made for ABI %u.%u, this host has %u.%u",
				  path, (unsigned)(mh->abi >> 16),
				  (unsigned)(mh->abi & 0xffff), MH_ABI_MAJOR,
				  MH_ABI_MINOR);
	if (mh->size < sizeof *mh || mh->size > SIZE_SANE)
		return mh_err_set(err, MH_E_PLUGIN,
				  "plugin %s: its structure has %u bytes, ABI %u.%u has "
				  "%zu",
				  path, (unsigned)mh->size, (unsigned)(mh->abi >> 16),
				  (unsigned)(mh->abi & 0xffff), sizeof *mh);
	return 0;
}

static int check_name(const char *path, const struct mh_plugin *mh, struct mh_err *err)
{
	const char *file = strrchr(path, '/') + 1;
	size_t len = mh->name ? strnlen(mh->name, PLUGIN_NAME_MAX + 1) : 0;

	if (len == 0 || len > PLUGIN_NAME_MAX ||
	    strspn(mh->name, LOWER_DIGITS "_-") != len)
		return mh_err_set(err, MH_E_PLUGIN,
				  "plugin %s: its name is not 1 to %d of a-z 0-9 _ -",
				  path, PLUGIN_NAME_MAX);
	if (strncmp(file, mh->name, len) != 0 || strcmp(file + len, ".so") != 0)
		return mh_err_set(err, MH_E_PLUGIN,
				  "plugin %s: calls itself '%s'; the file must be %s.so",
				  path, mh->name, mh->name);
	if (!mh->version || !str_is_utf8(mh->version, strlen(mh->version)) ||
	    (mh->summary && !str_is_utf8(mh->summary, strlen(mh->summary))))
		return mh_err_set(err, MH_E_PLUGIN,
				  "plugin %s: version or summary missing or not UTF-8",
				  path);
	if (!mh->run)
		return mh_err_set(err, MH_E_PLUGIN, "plugin %s: has no run function",
				  path);
	return 0;
}

const struct mh_option *plugin_option(const struct plugin *p, size_t index)
{
	/* Rows of a newer minor are longer: step by the plugin's own size. */
	const char *base = (const char *)p->mh->options;

	return (const struct mh_option *)(const void *)(base +
							index * p->mh->option_size);
}

const struct mh_option *plugin_find_option(const struct plugin *p, const char *name)
{
	for (size_t i = 0; i < p->option_count; i++) {
		if (strcmp(plugin_option(p, i)->name, name) == 0)
			return plugin_option(p, i);
	}
	return NULL;
}

static int check_option(const struct plugin *p, const struct mh_option *o,
			struct mh_err *err)
{
	size_t len = strnlen(o->name, 51);

	if (len == 0 || len > 50 || !str_is_utf8(o->name, len))
		return mh_err_set(err, MH_E_PLUGIN,
				  "option %zu: a name has 1 to 50 bytes of UTF-8",
				  p->option_count + 1);
	if (plugin_find_option(p, o->name))
		return mh_err_set(err, MH_E_PLUGIN, "option '%s' is there twice",
				  o->name);
	if (o->type < MH_OPTION_STRING || o->type > MH_OPTION_BOOLEAN)
		return mh_err_set(err, MH_E_PLUGIN, "option '%s': %d is no type", o->name,
				  (int)o->type);
	if (o->fallback && plugin_check_value(o, o->fallback, err) != 0) {
		err->cls = MH_E_PLUGIN;
		return mh_err_wrap(err, "fallback");
	}
	return 0;
}

static int check_options(const char *path, struct plugin *p, struct mh_err *err)
{
	const struct mh_plugin *mh = p->mh;

	if (!mh->options)
		return 0;
	if (mh->option_size < sizeof(struct mh_option) || mh->option_size > SIZE_SANE)
		return mh_err_set(err, MH_E_PLUGIN, "plugin %s: option_size is %u", path,
				  (unsigned)mh->option_size);
	while (plugin_option(p, p->option_count)->name) {
		if (p->option_count == PLUGIN_OPTIONS_MAX)
			return mh_err_set(err, MH_E_PLUGIN,
					  "plugin %s: more than %d options (is the list "
					  "not ended by MH_OPTIONS_END?)",
					  path, PLUGIN_OPTIONS_MAX);
		if (check_option(p, plugin_option(p, p->option_count), err) != 0)
			return mh_err_wrap(err, "plugin %s", path);
		p->option_count++;
	}
	return 0;
}

int plugin_load(const char *path, uid_t trusted_uid, struct plugin *ret,
		struct mh_err *err)
{
	struct plugin p = { .mh = NULL };
	void *handle;

	if (path[0] != '/')
		return mh_err_set(err, MH_E_CONFIG, "plugin %s: not an absolute path",
				  path);
	if (check_file(path, trusted_uid, err) != 0)
		return -1;
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return mh_err_set(err, MH_E_PLUGIN, "plugin cannot be loaded: %s",
				  dlerror());
	p.mh = dlsym(handle, "mh_plugin");
	if (!p.mh)
		return mh_err_set(err, MH_E_PLUGIN,
				  "plugin %s: exports no mh_plugin, so it is none", path);
	if (check_abi(path, p.mh, err) != 0 || check_name(path, p.mh, err) != 0 ||
	    check_options(path, &p, err) != 0)
		return -1;
	*ret = p;
	return 0;
}

int plugin_check_value(const struct mh_option *o, const char *value, struct mh_err *err)
{
	int64_t number, min = o->minimum, max = o->maximum;

	if (min == 0 && max == 0) {
		min = INT64_MIN;
		max = INT64_MAX;
	}
	if (o->type == MH_OPTION_INTEGER &&
	    str_to_i64(value, min, max, o->name, &number, err) != 0) {
		err->cls = MH_E_CONFIG;
		return -1;
	}
	if (o->type == MH_OPTION_BOOLEAN && strcmp(value, "true") != 0 &&
	    strcmp(value, "false") != 0)
		return mh_err_set(err, MH_E_CONFIG, "%s: must be \"true\" or \"false\"",
				  o->name);
	return 0;
}

int plugin_check_config(const struct plugin *p, struct json_object *config,
			struct mh_err *err)
{
	const char *name = p->mh->name;

	json_object_object_foreach(config, key, value)
	{
		const struct mh_option *o = plugin_find_option(p, key);

		if (o && plugin_check_value(o, json_object_get_string(value), err) != 0)
			return mh_err_wrap(err, "configuration of plugin %s", name);
		if (!o && !(p->mh->flags & MH_PLUGIN_OPEN_OPTIONS))
			return mh_err_set(err, MH_E_CONFIG,
					  "configuration of plugin %s: it has no key "
					  "'%.64s'",
					  name, key);
	}
	for (size_t i = 0; i < p->option_count; i++) {
		const struct mh_option *o = plugin_option(p, i);

		if ((o->flags & MH_OPTION_REQUIRED) && !o->fallback &&
		    !json_object_object_get_ex(config, o->name, NULL))
			return mh_err_set(err, MH_E_CONFIG,
					  "configuration of plugin %s: the key '%s' is "
					  "missing",
					  name, o->name);
	}
	return 0;
}

static struct json_object *describe_option(const struct mh_option *o)
{
	static const char *const types[] = {
		[MH_OPTION_STRING] = "string",
		[MH_OPTION_INTEGER] = "integer",
		[MH_OPTION_BOOLEAN] = "boolean",
	};
	struct json_object *doc = json_object_new_object();

	json_put_str(doc, "name", o->name);
	json_put_str(doc, "type", types[o->type]);
	json_put_str(doc, "help", o->help);
	json_put_str(doc, "fallback", o->fallback);
	json_put_bool(doc, "required", (o->flags & MH_OPTION_REQUIRED) != 0);
	json_put_bool(doc, "public", (o->flags & MH_OPTION_PUBLIC) != 0);
	if (o->minimum || o->maximum) {
		json_put_i64(doc, "minimum", o->minimum);
		json_put_i64(doc, "maximum", o->maximum);
	}
	return doc;
}

struct json_object *plugin_describe(const struct plugin *p)
{
	CLEAN(free)
	char *abi = mh_format("%u.%u", (unsigned)(p->mh->abi >> 16),
			      (unsigned)(p->mh->abi & 0xffff));
	struct json_object *doc = json_object_new_object();
	struct json_object *options = json_object_new_array();

	json_put_str(doc, "name", p->mh->name);
	json_put_str(doc, "version", p->mh->version);
	json_put_str(doc, "summary", p->mh->summary);
	json_put_str(doc, "abi", abi);
	json_put_bool(doc, "idempotent", (p->mh->flags & MH_PLUGIN_IDEMPOTENT) != 0);
	json_put_bool(doc, "open_options", (p->mh->flags & MH_PLUGIN_OPEN_OPTIONS) != 0);
	for (size_t i = 0; i < p->option_count; i++)
		(void)json_object_array_add(options,
					    describe_option(plugin_option(p, i)));
	json_put_obj(doc, "options", options);
	return doc;
}
