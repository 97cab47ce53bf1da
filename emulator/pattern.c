/*
 * Thompson's construction: a pattern becomes a small program, and a text is matched
 * by keeping the set of all places in the program that it may have reached.
 */
#include "emulator/pattern.h"

#include <limits.h>
#include <stdint.h>
#include <string.h>

#define PROGRAM_MAX 512
#define RANGES_MAX  24
#define ATOMS_MAX   4096 /* repeats in repeats are compiled again and again */
#define DEPTH_MAX   32
#define REPEAT_MAX  100
#define NO_MAX      UINT_MAX

enum op_code {
	OP_SET, /* one character of set */
	OP_SPLIT, /* go on at both a and b */
	OP_JUMP, /* go on at a */
	OP_BEGIN, /* ^ */
	OP_END, /* $ */
	OP_MATCH,
};

struct set {
	bool negated;
	uint8_t count;
	struct {
		uint32_t from, to;
	} ranges[RANGES_MAX];
	bool is_full; /* there was no room for another one */
};

struct instruction {
	enum op_code code;
	uint16_t a, b;
	uint16_t set; /* OP_SET: index into sets */
};

struct pattern {
	struct instruction program[PROGRAM_MAX];
	uint16_t length;
	struct set *sets; /* owned */
	uint16_t set_count, set_room;
};

/* ---- compiling ---- */

struct compiler {
	struct pattern *p;
	const char *source, *at;
	unsigned atoms; /* compiled so far, each as often as it was */
	unsigned depth; /* of parentheses */
	struct mh_err *err;
};

static int fail(struct compiler *c, const char *what)
{
	return mh_err_set(c->err, MH_E_PROTO, "pattern '%s', character %zu: %s",
			  c->source, (size_t)(c->at - c->source), what);
}

static int emit(struct compiler *c, struct instruction i)
{
	if (c->p->length == PROGRAM_MAX)
		return fail(c, "too long");
	c->p->program[c->p->length++] = i;
	return 0;
}

static void set_add(struct set *s, uint32_t from, uint32_t to)
{
	if (s->count == RANGES_MAX) {
		s->is_full = true; /* a model with more needs a larger table */
		return;
	}
	s->ranges[s->count].from = from;
	s->ranges[s->count++].to = to;
}

static int emit_set(struct compiler *c, const struct set *s)
{
	struct pattern *p = c->p;

	if (s->is_full)
		return fail(c, "too many characters in one bracket");
	if (p->set_count == p->set_room) {
		p->set_room = p->set_room ? 2 * p->set_room : 16;
		p->sets = mh_realloc(p->sets, p->set_room * sizeof(*p->sets));
	}
	p->sets[p->set_count] = *s;
	return emit(c, (struct instruction){ .code = OP_SET, .set = p->set_count++ });
}

/* After a backslash: a class, or a character that would mean something. The opposite of
 * a class stands alone: a set is negated as a whole. */
static int escape(struct compiler *c, struct set *s, bool alone)
{
	char e = *c->at;

	if (e == 'W' || e == 'D' || e == 'S') {
		if (!alone)
			return fail(c, "\\W, \\D and \\S are not understood in brackets");
		s->negated = true;
		e = (char)(e - 'A' + 'a');
	}

	if (e == 'w') {
		set_add(s, 'a', 'z');
		set_add(s, 'A', 'Z');
		set_add(s, '_', '_');
	}
	if (e == 'w' || e == 'd') {
		set_add(s, '0', '9');
	} else if (e == 's') {
		set_add(s, '\t', '\r');
		set_add(s, ' ', ' ');
	} else if (e == 't' || e == 'n' || e == 'r') {
		unsigned char ch = e == 't' ? '\t' : e == 'n' ? '\n' : '\r';

		set_add(s, ch, ch);
	} else if (e != '\0' && strchr("\\-.[](){}*+?^$|/ ", e)) {
		set_add(s, (unsigned char)e, (unsigned char)e);
	} else {
		return fail(c, "unknown escape");
	}
	c->at++;
	return 0;
}

/* [...], the bracket already read. */
static int bracket(struct compiler *c, struct set *s)
{
	if (*c->at == '^') {
		s->negated = true;
		c->at++;
	}
	while (*c->at != ']') {
		unsigned char from = (unsigned char)*c->at++;

		if (from == '\0' || from >= 0x80)
			return fail(c, "open bracket, or a character that is not ASCII");
		if (from == '\\') {
			if (escape(c, s, false) != 0)
				return -1;
		} else if (c->at[0] == '-' && c->at[1] != ']' && c->at[1] > ' ') {
			set_add(s, from, (unsigned char)c->at[1]);
			c->at += 2;
		} else {
			set_add(s, from, from);
		}
	}
	c->at++;
	return 0;
}

/* The character at *at, which moves past it. The text was checked to be UTF-8. */
static uint32_t next_char(const char *text, size_t len, size_t *at)
{
	unsigned char first = (unsigned char)text[(*at)++];
	int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
	uint32_t ch = more == 3   ? first & 0x07
		      : more == 2 ? first & 0x0f
		      : more == 1 ? first & 0x1f
				  : first;

	for (; more > 0 && *at < len; more--)
		ch = ch << 6 | ((unsigned char)text[(*at)++] & 0x3f);
	return ch;
}

static int alternatives(struct compiler *c);

/* (...) or (?:...), the parenthesis already read. */
static int group(struct compiler *c)
{
	if (c->at[0] == '?' && c->at[1] != ':')
		return fail(c, "of the groups with a question mark only (?:...) is "
			       "understood");
	c->at += *c->at == '?' ? 2 : 0;
	if (++c->depth > DEPTH_MAX)
		return fail(c, "too many parentheses in each other");
	if (alternatives(c) != 0)
		return -1;
	c->depth--;
	return *c->at++ == ')' ? 0 : fail(c, "open parenthesis");
}

/* A character that stands for itself; c->at is behind its first byte. */
static void add_literal(struct compiler *c, struct set *s)
{
	size_t at = 0;
	uint32_t ch = next_char(c->at - 1, strlen(c->at - 1), &at);

	c->at += at - 1;
	set_add(s, ch, ch);
}

static int atom(struct compiler *c)
{
	struct set s = { 0 };
	unsigned char ch = (unsigned char)*c->at++;

	if (++c->atoms > ATOMS_MAX)
		return fail(c, "too long");
	switch (ch) {
	case '(':
		return group(c);
	case '^':
		return emit(c, (struct instruction){ .code = OP_BEGIN });
	case '$':
		return emit(c, (struct instruction){ .code = OP_END });
	case '[':
		if (bracket(c, &s) != 0)
			return -1;
		break;
	case '.': /* Java's: anything but a line end */
		s.negated = true;
		set_add(&s, '\n', '\n');
		set_add(&s, '\r', '\r');
		set_add(&s, 0x85, 0x85);
		set_add(&s, 0x2028, 0x2029);
		break;
	case '\\':
		if (escape(c, &s, true) != 0)
			return -1;
		break;
	default:
		if (strchr("*+?{}]", ch))
			return fail(c, "not understood");
		add_literal(c, &s);
	}
	return emit_set(c, &s);
}

/* {n}, {n,m} or {n,} (then *max is NO_MAX), the brace already read. */
static int counts(struct compiler *c, unsigned *min, unsigned *max)
{
	if (*c->at < '0' || *c->at > '9')
		return fail(c, "bad count");
	*min = 0;
	while (*c->at >= '0' && *c->at <= '9' && *min <= REPEAT_MAX)
		*min = *min * 10 + (unsigned)(*c->at++ - '0');
	*max = *min;
	if (c->at[0] == ',' && c->at[1] == '}') {
		c->at++;
		*max = NO_MAX;
	} else if (*c->at == ',') {
		*max = 0;
		for (c->at++; *c->at >= '0' && *c->at <= '9' && *max <= REPEAT_MAX;
		     c->at++)
			*max = *max * 10 + (unsigned)(*c->at - '0');
	}
	if (*c->at++ != '}' || *min > REPEAT_MAX || *min > *max || *max == 0 ||
	    (*max > REPEAT_MAX && *max != NO_MAX))
		return fail(c, "bad count");
	return 0;
}

/* atom*, at the end of the program; c->at ends behind the atom. */
static int star(struct compiler *c, const char *source)
{
	uint16_t start = c->p->length;

	if (emit(c, (struct instruction){ .code = OP_SPLIT, .a = start + 1 }) != 0)
		return -1;
	c->at = source;
	if (atom(c) != 0 ||
	    emit(c, (struct instruction){ .code = OP_JUMP, .a = start }) != 0)
		return -1;
	c->p->program[start].b = c->p->length;
	return 0;
}

/* atom{min,max}: the atom is compiled anew from its source for every time. */
static int repeat(struct compiler *c, const char *source, uint16_t start, unsigned min,
		  unsigned max)
{
	const char *after = c->at;
	unsigned times = max == NO_MAX ? min : max;

	c->p->length = start;
	for (unsigned i = 0; i < times; i++) {
		uint16_t split = c->p->length;

		if (i >= min && emit(c, (struct instruction){ .code = OP_SPLIT,
							      .a = split + 1 }) != 0)
			return -1;
		c->at = source;
		if (atom(c) != 0)
			return -1;
		if (i >= min)
			c->p->program[split].b = c->p->length;
	}
	if (max == NO_MAX && star(c, source) != 0)
		return -1;
	c->at = after;
	return 0;
}

/* The atom was compiled at start; its quantifier q is behind it, and is read here. */
static int quantify(struct compiler *c, const char *source, uint16_t start, char q)
{
	uint16_t split = c->p->length;
	unsigned min = 0, max = 0;
	const char *after = ++c->at;

	if (q == '{')
		return counts(c, &min, &max) == 0 ? repeat(c, source, start, min, max)
						  : -1;
	if (q == '+') /* the atom, then back or on */
		return emit(c, (struct instruction){
				       .code = OP_SPLIT, .a = start, .b = split + 1 });
	/* Into the atom or past it: room is made in front of it, by compiling it again.
	 */
	c->p->length = start;
	if (q == '*') {
		if (star(c, source) != 0)
			return -1;
	} else {
		if (emit(c, (struct instruction){ .code = OP_SPLIT, .a = start + 1 }) !=
		    0)
			return -1;
		c->at = source;
		if (atom(c) != 0)
			return -1;
		c->p->program[start].b = c->p->length;
	}
	c->at = after;
	return 0;
}

static int piece(struct compiler *c)
{
	const char *source = c->at;
	uint16_t start = c->p->length;
	char q;

	if (atom(c) != 0)
		return -1;
	q = *c->at;
	if (q == '\0' || !strchr("*+?{", q))
		return 0;
	if (quantify(c, source, start, q) != 0)
		return -1;
	/* As little as possible, or as much: what matches as a whole is the same. */
	c->at += *c->at == '?';
	return 0;
}

static int sequence(struct compiler *c)
{
	while (*c->at != '\0' && *c->at != '|' && *c->at != ')') {
		if (piece(c) != 0)
			return -1;
	}
	return 0;
}

/* a|b|c: split to a or on; after a, jump past all. */
static int alternatives(struct compiler *c)
{
	const char *source = c->at;
	uint16_t start = c->p->length, jump;

	if (sequence(c) != 0)
		return -1;
	if (*c->at != '|')
		return 0;
	c->p->length = start;
	if (emit(c, (struct instruction){ .code = OP_SPLIT, .a = start + 1 }) != 0)
		return -1;
	c->at = source;
	if (sequence(c) != 0)
		return -1;
	jump = c->p->length;
	if (emit(c, (struct instruction){ .code = OP_JUMP }) != 0)
		return -1;
	c->p->program[start].b = c->p->length;
	c->at++;
	if (alternatives(c) != 0)
		return -1;
	c->p->program[jump].a = c->p->length;
	return 0;
}

int pattern_new(const char *source, struct pattern **ret, struct mh_err *err)
{
	struct compiler c = { .source = source, .at = source, .err = err };

	c.p = mh_alloc(sizeof(*c.p));
	if (alternatives(&c) != 0 || (*c.at != '\0' && fail(&c, "not understood") != 0) ||
	    emit(&c, (struct instruction){ .code = OP_MATCH }) != 0) {
		pattern_free(c.p);
		return -1;
	}
	*ret = c.p;
	return 0;
}

void pattern_free(struct pattern *p)
{
	if (!p)
		return;
	free(p->sets);
	free(p);
}

/* ---- matching ---- */

struct places { /* in the program, without repeats */
	uint16_t at[PROGRAM_MAX];
	uint16_t count;
	uint8_t seen[PROGRAM_MAX / 8];
};

/* Follows what takes no character. Depth is bounded by `seen`. */
static void add_place(const struct pattern *p, struct places *set, uint16_t at,
		      bool begin, bool end)
{
	const struct instruction *i = &p->program[at];

	if (set->seen[at / 8] & (1u << at % 8))
		return;
	set->seen[at / 8] |= (uint8_t)(1u << at % 8);
	switch (i->code) {
	case OP_SPLIT:
		add_place(p, set, i->a, begin, end);
		add_place(p, set, i->b, begin, end);
		return;
	case OP_JUMP:
		add_place(p, set, i->a, begin, end);
		return;
	case OP_BEGIN:
		if (begin)
			add_place(p, set, at + 1, begin, end);
		return;
	case OP_END:
		if (end)
			add_place(p, set, at + 1, begin, end);
		return;
	case OP_SET:
	case OP_MATCH:
		set->at[set->count++] = at;
	}
}

static void places_clear(struct places *set)
{
	set->count = 0;
	memset(set->seen, 0, sizeof(set->seen));
}

static bool set_has(const struct set *s, uint32_t ch)
{
	for (int i = 0; i < s->count; i++) {
		if (ch >= s->ranges[i].from && ch <= s->ranges[i].to)
			return !s->negated;
	}
	return s->negated;
}

bool pattern_matches(const struct pattern *p, const char *text, size_t len)
{
	struct places now, next;
	size_t at = 0;

	places_clear(&now);
	add_place(p, &now, 0, true, len == 0);
	while (at < len && now.count > 0) {
		uint32_t ch = next_char(text, len, &at);

		places_clear(&next);
		for (uint16_t i = 0; i < now.count; i++) {
			const struct instruction *in = &p->program[now.at[i]];

			if (in->code == OP_SET && set_has(&p->sets[in->set], ch))
				add_place(p, &next, now.at[i] + 1, false, at == len);
		}
		now = next;
	}
	for (uint16_t i = 0; i < now.count; i++) {
		if (p->program[now.at[i]].code == OP_MATCH)
			return true; /* the text is at its end: no place is left before it
				      */
	}
	return false;
}
