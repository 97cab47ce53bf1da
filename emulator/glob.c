/*
 * A pattern becomes a list of nodes; a text is matched by keeping the set of all nodes
 * that it may have reached.
 */
#include "emulator/glob.h"

#include <stdint.h>
#include <string.h>

#include "lib/base/str.h"

#define NODES_MAX 1024 /* a character makes two at most */

enum node_kind {
	NODE_CHAR,
	NODE_ONE, /* any but / */
	NODE_STAR, /* any number of those */
	NODE_ALL, /* any number of any */
	NODE_SET,
	NODE_SPLIT, /* go on at the next and at `to` */
	NODE_JUMP, /* go on at `to` */
	NODE_END,
};

struct node {
	enum node_kind kind;
	uint32_t c; /* of NODE_CHAR */
	const char *set; /* of NODE_SET: behind its [ */
	uint16_t to;
};

struct glob {
	struct node nodes[NODES_MAX];
	uint16_t count;
};

/* The character at *p, which moves behind it. A byte that is no UTF-8 is one of its
 * own, beyond all others. */
static uint32_t take(const char **p)
{
	const unsigned char *s = (const unsigned char *)*p;
	size_t len = *s < 0x80 ? 1 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : 4;
	uint32_t c = *s;

	if (len > 1 && (memchr(s, '\0', len) != NULL || !str_is_utf8(*p, len))) {
		(*p)++;
		return 0x110000 + c;
	}
	if (len > 1)
		c &= 0x7fU >> len;
	for (size_t i = 1; i < len; i++)
		c = c << 6 | (s[i] & 0x3fU);
	*p += len;
	return c;
}

/* Where the set that begins at p (behind its bracket) ends: behind its ]. NULL: never. */
static const char *set_end(const char *p)
{
	if (*p == '!')
		p++;
	if (*p == ']')
		return NULL; /* an empty one */
	p = strchr(p, ']');
	return p ? p + 1 : NULL;
}

static bool in_set(const char *set, uint32_t c)
{
	bool negated = *set == '!', found = false;
	const char *end = set_end(set) - 1;

	set += negated;
	while (set < end) {
		uint32_t from = take(&set), to = from;

		if (*set == '-' && set + 1 < end) {
			set++;
			to = take(&set);
		}
		found |= c >= from && c <= to;
	}
	return c != '/' && found != negated;
}

/* ---- compiling ---- */

struct compiler {
	struct glob *g;
	const char *p;
	bool in_braces;
	uint16_t split; /* of the alternative that is being read */
	uint16_t jumps; /* the last of those to behind the braces, linked by `to` */
};

static uint16_t add(struct compiler *c, enum node_kind kind)
{
	MH_ASSERT(c->g->count < NODES_MAX);
	c->g->nodes[c->g->count] = (struct node){ .kind = kind };
	return c->g->count++;
}

static void add_char(struct compiler *c)
{
	uint16_t n = add(c, NODE_CHAR);

	c->g->nodes[n].c = take(&c->p);
}

#define NO_NODE UINT16_MAX

static void open_braces(struct compiler *c)
{
	c->p++;
	c->in_braces = true;
	c->jumps = NO_NODE;
	c->split = add(c, NODE_SPLIT);
}

static void end_alternative(struct compiler *c)
{
	uint16_t jump = add(c, NODE_JUMP);

	c->g->nodes[jump].to = c->jumps;
	c->jumps = jump;
	/* The way past the alternative; the last one's leads nowhere. */
	c->g->nodes[c->split].to = c->g->count;
}

static void close_braces(struct compiler *c)
{
	uint16_t dead;

	c->p++;
	end_alternative(c);
	/* Nothing is an end of text inside one: this never matches. */
	dead = add(c, NODE_CHAR);
	c->g->nodes[dead].c = UINT32_MAX;
	while (c->jumps != NO_NODE) {
		uint16_t before = c->g->nodes[c->jumps].to;

		c->g->nodes[c->jumps].to = c->g->count;
		c->jumps = before;
	}
	c->in_braces = false;
}

static const char *compile_set(struct compiler *c)
{
	const char *end = set_end(c->p + 1);
	uint16_t n;

	if (!end)
		return "a [ without its ]";
	n = add(c, NODE_SET);
	c->g->nodes[n].set = c->p + 1;
	c->p = end;
	return NULL;
}

/* The next item; answers what is wrong with it, or NULL. */
static const char *compile_item(struct compiler *c)
{
	switch (*c->p) {
	case '*':
		c->p++;
		if (*c->p == '*') {
			c->p++;
			(void)add(c, NODE_ALL); /* its place is known */
		} else {
			(void)add(c, NODE_STAR); /* as above */
		}
		return NULL;
	case '?':
		c->p++;
		(void)add(c, NODE_ONE); /* as above */
		return NULL;
	case '[':
		return compile_set(c);
	case '{':
		if (c->in_braces)
			return "braces within braces";
		open_braces(c);
		return NULL;
	case '\\':
		c->p++;
		if (*c->p == '\0')
			return "a backslash at the end";
		add_char(c);
		return NULL;
	default:
		break;
	}
	if (c->in_braces && *c->p == ',') {
		c->p++;
		end_alternative(c);
		c->split = add(c, NODE_SPLIT);
	} else if (c->in_braces && *c->p == '}') {
		close_braces(c);
	} else {
		add_char(c);
	}
	return NULL;
}

static const char *compile(const char *pattern, struct glob *g)
{
	struct compiler c = { .g = g, .p = pattern };

	g->count = 0;
	if (!str_is_utf8(pattern, strlen(pattern)))
		return "no UTF-8";
	if (str_utf8_count(pattern, strlen(pattern)) > GLOB_MAX_CHARS)
		return "more than 255 characters";
	while (*c.p) {
		const char *wrong = compile_item(&c);

		if (wrong)
			return wrong;
	}
	if (c.in_braces)
		return "a { without its }";
	(void)add(&c, NODE_END); /* the last */
	return NULL;
}

int glob_check(const char *pattern, struct mh_err *err)
{
	struct glob g;
	const char *wrong = compile(pattern, &g);

	return wrong ? mh_err_set(err, MH_E_PROTO, "pattern '%.300s': %s", pattern, wrong)
		     : 0;
}

/* ---- matching ---- */

struct set_of_nodes {
	uint16_t items[NODES_MAX];
	uint16_t count;
	uint8_t has[NODES_MAX / 8];
};

/* Adds a node, and those that are reached from it without a character. */
static void reach(const struct glob *g, struct set_of_nodes *s, uint16_t first)
{
	uint16_t todo[NODES_MAX];
	size_t left = 0;

	todo[left++] = first;
	while (left > 0) {
		uint16_t n = todo[--left];
		const struct node *node = &g->nodes[n];

		if (s->has[n / 8] >> (n % 8) & 1)
			continue;
		s->has[n / 8] |= (uint8_t)(1U << (n % 8));
		s->items[s->count++] = n;
		/* Each is entered once, and adds two at most. */
		MH_ASSERT(left + 2 <= NODES_MAX);
		if (node->kind == NODE_SPLIT || node->kind == NODE_JUMP)
			todo[left++] = node->to;
		if (node->kind == NODE_SPLIT || node->kind == NODE_STAR ||
		    node->kind == NODE_ALL)
			todo[left++] = (uint16_t)(n + 1);
	}
}

static void step(const struct glob *g, uint16_t n, uint32_t c, struct set_of_nodes *to)
{
	const struct node *node = &g->nodes[n];

	switch (node->kind) {
	case NODE_CHAR:
		if (node->c == c)
			reach(g, to, (uint16_t)(n + 1));
		return;
	case NODE_ONE:
		if (c != '/')
			reach(g, to, (uint16_t)(n + 1));
		return;
	case NODE_STAR:
		if (c != '/')
			reach(g, to, n);
		return;
	case NODE_ALL:
		reach(g, to, n);
		return;
	case NODE_SET:
		if (in_set(node->set, c))
			reach(g, to, (uint16_t)(n + 1));
		return;
	case NODE_SPLIT:
	case NODE_JUMP:
	case NODE_END:
		return;
	}
}

bool glob_matches(const char *pattern, const char *text)
{
	struct glob g;
	struct set_of_nodes now = { .count = 0 };
	uint16_t end;

	if (compile(pattern, &g) != NULL)
		return false;
	end = (uint16_t)(g.count - 1);
	reach(&g, &now, 0);
	while (*text && now.count > 0) {
		struct set_of_nodes next = { .count = 0 };
		uint32_t c = take(&text);

		for (uint16_t i = 0; i < now.count; i++)
			step(&g, now.items[i], c, &next);
		now = next;
	}
	return *text == '\0' && (now.has[end / 8] >> (end % 8) & 1);
}
