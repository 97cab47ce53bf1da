#include "agent/archive/limits.h"

#include <errno.h>
#include <inttypes.h>

const char *archive_error_kind(const struct mh_err *err)
{
	switch (err->cls) {
	case MH_E_PROTO:
		return "corrupt";
	case MH_E_DENIED:
		return "unsafe";
	case MH_E_FULL:
		if (err->sys_errno == 0)
			return "limit";
		if (err->sys_errno == ENOSPC || err->sys_errno == EDQUOT)
			return "space";
		return "system";
	default:
		return "system";
	}
}

int archive_limits_ratio(const struct archive_limits *limits, uint64_t content_bytes,
			 uint64_t archive_bytes, struct mh_err *err)
{
	if (limits->ratio == 0 || content_bytes < limits->ratio_from)
		return 0;
	if (content_bytes / limits->ratio <= archive_bytes)
		return 0;
	return mh_err_set(err, MH_E_FULL,
			  "the archive grows more than %" PRIu64 " times when unpacked",
			  limits->ratio);
}

int archive_limits_bytes(const struct archive_limits *limits, uint64_t used,
			 uint64_t more, struct mh_err *err)
{
	if (used <= limits->bytes && more <= limits->bytes - used)
		return 0;
	return mh_err_set(err, MH_E_FULL,
			  "the archive holds more than %" PRIu64 " bytes of content",
			  limits->bytes);
}
