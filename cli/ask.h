/*
 * Asking a running agent over its control socket (agent/control.h has the other end).
 *
 *	where_is(&place, &path, &err);            from --socket, or a configuration
 *	ask(path, request, timeout_ms, &answer, &err);
 *
 * One request, one answer: {"ok":true,...}, or {"ok":false,"code":"...","error":"..."}.
 */
#ifndef MH_CLI_ASK_H
#define MH_CLI_ASK_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/json.h"

#define ASK_ANSWER_MAX ((size_t)64 * 1024 * 1024)

struct place {
	const char *socket; /* NULL: of the configuration */
	const char *config; /* NULL: the usual one, and where there is none the usual
			       state directory */
};

/* CONFIG, NOTFOUND or DENIED: the file. The caller frees *ret. */
int where_is(const struct place *place, char **ret, struct mh_err *err) MH_MUST_CHECK;

/* timeout_ms 0: as long as it takes. NOTFOUND: no agent is there. DENIED: it is not
 * ours to ask. TIMEOUT, PROTO: whoever is there answers nothing, or nonsense. */
int ask(const char *path, struct json_object *request, int64_t timeout_ms,
	struct json_object **ret, struct mh_err *err) MH_MUST_CHECK;

#endif
