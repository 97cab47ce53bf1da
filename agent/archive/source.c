#include "agent/archive/source.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/sha256.h"
#include "lib/base/str.h"

#define TAR_BLOCK  512
#define READ_BLOCK (64 * 1024)

int source_open(struct source *s, int fd, struct mh_err *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return mh_err_sys(err, "the archive on standard input");
	if (!S_ISREG(st.st_mode))
		return mh_err_set(
			err, MH_E_SYS,
			"standard input is not a regular file: a zip archive is "
			"read from its end; use `<archive.zip`, not a pipe");
	*s = (struct source){ .fd = fd, .size = (uint64_t)st.st_size };
	return 0;
}

/* From the file. */
static int read_at(const struct source *s, uint64_t offset, void *data, size_t len,
		   struct mh_err *err)
{
	char *p = data;

	while (len) {
		ssize_t n = pread(s->fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return mh_err_sys(err, "read the archive");
		if (n == 0)
			return mh_err_set(err, MH_E_PROTO, "the archive ends too early");
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int source_load(struct source *s, struct mh_err *err)
{
	CLEAN(free) unsigned char *whole = NULL;

	if (s->whole || s->size > SOURCE_WHOLE_MAX)
		return 0;
	whole = mh_alloc((size_t)s->size + 1);
	if (read_at(s, 0, whole, (size_t)s->size, err) != 0)
		return -1;
	s->whole = STEAL_PTR(whole);
	return 0;
}

void source_close(struct source *s)
{
	free(STEAL_PTR(s->whole));
}

static int check_range(const struct source *s, uint64_t offset, size_t len,
		       struct mh_err *err)
{
	if (offset > s->size || len > s->size - offset)
		return mh_err_set(err, MH_E_PROTO, "the archive ends too early");
	return 0;
}

int source_read_at(const struct source *s, uint64_t offset, void *data, size_t len,
		   struct mh_err *err)
{
	if (check_range(s, offset, len, err) != 0)
		return -1;
	if (!s->whole)
		return read_at(s, offset, data, len, err);
	memcpy(data, s->whole + offset, len);
	return 0;
}

int source_view_at(const struct source *s, uint64_t offset, void *scratch, size_t len,
		   const unsigned char **ret, struct mh_err *err)
{
	if (check_range(s, offset, len, err) != 0)
		return -1;
	if (!s->whole && read_at(s, offset, scratch, len, err) != 0)
		return -1;
	*ret = s->whole ? s->whole + offset : scratch;
	return 0;
}

int source_sha256(const struct source *s, char ret_hex[SOURCE_SHA256_SIZE],
		  struct mh_err *err)
{
	CLEAN(free) unsigned char *block = mh_alloc(READ_BLOCK);
	unsigned char digest[SHA256_SIZE];
	struct sha256 state;

	sha256_init(&state);
	for (uint64_t at = 0; at < s->size;) {
		uint64_t left = s->size - at;
		size_t n = left < READ_BLOCK ? (size_t)left : READ_BLOCK;
		const unsigned char *bytes = NULL;

		if (source_view_at(s, at, block, n, &bytes, err) != 0)
			return -1;
		sha256_update(&state, bytes, n);
		at += n;
	}
	sha256_final(&state, digest);
	str_hex(digest, sizeof digest, ret_hex);
	return 0;
}

/* A tar header's own checksum: the sum of its bytes, the field itself as blanks. */
static bool is_tar_header(const unsigned char block[TAR_BLOCK])
{
	unsigned long sum = 0, want = 0;
	size_t i = 148;

	while (i < 156 && block[i] == ' ')
		i++;
	for (; i < 156 && block[i] >= '0' && block[i] <= '7'; i++)
		want = want * 8 + (unsigned long)(block[i] - '0');
	for (i = 0; i < TAR_BLOCK; i++)
		sum += i >= 148 && i < 156 ? ' ' : block[i];
	return sum == want;
}

static bool is_zero(const unsigned char *p, size_t len)
{
	while (len && p[len - 1] == 0)
		len--;
	return len == 0;
}

bool source_is_zip(const struct source *s)
{
	const unsigned char *p = NULL;
	struct mh_err ignored; /* shorter than that is no zip either */
	unsigned char room[4];

	return source_view_at(s, 0, room, sizeof room, &p, &ignored) == 0 &&
	       (memcmp(p, "PK\3\4", 4) == 0 || memcmp(p, "PK\5\6", 4) == 0);
}

int source_detect(const struct source *s, enum source_format *ret, struct mh_err *err)
{
	unsigned char block[TAR_BLOCK] = { 0 };
	size_t n = s->size < sizeof block ? (size_t)s->size : sizeof block;

	if (n == 0)
		return mh_err_set(err, MH_E_PROTO, "the archive is empty (0 bytes)");
	if (source_read_at(s, 0, block, n, err) != 0)
		return -1;
	if (source_is_zip(s))
		*ret = SOURCE_ZIP;
	else if (n >= 3 && memcmp(block, "\x1f\x8b\x08", 3) == 0)
		*ret = SOURCE_TAR_GZ;
	else if (n == sizeof block &&
		 (is_tar_header(block) || is_zero(block, sizeof block)))
		*ret = SOURCE_TAR; /* all zeros: a tar without members */
	else
		return mh_err_set(err, MH_E_PROTO,
				  "this is no zip, tar or tar.gz archive (%llu bytes)",
				  (unsigned long long)s->size);
	return 0;
}
