/* A request to the agent's status server, as it comes from whoever can connect; the same
 * bytes as an address to listen on. */
#include <string.h>

#include "agent/status_http.h"
#include "lib/base/macros.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEAN(free) char *text = mh_strndup((const char *)data, size);
	size_t head = status_http_head((const char *)data, size);
	struct sockaddr_storage address;
	struct mh_err err = MH_ERR_INIT;
	struct status_request r;
	int status;

	MH_ASSERT(head <= size && (head == 0 || head >= 4));
	/* A whole head, or whatever there is: both end somewhere. */
	status = status_http_parse((const char *)data, head ? head : size, &r);
	MH_ASSERT(status == 0 || (status >= 400 && status <= 505));
	MH_ASSERT(memchr(r.path, '\0', sizeof(r.path)) != NULL);
	if (status == 0)
		MH_ASSERT(r.path[0] == '/');
	if (status_http_address(text, &address, &err) == 0)
		MH_ASSERT(address.ss_family == AF_INET || address.ss_family == AF_INET6);
	else
		MH_ASSERT(err.cls == MH_E_CONFIG);
	return 0;
}
