#include "emulator/validate.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"

#define PATH_SIZE   512 /* a longer path is cut: it only stands in messages */
#define ECHO_MAX    512 /* bytes of a value that are shown */
#define TEXT_MAX    3600 /* of all violations; later ones are counted alone */
#define SECONDS_MAX 253402300799.0 /* the end of the year 9999 */

struct walk {
	bool answer; /* an answer of ours: stricter, and no value is shown */
	char path[PATH_SIZE];
	struct buf text; /* the violations so far */
	int violations;
	char type_error[PATH_SIZE + 128]; /* "" while all types are right */
};

static void check(struct walk *w, const struct shape *s, struct json_object *v);

/* ---- telling ---- */

/* Puts a step on the path; gives the length to go back to. */
static size_t step_into(struct walk *w, const char *fmt, ...) MH_PRINTF(2, 3);
static size_t step_into(struct walk *w, const char *fmt, ...)
{
	size_t before = strlen(w->path), at = before;
	va_list ap;
	int n;

	if (at > 0 && at < PATH_SIZE - 1)
		w->path[at++] = '.';
	va_start(ap, fmt);
	n = vsnprintf(w->path + at, PATH_SIZE - at, fmt, ap);
	va_end(ap);
	if (n >= (int)(PATH_SIZE - at)) /* cut: not within a character */
		w->path[str_utf8_floor(w->path, PATH_SIZE - 1, PATH_SIZE - 2)] = '\0';
	return before;
}

static void step_back(struct walk *w, size_t before)
{
	w->path[before] = '\0';
}

/* As much of it as there is room for. */
static void echo_text(struct buf *out, const char *text, size_t len)
{
	size_t room = out->len < ECHO_MAX ? ECHO_MAX - out->len : 0;
	size_t n = len <= room ? len : str_utf8_floor(text, len, room);

	buf_printf(out, "%.*s", (int)n, text);
	if (n < len)
		buf_puts(out, "...");
}

/* The values of a map may be secret: its keys alone are shown. */
static void echo_object(struct buf *out, struct json_object *v)
{
	const char *separator = "";
	struct json_object_iter it;

	buf_putc(out, '{');
	json_object_object_foreachC(v, it)
	{
		if (out->len >= ECHO_MAX)
			break;
		buf_puts(out, separator);
		echo_text(out, it.key, strlen(it.key));
		buf_puts(out, "=...");
		separator = ", ";
	}
	buf_putc(out, '}');
}

/* As Java prints values: abc, [a, b], {k=...}. */
static void echo_value(struct buf *out, struct json_object *v)
{
	if (json_object_is_type(v, json_type_object)) {
		echo_object(out, v);
	} else if (json_object_is_type(v, json_type_array)) {
		size_t n = json_object_array_length(v);

		buf_putc(out, '[');
		for (size_t i = 0; i < n && out->len < ECHO_MAX; i++) {
			struct json_object *element = json_object_array_get_idx(v, i);

			buf_puts(out, i > 0 ? ", " : "");
			if (json_object_is_type(element, json_type_object))
				buf_puts(out, "{...}");
			else
				echo_value(out, element);
		}
		buf_putc(out, ']');
	} else if (json_object_is_type(v, json_type_string)) {
		echo_text(out, json_object_get_string(v),
			  (size_t)json_object_get_string_len(v));
	} else {
		const char *text = v ? json_text(v) : "null";

		echo_text(out, text, strlen(text));
	}
}

/* "Value 'x' at 'path' failed to satisfy constraint: ", to be followed by the rest. */
static bool begin_violation(struct walk *w, const struct shape *s, struct json_object *v)
{
	w->violations++;
	if (w->text.len > TEXT_MAX - ECHO_MAX - PATH_SIZE)
		return false; /* counted, not shown */
	buf_puts(&w->text, w->violations > 1 ? "; Value " : "Value ");
	if (!v) {
		buf_puts(&w->text, "null ");
	} else if (!w->answer && !s->sensitive) {
		CLEAN(buf)
		struct buf value = BUF_INIT(ECHO_MAX + 256); /* its brackets too */

		echo_value(&value, v);
		buf_printf(&w->text, "'%s' ", buf_text(&value));
	}
	buf_printf(&w->text, "at '%s' failed to satisfy constraint: ", w->path);
	return true;
}

static const char *kind_of(struct json_object *v)
{
	switch (json_object_get_type(v)) {
	case json_type_string:
		return "a string";
	case json_type_boolean:
		return "a boolean";
	case json_type_int:
	case json_type_double:
		return "a number";
	case json_type_array:
		return "a list";
	case json_type_object:
		return "an object";
	case json_type_null:
		break;
	}
	return "null";
}

static void wrong_type(struct walk *w, struct json_object *v, const char *expected)
{
	if (w->type_error[0] == '\0')
		(void)snprintf(w->type_error, sizeof(w->type_error),
			       "Unexpected value at '%s': expected %s, found %s", w->path,
			       expected, kind_of(v)); /* cut at the size */
}

/* ---- scalars ---- */

enum constraint { C_MAX, C_MIN, C_ENUM, C_PATTERN, CONSTRAINTS };

static bool has_value(const struct shape *s, const char *text)
{
	for (char **v = s->values; *v; v++) {
		if (strcmp(*v, text) == 0)
			return true;
	}
	return false;
}

static bool constraint_is_there(const struct shape *s, enum constraint c)
{
	switch (c) {
	case C_MAX:
		return s->max != INT64_MAX;
	case C_MIN:
		return s->min != INT64_MIN;
	case C_ENUM:
		return s->values != NULL;
	case C_PATTERN:
		return s->pattern != NULL;
	case CONSTRAINTS:
		break;
	}
	return false;
}

/* size: characters, elements or the number itself. */
static bool constraint_holds(const struct shape *s, enum constraint c,
			     struct json_object *v, int64_t size)
{
	switch (c) {
	case C_MAX:
		return size <= s->max;
	case C_MIN:
		return size >= s->min;
	case C_ENUM:
		return has_value(s, json_object_get_string(v));
	case C_PATTERN:
		return pattern_matches(s->pattern, json_object_get_string(v),
				       (size_t)json_object_get_string_len(v));
	case CONSTRAINTS:
		break;
	}
	return true;
}

static void tell_constraint(struct buf *out, const struct shape *s, enum constraint c)
{
	const char *what = s->type == SHAPE_INTEGER ? "value" : "length";

	switch (c) {
	case C_MAX:
		buf_printf(out, "Member must have %s less than or equal to %lld", what,
			   (long long)s->max);
		return;
	case C_MIN:
		buf_printf(out, "Member must have %s greater than or equal to %lld", what,
			   (long long)s->min);
		return;
	case C_ENUM:
		buf_puts(out, "Member must satisfy enum value set: [");
		for (char **v = s->values; *v; v++)
			buf_printf(out, "%s%s", v > s->values ? ", " : "", *v);
		buf_putc(out, ']');
		return;
	case C_PATTERN:
		buf_printf(out, "Member must satisfy regular expression pattern: %s",
			   s->pattern_text);
		return;
	case CONSTRAINTS:
		return;
	}
}

static void check_constraints(struct walk *w, const struct shape *s,
			      struct json_object *v, int64_t size)
{
	for (enum constraint c = 0; c < CONSTRAINTS; c++) {
		if (constraint_is_there(s, c) && !constraint_holds(s, c, v, size) &&
		    begin_violation(w, s, v))
			tell_constraint(&w->text, s, c);
	}
}

static int64_t scalar_size(const struct shape *s, struct json_object *v)
{
	if (s->type != SHAPE_STRING)
		return json_object_get_int64(v);
	return (int64_t)str_utf8_count(json_object_get_string(v),
				       (size_t)json_object_get_string_len(v));
}

/* A NUL would cut the text for whoever reads it next. */
static bool is_text(struct json_object *v)
{
	if (!json_object_is_type(v, json_type_string))
		return false;
	return strlen(json_object_get_string(v)) == (size_t)json_object_get_string_len(v);
}

static bool is_integer(struct json_object *v)
{
	int64_t n;

	if (!json_object_is_type(v, json_type_int))
		return false;
	n = json_object_get_int64(
		v); /* a larger number comes out at the end of the range */
	return n >= INT32_MIN && n <= INT32_MAX;
}

static bool is_time(struct json_object *v)
{
	if (!json_object_is_type(v, json_type_int) &&
	    !json_object_is_type(v, json_type_double))
		return false;
	return fabs(json_object_get_double(v)) <= SECONDS_MAX;
}

static bool scalar_has_type(struct walk *w, const struct shape *s, struct json_object *v)
{
	bool right;
	const char *expected;

	switch (s->type) {
	case SHAPE_STRING:
		right = is_text(v);
		expected = json_object_is_type(v, json_type_string)
				   ? "a string without U+0000"
				   : "a string";
		break;
	case SHAPE_BOOLEAN:
		right = json_object_is_type(v, json_type_boolean);
		expected = "a boolean";
		break;
	case SHAPE_TIMESTAMP:
		right = is_time(v);
		expected = "a number of seconds since 1970";
		break;
	default:
		right = is_integer(v);
		expected = "an integer of 32 bits";
	}
	if (!right)
		wrong_type(w, v, expected);
	return right;
}

/* ---- containers ---- */

static bool is_scalar(const struct shape *s)
{
	return s->type <= SHAPE_TIMESTAMP;
}

static bool scalar_holds(const struct shape *s, struct json_object *v)
{
	int64_t size = scalar_size(s, v);

	for (enum constraint c = 0; c < CONSTRAINTS; c++) {
		if (constraint_is_there(s, c) && !constraint_holds(s, c, v, size))
			return false;
	}
	return true;
}

/* One violation for the whole container, with all that its elements must satisfy. */
static void tell_elements(struct walk *w, const struct shape *container,
			  struct json_object *v, const char *who,
			  const struct shape *element)
{
	const char *separator = "[";

	if (!begin_violation(w, container, v))
		return;
	buf_printf(&w->text, "%s must satisfy constraint: ", who);
	for (enum constraint c = 0; c < CONSTRAINTS; c++) {
		if (constraint_is_there(element, c)) {
			buf_puts(&w->text, separator);
			tell_constraint(&w->text, element, c);
			separator = ", ";
		}
	}
	buf_puts(&w->text, *separator == '[' ? "[Member must not be null]" : "]");
}

/* The limits of a declared value, which may hold variables: resolved, as a job gets it,
 * it may be longer, or empty (semantics E11). */
static bool may_be_resolved(const struct walk *w, const struct shape *s)
{
	return w->answer && strcmp(s->name, "ActionConfigurationValue") == 0;
}

/* Whether a scalar element keeps its constraints; wrong types are told here. */
static bool element_is_well(struct walk *w, const struct shape *s, struct json_object *v)
{
	if (!v)
		return false;
	return !scalar_has_type(w, s, v) || may_be_resolved(w, s) || scalar_holds(s, v);
}

static void check_list(struct walk *w, const struct shape *s, struct json_object *v)
{
	size_t n = json_object_array_length(v);
	bool well = true;

	check_constraints(w, s, v, (int64_t)n);
	for (size_t i = 0; i < n; i++) {
		struct json_object *element = json_object_array_get_idx(v, i);
		size_t before = step_into(w, "%zu.member", i + 1);

		if (is_scalar(s->element))
			well &= element_is_well(w, s->element, element);
		else if (element)
			check(w, s->element, element);
		else if (begin_violation(w, s->element, NULL))
			buf_puts(&w->text, "Member must not be null");
		step_back(w, before);
	}
	if (!well)
		tell_elements(w, s, v, "Member", s->element);
}

static bool key_is_well(const struct shape *s, const char *key)
{
	CLEAN(json) struct json_object *v = json_object_new_string(key);

	return scalar_holds(s, v);
}

static void check_map(struct walk *w, const struct shape *s, struct json_object *v)
{
	bool keys_well = true, values_well = true;
	struct json_object_iter it;

	check_constraints(w, s, v, json_object_object_length(v));
	json_object_object_foreachC(v, it)
	{
		size_t before = step_into(w, "%s.member", it.key);

		keys_well &= key_is_well(s->key, it.key);
		if (is_scalar(s->element) || !it.val)
			values_well &= element_is_well(w, s->element, it.val);
		else
			check(w, s->element, it.val);
		step_back(w, before);
	}
	if (!keys_well)
		tell_elements(w, s, v, "Map keys", s->key);
	if (!values_well)
		tell_elements(w, s, v, "Map value", s->element);
}

static bool is_member(const struct shape *s, const char *name)
{
	for (size_t i = 0; i < s->member_count; i++) {
		if (strcmp(s->members[i].name, name) == 0)
			return true;
	}
	return false;
}

/* What a client may send and must ignore, we do not. */
static void check_known(struct walk *w, const struct shape *s, struct json_object *v)
{
	struct json_object_iter it;

	json_object_object_foreachC(v, it)
	{
		size_t before = step_into(w, "%s", it.key);

		if (!is_member(s, it.key) && begin_violation(w, s, v))
			buf_printf(&w->text, "%s has no such member", s->name);
		else if (!it.val && begin_violation(w, s, NULL))
			buf_puts(&w->text, "Absent members are left out");
		step_back(w, before);
	}
}

static void check_structure(struct walk *w, const struct shape *s, struct json_object *v)
{
	if (w->answer)
		check_known(w, s, v);
	for (size_t i = 0; i < s->member_count; i++) {
		const struct shape_member *m = &s->members[i];
		struct json_object *member = NULL;
		size_t before = step_into(w, "%s", m->name);

		(void)json_object_object_get_ex(v, m->name, &member); /* absent is null */
		if (member)
			check(w, m->shape, member);
		else if (m->required && begin_violation(w, m->shape, NULL))
			buf_puts(&w->text, "Member must not be null");
		step_back(w, before);
	}
}

/* Depth is bounded by the JSON reader's. */
static void check(struct walk *w, const struct shape *s, struct json_object *v)
{
	if (is_scalar(s)) {
		if (scalar_has_type(w, s, v))
			check_constraints(w, s, v, scalar_size(s, v));
	} else if (s->type == SHAPE_LIST) {
		if (json_object_is_type(v, json_type_array))
			check_list(w, s, v);
		else
			wrong_type(w, v, "a list");
	} else if (!json_object_is_type(v, json_type_object)) {
		wrong_type(w, v, "an object");
	} else if (s->type == SHAPE_MAP) {
		check_map(w, s, v);
	} else {
		check_structure(w, s, v);
	}
}

/* ---- from outside ---- */

int validate_input(const struct shape *shape, struct json_object *in,
		   struct api_error *err)
{
	struct walk w = { .text = BUF_INIT(64 * 1024) };
	int rc = 0;

	if (shape)
		check_structure(&w, shape, in);
	if (w.type_error[0] != '\0')
		rc = api_fail(err, "SerializationException", "%s", w.type_error);
	else if (w.violations > 0)
		rc = api_fail(err, "ValidationException",
			      "%d validation error%s detected: %s", w.violations,
			      w.violations > 1 ? "s" : "", buf_text(&w.text));
	else if (shape)
		validate_prune(shape, in);
	buf_done(&w.text);
	return rc;
}

int validate_output(const struct shape *shape, struct json_object *out,
		    struct mh_err *err)
{
	static char nothing_name[] = "an empty answer";
	static const struct shape nothing = { .name = nothing_name,
					      .type = SHAPE_STRUCTURE };
	struct walk w = { .answer = true, .text = BUF_INIT(64 * 1024) };
	int rc = 0;

	check_structure(&w, shape ? shape : &nothing, out);
	if (w.type_error[0] != '\0')
		rc = mh_err_set(err, MH_E_PROTO, "%s", w.type_error);
	else if (w.violations > 0)
		rc = mh_err_set(err, MH_E_PROTO, "%s", buf_text(&w.text));
	buf_done(&w.text);
	return rc;
}

/* What AWS answers though the model does not declare it (semantics G14). */
static bool is_answered_too(const char *op, const char *code)
{
	return strcmp(op, "UpdatePipeline") == 0 &&
	       strcmp(code, "PipelineNotFoundException") == 0;
}

int validate_error(const struct model_op *op, const struct api_error *refusal,
		   struct mh_err *err)
{
	bool known = strcmp(refusal->code, "ValidationException") == 0 ||
		     is_answered_too(op->name, refusal->code);

	for (size_t i = 0; !known && op->errors[i]; i++)
		known = strcmp(op->errors[i], refusal->code) == 0;
	if (!known)
		return mh_err_set(err, MH_E_PROTO, "%s is not an error that it declares",
				  refusal->code);
	if (refusal->message[0] == '\0')
		return mh_err_set(err, MH_E_PROTO, "%s has no message", refusal->code);
	return 0;
}
