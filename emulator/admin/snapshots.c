/*
 * Snapshots of the data directory: <data_dir>/snapshots/<name>, a data directory of its
 * own. The writer stands still meanwhile, so that rows and files belong together: the
 * database is copied, object files, which never change, are linked, git's are copied.
 *
 * A restore puts the rows back in one transaction, after the files that they need.
 */
#include "emulator/admin/handlers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "emulator/chance.h"
#include "emulator/quiet.h"
#include "emulator/store/backup.h"
#include "emulator/store/events.h"
#include "emulator/store/jobs.h"
#include "emulator/store/marks.h"
#include "emulator/tree.h"
#include "lib/base/clock.h"
#include "lib/base/fsio.h"

#define NAME_MAX_CHARS 64
#define QUIET_MS       60000
#define CHANCE_MARK    "chance"
#define ABOUT_FILE     "snapshot.json"

/* ---- names and places ---- */

struct place {
	const struct settings *settings;
	char *root; /* <data_dir>/snapshots */
	char *dir; /* of this one */
	char *making; /* while it is made */
};

static void clean_place(struct place *p)
{
	free(p->root);
	free(p->dir);
	free(p->making);
}

static int check_name(const char *name, struct api_error *err)
{
	static const char chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789_.-";

	if (name && *name && *name != '.' && strlen(name) <= NAME_MAX_CHARS &&
	    name[strspn(name, chars)] == '\0')
		return 0;
	return api_fail(err, "ValidationException",
			"The name of a snapshot is 1 to %d letters, digits, '_', '-' and "
			"'.', and does not begin with a '.'.",
			NAME_MAX_CHARS);
}

static int find_place(const struct admin_call *call, const char *name, struct place *ret,
		      struct api_error *err)
{
	const struct settings *s = admin_options_of(call->admin)->settings;

	if (check_name(name, err) != 0)
		return -1;
	*ret = (struct place){
		.settings = s,
		.root = mh_format("%s/snapshots", s->data_dir),
		.dir = mh_format("%s/snapshots/%s", s->data_dir, name),
		.making = mh_format("%s/snapshots/.%s", s->data_dir, name),
	};
	return 0;
}

static bool is_there(const struct place *p)
{
	struct stat st;

	return stat(p->dir, &st) == 0 && S_ISDIR(st.st_mode);
}

static int need_place(const struct place *p, const char *name, struct api_error *err)
{
	if (is_there(p))
		return 0;
	return admin_fail(err, 404, "NotFound", "There is no snapshot %s.", name);
}

/* ---- making one ---- */

static int copy_part(const char *from_dir, const char *to_dir, const char *name,
		     bool link, struct mh_err *err)
{
	CLEAN(free) char *from = mh_format("%s/%s", from_dir, name);
	CLEAN(free) char *to = mh_format("%s/%s", to_dir, name);
	struct stat st;

	if (stat(from, &st) != 0)
		return errno == ENOENT ? 0 : mh_err_sys(err, "%s", from);
	return tree_copy(from, to, link, err);
}

static int copy_key(const char *from_dir, const char *to_dir, struct mh_err *err)
{
	CLEAN(fd) int from = -1;
	CLEAN(fd) int to = -1;
	CLEAN(buf) struct buf key = BUF_INIT(4096);

	if (fs_open_dir(AT_FDCWD, from_dir, &from, err) != 0 ||
	    fs_open_dir(AT_FDCWD, to_dir, &to, err) != 0 ||
	    fs_read_at(from, "creds.key", &key, err) != 0)
		return -1;
	return fs_write_durable_at(to, "creds.key", key.data, key.len, 0600, err);
}

static int write_about(const struct place *p, int64_t now_ms, struct mh_err *err)
{
	CLEAN(json) struct json_object *o = json_object_new_object();
	CLEAN(free) char *path = mh_format("%s/" ABOUT_FILE, p->making);
	const char *text;

	admin_put_time(o, "time", now_ms);
	admin_put_time(o, "made", clock_wall_ms());
	text = json_text(o);
	return fs_write_durable_at(AT_FDCWD, path, text, strlen(text), 0600, err);
}

static int keep_chance(struct op_ctx *ctx, struct mh_err *err)
{
	return chance_is_seeded()
		       ? marks_set(ctx->store, CHANCE_MARK, (int64_t)chance_state(), err)
		       : 0;
}

static int fill(struct op_ctx *ctx, const struct place *p, struct mh_err *err)
{
	CLEAN(free) char *db = mh_format("%s/emulator.db", p->making);

	if (fs_remove_tree_at(AT_FDCWD, p->making, err) != 0 ||
	    fs_mkdir_p(p->making, 0700, err) != 0 || keep_chance(ctx, err) != 0 ||
	    store_copy_to(ctx->store, db, err) != 0 ||
	    copy_part(p->settings->data_dir, p->making, "objects", true, err) != 0 ||
	    copy_key(p->settings->data_dir, p->making, err) != 0 ||
	    write_about(p, ctx->now_ms, err) != 0)
		return -1;
	if (p->settings->git_root)
		return 0; /* it is not in the data directory */
	return copy_part(p->settings->data_dir, p->making, "git", false, err);
}

static int make(struct op_ctx *ctx, const struct place *p, struct mh_err *err)
{
	CLEAN(fd) int root = -1;

	if (fill(ctx, p, err) != 0) {
		struct mh_err second = MH_ERR_INIT;

		if (fs_remove_tree_at(AT_FDCWD, p->making, &second) != 0)
			return mh_err_wrap(err, "%s is left", p->making);
		return -1;
	}
	if (rename(p->making, p->dir) != 0)
		return mh_err_sys(err, "%s", p->dir);
	if (fs_open_dir(AT_FDCWD, p->root, &root, err) != 0)
		return -1;
	return fs_sync_fd(root, p->root, err);
}

static int alone_make(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	return make(ctx, arg, &e) == 0 ? 0 : api_fail_internal(err, &e);
}

static int take(const struct admin_call *call, const struct place *p,
		struct api_error *err)
{
	const struct admin_options *o = admin_options_of(call->admin);

	if (is_there(p))
		return admin_fail(err, 409, "Conflict",
				  "There is such a snapshot already: DELETE it, or take "
				  "another name.");
	if (quiet_wait(o->writer, o->bell, QUIET_MS, err) != 0)
		return -1;
	return writer_call_alone(o->writer, alone_make, (void *)(uintptr_t)p, err);
}

/* ---- telling ---- */

static int describe(const struct place *p, const char *name, struct json_object *out,
		    struct mh_err *err)
{
	CLEAN(free) char *path = mh_format("%s/" ABOUT_FILE, p->dir);
	CLEAN(buf) struct buf text = BUF_INIT(64 * 1024);
	CLEAN(json) struct json_object *about = NULL;

	if (fs_read_at(AT_FDCWD, path, &text, err) != 0 ||
	    json_parse_object(buf_text(&text), text.len, &about, err) != 0)
		return mh_err_wrap(err, "%s", path);
	json_put_str(out, "name", name);
	json_object_object_foreach(about, key, value)
	{
		json_put_obj(out, key, json_object_get(value));
	}
	return 0;
}

int admin_snapshots_post(const struct admin_call *call, struct json_object *out,
			 struct api_error *err)
{
	static const char *const names[] = { "name", NULL };
	CLEAN(place) struct place p = { 0 };
	struct mh_err e = MH_ERR_INIT;
	const char *name = NULL;
	int rc;

	if (admin_only(call->in, names, err) != 0 ||
	    admin_str(call->in, "name", NAME_MAX_CHARS, &name, err) != 0 ||
	    find_place(call, name, &p, err) != 0)
		return -1;
	admin_lock(call->admin);
	rc = take(call, &p, err);
	admin_unlock(call->admin);
	if (rc != 0)
		return -1;
	return describe(&p, name, out, &e) == 0 ? 0 : api_fail_internal(err, &e);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int no_dots(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static void add_one(const struct admin_call *call, const char *name,
		    struct json_object *list)
{
	CLEAN(place) struct place p = { 0 };
	struct json_object *o = json_object_new_object();
	struct api_error ignored; /* what is no snapshot is not told */
	struct mh_err e = MH_ERR_INIT;

	if (find_place(call, name, &p, &ignored) == 0 && describe(&p, name, o, &e) == 0)
		(void)json_object_array_add(list, o);
	else
		json_object_put(o);
}

int admin_snapshots_get(const struct admin_call *call, struct json_object *out,
			struct api_error *err)
{
	CLEAN(free)
	char *root = mh_format("%s/snapshots",
			       admin_options_of(call->admin)->settings->data_dir);
	struct json_object *list = json_object_new_array();
	struct dirent **entries = NULL;
	int count = scandir(root, &entries, no_dots, by_name);

	(void)err; /* none is none */
	for (int i = 0; i < count; i++) {
		add_one(call, entries[i]->d_name, list);
		free(entries[i]);
	}
	free(entries);
	json_put_obj(out, "snapshots", list);
	return 0;
}

int admin_snapshot_delete(const struct admin_call *call, struct json_object *out,
			  struct api_error *err)
{
	CLEAN(place) struct place p = { 0 };
	struct mh_err e = MH_ERR_INIT;
	int rc;

	if (find_place(call, call->name, &p, err) != 0 ||
	    need_place(&p, call->name, err) != 0)
		return -1;
	admin_lock(call->admin);
	rc = fs_remove_tree_at(AT_FDCWD, p.dir, &e);
	admin_unlock(call->admin);
	json_put_str(out, "name", call->name);
	return rc == 0 ? 0 : api_fail_internal(err, &e);
}

/* ---- restoring ---- */

/* Beside the place it will have, so that what takes time and space, and may fail, is done
 * before anything changes. */
static int prepare_git(const struct place *p, struct mh_err *err)
{
	CLEAN(free) char *from = mh_format("%s/git", p->dir);
	CLEAN(free) char *to = mh_format("%s/tmp/git", p->settings->data_dir);
	struct stat st;

	if (p->settings->git_root || stat(from, &st) != 0)
		return 0;
	if (fs_remove_tree_at(AT_FDCWD, to, err) != 0)
		return -1;
	return tree_copy(from, to, false, err);
}

static int restore_git(const struct place *p, struct mh_err *err)
{
	CLEAN(free) char *from = mh_format("%s/tmp/git", p->settings->data_dir);
	CLEAN(free) char *to = mh_format("%s/git", p->settings->data_dir);

	if (p->settings->git_root)
		return 0;
	if (fs_remove_tree_at(AT_FDCWD, to, err) != 0)
		return -1;
	if (rename(from, to) != 0 && errno != ENOENT)
		return mh_err_sys(err, "%s", to);
	return 0;
}

/* The same key opens what the rows hold sealed. */
static int check_key(const struct place *p, struct mh_err *err)
{
	CLEAN(free) char *here = mh_format("%s/creds.key", p->settings->data_dir);
	CLEAN(free) char *there = mh_format("%s/creds.key", p->dir);
	CLEAN(buf) struct buf a = BUF_INIT(4096);
	CLEAN(buf) struct buf b = BUF_INIT(4096);

	if (fs_read_at(AT_FDCWD, here, &a, err) != 0 ||
	    fs_read_at(AT_FDCWD, there, &b, err) != 0)
		return -1;
	if (a.len == b.len && memcmp(a.data, b.data, a.len) == 0)
		return 0;
	return mh_err_set(err, MH_E_REFUSED,
			  "the snapshot was made under another creds.key: start with it "
			  "as the data directory instead");
}

/* What goes on from here and not from there: numbers of events are not given twice, and
 * nobody has built-in work in hand. */
static int settle(struct op_ctx *ctx, int64_t last_event, struct mh_err *err)
{
	int64_t chance = 0;

	if (store_begin(ctx->store, err) != 0)
		return -1;
	if (events_skip_to(ctx->store, last_event, err) != 0 ||
	    jobs_unclaim(ctx->store, err) != 0 ||
	    marks_get(ctx->store, CHANCE_MARK, 0, &chance, err) != 0 ||
	    store_commit(ctx->store, err) != 0) {
		store_rollback(ctx->store);
		return -1;
	}
	if (chance_is_seeded() && chance != 0)
		chance_restore((uint64_t)chance);
	return vclock_load(ctx->clock, ctx->store, err);
}

static int restore(struct op_ctx *ctx, const struct place *p, struct mh_err *err)
{
	CLEAN(free) char *db = mh_format("%s/emulator.db", p->dir);
	int64_t last_event = 0;

	if (check_key(p, err) != 0 || events_last(ctx->store, &last_event, err) != 0 ||
	    copy_part(p->dir, p->settings->data_dir, "objects", true, err) != 0 ||
	    prepare_git(p, err) != 0 || store_copy_from(ctx->store, db, err) != 0 ||
	    restore_git(p, err) != 0)
		return -1;
	return settle(ctx, last_event, err);
}

static int alone_restore(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct mh_err e = MH_ERR_INIT;

	if (restore(ctx, arg, &e) != 0)
		return e.cls == MH_E_REFUSED
			       ? admin_fail(err, 409, "Conflict", "%s", e.text)
			       : api_fail_internal(err, &e);
	/* Everybody looks at what is there now. */
	ctx->wake_builtin = true;
	ctx->new_work = UINT64_MAX;
	ctx->changed = true;
	return 0;
}

int admin_snapshot_restore(const struct admin_call *call, struct json_object *out,
			   struct api_error *err)
{
	static const char *const none[] = { NULL };
	const struct admin_options *o = admin_options_of(call->admin);
	CLEAN(place) struct place p = { 0 };
	struct mh_err e = MH_ERR_INIT;
	int rc;

	if (admin_only(call->in, none, err) != 0 ||
	    find_place(call, call->name, &p, err) != 0)
		return -1;
	admin_lock(call->admin);
	rc = need_place(&p, call->name, err);
	if (rc == 0)
		rc = writer_call_alone(o->writer, alone_restore, &p, err);
	admin_unlock(call->admin);
	if (rc != 0)
		return -1;
	return describe(&p, call->name, out, &e) == 0 ? 0 : api_fail_internal(err, &e);
}
