/* JSON paths of webhook filters, and ranges of addresses: the first line is a path, the
 * second a range, the rest a body. */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "emulator/delivery.h"
#include "emulator/jsonpath.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	CLEAN(free) char *path = fuzz_line(&in);
	CLEAN(free) char *range = fuzz_line(&in);
	CLEAN(json) struct json_object *doc = NULL;
	struct sockaddr_in any = { .sin_family = AF_INET };
	struct mh_err err = MH_ERR_INIT;

	if (cidr_check(range, &err) != 0)
		MH_ASSERT(*err.text && !cidr_contains(range, (struct sockaddr *)&any));
	else
		(void)cidr_contains(range, (struct sockaddr *)&any); /* must not crash */
	if (jsonpath_check(path, &err) != 0 ||
	    json_parse((const char *)in.data, in.left, &doc, &err) != 0)
		return 0;
	/* What equals something is there. */
	if (jsonpath_matches(path, doc, "main"))
		MH_ASSERT(jsonpath_matches(path, doc, NULL));
	MH_ASSERT(strcmp(path, "$") != 0 || jsonpath_matches(path, doc, NULL));
	return 0;
}
