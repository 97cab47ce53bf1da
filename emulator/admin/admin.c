/* From a request to its handler. */
#include "emulator/admin/admin.h"

#include <pthread.h>
#include <string.h>

#include "lib/net/uri.h"

struct admin {
	struct admin_options o;
	pthread_mutex_t lock; /* a plain one: its calls cannot fail */
};

void admin_new(const struct admin_options *options, struct admin **ret)
{
	struct admin *a = mh_alloc(sizeof(*a));

	a->o = *options;
	(void)pthread_mutex_init(&a->lock, NULL);
	*ret = a;
}

void admin_free(struct admin *a)
{
	if (!a)
		return;
	(void)pthread_mutex_destroy(&a->lock);
	free(a);
}

const struct admin_options *admin_options_of(const struct admin *a)
{
	return &a->o;
}

void admin_lock(struct admin *a)
{
	pthread_mutex_lock(&a->lock);
}

void admin_unlock(struct admin *a)
{
	pthread_mutex_unlock(&a->lock);
}

int admin_write(const struct admin_call *call, writer_fn fn, void *arg,
		struct api_error *err)
{
	return writer_call(call->admin->o.writer, fn, arg, call->caller_arn, err);
}

/* ---- routes ---- */

/* *ret_name: the segment that stands for "*", not decoded; the caller frees it. */
static bool fits(const char *pattern, const char *path, char **ret_name)
{
	CLEAN(free) char *name = NULL;

	while (*pattern && *path) {
		size_t want = strcspn(pattern, "/"), have = strcspn(path, "/");

		if (want == 1 && *pattern == '*' && have > 0) {
			free(name);
			name = mh_strndup(path, have);
		} else if (want != have || strncmp(pattern, path, want) != 0) {
			return false;
		}
		pattern += want;
		path += have;
		if (*pattern != *path)
			return false;
		pattern += *pattern == '/';
		path += *path == '/';
	}
	if (*pattern || *path)
		return false;
	*ret_name = STEAL_PTR(name);
	return true;
}

static const struct admin_route *find_route(const struct admin_request *request,
					    char **ret_name, struct api_error *err)
{
	bool known = false;

	for (const struct admin_route *r = admin_routes; r->method; r++) {
		char *name = NULL;

		if (!fits(r->path, request->path, &name))
			continue;
		if (strcmp(r->method, request->method) == 0) {
			*ret_name = name;
			return r;
		}
		free(name);
		known = true;
	}
	if (known)
		(void)admin_fail(err, 405, "MethodNotAllowed",
				 "%s is not what is done to %s%s.", request->method,
				 ADMIN_PREFIX, request->path);
	else
		(void)admin_fail(err, 404, "NotFound",
				 "The admin interface has no path %s%.200s.",
				 ADMIN_PREFIX, request->path);
	return NULL;
}

static int check_open(const struct admin *a, const struct admin_request *request,
		      struct api_error *err)
{
	if (!a || !a->o.settings->admin)
		return admin_fail(err, 404, "NotFound",
				  "The admin interface is off: start with --admin.");
	if (!request->local && !a->o.settings->admin_remote)
		return admin_fail(err, 403, "AccessDenied",
				  "The admin interface answers the loopback interface "
				  "alone: see admin_remote.");
	return 0;
}

static int read_body(const struct admin_request *request, struct json_object **ret,
		     struct api_error *err)
{
	struct mh_err why = MH_ERR_INIT;

	if (request->body_len == 0) {
		*ret = json_object_new_object();
		return 0;
	}
	if (json_parse_object(request->body, request->body_len, ret, &why) != 0)
		return api_fail(err, "SerializationException", "The body: %s", why.text);
	return 0;
}

static int decode_name(char **name, struct api_error *err)
{
	struct mh_err why = MH_ERR_INIT;
	char *plain = NULL;

	if (!*name)
		return 0;
	if (uri_decode(*name, strlen(*name), false, &plain, &why) != 0)
		return api_fail(err, "ValidationException", "The path: %s", why.text);
	free(*name);
	*name = plain;
	return 0;
}

int admin_serve(struct admin *a, const struct admin_request *request,
		struct json_object **ret, struct api_error *err)
{
	CLEAN(json) struct json_object *in = NULL;
	CLEAN(json) struct json_object *out = NULL;
	CLEAN(free) char *name = NULL;
	const struct admin_route *route;
	struct admin_call call;

	if (check_open(a, request, err) != 0)
		return -1;
	route = find_route(request, &name, err);
	if (!route || decode_name(&name, err) != 0 || read_body(request, &in, err) != 0)
		return -1;
	out = json_object_new_object();
	call = (struct admin_call){
		.admin = a, .in = in, .name = name, .caller_arn = request->caller_arn
	};
	if (route->handle(&call, out, err) != 0)
		return -1;
	*ret = STEAL_PTR(out);
	return 0;
}
