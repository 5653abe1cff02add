/*
 * confine.c
 *		The limits that the importer puts on itself.
 *
 * It is started by a server process with a stranger's file on its standard
 * input.  Whatever goes wrong then, here or in libxgboost, stays in here: it
 * cannot take more memory or time than it was given, cannot write files, and
 * does not outlive the one who waits for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "confine.h"
#include "refusal.h"

#define FIRST_OTHER_DESCRIPTOR	3
#define GRACE_SECONDS			2	/* from SIGXCPU to SIGKILL */

/* See confine.h. */
FILE *
confine_output(int descriptor)
{
	int			copy = dup(descriptor);
	int			null = open("/dev/null", O_RDWR);
	FILE	   *stream = copy < 0 ? NULL : fdopen(copy, "w");

	if (stream == NULL || null < 0 || dup2(null, descriptor) < 0)
	{
		fprintf(stderr, "pg_risk_xgboost: could not redirect output: %s\n", strerror(errno));
		_exit(1);
	}
	close(null);
	return stream;
}

/* Set a limit, or keep a lower one that is in force. */
static void
set_limit(int resource, rlim_t soft, rlim_t hard)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) == 0)
	{
		if (limit.rlim_max != RLIM_INFINITY && hard > limit.rlim_max)
			hard = limit.rlim_max;
		if (soft > hard)
			soft = hard;
		limit.rlim_cur = soft;
		limit.rlim_max = hard;
		if (setrlimit(resource, &limit) == 0)
			return;
	}
	refuse(REFUSE_LIMIT, NULL, "could not limit the import: %s", strerror(errno));
}

/* Close what the parent left open; the descriptors of a process are few. */
static void
close_inherited(void)
{
	struct rlimit limit;
	int			last = 1024;

#ifdef CLOSE_RANGE_UNSHARE
	if (close_range(FIRST_OTHER_DESCRIPTOR, ~0U, 0) == 0)
		return;
#endif
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 1 << 20)
		last = (int) limit.rlim_cur;
	for (int descriptor = FIRST_OTHER_DESCRIPTOR; descriptor < last; descriptor++)
		close(descriptor);
}

/*
 * See confine.h.  Must come before confine_output(), whose copies it would
 * close.  By hand the output may be a file; only then may files grow.
 */
void
confine(const Limits *limits)
{
	rlim_t		memory = (rlim_t) limits->memory_mb * 1024 * 1024;
	rlim_t		seconds = (rlim_t) limits->cpu_seconds;
	rlim_t		files = (rlim_t) limits->open_files;
	struct stat output;

	close_inherited();
#ifdef __linux__
	prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
	signal(SIGXCPU, refuse_for_time);
	set_limit(RLIMIT_AS, memory, memory);
	set_limit(RLIMIT_CPU, seconds, seconds + GRACE_SECONDS);
	set_limit(RLIMIT_NOFILE, files, files);
	set_limit(RLIMIT_CORE, 0, 0);
	if (fstat(STDOUT_FILENO, &output) != 0 || !S_ISREG(output.st_mode))
		set_limit(RLIMIT_FSIZE, 0, 0);
	umask(077);
	if (chdir("/") != 0)
		refuse(REFUSE_LIMIT, NULL, "could not change to the root directory: %s",
			   strerror(errno));
}
