/*
 * The body of an answer on its way into a file.
 *
 * curl reads half a megabyte at once and hands it on in pieces of 16 KB, each of which
 * would be a system call. But it tells before what it has read (to whoever asks for its
 * debug output), so that a piece whose rest is sure to follow can wait for it: it lies in
 * curl's memory, which is not written again before the last piece was handed on.
 * Where nothing is told, or nothing that fits, each piece is written as it comes.
 */
#include <errno.h>
#include <unistd.h>

#include "lib/net/http_call.h"

int http_file_too_large(struct http_call *call)
{
	call->answer.too_large = true;
	return mh_err_set(&call->answer.err, MH_E_PROTO,
			  "%s: the answer is larger than allowed", call->label);
}

/* What is held back was to be written before this; it is gone, and never was. */
static int lose_held(struct http_call *call)
{
	call->held_lost = true;
	call->held_len = 0;
	return mh_err_set(&call->answer.err, MH_E_NET, "%s: the answer broke off",
			  call->label);
}

static int on_debug(CURL *easy, curl_infotype type, char *data, size_t size, void *ctx)
{
	struct http_call *call = ctx;

	(void)easy;
	if (type != CURLINFO_DATA_IN)
		return 0;
	if (call->held_len > 0)
		(void)lose_held(call);
	call->read_at = data;
	call->read_end = data + size;
	return 0;
}

void http_file_set_up(struct http_call *call)
{
	CURL *easy = call->transfer.easy;

	if (curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)HTTP_FILE_BUFFER_BYTES) !=
		    CURLE_OK ||
	    curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, on_debug) != CURLE_OK ||
	    curl_easy_setopt(easy, CURLOPT_DEBUGDATA, call) != CURLE_OK ||
	    curl_easy_setopt(easy, CURLOPT_VERBOSE, 1L) != CURLE_OK)
		MH_BUG("curl_easy_setopt"); /* no memory, or an unknown option */
}

static int write_out(struct http_call *call, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = pwrite(call->answer_fd, data, len,
				   call->answer_offset + call->answer.file_bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return mh_err_sys(&call->answer.err, "%s: answer file",
					  call->label);
		if (call->tap)
			call->tap(call->tap_ctx, &call->answer, data, (size_t)n);
		call->answer.file_bytes += n;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Whether the piece that ends here is not the last of what was read. */
static bool goes_on(const struct http_call *call, const char *end, int64_t bytes)
{
	return call->announced >= 0 && bytes < call->announced && end > call->read_at &&
	       end < call->read_end;
}

int http_file_write(struct http_call *call, const char *data, size_t len)
{
	int64_t there = call->answer.file_bytes + (int64_t)call->held_len;
	size_t held = call->held_len;

	if (call->held_lost || (held > 0 && call->held + held != data))
		return lose_held(call);
	if (call->max_file > 0 && (int64_t)len > call->max_file - there)
		return http_file_too_large(call);
	if (call->cut_at > 0 && (int64_t)len >= call->cut_at - there) {
		len = (size_t)(call->cut_at - there);
		call->answer.cut = true;
	}
	if (held == 0)
		call->held = data;
	call->held_len += len;
	if (!call->answer.cut &&
	    goes_on(call, data + len, call->answer.file_bytes + (int64_t)call->held_len))
		return 0;
	len = call->held_len;
	call->held_len = 0;
	if (write_out(call, call->held, len) != 0)
		return -1;
	return call->answer.cut ? -1 : 0; /* there is no other way to make curl stop */
}

void http_file_finish(struct http_call *call)
{
	if (call->held_len > 0 && call->answer.err.cls == MH_OK)
		(void)lose_held(call);
}
