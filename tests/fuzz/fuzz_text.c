/* Small values: numbers, durations, sizes, base64, UTF-8, dates. What has one spelling is
 * spelled again. */
#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "tests/fuzz/fuzz.h"

static void check_numbers(const char *text)
{
	struct mh_err err = MH_ERR_INIT;
	int64_t value;

	if (str_to_i64(text, -1000, INT64_MAX, "it", &value, &err) == 0)
		MH_ASSERT(value >= -1000);
	if (str_to_duration_ms(text, &value, &err) == 0)
		MH_ASSERT(value >= 0);
	if (str_to_size(text, &value, &err) == 0)
		MH_ASSERT(value >= 0);
}

static void check_times(const char *text)
{
	char amz[CLOCK_AMZ_SIZE], http[CLOCK_HTTP_SIZE];
	struct mh_err err = MH_ERR_INIT;
	int64_t ms, again;

	if (clock_parse_amz(text, &ms, &err) == 0) {
		clock_format_amz(ms, amz);
		MH_ASSERT(strcmp(amz, text) == 0);
	}
	if (clock_parse_http(text, &ms, &err) == 0) {
		clock_format_http(ms, http);
		MH_ASSERT(clock_parse_http(http, &again, &err) == 0 && again == ms);
	}
}

static void check_base64(const uint8_t *data, size_t size, const char *text)
{
	CLEAN(free) char *encoded = str_base64(data, size);
	CLEAN(free) char *once_more = NULL;
	CLEAN(free) unsigned char *decoded = NULL;
	CLEAN(free) unsigned char *other = NULL;
	struct mh_err err = MH_ERR_INIT;
	size_t len;

	MH_ASSERT(str_unbase64(encoded, &decoded, &len, &err) == 0);
	MH_ASSERT(len == size && (size == 0 || memcmp(decoded, data, size) == 0));
	if (str_unbase64(text, &other, &len, &err) == 0) {
		once_more = str_base64(other, len);
		MH_ASSERT(strcmp(once_more, text) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	CLEAN(free) char *text = fuzz_rest(&in);
	const char *raw = (const char *)data;
	bool well = str_is_utf8(raw, size);

	check_numbers(text);
	check_times(text);
	check_base64(data, size, text);
	if (well && size > 0) {
		size_t cut = str_utf8_floor(raw, size, size / 2);

		MH_ASSERT(cut <= size / 2 && str_is_utf8(raw, cut));
		MH_ASSERT(str_is_utf8(raw + cut, size - cut));
		MH_ASSERT(str_utf8_count(raw, cut) +
				  str_utf8_count(raw + cut, size - cut) ==
			  str_utf8_count(raw, size));
	}
	if (str_is_uuid(text))
		MH_ASSERT(strlen(text) == STR_UUID_SIZE - 1);
	return 0;
}
