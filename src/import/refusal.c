/*
 * refusal.c
 *		How the importer says no: one line, exit status 1.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"
#include "refusal.h"

#define MESSAGE_SIZE 1024

static const char *const kind_names[] = {
	[REFUSE_MALFORMED] = "malformed",
	[REFUSE_UNSUPPORTED] = "unsupported",
	[REFUSE_UNCERTIFIED] = "uncertified",
	[REFUSE_LIMIT] = "limit",
};

static const char time_as_json[] =
"{\"error\": \"import of the model took too long\", \"kind\": \"limit\", "
"\"hint\": \"Raise the time limit of the import.\"}\n";
static const char time_as_text[] = "pg_risk_xgboost: the time limit is exceeded\n";

static FILE *stream;
static bool as_json;
static volatile sig_atomic_t open_descriptor = -1;

/* See refusal.h. */
void
refusal_open(FILE *to, bool json)
{
	stream = to;
	as_json = json;
	open_descriptor = fileno(to);
}

/* See refusal.h. */
void
refusal_close(void)
{
	open_descriptor = -1;
}

/* Write a string as JSON; it is valid UTF-8 already. */
static void
write_json_string(const char *string)
{
	fputc('"', stream);
	for (const char *at = string; *at != '\0'; at++)
	{
		if (*at == '"' || *at == '\\')
			fprintf(stream, "\\%c", *at);
		else if ((unsigned char) *at < 0x20)
			fprintf(stream, "\\u%04x", (unsigned char) *at);
		else
			fputc(*at, stream);
	}
	fputc('"', stream);
}

/*
 * See refusal.h.  The message may have been cut in the middle of a character
 * and may hold text of libxgboost's, so it is made valid UTF-8 here.  No
 * memory is allocated: the reason may be that there is none.
 */
void
refuse(RefusalKind kind, const char *hint, const char *format,...)
{
	char		message[MESSAGE_SIZE];
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	text_make_valid(message);

	if (as_json)
	{
		fputs("{\"error\": ", stream);
		write_json_string(message);
		fprintf(stream, ", \"kind\": \"%s\", \"hint\": ", kind_names[kind]);
		if (hint != NULL)
			write_json_string(hint);
		else
			fputs("null", stream);
		fputs("}\n", stream);
	}
	else
	{
		fprintf(stream, "pg_risk_xgboost: %s\n", message);
		if (hint != NULL)
			fprintf(stream, "hint: %s\n", hint);
	}
	fflush(stream);
	_exit(1);
}

/* See refusal.h. */
void
refuse_for_time(int signal_number)
{
	const char *line = as_json ? time_as_json : time_as_text;

	(void) signal_number;
	if (open_descriptor >= 0 &&
		write(open_descriptor, line, strlen(line)) < 0)
		_exit(3);
	_exit(1);
}
