/* XML documents of S3's clients. The first byte says which root is expected. */
#include "emulator/s3/xml_read.h"
#include "lib/base/str.h"
#include "tests/fuzz/fuzz.h"

#define DEPTH_MAX 8
#define TEXT_MAX  4096

struct seen {
	int elements;
	int last_depth;
};

static int see(void *ctx, int depth, const char *name, const char *text)
{
	struct seen *s = ctx;

	MH_ASSERT(depth >= 1 && depth <= DEPTH_MAX && *name);
	MH_ASSERT(strlen(text) <= TEXT_MAX && str_is_utf8(text, strlen(text)));
	s->elements++;
	s->last_depth = depth;
	return s->elements > 1000 ? -1 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	const char *root = fuzz_byte(&in) % 2 ? "Delete" : "CompleteMultipartUpload";
	struct seen s = { 0, 0 };
	struct mh_err err = MH_ERR_INIT;

	if (xml_read((const char *)in.data, in.left, root, see, &s, &err) != 0)
		MH_ASSERT(err.cls == MH_E_PROTO);
	else
		MH_ASSERT(s.elements > 0 && s.last_depth == 1); /* the root ends last */
	return 0;
}
