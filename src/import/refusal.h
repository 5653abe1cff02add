/*
 * refusal.h
 *		How the importer says no.
 *
 * The importer is a process of one job: it serves the model or refuses it.
 * Whatever finds a reason to refuse, however deep, calls refuse(), which
 * writes the one refusal and ends the process; nothing needs to be undone.
 */
#ifndef IMPORT_REFUSAL_H
#define IMPORT_REFUSAL_H

#include <stdbool.h>
#include <stdio.h>

typedef enum RefusalKind
{
	REFUSE_MALFORMED,			/* not a model, or a broken one */
	REFUSE_UNSUPPORTED,			/* a model that we or libxgboost cannot do */
	REFUSE_UNCERTIFIED,			/* our reading and libxgboost's disagree */
	REFUSE_LIMIT				/* too big: memory, time */
} RefusalKind;

/* Send refusals to this stream, as one line of JSON or as plain text. */
extern void refusal_open(FILE *stream, bool as_json);

/* The stream is about to carry the answer: a time limit may no longer write. */
extern void refusal_close(void);

/*
 * End with a message in PostgreSQL's style: lower case first, no full stop.
 * hint is a sentence that says what to do, or NULL.
 */
extern void refuse(RefusalKind kind, const char *hint, const char *format,...)
			__attribute__((noreturn, format(printf, 3, 4)));

/* Signal handler for SIGXCPU: refuse with "limit", async-signal-safe. */
extern void refuse_for_time(int signal_number);

#endif							/* IMPORT_REFUSAL_H */
