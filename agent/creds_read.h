/*
 * What is read on the way to credentials, all of it taken as hostile: JSON of
 * credential_process and of metadata services, XML of the token service, times,
 * command lines. Pure; errors never show a value that was read.
 */
#ifndef MH_AGENT_CREDS_READ_H
#define MH_AGENT_CREDS_READ_H

#include <stddef.h>
#include <stdint.h>

#include "agent/creds.h"
#include "lib/base/err.h"

#define CREDS_NEVER INT64_MAX

struct creds_found {
	struct creds keys;
	int64_t expires_wall_ms; /* by the clock of who gave them; CREDS_NEVER */
};
void creds_found_done(struct creds_found *f);
static inline void clean_creds_found(struct creds_found *f)
{
	creds_found_done(f);
}

/* {"Version": 1, "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"} */
int creds_read_process(const char *text, size_t len, struct creds_found *ret,
		       struct mh_err *err) MH_MUST_CHECK;
/* {"Code": "Success", "AccessKeyId", "SecretAccessKey", "Token", "Expiration"}, as the
 * instance's service says it; a container's has no Code. */
int creds_read_metadata(const char *text, size_t len, struct creds_found *ret,
			struct mh_err *err) MH_MUST_CHECK;
/* The Credentials of an AssumeRole or AssumeRoleWithWebIdentity answer. */
int creds_read_sts(const char *text, size_t len, struct creds_found *ret,
		   struct mh_err *err) MH_MUST_CHECK;
#define CREDS_CODE_SIZE 64
#define CREDS_TEXT_SIZE 256
/* Code and message of an error answer; "" where there is none. */
void creds_read_sts_error(const char *text, size_t len, char code[CREDS_CODE_SIZE],
			  char message[CREDS_TEXT_SIZE]);

/* Both halves there, and nothing that could not stand in a header. */
int creds_check(const struct creds *c, struct mh_err *err) MH_MUST_CHECK;

/* "2026-11-20T15:10:00Z", with fractions and with an offset ("+01:00", "+0100"). */
int creds_read_time(const char *s, int64_t *ret_ms, struct mh_err *err) MH_MUST_CHECK;

/* Words as a shell would cut them, quotes and backslashes included, and nothing else
 * of a shell. NULL-terminated; creds_words_free() takes it. CONFIG for an open quote or
 * no word. */
int creds_split_command(const char *line, char ***ret, struct mh_err *err) MH_MUST_CHECK;
void creds_words_free(char **words);

/* Blots out whatever looks like a key or a token: what a program wrote on its standard
 * error is to be shown. Line ends become blanks. */
void creds_hide(char *text);

#endif
