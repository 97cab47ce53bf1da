/* Transfers without a network: the arithmetic of parts, the journal of an upload, and
 * what a run makes of credentials that grow old. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/transfer_impl.h"
#include "lib/base/clock.h"
#include "lib/base/macros.h"
#include "lib/net/sigv4.h"
#include "tests/unit/http_fixture.h"

#define MiB (INT64_C(1) << 20)
#define GiB (INT64_C(1) << 30)
#define TiB (INT64_C(1) << 40)

static void an_upload_never_has_more_than_ten_thousand_parts(void **ctx)
{
	static const struct {
		int64_t size, wanted, part;
	} rows[] = {
		{ 100 * MiB, 16 * MiB, 16 * MiB },
		{ 5 * GiB, 16 * MiB, 16 * MiB },
		{ 10000 * 16 * MiB, 16 * MiB, 16 * MiB },
		{ 10000 * 16 * MiB + 1, 16 * MiB, 17 * MiB },
		{ 48 * GiB, 5 * MiB, 5 * MiB },
		{ 49 * GiB, 5 * MiB, 6 * MiB },
		{ 5 * TiB, 5 * MiB, 525 * MiB },
		{ 5 * MiB + 1, 1 * GiB, 1 * GiB },
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t part = transfer_part_bytes(rows[i].size, rows[i].wanted);

		assert_int_equal(part, rows[i].part);
		assert_true((rows[i].size + part - 1) / part <= 10000);
	}
}

static void checksums_are_those_of_the_check_string(void **ctx)
{
	static const struct {
		const char *name, *base64;
	} rows[] = {
		/* "123456789": cbf43926, e3069283, ae8b14860a799888, and its SHA-256. */
		{ "crc32", "y/Q5Jg==" },
		{ "crc32c", "4waSgw==" },
		{ "crc64nvme", "rosUhgp5mIg=" },
		{ "sha256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=" },
	};
	static const char text[] = "123456789";
	struct checksum c;

	(void)ctx;
	assert_false(checksum_begin(&c, "md5"));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t cut = 0; cut <= 9; cut++) {
			char *sum;

			assert_true(checksum_begin(&c, rows[i].name));
			checksum_update(&c, text, cut);
			checksum_update(&c, text + cut, 9 - cut);
			sum = checksum_end(&c);
			if (strcmp(sum, rows[i].base64) != 0)
				fail_msg("%s: %s", rows[i].name, sum);
			free(sum);
		}
	}
}

/* Short updates go byte by byte, long ones many bytes at a time. */
static void checksums_are_the_same_in_whatever_pieces(void **ctx)
{
	static unsigned char data[5000];
	uint32_t dice = 1;

	(void)ctx;
	for (size_t i = 0; i < sizeof(data); i++) {
		dice = dice * 1664525 + 1013904223;
		data[i] = (unsigned char)(dice >> 24);
	}
	for (size_t kind = 0; checksum_names[kind]; kind++) {
		for (size_t len = 0; len < sizeof(data); len += 1 + len / 7) {
			CLEAN(free) char *whole = NULL, *slow = NULL, *joined = NULL;
			struct checksum c, next;
			size_t cut = len ? (size_t)(dice = dice * 1664525 + 5) % len : 0;

			assert_true(checksum_begin(&c, checksum_names[kind]));
			checksum_update(&c, data, len);
			whole = checksum_end(&c);
			assert_true(checksum_begin(&c, checksum_names[kind]));
			for (size_t i = 0; i < len; i++)
				checksum_update(&c, data + i, 1);
			slow = checksum_end(&c);
			assert_string_equal(whole, slow);
			assert_true(checksum_begin(&c, checksum_names[kind]));
			assert_true(checksum_begin(&next, checksum_names[kind]));
			if (!checksum_can_join(&c))
				continue;
			checksum_update(&c, data, cut);
			checksum_update(&next, data + cut, len - cut);
			checksum_join(&c, &next, len - cut);
			joined = checksum_end(&c);
			assert_string_equal(whole, joined);
		}
	}
}

/* --- the journal ---------------------------------------------------------------------
 */

static int scratch_dir(void)
{
	char name[] = "/tmp/mh-transfer-XXXXXX";
	int fd;

	assert_non_null(mkdtemp(name));
	fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void drop_dir(int fd)
{
	char link[64], path[128];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	assert_true(n > 0);
	path[n] = '\0';
	(void)unlinkat(fd, "j", 0);
	(void)unlinkat(fd, "0", 0);
	(void)unlinkat(fd, "1", 0);
	assert_int_equal(rmdir(path), 0);
	(void)close(fd);
}

struct parts {
	size_t count, numbers[8];
	char etags[8][S3_ETAG_SIZE];
};

static void take_part(void *ctx, size_t part, const char *etag)
{
	struct parts *p = ctx;

	assert_true(p->count < ARRAY_LEN(p->numbers));
	p->numbers[p->count] = part;
	(void)snprintf(p->etags[p->count++], S3_ETAG_SIZE, "%s", etag);
}

static const struct journal_head head = {
	.size = 100, .part_bytes = 10, .sha256 = "00ff", .upload_id = "id-1"
};

static void the_journal_of_an_upload_is_read_back(void **ctx)
{
	struct journal_head got = { .size = 100, .sha256 = "00ff" };
	struct parts parts = { 0 };
	int dir = scratch_dir(), fd;

	(void)ctx;
	fd = journal_begin(dir, "j", &head);
	assert_true(fd >= 0);
	journal_add(fd, 3, "\"abc\"");
	journal_add(fd, 0, "with blanks");
	(void)close(fd);
	fd = journal_read(dir, "j", &got);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(got.part_bytes, 10);
	assert_string_equal(got.upload_id, "id-1");
	journal_each(dir, "j", take_part, &parts);
	assert_int_equal(parts.count, 2);
	assert_int_equal(parts.numbers[0], 3);
	assert_string_equal(parts.etags[0], "\"abc\"");
	assert_string_equal(parts.etags[1], "with blanks");
	drop_dir(dir);
}

static void write_journal(int dir, const char *text, size_t len)
{
	int fd = openat(dir, "j", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	(void)close(fd);
}

static void a_journal_that_is_damaged_or_of_another_output_counts_for_nothing(void **ctx)
{
	static const char *const rows[] = {
		"",
		"\n",
		"millhand-upload 1 100 10 00ff id-1", /* its end is missing */
		"millhand-upload 1 100 10 00ff\n",
		"millhand-upload 1 100 10 00ff \n",
		"millhand-upload 1 100 10 00ff id-1 more\n",
		"millhand-upload 1 101 10 00ff id-1\n",
		"millhand-upload 1 100 0 00ff id-1\n",
		"millhand-upload 1 100 -1 00ff id-1\n",
		"millhand-upload 1 100 10 00fe id-1\n",
		"millhand-upload 2 100 10 00ff id-1\n",
		"millhand-upload 1  10 00ff id-1\n",
	};
	int dir = scratch_dir();

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct journal_head got = { .size = 100, .sha256 = "00ff" };

		write_journal(dir, rows[i], strlen(rows[i]));
		if (journal_read(dir, "j", &got) != -1)
			fail_msg("taken: %s", rows[i]);
		assert_string_equal(got.upload_id, "");
	}
	drop_dir(dir);
}

static void lines_of_a_journal_that_make_no_sense_are_left_out(void **ctx)
{
	static const char text[] = "millhand-upload 1 100 10 00ff id-1\n"
				   "x y\n"
				   "-1 y\n"
				   "1\n"
				   "1 \n"
				   "\n"
				   "99999999999 y\n"
				   "2 good\n"
				   "3 torn";
	struct parts parts = { 0 };
	int dir = scratch_dir();

	(void)ctx;
	write_journal(dir, text, strlen(text));
	journal_each(dir, "j", take_part, &parts);
	assert_int_equal(parts.count, 1);
	assert_int_equal(parts.numbers[0], 2);
	/* Zeros, as a lost power leaves them. */
	write_journal(dir, "millhand-upload 1 100 10 00ff id-1\n\0\0\0\0\0\0\0", 42);
	parts.count = 0;
	journal_each(dir, "j", take_part, &parts);
	assert_int_equal(parts.count, 0);
	drop_dir(dir);
}

/* --- credentials ---------------------------------------------------------------------
 */

struct told {
	struct fixture *f;
	int calls;
	struct transfer_report report;
};

static void on_report(void *ctx, const struct transfer_report *r)
{
	struct told *told = ctx;

	told->calls++;
	told->report = *r;
	loop_stop(told->f->loop);
}

/* Two outputs, one request at a time, and credentials that are ten minutes old before
 * the first is answered. */
static void credentials_that_grow_old_are_renewed_before_the_next_request(void **state)
{
	static const struct http_reply replies[] = {
		{ .text = HTTP_OK(0) "ETag: \"a\"\r\n\r\n", .delay_ms = 150 }, { 0 }
	};
	static char key[] = "key", secret[] = "secret", region[] = "us-east-1";
	struct fixture *f = *state;
	struct aws *aws = aws_new(f->client, region);
	struct settings settings = { .region = region,
				     .transfer_parallel = 1,
				     .stall_timeout_ms = 5000,
				     .upload_parts_above_bytes = 5 * MiB,
				     .part_size_bytes = 5 * MiB };
	struct jobdata data = { .outputs = { { "A", "bucket", "a" },
					     { "B", "bucket", "b" } },
				.output_count = 2,
				.creds = { key, secret, NULL } };
	struct told told = { .f = f };
	struct mh_err err = MH_ERR_INIT;
	struct transfer *t;
	struct s3 *s3;
	int dir = scratch_dir();

	f->server = http_server_start(replies);
	settings.s3_endpoint = url_of(f, "");
	assert_ok(s3_new(aws, &settings, &s3, &err), &err);
	for (const char *name = "01"; *name; name++) {
		char file[2] = { *name, '\0' };

		(void)close(openat(dir, file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	}
	t = transfer_new_store(s3, dir);
	transfer_add_output(t, "A", "0", 0, sigv4_empty_hash);
	transfer_add_output(t, "B", "1", 0, sigv4_empty_hash);

	data.obtained_mono_ms = clock_mono_ms() - JOBDATA_CREDS_OLD_MS + 50;
	transfer_run(t, &data, 10000, on_report, &told);
	loop_run(f->loop);
	assert_int_equal(told.calls, 1);
	assert_int_equal(told.report.end, TRANSFER_RENEW);
	assert_int_equal(http_server_requests(f->server), 1);

	data.obtained_mono_ms = clock_mono_ms();
	transfer_run(t, &data, 10000, on_report, &told);
	loop_run(f->loop);
	assert_int_equal(told.calls, 2);
	assert_int_equal(told.report.end, TRANSFER_DONE);
	assert_int_equal(http_server_requests(f->server), 2);
	assert_contains(http_server_request(f->server, 1), "PUT /bucket/b");

	transfer_free(t);
	s3_free(s3);
	aws_free(aws);
	free(settings.s3_endpoint);
	drop_dir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_upload_never_has_more_than_ten_thousand_parts),
		cmocka_unit_test(checksums_are_those_of_the_check_string),
		cmocka_unit_test(checksums_are_the_same_in_whatever_pieces),
		cmocka_unit_test(the_journal_of_an_upload_is_read_back),
		cmocka_unit_test(
			a_journal_that_is_damaged_or_of_another_output_counts_for_nothing),
		cmocka_unit_test(lines_of_a_journal_that_make_no_sense_are_left_out),
		HTTP_TEST(credentials_that_grow_old_are_renewed_before_the_next_request),
	};

	return cmocka_run_group_tests_name("agent_transfer", tests, http_first_loop,
					   NULL);
}
