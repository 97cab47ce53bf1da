#include "emulator/seal.h"

#include <sodium.h>
#include <string.h>

#include "lib/base/str.h"

#define NONCE crypto_secretbox_NONCEBYTES
#define MAC   crypto_secretbox_MACBYTES

static void derive(const struct creds_key *key, const char purpose[8],
		   unsigned char out[CREDS_KEY_SUBKEY_BYTES])
{
	_Static_assert(CREDS_KEY_SUBKEY_BYTES == crypto_secretbox_KEYBYTES,
		       "libsodium's key sizes");
	creds_key_derive(key, purpose, out);
}

char *seal_text(const struct creds_key *key, const char *text)
{
	unsigned char box_key[CREDS_KEY_SUBKEY_BYTES], nonce_key[CREDS_KEY_SUBKEY_BYTES];
	const unsigned char *bytes = (const unsigned char *)text;
	size_t len = strlen(text);
	CLEAN(free) unsigned char *sealed = mh_alloc(NONCE + MAC + len);

	derive(key, "seal-box", box_key);
	derive(key, "seal-non", nonce_key);
	/* A nonce made of the text is used again for the same text alone. Both calls fail
	 * for wrong sizes alone. */
	(void)crypto_generichash(sealed, NONCE, bytes, len, nonce_key, sizeof(nonce_key));
	(void)crypto_secretbox_easy(sealed + NONCE, bytes, len, sealed, box_key);
	sodium_memzero(box_key, sizeof(box_key));
	sodium_memzero(nonce_key, sizeof(nonce_key));
	return str_base64(sealed, NONCE + MAC + len);
}

int seal_open(const struct creds_key *key, const char *sealed, char **ret,
	      struct mh_err *err)
{
	unsigned char box_key[CREDS_KEY_SUBKEY_BYTES];
	CLEAN(free) unsigned char *bytes = NULL;
	CLEAN(free) char *text = NULL;
	size_t len;
	int rc;

	if (str_unbase64(sealed, &bytes, &len, err) != 0 || len < NONCE + MAC)
		return mh_err_set(err, MH_E_AUTH, "not a sealed text");
	text = mh_alloc(len - NONCE - MAC + 1);
	derive(key, "seal-box", box_key);
	rc = crypto_secretbox_open_easy((unsigned char *)text, bytes + NONCE, len - NONCE,
					bytes, box_key);
	sodium_memzero(box_key, sizeof(box_key));
	if (rc != 0)
		return mh_err_set(
			err, MH_E_AUTH,
			"sealed under another key than the data directory's, or altered");
	*ret = STEAL_PTR(text);
	return 0;
}
