#include "emulator/api/page.h"

#include <sodium.h>
#include <string.h>

#include "emulator/jobcreds.h"

#define TAG_BYTES 16

/* What the token is bound to besides its key: the listing it continues. */
static void make_tag(struct op_ctx *ctx, const char *what, const char *last_key,
		     size_t len, unsigned char out[TAG_BYTES])
{
	unsigned char key[CREDS_KEY_SUBKEY_BYTES];
	crypto_generichash_state state;

	creds_key_derive(ctx->creds_key, "page-tag", key);
	/* These fail for wrong sizes alone. */
	(void)crypto_generichash_init(&state, key, sizeof(key), TAG_BYTES);
	(void)crypto_generichash_update(&state, (const unsigned char *)what,
					strlen(what) + 1);
	(void)crypto_generichash_update(&state, (const unsigned char *)last_key, len);
	(void)crypto_generichash_final(&state, out, TAG_BYTES);
	sodium_memzero(key, sizeof(key));
}

char *page_token(struct op_ctx *ctx, const char *what, const char *last_key)
{
	size_t len = strlen(last_key);
	CLEAN(free) unsigned char *bytes = mh_alloc(TAG_BYTES + len);

	make_tag(ctx, what, last_key, len, bytes);
	memcpy(bytes + TAG_BYTES, last_key, len);
	return str_base64(bytes, TAG_BYTES + len);
}

int page_open(struct op_ctx *ctx, const char *what, const char *token,
	      char **ret_last_key, struct api_error *err)
{
	CLEAN(free) unsigned char *bytes = NULL;
	unsigned char tag[TAG_BYTES];
	struct mh_err e = MH_ERR_INIT;
	size_t len = 0;

	if (token == NULL) {
		*ret_last_key = NULL;
		return 0;
	}
	if (str_unbase64(token, &bytes, &len, &e) != 0 || len < TAG_BYTES)
		return api_fail(err, "InvalidNextTokenException",
				"The next token is not one that this listing gave out");
	make_tag(ctx, what, (const char *)bytes + TAG_BYTES, len - TAG_BYTES, tag);
	if (sodium_memcmp(tag, bytes, TAG_BYTES) != 0)
		return api_fail(err, "InvalidNextTokenException",
				"The next token was given out by another listing, or was "
				"altered");
	*ret_last_key = mh_strndup((const char *)bytes + TAG_BYTES, len - TAG_BYTES);
	return 0;
}
