#include "agent/archive/program.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>

#include "agent/archive/limits.h"
#include "agent/archive/report.h"
#include "agent/archive/sandbox.h"
#include "agent/archive/source.h"
#include "config.h"
#include "lib/base/str.h"

#define IN_MEMORY_MAX (1ULL << 30)

static const char usage[] =
	"usage: %s unpack --into DIR [limits] <archive 3>report\n"
	"       %s pack --from DIR|FILE [--format zip|tar|tar.gz] [limits] "
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
	"  --in-memory N    zip: members handled as a whole          4M\n"
	"  --strict-case    refuse names that differ in case alone\n";

struct request {
	bool unpack;
	const char *path;
	enum pack_format format;
	struct archive_limits limits;
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
	case 'm':
		if (size_option(name, value, &r->limits.whole_bytes, err) != 0)
			return -1;
		if (r->limits.whole_bytes > IN_MEMORY_MAX)
			return mh_err_set(err, MH_E_CONFIG, "--%s is at most 1G", name);
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
		{ "in-memory", required_argument, NULL, 'm' },
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

/* --- the other program -------------------------------------------------------------- */

/* The directory of `path` with another name in it. */
static char *beside(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');

	return slash ? mh_format("%.*s/%s", (int)(slash - path), path, name) : NULL;
}

/* Where this program lies: a link to it may lie alone. */
static char *own_path(void)
{
	char path[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", path, sizeof path);

	return len > 0 && (size_t)len < sizeof path ? mh_strndup(path, (size_t)len)
						    : NULL;
}

/* Takes the other program's form; comes back when that fails. Nothing of the archive but
 * its first bytes was looked at, and the descriptors are as they were. */
static int become_other(const struct program *program, char **argv, struct mh_err *err)
{
	const char *called = (const char *)(uintptr_t)getauxval(AT_EXECFN);
	CLEAN(free) char *own = own_path();
	CLEAN(free) char *first = own ? beside(own, program->other) : NULL;
	CLEAN(free) char *second = called ? beside(called, program->other) : NULL;

	errno = ENOENT;
	if (first)
		(void)execv(first, argv);
	if (second && errno == ENOENT) /* this one was replaced meanwhile */
		(void)execv(second, argv);
	return mh_err_sys(err, "%s, which does tar and tar.gz, cannot be run",
			  first ? first : program->other);
}

/* Whether the request is about a format that this program does not know. */
static int check_format(const struct program *program, const struct request *r,
			const struct source *source, char **argv, struct mh_err *err)
{
	bool zip = r->unpack ? source_is_zip(source) : r->format == PACK_ZIP;

	if (zip == program->zip)
		return 0;
	if (program->other)
		return become_other(program, argv, err);
	if (!program->zip)
		return mh_err_set(err, MH_E_CONFIG,
				  "this program does tar and tar.gz; zip is "
				  "millhand-archive's");
	return mh_err_set(err, MH_E_CONFIG, "this program does zip alone");
}

/* --- the work ----------------------------------------------------------------------- */

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

static int run_unpack(const struct program *program, const struct request *r, char **argv,
		      struct report *ret, struct mh_err *err)
{
	CLEAN(source) struct source source = { .fd = -1 };
	struct unpack_result result;
	CLEAN(fd) int dir_fd = -1;

	if (source_open(&source, STDIN_FILENO, err) != 0 ||
	    check_format(program, r, &source, argv, err) != 0 ||
	    open_empty_dir(r->path, &dir_fd, err) != 0)
		return -1;
	tzset(); /* reads the time zone while files can still be opened */
	(void)sandbox_enter(dir_fd, true); /* what it lacks, the other checks hold */
	if (source_load(&source, err) != 0 ||
	    source_sha256(&source, ret->sha256, err) != 0 ||
	    unpack_archive(&source, program->unpack, dir_fd, &r->limits, &result, err) !=
		    0)
		return -1;
	ret->bytes = result.bytes;
	ret->entries = result.entries;
	return 0;
}

static int run_pack(const struct program *program, const struct request *r, char **argv,
		    struct report *ret, struct mh_err *err)
{
	CLEAN(pack_from) struct pack_from from = PACK_FROM_INIT;
	CLEAN(fd) int file_fd = -1;
	struct pack_result result;

	if (check_format(program, r, NULL, argv, err) != 0 ||
	    pack_open(r->path, &from, err) != 0)
		return -1;
	if (program->before_packing)
		program->before_packing();
	if (from.file) {
		file_fd = openat(from.fd, from.file, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (file_fd < 0)
			return mh_err_sys(err, "%s", r->path);
	}
	(void)sandbox_enter(from.file ? file_fd : from.fd, false); /* as above */
	if (pack_archive(&from, program->packer, r->format, STDOUT_FILENO, &r->limits,
			 &result, err) != 0)
		return -1;
	ret->bytes = result.bytes;
	ret->entries = result.entries;
	memcpy(ret->sha256, result.sha256, sizeof ret->sha256);
	return 0;
}

/* So that nothing opened later takes the place of a standard descriptor. */
static void fill_standard_fds(void)
{
	while (fcntl(STDIN_FILENO, F_GETFD) < 0 || fcntl(STDOUT_FILENO, F_GETFD) < 0 ||
	       fcntl(STDERR_FILENO, F_GETFD) < 0)
		if (open("/dev/null", O_RDWR) < 0) /* kept open on purpose */
			abort();
}

int program_main(const struct program *program, int argc, char **argv)
{
	struct mh_err err = MH_ERR_INIT;
	struct report report = { .bytes = 0 };
	struct request request;
	int rc;

	sandbox_early();
	(void)signal(SIGPIPE, SIG_IGN); /* a reader gone is a failed write */
	report_find_fd(&report);
	fill_standard_fds();
	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return printf(usage, program->name, program->name) < 0 ? 1 : 0;
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return printf("%s %s\n", program->name, PACKAGE_VERSION) < 0 ? 1 : 0;
	if (parse_arguments(argc, argv, &request, &err) != 0) {
		(void)fprintf(stderr, "%s: %s\n", program->name, err.text);
		(void)fprintf(stderr, usage, program->name, program->name);
		return report_send(&report, program->name, &err);
	}
	rc = request.unpack ? run_unpack(program, &request, argv, &report, &err)
			    : run_pack(program, &request, argv, &report, &err);
	return report_send(&report, program->name, rc == 0 ? NULL : &err);
}
