#include "emulator/auth.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"

#define SERVICE "codepipeline"

static const struct settings_key *find_key(const struct settings *s, const char *id)
{
	const struct settings_key *keys = s->keys.items;

	for (size_t i = 0; i < s->keys.count; i++) {
		if (strcmp(keys[i].access_key_id, id) == 0)
			return &keys[i];
	}
	return NULL;
}

/* The time must be near ours; a presigned request lives as long as it says. */
static int check_time(const struct sigv4_claim *claim, int64_t now_ms, int64_t window_ms,
		      struct api_error *err)
{
	int64_t life_ms = claim->presigned ? claim->expires_s * 1000 : window_ms;
	char signed_at[CLOCK_AMZ_SIZE], now[CLOCK_AMZ_SIZE], bound[CLOCK_AMZ_SIZE];

	clock_format_amz(claim->time_ms, signed_at);
	clock_format_amz(now_ms, now);
	if (claim->time_ms < now_ms - life_ms) {
		clock_format_amz(now_ms - life_ms, bound);
		return api_fail(
			err, "InvalidSignatureException",
			"Signature expired: %s is now earlier than %s (%s - %lld min.)",
			signed_at, bound, now, (long long)(life_ms / 60000));
	}
	if (claim->time_ms > now_ms + window_ms) {
		clock_format_amz(now_ms + window_ms, bound);
		return api_fail(
			err, "InvalidSignatureException",
			"Signature not yet current: %s is still later than %s (%s + "
			"%lld min.)",
			signed_at, bound, now, (long long)(window_ms / 60000));
	}
	return 0;
}

/* The date was held against the time when the claim was read. */
static int check_scope(const struct settings *s, const struct sigv4_claim *claim,
		       struct api_error *err)
{
	if (strcmp(claim->region, s->region) != 0)
		return api_fail(
			err, "InvalidSignatureException",
			"Credential should be scoped to a valid region, not '%s'. This "
			"server plays '%s'.",
			claim->region, s->region);
	if (strcmp(claim->service, SERVICE) != 0)
		return api_fail(
			err, "InvalidSignatureException",
			"Credential should be scoped to correct service: '" SERVICE "'.");
	return 0;
}

static int check_signature(const struct settings *s, const struct sigv4_request *request,
			   const struct sigv4_claim *claim, int64_t now_ms,
			   struct api_error *err)
{
	const struct settings_key *key = find_key(s, claim->access_key_id);
	const char *unsigned_header;
	struct mh_err why = MH_ERR_INIT;

	/* The keys of the settings are a user's: none comes with a session token. */
	if (!key || (claim->session_token && *claim->session_token))
		return api_fail(err, "UnrecognizedClientException",
				"The security token included in the request is invalid.");
	if (check_time(claim, now_ms, s->signature_window_ms, err) != 0 ||
	    check_scope(s, claim, err) != 0)
		return -1;
	unsigned_header = sigv4_unsigned_header(request, claim);
	if (unsigned_header)
		return api_fail(err, "InvalidSignatureException",
				"'%s' must be a 'SignedHeader' in the AWS Authorization.",
				strcmp(unsigned_header, "host") == 0 ? "Host"
								     : unsigned_header);
	if (sigv4_verify(request, claim, key->secret_access_key, &why) != 0)
		return api_fail(
			err, "InvalidSignatureException",
			"The request signature we calculated does not match the "
			"signature you provided. Check your AWS Secret Access Key and "
			"signing method. Consult the service documentation for "
			"details. (%s)",
			why.text);
	return 0;
}

static void name_caller(const struct settings *s, const char *user,
			char arn[AUTH_ARN_SIZE])
{
	/* A long or strange claimed id is cut: it is a name here, nothing else. */
	size_t n = strspn(user, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				"0123456789_+=,.@-");

	if (n > 128)
		n = 128;
	(void)snprintf(arn, AUTH_ARN_SIZE, "arn:aws:iam::%s:user/%.*s", s->account,
		       (int)n, user); /* fits: 12 + 128 */
}

/* A session that has ended is told so before what it may not do. */
static int check_session(const struct creds_key *key, const struct sigv4_claim *claim,
			 int64_t now_ms, struct api_error *err)
{
	struct opened_creds session = { 0 };
	struct mh_err why = MH_ERR_INIT;
	bool ended;

	if (!claim->session_token ||
	    job_creds_open(key, claim->session_token, &session, &why) != 0)
		return 0;
	ended = now_ms >= session.expires_ms;
	opened_creds_done(&session);
	return ended ? api_fail(err, "ExpiredTokenException",
				"The security token included in the request is expired")
		     : 0;
}

/* Their signature need not be right to be told so: they open nothing here. */
static int refuse_job(const struct creds_key *key, const struct sigv4_claim *claim,
		      int64_t now_ms, struct api_error *err)
{
	if (!job_creds_is_key_id(key, claim->access_key_id))
		return 0;
	if (check_session(key, claim, now_ms, err) != 0)
		return -1;
	return api_fail(err, "AccessDeniedException",
			"These are the artifact credentials of a job: they open its "
			"artifacts and nothing else. Sign with the worker's own "
			"credentials.");
}

int auth_check(const struct settings *settings, const struct creds_key *creds_key,
	       const struct sigv4_request *request, int64_t now_ms, int64_t session_ms,
	       char arn[AUTH_ARN_SIZE], struct api_error *err)
{
	struct sigv4_claim claim;
	struct mh_err why = MH_ERR_INIT;
	int rc;

	if (sigv4_claim_parse(request, &claim, &why) != 0) {
		if (why.cls != MH_E_NOTFOUND)
			return api_fail(err, "IncompleteSignatureException", "%s",
					why.text);
		if (settings->keys.count > 0)
			return api_fail(err, "MissingAuthenticationTokenException",
					"Missing Authentication Token");
		name_caller(settings, "anonymous", arn);
		return 0;
	}
	rc = refuse_job(creds_key, &claim, session_ms, err);
	if (rc == 0 && settings->keys.count > 0)
		rc = check_signature(settings, request, &claim, now_ms, err);
	if (rc == 0)
		name_caller(settings, claim.access_key_id, arn);
	sigv4_claim_done(&claim);
	return rc;
}
