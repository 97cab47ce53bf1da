/* SHA-256: published vectors, and libsodium for everything in between, both in C and
 * by the processor's instructions. */
#include "tests/unit/test.h"

#include <sodium.h>

#include "lib/base/sha256.h"
#include "lib/base/str.h"

static void published_digests_come_out(void **state)
{
	static const struct {
		const char *text, *digest;
	} rows[] = {
		{ "",
		  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc",
		  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	};
	char hex[SHA256_HEX_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		sha256_hex(rows[i].text, strlen(rows[i].text), hex);
		assert_string_equal(hex, rows[i].digest);
	}
}

static void a_million_letters_in_odd_pieces_come_out(void **state)
{
	unsigned char digest[SHA256_SIZE];
	char piece[977], hex[SHA256_HEX_SIZE];
	struct sha256 s;
	size_t left = 1000000;

	(void)state;
	memset(piece, 'a', sizeof piece);
	sha256_init(&s);
	while (left > 0) {
		size_t n = left < sizeof piece ? left : sizeof piece;

		sha256_update(&s, piece, n);
		left -= n;
	}
	sha256_final(&s, digest);
	str_hex(digest, sizeof digest, hex);
	assert_string_equal(
		hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* Every length over several blocks, cut at every place of the first. */
static void lengths_and_cuts_agree_with_libsodium(void **state)
{
	unsigned char data[330], got[SHA256_SIZE], want[SHA256_SIZE];

	(void)state;
	randombytes_buf(data, sizeof data);
	for (size_t len = 0; len <= sizeof data; len++) {
		crypto_hash_sha256(want, data, len);
		for (size_t cut = 0; cut <= len && cut <= 130; cut++) {
			struct sha256 s;

			sha256_init(&s);
			sha256_update(&s, data, cut);
			sha256_update(&s, data + cut, len - cut);
			sha256_final(&s, got);
			assert_memory_equal(got, want, sizeof want);
		}
	}
}

static void keyed_hashes_agree_with_libsodium(void **state)
{
	unsigned char data[200], key[150], got[SHA256_SIZE], want[SHA256_SIZE];

	(void)state;
	randombytes_buf(data, sizeof data);
	randombytes_buf(key, sizeof key);
	for (size_t key_len = 0; key_len <= sizeof key; key_len++) {
		crypto_auth_hmacsha256_state theirs;
		struct hmac_sha256 ours;

		crypto_auth_hmacsha256_init(&theirs, key, key_len);
		crypto_auth_hmacsha256_update(&theirs, data, key_len);
		crypto_auth_hmacsha256_update(&theirs, data, sizeof data);
		crypto_auth_hmacsha256_final(&theirs, want);
		hmac_sha256_init(&ours, key, key_len);
		hmac_sha256_update(&ours, data, key_len);
		hmac_sha256_update(&ours, data, sizeof data);
		hmac_sha256_final(&ours, got);
		assert_memory_equal(got, want, sizeof want);
	}
}

/* RFC 4231, cases 1 and 6. */
static void published_keyed_hashes_come_out(void **state)
{
	static const char long_key_data[] =
		"Test Using Larger Than Block-Size Key - Hash Key First";
	unsigned char key[131], got[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];
	struct hmac_sha256 m;

	(void)state;
	memset(key, 0x0b, 20);
	hmac_sha256_init(&m, key, 20);
	hmac_sha256_update(&m, "Hi There", 8);
	hmac_sha256_final(&m, got);
	str_hex(got, sizeof got, hex);
	assert_string_equal(
		hex, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	memset(key, 0xaa, sizeof key);
	hmac_sha256_init(&m, key, sizeof key);
	hmac_sha256_update(&m, long_key_data, strlen(long_key_data));
	hmac_sha256_final(&m, got);
	str_hex(got, sizeof got, hex);
	assert_string_equal(
		hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static int portable(void **state)
{
	(void)state;
	sha256_use_portable();
	return 0;
}

int main(void)
{
	/* Each by the processor first; from the first setup on there is no way back. */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_digests_come_out),
		cmocka_unit_test(a_million_letters_in_odd_pieces_come_out),
		cmocka_unit_test(lengths_and_cuts_agree_with_libsodium),
		cmocka_unit_test(keyed_hashes_agree_with_libsodium),
		cmocka_unit_test(published_keyed_hashes_come_out),
		cmocka_unit_test_setup(published_digests_come_out, portable),
		cmocka_unit_test(a_million_letters_in_odd_pieces_come_out),
		cmocka_unit_test(lengths_and_cuts_agree_with_libsodium),
		cmocka_unit_test(keyed_hashes_agree_with_libsodium),
		cmocka_unit_test(published_keyed_hashes_come_out),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
