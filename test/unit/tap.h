/*
 * tap.h
 *		Results of unit tests in the Test Anything Protocol, which prove reads:
 *		one "ok N - what" or "not ok N - what" a check, the plan at the end.
 */
#ifndef PG_RISK_TAP_H
#define PG_RISK_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static int	tap_checks = 0;
static int	tap_failures = 0;

/* Report one check; returns whether it held. */
static inline bool __attribute__((format(printf, 2, 3)))
ok(bool held, const char *format,...)
{
	va_list		arguments;

	tap_checks++;
	if (!held)
		tap_failures++;
	printf("%s %d - ", held ? "ok" : "not ok", tap_checks);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	return held;
}

/* Print the plan; returns the exit status of the test program. */
static inline int
done_testing(void)
{
	printf("1..%d\n", tap_checks);
	return tap_failures != 0;
}

#endif							/* PG_RISK_TAP_H */
