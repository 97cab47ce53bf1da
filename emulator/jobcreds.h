/*
 * A job's artifact credentials: a sealed token (scope, expiry, secret) under a
 * key of the data directory. No rows, survive restarts, open the job's inputs for
 * reading and its outputs for writing, and nothing else (design section 6).
 *
 * The session token is base64 of crypto_secretbox over a JSON object; access key
 * id and secret are inside and outside of it alike, so the S3 side needs nothing
 * but the token to verify a signature.
 */
#ifndef MH_EMULATOR_JOBCREDS_H
#define MH_EMULATOR_JOBCREDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct creds_key; /* 32 bytes in <data_dir>/creds.key (0600), made on first start */

/* Makes one where there is none. */
int creds_key_open(const char *data_dir, struct creds_key **ret,
		   struct mh_err *err) MH_MUST_CHECK;
/* NOTFOUND where there is none: for a data directory with values that were sealed. */
int creds_key_open_old(const char *data_dir, struct creds_key **ret,
		       struct mh_err *err) MH_MUST_CHECK;
void creds_key_free(struct creds_key *key);

#define CREDS_KEY_SUBKEY_BYTES 32
/* A key of its own for another purpose, e.g. "page   ": the same for the same 8
 * characters and data directory. key NULL (tests without one): a fixed key. */
void creds_key_derive(const struct creds_key *key, const char purpose[8],
		      unsigned char out[CREDS_KEY_SUBKEY_BYTES]);

struct creds_object {
	const char *bucket;
	const char *key;
};

struct job_creds {
	char *access_key_id; /* "ASIA" and 16 upper-case letters or digits; see below */
	char *secret_access_key;
	char *session_token;
	int64_t expires_ms;
};
void job_creds_done(struct job_creds *c);

/* inputs may be read, outputs may be written (and read back by HEAD). */
void job_creds_seal(const struct creds_key *key, const struct creds_object *inputs,
		    size_t input_count, const struct creds_object *outputs,
		    size_t output_count, int64_t expires_ms, struct job_creds *ret);

struct opened_creds {
	char *access_key_id;
	char *secret_access_key;
	int64_t expires_ms;
	struct creds_object *inputs; /* strings owned here */
	size_t input_count;
	struct creds_object *outputs;
	size_t output_count;
};
/* NOTFOUND when the token is not one of ours (then it is a client's own business),
 * AUTH when it is damaged. Does not judge the expiry. */
int job_creds_open(const struct creds_key *key, const char *session_token,
		   struct opened_creds *ret, struct mh_err *err) MH_MUST_CHECK;
void opened_creds_done(struct opened_creds *c);

/* Whether this access key id is one of a job of ours. It says so itself (its tail is a
 * tag under the key), so that a request with it is known without its token. */
bool job_creds_is_key_id(const struct creds_key *key, const char *access_key_id);

bool opened_creds_may_read(const struct opened_creds *c, const char *bucket,
			   const char *key);
bool opened_creds_may_write(const struct opened_creds *c, const char *bucket,
			    const char *key);

#endif
