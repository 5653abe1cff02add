/*
 * importer.c
 *		Runs the importer program: a model file goes in, what was found and the
 *		forest image come out.
 *
 * The program is a child process with its own limits (it sets them itself
 * before it reads a byte), because libxgboost crashes on some broken files and
 * a crash in a server process restarts the whole server.  The child gets two
 * pipes, an empty environment and default signal handling; nothing else.  It
 * is killed when the query is cancelled, when it takes too long, and when this
 * function is left in any other way.
 */
#include "postgres.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "../forest/forest.h"
#include "compat.h"
#include "guc.h"
#include "member.h"

#define IMPORTER_PROGRAM "pg_risk_xgboost"

/* A running importer. */
typedef struct Importer
{
	pid_t		pid;			/* 0: not running */
	int			in;				/* its standard input; -1: closed */
	int			out;			/* its standard output; -1: closed */
	TimestampTz deadline;		/* 0: none */
} Importer;

static void
close_pipe(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Path of the program: as set, else beside the server program. */
static char *
importer_path(void)
{
	char		path[MAXPGPATH];

	if (guc_importer_path[0] != '\0')
		return guc_importer_path;
	strlcpy(path, my_exec_path, MAXPGPATH);
	get_parent_directory(path);
	return psprintf("%s/%s", path, IMPORTER_PROGRAM);
}

/* The program's arguments, NULL at the end. */
static char **
importer_arguments(char *path, const float *missing, bool use_best_iteration)
{
	char	  **arguments = palloc0(sizeof(char *) * 8);
	int			n = 0;

	arguments[n++] = path;
	arguments[n++] = "import";
	arguments[n++] = psprintf("--memory-mb=%d", guc_import_memory);
	arguments[n++] = psprintf("--cpu-seconds=%d", guc_import_cpu_time);
	arguments[n++] = psprintf("--open-files=%d", guc_import_open_files);
	if (missing)
		arguments[n++] = psprintf("--missing=%.9g", *missing);
	if (use_best_iteration)
		arguments[n++] = "--best-iteration";
	return arguments;
}

/*
 * Have the program started without the server's open files.  Where the C
 * library cannot do that, the program closes them itself.
 */
static void
close_other_files(posix_spawn_file_actions_t *actions)
{
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
	posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
#endif
}

/* Start the program with a pipe at each end. */
static void
start_importer(Importer *importer, char *path, char **arguments)
{
	char	   *environment[] = {"LC_ALL=C", "OMP_NUM_THREADS=1", NULL};
	int			in[2] = {-1, -1};
	int			out[2] = {-1, -1};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t	all;
	sigset_t	none;
	int			error;

	if (pipe(in) != 0 || pipe(out) != 0)
	{
		error = errno;
		close_pipe(&in[0]);
		close_pipe(&in[1]);
		errno = error;
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not create pipe: %m")));
	}
	fcntl(in[1], F_SETFD, FD_CLOEXEC);
	fcntl(out[0], F_SETFD, FD_CLOEXEC);
	fcntl(in[1], F_SETFL, O_NONBLOCK);
	fcntl(out[0], F_SETFL, O_NONBLOCK);

	sigfillset(&all);
	sigemptyset(&none);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	close_other_files(&actions);
	error = posix_spawn(&importer->pid, path, &actions, &attributes, arguments, environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	close(in[0]);
	close(out[1]);
	importer->in = in[1];
	importer->out = out[0];
	if (error != 0)
	{
		importer->pid = 0;
		errno = error;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not run the importer program \"%s\": %m", path),
				 errhint("Install it with the extension (make install), or set pg_risk.importer_path and reload.")));
	}
}

/* Kill the program if it still runs, and take it off the process table. */
static void
kill_importer(Importer *importer)
{
	close_pipe(&importer->in);
	close_pipe(&importer->out);
	if (importer->pid == 0)
		return;
	kill(importer->pid, SIGKILL);
	while (waitpid(importer->pid, NULL, 0) < 0 && errno == EINTR)
		;
	importer->pid = 0;
}

static void
report_timeout(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("the import took longer than %d ms", guc_import_timeout),
			 errhint("Increase pg_risk.import_timeout if the model is large.")));
}

/* Wait until the program can read or has written, for so many ms at the longest. */
static void
wait_for_importer(const Importer *importer, int timeout)
{
	struct pollfd fds[2] = {
		{.fd = importer->in,.events = POLLOUT},
		{.fd = importer->out,.events = POLLIN}
	};

	pgstat_report_wait_start(PG_WAIT_EXTENSION);
	(void) poll(fds, 2, timeout);
	pgstat_report_wait_end();
	CHECK_FOR_INTERRUPTS();
	if (importer->deadline != 0 && GetCurrentTimestamp() > importer->deadline)
		report_timeout();
}

static bool
would_block(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* Give the program the artifact and take what it writes, until it is done. */
static void
converse(Importer *importer, const char *artifact, Size size, StringInfo output)
{
	Size		sent = 0;
	ssize_t		n;

	while (importer->out >= 0)
	{
		if (importer->in >= 0)
		{
			/* A program that has made up its mind may stop reading (EPIPE). */
			n = write(importer->in, artifact + sent, Min(size - sent, 1 << 20));
			if (n > 0)
				sent += n;
			if (sent == size || (n < 0 && !would_block()))
				close_pipe(&importer->in);
		}

		enlargeStringInfo(output, 1 << 16);
		n = read(importer->out, output->data + output->len, output->maxlen - output->len - 1);
		if (n > 0)
			output->len += n;
		else if (n == 0 || !would_block())
			close_pipe(&importer->out);
		else
			wait_for_importer(importer, 100);
	}
	output->data[output->len] = '\0';
}

/* Wait for the end of a program that has nothing more to say. */
static int
exit_status(Importer *importer)
{
	int			status;
	pid_t		pid;

	while ((pid = waitpid(importer->pid, &status, WNOHANG)) != importer->pid)
	{
		if (pid < 0 && errno != EINTR)
			ereport(ERROR, (errmsg("could not wait for the importer program: %m")));
		wait_for_importer(importer, 1);
	}
	importer->pid = 0;
	CHECK_FOR_INTERRUPTS();		/* what cancels us kills the program, too */
	return status;
}

/* Report a program that ended without an answer. */
static void
report_death(int status)
{
	int			signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	if (signal == SIGXCPU || signal == SIGKILL)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the importer program was stopped: it needed too much time or memory"),
				 errhint("If the model is sound and large, increase pg_risk.import_cpu_time (%d s) or pg_risk.import_memory (%d MB).",
						 guc_import_cpu_time, guc_import_memory)));
	if (signal != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("the model file makes XGBoost's reader crash (signal %d)", signal),
				 errhint("The file is damaged, or no XGBoost model. Save it again, as JSON or UBJSON.")));
	ereport(ERROR,
			(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			 errmsg("the importer program failed (exit status %d)", WEXITSTATUS(status)),
			 errhint("Is the XGBoost library installed? Try the program by hand: %s --help.", importer_path())));
}

/* Report a program that is not ours. */
static void
report_nonsense(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			 errmsg("the importer program gave an answer that makes no sense"),
			 errhint("It must be the %s of this release of pg_risk; see pg_risk.importer_path.",
					 IMPORTER_PROGRAM)));
}

/* A text member of a JSON object; NULL when there is none. */
static char *
json_text(Jsonb *object, const char *key)
{
	JsonbValue	buffer;
	JsonbValue *value = member_of(object, key, &buffer);

	if (!value || value->type != jbvString)
		return NULL;
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/* Report the program's refusal of the artifact. */
static void
report_refusal(Jsonb *answer)
{
	char	   *message = json_text(answer, "error");
	char	   *kind = json_text(answer, "kind");
	char	   *hint = json_text(answer, "hint");
	int			sqlstate = ERRCODE_INVALID_BINARY_REPRESENTATION;

	if (kind && strcmp(kind, "unsupported") == 0)
		sqlstate = ERRCODE_FEATURE_NOT_SUPPORTED;
	else if (kind && strcmp(kind, "uncertified") == 0)
		sqlstate = ERRCODE_DATA_EXCEPTION;
	else if (kind && strcmp(kind, "limit") == 0)
		sqlstate = ERRCODE_PROGRAM_LIMIT_EXCEEDED;
	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("%s", message ? message : "the importer program refused the artifact"),
			 sqlstate != ERRCODE_PROGRAM_LIMIT_EXCEEDED ? 0 :
			 errdetail("Limits of an import are pg_risk.import_memory (%d MB) and pg_risk.import_cpu_time (%d s).",
					   guc_import_memory, guc_import_cpu_time),
			 hint ? errhint("%s", hint) : 0));
}

/* Does an answer hold together?  The image is aligned to 8 bytes. */
static bool
answer_is_sound(Jsonb *metadata, const void *image, Size size)
{
	JsonbValue	buffer;
	JsonbValue *num_features;

	if (forest_check(image, size) != NULL)
		return false;
	num_features = member_of(metadata, "num_features", &buffer);
	return num_features && num_features->type == jbvNumeric &&
		DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(num_features->val.numeric)))
		== ((const ForestHeader *) image)->num_features;
}

/*
 * Take the program's answer apart: a line of JSON in UTF-8, then the image.
 */
static void
parse_answer(StringInfo output, int status, Datum *metadata, Datum *image)
{
	char	   *newline = memchr(output->data, '\n', output->len);
	bool		finished = WIFEXITED(status) && WEXITSTATUS(status) <= 1;
	Jsonb	   *answer;
	char	   *aligned;
	bytea	   *bytes;
	Size		length;

	if (!newline || !finished)
		report_death(status);
	*newline = '\0';
	answer = DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
												CStringGetDatum(pg_any_to_server(output->data,
																				 newline - output->data,
																				 PG_UTF8))));
	if (!JB_ROOT_IS_OBJECT(answer))
		report_nonsense();
	if (WEXITSTATUS(status) != 0)
		report_refusal(answer);

	length = output->len - (newline + 1 - output->data);
	aligned = palloc(Max(length, 1));
	memcpy(aligned, newline + 1, length);
	if (!answer_is_sound(answer, aligned, length))
		report_nonsense();
	pfree(aligned);
	bytes = palloc(VARHDRSZ + length);
	SET_VARSIZE(bytes, VARHDRSZ + length);
	memcpy(VARDATA(bytes), newline + 1, length);
	*metadata = JsonbPGetDatum(answer);
	*image = PointerGetDatum(bytes);
}

PG_FUNCTION_INFO_V1(risk_import_artifact);

/* risk.import_artifact(artifact, missing, use_best_iteration): metadata, image */
Datum
risk_import_artifact(PG_FUNCTION_ARGS)
{
	bytea	   *artifact;
	float		missing;
	char	   *path = importer_path();
	char	  **arguments;
	Importer   *importer = palloc(sizeof(Importer));
	StringInfoData output;
	TupleDesc	tupdesc;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("artifact must not be null")));
	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	artifact = PG_GETARG_BYTEA_PP(0);
	missing = PG_ARGISNULL(1) ? 0 : PG_GETARG_FLOAT4(1);
	arguments = importer_arguments(path, PG_ARGISNULL(1) ? NULL : &missing,
								   !PG_ARGISNULL(2) && PG_GETARG_BOOL(2));
	initStringInfo(&output);
	importer->pid = 0;
	importer->in = importer->out = -1;
	importer->deadline = guc_import_timeout <= 0 ? 0 :
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), guc_import_timeout);

	PG_TRY();
	{
		start_importer(importer, path, arguments);
		converse(importer, VARDATA_ANY(artifact), VARSIZE_ANY_EXHDR(artifact), &output);
		parse_answer(&output, exit_status(importer), &values[0], &values[1]);
	}
	PG_FINALLY();
	{
		kill_importer(importer);
	}
	PG_END_TRY();

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}
