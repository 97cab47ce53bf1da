/*
 * The shim's side of its channel to the handler: each line of the input is one datagram.
 * Whatever is said, the shim's own words about the job can be read by an agent.
 */
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "agent/job/shim.h"
#include "agent/job/wire.h"
#include "tests/fuzz/fuzz.h"

#define MESSAGES_MAX 16 /* that a socket surely holds */

static const char spec_text[] =
	"{\"version\":1,\"n\":17,\"job\":{\"id\":\"j\",\"data\":{\"actionConfiguration\":"
	"{\"configuration\":{\"token\":\"hunter2hunter2\"}}}},\"plugin\":\"/p/c.so\","
	"\"config\":{\"command\":\"make all\",\"x\":\"secret value\"},\"public\":[],"
	"\"deadline_ms\":1763635143250,\"grace_ms\":10,\"log_max_bytes\":4096,"
	"\"work_dir\":\"/w/17\",\"archive_program\":\"/a\",\"inputs\":[],\"outputs\":[],"
	"\"limits\":{},\"sandbox\":{\"write\":[],\"network\":false,\"user\":\"\","
	"\"detach\":false}}";

static void open_shim(struct shim *s)
{
	struct mh_err err = MH_ERR_INIT;

	*s = (struct shim){ .jobdir_fd = -1,
			    .log = LOGPIPE_INIT,
			    .archiver = ARCHIVER_INIT,
			    .result = RESULT_INIT,
			    .step = STEP_RUN,
			    .question = -1,
			    .space_at_ms = NEVER_MS };
	MH_ASSERT(spec_parse(spec_text, strlen(spec_text), &s->spec, &err) == 0);
	redact_add(&s->log.redact, "hunter2hunter2");
	redact_add(&s->log.redact, "secret value");
	s->handler.status_fd = -1;
	s->handler.cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	MH_ASSERT(s->handler.cancel_fd >= 0);
}

static void close_shim(struct shim *s)
{
	handler_done(&s->handler);
	spec_done(&s->spec);
	result_done(&s->result);
	logpipe_done(&s->log);
	archiver_done(&s->archiver);
}

/* As the agent reads messages. */
static void check_readable(struct json_object *take)
{
	CLEAN(json) struct json_object *message = take, *again = NULL;
	const char *text = json_text(message);
	struct mh_err err = MH_ERR_INIT;

	MH_ASSERT(strlen(text) <= WIRE_AGENT_MAX_BYTES);
	MH_ASSERT(json_parse_object(text, strlen(text), &again, &err) == 0);
}

static void send_lines(int fd, struct fuzz_in *in)
{
	for (int i = 0; in->left > 0 && i < MESSAGES_MAX; i++) {
		const uint8_t *start = in->data, *end = memchr(start, '\n', in->left);
		size_t len = end ? (size_t)(end - start) : in->left;

		in->data += len + (end ? 1 : 0);
		in->left -= len + (end ? 1 : 0);
		/* What does not fit is not sent: no promise is about it. */
		if (send(fd, start, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	int pair[2];
	struct shim s;

	MH_ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	open_shim(&s);
	s.handler.channel_fd = pair[0];
	send_lines(pair[1], &in);
	while (handler_read(&s))
		;
	MH_ASSERT(!s.stop.active || *s.handler.breach);
	MH_ASSERT(!s.handler.outcome_seen || s.stop.active ||
		  s.result.kind != RESULT_NONE);
	check_readable(handler_progress_message(&s));
	check_readable(result_to_json(&s.result));
	close_shim(&s);
	(void)close(pair[1]); /* what is left in it is nobody's */
	return 0;
}
