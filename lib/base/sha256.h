/*
 * SHA-256 and HMAC-SHA256 (FIPS 180-4, RFC 2104), with the processor's own
 * instructions where it has them: signatures and artifacts are hashed all day.
 *
 *	struct sha256 s;
 *	sha256_init(&s);
 *	sha256_update(&s, data, len);      any number of times
 *	sha256_final(&s, digest);          wipes s
 *
 * hmac_sha256_* likewise. Nothing here can fail, allocate, or depend in its timing on
 * the bytes.
 */
#ifndef MH_BASE_SHA256_H
#define MH_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE     32
#define SHA256_HEX_SIZE 65

struct sha256 {
	uint32_t h[8];
	uint64_t bytes;
	unsigned char block[64]; /* what does not fill one yet */
};

void sha256_init(struct sha256 *s);
void sha256_update(struct sha256 *s, const void *data, size_t len);
void sha256_final(struct sha256 *s, unsigned char ret[SHA256_SIZE]);

void sha256(const void *data, size_t len, unsigned char ret[SHA256_SIZE]);
/* In lower-case hex. */
void sha256_hex(const void *data, size_t len, char ret[SHA256_HEX_SIZE]);

struct hmac_sha256 {
	struct sha256 inner, outer;
};

void hmac_sha256_init(struct hmac_sha256 *m, const void *key, size_t key_len);
void hmac_sha256_update(struct hmac_sha256 *m, const void *data, size_t len);
void hmac_sha256_final(struct hmac_sha256 *m, unsigned char ret[SHA256_SIZE]); /* wipes */

/* For tests: use portable C from now on, also where the processor could do better. */
void sha256_use_portable(void);

#endif
