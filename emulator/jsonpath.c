#include "emulator/jsonpath.h"

#include <string.h>

#include "lib/base/str.h"

#define INDEX_MAX 1000000

enum step_kind { STEP_END, STEP_MEMBER, STEP_ELEMENT, STEP_ALL };

struct step {
	enum step_kind kind;
	const char *name; /* of a member, name_len bytes */
	size_t name_len;
	int64_t index;
};

static const char *read_name(const char *p, struct step *s)
{
	size_t len = strcspn(p, ".[]()?@,:'\"* \t\n");

	s->kind = STEP_MEMBER;
	s->name = p;
	s->name_len = len;
	return len > 0 ? p + len : NULL;
}

/* Behind "['" or "[\"". */
static const char *read_quoted(const char *p, char quote, struct step *s)
{
	const char *end = strchr(p, quote);

	if (end == NULL || end[1] != ']')
		return NULL;
	s->kind = STEP_MEMBER;
	s->name = p;
	s->name_len = (size_t)(end - p);
	return end + 2;
}

static const char *read_index(const char *p, struct step *s)
{
	int64_t sign = *p == '-' ? -1 : 1, n = 0;
	const char *digits = p += sign < 0;

	while (*p >= '0' && *p <= '9' && n < INDEX_MAX)
		n = n * 10 + (*p++ - '0');
	if (p == digits || *p != ']')
		return NULL;
	s->kind = STEP_ELEMENT;
	s->index = sign * n;
	return p + 1;
}

/* The step at p; where the next one begins, or NULL when there is none to understand. */
static const char *read_step(const char *p, struct step *s)
{
	*s = (struct step){ .kind = STEP_END };
	if (*p == '\0')
		return p;
	if (strncmp(p, ".*", 2) == 0 || strncmp(p, "[*]", 3) == 0) {
		s->kind = STEP_ALL;
		return p + (*p == '.' ? 2 : 3);
	}
	if (*p == '.')
		return read_name(p + 1, s);
	if (*p != '[')
		return NULL;
	if (p[1] == '\'' || p[1] == '"')
		return read_quoted(p + 2, p[1], s);
	return read_index(p + 1, s);
}

int jsonpath_check(const char *path, struct mh_err *err)
{
	struct step s = { .kind = STEP_ALL };
	const char *p = path + 1, *next;

	if (*path != '$')
		return mh_err_set(err, MH_E_PROTO, "'%s' does not begin with $", path);
	while (s.kind != STEP_END) {
		next = read_step(p, &s);
		if (next == NULL)
			return mh_err_set(err, MH_E_PROTO,
					  "'%s' is not understood from '%s' on: .name, "
					  "['name'], [0], .* and [*] are",
					  path, p);
		p = next;
	}
	return 0;
}

static bool is_wanted(struct json_object *o, const char *equals)
{
	if (equals == NULL)
		return true;
	switch (json_object_get_type(o)) {
	case json_type_string:
	case json_type_int:
	case json_type_double:
	case json_type_boolean:
		return strcmp(json_object_get_string(o), equals) == 0;
	default:
		return false;
	}
}

static bool walk(const char *p, struct json_object *o, const char *equals);

static bool walk_all(const char *p, struct json_object *o, const char *equals)
{
	if (json_object_is_type(o, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(o); i++) {
			if (walk(p, json_object_array_get_idx(o, i), equals))
				return true;
		}
	} else if (json_object_is_type(o, json_type_object)) {
		json_object_object_foreach(o, key, value)
		{
			(void)key;
			if (walk(p, value, equals))
				return true;
		}
	}
	return false;
}

static bool walk_member(const struct step *s, const char *p, struct json_object *o,
			const char *equals)
{
	CLEAN(free) char *name = mh_strndup(s->name, s->name_len);
	struct json_object *value = NULL;

	return json_object_is_type(o, json_type_object) &&
	       json_object_object_get_ex(o, name, &value) && walk(p, value, equals);
}

static bool walk_element(int64_t index, const char *p, struct json_object *o,
			 const char *equals)
{
	int64_t count = json_object_is_type(o, json_type_array)
				? (int64_t)json_object_array_length(o)
				: 0;

	if (index < 0)
		index += count;
	return index >= 0 && index < count &&
	       walk(p, json_object_array_get_idx(o, (size_t)index), equals);
}

/* As deep as the path has steps. */
static bool walk(const char *p, struct json_object *o, const char *equals)
{
	struct step s;

	p = read_step(p, &s);
	if (p == NULL)
		return false;
	switch (s.kind) {
	case STEP_END:
		return is_wanted(o, equals);
	case STEP_ALL:
		return walk_all(p, o, equals);
	case STEP_MEMBER:
		return walk_member(&s, p, o, equals);
	case STEP_ELEMENT:
		return walk_element(s.index, p, o, equals);
	}
	return false;
}

bool jsonpath_matches(const char *path, struct json_object *doc, const char *equals)
{
	return walk(path + 1, doc, equals);
}
