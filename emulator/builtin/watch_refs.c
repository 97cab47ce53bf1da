/* One repository, looked at: which of its refs moved, and what that is about. */
#include <string.h>

#include "emulator/builtin/git.h"
#include "emulator/builtin/watch.h"
#include "emulator/engine/triggers.h"
#include "emulator/store/sources.h"
#include "lib/base/log.h"
#include "lib/base/str.h"

#define REFS_MAX_BYTES    (16 * 1024 * 1024)
#define COMMIT_MAX_BYTES  (128 * 1024)
#define FILES_MAX_BYTES   (1024 * 1024) /* of which the first 100 names are looked at */
#define MESSAGE_MAX_BYTES 4096
#define HEADS             "refs/heads/"
#define TAGS              "refs/tags/"

struct look {
	struct writer *writer;
	struct task *task;
	const char *repository, *git_dir;
	struct json_object *seen, *now; /* ref to commit; seen is NULL the first time */
};

/* Answers -1, unless the server stops. */
static int trouble(const struct look *l, const char *why)
{
	if (!l->task->cancelled)
		log_event(LOG_LEVEL_WARN, "source.not_seen", why,
			  LOG_S("repository", l->repository), LOG_END);
	return l->task->cancelled ? 0 : -1;
}

static int git(const struct look *l, const char *const *argv, struct buf *out)
{
	CLEAN(buf) struct buf errors = BUF_INIT(GIT_ERROR_TEXT_MAX);
	CLEAN(free) char *words = NULL;
	int code;

	if (git_run(l->task, l->git_dir, argv, out, -1, GIT_QUICK_TIMEOUT_MS, &code,
		    &errors) != 0)
		return trouble(l, l->task->message ? l->task->message : "") != 0 ? -1 : 1;
	if (code == 0)
		return 0;
	words = git_words(&errors);
	(void)trouble(l, words); /* told; -1 all the same */
	return -1;
}

/* ---- the refs ---- */

/* "<object> <peeled object or nothing> <ref>" */
static void take_ref(struct json_object *refs, char *line)
{
	char *peeled = strchr(line, ' ');
	char *ref = peeled ? strchr(peeled + 1, ' ') : NULL;

	if (!ref)
		return;
	*peeled++ = '\0';
	*ref++ = '\0';
	if (str_is_utf8(ref, strlen(ref))) /* others cannot be named in a filter */
		json_put_str(refs, ref, *peeled ? peeled : line);
}

static int read_refs(struct look *l)
{
	static const char *const argv[] = { "for-each-ref",
					    "--format=%(objectname) %(*objectname) "
					    "%(refname)",
					    HEADS, TAGS, NULL };
	CLEAN(buf) struct buf out = BUF_INIT(REFS_MAX_BYTES);
	CLEAN(free) char *text = NULL;
	char *rest = NULL;
	int rc;

	l->now = json_object_new_object();
	if (!l->git_dir)
		return 0;
	rc = git(l, argv, &out);
	if (rc != 0)
		return rc;
	text = mh_strdup(buf_text(&out));
	for (char *line = strtok_r(text, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest))
		take_ref(l->now, line);
	return 0;
}

struct seen {
	const char *repository;
	char *refs;
};

static int tx_seen(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct seen *s = arg;
	struct mh_err e = MH_ERR_INIT;

	if (source_refs_get(ctx->store, s->repository, &s->refs, &e) != 0)
		return api_fail_internal(err, &e);
	return 0;
}

static int read_seen(struct look *l)
{
	struct seen s = { .repository = l->repository };
	struct api_error err = { 0 };
	struct mh_err e = MH_ERR_INIT;
	int rc = 0;

	if (writer_call(l->writer, tx_seen, &s, NULL, &err) != 0)
		return trouble(l, err.message);
	if (s.refs && json_parse_object(s.refs, strlen(s.refs), &l->seen, &e) != 0)
		rc = trouble(l, e.text);
	free(s.refs);
	return rc;
}

/* ---- what a change is about ---- */

static void put_line(struct json_object *o, const char *key, char **rest)
{
	char *line = *rest;
	size_t len = strcspn(line, "\n");

	*rest = line + len + (line[len] == '\n');
	line[len] = '\0';
	if (*line)
		json_put_str(o, key, line);
}

/* Author, date and message; NULL when they cannot be read. */
static struct json_object *read_origin(const struct look *l, const char *commit)
{
	const char *const argv[] = { "log",
				     "-1",
				     "--no-show-signature",
				     "--no-color",
				     "--encoding=UTF-8",
				     "--date=iso-strict",
				     "--format=%an%n%ae%n%ad%n%B",
				     commit,
				     "--",
				     NULL };
	CLEAN(buf) struct buf out = BUF_INIT(COMMIT_MAX_BYTES);
	CLEAN(free) char *text = NULL;
	struct json_object *o;
	size_t len;
	char *rest;

	if (git(l, argv, &out) != 0)
		return NULL;
	text = mh_strdup(buf_text(&out));
	git_make_utf8(text);
	o = json_object_new_object();
	rest = text;
	put_line(o, "author-display-name", &rest);
	put_line(o, "author-email", &rest);
	json_put_str(o, "author-id", json_opt_str(o, "author-email", NULL));
	put_line(o, "author-date", &rest);
	json_put_str(o, "provider-type", "Git");
	len = str_utf8_floor(rest, strlen(rest), MESSAGE_MAX_BYTES);
	while (len > 0 && rest[len - 1] == '\n')
		len--;
	rest[len] = '\0';
	json_put_str(o, "commit-message", rest);
	return o;
}

/* The names of files that differ, the first of them; NULL when they are not known. */
static struct json_object *read_files(const struct look *l, const char *old,
				      const char *commit)
{
	const char *const argv[] = { "diff-tree",    "-r", "--name-only",
				     "--no-renames", "-z", old,
				     commit,         "--", NULL };
	CLEAN(buf) struct buf out = BUF_INIT(FILES_MAX_BYTES);

	if (!old || git(l, argv, &out) != 0)
		return NULL;
	return git_names(&out);
}

/* ---- handing it on ---- */

struct change {
	struct git_event event;
	const char *repository, *refs; /* as they are seen when it is handed on */
	int64_t started;
};

static int tx_change(struct op_ctx *ctx, void *arg, struct api_error *err)
{
	struct change *c = arg;
	struct mh_err e = MH_ERR_INIT;

	if (source_refs_put(ctx->store, c->repository, c->refs, &e) != 0)
		return api_fail_internal(err, &e);
	if (!c->event.commit)
		return 0;
	return engine_git_event(ctx, &c->event, &c->started, err);
}

static int hand_on(const struct look *l, struct change *c)
{
	struct api_error err = { 0 };

	c->repository = l->repository;
	c->refs = json_text(l->seen);
	if (writer_call(l->writer, tx_change, c, NULL, &err) != 0)
		return trouble(l, err.message);
	if (c->event.commit)
		log_event(LOG_LEVEL_INFO, "source.pushed", "a ref moved",
			  LOG_S("repository", l->repository),
			  LOG_S("ref", c->event.tag ? c->event.tag : c->event.branch),
			  LOG_S("commit", c->event.commit), LOG_I("started", c->started),
			  LOG_END);
	return 0;
}

static int ref_moved(struct look *l, const char *ref, const char *old, const char *commit)
{
	CLEAN(json) struct json_object *origin = read_origin(l, commit);
	CLEAN(json) struct json_object *files = NULL;
	struct change c = { .event = { .repository = l->repository,
				       .commit = commit,
				       .created = old == NULL,
				       .origin = origin } };

	if (str_starts_with(ref, HEADS)) {
		c.event.branch = ref + strlen(HEADS);
		files = read_files(l, old, commit);
		c.event.files = files;
	} else {
		c.event.tag = ref + strlen(TAGS);
	}
	if (l->task->cancelled)
		return 0; /* found again at the next start */
	json_put_str(l->seen, ref, commit);
	return hand_on(l, &c);
}

/* Refs that are gone start nothing. */
static int forget_gone(struct look *l)
{
	CLEAN(json) struct json_object *kept = json_object_new_object();
	struct change none = { .repository = l->repository };

	json_object_object_foreach(l->seen, ref, commit)
	{
		if (json_object_object_get_ex(l->now, ref, NULL))
			json_put_obj(kept, ref, json_object_get(commit));
	}
	if (json_object_object_length(kept) == json_object_object_length(l->seen))
		return 0;
	json_object_put(l->seen);
	l->seen = STEAL_PTR(kept);
	return hand_on(l, &none);
}

static int compare(struct look *l)
{
	struct change first = { .repository = l->repository };

	if (!l->seen) { /* as it is when somebody begins to watch it */
		l->seen = json_object_get(l->now);
		return hand_on(l, &first);
	}
	if (forget_gone(l) != 0)
		return -1;
	json_object_object_foreach(l->now, ref, value)
	{
		const char *commit = json_object_get_string(value);
		CLEAN(free) char *old = mh_strdup(json_opt_str(l->seen, ref, NULL));

		if (old && strcmp(old, commit) == 0)
			continue;
		if (ref_moved(l, ref, old, commit) != 0)
			return -1;
	}
	return 0;
}

int watch_look(struct writer *writer, struct task *t, const char *repository,
	       const char *git_dir)
{
	struct look l = {
		.writer = writer, .task = t, .repository = repository, .git_dir = git_dir
	};
	int rc = read_seen(&l);

	if (rc == 0)
		rc = read_refs(&l);
	if (rc == 0)
		rc = compare(&l);
	json_object_put(l.seen);
	json_object_put(l.now);
	return rc < 0 ? -1 : 0;
}
