/*
 * Errors: a class that decides what happens next, the errno behind it, and one
 * line for people. A `struct mh_err` lives on the caller's stack, creating one
 * cannot fail, and it is the last parameter of every function that can fail:
 *
 *	int thing_open(const char *path, struct thing **ret, struct mh_err *err);
 *
 * Such a function answers 0, or -1 with *err set and *ret untouched. It does
 * not log: who decides what follows logs, once.
 */
#ifndef MH_BASE_ERR_H
#define MH_BASE_ERR_H

#include <stdbool.h>

#include "lib/base/macros.h"

enum mh_err_class {
	MH_OK = 0,
	MH_E_SYS, /* a system call failed; sys_errno says how */
	MH_E_CONFIG, /* the configuration is wrong; a person must mend it */
	MH_E_PROTO, /* bytes from outside break their format or a limit */
	MH_E_AUTH, /* credentials missing, refused or expired */
	MH_E_DENIED, /* known, but not allowed */
	MH_E_NOTFOUND, /* what was asked for is not there */
	MH_E_THROTTLED, /* the service asks for patience */
	MH_E_NET, /* no answer: DNS, connect, TLS, reset */
	MH_E_TIMEOUT, /* a deadline passed */
	MH_E_SERVER, /* the service failed (5xx) */
	MH_E_REFUSED, /* the service understood and said no for good */
	MH_E_PLUGIN, /* a plugin broke its contract */
	MH_E_FULL, /* no space, no descriptors, a quota */
	MH_E_CANCELLED, /* given up on request */
	MH_E_VERSION, /* made by another version of the program */
};

#define MH_ERR_TEXT_MAX 512

struct mh_err {
	enum mh_err_class cls;
	int sys_errno;
	char text[MH_ERR_TEXT_MAX];
};

#define MH_ERR_INIT                                                                      \
	{                                                                                \
		.cls = MH_OK                                                             \
	}

/* Fill *err and answer -1, so that failing is one line. Text over the limit is
 * cut at a character boundary. */
int mh_err_set(struct mh_err *err, enum mh_err_class cls, const char *fmt, ...)
	MH_PRINTF(3, 4);

/* The same for a failed system call: class SYS (FULL for ENOSPC, EDQUOT, EMFILE,
 * ENFILE), the text gets ": <strerror>". Reads errno first. */
int mh_err_sys(struct mh_err *err, const char *fmt, ...) MH_PRINTF(2, 3);

/* Put "context: " in front of the text; class stays. Answers -1. */
int mh_err_wrap(struct mh_err *err, const char *fmt, ...) MH_PRINTF(2, 3);

/* Shows a secret that somebody's words repeat as ****, also where the text was cut in
 * the middle of it. Secrets under 6 bytes are left: they would blot out ordinary words.
 */
void mh_err_hide(struct mh_err *err, const char *secret);

/* Stable lower-case name of a class, for logs. */
const char *mh_err_class_name(enum mh_err_class cls);

/* Whether the same thing tried again later may go well. */
bool mh_err_is_transient(const struct mh_err *err);

#endif
