/*
 * The file of client tokens: the secret halves of a third-party worker's customers,
 * found by client id (semantics C14). Pure but for reading the file.
 *
 *	# a line for each client: its id, blanks, its token to the end of the line
 *	c11e0000-0000-4000-8000-000000000001 the client's secret token
 *
 * Lines that begin with '#' and empty lines are skipped. A token has 1 to 256
 * characters. Errors never show a token.
 */
#ifndef MH_AGENT_CLIENT_FILE_H
#define MH_AGENT_CLIENT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

struct client_row {
	char id[STR_UUID_SIZE];
	char *token;
};

struct client_file {
	struct client_row *rows; /* owned; sorted by id */
	size_t count;
	/* Which file it was: another one has another of these. */
	uint64_t device, inode;
	int64_t size, mtime_s, mtime_ns;
};

/* CONFIG when others than its owner may read or write it, when it is not the agent's
 * user's or root's, or when a line is not as above; NOTFOUND or SYS when it cannot be
 * read. *ret is to be released with client_file_done(). */
int client_file_read(const char *path, struct client_file *ret,
		     struct mh_err *err) MH_MUST_CHECK;
/* The same for bytes at hand (tests). */
int client_file_parse(char *text, size_t len, struct client_file *ret,
		      struct mh_err *err) MH_MUST_CHECK;
/* Wipes. */
void client_file_done(struct client_file *f);
static inline void clean_client_file(struct client_file *f)
{
	client_file_done(f);
}

/* Whether the path names another file by now, or one that was written to. */
bool client_file_changed(const char *path, const struct client_file *f);
/* NULL when there is none. Borrowed. */
const char *client_file_find(const struct client_file *f, const char *id);

/* 1 to 256 characters, none of them a control character. */
int client_token_check(const char *token, size_t len, struct mh_err *err) MH_MUST_CHECK;

#endif
