/* The pure parts of the artifact store: ranges, conditions, names, XML, digests and
 * the aws-chunked decoder. */
#include <stdio.h>

#include "emulator/s3/chunked.h"
#include "emulator/s3/digest.h"
#include "emulator/s3/lane.h"
#include "emulator/s3/range.h"
#include "emulator/s3/target.h"
#include "emulator/s3/xml.h"
#include "lib/base/str.h"
#include "tests/unit/test.h"

static void a_range_names_the_bytes_that_http_says(void **state)
{
	static const struct {
		const char *header;
		int64_t size;
		enum range_kind kind;
		int64_t start, len;
	} rows[] = {
		{ NULL, 10, RANGE_WHOLE, 0, 10 },
		{ "bytes=0-0", 10, RANGE_PART, 0, 1 },
		{ "bytes=2-5", 10, RANGE_PART, 2, 4 },
		{ "bytes=2-", 10, RANGE_PART, 2, 8 },
		{ "bytes=0-", 10, RANGE_PART, 0, 10 },
		{ "bytes=5-99", 10, RANGE_PART, 5, 5 },
		{ "bytes=-3", 10, RANGE_PART, 7, 3 },
		{ "bytes=-30", 10, RANGE_PART, 0, 10 },
		{ "bytes=9-9", 10, RANGE_PART, 9, 1 },
		{ "bytes=10-", 10, RANGE_UNSATISFIABLE, 0, 0 },
		{ "bytes=10-20", 10, RANGE_UNSATISFIABLE, 0, 0 },
		{ "bytes=-0", 10, RANGE_UNSATISFIABLE, 0, 0 },
		{ "bytes=0-0", 0, RANGE_UNSATISFIABLE, 0, 0 },
		{ "bytes=-5", 0, RANGE_UNSATISFIABLE, 0, 0 },
		{ "bytes=5-99999999999999999999999", 10, RANGE_PART, 5, 5 },
		{ "bytes=99999999999999999999999-", 10, RANGE_UNSATISFIABLE, 0, 0 },
		{ "bytes=-99999999999999999999999", 10, RANGE_PART, 0, 10 },
		/* Ignored: several ranges, other units, last before first, nonsense. */
		{ "bytes=0-1,4-5", 10, RANGE_WHOLE, 0, 10 },
		{ "lines=0-1", 10, RANGE_WHOLE, 0, 10 },
		{ "bytes=5-2", 10, RANGE_WHOLE, 0, 10 },
		{ "bytes=", 10, RANGE_WHOLE, 0, 10 },
		{ "bytes=-", 10, RANGE_WHOLE, 0, 10 },
		{ "bytes=a-b", 10, RANGE_WHOLE, 0, 10 },
		{ "bytes= 1-2", 10, RANGE_WHOLE, 0, 10 },
		{ "bytes=1-2 ", 10, RANGE_WHOLE, 0, 10 },
		{ "bytes=--2", 10, RANGE_WHOLE, 0, 10 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct range r = range_parse(rows[i].header, rows[i].size);

		if (r.kind != rows[i].kind ||
		    (r.kind != RANGE_UNSATISFIABLE &&
		     (r.start != rows[i].start || r.len != rows[i].len)))
			fail_msg("%s of %lld: kind %d, %lld+%lld",
				 rows[i].header ? rows[i].header : "(none)",
				 (long long)rows[i].size, r.kind, (long long)r.start,
				 (long long)r.len);
	}
}

static void an_etag_is_found_in_a_list_only_whole(void **state)
{
	(void)state;
	assert_true(etag_in_list("\"abc\"", "abc"));
	assert_true(etag_in_list("abc", "abc"));
	assert_true(etag_in_list("*", "abc"));
	assert_true(etag_in_list("\"x\", W/\"abc\"", "abc"));
	assert_true(etag_in_list("\"a,b\",\"abc\"", "abc"));
	assert_false(etag_in_list("\"abcd\"", "abc"));
	assert_false(etag_in_list("\"ab\"", "abc"));
	assert_false(etag_in_list("", "abc"));
	assert_false(etag_in_list("\"*\"", "abc"));
	assert_false(etag_in_list("\"abc", "ab"));
}

#define SAME_DAY  "Fri, 20 Nov 2026 10:39:03 GMT"
#define DAY_LATER "Sat, 21 Nov 2026 10:39:03 GMT"
#define DAY_EARLY "Thu, 19 Nov 2026 10:39:03 GMT"

static void conditions_are_judged_in_the_order_of_rfc_9110(void **state)
{
	static const struct {
		struct conditions c;
		int want;
	} rows[] = {
		{ { NULL, NULL, NULL, NULL }, 200 },
		{ { "\"e\"", NULL, NULL, NULL }, 200 },
		{ { "\"f\"", NULL, NULL, NULL }, 412 },
		{ { NULL, "\"e\"", NULL, NULL }, 304 },
		{ { NULL, "\"f\"", NULL, NULL }, 200 },
		{ { NULL, NULL, SAME_DAY, NULL }, 304 },
		{ { NULL, NULL, DAY_LATER, NULL }, 304 },
		{ { NULL, NULL, DAY_EARLY, NULL }, 200 },
		{ { NULL, NULL, NULL, SAME_DAY }, 200 },
		{ { NULL, NULL, NULL, DAY_EARLY }, 412 },
		{ { NULL, NULL, "yesterday", NULL }, 200 },
		/* The entity tag wins over the date. */
		{ { "\"e\"", NULL, NULL, DAY_EARLY }, 200 },
		{ { NULL, "\"f\"", DAY_LATER, NULL }, 200 },
	};
	const int64_t modified_ms = 1795171143250; /* SAME_DAY and 250 ms */

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (conditions_check(&rows[i].c, "e", modified_ms) != rows[i].want)
			fail_msg("row %zu: want %d", i, rows[i].want);
}

static void bucket_names_follow_the_rules_of_s3(void **state)
{
	static const char *const good[] = {
		"abc",   "a-b",     "a.b.c", "0ab", "codepipeline-us-east-1-1",
		"1.2.3", "1.2.3.4a"
	};
	static const char *const bad[] = { "",    "ab",   "Abc",
					   "a_b", "-ab",  "ab-",
					   ".ab", "a..b", "192.168.5.4",
					   "a/b", "a b",  "\xc3\xa4-c" };
	char name[65];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (!bucket_name_is_valid(good[i]))
			fail_msg("refused: %s", good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (bucket_name_is_valid(bad[i]))
			fail_msg("taken: %s", bad[i]);
	memset(name, 'a', sizeof(name));
	name[64] = '\0';
	assert_false(bucket_name_is_valid(name));
	name[63] = '\0';
	assert_true(bucket_name_is_valid(name));
}

static const char *shown(const char *s)
{
	return s != NULL ? s : "(none)";
}

static void a_target_is_split_before_it_is_decoded(void **state)
{
	static const struct {
		const char *raw, *host, *bucket, *key, *path;
	} rows[] = {
		{ "/", "localhost:4599", NULL, NULL, "/" },
		{ "/?x=1", NULL, NULL, NULL, "/" },
		{ "/b", "localhost:4599", "b", NULL, "/b" },
		{ "/b/", "127.0.0.1:4599", "b", NULL, "/b/" },
		{ "/b/k", NULL, "b", "k", "/b/k" },
		{ "/b/a%2Fb/c", NULL, "b", "a/b/c", "/b/a%2Fb/c" },
		{ "/b//k", NULL, "b", "/k", "/b//k" },
		{ "/b/k/", NULL, "b", "k/", "/b/k/" },
		{ "/b/../../etc/passwd", NULL, "b", "../../etc/passwd",
		  "/b/../../etc/passwd" },
		{ "/b/a+b%20c", NULL, "b", "a+b c", "/b/a+b%20c" },
		{ "/b/%E1%BA%BF?versionId=1", NULL, "b", "\xe1\xba\xbf", "/b/%E1%BA%BF" },
		{ "/b%2Fk", NULL, "b/k", NULL, "/b%2Fk" },
		{ "/k/x", "my-b.s3.localhost:4599", "my-b", "k/x", "/k/x" },
		{ "/", "my.b.s3.us-east-1.amazonaws.com", "my.b", NULL, "/" },
		{ "/k", "b.s3-us-west-2.amazonaws.com", "b", "k", "/k" },
		{ "/k", "bkt.localhost:1", "bkt", "k", "/k" },
		{ "/b/k", "s3.localhost:1", "b", "k", "/b/k" },
		{ "/b/k", "s3.us-east-1.amazonaws.com", "b", "k", "/b/k" },
		{ "http://h:1/b/k?q", NULL, "b", "k", "/b/k" },
		{ "http://h:1", NULL, NULL, NULL, "/" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct mh_err err = MH_ERR_INIT;
		struct target t;

		assert_ok(target_parse(rows[i].raw, rows[i].host, &t, &err), &err);
		if (strcmp(shown(t.bucket), shown(rows[i].bucket)) != 0 ||
		    strcmp(shown(t.key), shown(rows[i].key)) != 0 ||
		    strcmp(t.path, rows[i].path) != 0)
			fail_msg("%s (%s): bucket %s, key %s, path %s", rows[i].raw,
				 shown(rows[i].host), shown(t.bucket), shown(t.key),
				 t.path);
		target_done(&t);
	}
}

static void a_broken_target_is_refused(void **state)
{
	static const char *const rows[] = { "b",      "*",      "",         "//k",
					    "/b/%",   "/b/%zz", "/b/%4",    "/b/a%00b",
					    "/b/%ff", "/%c3/k", "/b/%C0%AF" };

	(void)state;
	for (size_t i = 1; i < ARRAY_LEN(rows); i++) {
		struct mh_err err = MH_ERR_INIT;
		struct target t;

		if (rows[i][0] == '\0')
			continue; /* an empty path is "/" */
		if (target_parse(rows[i], NULL, &t, &err) == 0)
			fail_msg("taken: %s", rows[i]);
		assert_int_equal(err.cls, MH_E_PROTO);
	}
}

static void xml_escapes_what_a_key_may_hold(void **state)
{
	CLEAN(buf) struct buf b = BUF_INIT(1024);

	(void)state;
	xml_element(&b, "Key", "a<b>&\"'\n\x01\xe1\xba\xbf]]>");
	assert_string_equal(
		buf_text(&b),
		"<Key>a&lt;b&gt;&amp;&quot;&apos;&#xa;&#x1;\xe1\xba\xbf]]&gt;</Key>");
	buf_clear(&b);
	xml_element(&b, "Key", NULL);
	assert_int_equal(b.len, 0);
}

static void an_error_document_has_the_elements_of_s3(void **state)
{
	CLEAN(buf) struct buf b = BUF_INIT(1024);
	struct xml_error e = { .code = "NoSuchKey",
			       .message = "no <key>",
			       .resource = "/b/a&b",
			       .request_id = "4442587FB7D0A2F9" };

	(void)state;
	xml_error_document(&b, &e);
	assert_string_equal(
		buf_text(&b),
		XML_HEAD "<Error><Code>NoSuchKey</Code><Message>no &lt;key&gt;</Message>"
			 "<Resource>/b/a&amp;b</Resource>"
			 "<RequestId>4442587FB7D0A2F9</RequestId></Error>");
}

/* Published check values: RFC 1321, RFC 3174, FIPS 180, and the CRC catalogue's
 * "check" column, all over the nine digits. */
static size_t digest_of(enum digest_kind kind, const void *data, size_t len,
			unsigned char out[DIGEST_MAX_SIZE])
{
	struct digests d;
	size_t size;

	digests_init(&d, DIGEST_BIT(kind));
	digests_update(&d, data, len);
	size = digests_end(&d, kind, out);
	digests_done(&d);
	return size;
}

static void digests_give_the_published_check_values(void **state)
{
	static const struct {
		enum digest_kind kind;
		const char *hex;
	} rows[] = {
		{ DIGEST_MD5, "25f9e794323b453885f5181f1b624d0b" },
		{ DIGEST_SHA1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441" },
		{ DIGEST_SHA256,
		  "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225" },
		{ DIGEST_CRC32, "cbf43926" },
		{ DIGEST_CRC32C, "e3069283" },
		{ DIGEST_CRC64NVME, "ae8b14860a799888" },
	};
	unsigned char out[DIGEST_MAX_SIZE];
	char hex[2 * DIGEST_MAX_SIZE + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct digests d;

		digests_init(&d, DIGEST_BIT(rows[i].kind));
		digests_update(&d, "123456789", 9);
		str_hex(out, digests_end(&d, rows[i].kind, out), hex);
		assert_string_equal(hex, rows[i].hex);
		digests_done(&d);
	}
}

static void crcs_of_parts_join_to_the_crc_of_the_whole(void **state)
{
	static const enum digest_kind kinds[] = { DIGEST_CRC32, DIGEST_CRC32C,
						  DIGEST_CRC64NVME };
	static const size_t cuts[] = { 0, 1, 7, 8, 255, 4096, 9999, 10000 };
	unsigned char data[10000];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * 7 + i / 251);
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		for (size_t c = 0; c < ARRAY_LEN(cuts); c++) {
			unsigned char first[DIGEST_MAX_SIZE], second[DIGEST_MAX_SIZE];
			unsigned char whole[DIGEST_MAX_SIZE];
			size_t rest = sizeof(data) - cuts[c], len;

			len = digest_of(kinds[k], data, sizeof(data), whole);
			(void)digest_of(kinds[k], data, cuts[c], first);
			(void)digest_of(kinds[k], data + cuts[c], rest, second);
			digest_crc_join(kinds[k], first, second, (int64_t)rest);
			assert_memory_equal(first, whole, len);
		}
	}
}

/* As many bytes as come, in pieces of that size, through a lane. */
static void hash_by_lane(size_t total, size_t piece, unsigned char out[DIGEST_MAX_SIZE])
{
	struct digests d;
	struct lane l;

	digests_init(&d, DIGEST_BIT(DIGEST_MD5));
	lane_init(&l, &d);
	for (size_t done = 0; done < total;) {
		size_t room;
		char *to = lane_room(&l, &room);
		size_t n = piece < room ? piece : room;

		if (n > total - done)
			n = total - done;
		for (size_t i = 0; i < n; i++)
			to[i] = (char)((done + i) * 31 >> 3);
		done += n;
		if (lane_filled(&l, n))
			lane_pass(&l);
	}
	lane_pass(&l);
	lane_end(&l);
	(void)digests_end(&d, DIGEST_MD5, out);
	lane_done(&l);
	digests_done(&d);
}

static void a_lane_hashes_bodies_of_any_size_in_order(void **state)
{
	static const size_t sizes[] = { 0,
					1,
					LANE_PIECE_BYTES - 1,
					LANE_PIECE_BYTES,
					LANE_PIECE_BYTES + 1,
					11 * LANE_PIECE_BYTES,
					11 * LANE_PIECE_BYTES + 77 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		unsigned char by_lane[DIGEST_MAX_SIZE], at_once[DIGEST_MAX_SIZE];
		char *all = mh_alloc(sizes[i] + 1);

		for (size_t n = 0; n < sizes[i]; n++)
			all[n] = (char)(n * 31 >> 3);
		(void)digest_of(DIGEST_MD5, all, sizes[i], at_once);
		free(all);
		hash_by_lane(sizes[i], 32768, by_lane);
		assert_memory_equal(by_lane, at_once, 16);
		hash_by_lane(sizes[i], 100003, by_lane);
		assert_memory_equal(by_lane, at_once, 16);
	}
}

static void a_lane_may_be_given_up(void **state)
{
	struct digests d;
	struct lane l;

	(void)state;
	digests_init(&d, DIGEST_BIT(DIGEST_MD5));
	lane_init(&l, &d);
	for (int i = 0; i < 7; i++) {
		size_t room;

		memset(lane_room(&l, &room), i, LANE_PIECE_BYTES);
		assert_int_equal(room, LANE_PIECE_BYTES);
		assert_true(lane_filled(&l, LANE_PIECE_BYTES));
		lane_pass(&l);
	}
	lane_done(&l);
	digests_done(&d);
}

static void a_crc_does_not_depend_on_where_the_bytes_are_cut(void **state)
{
	unsigned char data[100], whole[DIGEST_MAX_SIZE], cut[DIGEST_MAX_SIZE];
	const unsigned wanted = DIGEST_BIT(DIGEST_CRC32) | DIGEST_BIT(DIGEST_CRC64NVME);

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * 37);
	for (size_t at = 0; at <= sizeof(data); at++) {
		struct digests a, b;

		digests_init(&a, wanted);
		digests_init(&b, wanted);
		digests_update(&a, data, sizeof(data));
		digests_update(&b, data, at);
		digests_update(&b, data + at, sizeof(data) - at);
		assert_int_equal(digests_end(&a, DIGEST_CRC32, whole), 4);
		assert_int_equal(digests_end(&b, DIGEST_CRC32, cut), 4);
		assert_memory_equal(whole, cut, 4);
		assert_int_equal(digests_end(&a, DIGEST_CRC64NVME, whole), 8);
		assert_int_equal(digests_end(&b, DIGEST_CRC64NVME, cut), 8);
		assert_memory_equal(whole, cut, 8);
		digests_done(&a);
		digests_done(&b);
	}
}

/* ---- aws-chunked ---- */

struct decoded {
	struct buf bytes;
	char signatures[512];
	int chunks;
};

static int take_decoded(void *ctx, const void *data, size_t len, struct mh_err *err)
{
	struct decoded *d = ctx;

	return buf_add(&d->bytes, data, len, err);
}

static int take_signature(void *ctx, const char *signature, struct mh_err *err)
{
	struct decoded *d = ctx;
	size_t used = strlen(d->signatures);

	(void)err;
	(void)snprintf(d->signatures + used, sizeof(d->signatures) - used, "%.4s.",
		       signature);
	d->chunks++;
	return 0;
}

#define SIG_A "aaaa5678901234567890123456789012345678901234567890123456789012ab"
#define SIG_B "bbbb5678901234567890123456789012345678901234567890123456789012ab"

static const char signed_body[] = "5;chunk-signature=" SIG_A "\r\nhello\r\n"
				  "C;chunk-signature=" SIG_B "\r\n\r\n chunked\r\n\r\n"
				  "0;chunk-signature=" SIG_A "\r\n\r\n";
static const char trailer_body[] =
	"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n";

/* In two pieces, cut at `at`; -1 when it is refused. */
static int decode(const char *body, size_t len, size_t at, struct decoded *d,
		  struct chunked *c)
{
	struct mh_err err = MH_ERR_INIT;

	*d = (struct decoded){ 0 };
	buf_init(&d->bytes, 1024);
	chunked_init(c, &(struct chunked_sink){ take_decoded, take_signature, d });
	if (chunked_feed(c, body, at, &err) == 0 &&
	    chunked_feed(c, body + at, len - at, &err) == 0)
		return 0;
	assert_int_equal(err.cls, MH_E_PROTO);
	return -1;
}

static void signed_chunks_decode_wherever_they_are_cut(void **state)
{
	(void)state;
	for (size_t at = 0; at < sizeof(signed_body); at++) {
		struct decoded d;
		struct chunked c;

		assert_int_equal(decode(signed_body, sizeof(signed_body) - 1, at, &d, &c),
				 0);
		assert_true(chunked_is_complete(&c));
		assert_string_equal(buf_text(&d.bytes), "hello\r\n chunked\r\n");
		assert_string_equal(d.signatures, "aaaa.bbbb.aaaa.");
		assert_int_equal(c.total, 17);
		chunked_done(&c);
		buf_done(&d.bytes);
	}
}

static void trailers_are_kept_wherever_they_are_cut(void **state)
{
	(void)state;
	for (size_t at = 0; at < sizeof(trailer_body); at++) {
		struct decoded d;
		struct chunked c;

		assert_int_equal(
			decode(trailer_body, sizeof(trailer_body) - 1, at, &d, &c), 0);
		assert_true(chunked_is_complete(&c));
		assert_string_equal(buf_text(&d.bytes), "hello");
		assert_string_equal(chunked_trailer(&c, "X-Amz-Checksum-CRC32"),
				    "NhCmhg==");
		assert_null(chunked_trailer(&c, "x-amz-checksum-crc3"));
		assert_string_equal(d.signatures, "..");
		chunked_done(&c);
		buf_done(&d.bytes);
	}
}

static void a_body_that_ends_early_is_not_complete(void **state)
{
	size_t len = sizeof(trailer_body) - 1;

	(void)state;
	for (size_t cut = 0; cut < len; cut++) {
		struct decoded d;
		struct chunked c;

		assert_int_equal(decode(trailer_body, cut, 0, &d, &c), 0);
		assert_false(chunked_is_complete(&c));
		chunked_done(&c);
		buf_done(&d.bytes);
	}
}

static void broken_chunks_are_refused(void **state)
{
	static const char *const rows[] = {
		"x\r\nhello\r\n",
		"\r\nhello",
		";chunk-signature=" SIG_A "\r\n",
		"5;chunk-signature=short\r\nhello\r\n",
		"5 \r\nhello\r\n",
		"-5\r\nhello\r\n",
		"5\r\nhello!\r\n0\r\n\r\n",
		"ffffffffffffffff\r\n",
		"5\r\nhello\r\n0\r\nno colon\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct decoded d;
		struct chunked c;

		if (decode(rows[i], strlen(rows[i]), 0, &d, &c) == 0)
			fail_msg("taken: %s", rows[i]);
		chunked_done(&c);
		buf_done(&d.bytes);
	}
}

static void a_line_without_an_end_takes_no_memory(void **state)
{
	struct mh_err err = MH_ERR_INIT;
	char piece[1024];
	struct decoded d = { 0 };
	struct chunked c;
	int rc = 0;

	(void)state;
	memset(piece, '0', sizeof(piece));
	chunked_init(&c, &(struct chunked_sink){ take_decoded, take_signature, &d });
	for (int i = 0; i < 1000 && rc == 0; i++)
		rc = chunked_feed(&c, piece, sizeof(piece), &err);
	assert_int_equal(rc, -1);
	assert_int_equal(err.cls, MH_E_PROTO);
	chunked_done(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_range_names_the_bytes_that_http_says),
		cmocka_unit_test(an_etag_is_found_in_a_list_only_whole),
		cmocka_unit_test(conditions_are_judged_in_the_order_of_rfc_9110),
		cmocka_unit_test(bucket_names_follow_the_rules_of_s3),
		cmocka_unit_test(a_target_is_split_before_it_is_decoded),
		cmocka_unit_test(a_broken_target_is_refused),
		cmocka_unit_test(xml_escapes_what_a_key_may_hold),
		cmocka_unit_test(an_error_document_has_the_elements_of_s3),
		cmocka_unit_test(digests_give_the_published_check_values),
		cmocka_unit_test(crcs_of_parts_join_to_the_crc_of_the_whole),
		cmocka_unit_test(a_lane_hashes_bodies_of_any_size_in_order),
		cmocka_unit_test(a_lane_may_be_given_up),
		cmocka_unit_test(a_crc_does_not_depend_on_where_the_bytes_are_cut),
		cmocka_unit_test(signed_chunks_decode_wherever_they_are_cut),
		cmocka_unit_test(trailers_are_kept_wherever_they_are_cut),
		cmocka_unit_test(a_body_that_ends_early_is_not_complete),
		cmocka_unit_test(broken_chunks_are_refused),
		cmocka_unit_test(a_line_without_an_end_takes_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
