/* The derived signing key, and the cache of such keys. */
#include <pthread.h>
#include <string.h>

#include <sodium.h>

#include "lib/base/sha256.h"
#include "lib/net/sigv4_steps.h"

/* A key is found by a keyed hash of what it was derived from, so that the table
 * holds no long-lived secret. */
struct slot {
	unsigned char tag[32];
	unsigned char key[32];
};

struct sigv4_keys {
	pthread_mutex_t lock;
	unsigned char hash_key[crypto_generichash_KEYBYTES];
	size_t slot_count;
	struct slot *slots; /* in memory that is locked and wiped by libsodium */
};

struct sigv4_keys *sigv4_keys_new(size_t slots)
{
	struct sigv4_keys *keys = mh_alloc(sizeof *keys);

	if (sodium_init() < 0)
		MH_BUG("libsodium cannot be started");
	MH_ASSERT(slots > 0);
	MH_ASSERT(pthread_mutex_init(&keys->lock, NULL) == 0);
	randombytes_buf(keys->hash_key, sizeof keys->hash_key);
	keys->slot_count = slots;
	keys->slots = sodium_allocarray(slots, sizeof *keys->slots);
	MH_ASSERT(keys->slots); /* no memory */
	memset(keys->slots, 0, slots * sizeof *keys->slots);
	return keys;
}

void sigv4_keys_free(struct sigv4_keys *keys)
{
	if (!keys)
		return;
	sodium_free(keys->slots);
	(void)pthread_mutex_destroy(&keys->lock); /* nobody holds it any more */
	sodium_memzero(keys, sizeof *keys);
	free(keys);
}

static void hmac(const unsigned char *key, size_t key_len, const char *text,
		 unsigned char out[32])
{
	struct hmac_sha256 mac;

	hmac_sha256_init(&mac, key, key_len);
	hmac_sha256_update(&mac, text, strlen(text));
	hmac_sha256_final(&mac, out);
}

static void derive(const char *secret, const struct sigv4_input *in,
		   unsigned char out[32])
{
	size_t len = strlen(secret) + 4;
	char *start = mh_alloc(len); /* by hand: no copy stays anywhere */

	memcpy(start, "AWS4", 4);
	memcpy(start + 4, secret, len - 4);
	hmac((unsigned char *)start, len, in->date, out);
	hmac(out, 32, in->region, out);
	hmac(out, 32, in->service, out);
	hmac(out, 32, "aws4_request", out);
	sodium_memzero(start, len);
	free(start);
}

static void make_tag(const struct sigv4_keys *keys, const char *secret,
		     const struct sigv4_input *in, unsigned char tag[32])
{
	const char *const parts[] = { secret, in->date, in->region, in->service };
	crypto_generichash_state state;

	/* None of them can fail with these sizes. Each NUL keeps the parts apart. */
	(void)crypto_generichash_init(&state, keys->hash_key, sizeof keys->hash_key, 32);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		(void)crypto_generichash_update(&state, (const unsigned char *)parts[i],
						strlen(parts[i]) + 1);
	(void)crypto_generichash_final(&state, tag, 32);
	sodium_memzero(&state, sizeof state);
}

static struct slot *slot_of(struct sigv4_keys *keys, const unsigned char tag[32])
{
	uint64_t number;

	memcpy(&number, tag, sizeof number);
	return &keys->slots[number % keys->slot_count];
}

void sigv4_key(struct sigv4_keys *keys, const char *secret, const struct sigv4_input *in,
	       unsigned char out[32])
{
	unsigned char tag[32];
	struct slot *slot;
	bool found;

	if (!keys) {
		derive(secret, in, out);
		return;
	}
	make_tag(keys, secret, in, tag);
	slot = slot_of(keys, tag);
	(void)pthread_mutex_lock(&keys->lock); /* fails only for misuse */
	found = sodium_memcmp(slot->tag, tag, sizeof tag) == 0;
	if (found)
		memcpy(out, slot->key, 32);
	(void)pthread_mutex_unlock(&keys->lock);
	if (found)
		return;
	derive(secret, in, out);
	(void)pthread_mutex_lock(&keys->lock);
	memcpy(slot->tag, tag, sizeof tag);
	memcpy(slot->key, out, 32);
	(void)pthread_mutex_unlock(&keys->lock);
}
