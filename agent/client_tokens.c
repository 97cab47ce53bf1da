#include "agent/client_tokens.h"

#include <string.h>

#include "agent/client_file.h"
#include "agent/creds_process.h"
#include "agent/metrics.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"

#define NOWHERE       "the configuration (client_tokens)"
#define PROCESSES_MAX 4
#define CLIENTS_MAX   1000 /* whose tokens are kept; ids come from outside */

struct client_ask {
	client_token_fn done;
	void *ctx;
	struct client_ask *next, **link; /* what points at it */
	bool *ret_gone; /* set when it is taken away; or NULL */
};

/* What the command said, or is being asked, about one client. */
struct client {
	struct client_tokens *tokens;
	char id[STR_UUID_SIZE];
	char *token; /* NULL: ask */
	int64_t until_ms; /* monotonic */
	struct creds_process *process;
	struct client_ask *asks;
	struct client *next;
};

struct client_tokens {
	struct loop *loop;
	char *path, *command;
	int64_t timeout_ms, keep_ms;
	struct client_file file;
	bool file_there, file_bad; /* bad: said so already */
	struct client *clients;
	size_t count, running;
};

struct client_tokens *client_tokens_new(struct loop *loop,
					const struct client_tokens_settings *s)
{
	struct client_tokens *t = mh_alloc(sizeof(*t));

	*t = (struct client_tokens){ .loop = loop };
	client_tokens_configure(t, s);
	return t;
}

void client_tokens_configure(struct client_tokens *t,
			     const struct client_tokens_settings *s)
{
	free(t->path);
	free(t->command);
	t->path = mh_strdup(s->file);
	t->command = mh_strdup(s->command);
	t->timeout_ms = s->timeout_ms;
	t->keep_ms = s->keep_ms;
	client_file_done(&t->file);
	t->file_there = t->file_bad = false;
	for (struct client *c = t->clients; c; c = c->next)
		creds_wipe(&c->token);
}

void client_ask_cancel(struct client_ask *ask)
{
	if (!ask)
		return;
	*ask->link = ask->next;
	if (ask->next)
		ask->next->link = ask->link;
	if (ask->ret_gone)
		*ask->ret_gone = true;
	free(ask);
}

static void client_free(struct client *c)
{
	while (c->asks)
		client_ask_cancel(c->asks);
	creds_process_cancel(c->process);
	creds_wipe(&c->token);
	free(c);
}

void client_tokens_free(struct client_tokens *t)
{
	if (!t)
		return;
	while (t->clients) {
		struct client *c = t->clients;

		t->clients = c->next;
		client_free(c);
	}
	client_file_done(&t->file);
	free(t->path);
	free(t->command);
	free(t);
}

/* --- the file ----------------------------------------------------------------------- */

static int unknown(const char *where, const char *client_id, struct mh_err *err)
{
	return mh_err_set(err, MH_E_NOTFOUND, "%s: has no token for client %s", where,
			  client_id);
}

/* A file that is being replaced, or was replaced by a bad one, costs no job that has
 * its token already: what was read before stays. */
static int refresh_file(struct client_tokens *t, struct mh_err *err)
{
	struct client_file now = { 0 };

	if (t->file_there && !client_file_changed(t->path, &t->file))
		return 0;
	if (client_file_read(t->path, &now, err) != 0) {
		if (!t->file_there)
			return -1;
		if (!t->file_bad)
			log_event(LOG_LEVEL_WARN, "client_tokens.kept",
				  "the file of client tokens cannot be read again; the "
				  "tokens read before are used",
				  LOG_ERR(err), LOG_END);
		t->file_bad = true;
		return 0;
	}
	client_file_done(&t->file);
	t->file = now;
	t->file_there = true;
	t->file_bad = false;
	log_event(LOG_LEVEL_INFO, "client_tokens.read", "the client tokens were read",
		  LOG_I("clients", (int64_t)now.count), LOG_END);
	return 0;
}

static void answer_from_file(struct client_tokens *t, const char *client_id,
			     client_token_fn done, void *ctx)
{
	struct mh_err err = MH_ERR_INIT;
	bool there = refresh_file(t, &err) == 0;
	const char *token = NULL;

	if (there) {
		token = client_file_find(&t->file, client_id);
		if (!token)
			(void)unknown(t->path, client_id, &err);
	}
	METRIC_INC(METRIC_CLIENT_TOKENS, "file",
		   token   ? "ok"
		   : there ? "unknown"
			   : "failed");
	done(ctx, token, token ? NULL : &err);
}

/* --- the command ----------------------------------------------------------------------
 */

static struct client *find_client(const struct client_tokens *t, const char *client_id)
{
	struct client *c = t->clients;

	while (c && strcmp(c->id, client_id) != 0)
		c = c->next;
	return c;
}

/* One that nobody waits for makes room. */
static void forget_one(struct client_tokens *t)
{
	struct client **link = &t->clients;

	while (*link && ((*link)->asks || (*link)->process))
		link = &(*link)->next;
	if (*link) {
		struct client *c = *link;

		*link = c->next;
		t->count--;
		client_free(c);
	}
}

static struct client *add_client(struct client_tokens *t, const char *client_id)
{
	struct client *c = mh_alloc(sizeof(*c));

	if (t->count >= CLIENTS_MAX)
		forget_one(t);
	*c = (struct client){ .tokens = t, .next = t->clients };
	memcpy(c->id, client_id, sizeof(c->id));
	t->clients = c;
	t->count++;
	return c;
}

/* Whoever asks from a callback joins, or is answered from what is kept. */
static void answer_all(struct client *c, const char *token, const struct mh_err *err)
{
	struct client_ask *asks = c->asks;

	c->asks = NULL;
	if (asks)
		asks->link = &asks;
	while (asks) {
		struct client_ask *ask = asks;
		client_token_fn done = ask->done;
		void *ctx = ask->ctx;

		client_ask_cancel(ask);
		done(ctx, token, err);
	}
}

static int take_output(struct client *c, const char *text, size_t len, struct mh_err *err)
{
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	if (memchr(text, '\n', len))
		return mh_err_set(err, MH_E_PROTO, "printed more than one line");
	if (client_token_check(text, len, err) != 0)
		return -1;
	creds_wipe(&c->token);
	c->token = mh_strndup(text, len);
	c->until_ms = clock_mono_ms() + c->tokens->keep_ms;
	return 0;
}

static void start_waiting(struct client_tokens *t);

static void command_ended(void *ctx, const char *text, size_t len,
			  const struct mh_err *failed)
{
	struct client *c = ctx;
	struct client_tokens *t = c->tokens;
	CLEAN(secret) char *token = NULL;
	struct mh_err err = MH_ERR_INIT;
	int rc;

	c->process = NULL;
	t->running--;
	if (failed)
		err = *failed;
	rc = failed ? -1 : take_output(c, text, len, &err);
	if (rc != 0)
		(void)mh_err_wrap(&err, "client_tokens.command, client %s", c->id);
	else
		token = mh_strdup(c->token);
	METRIC_INC(METRIC_CLIENT_TOKENS, "command", rc == 0 ? "ok" : "failed");
	answer_all(c, token, rc == 0 ? NULL : &err);
	start_waiting(t);
}

static void start_command(struct client *c)
{
	const struct client_tokens *t = c->tokens;
	const struct creds_command command = { .loop = t->loop,
					       .what = "client_tokens.command",
					       .command = t->command,
					       .argument = c->id,
					       .timeout_ms = t->timeout_ms };
	struct mh_err err = MH_ERR_INIT;

	if (!t->command) { /* the configuration was reloaded meanwhile */
		(void)unknown(NOWHERE, c->id, &err);
		answer_all(c, NULL, &err);
		return;
	}
	if (creds_process_start_text(&command, command_ended, c, &c->process, &err) ==
	    0) {
		c->tokens->running++;
		return;
	}
	METRIC_INC(METRIC_CLIENT_TOKENS, "command", "failed");
	answer_all(c, NULL, &err);
}

static struct client *find_waiting(const struct client_tokens *t)
{
	struct client *c = t->clients;

	while (c && (!c->asks || c->process))
		c = c->next;
	return c;
}

static void start_waiting(struct client_tokens *t)
{
	struct client *c;

	while (t->running < PROCESSES_MAX && (c = find_waiting(t)) != NULL)
		start_command(c);
}

static struct client_ask *ask_command(struct client_tokens *t, const char *client_id,
				      client_token_fn done, void *ctx)
{
	struct client *c = find_client(t, client_id);
	struct client_ask *ask;
	bool gone = false;

	if (!c)
		c = add_client(t, client_id);
	if (c->token && clock_mono_ms() < c->until_ms) {
		CLEAN(secret) char *token = mh_strdup(c->token);

		done(ctx, token, NULL); /* which may have it forgotten */
		return NULL;
	}
	ask = mh_alloc(sizeof(*ask));
	*ask = (struct client_ask){ .done = done,
				    .ctx = ctx,
				    .next = c->asks,
				    .link = &c->asks,
				    .ret_gone = &gone };
	if (ask->next)
		ask->next->link = &ask->next;
	c->asks = ask;
	start_waiting(t); /* which fails at once where there is no such program */
	if (gone)
		return NULL;
	ask->ret_gone = NULL;
	return ask;
}

struct client_ask *client_tokens_ask(struct client_tokens *t, const char *client_id,
				     client_token_fn done, void *ctx)
{
	struct mh_err err = MH_ERR_INIT;

	MH_ASSERT(strlen(client_id) < STR_UUID_SIZE);
	if (t->path) {
		answer_from_file(t, client_id, done, ctx);
		return NULL;
	}
	if (!t->command) {
		(void)unknown(NOWHERE, client_id, &err);
		done(ctx, NULL, &err);
		return NULL;
	}
	return ask_command(t, client_id, done, ctx);
}

void client_tokens_refused(struct client_tokens *t, const char *client_id)
{
	struct client *c = find_client(t, client_id);

	if (c)
		creds_wipe(&c->token);
}
