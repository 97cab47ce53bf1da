/* Ranges of addresses: "192.0.2.0/24", "2001:db8::/32". */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "emulator/delivery.h"
#include "lib/base/str.h"

struct address {
	unsigned char bytes[16];
	size_t len; /* 4 or 16 */
};

static int parse(const char *range, struct address *ret, int64_t *ret_bits,
		 struct mh_err *err)
{
	const char *slash = strchr(range, '/');
	CLEAN(free)
	char *text = mh_strndup(range, slash ? (size_t)(slash - range) : strlen(range));
	struct mh_err ignored;

	if (inet_pton(AF_INET, text, ret->bytes) == 1)
		ret->len = 4;
	else if (inet_pton(AF_INET6, text, ret->bytes) == 1)
		ret->len = 16;
	else
		return mh_err_set(err, MH_E_CONFIG, "'%.100s' is no range of addresses",
				  range);
	*ret_bits = (int64_t)ret->len * 8;
	if (slash &&
	    str_to_i64(slash + 1, 0, *ret_bits, "prefix", ret_bits, &ignored) != 0)
		return mh_err_set(err, MH_E_CONFIG,
				  "'%.100s': the prefix is a number up to %d", range,
				  (int)ret->len * 8);
	return 0;
}

int cidr_check(const char *range, struct mh_err *err)
{
	struct address a;
	int64_t bits;

	return parse(range, &a, &bits, err);
}

static bool take_address(const struct sockaddr *from, struct address *ret)
{
	if (from->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)from;

		ret->len = 4;
		memcpy(ret->bytes, &in->sin_addr, 4);
		return true;
	}
	if (from->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)from;
		bool mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);

		ret->len = mapped ? 4 : 16;
		memcpy(ret->bytes, in6->sin6_addr.s6_addr + (mapped ? 12 : 0), ret->len);
		return true;
	}
	return false;
}

bool cidr_contains(const char *range, const struct sockaddr *from)
{
	struct address net, a;
	struct mh_err ignored;
	int64_t bits;
	size_t whole;

	if (!from || parse(range, &net, &bits, &ignored) != 0 ||
	    !take_address(from, &a) || a.len != net.len)
		return false;
	whole = (size_t)bits / 8;
	if (memcmp(a.bytes, net.bytes, whole) != 0)
		return false;
	return bits % 8 == 0 ||
	       (a.bytes[whole] ^ net.bytes[whole]) >> (8 - bits % 8) == 0;
}
