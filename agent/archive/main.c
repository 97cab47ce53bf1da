/*
 * millhand-archive: unpacks the inputs and packs the outputs of one job, shut in
 * to one directory. The contract stands in docs/architecture.md.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <sodium.h>

#include "agent/archive/limits.h"
#include "agent/archive/pack.h"
#include "agent/archive/sandbox.h"
#include "agent/archive/source.h"
#include "agent/archive/unpack.h"
#include "config.h"
#include "lib/base/fsio.h"
#include "lib/base/json.h"
#include "lib/base/str.h"

#define REPORT_FD 3

static const char usage[] =
	"usage: millhand-archive unpack --into DIR [limits] <archive 3>report\n"
	"       millhand-archive pack --from DIR|FILE [--format zip|tar|tar.gz] [limits] "
	">archive 3>report\n"
	"\n"
	"unpack reads a zip, tar or tar.gz archive, told by its content, from standard\n"
	"input, which must be a regular file, into the empty directory DIR. pack writes\n"
	"one to standard output. The report is one line of JSON on descriptor 3, or on\n"
	"standard error when that is not open. Exit status: 0 done, 1 not done.\n"
	"\n"
	"  --max-bytes N    bytes of content (64k, 10M, 2G)          8G\n"
	"  --max-entries N  files, links and directories             500000\n"
	"  --max-ratio N    content : archive, 0 = any               200\n"
	"  --ratio-from N   bytes from which the ratio is judged     100M\n"
	"  --max-depth N    directories above a file                 128\n"
	"  --strict-case    refuse names that differ in case alone\n";

struct request {
	bool unpack;
	const char *path;
	enum pack_format format;
	struct archive_limits limits;
};

struct answer {
	uint64_t bytes;
	uint64_t entries;
	char sha256[SOURCE_SHA256_SIZE];
};

static int size_option(const char *name, const char *value, uint64_t *ret,
		       struct mh_err *err)
{
	int64_t n;

	if (str_to_size(value, &n, err) != 0)
		return mh_err_wrap(err, "--%s", name);
	*ret = (uint64_t)n;
	return 0;
}

static int number_option(const char *name, const char *value, int64_t max, uint64_t *ret,
			 struct mh_err *err)
{
	int64_t n;

	if (str_to_i64(value, 0, max, name, &n, err) != 0)
		return -1;
	*ret = (uint64_t)n;
	return 0;
}

static int take_option(struct request *r, int option, const char *name, const char *value,
		       struct mh_err *err)
{
	uint64_t n;

	switch (option) {
	case 'i':
	case 'f':
		if ((option == 'i') != r->unpack)
			return mh_err_set(err, MH_E_CONFIG, "--%s does not go with %s",
					  name, r->unpack ? "unpack" : "pack");
		r->path = value;
		return 0;
	case 'F':
		return pack_format_parse(value, &r->format, err);
	case 'b':
		return size_option(name, value, &r->limits.bytes, err);
	case 'e':
		return number_option(name, value, 100000000, &r->limits.entries, err);
	case 'r':
		return number_option(name, value, 1000000, &r->limits.ratio, err);
	case 'R':
		return size_option(name, value, &r->limits.ratio_from, err);
	case 'd':
		if (number_option(name, value, 1000, &n, err) != 0)
			return -1;
		r->limits.depth = (unsigned)n;
		return 0;
	case 'c':
		r->limits.strict_case = true;
		return 0;
	default:
		return mh_err_set(err, MH_E_CONFIG,
				  "unknown option, or a value is missing");
	}
}

static int parse_arguments(int argc, char **argv, struct request *r, struct mh_err *err)
{
	static const struct option options[] = {
		{ "into", required_argument, NULL, 'i' },
		{ "from", required_argument, NULL, 'f' },
		{ "format", required_argument, NULL, 'F' },
		{ "max-bytes", required_argument, NULL, 'b' },
		{ "max-entries", required_argument, NULL, 'e' },
		{ "max-ratio", required_argument, NULL, 'r' },
		{ "ratio-from", required_argument, NULL, 'R' },
		{ "max-depth", required_argument, NULL, 'd' },
		{ "strict-case", no_argument, NULL, 'c' },
		{ NULL, 0, NULL, 0 },
	};
	const char *verb = argc > 1 ? argv[1] : "";
	int option, index = 0;

	*r = (struct request){ .limits = ARCHIVE_LIMITS_DEFAULT };
	r->unpack = strcmp(verb, "unpack") == 0;
	if (!r->unpack && strcmp(verb, "pack") != 0)
		return mh_err_set(err, MH_E_CONFIG,
				  "the first argument is unpack or pack");
	opterr = 0;
	optind = 2;
	while ((option = getopt_long(argc, argv, "", options, &index)) != -1)
		if (take_option(r, option, options[index].name, optarg, err) != 0)
			return -1;
	if (optind < argc)
		return mh_err_set(err, MH_E_CONFIG, "too many arguments");
	if (!r->path)
		return mh_err_set(err, MH_E_CONFIG, "%s is missing",
				  r->unpack ? "--into DIR" : "--from DIR");
	return 0;
}

static int open_empty_dir(const char *path, int *ret_fd, struct mh_err *err)
{
	CLEAN(fd) int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int scan_fd = fd < 0 ? -1 : openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = scan_fd < 0 ? NULL : fdopendir(scan_fd);
	unsigned names = 0;

	if (!dir) {
		(void)mh_err_sys(err, "%s", path);
		clean_fd(&scan_fd);
		return -1;
	}
	while (readdir(dir))
		names++;
	(void)closedir(dir); /* only read */
	if (names > 2) /* "." and ".." */
		return mh_err_set(err, MH_E_SYS, "%s: the directory is not empty", path);
	*ret_fd = STEAL_FD(fd);
	return 0;
}

static int run_unpack(const struct request *r, struct answer *ret, struct mh_err *err)
{
	struct unpack_result result;
	struct source source;
	CLEAN(fd) int dir_fd = -1;

	/* the C locale: names stay the bytes they are (unpack_tar.c) */
	if (source_open(&source, STDIN_FILENO, err) != 0 ||
	    open_empty_dir(r->path, &dir_fd, err) != 0)
		return -1;
	(void)sandbox_enter(dir_fd, true); /* what it lacks, the other checks hold */
	if (source_sha256(&source, ret->sha256, err) != 0 ||
	    unpack_archive(&source, dir_fd, &r->limits, &result, err) != 0)
		return -1;
	ret->bytes = result.bytes;
	ret->entries = result.entries;
	return 0;
}

static int run_pack(const struct request *r, struct answer *ret, struct mh_err *err)
{
	CLEAN(pack_from) struct pack_from from = PACK_FROM_INIT;
	CLEAN(fd) int file_fd = -1;
	struct pack_result result;

	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		(void)setlocale(LC_CTYPE, "en_US.UTF-8"); /* else names must be ASCII */
	/* a zip's MS-DOS times are local ones: the same bytes wherever it is packed */
	if (setenv("TZ", "UTC0", 1) != 0)
		return mh_err_sys(err, "set the time zone");
	tzset();
	if (pack_open(r->path, &from, err) != 0)
		return -1;
	if (from.file) {
		file_fd = openat(from.fd, from.file, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (file_fd < 0)
			return mh_err_sys(err, "%s", r->path);
	}
	(void)sandbox_enter(from.file ? file_fd : from.fd, false); /* as above */
	if (pack_archive(&from, r->format, STDOUT_FILENO, &r->limits, &result, err) != 0)
		return -1;
	ret->bytes = result.bytes;
	ret->entries = result.entries;
	memcpy(ret->sha256, result.sha256, sizeof ret->sha256);
	return 0;
}

/* failure: NULL when all went well, and then answer counts. */
static int report(int fd, const struct answer *answer, const struct mh_err *failure)
{
	CLEAN(json) struct json_object *doc = json_object_new_object();
	struct mh_err err = MH_ERR_INIT;
	CLEAN(free) char *line = NULL;

	json_put_bool(doc, "ok", !failure);
	if (failure) {
		json_put_str(doc, "kind", archive_error_kind(failure));
		json_put_str(doc, "message", failure->text);
	} else {
		json_put_i64(doc, "bytes", (int64_t)answer->bytes);
		json_put_i64(doc, "entries", (int64_t)answer->entries);
		json_put_str(doc, "sha256", answer->sha256);
	}
	line = mh_format("%s\n", json_text(doc));
	if (fs_write_fd(fd, line, strlen(line), &err) == 0)
		return failure ? 1 : 0;
	(void)fprintf(stderr, "millhand-archive: the report: %s\n", err.text);
	return 1;
}

/* So that nothing opened later takes the place of a standard descriptor. */
static void fill_standard_fds(void)
{
	while (fcntl(STDIN_FILENO, F_GETFD) < 0 || fcntl(STDOUT_FILENO, F_GETFD) < 0 ||
	       fcntl(STDERR_FILENO, F_GETFD) < 0)
		if (open("/dev/null", O_RDWR) < 0) /* kept open on purpose */
			abort();
}

int main(int argc, char **argv)
{
	int report_fd = fcntl(REPORT_FD, F_GETFD) < 0 ? STDERR_FILENO : REPORT_FD;
	struct mh_err err = MH_ERR_INIT;
	struct request request;
	struct answer answer = { .bytes = 0 };
	int rc;

	sandbox_early();
	(void)signal(SIGPIPE, SIG_IGN); /* a reader gone is a failed write */
	fill_standard_fds();
	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return fputs(usage, stdout) < 0 ? 1 : 0;
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return puts(PACKAGE_NAME "-archive " PACKAGE_VERSION) < 0 ? 1 : 0;
	tzset(); /* reads the time zone while files can still be opened */
	if (sodium_init() < 0) {
		(void)mh_err_set(&err, MH_E_SYS, "libsodium cannot start");
		return report(report_fd, &answer, &err);
	}
	if (parse_arguments(argc, argv, &request, &err) != 0) {
		(void)fprintf(stderr, "millhand-archive: %s\n%s", err.text, usage);
		return report(report_fd, &answer, &err);
	}
	rc = request.unpack ? run_unpack(&request, &answer, &err)
			    : run_pack(&request, &answer, &err);
	return report(report_fd, &answer, rc == 0 ? NULL : &err);
}
