/*
 * What an archive holds, as a tree of names, before (unpack) or while (pack) it
 * is on disk. It answers the questions that single names cannot: is a name
 * there twice, does one lie beneath a file or a symbolic link, and where does a
 * symbolic link lead once every other link is counted in?
 *
 *	tree_init(&t, &limits);
 *	tree_add(&t, "a/b", NODE_FILE, &i, err);     makes "a" too, as implied
 *	tree_add_link(&t, "a/c", "../x", 4, &i, err);
 *	tree_check_links(&t, err);                   unsafe when one leaves the tree
 *	tree_done(&t);
 *
 * Nodes are numbered in the order they were added, parents before children;
 * node 0 is the root, and its path is "". Indexes stay, pointers to nodes do not
 * survive the next tree_add.
 */
#ifndef MH_ARCHIVE_TREE_H
#define MH_ARCHIVE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/archive/limits.h"
#include "agent/archive/siphash.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"

enum node_type { NODE_DIR, NODE_FILE, NODE_LINK };

struct node {
	uint32_t parent;
	uint32_t next; /* in the same hash bucket; 0 ends */
	uint32_t next_folded;
	enum node_type type;
	bool is_declared; /* a directory with an entry of its own */
	bool is_made; /* unpack: a directory that is on disk */
	mode_t mode; /* permission bits of a file or declared directory */
	int64_t mtime_s; /* -1: not known */
	uint64_t size; /* of a file; pack's */
	char *name; /* last component */
	char *target; /* of a link */
};

struct tree {
	const struct archive_limits *limits; /* borrowed */
	struct node *nodes;
	uint32_t count;
	uint32_t cap;
	uint32_t *buckets; /* index of the first node; 0 is none */
	uint32_t *folded; /* the same by lower-cased names; NULL unless strict_case */
	uint32_t bucket_count;
	unsigned char key[SIPHASH_KEY_SIZE]; /* random, so that no archive can aim at one
						bucket */
	uint64_t steps_left; /* tree_check_links: work it may still do */
};

void tree_init(struct tree *t, const struct archive_limits *limits);
void tree_done(struct tree *t);
static inline void clean_tree(struct tree *t)
{
	tree_done(t);
}

/* path as name_judge() gives it, not "". A directory may be declared twice, every
 * other repetition is unsafe. */
int tree_add(struct tree *t, const char *path, enum node_type type, uint32_t *ret,
	     struct mh_err *err) MH_MUST_CHECK;
int tree_add_link(struct tree *t, const char *path, const char *target, size_t target_len,
		  uint32_t *ret, struct mh_err *err) MH_MUST_CHECK;

/* The node at that path, or 0. Links are not followed. */
uint32_t tree_find(const struct tree *t, const char *path);

/* Its path into b, which is cleared first and must hold NAME_PATH_MAX bytes. */
const char *tree_path(const struct tree *t, uint32_t index, struct buf *b);

/* Every link resolves inside the tree: step by step as the kernel would, through
 * other links, never above the root; names that are not there count as directories.
 * Absolute targets and circles are unsafe. */
int tree_check_links(struct tree *t, struct mh_err *err) MH_MUST_CHECK;

#endif
