/* The emulator's configuration, its dump, and the checks of several keys together. */
#include <stdio.h>

#include "emulator/settings.h"
#include "tests/fuzz/fuzz.h"

/* libconfig 1.5 does not free the string at hand when the text breaks its grammar. */
FUZZ_LEAKS_OF("libconfig.so");

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

	MH_ASSERT(conf_read("dump", first, settings_keys, &again, &err) == 0);
	second = dump(&again);
	MH_ASSERT(strcmp(first, second) == 0);
	settings_done(&again);
}

/* Each line once more as an option of the command line: "name=value". */
static void set_options(struct settings *s, const char *text)
{
	struct fuzz_in in = { (const uint8_t *)text, strlen(text) };

	while (in.left > 0) {
		CLEAN(free) char *line = fuzz_line(&in);
		char *equals = strchr(line, '=');
		struct mh_err err = MH_ERR_INIT;

		if (equals)
			*equals = '\0';
		if (!settings_find_option(line))
			continue;
		if (settings_set_option(s, line, equals ? equals + 1 : NULL, &err) != 0) {
			MH_ASSERT(err.cls == MH_E_CONFIG && *err.text);
			return; /* the program ends there */
		}
	}
	check_dump(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	CLEAN(free) char *text = fuzz_rest(&in);
	struct settings s = { 0 };
	struct mh_err err = MH_ERR_INIT;

	if (conf_read("emulator.conf", text, settings_keys, &s, &err) != 0) {
		MH_ASSERT(err.cls == MH_E_CONFIG && strstr(err.text, "emulator.conf"));
		memset(&s, 0, sizeof(s));
		MH_ASSERT(settings_read(NULL, &s, &err) == 0);
	}
	check_dump(&s);
	if (settings_check(&s, &err) != 0)
		MH_ASSERT(err.cls == MH_E_CONFIG && *err.text);
	set_options(&s, text);
	settings_done(&s);
	return 0;
}
