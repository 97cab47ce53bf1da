/*
 * The agent's configuration. What is taken can be dumped, the dump can be read, and says
 * the same. Then the checks of several keys together, in a directory that has the
 * programs they look for.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/settings.h"
#include "lib/base/fsio.h"
#include "tests/fuzz/fuzz.h"

/* libconfig 1.5 does not free the string at hand when the text breaks its grammar. */
FUZZ_LEAKS_OF("libconfig.so");

static char home[] = "/tmp/mh-fuzz-XXXXXX";

static void remove_home(void)
{
	struct mh_err err;

	if (fs_remove_tree_at(AT_FDCWD, home, &err) != 0)
		(void)fprintf(stderr, "# %s\n", err.text); /* temporary anyway */
}

static void prepare(void)
{
	static const char *const files[] = { "millhand-job", "millhand-archive",
					     "command.so" };
	static bool done;

	if (done)
		return;
	done = true;
	MH_ASSERT(mkdtemp(home) != NULL);
	(void)atexit(remove_home);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		CLEAN(free) char *path = mh_format("%s/%s", home, files[i]);
		CLEAN(fd) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);

		MH_ASSERT(fd >= 0);
	}
}

static char *dump(const struct settings *s)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	MH_ASSERT(out != NULL);
	conf_dump(out, settings_keys, s);
	MH_ASSERT(fclose(out) == 0);
	return text;
}

static void check_dump(const struct settings *s)
{
	CLEAN(free) char *first = dump(s);
	CLEAN(free) char *second = NULL;
	struct settings again = { 0 };
	struct mh_err err = MH_ERR_INIT;

	if (conf_read("dump", first, settings_keys, &again, &err) != 0) {
		(void)fprintf(stderr, "%s\n%s", err.text, first);
		MH_BUG("a dump cannot be read");
	}
	second = dump(&again);
	MH_ASSERT(strcmp(first, second) == 0);
	settings_done(&again);
}

static void take_home(char **field)
{
	free(*field);
	*field = mh_strdup(home);
}

static void check_together(const char *text, struct settings *s)
{
	struct mh_err err = MH_ERR_INIT;

	take_home(&s->plugin_dir);
	take_home(&s->libexec_dir);
	settings_complete(s);
	if (settings_check("agent.conf", text, s, &err) != 0) {
		MH_ASSERT(err.cls == MH_E_CONFIG && *err.text);
		return;
	}
	for (size_t i = 0; i < s->actions.count; i++) {
		CLEAN(free) char *name = settings_entry_name(settings_action(s, i));

		MH_ASSERT(strchr(name, '/') != NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	CLEAN(free) char *text = fuzz_rest(&in);
	struct settings s = { 0 };
	struct mh_err err = MH_ERR_INIT;

	prepare();
	if (conf_read("agent.conf", text, settings_keys, &s, &err) != 0) {
		MH_ASSERT(err.cls == MH_E_CONFIG && strstr(err.text, "agent.conf"));
		return 0;
	}
	check_dump(&s);
	check_together(text, &s);
	settings_done(&s);
	return 0;
}
