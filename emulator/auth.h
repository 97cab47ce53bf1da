/*
 * Who calls the API (semantics A2, A8). Without keys in the settings any credentials
 * are accepted, and none; with keys, a signature must be right, in AWS's words when it
 * is not. The artifact store has rules of its own (emulator/s3/). A job's artifact
 * credentials open its artifacts and nothing else: the API refuses them always.
 */
#ifndef MH_EMULATOR_AUTH_H
#define MH_EMULATOR_AUTH_H

#include "emulator/jobcreds.h"
#include "emulator/op.h"
#include "emulator/settings.h"
#include "lib/net/sigv4.h"

#define AUTH_ARN_SIZE 192

/* On success arn names the caller: its user, or "anonymous" when nothing was claimed.
 * Signatures are held against now_ms, the machine's time; sessions end by session_ms, the
 * emulator's (vclock.h). */
int auth_check(const struct settings *settings, const struct creds_key *creds_key,
	       const struct sigv4_request *request, int64_t now_ms, int64_t session_ms,
	       char arn[AUTH_ARN_SIZE], struct api_error *err) MH_MUST_CHECK;

#endif
