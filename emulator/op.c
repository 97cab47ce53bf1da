/* Errors as the API tells them, and the sources of ids. */
#include "emulator/op.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>

int api_fail(struct api_error *err, const char *code, const char *fmt, ...)
{
	va_list ap;
	int n;

	err->status = 400;
	err->cause = MH_OK;
	(void)snprintf(err->code, sizeof(err->code), "%s", code);
	va_start(ap, fmt);
	n = vsnprintf(err->message, sizeof(err->message), fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(err->message)) {
		size_t len = sizeof(err->message) - 1;

		err->message[str_utf8_floor(err->message, len, len - 1)] = '\0';
	}
	return -1;
}

int api_fail_internal(struct api_error *err, const struct mh_err *cause)
{
	(void)api_fail(err, "InternalFailure", "%s", cause->text); /* -1 below */
	err->status = 500;
	err->cause = cause->cls;
	return -1;
}

static void random_uuid(struct ids *self, char out[STR_UUID_SIZE])
{
	unsigned char bytes[16];

	(void)self; /* libsodium's source (chance.h) is the process's */
	randombytes_buf(bytes, sizeof(bytes));
	(void)snprintf(
		out, STR_UUID_SIZE,
		"%02x%02x%02x%02x-%02x%02x-4%x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5],
		bytes[6] & 15U, bytes[7], (bytes[8] & 63U) | 128U, bytes[9], bytes[10],
		bytes[11], bytes[12], bytes[13], bytes[14], bytes[15]);
}

static const char name_alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
#define NAME_LETTERS (sizeof(name_alphabet) - 1)

static void random_name(struct ids *self, size_t n, char *out)
{
	(void)self; /* as above */
	for (size_t i = 0; i < n; i++)
		out[i] = name_alphabet[randombytes_uniform(NAME_LETTERS)];
	out[n] = '\0';
}

struct ids ids_random = { .uuid = random_uuid, .name = random_name };

/* splitmix64: any seed gives a good sequence; nothing secret comes from it. */
static uint64_t seeded_next(struct ids *self)
{
	uint64_t z = self->seed += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static void seeded_uuid(struct ids *self, char out[STR_UUID_SIZE])
{
	uint64_t high = seeded_next(self), low = seeded_next(self);

	(void)snprintf(out, STR_UUID_SIZE, "%08x-%04x-4%03x-%04x-%012llx",
		       (unsigned)(high >> 32), (unsigned)(high >> 16) & 0xffff,
		       (unsigned)high & 0xfff, 0x8000 | ((unsigned)(low >> 48) & 0x3fff),
		       (unsigned long long)low & 0xffffffffffffULL);
}

static void seeded_name(struct ids *self, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		out[i] = name_alphabet[seeded_next(self) % NAME_LETTERS];
	out[n] = '\0';
}

void ids_init_seeded(struct ids *ids, uint64_t seed)
{
	*ids = (struct ids){ .uuid = seeded_uuid, .name = seeded_name, .seed = seed };
}

uint64_t op_work_bit(const char *type)
{
	uint64_t hash = 14695981039346656037U; /* FNV-1a */

	for (; *type; type++)
		hash = (hash ^ (unsigned char)*type) * 1099511628211U;
	return UINT64_C(1) << (hash >> 58);
}
