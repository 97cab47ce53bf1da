#include "agent/archive/tree.h"

#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#include "agent/archive/names.h"

#define HOPS_MAX         40 /* MAXSYMLINKS of the kernel */
#define STEPS_MAX        (20 * 1000 * 1000) /* about a second */
#define BUCKETS_AT_START 256

/* A path being followed that is longer than the kernel would take. */
#define REST_MAX (2 * NAME_PATH_MAX)

static void new_root(struct tree *t)
{
	t->cap = 64;
	t->nodes = mh_alloc(t->cap * sizeof *t->nodes);
	t->nodes[0] = (struct node){ .type = NODE_DIR,
				     .is_declared = true,
				     .is_made = true,
				     .mtime_s = -1,
				     .name = mh_strdup("") };
	t->count = 1;
}

void tree_init(struct tree *t, const struct archive_limits *limits)
{
	*t = (struct tree){ .limits = limits,
			    .bucket_count = BUCKETS_AT_START,
			    .steps_left = STEPS_MAX };
	/* fails only where the kernel has no such call, and then there is no secret */
	MH_ASSERT(getentropy(t->key, sizeof t->key) == 0);
	t->buckets = mh_alloc(t->bucket_count * sizeof *t->buckets);
	if (limits->strict_case)
		t->folded = mh_alloc(t->bucket_count * sizeof *t->folded);
	new_root(t);
}

void tree_done(struct tree *t)
{
	for (uint32_t i = 0; i < t->count; i++) {
		free(t->nodes[i].name);
		free(t->nodes[i].target);
	}
	free(t->nodes);
	free(t->buckets);
	free(t->folded);
	*t = (struct tree){ .nodes = NULL };
}

/* Names are at most NAME_PART_MAX bytes here: whoever adds judged them, and
 * find_child() asks for no longer ones. */
static uint32_t hash_of(const struct tree *t, uint32_t parent, const char *name,
			size_t len, bool fold)
{
	unsigned char text[sizeof parent + NAME_PART_MAX];

	memcpy(text, &parent, sizeof parent);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];

		text[sizeof parent + i] = fold && c >= 'A' && c <= 'Z' ? c | 0x20 : c;
	}
	return (uint32_t)siphash(text, sizeof parent + len, t->key) &
	       (t->bucket_count - 1);
}

static uint32_t find_child(const struct tree *t, uint32_t parent, const char *name,
			   size_t len)
{
	uint32_t i;

	if (len > NAME_PART_MAX)
		return 0;
	for (i = t->buckets[hash_of(t, parent, name, len, false)]; i;
	     i = t->nodes[i].next)
		if (t->nodes[i].parent == parent && strlen(t->nodes[i].name) == len &&
		    memcmp(t->nodes[i].name, name, len) == 0)
			break;
	return i;
}

/* A sibling whose name differs in ASCII case alone, or 0. */
static uint32_t find_folded(const struct tree *t, uint32_t parent, const char *name,
			    size_t len)
{
	uint32_t i = t->folded[hash_of(t, parent, name, len, true)];

	for (; i; i = t->nodes[i].next_folded)
		if (t->nodes[i].parent == parent && strlen(t->nodes[i].name) == len &&
		    strncasecmp(t->nodes[i].name, name, len) == 0)
			break;
	return i;
}

static void hook_in(struct tree *t, uint32_t index)
{
	struct node *n = &t->nodes[index];
	size_t len = strlen(n->name);
	uint32_t hash = hash_of(t, n->parent, n->name, len, false);

	n->next = t->buckets[hash];
	t->buckets[hash] = index;
	if (!t->folded)
		return;
	hash = hash_of(t, n->parent, n->name, len, true);
	n->next_folded = t->folded[hash];
	t->folded[hash] = index;
}

static void grow(struct tree *t)
{
	if (t->count < t->cap)
		return;
	t->cap *= 2;
	t->nodes = mh_realloc(t->nodes, t->cap * sizeof *t->nodes);
	t->bucket_count = t->cap * 2;
	free(t->buckets);
	t->buckets = mh_alloc(t->bucket_count * sizeof *t->buckets);
	if (t->folded) {
		free(t->folded);
		t->folded = mh_alloc(t->bucket_count * sizeof *t->folded);
	}
	for (uint32_t i = 1; i < t->count; i++)
		hook_in(t, i);
}

static int add_child(struct tree *t, uint32_t parent, const char *name, size_t len,
		     enum node_type type, uint32_t *ret, struct mh_err *err)
{
	uint32_t twin;

	if (t->count > t->limits->entries || t->count == UINT32_MAX / 4)
		return mh_err_set(err, MH_E_FULL,
				  "the archive holds more than %" PRIu64
				  " files and directories",
				  t->limits->entries);
	twin = t->folded ? find_folded(t, parent, name, len) : 0;
	if (twin)
		return mh_err_set(err, MH_E_DENIED,
				  "%s and %s differ in upper and lower case alone",
				  NAME_SHOWN(name, len),
				  NAME_SHOWN(t->nodes[twin].name, len));
	grow(t);
	t->nodes[t->count] = (struct node){ .parent = parent,
					    .type = type,
					    .mtime_s = -1,
					    .name = mh_strndup(name, len) };
	hook_in(t, t->count);
	*ret = t->count++;
	return 0;
}

/* Walks to the directory that shall hold the last component, making implied ones. */
static int walk_to_parent(struct tree *t, const char *path, uint32_t *ret_parent,
			  const char **ret_last, struct mh_err *err)
{
	uint32_t at = 0, child;
	const char *slash;

	for (; (slash = strchr(path, '/')) != NULL; path = slash + 1) {
		size_t len = (size_t)(slash - path);

		child = find_child(t, at, path, len);
		if (!child && add_child(t, at, path, len, NODE_DIR, &child, err) != 0)
			return -1;
		if (t->nodes[child].type != NODE_DIR)
			return mh_err_set(
				err, MH_E_DENIED, "it lies beneath %s, which is a %s",
				NAME_SHOWN(path, len),
				t->nodes[child].type == NODE_LINK ? "symbolic link"
								  : "file");
		at = child;
	}
	*ret_parent = at;
	*ret_last = path;
	return 0;
}

int tree_add(struct tree *t, const char *path, enum node_type type, uint32_t *ret,
	     struct mh_err *err)
{
	const char *last = NULL;
	uint32_t parent = 0, index;
	size_t len;

	if (walk_to_parent(t, path, &parent, &last, err) != 0)
		return mh_err_wrap(err, "%s", NAME_SHOWN(path, strlen(path)));
	len = strlen(last);
	index = find_child(t, parent, last, len);
	if (index && (type != NODE_DIR || t->nodes[index].type != NODE_DIR))
		return mh_err_set(err, MH_E_DENIED,
				  "%s: the archive holds this name twice",
				  NAME_SHOWN(path, strlen(path)));
	if (!index && add_child(t, parent, last, len, type, &index, err) != 0)
		return mh_err_wrap(err, "%s", NAME_SHOWN(path, strlen(path)));
	t->nodes[index].is_declared = true;
	*ret = index;
	return 0;
}

int tree_add_link(struct tree *t, const char *path, const char *target, size_t target_len,
		  uint32_t *ret, struct mh_err *err)
{
	uint32_t index;

	if (name_judge_target(target, target_len, err) != 0)
		return mh_err_wrap(err, "%s", NAME_SHOWN(path, strlen(path)));
	if (tree_add(t, path, NODE_LINK, &index, err) != 0)
		return -1;
	t->nodes[index].target = mh_strndup(target, target_len);
	*ret = index;
	return 0;
}

uint32_t tree_find(const struct tree *t, const char *path)
{
	uint32_t at = 0;

	for (;;) {
		size_t len = strcspn(path, "/");

		at = find_child(t, at, path, len);
		if (!at || path[len] == '\0')
			return at;
		path += len + 1;
	}
}

const char *tree_path(const struct tree *t, uint32_t index, struct buf *b)
{
	uint32_t chain[NAME_PATH_MAX / 2 + 1];
	size_t depth = 0;

	buf_clear(b);
	for (; index; index = t->nodes[index].parent)
		chain[depth++] = index;
	while (depth) {
		buf_puts(b, t->nodes[chain[--depth]].name);
		if (depth)
			buf_putc(b, '/');
	}
	return buf_text(b);
}

/* Where a link's path has led so far. */
struct walk {
	uint32_t at; /* deepest directory that the tree has */
	uint32_t beyond; /* components below it that the tree has not */
	unsigned hops;
	char *rest; /* owned; what is to be followed... */
	size_t rest_at; /* ... from here on */
};

static void clean_walk(struct walk *w)
{
	free(w->rest);
}

static int step_up(const struct tree *t, struct walk *w, struct mh_err *err)
{
	if (w->beyond) {
		w->beyond--;
		return 0;
	}
	if (w->at == 0)
		return mh_err_set(err, MH_E_DENIED, "the symbolic link leads outside");
	w->at = t->nodes[w->at].parent;
	return 0;
}

/* The link's target takes the place of the component that named it. */
static int step_through(struct tree *t, struct walk *w, uint32_t link, const char *after,
			struct mh_err *err)
{
	const char *target = t->nodes[link].target;
	size_t total = strlen(target) + 1 + strlen(after);
	char *rest;

	if (++w->hops > HOPS_MAX)
		return mh_err_set(err, MH_E_DENIED,
				  "the symbolic link leads in a circle");
	if (total > REST_MAX || t->steps_left < total)
		return mh_err_set(err, MH_E_FULL, "symbolic links are too entangled");
	t->steps_left -= total;
	rest = mh_format("%s/%s", target, after);
	free(w->rest);
	w->rest = rest;
	w->rest_at = 0;
	return 0;
}

/* Takes one component off w->rest; *ret_more is false when there is none. */
static int step(struct tree *t, struct walk *w, bool *ret_more, struct mh_err *err)
{
	const char *part = w->rest + w->rest_at + strspn(w->rest + w->rest_at, "/");
	size_t len = strcspn(part, "/");
	uint32_t child;

	*ret_more = len > 0;
	if (len == 0)
		return 0;
	if (t->steps_left == 0)
		return mh_err_set(err, MH_E_FULL, "symbolic links are too entangled");
	t->steps_left--;
	child = w->beyond ? 0 : find_child(t, w->at, part, len);
	if (child && t->nodes[child].type == NODE_LINK)
		return step_through(t, w, child, part + len, err);
	if (len == 2 && memcmp(part, "..", 2) == 0) {
		if (step_up(t, w, err) != 0)
			return -1;
	} else if (len == 1 && part[0] == '.') {
		/* stays where it is */
	} else if (child && t->nodes[child].type == NODE_DIR) {
		w->at = child;
	} else {
		w->beyond++;
	}
	w->rest_at = (size_t)(part + len - w->rest);
	return 0;
}

static int check_link(struct tree *t, uint32_t link, struct mh_err *err)
{
	CLEAN(walk) struct walk w = { .at = t->nodes[link].parent };
	bool more = true;

	w.rest = mh_strdup(t->nodes[link].target);
	while (more)
		if (step(t, &w, &more, err) != 0)
			return -1;
	return 0;
}

int tree_check_links(struct tree *t, struct mh_err *err)
{
	for (uint32_t i = 1; i < t->count; i++) {
		CLEAN(buf) struct buf path = BUF_INIT(NAME_PATH_MAX);
		const char *target = t->nodes[i].target;

		if (t->nodes[i].type != NODE_LINK || check_link(t, i, err) == 0)
			continue;
		(void)tree_path(t, i, &path);
		return mh_err_wrap(err, "%s -> %s", NAME_SHOWN(path.data, path.len),
				   NAME_SHOWN(target, strlen(target)));
	}
	return 0;
}
