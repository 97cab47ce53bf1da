#include "agent/job/tree.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/syscall.h>

struct process {
	pid_t pid, parent;
	unsigned long long start; /* clock ticks since boot */
	bool zombie;
	bool inside; /* descends from the root */
};

struct processes {
	struct process *all; /* owned */
	size_t count, cap;
};

static void clean_dir(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir); /* only read */
}

/* From /proc/<pid>/stat: 1, or 0 when there is no such process any more. Not being
 * able to look is an error: a process that is not seen would not be ended. */
static int read_process(pid_t pid, struct process *ret, struct mh_err *err)
{
	char path[32], text[1024], state;
	CLEAN(fd) int fd = -1;
	const char *rest;
	int parent;
	ssize_t n;

	(void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (n < 0 && errno != ENOENT && errno != ESRCH)
		return mh_err_sys(err, "read %s", path);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	/* "pid (name) state parent ...": a name may hold blanks and parentheses. */
	rest = strrchr(text, ')');
	if (!rest ||
	    sscanf(rest + 1, /* fields 3, 4 and 22 of proc(5) */
		   " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
		   "%*d %*d %llu",
		   &state, &parent, &ret->start) != 3)
		return mh_err_set(err, MH_E_PROTO, "%s is of an unknown form", path);
	ret->pid = pid;
	ret->parent = parent;
	ret->zombie = state == 'Z' || state == 'X';
	ret->inside = false;
	return 1;
}

static void add(struct processes *list, const struct process *p)
{
	if (list->count == list->cap) {
		list->cap = list->cap ? 2 * list->cap : 256;
		list->all = mh_realloc(list->all, list->cap * sizeof *list->all);
	}
	list->all[list->count++] = *p;
}

static int read_all(struct processes *list, struct mh_err *err)
{
	CLEAN(dir) DIR *dir = opendir("/proc");
	struct dirent *entry;
	struct process p;
	bool seen_self = false;

	if (!dir)
		return mh_err_sys(err, "open /proc");
	for (;;) {
		int rc = 0;

		errno = 0;
		entry = readdir(dir);
		if (!entry)
			break;
		if (isdigit((unsigned char)entry->d_name[0]))
			rc = read_process((pid_t)strtol(entry->d_name, NULL, 10), &p,
					  err);
		if (rc < 0)
			return -1;
		if (rc == 1)
			add(list, &p);
		seen_self |= rc == 1 && p.pid == getpid();
	}
	if (errno)
		return mh_err_sys(err, "list /proc");
	return seen_self ? 0 : mh_err_set(err, MH_E_SYS, "/proc is not mounted");
}

static int by_parent(const void *a, const void *b)
{
	const struct process *x = a, *y = b;

	return x->parent < y->parent ? -1 : x->parent > y->parent;
}

/* The first process whose parent is not below this one; the list is sorted. */
static size_t first_child(const struct processes *list, pid_t parent)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (list->all[middle].parent < parent)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Marks what descends from the root, generation by generation. */
static void mark_descendants(struct processes *list, pid_t root)
{
	CLEAN(free) pid_t *queue = mh_alloc((list->count + 1) * sizeof *queue);
	size_t head = 0, tail = 0;

	qsort(list->all, list->count, sizeof *list->all, by_parent);
	queue[tail++] = root;
	while (head < tail) {
		pid_t parent = queue[head++];

		for (size_t i = first_child(list, parent);
		     i < list->count && list->all[i].parent == parent; i++) {
			/* Ids may change hands while /proc is read: no circles. */
			if (list->all[i].inside || list->all[i].pid == root)
				continue;
			list->all[i].inside = true;
			queue[tail++] = list->all[i].pid;
		}
	}
}

static void signal_process(const struct process *p, int signal_number)
{
	CLEAN(fd) int pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	struct process now;
	struct mh_err err;

	if (pidfd < 0 && errno == ESRCH)
		return; /* gone already */
	if (read_process(p->pid, &now, &err) != 1 || now.start != p->start)
		return; /* gone; or the caller's next look finds it again */
	/* Without a pidfd (before Linux 5.3, or none left) the id might change hands just
	 * here, which is rare; a tree that lives on would be certain. */
	if (pidfd < 0)
		(void)kill(p->pid, signal_number);
	else
		(void)syscall(SYS_pidfd_send_signal, pidfd, signal_number, NULL, 0);
}

int tree_signal(pid_t root, int signal_number, size_t *ret_count, struct mh_err *err)
{
	struct processes list = { .all = NULL };
	size_t count = 0;

	if (read_all(&list, err) != 0) {
		free(list.all);
		return -1;
	}
	mark_descendants(&list, root);
	for (size_t i = 0; i < list.count; i++) {
		if (!list.all[i].inside || list.all[i].zombie)
			continue;
		signal_process(&list.all[i], signal_number);
		count++;
	}
	free(list.all);
	*ret_count = count;
	return 0;
}
