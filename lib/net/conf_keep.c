/* conf_keep(): what a reload does not change. */
#include <string.h>

#include <json-c/json.h>

#include "lib/base/macros.h"
#include "lib/net/conf.h"

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* The live value goes into next, pointer and all; a copy stays. */
static bool keep_string(char **now, char **next)
{
	bool same = same_text(*now, *next);
	char *theirs = *next;

	*next = *now;
	*now = mh_strdup(*next);
	if (theirs)
		explicit_bzero(theirs, strlen(theirs)); /* it may be a secret */
	free(theirs);
	return same;
}

static bool keep_bytes(const void *now, void *next, size_t size)
{
	bool same = memcmp(now, next, size) == 0;

	memcpy(next, now, size);
	return same;
}

static bool keep_group(const struct conf_key *keys, void *now, void *next);

/* Whether both were the same. */
static bool keep_value(const struct conf_key *key, void *now, void *next)
{
	switch (key->type) {
	case CONF_STRING:
		return keep_string(now, next);
	case CONF_INT:
	case CONF_DURATION:
	case CONF_SIZE:
		return keep_bytes(now, next, sizeof(int64_t));
	case CONF_BOOL:
		return keep_bytes(now, next, sizeof(bool));
	case CONF_CHOICE:
		return keep_bytes(now, next, sizeof(int));
	case CONF_GROUP:
		return keep_group(key->sub, now, next);
	case CONF_STRINGS:
	case CONF_PAIR:
	case CONF_MAP:
	case CONF_GROUPS:
		break;
	}
	MH_BUG("a key of this type must be reloadable");
}

static bool keep_group(const struct conf_key *keys, void *now, void *next)
{
	bool same = true;

	for (const struct conf_key *key = keys; key->path; key++) {
		if (!keep_value(key, (char *)now + key->offset,
				(char *)next + key->offset))
			same = false;
	}
	return same;
}

void conf_keep(const struct conf_key *keys, void *now, void *next, struct buf *kept)
{
	for (const struct conf_key *key = keys; key->path; key++) {
		if (key->reloadable || keep_value(key, (char *)now + key->offset,
						  (char *)next + key->offset))
			continue;
		buf_printf(kept, "%s%s", kept->len ? ", " : "", key->path);
	}
}
