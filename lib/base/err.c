#include "lib/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/str.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
/* The exit code that the tests take for a finding (tests/system/mh/findings.py), also of
 * programs that are started without an environment. This file is in every program. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
	return "exitcode=86";
}

const char *__tsan_default_options(void)
{
	return "exitcode=86";
}
#endif

static const char *const class_names[] = {
	[MH_OK] = "ok",
	[MH_E_SYS] = "system",
	[MH_E_CONFIG] = "config",
	[MH_E_PROTO] = "protocol",
	[MH_E_AUTH] = "auth",
	[MH_E_DENIED] = "denied",
	[MH_E_NOTFOUND] = "not_found",
	[MH_E_THROTTLED] = "throttled",
	[MH_E_NET] = "network",
	[MH_E_TIMEOUT] = "timeout",
	[MH_E_SERVER] = "server",
	[MH_E_REFUSED] = "refused",
	[MH_E_PLUGIN] = "plugin",
	[MH_E_FULL] = "full",
	[MH_E_CANCELLED] = "cancelled",
	[MH_E_VERSION] = "version",
};

const char *mh_err_class_name(enum mh_err_class cls)
{
	MH_ASSERT((size_t)cls < ARRAY_LEN(class_names) && class_names[cls]);
	return class_names[cls];
}

bool mh_err_is_transient(const struct mh_err *err)
{
	switch (err->cls) {
	case MH_E_THROTTLED:
	case MH_E_NET:
	case MH_E_TIMEOUT:
	case MH_E_SERVER:
	case MH_E_FULL:
		return true;
	default:
		return false;
	}
}

/* Cuts what vsnprintf may have cut in the middle of a character. */
static void text_mend(char *text)
{
	size_t len = strlen(text);

	text[str_utf8_floor(text, len, len)] = '\0';
}

MH_PRINTF(2, 0)
static void text_set(struct mh_err *err, const char *fmt, va_list ap)
{
	char text[MH_ERR_TEXT_MAX]; /* the arguments may point into err->text */

	(void)vsnprintf(text, sizeof text, fmt, ap); /* cutting is meant */
	memcpy(err->text, text, sizeof text);
	text_mend(err->text);
}

void mh_err_hide(struct mh_err *err, const char *secret)
{
	const size_t least = 6;
	char text[MH_ERR_TEXT_MAX];
	size_t to = 0;

	if (strlen(secret) < least)
		return;
	for (const char *from = err->text; *from;) {
		size_t same = 0;

		while (secret[same] && from[same] == secret[same])
			same++;
		if (same >= least && (!secret[same] || !from[same])) {
			memcpy(text + to, "****", 4); /* shorter than what it hides */
			to += 4;
			from += same;
		} else {
			text[to++] = *from++;
		}
	}
	text[to] = '\0';
	memcpy(err->text, text, to + 1);
}

int mh_err_set(struct mh_err *err, enum mh_err_class cls, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	text_set(err, fmt, ap);
	va_end(ap);
	err->cls = cls;
	err->sys_errno = 0;
	return -1;
}

static enum mh_err_class class_of_errno(int number)
{
	switch (number) {
	case ENOSPC:
	case EDQUOT:
	case EMFILE:
	case ENFILE:
		return MH_E_FULL;
	default:
		return MH_E_SYS;
	}
}

int mh_err_sys(struct mh_err *err, const char *fmt, ...)
{
	int number = errno;
	size_t len;
	va_list ap;

	va_start(ap, fmt);
	text_set(err, fmt, ap);
	va_end(ap);
	len = strlen(err->text);
	(void)snprintf(err->text + len, sizeof err->text - len, ": %s", strerror(number));
	text_mend(err->text);
	err->cls = class_of_errno(number);
	err->sys_errno = number;
	return -1;
}

int mh_err_wrap(struct mh_err *err, const char *fmt, ...)
{
	char old[MH_ERR_TEXT_MAX];
	size_t len;
	va_list ap;

	memcpy(old, err->text, sizeof old);
	va_start(ap, fmt);
	text_set(err, fmt, ap);
	va_end(ap);
	len = strlen(err->text);
	(void)snprintf(err->text + len, sizeof err->text - len, ": %s", old);
	text_mend(err->text);
	return -1;
}
